//! A mock server, a clock and a client of it, in process.

use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, ClientBuilder};
use oauth_mock::{Endpoint, MockServer};

pub(crate) struct Bench {
    pub(crate) server: MockServer,
    pub(crate) clock: TestClock,
}

impl Bench {
    pub(crate) fn new(server: MockServer) -> Self {
        Self { server, clock: TestClock::new() }
    }

    pub(crate) fn http(&self) -> HttpClient {
        HttpClient::from_service(self.server.transport())
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder()
            .issuer(self.server.issuer())
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(self.http())
            .clock(self.clock.clone())
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// Token requests so far.
    pub(crate) fn token_requests(&self) -> usize {
        self.server.journal().count(Endpoint::Token)
    }
}

/// Lets so many seconds pass, on tokio's clock and so on everybody's.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
