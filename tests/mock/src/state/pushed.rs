//! Authorization requests that clients pushed beforehand (RFC 9126): kept for a short time, good for one response.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::encode::random_text;
use crate::routes::form::Form;
use crate::state::kept::Kept;

/// Seconds a pushed request lives; RFC 9126 section 2.2 names 5 to 600 as usual.
pub(crate) const LIFETIME: i64 = 60;

/// RFC 9126 section 2.2.
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

#[derive(Default)]
pub(crate) struct PushedRequests(Mutex<Kept<Pushed>>);

#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) client: String,
    pub(crate) form: Form,
    pub(crate) expires_at: i64,
}

impl PushedRequests {
    /// Keeps a request; gives its `request_uri`.
    pub(crate) fn keep(&self, pushed: Pushed, now: i64) -> String {
        let uri = format!("{PREFIX}{}", random_text::<24>());
        self.requests().keep(uri.clone(), pushed, now, |pushed| pushed.expires_at);
        uri
    }

    /// The request of this client under `uri`, if it is still good.
    pub(crate) fn find(&self, uri: &str, client: &str, now: i64) -> Option<Form> {
        let requests = self.requests();
        let pushed = requests.get(uri)?;
        (pushed.client == client && now < pushed.expires_at).then(|| pushed.form.clone())
    }

    /// RFC 9126 section 7.3: one response for each request. `false` if another response was faster.
    pub(crate) fn use_up(&self, uri: &str) -> bool {
        self.requests().remove(uri).is_some()
    }

    pub(crate) fn clear(&self) {
        self.requests().clear();
    }

    fn requests(&self) -> MutexGuard<'_, Kept<Pushed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
