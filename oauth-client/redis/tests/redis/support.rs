//! Stores and sources over a redis-server and a mock authorization server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oauth_client::clock::{Clock, Now, SystemClock};
use oauth_client::grant::{self, TokenRequest};
use oauth_client::source::{Event, SourceBuilder};
use oauth_client::store::StoreKey;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth};
use oauth_client_redis::RedisStore;
use oauth_mock::{Endpoint, MockClient, MockServer};

/// How long the mock's tokens live, in seconds.
pub(crate) const LIFETIME: u64 = 300;

pub(crate) fn seal_key(fill: u8) -> String {
    BASE64_STANDARD.encode([fill; 32])
}

pub(crate) fn store(url: &str) -> RedisStore {
    RedisStore::builder(url).prefix("test:").seal_key(seal_key(1)).build().unwrap()
}

/// Time that runs with the machine's and jumps when it is told to. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jumping(Arc<Mutex<Duration>>);

impl Jumping {
    pub(crate) fn jump(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for Jumping {
    fn now(&self) -> Now {
        let (now, ahead) = (SystemClock.now(), *self.0.lock().unwrap());
        Now { wall: now.wall + ahead, monotonic: now.monotonic + ahead }
    }
}

/// A mock server with a user's login, and a client of it.
pub(crate) struct World {
    pub(crate) server: MockServer,
    pub(crate) clock: Jumping,
    pub(crate) client: Client,
}

impl World {
    pub(crate) fn new() -> Self {
        let server = MockServer::builder()
            .client(MockClient::default().token_lifetime(Duration::from_secs(LIFETIME)).opaque_tokens())
            .in_process();
        let clock = Jumping::default();
        let client = Client::builder()
            .token_endpoint(server.endpoint(Endpoint::Token))
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(HttpClient::from_service(server.transport()))
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { server, clock, client }
    }

    /// What a person granted: one refresh token, which rotates.
    pub(crate) fn person(&self) -> TokenRequest {
        let issued = self.server.issue("svc", "alice", "read").unwrap();
        grant::refresh_token(issued.refresh_token.unwrap()).subject("alice@example.com")
    }

    pub(crate) fn source(&self, request: &TokenRequest, store: &RedisStore) -> SourceBuilder {
        self.client.source(request.clone()).store(store.clone())
    }

    pub(crate) fn key(&self, request: &TokenRequest) -> StoreKey {
        self.client.source(request.clone()).store_key()
    }

    /// Lets the tokens expire, for all sources; the mock's own time stands still, and does not matter.
    pub(crate) fn expire(&self) {
        self.clock.jump(LIFETIME + 1);
    }

    pub(crate) fn requests(&self) -> usize {
        self.server.journal().count(Endpoint::Token)
    }

    /// Whether the server has seen a refresh token twice.
    pub(crate) fn reused(&self) -> bool {
        let requests = self.server.journal().of(Endpoint::Token);
        let mut used: Vec<_> = requests.iter().filter_map(|request| request.param("refresh_token")).collect();
        let before = used.len();
        used.sort_unstable();
        used.dedup();
        used.len() != before
    }
}

/// The failures of a store that a source reports.
#[derive(Clone, Default)]
pub(crate) struct Failures(Arc<Mutex<Vec<String>>>);

impl Failures {
    pub(crate) fn hook(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let failures = Arc::clone(&self.0);
        move |event| {
            if let Event::StoreFailed { error } = event {
                failures.lock().unwrap().push(error.to_string());
            }
        }
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
