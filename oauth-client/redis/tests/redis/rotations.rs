//! Ten thousand rotations over a server that revokes everything when a refresh token comes twice, with a killer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use oauth_client::grant::TokenRequest;
use oauth_client::source::Event;
use oauth_client::store::{Lease, LeaseGuard, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use oauth_client::transport::{HttpClient, Limits, RequestBody};
use oauth_client::{Client, ClientAuth, Secret, TokenSet, TokenSource};
use oauth_client_redis::RedisStore;
use oauth_mock::Endpoint;
use tokio::runtime::{Builder, Runtime};

use crate::server::RedisServer;
use crate::support::{World, seal_key};

/// Rotations in all; `OAUTH_TEST_ROTATIONS` says another number.
const ROTATIONS: usize = 10_000;
const PERSONS: usize = 40;
/// Processes that share a person's login.
const PROCESSES: usize = 2;
/// Of so many rounds of a person, in one a process is killed.
const KILL_EVERY: u64 = 20;

#[test]
#[ignore = "needs redis-server; see tests/README.md"]
fn ten_thousand_rotations_with_kills_lose_nothing_and_reuse_nothing() {
    let main = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some(redis) = main.block_on(RedisServer::start()) else { return };
    let rotations = std::env::var("OAUTH_TEST_ROTATIONS").ok();
    let rotations = rotations.map_or(ROTATIONS, |number| number.parse().unwrap());
    let began = tokio::time::Instant::now();
    let kills = AtomicUsize::new(0);
    let spared = AtomicUsize::new(0);
    let done: usize = std::thread::scope(|scope| {
        let persons: Vec<_> = (0..PERSONS)
            .map(|person| {
                let (redis, kills, spared) = (&redis, &kills, &spared);
                scope.spawn(move || one_person(person, rotations / PERSONS, redis, kills, spared))
            })
            .collect();
        persons.into_iter().map(|person| person.join().unwrap()).sum()
    });
    let (kills, spared) = (kills.into_inner(), spared.into_inner());
    assert!(done >= rotations / PERSONS * PERSONS, "{done} rotations");
    assert!(kills * 500 >= rotations, "{kills} kills");
    println!(
        "{done} rotations of {PERSONS} persons in {PROCESSES} processes each, {kills} kills ({spared} spared in the window \
         between response and write), none lost, none reused, in {:?}",
        began.elapsed()
    );
}

/// All rotations of one person; returns how many there were.
fn one_person(
    person: usize,
    rotations: usize,
    redis: &RedisServer,
    kills: &AtomicUsize,
    spared: &AtomicUsize,
) -> usize {
    let world = World::new();
    let request = world.person().subject(format!("person {person}"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ u64::try_from(person).unwrap());
    let mut processes: Vec<_> =
        (0..PROCESSES).map(|_| Process::start(&world, &request, &redis.url(), person)).collect();
    let mut seen = 0;
    while seen < rotations {
        world.expire();
        let asking: Vec<_> = processes.iter().map(Process::ask).collect();
        if random.next().is_multiple_of(KILL_EVERY) {
            std::thread::sleep(Duration::from_micros(random.next() % 6_000));
            let victim = usize::try_from(random.next()).unwrap() % PROCESSES;
            let new = Process::start(&world, &request, &redis.url(), person);
            match std::mem::replace(&mut processes[victim], new).kill() {
                None => kills.fetch_add(1, Ordering::Relaxed),
                Some(alive) => {
                    processes[victim] = alive;
                    spared.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
        // Those of a killed process end without a word.
        let tokens: Vec<_> = asking.into_iter().filter_map(|asked| asked.recv().ok()).collect();
        for token in &tokens {
            assert!(token.is_ok(), "person {person}, rotation {seen}: {token:?}");
        }
        seen = world.requests();
    }
    assert!(!world.reused(), "person {person}");
    let refused = world.server.journal().of(Endpoint::Token);
    let refused = refused.iter().filter(|request| !request.status.is_some_and(|status| status.is_success()));
    assert_eq!(refused.count(), 0, "person {person}");
    seen
}

/// A process: a runtime of its own, a connection of its own, and an end at any moment.
struct Process {
    runtime: Runtime,
    source: TokenSource,
    gate: Arc<Gate>,
    /// Whether it has the lease.
    holds: Arc<AtomicBool>,
    url: String,
    person: usize,
}

/// Whether a response may be there that is not written yet: to kill a process then loses a rotated token in any client.
#[derive(Default)]
struct Gate(Mutex<(bool, bool)>);

impl Process {
    fn start(world: &World, request: &TokenRequest, url: &str, person: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let gate = Arc::new(Gate::default());
        let (through, entered) = (HttpClient::from_service(world.server.transport()), Arc::clone(&gate));
        let asking = tower::service_fn(move |request: http::Request<RequestBody>| {
            let (through, gate) = (through.clone(), Arc::clone(&entered));
            async move {
                let killed = {
                    let mut state = gate.0.lock().unwrap();
                    state.0 = true;
                    state.1
                };
                if killed {
                    std::future::pending::<()>().await;
                }
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let response = through.send(http::Request::from_parts(head, body), &Limits::token()).await;
                response.map(|response| response.map(Full::new))
            }
        });
        let client = Client::builder()
            .token_endpoint(world.server.endpoint(Endpoint::Token))
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(HttpClient::from_service(asking))
            .clock(world.clock.clone())
            .build()
            .unwrap();
        let left = Arc::clone(&gate);
        let holds = Arc::new(AtomicBool::new(false));
        let source = client
            .source(request.clone())
            .store(Watched { inner: store(url, person), holds: Arc::clone(&holds) })
            .on_event(move |event| {
                if matches!(event, Event::Persisted | Event::RefreshFailed { .. }) {
                    left.0.lock().unwrap().0 = false;
                }
            })
            .build()
            .unwrap();
        Self { runtime, source, gate, holds, url: url.to_owned(), person }
    }

    fn ask(&self) -> std::sync::mpsc::Receiver<Result<Secret, String>> {
        let (answer, answered) = std::sync::mpsc::channel();
        let source = self.source.clone();
        self.runtime.spawn(async move {
            // An error in between, such as a lease that is held for long, is tried again.
            let mut result = source.token().await;
            for _ in 0..5 {
                let Err(error) = &result else { break };
                tokio::time::sleep(error.retry_after().unwrap_or_default()).await;
                result = source.token().await;
            }
            let result = result.map(|token| token.secret().clone()).map_err(|error| error.to_string());
            let _ = answer.send(result);
        });
        answered
    }

    /// Ends it at once, and gives nothing back; the process itself when that could lose a token in any client.
    fn kill(self) -> Option<Self> {
        {
            let mut state = self.gate.0.lock().unwrap();
            if state.0 {
                drop(state);
                return Some(self);
            }
            state.1 = true;
        }
        self.runtime.shutdown_background();
        if self.holds.load(Ordering::Acquire) {
            end_lease(&self.url, self.person);
        }
        None
    }
}

/// The time of a lease whose holder was killed goes by at once, so that the test need not wait for it.
fn end_lease(url: &str, person: usize) {
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let lease = format!("person {person}:*:lease");
    let leases: Vec<String> = redis::cmd("KEYS").arg(lease).query(&mut connection).unwrap();
    for lease in leases {
        redis::cmd("DEL").arg(lease).exec(&mut connection).unwrap();
    }
}

fn store(url: &str, person: usize) -> RedisStore {
    RedisStore::builder(url).prefix(format!("person {person}:")).seal_key(seal_key(1)).build().unwrap()
}

/// The store, and whether a lease of it is held here. A holder that is killed keeps its lease.
#[derive(Debug)]
struct Watched {
    inner: RedisStore,
    holds: Arc<AtomicBool>,
}

struct Kept(tokio::sync::Mutex<Option<Lease>>, Arc<AtomicBool>);

impl TokenStore for Watched {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.inner.load(key).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.inner.compare_and_swap(key, expected, tokens).await
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let Some(lease) = self.inner.lease(key, longest).await? else { return Ok(None) };
        self.holds.store(true, Ordering::Release);
        let fence = lease.fence().unwrap();
        Ok(Some(Lease::renewable(Kept(Some(lease).into(), Arc::clone(&self.holds))).fenced(fence)))
    }
}

impl LeaseGuard for Kept {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        match &*self.0.lock().await {
            Some(lease) => lease.renew(longest).await,
            None => Ok(false),
        }
    }

    async fn give_back(&self) {
        let lease = self.0.lock().await.take();
        self.1.store(false, Ordering::Release);
        if let Some(lease) = lease {
            lease.give_back().await;
        }
    }
}

/// The same every time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
}
