//! The response, read liberally and turned into one strict type.

use bytes::Bytes;
use http::Response;
use http::response::Parts;
use serde_json::{Map, Value};

use super::error_response::{ErrorBody, Responder, error_response, without_secrets};
use crate::clock::Now;
use crate::dialect::Dialect;
use crate::dpop::Prover;
use crate::error::{Error, Kind, printable};
use crate::json;
use crate::timestamp;
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
        // The text of the body may be kept, and a log is no place for what is in it.
        let mut tokens = Vec::new();
        object.iter().for_each(|object| collect_tokens(object, &mut tokens));
        let mut all: Vec<&Secret> = tokens.iter().collect();
        for secret in secrets.clone() {
            all.push(secret);
        }
        let secrets = || all.iter().copied();
        let object = object.map(|object| ErrorBody::new(object, secrets()));
        let wait = retry_after(&head.headers, now.wall);
        let endpoint = Responder::TokenEndpoint;
        error_response(head.status, object.as_ref(), &body, dialect, endpoint, secrets())
            .with_retry_after(wait)
    };
    match object_of(&body).map(|object| in_standard_places(object, dialect)) {
        object if !head.status.is_success() => Err(refused(object.ok()).into()),
        Err(reason) => Err(Error::malformed(reason).into()),
        // Some servers say 200 to everything and mean the body (GitHub and Slack among them), with nulls for the rest.
        Ok(object) if !has_token(&object) && is_error(&object, dialect) => Err(refused(Some(object)).into()),
        // Whatever else it holds: what a server calls an error is none of its tokens.
        Ok(object) if names_error(&object) => Err(error_beside_tokens(&head, object, dialect, &secrets, now)),
        Ok(object) => {
            // Whatever is wrong with the rest, the refresh token before it is spent.
            let rotated = object.get("refresh_token").and_then(Value::as_str).map(Secret::from);
            let mut tokens = token_set(object, sent, dialect, prover, secrets)
                .map_err(|error| TokenRequestError { error, rotated })?;
            tokens.server_date = server_date(&head);
            Ok(tokens)
        }
    }
}

/// What the server's clock said when it responded.
fn server_date(head: &Parts) -> Option<u64> {
    let date = httpdate::parse_http_date(head.headers.get(http::header::DATE)?.to_str().ok()?).ok()?;
    date.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Whether the member `error` says anything (RFC 6749 section 5.2). Some servers have an empty one in each response.
fn names_error(object: &Map<String, Value>) -> bool {
    match object.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(code)) => !code.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Bool(true)) => true,
    }
}

/// The members that hold tokens, wherever in a response they stand.
const TOKENS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

/// The tokens of a response. A short text is none: some servers name there what is wrong with the one that they got.
fn collect_tokens(object: &Map<String, Value>, tokens: &mut Vec<Secret>) {
    const SHORTEST: usize = 12;
    let is_token = |text: &str| text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    for (name, value) in object {
        match value {
            Value::String(text) if TOKENS.contains(&name.as_str()) && is_token(text) => {
                tokens.push(Secret::from(text.as_str()));
            }
            Value::Object(inner) => collect_tokens(inner, tokens),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_object).for_each(|inner| collect_tokens(inner, tokens));
            }
            _ => {}
        }
    }
}

/// The error of a response that has tokens as well, without them.
fn error_beside_tokens<'a>(
    head: &Parts,
    mut object: Map<String, Value>,
    dialect: &Dialect,
    secrets: &(impl Iterator<Item = &'a Secret> + Clone),
    now: Now,
) -> TokenRequestError {
    let tokens: Vec<_> = TOKENS.iter().filter_map(|name| object.remove(*name)).collect();
    let tokens: Vec<_> = tokens.iter().filter_map(Value::as_str).map(Secret::from).collect();
    let mut all: Vec<&Secret> = tokens.iter().collect();
    for secret in secrets.clone() {
        all.push(secret);
    }
    let secrets = || all.iter().copied();
    let body = ErrorBody::new(object, secrets());
    let endpoint = Responder::TokenEndpoint;
    error_response(head.status, Some(&body), &[], dialect, endpoint, secrets())
        .with_retry_after(retry_after(&head.headers, now.wall))
        .into()
}

/// The members of a token endpoint's response: of a JSON object; or of a form, which some servers send whatever is asked
/// for (GitHub by default, and what was written before RFC 6749). The media type does not count: servers say
/// `text/javascript` or `text/plain` of either. That is safe, since nothing that is not one of the two passes for one.
pub(super) fn object_of(body: &[u8]) -> Result<Map<String, Value>, String> {
    json::object(body).or_else(|reason| form(body).ok_or(reason))
}

/// A form that names a token or an error, each parameter once.
fn form(body: &[u8]) -> Option<Map<String, Value>> {
    let text = str::from_utf8(body).ok()?.trim();
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'<' | b'{' | b'"')) {
        return None;
    }
    let mut members = Map::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if members.insert(name.into_owned(), Value::String(value.into_owned())).is_some() {
            return None;
        }
    }
    ["access_token", "error", "device_code"].iter().any(|name| members.contains_key(*name)).then_some(members)
}

fn has_token(object: &Map<String, Value>) -> bool {
    match object.get("access_token") {
        None | Some(Value::Null) => false,
        Some(Value::String(token)) => !token.is_empty(),
        Some(_) => true,
    }
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

fn token_set<'a>(
    mut body: Map<String, Value>,
    sent: Now,
    dialect: &Dialect,
    prover: Option<&Prover>,
    secrets: impl Iterator<Item = &'a Secret> + Clone,
) -> Result<TokenSet, Error> {
    let until = expires_at(&mut body, dialect);
    let jkt = match is_not_for_requests(&body) {
        true => None,
        false => bound_to(token_type(body.remove("token_type"), dialect), prover, |kind| {
            let mut tokens = Vec::new();
            collect_tokens(&body, &mut tokens);
            without_secrets(&without_secrets(kind, tokens.iter()), secrets)
        })?,
    };
    let access_token = access_token(body.remove("access_token"))?;
    let issued_at_ms = u64::try_from(sent.wall.as_millis()).unwrap_or(u64::MAX);
    // The relative one wins: it holds whatever the server's clock says, and whatever is wrong with the other.
    let relative = lifetime_ms(body.remove("expires_in"), "expires_in")?
        .filter(|lifetime| *lifetime > 0 || !dialect.zero_lifetime_is_unknown);
    let lifetime_ms = match relative {
        Some(lifetime) => Some(lifetime),
        None => until?.map(|until| until.saturating_sub(issued_at_ms)),
    };
    let scope = scope(body.remove("scope"));
    let refresh_token = optional_secret(&mut body, "refresh_token");
    let id_token = optional_secret(&mut body, "id_token");
    Ok(TokenSet {
        refresh_token,
        id_token,
        scope,
        issued_at_ms,
        lifetime_ms,
        jkt,
        extra: body,
        ..TokenSet::new(access_token)
    })
}

/// When the token expires, in milliseconds of Unix time, where the dialect has such a member.
fn expires_at(body: &mut Map<String, Value>, dialect: &Dialect) -> Result<Option<u64>, Error> {
    let Some(path) = &dialect.expires_at else { return Ok(None) };
    let document = Value::Object(std::mem::take(body));
    let found = path.of(&document).cloned();
    if let Value::Object(object) = document {
        *body = object;
    }
    match found {
        Some(Value::String(text)) if text.trim().parse::<f64>().is_err() && !text.is_empty() => date(&text)
            .map(Some)
            .ok_or_else(|| Error::malformed(format!("{path:?}: expected a date, or seconds since 1970"))),
        found => Ok(lifetime_ms(found, &format!("{path:?}"))?.map(in_milliseconds)),
    }
}

/// A date as APIs write it (RFC 3339), or as HTTP does (RFC 9110 section 5.6.7), in milliseconds of Unix time.
fn date(text: &str) -> Option<u64> {
    let http = |text| httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok();
    let at = timestamp::parse(text.trim()).or_else(|| http(text.trim()))?;
    u64::try_from(at.as_millis()).ok()
}

/// Some servers count milliseconds since 1970: as seconds, that is a date in thousands of years.
fn in_milliseconds(milliseconds_if_seconds: u64) -> u64 {
    const YEAR_5138: u64 = 100_000_000_000_000;
    let is_in_milliseconds = (YEAR_5138..u64::MAX).contains(&milliseconds_if_seconds);
    if is_in_milliseconds { milliseconds_if_seconds / 1000 } else { milliseconds_if_seconds }
}

/// RFC 8693 section 2.2.1: what a token exchange brought and is no access token may be of type "N_A". It stays among
/// the [extra](TokenSet::extra) members, so that the token is never taken for one that requests can carry.
fn is_not_for_requests(body: &Map<String, Value>) -> bool {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let issued = text("issued_token_type").map(TokenType::from);
    issued.is_some_and(|issued| issued != TokenType::AccessToken)
        && text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case(NOT_APPLICABLE))
}

/// The token's type, by the name that RFC 6750 has for what the provider calls otherwise.
fn token_type(found: Option<Value>, dialect: &Dialect) -> Option<Value> {
    let is_bearer = |text: &str| dialect.bearer_types.iter().any(|known| known.eq_ignore_ascii_case(text));
    match found.as_ref().and_then(Value::as_str) {
        Some(text) if is_bearer(text) => Some(Scheme::Bearer.name().into()),
        _ => found,
    }
}

/// RFC 6749 section 7.1: a type that is not understood must not be used. Its case does not count (section 5.1), and
/// where it is missing, although REQUIRED, bearer is what servers mean. The thumbprint of the key that the token is
/// bound to, if it is: `DPoP` says so (RFC 9449 section 5). `hide` takes the secrets out of a text that is shown.
fn bound_to(
    found: Option<Value>,
    prover: Option<&Prover>,
    hide: impl FnOnce(&str) -> String,
) -> Result<Option<String>, Error> {
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
        _ => Err(Error::new(Kind::TokenType(printable(&hide(&kind), 64)))),
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
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
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

/// A string of words (RFC 6749 section 3.3), or a list of them (Comm100 and others). Words without a space between
/// them are separated by commas (GitHub, Slack). What is neither says nothing: no request depends on it.
fn scope(found: Option<Value>) -> Option<Vec<String>> {
    match found? {
        Value::String(words) => {
            let separator = |c: char| match words.trim().contains(char::is_whitespace) {
                true => c.is_whitespace(),
                false => c == ',',
            };
            Some(words.trim().split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect())
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(word) => Some(word),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// An empty string counts as absent: it would overwrite a refresh token that is in force. So does what is no string
/// (`false`, `{}`): it is nothing that could be sent.
fn optional_secret(body: &mut Map<String, Value>, name: &str) -> Option<Secret> {
    match body.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(Secret::new(text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
