//! A mock server that people can log in at, and a client of it, wired together in process.

use oauth_client::clock::TestClock;
use oauth_client::login::{AuthorizationRequest, Login, PendingLogin};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, ClientBuilder, Error};
use oauth_mock::{GrantType, MockClient, MockServer, User};
use url::Url;

pub(crate) use crate::fixture::Fixture;

pub(crate) const CALLBACK: &str = "https://app.test/callback";

pub(crate) fn fixture() -> Fixture {
    fixture_with(|client| client)
}

pub(crate) fn fixture_with(change: impl FnOnce(MockClient) -> MockClient) -> Fixture {
    let server = MockServer::builder()
        .client(change(web_client()))
        .user(User::new("alice", "wonderland"))
        .user(User::new("bob", "builder"))
        .in_process();
    let (http, client) = (HttpClient::from_service(server.transport()), client_builder(&server));
    Fixture::wire(server, http, client)
}

impl Fixture {
    pub(crate) async fn begin(&self) -> PendingLogin {
        self.client.authorize(&request()).await.unwrap()
    }

    /// What alice's browser comes back with.
    pub(crate) fn log_in(&self, pending: &PendingLogin) -> Url {
        self.server.log_in(pending.url().as_str(), "alice").unwrap().parse().unwrap()
    }

    /// A whole login of alice's.
    pub(crate) async fn login(&self, request: &AuthorizationRequest) -> Result<Login, Error> {
        self.login_as("alice", request).await
    }

    pub(crate) async fn login_as(&self, user: &str, request: &AuthorizationRequest) -> Result<Login, Error> {
        let pending = self.client.authorize(request).await?;
        let callback = self.server.log_in(pending.url().as_str(), user).unwrap();
        self.client.finish(pending, callback).await
    }
}

pub(crate) fn web_client() -> MockClient {
    MockClient::new("web")
        .secret("s3cr3t")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .scopes(["openid", "read", "write"])
        .redirect_uri(CALLBACK)
}

fn client_builder(server: &MockServer) -> ClientBuilder {
    Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("web", "s3cr3t"))
}

/// Another client of the same server, to be changed.
pub(crate) fn builder(server: &MockServer, clock: &TestClock) -> ClientBuilder {
    client_builder(server).http(HttpClient::from_service(server.transport())).clock(clock.clone())
}

pub(crate) fn request() -> AuthorizationRequest {
    AuthorizationRequest::new(CALLBACK).scope(["openid", "read"]).subject("alice")
}

/// The value of a query parameter.
pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// The same URL with a parameter changed, or taken out.
pub(crate) fn with_parameter(url: &Url, name: &str, value: Option<&str>) -> Url {
    let mut changed = url.clone();
    let others = url.query_pairs().filter(|(found, _)| found != name);
    changed.query_pairs_mut().clear().extend_pairs(others).extend_pairs(value.map(|value| (name, value)));
    changed
}
