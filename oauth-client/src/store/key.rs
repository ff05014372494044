//! The identity of a stored token.

use std::fmt;

use serde_json::json;

use crate::grant::TokenRequest;

/// The identity of an entry: server, client, kind of grant, subject, scopes, audience, resources and further
/// parameters. Two sources share an entry exactly when all of these are the same; the order of the scopes does not
/// matter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(String);

impl StoreKey {
    pub(crate) fn new(server: &str, client_id: &str, request: &TokenRequest) -> Self {
        // JSON, and not words joined by a separator: no value can pose as two.
        Self(json!([server, client_id, request.identity()]).to_string())
    }

    /// The identity as text that is always the same for the same identity. It holds no secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant;

    #[test]
    fn the_order_of_scopes_does_not_count_and_everything_else_does() {
        let key = |request: TokenRequest| StoreKey::new("https://a", "svc", &request);
        let read_write = key(grant::client_credentials().scope(["read", "write"]));
        assert_eq!(read_write, key(grant::client_credentials().scope(["write", "read"])));
        assert_eq!(read_write, key(grant::client_credentials().scope(["read write"])));
        for other in [
            grant::client_credentials().scope(["read"]),
            grant::client_credentials().scope(["read", "write"]).audience("x"),
            grant::client_credentials().scope(["read", "write"]).resource(["urn:x"]),
            grant::client_credentials().scope(["read", "write"]).parameter("tenant", "x"),
            grant::client_credentials().scope(["read", "write"]).subject("alice"),
            grant::refresh_token("r").scope(["read", "write"]),
        ] {
            assert_ne!(read_write, key(other));
        }
    }
}
