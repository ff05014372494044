//! Clients that registered themselves (RFC 7591) and manage their registration (RFC 7592).

mod metadata;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

pub(crate) use self::metadata::{Requested, bad};
use crate::encode::random_text;

/// How a server lets clients register; by default every client may, and each keeps its registration access token.
///
/// ```
/// use oauth_mock::{MockServer, Registration};
///
/// let registration = Registration::new().initial_access_token("let-me-in").rotate_access_tokens();
/// let server = MockServer::builder().registration(registration).in_process();
/// # let _ = server;
/// ```
#[derive(Clone, Default)]
pub struct Registration {
    pub(crate) initial_access_tokens: Vec<String>,
    pub(crate) rotates: bool,
    pub(crate) closed: bool,
}

impl Registration {
    /// Open to every client.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets no client register: there is no registration endpoint.
    #[must_use]
    pub fn closed() -> Self {
        Self { closed: true, ..Self::default() }
    }

    /// Lets only those register who have this token (RFC 7591 section 3); several may be added.
    #[must_use]
    pub fn initial_access_token(mut self, token: impl Into<String>) -> Self {
        self.initial_access_tokens.push(token.into());
        self
    }

    /// Gives the client a new registration access token with every change of its registration (RFC 7592 section 2.2).
    #[must_use]
    pub fn rotate_access_tokens(mut self) -> Self {
        self.rotates = true;
        self
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("initial_access_tokens", &self.initial_access_tokens.len())
            .field("rotates", &self.rotates)
            .field("closed", &self.closed)
            .finish()
    }
}

/// The registrations of one issuer, by client id.
#[derive(Default)]
pub(crate) struct Registrations(Mutex<HashMap<String, Registered>>);

/// One client's registration.
#[derive(Clone)]
pub(crate) struct Registered {
    /// As it is returned to the client, without what the server adds.
    pub(crate) metadata: Map<String, Value>,
    pub(crate) secret: Option<String>,
    pub(crate) access_token: String,
    pub(crate) issued_at: i64,
}

impl Registered {
    pub(crate) fn new(metadata: Map<String, Value>, secret: Option<String>, issued_at: i64) -> Self {
        Self { metadata, secret, access_token: random_text::<24>(), issued_at }
    }

    /// The client information response (RFC 7591 section 3.2.1, RFC 7592 section 3).
    pub(crate) fn information(&self, id: &str, uri: &str) -> Value {
        let mut body = Value::Object(self.metadata.clone());
        body["client_id"] = json!(id);
        body["client_id_issued_at"] = json!(self.issued_at);
        if let Some(secret) = &self.secret {
            body["client_secret"] = json!(secret);
            // Zero: never.
            body["client_secret_expires_at"] = json!(0);
        }
        body["registration_access_token"] = json!(self.access_token);
        body["registration_client_uri"] = json!(uri);
        body
    }
}

impl Registrations {
    pub(crate) fn put(&self, id: &str, registered: Registered) {
        self.all().insert(id.to_owned(), registered);
    }

    /// The registration of this client, if this is its registration access token.
    pub(crate) fn get(&self, id: &str, access_token: &str) -> Option<Registered> {
        self.all().get(id).filter(|registered| registered.access_token == access_token).cloned()
    }

    pub(crate) fn remove(&self, id: &str) {
        self.all().remove(id);
    }

    pub(crate) fn clear(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Registered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
