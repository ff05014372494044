//! The response, read liberally and turned into one strict type.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::error_response::{ErrorBody, Responder, error_response};
use crate::clock::Now;
use crate::dialect::Dialect;
use crate::dpop::Prover;
use crate::error::{Error, Kind, printable};
use crate::json;
use crate::token::{NOT_APPLICABLE, Scheme, Secret, TokenSet, TokenType};
use crate::transport::retry_after;

/// Why a token request failed, and a refresh token that its unusable response nevertheless carried: the one before is
/// spent then.
pub(crate) struct TokenRequestError {
    pub(crate) error: Error,
    pub(crate) rotated: Option<Secret>,
}

impl From<Error> for TokenRequestError {
    fn from(error: Error) -> Self {
        Self { error, rotated: None }
    }
}

/// Decodes a token endpoint's response. `sent` is when the request went out: the lifetime counts from then, so that a
/// slow response never makes a token look younger than it is. With a `prover`, the token has to be bound to its key.
pub(crate) fn decode<'a>(
    response: Response<Bytes>,
    sent: Now,
    now: Now,
    dialect: &Dialect,
    prover: Option<&Prover>,
    secrets: impl Iterator<Item = &'a Secret> + Clone,
) -> Result<TokenSet, TokenRequestError> {
    let (head, body) = response.into_parts();
    let refused = |object: Option<Map<String, Value>>| {
        let object = object.map(|object| ErrorBody::new(object, secrets.clone()));
        let wait = retry_after(&head.headers, now.wall);
        let endpoint = Responder::TokenEndpoint;
        error_response(head.status, object.as_ref(), &body, dialect, endpoint, secrets.clone())
            .with_retry_after(wait)
    };
    let result = match json::object(&body).map(|object| in_standard_places(object, dialect)) {
        object if !head.status.is_success() => Err(refused(object.ok()).into()),
        Err(reason) => Err(Error::malformed(reason).into()),
        // Some servers say 200 to everything and mean the body (GitHub and Slack among them).
        Ok(object) if !object.contains_key("access_token") && is_error(&object, dialect) => {
            Err(refused(Some(object)).into())
        }
        Ok(object) => {
            // Whatever is wrong with the rest, the refresh token before it is spent.
            let rotated = object.get("refresh_token").and_then(Value::as_str).map(Secret::from);
            token_set(object, sent, dialect, prover).map_err(|error| TokenRequestError { error, rotated })
        }
    };
    // The buffer held the tokens; it is ours alone unless a transport kept a reference to it.
    if let Ok(mut body) = body.try_into_mut() {
        body.zeroize();
    }
    result
}

fn is_error(object: &Map<String, Value>, dialect: &Dialect) -> bool {
    ErrorBody::new(object.clone(), std::iter::empty()).is_error(dialect)
}

/// Moves what the dialect has elsewhere to where RFC 6749 section 5.1 puts it.
fn in_standard_places(object: Map<String, Value>, dialect: &Dialect) -> Map<String, Value> {
    if dialect.response.is_empty() {
        return object;
    }
    let mut document = Value::Object(object);
    for (name, path) in &dialect.response {
        if let (Some(found), Some(object)) = (path.take(&mut document), document.as_object_mut()) {
            object.insert(name.clone(), found);
        }
    }
    match document {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn token_set(
    mut body: Map<String, Value>,
    sent: Now,
    dialect: &Dialect,
    prover: Option<&Prover>,
) -> Result<TokenSet, Error> {
    let until = expires_at(&mut body, dialect)?;
    let jkt = match is_not_for_requests(&body) {
        true => None,
        false => bound_to(body.remove("token_type"), prover)?,
    };
    let access_token = access_token(body.remove("access_token"))?;
    let issued_at_ms = u64::try_from(sent.wall.as_millis()).unwrap_or(u64::MAX);
    // The relative one wins: it holds whatever the server's clock says.
    let lifetime_ms = lifetime_ms(body.remove("expires_in"), "expires_in")?
        .or_else(|| until.map(|until| until.saturating_sub(issued_at_ms)));
    let scope = scope(body.remove("scope"))?;
    let refresh_token = optional_secret(&mut body, "refresh_token")?;
    let id_token = optional_secret(&mut body, "id_token")?;
    let (sub, extra) = (None, body);
    Ok(TokenSet { access_token, refresh_token, id_token, scope, issued_at_ms, lifetime_ms, jkt, sub, extra })
}

/// When the token expires, in milliseconds of Unix time, where the dialect has such a member.
fn expires_at(body: &mut Map<String, Value>, dialect: &Dialect) -> Result<Option<u64>, Error> {
    let Some(path) = &dialect.expires_at else { return Ok(None) };
    let document = Value::Object(std::mem::take(body));
    let found = path.of(&document).cloned();
    if let Value::Object(object) = document {
        *body = object;
    }
    lifetime_ms(found, &format!("{path:?}"))
}

/// RFC 8693 section 2.2.1: what a token exchange brought and is no access token may be of type "N_A". It stays among
/// the [extra](TokenSet::extra) members, so that the token is never taken for one that requests can carry.
fn is_not_for_requests(body: &Map<String, Value>) -> bool {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let issued = text("issued_token_type").map(TokenType::from);
    issued.is_some_and(|issued| issued != TokenType::AccessToken)
        && text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case(NOT_APPLICABLE))
}

/// RFC 6749 section 7.1: a type that is not understood must not be used. Its case does not count (section 5.1), and
/// where it is missing, although REQUIRED, bearer is what servers mean. The thumbprint of the key that the token is
/// bound to, if it is: `DPoP` says so (RFC 9449 section 5).
fn bound_to(found: Option<Value>, prover: Option<&Prover>) -> Result<Option<String>, Error> {
    let kind = match found {
        None | Some(Value::Null) => {
            tracing::info!(target: "oauth_client", "the token response has no token_type; taken as Bearer");
            Scheme::Bearer.name().to_owned()
        }
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(Error::malformed("token_type: expected a string")),
    };
    let is = |known: Scheme| kind.eq_ignore_ascii_case(known.name());
    match prover {
        Some(prover) if is(Scheme::Dpop) => Ok(Some(prover.thumbprint().to_owned())),
        Some(prover) if is(Scheme::Bearer) && !prover.allows_bearer() => Err(Error::new(Kind::NotBound)),
        _ if is(Scheme::Bearer) => Ok(None),
        _ => Err(Error::new(Kind::TokenType(printable(&kind, 64)))),
    }
}

fn access_token(found: Option<Value>) -> Result<Secret, Error> {
    match found {
        Some(Value::String(token)) if token.is_empty() => Err(Error::malformed("access_token: is empty")),
        // RFC 6749 appendix A.12: visible characters. Anything else could break out of the header it is sent in.
        Some(Value::String(token)) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Secret::new(token))
        }
        Some(Value::String(_)) => Err(Error::malformed(
            "access_token: has characters other than visible ASCII (RFC 6749 appendix A.12)",
        )),
        Some(_) => Err(Error::malformed("access_token: expected a string")),
        None => Err(Error::malformed("access_token: is missing")),
    }
}

/// Seconds as a number, a fraction or a string of either (Azure AD v1 and PayPal send strings). Fractions are cut, so
/// that a token never looks longer-lived than it is; below zero it is born expired.
fn lifetime_ms(found: Option<Value>, name: &str) -> Result<Option<u64>, Error> {
    let wrong = || Error::malformed(format!("{name}: expected a number of seconds"));
    let seconds = match found {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(whole) => whole,
            None => whole_seconds(number.as_f64().ok_or_else(wrong)?),
        },
        Some(Value::String(text)) => {
            let number: f64 = text.trim().parse().map_err(|_| wrong())?;
            if !number.is_finite() {
                return Err(wrong());
            }
            whole_seconds(number)
        }
        Some(_) => return Err(wrong()),
    };
    Ok(Some(seconds.saturating_mul(1000)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, which is what is wanted"
)]
fn whole_seconds(number: f64) -> u64 {
    number.floor() as u64
}

/// A string of words (RFC 6749 section 3.3), or a list of them (Comm100 and others).
fn scope(found: Option<Value>) -> Result<Option<Vec<String>>, Error> {
    let wrong = || Error::malformed("scope: expected a string, or a list of strings");
    match found {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(words)) => {
            Ok(Some(words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()))
        }
        Some(Value::Array(items)) => {
            let words = items.into_iter().map(|item| match item {
                Value::String(word) => Ok(word),
                _ => Err(wrong()),
            });
            words.collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(wrong()),
    }
}

/// An empty string counts as absent: it would overwrite a refresh token that is in force.
fn optional_secret(body: &mut Map<String, Value>, name: &str) -> Result<Option<Secret>, Error> {
    match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(Secret::new(text))),
        Some(_) => Err(Error::malformed(format!("{name}: expected a string"))),
    }
}

#[cfg(test)]
mod tests;
