//! The table `introspection` of an issuer.

use std::time::Duration;

use oauth_client::config::schema::join;
use oauth_client::config::tree::Table;
use oauth_client::config::{client_auth, http_of_tls};

use crate::error::Problem;
use crate::introspect::{IntrospectedTokens, Introspection};

/// Reads the table. What is wrong with the client is reported by its key below the issuer.
pub(super) fn read(issuer: Table<'_>, problems: &mut Vec<Problem>) -> Option<Introspection> {
    let table = issuer.table("introspection")?;
    let mut own = Vec::new();
    let auth = client_auth(table, &mut own);
    let http = http_of_tls(table, &mut own);
    problems.extend(
        own.into_iter().map(|problem| Problem { field: join("introspection", &problem.field), ..problem }),
    );
    let mut introspection = Introspection::new(auth?);
    if let Some(url) = table.text("endpoint") {
        introspection = introspection.endpoint(url);
    }
    introspection = introspection.tokens(match table.text("tokens") {
        Some("both") => IntrospectedTokens::Both,
        Some("any") => IntrospectedTokens::Any,
        _ => IntrospectedTokens::Opaque,
    });
    let seconds = |name| table.number(name).map(Duration::from_secs);
    if let Some(time) = seconds("cache_seconds") {
        introspection = introspection.cache(time);
    }
    if let Some(time) = seconds("negative_cache_seconds") {
        introspection = introspection.negative_cache(time);
    }
    if let Some(time) = seconds("timeout_seconds") {
        introspection = introspection.timeout(time);
    }
    if let Some(questions) = table.number("max_concurrent") {
        introspection = introspection.max_concurrent(usize::try_from(questions).unwrap_or(usize::MAX));
    }
    if table.flag("jwt_response") {
        introspection = introspection.jwt_response();
    }
    Some(match http {
        Some(http) => introspection.http(http),
        None => introspection,
    })
}
