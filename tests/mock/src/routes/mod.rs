//! One file per endpoint: each takes a whole request and returns a whole response.

pub(crate) mod api;
pub(crate) mod authorize;
pub(crate) mod backchannel;
mod browser;
mod client_auth;
pub(crate) mod device;
mod discovery;
pub(crate) mod form;
mod hint;
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
use serde_json::{Map, Value, json};

use crate::control;
use crate::endpoint::Endpoint;
use crate::journal::RecordedRequest;
use crate::providers;
use crate::rules::matching::Match;
use crate::rules::token_rules::Rulings;
use crate::shared::{Issuer, Shared};
use crate::state::sessions::Cookie;
use crate::statements;
use crate::wire::response::MockResponse;

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
    /// The request as the journal has it; `None` where there was none.
    pub(crate) recorded: Option<&'a RecordedRequest>,
    /// What the token rules say of the token that is issued.
    pub(crate) rulings: Option<&'a Rulings>,
}

/// Handles a request that met no fault.
pub(crate) fn serve(
    shared: &Shared,
    issuer: &Issuer,
    endpoint: Endpoint,
    request: &Request<Bytes>,
    recorded: &RecordedRequest,
) -> MockResponse {
    let call = Call { recorded: Some(recorded), ..Call::new(shared, issuer, request) };
    if let Some(personality) = shared.personality {
        return providers::serve(personality, endpoint, call);
    }
    let response = browser::preflight(call, endpoint).unwrap_or_else(|| dispatch(call, endpoint));
    browser::with_reader(call, endpoint, response)
}

/// A response that this server did not make, with what lets pages of other origins read it.
pub(crate) fn readable(
    shared: &Shared,
    issuer: &Issuer,
    endpoint: Endpoint,
    request: &Request<Bytes>,
    response: MockResponse,
) -> MockResponse {
    match shared.personality {
        Some(_) => response,
        None => browser::with_reader(Call::new(shared, issuer, request), endpoint, response),
    }
}

fn dispatch(call: Call<'_>, endpoint: Endpoint) -> MockResponse {
    let (shared, request) = (call.shared, call.request);
    match endpoint {
        Endpoint::OauthMetadata | Endpoint::OpenidMetadata => {
            call.only(&[Method::GET, Method::HEAD], discovery::serve)
        }
        Endpoint::Jwks => call.only(&[Method::GET, Method::HEAD], jwks::serve),
        Endpoint::Token => call.only(&[Method::POST], token::serve),
        Endpoint::Authorize => call.only(&[Method::GET, Method::POST], authorize::serve),
        Endpoint::Introspect => call.only(&[Method::POST], introspect::serve),
        Endpoint::Revoke => call.only(&[Method::POST], revoke::serve),
        Endpoint::Userinfo => call.only(&[Method::GET, Method::HEAD, Method::POST], userinfo::serve),
        Endpoint::DeviceAuthorization => call.only(&[Method::POST], device::authorization),
        Endpoint::BackchannelAuthentication => call.only(&[Method::POST], backchannel::authentication),
        Endpoint::Device => call.only(&[Method::GET, Method::POST], device::verification),
        Endpoint::Par => call.only(&[Method::POST], par::serve),
        Endpoint::EndSession => call.only(&[Method::GET, Method::POST], logout::serve),
        Endpoint::Register => call.only(&[Method::POST], register::register),
        Endpoint::ClientConfiguration => register::manage(call),
        Endpoint::PollEvents => statements::poll(call),
        Endpoint::Api => api::serve(call),
        Endpoint::ResourceMetadata => api::metadata(call),
        Endpoint::Other if request.uri().path() == "/" && request.method() == Method::GET => {
            control::page_of_the_server(shared).unwrap_or_else(|| MockResponse::empty(StatusCode::NOT_FOUND))
        }
        Endpoint::Trap | Endpoint::Health | Endpoint::Other | Endpoint::Elsewhere => {
            MockResponse::empty(StatusCode::NOT_FOUND)
        }
    }
}

/// Whether the server runs: for those who wait until it does, and look after it.
pub(crate) fn health(request: &Request<Bytes>) -> MockResponse {
    match *request.method() {
        Method::GET | Method::HEAD => MockResponse::json(StatusCode::OK, &json!({"status": "ok"})),
        _ => MockResponse::not_allowed("GET, HEAD"),
    }
}

impl<'a> Call<'a> {
    /// Host and port by which the request names this server.
    pub(crate) fn authority(self) -> Option<&'a str> {
        authority(self.request)
    }

    /// The address the request was sent to, as far as it is one of this server's.
    pub(crate) fn origin(self) -> String {
        self.shared.names.asked(self.authority()).to_string()
    }

    /// Where this server's endpoints are for the sender of this request.
    pub(crate) fn base(self) -> String {
        self.shared.names.base(self.authority()).to_string()
    }

    pub(crate) fn new(shared: &'a Shared, issuer: &'a Issuer, request: &'a Request<Bytes>) -> Self {
        Self { shared, issuer, request, cnf: None, details: None, recorded: None, rulings: None }
    }

    /// The cookie in which this browser keeps its session at this issuer.
    pub(crate) fn cookie(self) -> Cookie {
        let at = self.shared.issuers.iter().position(|issuer| issuer.name == self.issuer.name);
        // The port that the browser knows: a container may have another one.
        let authority = self.authority().filter(|authority| !authority.ends_with(']'));
        let port = authority.and_then(|authority| authority.rsplit_once(':')).map(|(_, port)| port);
        Cookie::new(&self.base(), port, (at.unwrap_or_default(), &self.issuer.name))
    }

    /// What the token rules say of a token for this client and scope.
    pub(crate) fn ruled(self, client: Option<&str>, scope: Option<&str>) -> Rulings {
        let Some(recorded) = self.recorded else { return Rulings::default() };
        let shared = self.shared;
        let fits = |matching: &Match| matching.fits_as(recorded, &shared.journal, client, scope);
        shared.token_rules.of(&shared.scenarios, fits)
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
        format!("{}{}", self.base(), endpoint.path(&self.issuer.name, self.shared.routes()))
    }
}

/// Host and port that a request names, in its target or in `Host` (RFC 9112 section 3.2.2).
pub(crate) fn authority(request: &Request<Bytes>) -> Option<&str> {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    request.uri().authority().map(Authority::as_str).or(named)
}
