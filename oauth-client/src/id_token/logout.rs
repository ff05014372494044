//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6): the server says that a user logged out.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::payload;
use crate::client::Client;
use crate::error::Error;
use crate::jose::{CompactJws, Header, Issued, Scratch, Typ};
use crate::token::Secret;

/// The longest logout token, in bytes. It says little, and its like are received by the guard up to this.
const LONGEST: usize = 8192;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
/// How old a token without `exp` may be.
const FRESH: Duration = Duration::from_secs(120);

/// A validated logout token: whose login ended, or which one.
#[derive(Clone, PartialEq, Eq)]
pub struct LogoutToken {
    subject: Option<String>,
    session: Option<String>,
    id: String,
    issued_at: Duration,
}

impl LogoutToken {
    /// `sub`: the user. Without [`session`](Self::session), all their logins ended.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `sid`: the session that ended, as in its ID tokens.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// `jti`: its own id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `iat`, as Unix time: logins of later are not meant.
    #[must_use]
    pub fn issued_at(&self) -> Duration {
        self.issued_at
    }
}

impl fmt::Debug for LogoutToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogoutToken")
            .field("subject", &self.subject)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Checks a logout token of this client's issuer (OpenID Connect Back-Channel Logout section 2.6): type, issuer, audience,
    /// times, `jti`, its event, `sub` or `sid`, no `nonce`; then the signature by the issuer's keys.
    /// [`BackchannelLogout`](crate::login::BackchannelLogout) does it for a web app.
    ///
    /// # Errors
    /// `invalid_logout_token`, saying what is wrong; `config` when the client has no issuer; and any failure to fetch the keys
    /// of the issuer.
    pub async fn validate_logout_token(&self, token: &Secret) -> Result<LogoutToken, Error> {
        let Some(configured) = self.issuer() else {
            return Err(Error::config("issuer", "is missing; a logout token is checked against its issuer"));
        };
        let text = token.expose();
        if text.len() > LONGEST {
            return Err(invalid("it is too long"));
        }
        let signed = CompactJws::split(text, LONGEST).map_err(|error| invalid(&error.to_string()))?;
        let mut scratch = Scratch::new();
        let header =
            Header::read(signed.header, &mut scratch).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(header.typ, Typ::LogoutToken | Typ::Jwt | Typ::Absent) {
            return Err(invalid("typ: it is another kind of token"));
        }
        if header.algorithm.is_symmetric() {
            return Err(invalid("alg: it is signed with a shared secret"));
        }
        let claims = payload(token).map_err(|_| invalid("its claims are not one strict JSON object"))?;
        let metadata = self.known_metadata();
        let issuer = metadata.as_ref().map_or(configured, |known| known.issuer_of_tokens(configured));
        let iss = text_of(&claims, "iss")?.ok_or_else(|| invalid("iss: is missing"))?;
        let issued = Issued { issuer: iss, tenant: claims.get("tid").and_then(Value::as_str) };
        if !issued.is_by(issuer) {
            return Err(invalid("iss: it is of another issuer"));
        }
        let found = read(&claims, self.auth().client_id(), self.clock().now().wall)?;
        // What costs a request at most comes last.
        self.keys().check(self, &header, &signed, issued).await.map_err(|error| match error.code() {
            "invalid_id_token" => invalid("its signature is not its issuer's"),
            _ => error,
        })?;
        Ok(found)
    }
}

fn read(claims: &Map<String, Value>, client_id: &str, now: Duration) -> Result<LogoutToken, Error> {
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == client_id,
        Some(Value::Array(several)) if several.iter().all(Value::is_string) => {
            several.iter().any(|one| one == client_id)
        }
        _ => return Err(invalid("aud: expected a string, or a list of strings")),
    };
    if !is_for_us {
        return Err(invalid("aud: it is for another client"));
    }
    let issued_at = time(claims, "iat")?.ok_or_else(|| invalid("iat: is missing"))?;
    if issued_at > now + LEEWAY {
        return Err(invalid("iat: is in the future"));
    }
    match time(claims, "exp")? {
        Some(exp) if now >= exp + LEEWAY => return Err(invalid("exp: is over")),
        None if issued_at + FRESH < now => {
            return Err(invalid("exp: is missing, and iat is older than two minutes"));
        }
        _ => {}
    }
    let id = text_of(claims, "jti")?.ok_or_else(|| invalid("jti: is missing"))?.to_owned();
    if claims.contains_key("nonce") {
        return Err(invalid("nonce: must not be there"));
    }
    let event = claims.get("events").and_then(Value::as_object).and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(invalid("events: expected a back-channel logout event"));
    }
    let owned = |name| text_of(claims, name).map(|text| text.map(str::to_owned));
    let (subject, session) = (owned("sub")?, owned("sid")?);
    if subject.is_none() && session.is_none() {
        return Err(invalid("sub: is missing, and so is sid"));
    }
    Ok(LogoutToken { subject, session, id, issued_at })
}

/// A string that says something; `null` is none.
fn text_of<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Error> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if (1..=1024).contains(&text.len()) => Ok(Some(text)),
        Some(_) => Err(invalid(&format!("{name}: expected a string of 1 to 1,024 bytes"))),
    }
}

fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Duration>, Error> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().filter(|seconds| (0.0..9_007_199_254_740_992.0).contains(seconds));
            let seconds = seconds.ok_or_else(|| invalid(&format!("{name}: expected a number")))?;
            Ok(Some(Duration::from_secs_f64(seconds.floor())))
        }
    }
}

fn invalid(what: &str) -> Error {
    Error::login("invalid_logout_token", what)
}
