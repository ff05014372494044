//! A mock server, clients whose tokens are bound to a key, and a recorder of the requests between them.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use oauth_client::attach::{TokenLayer, TokenService};
use oauth_client::dpop::Dpop;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, ClientBuilder, TokenSource, grant};
use oauth_mock::{Endpoint, GrantType, MockBody, MockClient, MockServer, MockServerBuilder};
use oauth_mock::{MockTransport, TransportError, User};
use serde_json::{Map, Value};
use tower::{Layer, Service};

use crate::fixture::Fixture;

/// A fixture whose requests pass a recorder.
pub(crate) struct Recorded {
    pub(crate) fixture: Fixture,
    pub(crate) line: Line,
}

impl Deref for Recorded {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl Recorded {
    pub(crate) fn new() -> Self {
        Self::with(|server| server)
    }

    pub(crate) fn with(change: impl FnOnce(MockServerBuilder) -> MockServerBuilder) -> Self {
        let builder = MockServer::builder()
            .client(MockClient::default().scopes(["openid", "read"]).with_refresh_token())
            .client(
                MockClient::new("mobile")
                    .grants([GrantType::Password, GrantType::RefreshToken])
                    .scopes(["openid", "read"]),
            )
            .user(User::new("alice", "wonderland"));
        let server = change(builder).in_process();
        let line = Line { transport: server.transport(), recorded: Arc::default() };
        let client = client_builder(&server).dpop(Dpop::generate().unwrap());
        let fixture = Fixture::wire(server, HttpClient::from_service(line.clone()), client);
        Self { fixture, line }
    }

    /// A client with a secret, whose tokens are not bound to anything yet.
    pub(crate) fn builder(&self) -> ClientBuilder {
        let http = HttpClient::from_service(self.line.clone());
        client_builder(&self.server).http(http).clock(self.clock.clone())
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().dpop(Dpop::generate().unwrap()).build().unwrap()
    }

    /// A source of tokens that userinfo takes.
    pub(crate) fn source(&self) -> TokenSource {
        self.login(&self.client())
    }

    pub(crate) fn login(&self, client: &Client) -> TokenSource {
        let issued = self.server.issue("svc", "alice", "openid").unwrap();
        client.source(grant::refresh_token(issued.refresh_token.unwrap())).build().unwrap()
    }

    /// An HTTP client for the API.
    pub(crate) fn api(&self, source: &TokenSource) -> TokenService<Line> {
        TokenLayer::new(source.clone()).layer(self.line.clone())
    }

    pub(crate) fn userinfo(&self) -> Request<Full<Bytes>> {
        Request::get(self.server.endpoint(Endpoint::Userinfo)).body(Full::default()).unwrap()
    }

    /// What went to the token endpoint.
    pub(crate) fn token_requests(&self) -> Vec<Recording> {
        self.line.to(&self.server.endpoint(Endpoint::Token))
    }

    /// What went to the API.
    pub(crate) fn api_requests(&self) -> Vec<Recording> {
        self.line.to(&self.server.endpoint(Endpoint::Userinfo))
    }
}

fn client_builder(server: &MockServer) -> ClientBuilder {
    Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t"))
}

/// Carries requests to the server and records them.
#[derive(Clone)]
pub(crate) struct Line {
    transport: MockTransport,
    recorded: Arc<Mutex<Vec<Recording>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) uri: String,
    pub(crate) authorization: String,
    pub(crate) proof: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) status: StatusCode,
}

impl Recording {
    /// The claims of the proof.
    pub(crate) fn claims(&self) -> Map<String, Value> {
        part(self.proof.as_ref().unwrap(), 1)
    }

    /// A parameter of the form.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let mut pairs = url::form_urlencoded::parse(&self.body);
        pairs.find(|(known, _)| known == name).unwrap().1.into_owned()
    }

    pub(crate) fn nonce(&self) -> Option<String> {
        Some(self.claims().get("nonce")?.as_str().unwrap().to_owned())
    }
}

/// A part of a JWT.
pub(crate) fn part(jwt: &str, index: usize) -> Map<String, Value> {
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

impl Line {
    pub(crate) fn to(&self, uri: &str) -> Vec<Recording> {
        let bare = |recorded: &Recording| recorded.uri.split('?').next().unwrap().to_owned();
        self.recorded.lock().unwrap().iter().filter(|recorded| bare(recorded) == uri).cloned().collect()
    }
}

impl<B> Service<Request<B>> for Line
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response<MockBody>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut line = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = Box::pin(body).collect().await.unwrap().to_bytes();
            let text = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
            assert!(head.headers.get_all("dpop").iter().count() <= 1, "one proof at most");
            let mut recorded = Recording {
                uri: head.uri.to_string(),
                authorization: text(AUTHORIZATION.as_str()).unwrap_or_default(),
                proof: text("dpop"),
                body: body.clone(),
                status: StatusCode::OK,
            };
            let response = line.transport.call(Request::from_parts(head, Full::new(body))).await?;
            recorded.status = response.status();
            line.recorded.lock().unwrap().push(recorded);
            Ok(response)
        })
    }
}
