//! The grants that rest on a token or an assertion that was had elsewhere. A file with one is read for every request,
//! since they live shortly and whoever mounts them replaces them.

use super::tree::Table;
use super::{needed, problem};
use crate::error::Problem;
use crate::grant::{self, TokenExchange, TokenRequest};
use crate::token::TokenType;

/// Which grant each of these keys is for.
const FOR: &[(&str, &str)] = &[
    ("assertion", "jwt_bearer"),
    ("subject_token", "token_exchange"),
    ("subject_token_type", "token_exchange"),
    ("actor_token", "token_exchange"),
    ("actor_token_type", "token_exchange"),
    ("requested_token_type", "token_exchange"),
];

/// Tells of keys that belong to another grant.
pub(super) fn misplaced(table: Table<'_>, grant: &str, problems: &mut Vec<Problem>) {
    for (field, belongs_to) in FOR {
        if table.has(field) && *belongs_to != grant {
            problems.push(problem(field, &format!("is for grant = \"{belongs_to}\"; remove it")));
        }
    }
}

/// `jwt_bearer` (RFC 7523 section 2.1).
pub(super) fn assertion(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<TokenRequest> {
    needed(table, "assertion", "grant = \"jwt_bearer\"", problems)?;
    table.secret_source("assertion", problems).map(grant::jwt_bearer)
}

/// `token_exchange` (RFC 8693).
pub(super) fn exchange(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<TokenRequest> {
    needed(table, "subject_token", "grant = \"token_exchange\"", problems)?;
    let token_type = |field: &str| TokenType::from(table.text(field).unwrap_or("access_token"));
    let subject = table.secret_source("subject_token", problems);
    let mut exchange = TokenExchange::new(subject?, token_type("subject_token_type"));
    if table.has("actor_token") {
        exchange =
            exchange.actor(table.secret_source("actor_token", problems)?, token_type("actor_token_type"));
    } else if table.has("actor_token_type") {
        problems.push(problem("actor_token", "is missing; actor_token_type says what it is"));
    }
    if table.has("requested_token_type") {
        exchange = exchange.requested_token_type(token_type("requested_token_type"));
    }
    Some(grant::token_exchange(exchange))
}
