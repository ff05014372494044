//! Error responses of every shape, as one type.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::lost::says_refresh_token_is_lost;
use crate::dialect::{Dialect, ErrorShape, Path};
use crate::error::{Error, ErrorResponse, Kind, Said, code_for_status, printable};
use crate::token::Secret;
use crate::www_authenticate::Challenge;

/// The most of a server's text that is kept, in characters.
const MAX_TEXT: usize = 512;
/// The longest error code that is believed.
const MAX_CODE: usize = 64;

/// The codes that are OAuth's own wherever in a body they stand: RFC 6749 sections 4.1.2.1 and 5.2, RFC 6750
/// section 3.1, RFC 8628 section 3.5 and RFC 8707 section 2.
pub(super) const OAUTH_CODES: &[&str] = &[
    "access_denied",
    "authorization_pending",
    "expired_token",
    "insufficient_scope",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
];

/// Which kind of server responded: the meaning of a bare status depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Responder<'a> {
    TokenEndpoint,
    /// An API that takes tokens, and the headers of its response: its 401 is about the token (RFC 6750 section 3.1), not
    /// about the client, and a challenge may say what is wrong.
    Api(&'a HeaderMap),
}

/// The JSON object of a response, without our own secrets and cut to what may be kept: some servers repeat in their
/// errors what they were sent.
pub(crate) struct ErrorBody(Value);

impl ErrorBody {
    pub(crate) fn new<'a>(
        object: Map<String, Value>,
        secrets: impl Iterator<Item = &'a Secret> + Clone,
    ) -> Self {
        Self(cleaned(Value::Object(object), &secrets))
    }

    /// What a challenge says (RFC 6750 section 3, RFC 9449 section 7.1), as the body that it stands for; `None` where it
    /// names no error.
    fn of_challenge<'a>(
        headers: &HeaderMap,
        secrets: impl Iterator<Item = &'a Secret> + Clone,
    ) -> Option<Self> {
        let challenges = Challenge::from_headers(headers);
        let about_tokens = |one: &&Challenge| one.is("Bearer") || one.is("DPoP");
        let says = challenges.iter().filter(about_tokens).find(|one| one.parameter("error").is_some())?;
        let member = |name: &str| Some((name.to_owned(), Value::from(says.parameter(name)?)));
        let members = ["error", "error_description", "error_uri", "scope"].into_iter().filter_map(member);
        Some(Self::new(members.collect(), secrets))
    }

    /// Whether this body names an error, so that it is one although its status says otherwise.
    pub(crate) fn is_error(&self, dialect: &Dialect) -> bool {
        recognize(&self.0, dialect).is_some_and(|found| found.names_error)
    }
}

/// Reads an error response: by the shapes of the dialect where the body has one of them, otherwise by an API's challenge,
/// otherwise by the status alone.
/// `text` is the body as it came.
pub(crate) fn error_response<'a>(
    status: StatusCode,
    body: Option<&ErrorBody>,
    text: &[u8],
    dialect: &Dialect,
    responder: Responder<'_>,
    secrets: impl Iterator<Item = &'a Secret> + Clone,
) -> Error {
    let found = body.and_then(|body| recognize(&body.0, dialect));
    let details = body.zip(dialect.details.as_ref()).and_then(|(body, details)| details.read(&body.0));
    let understood = found.is_some() && (details.is_some() || dialect.details.is_none());
    let mut found = found.unwrap_or_default();
    let mut hint = None;
    if let (None, Responder::Api(headers)) = (&found.code, responder)
        && let Some(ErrorBody(challenge)) = ErrorBody::of_challenge(headers, secrets.clone())
        && let Some(said) = by_shape(&challenge, &ErrorShape::oauth()).filter(|said| said.is_oauth)
    {
        let scope = challenge.get("scope").and_then(Value::as_str).filter(|scope| !scope.is_empty());
        hint = scope.map(|scope| format!("the token needs the scope \"{scope}\""));
        found = Recognized {
            description: said.description.or(found.description),
            uri: said.uri.or(found.uri),
            ..said
        };
    }
    let own = found.code.as_deref();
    let mapped = own.and_then(|own| dialect.codes.iter().find(|(theirs, _)| theirs == own));
    let code = match (own, mapped) {
        (_, Some((_, standard))) => standard.clone(),
        (Some(own), None) if found.is_oauth || OAUTH_CODES.contains(&own) => own.to_owned(),
        _ if matches!(responder, Responder::Api(_)) && status == StatusCode::UNAUTHORIZED => {
            "invalid_token".to_owned()
        }
        _ => code_for_status(status),
    };
    let mut response = ErrorResponse {
        code,
        transient: own.is_some_and(|own| dialect.transient.iter().any(|code| code == own)),
        provider_code: found.code,
        said: Said { description: found.description, hint },
        uri: found.uri,
        details: details.filter(|_| understood),
        unrecognized: (!understood).then(|| shortened(text, &secrets)).filter(|text| !text.is_empty()),
        ..ErrorResponse::new(status)
    };
    let unknown = body.filter(|_| !understood).map(|body| &body.0);
    response.is_refresh_token_lost = says_refresh_token_is_lost(&response, unknown);
    Error::new(Kind::ErrorResponse(response))
}

#[derive(Default)]
struct Recognized {
    code: Option<String>,
    /// The code is OAuth's, and fit to be one.
    is_oauth: bool,
    /// There is a code, so that this is an error whatever the status.
    names_error: bool,
    description: Option<String>,
    uri: Option<String>,
}

fn recognize(body: &Value, dialect: &Dialect) -> Option<Recognized> {
    if dialect.errors.is_empty() {
        return by_shape(body, &ErrorShape::oauth());
    }
    dialect.errors.iter().find_map(|shape| by_shape(body, shape))
}

fn by_shape(body: &Value, shape: &ErrorShape) -> Option<Recognized> {
    let text = |path: &Option<Path>| path.as_ref()?.text_of(body);
    let mut description = text(&shape.description);
    let mut code = match &shape.code {
        // A number is no code of OAuth's.
        Some(path) if shape.speaks_oauth => path.of(body).and_then(Value::as_str).map(str::to_owned),
        _ => text(&shape.code),
    };
    if shape.codes_are_words && code.as_ref().is_some_and(|code| code.contains(' ')) {
        description = description.or(code.take());
    }
    if code.is_none() && description.is_none() {
        return None;
    }
    let is_oauth = shape.speaks_oauth && code.as_deref().is_some_and(is_code);
    let names_error = is_oauth || (!shape.speaks_oauth && code.is_some());
    let code = code.map(|code| printable(&code, MAX_CODE));
    Some(Recognized { code, is_oauth, names_error, description, uri: text(&shape.uri) })
}

/// RFC 6749 section 5.2 names the characters that a code may have.
fn is_code(code: &str) -> bool {
    (1..=MAX_CODE).contains(&code.len())
        && code.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\')
}

fn cleaned<'a>(value: Value, secrets: &(impl Iterator<Item = &'a Secret> + Clone)) -> Value {
    match value {
        Value::String(text) => Value::String(printable(&without_secrets(&text, secrets.clone()), MAX_TEXT)),
        Value::Array(items) => items.into_iter().map(|item| cleaned(item, secrets)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, cleaned(value, secrets))).collect()
        }
        other => other,
    }
}

/// The start of a body that was not understood, for people.
fn shortened<'a>(text: &[u8], secrets: &(impl Iterator<Item = &'a Secret> + Clone)) -> String {
    printable(&without_secrets(&String::from_utf8_lossy(text), secrets.clone()), MAX_TEXT)
}

/// Some servers repeat in their error what they were sent, as it was meant or as it was on the wire.
pub(super) fn without_secrets<'a>(text: &str, secrets: impl Iterator<Item = &'a Secret>) -> String {
    // A secret of a few letters would turn the text to confetti, and is guessed sooner than read in a log.
    secrets.map(Secret::expose).filter(|secret| secret.len() >= 4).fold(text.to_owned(), |text, secret| {
        let form = Zeroizing::new(byte_serialize(secret.as_bytes()).collect::<String>());
        let percent = Zeroizing::new(form.replace('+', "%20"));
        let quoted = Zeroizing::new(Value::from(secret).to_string());
        let json = quoted.trim_matches('"');
        [secret, &form, &percent, json]
            .into_iter()
            .fold(text, |text, known| text.replace(known, "[redacted]"))
    })
}
