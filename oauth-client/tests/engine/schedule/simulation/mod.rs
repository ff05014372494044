//! Random schedules against a strict server: it takes each refresh token once, and takes a second time for theft.
//!
//! Several processes share a store and two logins, and each has a source of its login and one that is derived from it.
//! Callers give up, stores are slow, fail, hang and lose responses, clocks are stepped, machines sleep, the server fails,
//! hangs, responds late, and sends responses in which nothing but the refresh token can be read, APIs refuse tokens, a user
//! logs in anew and logs out. Three things must never happen: a refresh token that is sent twice, a login that is lost,
//! and one that comes back after a log-out.
//!
//! What no client can guard against does not happen either: a rotated token whose response never comes, a store
//! that is away from the one process that has the new set while the others can use it, and a program that starts with the
//! refresh token of a login before the last one, and asks for the first time after the log-out. Nor is anything promised of a
//! login that the store does not take for minutes while it still holds the log-out before: only clocks that differ
//! could tell which of the two is the later one.

mod server;
mod store;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use oauth_client::clock::TestClock;
use oauth_client::grant;
use oauth_client::store::MemoryStore;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, TokenSet, TokenSource, seed_jitter};
use tower::service_fn;

pub(crate) use self::server::Counts;
use self::server::{Random, Server, Standing};
use self::store::Troubled;

/// How long a token lives, in seconds.
const LIFETIME: u64 = 300;
const STEPS: u64 = 25;
const USERS: [&str; 2] = ["alice", "bob"];

/// Runs the schedule of this seed; it is the same every time.
///
/// # Errors
/// What must not happen and did, and all that led there.
pub(crate) fn one_schedule(seed: u64) -> Result<Counts, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    seed_jitter(seed);
    let world = World::new(seed);
    runtime.block_on(world.run());
    let server = world.server();
    match server.faults.is_empty() {
        true => Ok(server.counts),
        false => Err(format!("{:?}\n{}", server.faults, world.log.lock().unwrap().join("\n"))),
    }
}

struct World {
    random: Random,
    server: Arc<Mutex<Server>>,
    log: Arc<Mutex<Vec<String>>>,
    store: Troubled,
    /// For each user, whether the entry says that the login has ended.
    says_ended: [Arc<AtomicBool>; 2],
}

/// One process: a source, another one that is derived from it, and the clock of its machine.
struct Process {
    user: usize,
    source: TokenSource,
    derived: TokenSource,
    clock: TestClock,
    /// The login that it was started with.
    began_with: String,
    /// Whether it has found out what has become of it.
    knows: Arc<AtomicBool>,
}

impl Process {
    fn sources(&self) -> [(&Self, &TokenSource); 2] {
        [(self, &self.source), (self, &self.derived)]
    }
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
            is_fenced: random.chance(50),
            says_ended: Arc::default(),
        };
        Self { random, server, log: Arc::default(), store, says_ended: Default::default() }
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
                let parameter = |wanted: &str| {
                    let mut form = url::form_urlencoded::parse(&form);
                    form.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
                };
                let sent = parameter("refresh_token").unwrap_or_default();
                let trouble = {
                    let mut server = server.lock().unwrap();
                    server.counts.requests += 1;
                    server.counts.derived += u64::from(parameter("scope").is_some());
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
                let is_spoiled = trouble && random.chance(15);
                let given = server.lock().unwrap().rotate(&sent, is_spoiled);
                // Done, and the response is late.
                if trouble && random.chance(50) {
                    let late = random.below(25_000);
                    server.lock().unwrap().counts.late += 1;
                    tokio::time::sleep(Duration::from_millis(late)).await;
                }
                log.lock().unwrap().push(format!("  response to {sent}, spoiled: {is_spoiled}"));
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

    /// A process that starts with the user's newest login.
    fn process(&self, user: usize) -> Process {
        let began_with = self.server().user(USERS[user]).newest;
        let request = grant::refresh_token(format!("{began_with}.0")).subject(USERS[user]);
        let clock = TestClock::new();
        let client = Client::builder()
            .token_endpoint("https://auth.example.com/token")
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(self.http())
            .clock(clock.clone())
            .build()
            .unwrap();
        let store = Troubled { says_ended: Arc::clone(&self.says_ended[user]), ..self.store.clone() };
        let source = client.source(request).store(store).build().unwrap();
        let derived = source.for_scope(["read"]).unwrap();
        Process { user, source, derived, clock, began_with, knows: Arc::default() }
    }

    async fn run(&self) {
        for user in USERS {
            self.server().begin(user);
        }
        let count = 2 + usize::try_from(self.random.below(4)).unwrap();
        let mut processes: Vec<_> = (0..count).map(|n| self.process(n % 2)).collect();
        self.server().trouble = true;
        for step in 0..STEPS {
            self.step(step, &mut processes).await;
        }
        // The world gets well again, and within some minutes so does everything.
        self.server().trouble = false;
        self.store.state.lock().unwrap().calm();
        self.note("calm");
        tokio::time::sleep(Duration::from_secs(180)).await;
        for process in &processes {
            if self.server().user(USERS[process.user]).standing == Standing::Changing {
                self.log_out(process).await;
            }
        }
        for round in 0..3 {
            for (process, source) in processes.iter().flat_map(Process::sources) {
                let outcome = source.token().await;
                let is_in = self.server().user(USERS[process.user]).standing == Standing::LoggedIn;
                if let Err(error) = outcome
                    && is_in
                {
                    self.server().faults.push(format!("round {round}: no token when all is well: {error:?}"));
                }
            }
            tokio::time::sleep(Duration::from_secs(LIFETIME + 61)).await;
        }
        self.check_logins(&processes).await;
    }

    /// Each user's newest login is the one that the store and all processes have, or none is.
    async fn check_logins(&self, processes: &[Process]) {
        for (process, source) in processes.iter().flat_map(Process::sources) {
            let token = source.token().await;
            let name = USERS[process.user];
            let user = self.server().user(name);
            let fault = match (user.standing, token) {
                (Standing::LoggedIn, Ok(token)) => {
                    let held = token.secret().expose().to_owned();
                    let is_newest = held.starts_with(&format!("access.{}.", user.newest));
                    (!is_newest).then(|| format!("{held} is in use, and {} is the newest login", user.newest))
                }
                // It has been reported.
                (Standing::LoggedIn, Err(_)) => None,
                (Standing::LoggedOut, Err(error)) if error.is_reauthorization_required() => None,
                (standing, outcome) => Some(format!("{name} is {standing:?}, and this comes: {outcome:?}")),
            };
            self.server().faults.extend(fault);
        }
    }

    /// The user logs out at this process.
    async fn log_out(&self, process: &Process) {
        let user = USERS[process.user];
        self.server().set(user, Standing::Changing);
        match process.source.log_out().await {
            Ok(_) => {
                self.note(format!("  {user} is logged out"));
                self.server().log_out(user);
            }
            Err(error) => {
                self.note(format!("  {user} is not logged out: {error}"));
                if self.store.state.lock().unwrap().is_calm() {
                    self.server().faults.push(format!("no log-out when all is well: {error:?}"));
                }
            }
        }
    }

    async fn step(&self, step: u64, processes: &mut [Process]) {
        let random = &self.random;
        let index = usize::try_from(random.below(processes.len() as u64)).unwrap();
        let process = &processes[index];
        match random.below(13) {
            0..=4 => {
                // A herd, of which some give up.
                let is_derived = random.chance(40);
                self.note(format!("{step}: {index} calls, derived: {is_derived}"));
                for _ in 0..=random.below(3) {
                    let source = if is_derived { &process.derived } else { &process.source };
                    let (source, patience) = (source.clone(), random.below(40_000));
                    let (server, log) = (Arc::clone(&self.server), Arc::clone(&self.log));
                    let says_ended = Arc::clone(&self.says_ended[process.user]);
                    let (user, knows) = (USERS[process.user], Arc::clone(&process.knows));
                    tokio::spawn(async move {
                        let before = (server.lock().unwrap().user(user), says_ended.load(Ordering::Relaxed));
                        let calling = tokio::time::timeout(Duration::from_millis(patience), source.token());
                        let Ok(outcome) = calling.await else { return };
                        knows.fetch_or(outcome.is_ok(), Ordering::Relaxed);
                        if let Err(error) = outcome {
                            log.lock().unwrap().push(format!("  {index}: {error}"));
                            let mut server = server.lock().unwrap();
                            let after = (server.user(user), says_ended.load(Ordering::Relaxed));
                            let is_in =
                                before.0.standing == Standing::LoggedIn && !before.1 && before == after;
                            let is_passing = error.is_transient() || error.code() == "malformed_response";
                            if is_in && (error.is_reauthorization_required() || !is_passing) {
                                server.faults.push(format!("a login is lost: {error:?}"));
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
                let source = process.source.clone();
                tokio::spawn(async move { source.log_in(set).await });
                // Two logins at once have no order.
                tokio::time::sleep(Duration::from_secs(120)).await;
                let is_in = !self.says_ended[user].load(Ordering::Relaxed);
                let standing = if is_in { Standing::LoggedIn } else { Standing::Changing };
                self.server().set(USERS[user], standing);
            }
            11 => {
                // The program ends in good order, and starts again.
                self.note(format!("{step}: {index} ends and starts again"));
                // Asked before: while a program waits for a store that takes nothing, the store may get well.
                let takes_writes = !self.store.state.lock().unwrap().takes_no_writes();
                match process.source.settle().await {
                    Ok(()) => processes[index] = self.process(process.user),
                    // The program is told so, and goes on.
                    Err(_) if !takes_writes => {}
                    Err(error) => self.server().faults.push(format!("{index} cannot end: {error:?}")),
                }
            }
            12 if random.chance(50) => {
                let newest = self.server().user(USERS[process.user]).newest;
                let lags = |other: &Process| {
                    let knows = other.knows.load(Ordering::Relaxed) || other.began_with == newest;
                    other.user == process.user && !knows
                };
                if !processes.iter().any(lags) {
                    self.note(format!("{step}: {} logs out at {index}", USERS[process.user]));
                    self.log_out(process).await;
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
