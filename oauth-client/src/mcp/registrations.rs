//! Clients that registered themselves, to be kept from one start to the next.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manage::register::Registration;

/// Clients that registered themselves, by the issuer that they registered at.
///
/// It serializes with their secrets in the clear, because it has to be kept somewhere: a client registers once and not
/// with every start. `Debug` shows none of them.
///
/// ```
/// use oauth_client::mcp::Registrations;
///
/// let kept = r#"{"https://auth.example.com": {"client_id": "s6BhdRkqt3", "client_secret": "cf136dc3"}}"#;
/// let registrations: Registrations = serde_json::from_str(kept)?;
/// assert_eq!(registrations.get("https://auth.example.com").unwrap().client_id(), "s6BhdRkqt3");
/// assert!(registrations.get("https://auth.example.com/").is_none()); // another issuer (RFC 8414 section 3.3)
/// assert!(!format!("{registrations:?}").contains("cf136dc3"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Registrations(BTreeMap<String, Registration>);

impl Registrations {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The client at this issuer, whose name is compared to the letter.
    #[must_use]
    pub fn get(&self, issuer: &str) -> Option<&Registration> {
        self.0.get(issuer)
    }

    /// Keeps a client of this issuer, in place of the one that was kept before.
    pub fn insert(&mut self, issuer: impl Into<String>, registration: Registration) {
        self.0.insert(issuer.into(), registration);
    }

    /// Forgets the client at this issuer.
    pub fn remove(&mut self, issuer: &str) -> Option<Registration> {
        self.0.remove(issuer)
    }

    /// All of them, with their issuers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Registration)> {
        self.0.iter().map(|(issuer, registration)| (issuer.as_str(), registration))
    }
}

impl fmt::Debug for Registrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}
