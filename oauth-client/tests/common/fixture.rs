//! A mock server, a clock and a client of that server, wired together in process.

use oauth_client::clock::TestClock;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientBuilder};
use oauth_mock::{Endpoint, MockServer};

pub(crate) struct Fixture {
    pub(crate) server: MockServer,
    pub(crate) clock: TestClock,
    pub(crate) client: Client,
}

impl Fixture {
    /// A client of the server, reached through `http`, with a clock of its own.
    pub(crate) fn wire(server: MockServer, http: HttpClient, client: ClientBuilder) -> Self {
        let clock = TestClock::new();
        let client = client.http(http).clock(clock.clone()).build().unwrap();
        Self { server, clock, client }
    }

    /// How many requests an endpoint has received.
    pub(crate) fn count(&self, endpoint: Endpoint) -> usize {
        self.server.journal().count(endpoint)
    }
}
