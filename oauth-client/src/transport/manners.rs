//! What goes with every request: a name, the wish for an uncompressed response, and the headers that a gateway wants.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Uri};
use url::{Origin, Url};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Problem, printable};
use crate::secret::SecretSource;

/// How a client names itself where nothing else is configured.
const OURS: HeaderValue = HeaderValue::from_static(concat!("oauth-client/", env!("CARGO_PKG_VERSION")));

/// Headers that the transport or the request itself decides.
const RESERVED: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "dpop",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Clone)]
pub(super) struct Manners {
    user_agent: HeaderValue,
    headers: Vec<OriginHeader>,
}

impl Default for Manners {
    fn default() -> Self {
        Self { user_agent: OURS, headers: Vec::new() }
    }
}

/// A header for requests to some origins.
#[derive(Clone)]
struct OriginHeader {
    origins: Arc<[Origin]>,
    name: HeaderName,
    /// What stands before the value.
    prefix: &'static str,
    value: SecretSource,
    /// Its name in errors.
    field: Arc<str>,
}

impl Manners {
    pub(super) fn set_user_agent(&mut self, text: &str) -> Result<(), Error> {
        if let Some(problem) = user_agent_problem(text) {
            return Err(problem.into());
        }
        self.user_agent = HeaderValue::try_from(text).unwrap_or(OURS);
        Ok(())
    }

    pub(super) fn add_headers<O: AsRef<str>, N: AsRef<str>, V: Into<SecretSource>>(
        &mut self,
        origins: impl IntoIterator<Item = O>,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Error> {
        let origins = parsed("headers", origins)?;
        for (name, value) in headers {
            let (text, value) = (name.as_ref(), value.into());
            if let Some(problem) = header_problem(text, &value) {
                return Err(problem.into());
            }
            let (Ok(name), field) = (HeaderName::try_from(text), field_of(text)) else { continue };
            self.headers.push(OriginHeader {
                origins: Arc::clone(&origins),
                name,
                prefix: "",
                value,
                field: field.into(),
            });
        }
        Ok(())
    }

    pub(super) fn add_bearer<O: AsRef<str>>(
        &mut self,
        origins: impl IntoIterator<Item = O>,
        value: SecretSource,
    ) -> Result<(), Error> {
        let origins = parsed("token_file", origins)?;
        let field = "token_file".into();
        self.headers.push(OriginHeader { origins, name: AUTHORIZATION, prefix: "Bearer ", value, field });
        Ok(())
    }

    /// Adds what every request has, unless it has it by itself.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    }

    /// Whether requests to some origins have further headers.
    pub(super) fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Adds the further headers of the request's origin, unless it has them by itself.
    pub(super) async fn add_headers_to(&self, request: &mut Request<Bytes>) -> Result<(), Error> {
        let Some(origin) = origin_of(request.uri()) else { return Ok(()) };
        for header in self.headers.iter().filter(|header| header.origins.contains(&origin)) {
            if request.headers().contains_key(&header.name) {
                continue;
            }
            let value = header.value.read(&header.field, SystemClock.now()).await?;
            let mut value = HeaderValue::try_from(format!("{}{}", header.prefix, value.expose()))
                .map_err(|_| unfit(&header.field))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header.name.clone(), value);
        }
        Ok(())
    }
}

/// What is wrong with a `User-Agent`, if anything.
pub(crate) fn user_agent_problem(text: &str) -> Option<Problem> {
    let fits =
        !text.trim().is_empty() && HeaderValue::try_from(text).is_ok_and(|value| value.to_str().is_ok());
    (!fits).then(|| Problem {
        field: "user_agent".to_owned(),
        message: "is empty, or has characters that a header cannot carry; expected something like orders-service/1.0"
            .to_owned(),
    })
}

/// What is wrong with a configured header, if anything. The value is looked at where it is known already.
pub(crate) fn header_problem(name: &str, value: &SecretSource) -> Option<Problem> {
    let problem = |message: &str| Some(Problem { field: field_of(name), message: message.to_owned() });
    let Ok(parsed) = HeaderName::try_from(name) else {
        return problem("is not the name of a header; expected something like x-api-key");
    };
    if parsed == USER_AGENT {
        return problem("is set by user_agent; set that instead");
    }
    if RESERVED.contains(&parsed.as_str()) {
        return problem("is decided by each request itself; remove it");
    }
    match value.fixed().map(|value| HeaderValue::try_from(value.expose())) {
        Some(Err(_)) => Some(unfit(&field_of(name))),
        _ => None,
    }
}

fn unfit(field: &str) -> Problem {
    Problem {
        field: field.to_owned(),
        message: "has characters that a header cannot carry, such as a line break; check where the value comes from"
            .to_owned(),
    }
}

fn field_of(name: &str) -> String {
    format!("headers.{}", printable(name, 64))
}

fn parsed<O: AsRef<str>>(field: &str, origins: impl IntoIterator<Item = O>) -> Result<Arc<[Origin]>, Error> {
    let parse = |text: O| {
        let url = Url::parse(text.as_ref()).ok().filter(Url::has_host);
        url.map(|url| url.origin()).ok_or_else(|| {
            let message =
                format!("{:?} is not a URL that headers can be sent to", printable(text.as_ref(), 256));
            Error::config(field, message)
        })
    };
    origins.into_iter().map(parse).collect()
}

fn origin_of(uri: &Uri) -> Option<Origin> {
    Some(Url::parse(&uri.to_string()).ok()?.origin())
}

#[cfg(test)]
mod tests;
