//! A client of the mock server that knows its issuer.

use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, ClientBuilder};
use oauth_mock::MockServer;

pub(crate) use crate::fixture::Fixture;
pub(crate) use crate::time::advance;

pub(crate) fn fixture_of(server: MockServer) -> Fixture {
    let (http, client) = (http(&server), client_builder(&server));
    Fixture::wire(server, http, client)
}

pub(crate) fn client_builder(server: &MockServer) -> ClientBuilder {
    Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t"))
}

pub(crate) fn http(server: &MockServer) -> HttpClient {
    HttpClient::from_service(server.transport())
}
