//! Who is logged in, in which browser: what lets a second request pass without a password.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Request;
use http::header::COOKIE;

use crate::encode::random_text;

/// The cookie that names a session.
const COOKIE_NAME: &str = "oauth-mock-session";

/// One login: when, how strong, and the name of the session it began (`sid`, which is no secret).
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) at: i64,
    pub(crate) acr: String,
    pub(crate) session: String,
}

/// The browsers' sessions at one issuer, by the secret in their cookies.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The user's name.
    pub(crate) user: String,
    pub(crate) login: Login,
}

impl Login {
    pub(crate) fn new(at: i64, acr: &str) -> Self {
        Self { at, acr: acr.to_owned(), session: random_text::<12>() }
    }
}

impl Sessions {
    /// The session of the browser that sends this request.
    pub(crate) fn of<B>(&self, request: &Request<B>) -> Option<Session> {
        self.sessions().get(secret(request)?).cloned()
    }

    /// Begins a session; gives the value of `Set-Cookie`. `origin` is the server's address.
    pub(crate) fn begin(&self, session: Session, origin: &str) -> String {
        let secret = random_text::<24>();
        let cookie = format!("{COOKIE_NAME}={secret}; {}", attributes(origin));
        self.sessions().insert(secret, session);
        cookie
    }

    /// Ends the session of this name, and the one of this browser; gives the names of both.
    pub(crate) fn end<B>(&self, name: Option<&str>, request: &Request<B>) -> Vec<String> {
        let mut sessions = self.sessions();
        let own = secret(request).and_then(|secret| sessions.remove(secret));
        sessions.retain(|_, session| Some(session.login.session.as_str()) != name);
        own.map(|session| session.login.session).into_iter().chain(name.map(str::to_owned)).collect()
    }

    pub(crate) fn clear(&self) {
        self.sessions().clear();
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of `Set-Cookie` that makes a browser forget its session.
pub(crate) fn forget(origin: &str) -> String {
    format!("{COOKIE_NAME}=; Max-Age=0; {}", attributes(origin))
}

fn attributes(origin: &str) -> &'static str {
    // Lax: another site can lead a user here, but cannot press the button that says yes.
    if origin.starts_with("https:") {
        "Path=/; HttpOnly; SameSite=Lax; Secure"
    } else {
        "Path=/; HttpOnly; SameSite=Lax"
    }
}

fn secret<B>(request: &Request<B>) -> Option<&str> {
    let headers = request.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = headers.flat_map(|header| header.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}
