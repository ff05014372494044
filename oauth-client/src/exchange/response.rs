//! The answer, read liberally: what the servers of this world send, as one strict type.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::refusal::{error_code, refusal};
use crate::clock::Now;
use crate::error::{Error, Kind, printable};
use crate::json;
use crate::token::{Secret, TokenSet};
use crate::transport::retry_after;

/// Decodes a token endpoint's answer. `sent` is when the request went out: the lifetime counts from then, so that a
/// slow answer never makes a token look younger than it is.
pub(crate) fn decode<'a>(
    answer: Response<Bytes>,
    sent: Now,
    now: Now,
    secrets: impl Iterator<Item = &'a Secret> + Clone,
) -> Result<TokenSet, Error> {
    let (head, body) = answer.into_parts();
    let read = json::object(&body);
    // The buffer held the tokens; it is ours alone unless a transport kept a reference to it.
    if let Ok(mut body) = body.try_into_mut() {
        body.zeroize();
    }
    let wait = retry_after(&head.headers, now.wall);
    if !head.status.is_success() {
        return Err(refusal(head.status, read.ok().as_ref(), secrets).with_retry_after(wait));
    }
    let body = read.map_err(Error::malformed)?;
    // Some servers say 200 to everything and mean the body (GitHub and Slack among them).
    if !body.contains_key("access_token") && error_code(&body).is_some() {
        return Err(refusal(head.status, Some(&body), secrets).with_retry_after(wait));
    }
    token_set(body, sent)
}

fn token_set(mut body: Map<String, Value>, sent: Now) -> Result<TokenSet, Error> {
    check_type(body.remove("token_type"))?;
    let access_token = access_token(body.remove("access_token"))?;
    let lifetime_ms = lifetime_ms(body.remove("expires_in"))?;
    let scope = scope(body.remove("scope"))?;
    let refresh_token = optional_secret(&mut body, "refresh_token")?;
    let id_token = optional_secret(&mut body, "id_token")?;
    let issued_at_ms = u64::try_from(sent.wall.as_millis()).unwrap_or(u64::MAX);
    Ok(TokenSet { access_token, refresh_token, id_token, scope, issued_at_ms, lifetime_ms, extra: body })
}

/// RFC 6749 section 7.1: a type that is not understood must not be used. Its case does not count (section 5.1), and
/// where it is missing, although REQUIRED, bearer is what servers mean.
fn check_type(found: Option<Value>) -> Result<(), Error> {
    match found {
        None | Some(Value::Null) => {
            tracing::info!(target: "oauth_client", "the token answer has no token_type; taken as Bearer");
            Ok(())
        }
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("bearer") => Ok(()),
        Some(Value::String(kind)) => Err(Error::new(Kind::TokenType(printable(&kind, 64)))),
        Some(_) => Err(Error::malformed("token_type: expected a string")),
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
fn lifetime_ms(found: Option<Value>) -> Result<Option<u64>, Error> {
    let wrong = || Error::malformed("expires_in: expected a number of seconds");
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
