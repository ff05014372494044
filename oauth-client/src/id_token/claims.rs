//! The claims of an ID token, checked in the order of OpenID Connect Core section 3.1.3.7.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Expect;
use crate::error::{Error, printable};
use crate::jose::Issued;
use crate::secret::constant_time_eq;
use crate::sign::{Algorithm, base64url};
use crate::token::Secret;

/// A validated ID token: who logged in, when and how. `T` is what its further claims are read as.
#[derive(Clone)]
pub struct IdToken<T = Map<String, Value>> {
    issuer: String,
    subject: String,
    audience: Vec<String>,
    issued_at: Duration,
    expires_at: Duration,
    auth_time: Option<Duration>,
    acr: Option<String>,
    amr: Vec<String>,
    claims: T,
}

impl<T> IdToken<T> {
    /// `iss`: the issuer, exactly the client's.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`: the person, by an identifier that no other person ever has at this issuer.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `aud`: the audiences; the client is among them.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// `iat`, as Unix time.
    #[must_use]
    pub fn issued_at(&self) -> Duration {
        self.issued_at
    }

    /// `exp`, as Unix time. Until then the token may be relied on; it does not say how long the person stays logged in.
    #[must_use]
    pub fn expires_at(&self) -> Duration {
        self.expires_at
    }

    /// `auth_time`: when the person logged in, as Unix time.
    #[must_use]
    pub fn auth_time(&self) -> Option<Duration> {
        self.auth_time
    }

    /// `acr`: the authentication context class.
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    /// `amr`: the ways in which the person proved who they are.
    #[must_use]
    pub fn amr(&self) -> &[String] {
        &self.amr
    }

    /// All claims, as the type that was asked for.
    #[must_use]
    pub fn claims(&self) -> &T {
        &self.claims
    }
}

impl<T> fmt::Debug for IdToken<T> {
    /// Without the further claims, which are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("audience", &self.audience)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Between whom an ID token passes.
#[derive(Clone, Copy)]
pub(super) struct Parties<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// Whom it may be for beside the client.
    pub(super) others: &'a [String],
}

pub(super) fn check<T: DeserializeOwned>(
    claims: Map<String, Value>,
    parties: Parties<'_>,
    expected: &Expect,
    algorithm: Algorithm,
    now: Duration,
) -> Result<IdToken<T>, Error> {
    let issuer = parties.issuer;
    let found = text(&claims, "iss")?.ok_or_else(|| missing("iss"))?;
    let tenant = claims.get("tid").and_then(Value::as_str);
    if !(Issued { issuer: &found, tenant }).is_by(issuer) {
        let found = printable(&found, 256);
        return Err(Error::id_token(format!("it is of issuer {found:?}, and not of {issuer:?}")));
    }
    let subject = text(&claims, "sub")?.ok_or_else(|| missing("sub"))?;
    if subject.is_empty() || subject.len() > 255 {
        return Err(Error::id_token("sub: expected 1 to 255 characters"));
    }
    let audience = audience(&claims)?;
    check_audience(&claims, &audience, parties)?;
    let (issued_at, expires_at) = check_times(&claims, expected, now)?;
    check_nonce(&claims, expected)?;
    let auth_time = check_login(&claims, expected, now)?;
    let acr = text(&claims, "acr")?;
    if !expected.acr.is_empty() && !acr.as_ref().is_some_and(|acr| expected.acr.contains(acr)) {
        return Err(Error::id_token("acr: the login was not of a class that was asked for"));
    }
    check_hash(&claims, "at_hash", expected.access_token.as_ref(), algorithm)?;
    check_hash(&claims, "c_hash", expected.code.as_ref(), algorithm)?;
    let amr = texts(claims.get("amr")).ok_or_else(|| Error::id_token("amr: expected a list of strings"))?;
    // The reader's own message may quote a claim.
    let claims = T::deserialize(Value::Object(claims))
        .map_err(|_| Error::id_token("its claims do not fit the type they are asked for as"))?;
    Ok(IdToken { issuer: found, subject, audience, issued_at, expires_at, auth_time, acr, amr, claims })
}

fn audience(claims: &Map<String, Value>) -> Result<Vec<String>, Error> {
    let audience = match claims.get("aud") {
        None => return Err(missing("aud")),
        Some(Value::String(one)) => Some(vec![one.clone()]),
        some => texts(some),
    };
    audience.ok_or_else(|| Error::id_token("aud: expected a string or a list of strings"))
}

/// Steps 3 to 5: it is for us and for no unknown audience; where it is for others too, it was issued to us.
fn check_audience(
    claims: &Map<String, Value>,
    audience: &[String],
    parties: Parties<'_>,
) -> Result<(), Error> {
    let Parties { client_id, others, .. } = parties;
    if !audience.iter().any(|one| one == client_id) {
        return Err(Error::id_token(format!("aud: it is not for the client {client_id:?}")));
    }
    if let Some(stranger) = audience.iter().find(|one| *one != client_id && !others.contains(one)) {
        let stranger = printable(stranger, 64);
        return Err(Error::id_token(format!("aud: it is for {stranger:?} too, which is not known here")));
    }
    match text(claims, "azp")? {
        Some(party) if party != client_id => {
            Err(Error::id_token(format!("azp: it was issued to another client than {client_id:?}")))
        }
        None if audience.len() > 1 => Err(Error::id_token(
            "azp: is missing, and it is for others too, so it may not have been issued to us",
        )),
        _ => Ok(()),
    }
}

/// Steps 9 and 10.
fn check_times(
    claims: &Map<String, Value>,
    expected: &Expect,
    now: Duration,
) -> Result<(Duration, Duration), Error> {
    let expires_at = time(claims, "exp")?.ok_or_else(|| missing("exp"))?;
    // RFC 7519 section 4.1.4: on or after it, the token is no longer good.
    if now >= expires_at.saturating_add(expected.leeway) {
        return Err(Error::id_token("exp: it has expired; check this machine's clock"));
    }
    let latest = now.saturating_add(expected.leeway);
    let issued_at = time(claims, "iat")?.ok_or_else(|| missing("iat"))?;
    if issued_at > latest {
        return Err(Error::id_token("iat: it was issued in the future; check this machine's clock"));
    }
    if time(claims, "nbf")?.is_some_and(|from| from > latest) {
        return Err(Error::id_token("nbf: it is not good yet; check this machine's clock"));
    }
    Ok((issued_at, expires_at))
}

/// Step 11.
fn check_nonce(claims: &Map<String, Value>, expected: &Expect) -> Result<(), Error> {
    let Some(nonce) = &expected.nonce else { return Ok(()) };
    match text(claims, "nonce")? {
        Some(found) if constant_time_eq(&found, nonce.expose()) => Ok(()),
        Some(_) => Err(Error::id_token("nonce: it is that of another login")),
        None => Err(missing("nonce")),
    }
}

/// Step 13.
fn check_login(
    claims: &Map<String, Value>,
    expected: &Expect,
    now: Duration,
) -> Result<Option<Duration>, Error> {
    let auth_time = time(claims, "auth_time")?;
    let Some(max_age) = expected.max_age else { return Ok(auth_time) };
    let at = auth_time.ok_or_else(|| missing("auth_time"))?;
    if at > now.saturating_add(expected.leeway) {
        return Err(Error::id_token("auth_time: the login is in the future; check this machine's clock"));
    }
    if now.saturating_sub(at) > max_age.saturating_add(expected.leeway) {
        return Err(Error::id_token("auth_time: the login is longer ago than was allowed"));
    }
    Ok(auth_time)
}

/// Section 3.1.3.6: the left half of the hash of what came with it.
fn check_hash(
    claims: &Map<String, Value>,
    name: &str,
    of: Option<&Secret>,
    algorithm: Algorithm,
) -> Result<(), Error> {
    let (Some(found), Some(of)) = (text(claims, name)?, of) else { return Ok(()) };
    if constant_time_eq(&found, &half_hash(algorithm, of.expose())) {
        return Ok(());
    }
    Err(Error::id_token(format!("{name}: it did not come with this token or code")))
}

/// The left half of the hash that the algorithm uses.
fn half_hash(algorithm: Algorithm, text: &str) -> String {
    let whole = digest::digest(algorithm.hash(), text.as_bytes());
    let whole = whole.as_ref();
    base64url(whole.get(..whole.len() / 2).unwrap_or_default())
}

fn missing(name: &str) -> Error {
    Error::id_token(format!("{name}: is missing"))
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::id_token(format!("{name}: expected a string"))),
    }
}

fn texts(found: Option<&Value>) -> Option<Vec<String>> {
    match found {
        None => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    }
}

/// A `NumericDate` (RFC 7519 section 2). Fractions are cut.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Duration>, Error> {
    let wrong = || Error::id_token(format!("{name}: expected seconds since 1970"));
    let number = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(wrong()),
    };
    let seconds = match number.as_u64() {
        Some(whole) => whole,
        None => whole_seconds(number.as_f64().filter(|seconds| *seconds >= 0.0).ok_or_else(wrong)?),
    };
    Ok(Some(Duration::from_secs(seconds)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, which is what is wanted"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds as u64
}
