//! Sources of the fixture's client, their events, and a store that fails on demand.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use oauth_client::clock::TestClock;
use oauth_client::grant::{self, TokenRequest};
use oauth_client::source::{Event, SourceBuilder};
use oauth_client::store::{Lease, MemoryStore, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use oauth_client::transport::HttpClient;
use oauth_client::{AccessToken, Client, ClientAuth, ClientBuilder, Error, TokenSet, TokenSource};
use oauth_mock::{Endpoint, MockClient, MockServer};
use tokio::task::JoinSet;

pub(crate) use crate::fixture::Fixture;
pub(crate) use crate::time::advance;

/// How long the mock's tokens live, unless a test says otherwise.
pub(crate) const LIFETIME: u64 = 300;

pub(crate) fn fixture() -> Fixture {
    fixture_with(MockClient::default())
}

pub(crate) fn fixture_with(mock: MockClient) -> Fixture {
    let server = MockServer::builder().client(mock.opaque_tokens()).in_process();
    let (http, client) = (HttpClient::from_service(server.transport()), client_builder(&server));
    Fixture::wire(server, http, client)
}

impl Fixture {
    /// A source by client_credentials.
    pub(crate) fn source(&self) -> TokenSource {
        self.source_builder().build().unwrap()
    }

    pub(crate) fn source_builder(&self) -> SourceBuilder {
        self.client.source(grant::client_credentials())
    }

    /// What a person granted: one refresh token, which rotates.
    pub(crate) fn person(&self) -> TokenRequest {
        let issued = self.server.issue("svc", "alice", "read").unwrap();
        grant::refresh_token(issued.refresh_token.unwrap()).subject("alice")
    }

    /// Whether the server has seen a refresh token twice, which revokes everything that came from it.
    pub(crate) fn refresh_token_reused(&self) -> bool {
        let requests = self.server.journal().of(Endpoint::Token);
        let mut used: Vec<_> = requests.iter().filter_map(|request| request.param("refresh_token")).collect();
        let before = used.len();
        used.sort_unstable();
        used.dedup();
        used.len() != before
    }
}

pub(crate) fn client_builder(server: &MockServer) -> ClientBuilder {
    Client::builder()
        .token_endpoint(server.endpoint(Endpoint::Token))
        .auth(ClientAuth::basic("svc", "s3cr3t"))
}

/// Another client of the same server, with a clock of its own.
pub(crate) fn client(server: &MockServer, clock: &TestClock) -> Client {
    let http = HttpClient::from_service(server.transport());
    client_builder(server).http(http).clock(clock.clone()).build().unwrap()
}

/// Lets everything happen that can happen without time passing.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// One step of a caller, who is dropped then.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    poll(pin!(future))
}

/// One step of a caller.
pub(crate) fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// So many callers at once, and what each of them got.
pub(crate) async fn callers(source: &TokenSource, count: usize) -> Vec<Result<AccessToken, Error>> {
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let source = source.clone();
        tasks.spawn(async move { source.token().await });
    }
    tasks.join_all().await
}

/// Collects the events of a source, as short words.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    pub(crate) fn hook(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let events = self.clone();
        move |event| {
            let word = match event {
                Event::Refreshed { generation } => format!("refreshed {generation}"),
                Event::Adopted { generation } => format!("adopted {generation}"),
                Event::RefreshFailed { error } => format!("failed {}", error.code()),
                Event::Rejected { generation } => format!("rejected {generation}"),
                Event::Persisted => "persisted".to_owned(),
                Event::StoreFailed { error } => format!("store: {error}"),
                other => format!("{other:?}"),
            };
            events.0.lock().unwrap().push(word);
        }
    }

    /// What happened since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A store that does as a script says, over one that works.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) inner: MemoryStore,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) loads: Trouble,
    pub(crate) writes: Trouble,
    pub(crate) leases: Trouble,
    /// How long each write takes.
    pub(crate) slow_writes: Duration,
    /// Another writer's set, which takes the entry right before the next write or removal.
    pub(crate) written_before: Option<TokenSet>,
    /// Writes that land although they report a failure.
    pub(crate) lost_responses: usize,
    /// Another process always wrote in between.
    pub(crate) conflicts_for_ever: bool,
    pub(crate) written: Vec<TokenSet>,
    pub(crate) keys: Vec<StoreKey>,
    pub(crate) longest_lease: Duration,
}

/// What goes wrong next, in this order.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) panics: usize,
    pub(crate) failures: usize,
    /// Whether those failures are said to be permanent.
    pub(crate) lasting: bool,
    pub(crate) hangs: bool,
}

impl Scripted {
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// What was last written, past all trouble.
    pub(crate) fn last_written(&self) -> Option<TokenSet> {
        self.script().written.last().cloned()
    }

    pub(crate) fn last_key(&self) -> Option<StoreKey> {
        self.script().keys.last().cloned()
    }

    async fn meet(&self, which: fn(&mut Script) -> &mut Trouble) -> Result<(), StoreError> {
        let hangs = {
            let mut script = self.script();
            let trouble = which(&mut script);
            if trouble.panics > 0 {
                trouble.panics -= 1;
                drop(script);
                panic!("the store panics, as the test wants it to");
            }
            if trouble.failures > 0 {
                trouble.failures -= 1;
                if trouble.lasting {
                    return Err(StoreError::permanent("row 7 is damaged; restore it"));
                }
                return Err(StoreError::new("the disk is full; make room"));
            }
            trouble.hangs
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl TokenStore for Scripted {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.meet(|script| &mut script.loads).await?;
        self.inner.load(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.meet(|script| &mut script.writes).await?;
        let slow = self.script().slow_writes;
        tokio::time::sleep(slow).await;
        let before = self.script().written_before.take();
        if let Some(before) = before {
            let revision = self.inner.load(key).await?.map(|stored| stored.revision);
            self.inner.compare_and_swap(key, revision, Some(&before)).await?;
        }
        if self.script().conflicts_for_ever {
            return Ok(Swap::Conflict);
        }
        let swap = self.inner.compare_and_swap(key, expected, tokens).await?;
        if let (Swap::Done(_), Some(tokens)) = (swap, tokens) {
            let mut script = self.script();
            script.written.push(tokens.clone());
            script.keys.push(key.clone());
        }
        if self.script().lost_responses > 0 {
            self.script().lost_responses -= 1;
            return Err(StoreError::new("the connection broke; check that the store is up"));
        }
        Ok(swap)
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        self.script().longest_lease = longest;
        self.meet(|script| &mut script.leases).await?;
        self.inner.lease(key, longest).await
    }
}
