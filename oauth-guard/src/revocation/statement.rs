//! A logout token or a security event token, validated like an access token: form, claims, signature.

use std::sync::Arc;
use std::time::Duration;

use oauth_client::clock::Now;

use super::entry::{NAME_BYTES, Revocation};
use super::subject::Subject;
use crate::defaults::{LEEWAY, MAX_TOKEN_BYTES};
use crate::error::TokenError;
use crate::escape::escaped;
use crate::jose::{self, Issued, Typ};
use crate::json::{self, Value};
use crate::keys::{Arrival, Flight, Freshness};
use crate::reject::Rejection;
use crate::snapshot::Snapshot;
use crate::validate::{Buffers, ClaimSet, IssuerLookup, ParsedToken, PendingFetch};

/// What is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatementKind {
    /// OpenID Connect Back-Channel Logout 1.0 section 2.4.
    LogoutToken,
    /// RFC 8417.
    SecurityEvent,
}

/// A valid one.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) kind: StatementKind,
    pub(crate) issuer: String,
    pub(crate) jti: String,
    pub(crate) revocations: Vec<Revocation>,
}

/// Why it has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatementError {
    Invalid(Flaw),
    /// It cannot be decided now.
    Unavailable(Duration),
}

/// What is wrong with it: the error code of RFC 8935 section 2.4, and a text for the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) err: &'static str,
    pub(crate) description: &'static str,
}

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
/// How old a logout token without `exp` may be, in seconds.
const FRESH: u64 = 120;
/// How many events one token may have.
const EVENTS: usize = 16;

const fn request(description: &'static str) -> StatementError {
    StatementError::Invalid(Flaw { err: "invalid_request", description })
}

const fn key(description: &'static str) -> StatementError {
    StatementError::Invalid(Flaw { err: "invalid_key", description })
}

const UNKNOWN_ISSUER: StatementError = StatementError::Invalid(Flaw {
    err: "invalid_issuer",
    description: "iss: is not an issuer of this service",
});
const OTHER_AUDIENCE: StatementError =
    StatementError::Invalid(Flaw { err: "invalid_audience", description: "aud: does not name this service" });

enum Step {
    Valid(Statement),
    Fetch(PendingFetch),
}

impl<T: Send + Sync + 'static> Snapshot<T> {
    /// Validates it, and fetches keys if it has to, within the limits that apply to access tokens.
    pub(crate) async fn statement(
        self: &Arc<Self>,
        text: &str,
        kind: StatementKind,
        arrival: Arrival,
    ) -> Result<Statement, StatementError> {
        // An issuer, its keys, newer keys by a fetch that was under way and by one of its own; then the verdict.
        const ROUNDS: usize = 6;
        let mut is_settled = false;
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            let fetch = match self.try_statement(text, kind, now)? {
                Step::Valid(statement) => return Ok(statement),
                Step::Fetch(fetch) => fetch,
            };
            let flight: Flight = match fetch.start_for(arrival, now) {
                Ok(flight) => flight,
                Err(Rejection::KeysUnavailable { retry_after }) => {
                    return Err(StatementError::Unavailable(retry_after));
                }
                Err(_) if is_settled => return Err(key(NO_KEY)),
                // The fetch may have landed since the keys were read: once more, with what it brought.
                Err(_) => {
                    is_settled = true;
                    continue;
                }
            };
            fetch.wait(flight).await.map_err(fetch_failed)?;
        }
        Err(StatementError::Unavailable(Duration::from_secs(1)))
    }

    fn try_statement(&self, text: &str, kind: StatementKind, now: Now) -> Result<Step, StatementError> {
        let mut buffers = Buffers::new();
        let ParsedToken { compact, header, claims, .. } =
            ParsedToken::parse(text, MAX_TOKEN_BYTES, &mut buffers).map_err(malformed)?;
        let (header, claims) = (header.map_err(malformed)?, claims.map_err(malformed)?);
        match (kind, header.typ) {
            (StatementKind::LogoutToken, Typ::LogoutToken | Typ::Jwt | Typ::Absent)
            | (StatementKind::SecurityEvent, Typ::SecurityEvent) => {}
            (StatementKind::LogoutToken, _) => return Err(request("typ: expected logout+jwt")),
            (StatementKind::SecurityEvent, _) => return Err(request("typ: expected secevent+jwt")),
        }
        let name = claims.issuer().map_err(|_| request("iss: expected a string"))?;
        let tenant = claims.tenant();
        let issued = Issued { issuer: &name, tenant: tenant.as_deref() };
        let issuer = match self.issuer(issued, now) {
            Ok(IssuerLookup::Found(issuer)) => issuer,
            Ok(IssuerLookup::Pending(fetch)) => {
                // What needs no issuer is checked before one is looked for.
                self.read(&claims, &name, kind, LEEWAY, now)?;
                return Ok(Step::Fetch(fetch));
            }
            Ok(IssuerLookup::Unavailable(retry_after)) => {
                return Err(StatementError::Unavailable(retry_after));
            }
            Err(_) => return Err(UNKNOWN_ISSUER),
        };
        let statement = self.read(&claims, &name, kind, issuer.rules.leeway, now)?;
        if !issuer.rules.algorithms.contains(&header.algorithm) {
            return Err(key("alg: is not one of the issuer's algorithms"));
        }
        if let Some(remote) = issuer.keys.remote()
            && issuer.keys.freshness(now) == Freshness::Missing
        {
            return Ok(Step::Fetch(PendingFetch::Keys(Arc::clone(remote))));
        }
        match (jose::signed_by(&issuer.keys.current(), &header, &compact, issued), issuer.keys.remote()) {
            (Ok(_), _) => Ok(Step::Valid(statement)),
            (Err(TokenError::UnknownKey), Some(remote)) => {
                let key_id = header.key_id.as_deref().map(Into::into);
                Ok(Step::Fetch(PendingFetch::NewerKeys(Arc::clone(remote), key_id)))
            }
            (Err(TokenError::UnknownKey), None) => Err(key(NO_KEY)),
            (Err(TokenError::OtherIssuersKey), _) => Err(key("its key belongs to another issuer")),
            (Err(_), _) => Err(key("its signature does not verify with the issuer's key")),
        }
    }

    /// Every claim, and the revocations they mean.
    fn read(
        &self,
        claims: &ClaimSet<'_>,
        issuer: &str,
        kind: StatementKind,
        leeway: Duration,
        now: Now,
    ) -> Result<Statement, StatementError> {
        let (now, leeway) = (now.wall.as_secs(), leeway.as_secs());
        self.check_audience(claims, kind)?;
        let seconds = |name: &'static str, wrong| claims.seconds(name).map_err(|_| request(wrong));
        let issued_at = seconds("iat", "iat: expected a number")?.ok_or(request("iat: is missing"))?;
        if issued_at > now.saturating_add(leeway) {
            return Err(request("iat: is in the future"));
        }
        if seconds("nbf", "nbf: expected a number")?.is_some_and(|nbf| nbf > now.saturating_add(leeway)) {
            return Err(request("nbf: is in the future"));
        }
        match (seconds("exp", "exp: expected a number")?, kind) {
            (Some(exp), _) if now >= exp.saturating_add(leeway) => return Err(request("exp: is over")),
            (None, StatementKind::LogoutToken) if issued_at < now.saturating_sub(FRESH) => {
                return Err(request("exp: is missing, and iat is older than two minutes"));
            }
            _ => {}
        }
        let jti = text(claims.get("jti"), "jti: expected a string of 1 to 1,024 bytes")?;
        // Nobody may pass an ID token for one of these (OpenID Connect Back-Channel Logout section 2.4).
        if claims.get("nonce").is_some() {
            return Err(request("nonce: must not be there"));
        }
        let events = Events::read(claims)?;
        let of_claims = Subject {
            issuer: None,
            subject: optional_text(claims, "sub", "sub: expected a string of 1 to 1,024 bytes")?,
            session: optional_text(claims, "sid", "sid: expected a string of 1 to 1,024 bytes")?,
            token: None,
        };
        let revocations = match kind {
            StatementKind::LogoutToken => {
                if of_claims.is_empty() {
                    return Err(request("sub: is missing, and so is sid"));
                }
                if !events.0.iter().any(|(name, _)| name == LOGOUT) {
                    return Err(request("events: expected a back-channel logout event"));
                }
                of_claims.login(issuer, issued_at)
            }
            StatementKind::SecurityEvent => of_events(&events, claims, &of_claims, issuer, issued_at)?,
        };
        Ok(Statement { kind, issuer: issuer.to_owned(), jti, revocations })
    }

    fn check_audience(&self, claims: &ClaimSet<'_>, kind: StatementKind) -> Result<(), StatementError> {
        let resource = self.resource.as_ref().map(|document| document.resource.as_str());
        let is_ours = |name: json::Text<'_>| {
            self.revocation.client_ids.iter().any(|id| name.is(id))
                || (kind == StatementKind::SecurityEvent && resource.is_some_and(|url| name.is(url)))
        };
        let wrong = "aud: expected a string, or a list of strings";
        let found = match claims.get("aud") {
            Some(Value::String(name)) => is_ours(name),
            Some(Value::Array(list)) => {
                let mut found = false;
                for item in list.items() {
                    found |= is_ours(item.as_text().ok_or(request(wrong))?);
                }
                found
            }
            _ => return Err(request(wrong)),
        };
        if found { Ok(()) } else { Err(OTHER_AUDIENCE) }
    }
}

const NO_KEY: &str = "the issuer has no key that fits its kid and alg";

/// The events by their type, each an object.
struct Events<'a>(Vec<(String, json::Object<'a>)>);

impl<'a> Events<'a> {
    fn read(claims: &ClaimSet<'a>) -> Result<Self, StatementError> {
        const WRONG: StatementError = request("events: expected an object of objects, by event type");
        let raw = claims.members().find(|(name, _)| name.is("events")).map(|(_, raw)| raw).ok_or(WRONG)?;
        let mut events = Vec::new();
        json::read_object(raw, &mut |name, value, _| events.push((name.decode().into_owned(), value)))
            .map_err(|_| WRONG)?;
        if events.is_empty() || events.len() > EVENTS {
            return Err(request("events: expected 1 to 16 events"));
        }
        let object = |(name, value)| match value {
            Value::Object(event) => Ok((name, event)),
            _ => Err(WRONG),
        };
        events.into_iter().map(object).collect::<Result<_, _>>().map(Self)
    }
}

fn of_events(
    events: &Events<'_>,
    claims: &ClaimSet<'_>,
    of_claims: &Subject,
    issuer: &str,
    issued_at: u64,
) -> Result<Vec<Revocation>, StatementError> {
    let mut revocations = Vec::new();
    for (name, event) in &events.0 {
        let (caep, risc) = (name.strip_prefix(CAEP), name.strip_prefix(RISC));
        let is_login = matches!(caep, Some("session-revoked" | "token-claims-change"));
        let is_account = matches!(caep, Some("credential-change"))
            || matches!(risc, Some("account-disabled" | "account-purged"));
        if !is_login && !is_account {
            tracing::debug!(target: "oauth_guard", issuer, event = escaped(name), "a security event without an effect here");
            continue;
        }
        let found = match (event.get("subject"), claims.get("sub_id")) {
            (Some(subject), _) | (None, Some(subject)) => Subject::read(subject).map_err(request)?,
            (None, None) if !of_claims.is_empty() => Some(of_claims.clone()),
            (None, None) => return Err(request("sub_id: is missing, and so is the event's subject")),
        };
        let Some(subject) = found.filter(|subject| !subject.is_empty()) else {
            tracing::warn!(
                target: "oauth_guard", issuer, event = escaped(name),
                "a security event has no effect: its subject is in a form that names no token"
            );
            continue;
        };
        // Nobody revokes what others issued.
        if subject.issuer.as_deref().is_some_and(|named| named != issuer) {
            tracing::warn!(
                target: "oauth_guard", issuer, event = escaped(name),
                "a security event has no effect: its subject is of another issuer"
            );
            continue;
        }
        revocations.extend(if is_login {
            subject.login(issuer, issued_at)
        } else {
            subject.account(issuer, issued_at)
        });
    }
    Ok(revocations)
}

fn text(value: Option<Value<'_>>, wrong: &'static str) -> Result<String, StatementError> {
    let text = value.and_then(Value::as_text).map(json::Text::decode);
    let text = text.filter(|text| (1..=NAME_BYTES).contains(&text.len()));
    text.map(|text| text.into_owned()).ok_or(request(wrong))
}

fn optional_text(
    claims: &ClaimSet<'_>,
    name: &str,
    wrong: &'static str,
) -> Result<Option<String>, StatementError> {
    match claims.present(name) {
        None => Ok(None),
        value => text(value, wrong).map(Some),
    }
}

fn malformed(error: TokenError) -> StatementError {
    match error {
        TokenError::TooLong | TokenError::HeaderTooLong => request("it is longer than the limit"),
        TokenError::UnknownAlgorithm => key("alg: is not supported"),
        TokenError::HeaderMember(_) | TokenError::Header(_) => request("its header is malformed"),
        TokenError::Claims(_) => request("its payload is not one strict JSON object"),
        _ => request("it is not a signed JWT of three parts"),
    }
}

/// What the wait for a fetch says.
fn fetch_failed(rejection: Rejection) -> StatementError {
    match rejection {
        Rejection::KeysUnavailable { retry_after } => StatementError::Unavailable(retry_after),
        _ => key(NO_KEY),
    }
}
