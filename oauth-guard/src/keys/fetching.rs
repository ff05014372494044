//! What fetches of one issuer's metadata and keys, and questions to it, bring and trust: headers for a gateway, a bearer token for a server that
//! shows its keys to known callers only, a certificate authority of its own.

use std::fmt;
use std::path::{Path, PathBuf};

use oauth_client::config::tree::unreadable;
use oauth_client::secret::{SecretSource, from_file};
use oauth_client::transport::HttpClient;
use url::Url;

use crate::error::Problems;

/// As configured. It holds secrets: its `Debug` shows none.
#[derive(Clone, Default)]
pub(crate) struct Fetching {
    pub(crate) headers: Vec<(String, SecretSource)>,
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates in PEM form.
    pub(crate) authorities: Option<SecretSource>,
}

impl Fetching {
    /// The HTTP client for one issuer. Headers and token go to the origins of these URLs, which stand in the
    /// configuration, and to no other that metadata may name: a document could otherwise send them anywhere.
    pub(crate) fn client(
        &self,
        shared: Option<HttpClient>,
        urls: &[Url],
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<HttpClient> {
        let http = match &self.authorities {
            Some(authorities) => match trusting(authorities.clone()) {
                Ok(http) => http,
                Err(error) => {
                    add(&error, field, problems);
                    return None;
                }
            },
            None => shared?,
        };
        self.with_headers(http, urls, field, problems)
    }

    /// That client, with headers and token for these origins.
    pub(crate) fn with_headers(
        &self,
        mut http: HttpClient,
        urls: &[Url],
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<HttpClient> {
        let mut add = |error: &oauth_client::Error| add(error, field, problems);
        let origins = || urls.iter().map(|url| url.as_str());
        if !self.headers.is_empty() {
            http = http
                .headers_for(origins(), self.headers.iter().cloned())
                .map_err(|error| add(&error))
                .ok()?;
        }
        if let Some(path) = &self.token_file {
            if let Some((name, _)) =
                self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            {
                problems
                    .add(field(&format!("headers.{name}")), "is the header that token_file sets; remove one");
                return None;
            }
            // A wrong path shows at the start and not as a 503 later.
            if let Err(why) = check(path) {
                problems.add(field("token_file"), why);
                return None;
            }
            http = http.bearer_for(origins(), from_file(path)).map_err(|error| add(&error)).ok()?;
        }
        Some(http)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields().next().is_none()
    }

    /// The configuration keys that are set.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static str> {
        let set = [
            ("headers", !self.headers.is_empty()),
            ("token_file", self.token_file.is_some()),
            ("tls.ca", self.authorities.is_some()),
        ];
        set.into_iter().filter_map(|(field, is_set)| is_set.then_some(field))
    }

    /// Whether fetches trust the same authorities.
    pub(crate) fn trusts_same(&self, other: &Self) -> bool {
        match (&self.authorities, &other.authorities) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether fetches bring and trust the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.token_file == other.token_file
            && self.trusts_same(other)
            && self.headers.len() == other.headers.len()
            && self
                .headers
                .iter()
                .zip(&other.headers)
                .all(|(one, other)| one.0 == other.0 && one.1.is_same(&other.1))
    }
}

impl fmt::Debug for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetching")
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("token_file", &self.token_file)
            .field("authorities", &self.authorities)
            .finish()
    }
}

#[cfg(feature = "reqwest")]
fn trusting(authorities: SecretSource) -> Result<HttpClient, oauth_client::Error> {
    HttpClient::with_tls(oauth_client::transport::Tls::new().authorities(authorities))
}

#[cfg(not(feature = "reqwest"))]
fn trusting(_: SecretSource) -> Result<HttpClient, oauth_client::Error> {
    let message = "is for the bundled transport; enable the feature `reqwest`, or set an HttpClient with its own authorities";
    Err(oauth_client::Problem { field: "tls.ca".to_owned(), message: message.to_owned() }.into())
}

fn add(error: &oauth_client::Error, field: &dyn Fn(&str) -> String, problems: &mut Problems) {
    for problem in error.problems() {
        problems.add(field(&problem.field), problem.message.clone());
    }
}

fn check(path: &Path) -> Result<(), String> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(format!("{} is empty; expected a token", path.display())),
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable(path, &error)),
    }
}
