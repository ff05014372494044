//! What a provider reads of a request: flat parameters, from a form or from JSON, and the bearer token.

use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::JSON;
use crate::encode::form_pairs;
use crate::json::{self, NoObject};

/// The parameters of a request, each at most once; those without a value count as absent (RFC 6749 section 3.2).
pub(super) struct Params(Vec<(String, String)>);

/// What is wrong with a request, and which parameter or header to look at.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) parameter: String,
    pub(super) why: &'static str,
}

impl Params {
    pub(super) fn form(request: &Request<Bytes>) -> Result<Self, Problem> {
        if media_type(request) != "application/x-www-form-urlencoded" {
            return Err(Problem::new("Content-Type", "must be application/x-www-form-urlencoded"));
        }
        Self::pairs(request.body(), "body")
    }

    pub(super) fn json(request: &Request<Bytes>) -> Result<Self, Problem> {
        let members = json_object(request)?.into_iter().map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            _ => Err(Problem::new(name, "must be a string")),
        });
        Ok(Self(members.collect::<Result<Vec<_>, _>>()?.into_iter().filter(has_value).collect()))
    }

    pub(super) fn query(request: &Request<Bytes>) -> Result<Self, Problem> {
        Self::pairs(request.uri().query().unwrap_or_default().as_bytes(), "query")
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| Problem::new(name, "missing"))
    }

    /// Refuses parameters that the page does not name.
    pub(super) fn only(&self, documented: &[&str]) -> Result<(), Problem> {
        match self.unknown(documented) {
            Some(name) => Err(Problem::new(name, "not documented for this request")),
            None => Ok(()),
        }
    }

    /// The first parameter that is not one of these.
    pub(super) fn unknown(&self, documented: &[&str]) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !documented.contains(name))
    }

    fn pairs(bytes: &[u8], place: &str) -> Result<Self, Problem> {
        let pairs = form_pairs(bytes).ok_or_else(|| Problem::new(place, "not well encoded"))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(before, _)| before == name) {
                return Err(Problem::new(name, "sent more than once"));
            }
        }
        Ok(Self(pairs.into_iter().filter(has_value).collect()))
    }
}

impl Problem {
    pub(super) fn new(parameter: impl Into<String>, why: &'static str) -> Self {
        Self { parameter: parameter.into(), why }
    }

    /// For responses that have one text only.
    pub(super) fn sentence(&self) -> String {
        format!("{}: {}", self.parameter, self.why)
    }
}

/// No page lets credentials travel in the `Authorization` header of a token request.
pub(super) fn no_authorization(request: &Request<Bytes>) -> Result<(), Problem> {
    match request.headers().get(AUTHORIZATION) {
        Some(_) => Err(Problem::new("Authorization", "not documented for this request")),
        None => Ok(()),
    }
}

/// The body of a request that says it is JSON, and is an object.
pub(super) fn json_object(request: &Request<Bytes>) -> Result<Map<String, Value>, Problem> {
    if media_type(request) != JSON {
        return Err(Problem::new("Content-Type", "must be application/json"));
    }
    json::object(request.body()).map_err(|problem| match problem {
        NoObject::Malformed => Problem::new("body", "must be a JSON object"),
        NoObject::Repeated(name) => Problem::new(name, "sent more than once"),
    })
}

/// The content type without its parameters, in lower case.
pub(super) fn media_type(request: &Request<Bytes>) -> String {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase()
}

/// The token of `Authorization: Bearer …`, if there is exactly one such header.
pub(super) fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let (header, None) = (headers.next()?, headers.next()) else { return None };
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

fn has_value((_, value): &(String, String)) -> bool {
    !value.is_empty()
}
