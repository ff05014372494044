//! Real processes on one Redis, and what becomes of a lease whose holder is killed or suspended.

use std::env;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oauth_client::grant;
use oauth_client::source::Event;
use oauth_client::store::{Lease, LeaseGuard, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, TokenSet};
use oauth_client_redis::RedisStore;
use oauth_mock::{Endpoint, MockClient, MockServer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::server::RedisServer;
use crate::support::store;

/// How much shorter than in earnest the leases of these tests are: 15 s are one second.
const HASTE: u32 = 15;

fn client_credentials() -> StoreKey {
    Client::builder()
        .token_endpoint("https://as.test/token")
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .build()
        .unwrap()
        .source(grant::client_credentials())
        .store_key()
}

/// The next holder may have crashed, and then delays the others for no longer than its lease.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_holder_that_has_lost_its_lease_leaves_that_of_the_next_one_as_it_is() {
    let Some(redis) = RedisServer::start().await else { return };
    let (store, key, longest) = (store(&redis.url()), client_credentials(), Duration::from_secs(15));
    let lease = || async { store.lease(&key, longest).await.unwrap().unwrap() };
    for renews in [true, false] {
        let lost = lease().await;
        let names: Vec<String> = redis.ask(&["KEYS", "*:lease*"]).await;
        let [name] = names.as_slice() else { unreachable!("{names:?}") };
        assert!(redis.ask::<bool>(&["DEL", name]).await);
        let next = lease().await;
        assert!(redis.ask::<bool>(&["PEXPIRE", name, "9000"]).await);
        if renews {
            assert!(!lost.renew(longest).await.unwrap());
        }
        lost.give_back().await;
        let left: u64 = redis.ask(&["PTTL", name]).await;
        assert!((1..=9000).contains(&left), "{left} ms are left");
        assert!(next.renew(longest).await.unwrap());
        next.give_back().await;
    }
}

/// A machine that was suspended has a clock that stood still: what is left of the lease only Redis knows.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_lease_that_is_about_to_end_is_renewed_however_recently_it_was_taken() {
    let Some(redis) = RedisServer::start().await else { return };
    let (store, key, longest) = (store(&redis.url()), client_credentials(), Duration::from_secs(15));
    let lease = store.lease(&key, longest).await.unwrap().unwrap();
    let names: Vec<String> = redis.ask(&["KEYS", "*:lease*"]).await;
    let [name] = names.as_slice() else { unreachable!("{names:?}") };
    for left in ["500", "13900"] {
        assert!(redis.ask::<bool>(&["PEXPIRE", name, left]).await);
        assert!(lease.renew(longest).await.unwrap());
        let left: u64 = redis.ask(&["PTTL", name]).await;
        assert!(left > 14_000, "{left} ms are left");
    }
    drop(lease);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn many_processes_ask_once_per_expiry() {
    let Some(redis) = RedisServer::start().await else { return };
    let lifetime = Duration::from_secs(2);
    let mock = MockClient::default().token_lifetime(lifetime).opaque_tokens();
    let server = MockServer::builder().client(mock).start().await;
    let login = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(Worker::start(&server, &redis, Some(&login), "runs"));
    }
    let end = Instant::now() + Duration::from_secs(9);
    let mut issued = std::collections::BTreeMap::<String, usize>::new();
    let mut complaints = Vec::new();
    for worker in &mut workers {
        while let Ok(line) = timeout(end.saturating_duration_since(Instant::now()), worker.line()).await {
            match line.strip_prefix("token ") {
                Some(token) => *issued.entry(token.to_owned()).or_default() += 1,
                None => complaints.push(line),
            }
        }
    }
    assert_eq!(complaints, Vec::<String>::new());
    let requests = server.journal().of(Endpoint::Token);
    let mut used: Vec<_> = requests.iter().filter_map(|request| request.param("refresh_token")).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), requests.len(), "each refresh token was used once");
    assert!(requests.len() >= 4, "{} requests", requests.len());
    assert!(requests.len() <= 11, "{} requests in 9 s, with tokens that are fresh for one", requests.len());
    let adopted = issued.values().filter(|processes| **processes == 4).count();
    assert!(adopted + 2 >= issued.len(), "all four hold nearly every token: {issued:?}");
    println!("4 processes, {} requests for {} expiries", requests.len(), issued.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_holder_that_is_killed_delays_the_others_by_its_lease_and_loses_nothing() {
    let Some(redis) = RedisServer::start().await else { return };
    let server = MockServer::builder().client(MockClient::default().opaque_tokens()).start().await;
    let login = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    let mut victim = Worker::start(&server, &redis, Some(&login), "stops at leased");
    assert_eq!(victim.line().await, "leased");
    victim.child.kill().await.unwrap();
    let killed = Instant::now();
    let mut heir = Worker::start(&server, &redis, Some(&login), "once");
    assert!(heir.line().await.starts_with("token "));
    let waited = killed.elapsed();
    assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(8), "{waited:?}");
    assert_eq!(server.journal().count(Endpoint::Token), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_holder_that_was_suspended_beyond_its_lease_sends_nothing() {
    let Some(redis) = RedisServer::start().await else { return };
    let server = MockServer::builder().client(MockClient::default().opaque_tokens()).start().await;
    let login = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    let mut paused = Worker::start(&server, &redis, Some(&login), "stops at leased");
    assert_eq!(paused.line().await, "leased");
    paused.signal("STOP").await;
    let mut heir = Worker::start(&server, &redis, Some(&login), "once");
    let token = heir.line().await;
    assert!(token.starts_with("token "), "{token}");
    paused.signal("CONT").await;
    // It fails, and goes on with the token of its heir; it never sends the refresh token that is spent.
    let line = loop {
        paused.go().await;
        let line = paused.line().await;
        if line != "no token: store" && line != "leased" {
            break line;
        }
    };
    assert_eq!(line, token);
    assert_eq!(server.journal().count(Endpoint::Token), 1);
}

/// Between the server's response and the write. Its set is older than what its heir has written meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_late_write_of_a_suspended_holder_loses() {
    let Some(redis) = RedisServer::start().await else { return };
    let server = MockServer::builder().client(MockClient::default().opaque_tokens()).start().await;
    let mut paused = Worker::start(&server, &redis, None, "stops at writing");
    assert_eq!(paused.line().await, "writing");
    paused.signal("STOP").await;
    let mut heir = Worker::start(&server, &redis, None, "once");
    let token = heir.line().await;
    assert!(token.starts_with("token "), "{token}");
    let before = redis.contents().await;
    paused.signal("CONT").await;
    paused.go().await;
    assert_eq!(paused.line().await, token, "it goes on with the newer one");
    let entries = |contents: Vec<(String, Vec<u8>)>| -> Vec<_> {
        contents.into_iter().filter(|(key, _)| key.ends_with("tokens")).collect()
    };
    assert_eq!(entries(redis.contents().await), entries(before), "what its heir has written is there");
    assert_eq!(server.journal().count(Endpoint::Token), 2);
}

/// Not a test: what the processes run. It does nothing unless the environment names the place.
#[tokio::test]
async fn worker() {
    let Some([endpoint, url, login, role]) = Worker::setting() else { return };
    let client = Client::builder()
        .token_endpoint(&endpoint)
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .http(HttpClient::new().unwrap())
        .build()
        .unwrap();
    let request = match login.as_str() {
        "" => grant::client_credentials(),
        login => grant::refresh_token(login).subject("alice"),
    };
    let stops_at = role.strip_prefix("stops at ").map(str::to_owned);
    let source = client
        .source(request)
        .store(Watched {
            inner: store(&url),
            leased: AtomicBool::new(false),
            haste: if role == "runs" { 1 } else { HASTE },
            stops_at: Arc::new(stops_at),
        })
        .on_event(|event| {
            if let Event::StoreFailed { error } = event
                && error.is_transient()
            {
                eprintln!("{error}");
            }
        })
        .build()
        .unwrap();
    let mut last = 0;
    loop {
        match source.token().await {
            Ok(token) if token.generation() == last => {}
            Ok(token) => {
                last = token.generation();
                let text = token.tokens().access_token().expose().to_owned();
                print_line(&format!("token {text}"));
                if role == "once" {
                    source.settle().await.unwrap();
                }
            }
            Err(error) => {
                print_line(&format!("no token: {}", error.code()));
                tokio::time::sleep(error.retry_after().unwrap_or_default()).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn print_line(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{what}").and_then(|()| out.flush()).unwrap();
}

/// The store, with leases that last a second, and a moment at which it waits for leave.
#[derive(Debug)]
struct Watched {
    inner: RedisStore,
    haste: u32,
    leased: AtomicBool,
    stops_at: Arc<Option<String>>,
}

impl Watched {
    async fn stop(&self, here: &str) {
        if (*self.stops_at).as_deref() == Some(here) {
            print_line(here);
            let line = || std::io::stdin().lines().next().transpose();
            tokio::task::spawn_blocking(line).await.unwrap().unwrap();
        }
    }
}

impl TokenStore for Watched {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        let stored = self.inner.load(key).await;
        // With the lease in hand, and with what was there before.
        if self.leased.swap(false, Ordering::Relaxed) {
            self.stop("leased").await;
        }
        stored
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.stop("writing").await;
        self.inner.compare_and_swap(key, expected, tokens).await
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let Some(lease) = self.inner.lease(key, longest / self.haste).await? else { return Ok(None) };
        self.leased.store(true, Ordering::Relaxed);
        let fence = lease.fence().unwrap();
        Ok(Some(Lease::renewable(Short(lease, self.haste)).fenced(fence)))
    }
}

struct Short(Lease, u32);

impl LeaseGuard for Short {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        self.0.renew(longest / self.1).await
    }
}

struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    const NAMES: [&'static str; 4] =
        ["OAUTH_TEST_ENDPOINT", "OAUTH_TEST_REDIS", "OAUTH_TEST_LOGIN", "OAUTH_TEST_ROLE"];

    fn setting() -> Option<[String; 4]> {
        let found = Self::NAMES.map(|name| env::var(name).ok());
        found.iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
    }

    fn start(server: &MockServer, redis: &RedisServer, login: Option<&str>, role: &str) -> Self {
        let values = [
            server.endpoint(Endpoint::Token),
            redis.url(),
            login.unwrap_or_default().to_owned(),
            role.to_owned(),
        ];
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["processes::worker", "--exact", "--nocapture", "--test-threads=1"])
            .envs(Self::NAMES.into_iter().zip(values))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output).lines() }
    }

    /// What it says next.
    async fn line(&mut self) -> String {
        loop {
            let line = timeout(Duration::from_secs(40), self.output.next_line()).await;
            let line = line.expect("the worker says nothing").unwrap().expect("the worker ended");
            // The test harness writes to the same place, without a line of its own.
            if let Some((_, said)) = line.split_once('@') {
                return said.to_owned();
            }
        }
    }

    async fn go(&mut self) {
        self.input.write_all(b"go\n").await.unwrap();
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().await.unwrap();
        assert!(status.success());
    }
}
