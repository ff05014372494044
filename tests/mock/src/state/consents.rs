//! What users have allowed which clients: what a client may get later without asking again (OpenID Connect Core section
//! 3.1.2.4).

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// The consents at one issuer, by user and client.
#[derive(Default)]
pub(crate) struct Consents(Mutex<HashMap<(String, String), Consented>>);

#[derive(Default)]
struct Consented {
    scopes: HashSet<String>,
    details: Vec<Value>,
}

/// Says how long the rest lasts, and adds no right to it; whether it was asked for before is not looked at.
const OFFLINE: &str = "offline_access";

impl Consents {
    pub(crate) fn give(&self, user: &str, client: &str, scopes: &[String], details: &[Value]) {
        let mut consents = self.consents();
        let consented = consents.entry((user.to_owned(), client.to_owned())).or_default();
        consented.scopes.extend(scopes.iter().cloned());
        let new: Vec<_> = details.iter().filter(|one| !consented.details.contains(one)).cloned().collect();
        consented.details.extend(new);
    }

    /// Whether the user has allowed this client all of this.
    pub(crate) fn cover(&self, user: &str, client: &str, scopes: &[String], details: &[Value]) -> bool {
        self.consents().get(&(user.to_owned(), client.to_owned())).is_some_and(|consented| {
            scopes.iter().all(|one| one == OFFLINE || consented.scopes.contains(one))
                && details.iter().all(|one| consented.details.contains(one))
        })
    }

    pub(crate) fn clear(&self) {
        self.consents().clear();
    }

    fn consents(&self) -> MutexGuard<'_, HashMap<(String, String), Consented>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
