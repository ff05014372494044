//! Where a Redis is. The packages `tower-oauth-client-redis` and `tower-oauth-guard-redis` connect to it.

use std::fmt;

use url::Url;

use super::auth::TlsFiles;
use super::problem;
use super::tree::Table;
use crate::error::Problem;
use crate::secret::SecretSource;
use crate::token::Secret;

const SCHEMES: [&str; 4] = ["redis", "rediss", "valkey", "valkeys"];

/// What the names of keys begin with, unless it is said.
const PREFIX: &str = "oauth:";

/// A Redis or Valkey, as the tables `[store]` of a client and `[redis]` of a guard describe it. Its `Debug` shows no
/// secret, and no URL, which may hold one.
#[derive(Clone)]
pub struct RedisConfig {
    url: Secret,
    password: Option<SecretSource>,
    prefix: String,
    seal_keys: Vec<Secret>,
    tls: TlsFiles,
}

impl RedisConfig {
    /// The `[store]` of a client, whose values are sealed.
    pub(super) fn of_store(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<Self> {
        let config = Self::of_table(table, "store", problems);
        let before = problems.len();
        let mut own = Vec::new();
        let seal_keys = table.secrets("seal_key", &mut own);
        problems.extend(under("store", own));
        if !table.has("seal_key") {
            problems.push(problem(
                "store.seal_key",
                "is missing; values in Redis are sealed: give { file = \"seal.key\" } with at least 32 random bytes in \
                 base64, such as `openssl rand -base64 32` prints",
            ));
        }
        config.filter(|_| problems.len() == before).map(|config| Self { seal_keys, ..config })
    }

    /// A table with `url`, `password`, `prefix` and `tls`; `path` is its full name.
    #[doc(hidden)]
    pub fn of_table(table: Table<'_>, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let before = problems.len();
        let mut own = Vec::new();
        let url = table.text("url").and_then(|url| match check_url(url) {
            Ok(url) => Some(url),
            Err(message) => {
                own.push(problem("url", message));
                None
            }
        });
        if !table.has("url") {
            own.push(problem("url", "is missing; give the server's, such as \"redis://127.0.0.1:6379\""));
        }
        let password = table.secret_source("password", &mut own);
        if table.has("password") && url.as_ref().is_some_and(|url| url.password().is_some()) {
            own.push(problem("password", "is given in the URL as well; take it out of there"));
        }
        let tls = TlsFiles::of(table, &mut own);
        let is_plain = |url: &Url| matches!(url.scheme(), "redis" | "valkey");
        if table.has("tls") && url.as_ref().is_some_and(is_plain) {
            own.push(problem("tls", "is for a connection with TLS; give the URL as rediss://"));
        }
        problems.extend(under(path, own));
        let url = url.filter(|_| problems.len() == before)?;
        Some(Self {
            url: Secret::from(url.as_str()),
            password,
            prefix: table.text("prefix").unwrap_or(PREFIX).to_owned(),
            seal_keys: Vec::new(),
            tls,
        })
    }

    /// The server's URL, which may hold a user name and a password.
    #[must_use]
    pub fn url(&self) -> &Secret {
        &self.url
    }

    /// The password, where it does not stand in the URL.
    #[must_use]
    pub fn password(&self) -> Option<&SecretSource> {
        self.password.as_ref()
    }

    /// The certificate authorities to trust instead of the platform's, as PEM.
    #[must_use]
    pub fn tls_ca(&self) -> Option<&SecretSource> {
        self.tls.ca.as_ref()
    }

    /// The certificate to show and its key, as PEM.
    #[must_use]
    pub fn tls_identity(&self) -> Option<&(SecretSource, SecretSource)> {
        self.tls.identity.as_ref()
    }

    /// What the names of all keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The keys that values are sealed under, in base64: the first seals, all read.
    #[must_use]
    pub fn seal_keys(&self) -> &[Secret] {
        &self.seal_keys
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn check_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text)
        .map_err(|_| "is no URL; expected one such as \"redis://127.0.0.1:6379\", or rediss:// with TLS")?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err("has another scheme than redis:// or rediss:// (or valkey://, valkeys://)");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host; expected one such as \"redis://127.0.0.1:6379\"");
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err("has a path that is no number of a database; expected none, or one such as /2");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment; take it out");
    }
    Ok(url)
}

fn under(path: &str, problems: Vec<Problem>) -> impl Iterator<Item = Problem> {
    problems.into_iter().map(move |found| problem(&super::schema::join(path, &found.field), &found.message))
}
