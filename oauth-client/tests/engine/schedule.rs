//! Random schedules against a strict server: it takes each refresh token once, and takes a second time for theft.
//!
//! Several sources share a store and two logins. Callers give up, stores are slow, fail, hang and lose responses, clocks
//! are stepped, machines sleep, the server fails, hangs and responds late, APIs refuse tokens, a user logs in anew. Two
//! things must never happen: a refresh token that is sent twice, and a login that is lost.
//!
//! What no client can guard against does not happen either: a rotated token whose response never comes, and a
//! store that is away from the one process that has the new set while the others can use it.
//!
//! `OAUTH_CLIENT_SCHEDULES=100000 OAUTH_CLIENT_SCHEDULE_SEED=7 cargo test -p tower-oauth-client --test engine schedule`. A seed
//! fixes the schedule; the library's own jitter stays random.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use oauth_client::clock::TestClock;
use oauth_client::grant::{self, TokenRequest};
use oauth_client::store::{
    Lease, LeaseGuard, MemoryStore, Revision, StoreError, StoreKey, Stored, Swap, TokenStore,
};
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, TokenSet, TokenSource};
use tower::service_fn;

/// How many schedules the usual test run has.
const SCHEDULES: u64 = 2000;
/// How long a token lives, in seconds.
const LIFETIME: u64 = 300;
const STEPS: u64 = 25;
const USERS: [&str; 2] = ["alice", "bob"];

#[test]
fn no_schedule_sends_a_refresh_token_twice_or_loses_a_login() {
    let given = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let count = given("OAUTH_CLIENT_SCHEDULES").unwrap_or(SCHEDULES);
    let base = given("OAUTH_CLIENT_SCHEDULE_SEED").unwrap_or_else(|| getrandom::u64().unwrap() >> 16);
    println!("{count} schedules from OAUTH_CLIENT_SCHEDULE_SEED={base}");
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let run = &|thread: u64| {
        let seeds = (base..base.saturating_add(count)).skip(usize::try_from(thread).unwrap());
        seeds
            .step_by(usize::try_from(threads).unwrap())
            .map(one_schedule)
            .fold(Counts::default(), Counts::plus)
    };
    let total = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)))
            .fold(Counts::default(), Counts::plus)
    });
    println!("{total:?}");
    let least = count / 2;
    assert!(
        [total.rotations, total.late, total.hung, total.store_faults].iter().all(|n| *n >= least),
        "the schedules meet what they are for: {total:?}"
    );
}

fn one_schedule(seed: u64) -> Counts {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let world = World::new(seed);
    runtime.block_on(world.run());
    let server = world.server();
    assert!(
        server.faults.is_empty(),
        "OAUTH_CLIENT_SCHEDULE_SEED={seed} OAUTH_CLIENT_SCHEDULES=1: {:?}\n{}",
        server.faults,
        world.log.lock().unwrap().join("\n")
    );
    server.counts
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    rotations: u64,
    late: u64,
    hung: u64,
    failed: u64,
    store_faults: u64,
    logins: u64,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            rotations: self.rotations + other.rotations,
            late: self.late + other.late,
            hung: self.hung + other.hung,
            failed: self.failed + other.failed,
            store_faults: self.store_faults + other.store_faults,
            logins: self.logins + other.logins,
        }
    }
}

/// A small generator (SplitMix64): the same schedule for the same seed, wherever it runs.
#[derive(Clone, Debug)]
struct Random(Arc<Mutex<u64>>);

impl Random {
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&self, most: u64) -> u64 {
        self.next() % most
    }

    /// True so many times in a hundred.
    fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the server knows: of each login which refresh token is the one to use.
#[derive(Default)]
struct Server {
    /// By login, the number of its current refresh token.
    current: HashMap<String, u64>,
    trouble: bool,
    faults: Vec<String>,
    counts: Counts,
}

impl Server {
    /// Takes a refresh token, once.
    fn rotate(&mut self, sent: &str) -> Option<String> {
        let (login, number) = sent.rsplit_once('.')?;
        let number: u64 = number.parse().ok()?;
        let current = self.current.get_mut(login)?;
        if number != *current {
            self.faults.push(format!("{sent} was sent again, and {login}.{current} is the one to use"));
            return None;
        }
        *current += 1;
        let next = *current;
        self.counts.rotations += 1;
        Some(token_set(login, next))
    }

    /// A new login of a user, and its token set.
    fn log_in(&mut self, user: &str) -> String {
        self.counts.logins += 1;
        let login = format!("{user}-{}", self.counts.logins);
        self.current.insert(login.clone(), 0);
        token_set(&login, 0)
    }
}

fn token_set(login: &str, number: u64) -> String {
    format!(
        r#"{{"access_token":"access.{login}.{number}","token_type":"Bearer","expires_in":{LIFETIME},"refresh_token":"{login}.{number}"}}"#
    )
}

struct World {
    random: Random,
    server: Arc<Mutex<Server>>,
    log: Arc<Mutex<Vec<String>>>,
    store: Troubled,
}

/// One process: a source, and the clock of its machine.
struct Process {
    user: usize,
    source: TokenSource,
    clock: TestClock,
}

impl World {
    fn new(seed: u64) -> Self {
        let random = Random(Arc::new(Mutex::new(seed)));
        let server = Arc::<Mutex<Server>>::default();
        let store = Troubled {
            inner: MemoryStore::new(),
            random: random.clone(),
            state: Arc::default(),
            server: Arc::clone(&server),
        };
        Self { random, server, log: Arc::default(), store }
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }

    /// The way to the server: it fails, hangs, and responds late.
    fn http(&self) -> HttpClient {
        let (server, random, log) = (Arc::clone(&self.server), self.random.clone(), Arc::clone(&self.log));
        HttpClient::from_service(service_fn(move |request: Request<RequestBody>| {
            let (server, random, log) = (Arc::clone(&server), random.clone(), Arc::clone(&log));
            async move {
                let form = request.into_body().collect().await.unwrap().to_bytes();
                let sent = url::form_urlencoded::parse(&form)
                    .find(|(name, _)| name == "refresh_token")
                    .map(|(_, value)| value.into_owned())
                    .unwrap_or_default();
                let trouble = {
                    let mut server = server.lock().unwrap();
                    server.counts.requests += 1;
                    server.trouble
                };
                let kind = if trouble { random.below(10) } else { 9 };
                log.lock().unwrap().push(format!("  request {sent}, kind {kind}"));
                match kind {
                    0 => {
                        server.lock().unwrap().counts.failed += 1;
                        return Ok(Response::builder().status(503).body(Full::default()).unwrap());
                    }
                    1 => {
                        server.lock().unwrap().counts.failed += 1;
                        let wait = random.below(20).to_string();
                        let response = Response::builder().status(503).header("retry-after", wait);
                        return Ok(response.body(Full::default()).unwrap());
                    }
                    // It hangs before it has done anything, for good or for a while.
                    2 => {
                        server.lock().unwrap().counts.hung += 1;
                        std::future::pending::<()>().await;
                    }
                    3 | 4 => tokio::time::sleep(Duration::from_millis(random.below(30_000))).await,
                    _ => {}
                }
                let given = server.lock().unwrap().rotate(&sent);
                // Done, and the response is late.
                if trouble && random.chance(50) {
                    let late = random.below(25_000);
                    server.lock().unwrap().counts.late += 1;
                    tokio::time::sleep(Duration::from_millis(late)).await;
                }
                log.lock().unwrap().push(format!("  response to {sent}"));
                Ok::<_, Infallible>(match given {
                    Some(body) => Response::new(Full::new(Bytes::from(body))),
                    None => {
                        let body = Bytes::from_static(br#"{"error":"invalid_grant"}"#);
                        Response::builder().status(400).body(Full::new(body)).unwrap()
                    }
                })
            }
        }))
    }

    fn process(&self, user: usize, request: &TokenRequest) -> Process {
        let clock = TestClock::new();
        let client = Client::builder()
            .token_endpoint("https://auth.example.com/token")
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(self.http())
            .clock(clock.clone())
            .build()
            .unwrap();
        let source = client.source(request.clone()).store(self.store.clone()).build().unwrap();
        Process { user, source, clock }
    }

    fn requests(&self) -> Vec<TokenRequest> {
        let request = |user: &&str| {
            let login = format!("{user}-0");
            self.server().current.insert(login.clone(), 0);
            grant::refresh_token(format!("{login}.0")).subject(*user)
        };
        USERS.iter().map(request).collect()
    }

    async fn run(&self) {
        let requests = self.requests();
        let count = 2 + usize::try_from(self.random.below(4)).unwrap();
        let mut processes: Vec<_> = (0..count).map(|n| self.process(n % 2, &requests[n % 2])).collect();
        self.server().trouble = true;
        for step in 0..STEPS {
            self.step(step, &mut processes, &requests).await;
        }
        // The world gets well again, and within some minutes so does everything.
        self.server().trouble = false;
        self.store.state.lock().unwrap().calm();
        self.note("calm");
        tokio::time::sleep(Duration::from_secs(180)).await;
        for round in 0..3 {
            for process in &processes {
                if let Err(error) = process.source.token().await {
                    self.server().faults.push(format!("round {round}: no token when all is well: {error:?}"));
                }
            }
            tokio::time::sleep(Duration::from_secs(LIFETIME + 61)).await;
        }
        self.check_logins(&processes).await;
    }

    /// Each user's newest login is the one that the store and all processes have.
    async fn check_logins(&self, processes: &[Process]) {
        for process in processes {
            let Ok(token) = process.source.token().await else { continue };
            let user = USERS[process.user];
            let held = token.tokens().refresh_token().unwrap().expose().to_owned();
            let newest = self.store.state.lock().unwrap().newest.get(user).cloned();
            let newest = newest.unwrap_or_else(|| format!("{user}-0"));
            if !held.starts_with(&format!("{newest}.")) {
                self.server()
                    .faults
                    .push(format!("{user}: {held} is in use, and {newest} is the newest login"));
            }
        }
    }

    async fn step(&self, step: u64, processes: &mut [Process], requests: &[TokenRequest]) {
        let random = &self.random;
        let index = usize::try_from(random.below(processes.len() as u64)).unwrap();
        let process = &processes[index];
        match random.below(12) {
            0..=4 => {
                // A herd, of which some give up.
                self.note(format!("{step}: {index} calls"));
                for _ in 0..=random.below(3) {
                    let (source, patience) = (process.source.clone(), random.below(40_000));
                    let (server, log) = (Arc::clone(&self.server), Arc::clone(&self.log));
                    tokio::spawn(async move {
                        let calling = tokio::time::timeout(Duration::from_millis(patience), source.token());
                        if let Ok(Err(error)) = calling.await {
                            log.lock().unwrap().push(format!("  {index}: {error}"));
                            if error.is_reauthorization_required() || !error.is_transient() {
                                server.lock().unwrap().faults.push(format!("a login is lost: {error:?}"));
                            }
                        }
                    });
                }
            }
            5 => {
                let seconds = i64::try_from(random.below(7200)).unwrap() - 3600;
                self.note(format!("{step}: the clock of {index} is stepped by {seconds} s"));
                process.clock.step_wall(seconds);
            }
            6 => {
                let asleep = random.below(1000);
                self.note(format!("{step}: {index} sleeps for {asleep} s"));
                process.clock.suspend(Duration::from_secs(asleep));
            }
            7 => {
                self.note(format!("{step}: an API refuses the token of {index}"));
                if let Some(token) = process.source.current() {
                    process.source.reject(token.generation());
                }
            }
            8 => {
                let lasts = random.below(60);
                self.note(format!("{step}: the store takes no writes for {lasts} s"));
                self.store.state.lock().unwrap().no_writes_until =
                    Some(tokio::time::Instant::now() + Duration::from_secs(lasts));
            }
            9 => {
                // Shorter than a lease, which cannot be renewed meanwhile.
                let lasts = random.below(6);
                self.note(format!("{step}: the store is away for {lasts} s"));
                self.store.state.lock().unwrap().away_until =
                    Some(tokio::time::Instant::now() + Duration::from_secs(lasts));
            }
            10 if random.chance(30) => {
                let user = process.user;
                let set = self.server().log_in(USERS[user]);
                self.note(format!("{step}: {} logs in at {index}", USERS[user]));
                let set = self.tokens(process, &set);
                let login = set.refresh_token().unwrap().expose().rsplit_once('.').unwrap().0.to_owned();
                self.store.state.lock().unwrap().newest.insert(USERS[user].to_owned(), login);
                let source = process.source.clone();
                tokio::spawn(async move { source.log_in(set).await });
                // Two logins at once have no order.
                tokio::time::sleep(Duration::from_secs(120)).await;
            }
            11 => {
                // The program ends in good order, and starts again.
                self.note(format!("{step}: {index} ends and starts again"));
                let settled = process.source.settle().await;
                // A store that takes nothing is an error then, and the program goes on.
                if !self.store.state.lock().unwrap().takes_no_writes() {
                    settled.unwrap();
                    processes[index] = self.process(process.user, &requests[process.user]);
                }
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(random.below(120_000))).await;
    }

    /// The token set as the process's client reads it.
    fn tokens(&self, process: &Process, body: &str) -> TokenSet {
        use oauth_client::clock::Clock as _;
        let mut set: serde_json::Value = serde_json::from_str(body).unwrap();
        let now = u64::try_from(process.clock.now().wall.as_millis()).unwrap();
        let set = set.as_object_mut().unwrap();
        for name in ["token_type", "expires_in"] {
            set.remove(name);
        }
        set.insert("issued_at_ms".to_owned(), now.into());
        set.insert("lifetime_ms".to_owned(), (LIFETIME * 1000).into());
        serde_json::from_value(set.clone().into()).unwrap()
    }
}

/// A store that is slow, fails, hangs, and loses responses.
#[derive(Clone, Debug)]
struct Troubled {
    inner: MemoryStore,
    random: Random,
    state: Arc<Mutex<Trouble>>,
    server: Arc<Mutex<Server>>,
}

#[derive(Debug, Default)]
struct Trouble {
    calm: bool,
    no_writes_until: Option<tokio::time::Instant>,
    away_until: Option<tokio::time::Instant>,
    /// Of renewals that failed in a row: a lease that cannot be renewed ends, and with it the promise.
    unrenewed: u32,
    /// The newest login of each user.
    newest: HashMap<String, String>,
}

impl Trouble {
    fn calm(&mut self) {
        (self.calm, self.no_writes_until, self.away_until) = (true, None, None);
    }

    fn takes_no_writes(&self) -> bool {
        self.no_writes_until.is_some_and(|until| tokio::time::Instant::now() < until)
    }

    fn is_away(&self) -> bool {
        self.away_until.is_some_and(|until| tokio::time::Instant::now() < until)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Troubled {
    fn failed() -> StoreError {
        StoreError::new("it fails, as the schedule wants it to; try again")
    }

    /// Before a call: slow, failing or hanging.
    async fn before(&self) -> Result<(), StoreError> {
        if self.state.lock().unwrap().calm {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(self.random.below(300))).await;
        if self.state.lock().unwrap().is_away() || self.random.chance(8) {
            self.server.lock().unwrap().counts.store_faults += 1;
            return Err(Self::failed());
        }
        if self.random.chance(3) {
            self.server.lock().unwrap().counts.store_faults += 1;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Ok(())
    }

    /// After a call: the response is lost.
    async fn after(&self) -> Result<(), StoreError> {
        if self.state.lock().unwrap().calm {
            return Ok(());
        }
        match self.random.below(100) {
            0..=4 => Err(Self::failed()),
            5..=6 => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl TokenStore for Troubled {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.before().await?;
        let stored = self.inner.load(key).await?;
        self.after().await?;
        Ok(stored)
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.before().await?;
        if self.state.lock().unwrap().takes_no_writes() {
            return Err(Self::failed());
        }
        let swap = self.inner.compare_and_swap(key, expected, tokens).await?;
        self.after().await?;
        Ok(swap)
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        self.before().await?;
        let lease = self.inner.lease(key, longest).await?;
        self.after().await?;
        Ok(lease.map(|inner| Lease::renewable(Renewed { inner, store: self.clone() })))
    }
}

struct Renewed {
    inner: Lease,
    store: Troubled,
}

impl LeaseGuard for Renewed {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        // At most two in a row fail by chance, so that the lease does not end.
        let spared = self.store.state.lock().unwrap().unrenewed >= 2;
        if !spared {
            self.store.state.lock().unwrap().unrenewed += 1;
            self.store.before().await?;
        }
        if self.store.state.lock().unwrap().is_away() {
            return Err(Troubled::failed());
        }
        self.store.state.lock().unwrap().unrenewed = 0;
        self.inner.renew(longest).await
    }
}
