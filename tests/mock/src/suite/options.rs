//! Settings of a suite beyond target and issuer: how it sends, what it asks for, and when it gives up.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::Suite;
use crate::keys::Alg;

impl Suite {
    /// A header that every request carries, such as an API key of a gateway. May be called more than once.
    ///
    /// ```
    /// # use oauth_mock::suite::Suite;
    /// let suite = Suite::new("http://127.0.0.1:3000/").header("X-Api-Key", "test");
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.sending.headers.push((name.into(), value.into()));
        self
    }

    /// The method that the target is made for; GET by default. POST, PUT and PATCH are sent with an empty body.
    pub fn method(mut self, method: Method) -> Self {
        self.sending.method = method;
        self
    }

    /// Sends at most so many requests in a second. A target that responds with 429 is obeyed without this as well.
    pub fn rate(mut self, per_second: u32) -> Self {
        self.sending.rate = Some(per_second.max(1));
        self
    }

    /// Sends the requests of so many independent rows at a time; 1 by default. Rows that need an order are sent alone,
    /// and if good tokens are refused afterwards, the rows are sent once more one by one, to find out which it was.
    pub fn parallel(mut self, rows: usize) -> Self {
        self.sending.parallel = rows.max(1);
        self
    }

    /// How long one response may take; 15 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.sending.patience = timeout;
        self
    }

    /// How long the whole run may take; without a limit by default. What was not run by then is in the report.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// The certificates, in PEM, that vouch for an `https` target. Without them any certificate will do for a target on
    /// this machine, and none for another.
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.sending.ca = Some(pem.into());
        self
    }

    /// The algorithms that the target is set to allow. Without this they are found out by asking, so that an algorithm
    /// it should refuse, or should accept, looks like one that it is meant to.
    pub fn allowed(mut self, algorithms: impl IntoIterator<Item = Alg>) -> Self {
        self.allowed.extend(algorithms);
        self
    }

    /// The target refuses tokens that were issued longer ago than this.
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = Some(age);
        self
    }

    /// The target introspects its tokens (RFC 7662): only the cases about that are sent, and this is the endpoint. It takes
    /// any credentials, and says of each token what the case is about. A target that asks for signed responses (RFC
    /// 9701) gets them, and the cases about these as well.
    ///
    /// ```
    /// # use oauth_mock::suite::Suite;
    /// let suite = Suite::new("http://127.0.0.1:3000/").opaque();
    /// ```
    pub fn opaque(mut self) -> Self {
        self.opaque = true;
        self
    }

    /// Becomes a second issuer as well, which the target is to trust beside the first.
    pub fn second_issuer(mut self) -> Self {
        self.second_issuer = true;
        self
    }
}

/// How requests are sent.
#[derive(Clone)]
pub(super) struct Sending {
    pub(super) headers: Vec<(String, String)>,
    pub(super) method: Method,
    pub(super) rate: Option<u32>,
    pub(super) parallel: usize,
    pub(super) patience: Duration,
    pub(super) ca: Option<Vec<u8>>,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            method: Method::GET,
            rate: None,
            parallel: 1,
            patience: Duration::from_secs(15),
            ca: None,
        }
    }
}

/// The values of headers may be secrets of a gateway.
impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sending")
            .field("headers", &headers)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Sending {
    /// The first header that is none.
    pub(super) fn malformed_header(&self) -> Option<&str> {
        let bad = |(name, value): &&(String, String)| {
            HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err()
        };
        self.headers.iter().find(bad).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_prints_a_header() {
        let suite = Suite::new("http://127.0.0.1/").header("X-Api-Key", "s3cr3t");
        let text = format!("{suite:?}");
        assert!(text.contains("X-Api-Key") && !text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn a_header_of_two_lines_is_none() {
        let with = |name: &str, value: &str| Suite::new("http://127.0.0.1/").header(name, value).sending;
        assert_eq!(with("X-Api-Key", "k").malformed_header(), None);
        assert_eq!(with("X", "a\r\nY: b").malformed_header(), Some("X"));
        assert_eq!(with("X Y", "a").malformed_header(), Some("X Y"));
    }
}
