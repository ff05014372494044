//! One file per endpoint: each takes a whole request and returns a whole response.

pub(crate) mod api;
pub(crate) mod authorize;
mod client_auth;
pub(crate) mod device;
mod discovery;
pub(crate) mod form;
mod introspect;
pub(crate) mod jwks;
mod logout;
mod par;
mod protected;
mod register;
mod revoke;
mod token;
mod userinfo;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value};

use crate::control;
use crate::endpoint::Endpoint;
use crate::providers;
use crate::response::MockResponse;
use crate::shared::{Issuer, Shared};

/// What one endpoint needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) issuer: &'a Issuer,
    pub(crate) request: &'a Request<Bytes>,
    /// What the client proved to hold, and its tokens get bound to (RFC 7800 section 3.1).
    pub(crate) cnf: Option<&'a Map<String, Value>>,
    /// The `authorization_details` of a token request (RFC 9396 section 6).
    pub(crate) details: Option<&'a [Value]>,
}

/// Handles a request that met no fault.
pub(crate) fn serve(
    shared: &Shared,
    issuer: &Issuer,
    endpoint: Endpoint,
    request: &Request<Bytes>,
) -> MockResponse {
    let call = Call::new(shared, issuer, request);
    if let Some(personality) = shared.personality {
        return providers::serve(personality, endpoint, call);
    }
    match endpoint {
        Endpoint::OauthMetadata | Endpoint::OpenidMetadata => call.only(&[Method::GET], discovery::serve),
        Endpoint::Jwks => call.only(&[Method::GET], jwks::serve),
        Endpoint::Token => call.only(&[Method::POST], token::serve),
        Endpoint::Authorize => call.only(&[Method::GET, Method::POST], authorize::serve),
        Endpoint::Introspect => call.only(&[Method::POST], introspect::serve),
        Endpoint::Revoke => call.only(&[Method::POST], revoke::serve),
        Endpoint::Userinfo => call.only(&[Method::GET, Method::POST], userinfo::serve),
        Endpoint::DeviceAuthorization => call.only(&[Method::POST], device::authorization),
        Endpoint::Device => call.only(&[Method::GET, Method::POST], device::verification),
        Endpoint::Par => call.only(&[Method::POST], par::serve),
        Endpoint::EndSession => call.only(&[Method::GET, Method::POST], logout::serve),
        Endpoint::Register => call.only(&[Method::POST], register::register),
        Endpoint::ClientConfiguration => register::manage(call),
        Endpoint::Api => api::serve(call),
        Endpoint::ResourceMetadata => api::metadata(call),
        Endpoint::Other if request.uri().path() == "/" && request.method() == Method::GET => {
            control::page_of_the_server(shared).unwrap_or_else(|| MockResponse::empty(StatusCode::NOT_FOUND))
        }
        Endpoint::Trap | Endpoint::Other | Endpoint::Elsewhere => MockResponse::empty(StatusCode::NOT_FOUND),
    }
}

impl<'a> Call<'a> {
    /// The address the request was sent to, as far as it is one of this server's.
    pub(crate) fn origin(self) -> &'a str {
        let named = self.request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = self.request.uri().authority().map(Authority::as_str).or(named);
        let mtls = self.shared.mtls_origin.as_deref();
        let is_asked = |origin: &&str| origin.split_once("://").map(|(_, mtls)| mtls) == host;
        mtls.filter(is_asked).unwrap_or(&self.shared.origin)
    }

    pub(crate) fn new(shared: &'a Shared, issuer: &'a Issuer, request: &'a Request<Bytes>) -> Self {
        Self { shared, issuer, request, cnf: None, details: None }
    }

    /// Responds 405 to any other method.
    fn only(self, methods: &[Method], serve: impl FnOnce(Self) -> MockResponse) -> MockResponse {
        if methods.contains(self.request.method()) {
            return serve(self);
        }
        let allow: Vec<_> = methods.iter().map(Method::as_str).collect();
        MockResponse::not_allowed(&allow.join(", "))
    }

    pub(crate) fn url(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.shared.origin, endpoint.path(&self.issuer.name, self.shared.routes()))
    }
}
