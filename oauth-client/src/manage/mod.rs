//! APIs of authorization servers beside the token endpoint.
//!
//! A [`Client`](crate::Client) introspects tokens ([`introspect`](crate::Client::introspect), RFC 7662),
//! revokes tokens ([`revoke`](crate::Client::revoke), RFC 7009, and [`TokenSource::revoke`] for all that a source
//! holds) and fetches claims about a person ([`userinfo`](crate::Client::userinfo), OpenID Connect). [`register`] makes clients
//! (RFC 7591, RFC 7592).
//!
//! The other modules are typed provider APIs for clients and users. Each is a protected API
//! itself: it runs over any [`HttpClient`], with tokens from a [`TokenSource`], and the rules for
//! [requests with tokens](crate::attach) apply. Its errors are the same [`Error`] as everywhere, read as the provider's
//! [dialect](crate::dialect) says, or as the challenge of the response does (`WWW-Authenticate`, RFC 6750 section 3); a 401
//! without either is about the token and so has the code `invalid_token`.

pub mod comm100;
mod introspect;
pub mod register;
mod revoke;
pub mod sailpoint;
mod userinfo;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tower::{Layer, ServiceExt};
use tower_service::Service;
use url::Url;

pub use self::introspect::Introspection;
pub use self::userinfo::Userinfo;
use crate::TokenSource;
use crate::attach::{AttachError, Body, TokenLayer, TokenService};
use crate::dialect::Dialect;
use crate::error::Error;
use crate::json;
use crate::token::Secret;
use crate::token_endpoint::{ErrorBody, Responder, error_response};
use crate::transport::{ACCEPT_JSON, HttpClient, Limits, retry_after_by_server, to_uri, wiped};

/// A protected API: where it is, how it is reached, and where its tokens come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    base: Url,
    service: TokenService<Exchange>,
    source: TokenSource,
}

impl Api {
    /// The API below `base_url`: scheme, host and port, and what path comes before its own.
    ///
    /// # Errors
    /// `config` when that is not an http or https URL, or one with a query or a fragment.
    pub fn new(http: HttpClient, source: TokenSource, base_url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::config("base_url", format!("{why}; expected something like https://api.example.com"))
        };
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
        let base = Url::parse(base_url).ok().filter(is_http);
        let base = base.ok_or_else(|| wrong("is no http or https URL"))?;
        if base.query().is_some() {
            return Err(wrong("has a query, which no path can follow"));
        }
        if base.fragment().is_some() {
            return Err(wrong("has a fragment, which is never sent"));
        }
        Ok(Self::at(http, source, base))
    }

    /// One whose only URL this is, whatever stands in it.
    fn at(http: HttpClient, source: TokenSource, url: Url) -> Self {
        let exchange = Exchange { http, limits: Limits::token() };
        Self { base: url, service: TokenLayer::new(source.clone()).layer(exchange), source }
    }

    /// Other [limits](Limits) than those of token requests; plain http to other machines among them.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        let http = self.service.inner().http.clone();
        let layer = TokenLayer::new(self.source.clone());
        let layer = if limits.allow_http { layer.danger_allow_http() } else { layer };
        self.service = layer.layer(Exchange { http, limits });
        self
    }

    /// Sends a request, with `body` as JSON, and reads the JSON object that comes back.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        dialect: &Dialect,
    ) -> Result<T, Error> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let body = body.map(serde_json::to_string).transpose();
        let body = body.map_err(|_| Error::config("request", "cannot be written as JSON"))?;
        let response = self.send(method, url, body).await?;
        self.read(response, dialect).and_then(typed)
    }

    /// Sends a request, with `body` as JSON.
    async fn send(&self, method: Method, url: Url, body: Option<String>) -> Result<Response<Bytes>, Error> {
        let response = self.service.clone().oneshot(json_request(method, &url, body)?.map(Full::new)).await;
        let response = response.map_err(|error| match error {
            AttachError::Token(error) | AttachError::Inner(error) => error,
        })?;
        let (head, body) = response.into_parts();
        let body =
            body.collect().await.map_or_else(|never| match never {}, http_body_util::Collected::to_bytes);
        Ok(Response::from_parts(head, body))
    }

    /// Reads the JSON object of a response.
    fn read(&self, response: Response<Bytes>, dialect: &Dialect) -> Result<Map<String, Value>, Error> {
        let token = self.source.current();
        read(response, token.iter().map(crate::AccessToken::secret), dialect)
    }
}

/// A request with a JSON body or none, whose response should be JSON.
fn json_request(method: Method, url: &Url, body: Option<String>) -> Result<Request<Bytes>, Error> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    *request.uri_mut() = to_uri(url)?;
    request.headers_mut().insert(ACCEPT, ACCEPT_JSON);
    if let Some(body) = body {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = wiped(body);
    }
    Ok(request)
}

/// Reads the JSON object of a success, or the error response.
fn read<'a>(
    response: Response<Bytes>,
    secrets: impl Iterator<Item = &'a Secret> + Clone,
    dialect: &Dialect,
) -> Result<Map<String, Value>, Error> {
    let (head, body) = response.into_parts();
    let object = json::object(&body);
    if head.status.is_success() {
        return object.map_err(Error::malformed);
    }
    let object = object.ok().map(|object| ErrorBody::new(object, secrets.clone()));
    let wait = retry_after_by_server(&head.headers);
    Err(error_response(head.status, object.as_ref(), &body, dialect, Responder::Api(&head.headers), secrets)
        .with_retry_after(wait))
}

fn typed<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(object)).map_err(|error| {
        // The parser's own message quotes values, but for this one.
        let message = error.to_string();
        let missing = message.strip_prefix("missing field ").and_then(|rest| rest.split('`').nth(1));
        Error::malformed(missing.map_or_else(
            || "a member is of another type than the API documents".to_owned(),
            |field| format!("{field}: is missing"),
        ))
    })
}

/// The transport as the service below the token layer.
#[derive(Clone, Debug)]
struct Exchange {
    http: HttpClient,
    limits: Limits,
}

impl Service<Request<Body<Full<Bytes>>>> for Exchange {
    type Response = Response<Full<Bytes>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body<Full<Bytes>>>) -> Self::Future {
        let Self { http, limits } = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body =
                body.collect().await.map_or_else(|never| match never {}, http_body_util::Collected::to_bytes);
            Ok(http.send(Request::from_parts(head, body), &limits).await?.map(Full::new))
        })
    }
}
