//! Who is logged in, in which browser: what lets a second request pass without a password.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Request;
use http::header::COOKIE;

use crate::encode::random_text;
use crate::state::kept::Kept;

/// The cookie of one issuer of one server. Browsers send cookies to every port of a host, so its name tells the servers
/// there apart, by port, and their issuers.
pub(crate) struct Cookie {
    pub(crate) name: String,
    attributes: String,
}

/// One login: when, how strong, and the name of the session it began (`sid`, which is no secret).
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) at: i64,
    pub(crate) acr: String,
    pub(crate) session: String,
}

/// The browsers' sessions at one issuer, by the secret in their cookies.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Kept<Session>>);

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

    /// When its session may be forgotten, if there are many: a day is longer than any test.
    pub(crate) fn forgotten_at(&self) -> i64 {
        self.at.saturating_add(86_400)
    }
}

impl Sessions {
    /// The session of the browser that sends this request.
    pub(crate) fn of<B>(&self, request: &Request<B>, cookie: &str) -> Option<Session> {
        self.sessions().get(secret(request, cookie)?).cloned()
    }

    /// Begins a session; gives the value of `Set-Cookie`.
    pub(crate) fn begin(&self, session: Session, cookie: &Cookie) -> String {
        let secret = random_text::<24>();
        let value = format!("{}={secret}; {}", cookie.name, cookie.attributes);
        let now = session.login.at;
        self.sessions().keep(secret, session, now, |session| session.login.forgotten_at());
        value
    }

    /// Ends the session of this name, and the one of this browser; gives the names of both.
    pub(crate) fn end<B>(&self, name: Option<&str>, request: &Request<B>, cookie: &str) -> Vec<String> {
        let mut sessions = self.sessions();
        let own = secret(request, cookie).and_then(|secret| sessions.remove(secret));
        sessions.retain(|_, session| Some(session.login.session.as_str()) != name);
        own.map(|session| session.login.session).into_iter().chain(name.map(str::to_owned)).collect()
    }

    /// Ends the session of this name.
    pub(crate) fn end_named(&self, name: &str) {
        self.sessions().retain(|_, session| session.login.session != name);
    }

    pub(crate) fn clear(&self) {
        self.sessions().clear();
    }

    fn sessions(&self) -> MutexGuard<'_, Kept<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cookie {
    /// The cookie of the `issuer`-th issuer, called `path`, of the server that the browser knows as `base`, and as
    /// `port` of some host.
    pub(crate) fn new(base: &str, port: Option<&str>, (issuer, path): (usize, &str)) -> Self {
        let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = port.map(|port| format!("-{port}")).unwrap_or_default();
        let issuer = if issuer == 0 { String::new() } else { format!("-{issuer}") };
        let secure = if base.starts_with("https:") { "; Secure" } else { "" };
        // Lax: another site can lead a user here, but cannot press the button that says yes.
        let attributes = format!("Path=/{path}; HttpOnly; SameSite=Lax{secure}");
        Self { name: format!("oauth-mock-session{port}{issuer}"), attributes }
    }

    /// The value of `Set-Cookie` that makes a browser forget its session.
    pub(crate) fn forget(&self) -> String {
        format!("{}=; Max-Age=0; {}", self.name, self.attributes)
    }
}

fn secret<'a, B>(request: &'a Request<B>, cookie: &str) -> Option<&'a str> {
    let headers = request.headers().get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = headers.flat_map(|header| header.split(';'));
    cookies.find_map(|one| one.trim().strip_prefix(cookie)?.strip_prefix('='))
}
