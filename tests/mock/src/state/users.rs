//! The users who can log in.

use std::fmt;

use serde_json::{Map, Value};

/// A user with a password and the claims that userinfo shows.
///
/// ```
/// use oauth_mock::{MockServer, User};
///
/// let alice = User::new("alice", "wonderland").claim("email", "alice@example.com");
/// let server = MockServer::builder().user(alice).in_process();
/// # let _ = server;
/// ```
#[derive(Clone)]
pub struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
}

impl User {
    /// A user whose `sub` is the name.
    #[must_use]
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        let name = name.into();
        Self { subject: name.clone(), name, password: password.into(), claims: Map::new() }
    }

    /// Another `sub` than the name.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Adds a claim to userinfo and to this user's access tokens.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
