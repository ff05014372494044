//! Two processes, one file of tokens, a server that revokes everything when a refresh token comes twice, and a killer.

#![cfg(all(unix, feature = "reqwest"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use oauth_client::clock::{Clock, Now, SystemClock};
use oauth_client::source::{Event, SourceBuilder};
use oauth_client::store::FileStore;
use oauth_client::transport::{HttpClient, Limits, RequestBody};
use oauth_client::{Client, ClientAuth, grant};
use oauth_mock::{Endpoint, MockClient, MockServer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

/// How much faster than the world the workers' time runs, so that a token of two seconds lives a fifth of one.
const HASTE: u32 = 10;
const LIFETIME: Duration = Duration::from_secs(2);
const RUN: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_refresh_once_per_expiry_and_survive_being_killed() {
    let mock = MockClient::default().token_lifetime(LIFETIME).opaque_tokens();
    let server = MockServer::builder().client(mock).start().await;
    let login = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    let directory = env::temp_dir().join(format!("oauth-client-two-processes-{}", std::process::id()));
    let setting = Setting {
        endpoint: server.endpoint(Endpoint::Token),
        login,
        path: directory.join("tokens.json"),
        start: SystemClock.now().wall,
    };

    let record = Arc::new(Mutex::new(Record::default()));
    let mut workers: Vec<_> = (0..2).map(|_| Worker::start(&setting, &record)).collect();
    let (mut kills, mut kept) = (0, 0);
    let end = Instant::now() + RUN;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(u64::from(random() % 300))).await;
        let victim = usize::from(random().is_multiple_of(2));
        if workers[victim].kill().await {
            kills += 1;
            workers[victim] = Worker::start(&setting, &record);
        } else {
            kept += 1;
        }
    }
    for worker in &mut workers {
        while !worker.kill().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    let record = std::mem::take(&mut *record.lock().unwrap());
    assert_eq!(record.complaints, Vec::<String>::new(), "no logout, no failure");
    let requests = server.journal().of(Endpoint::Token);
    assert!(requests.iter().all(|request| request.status.is_some_and(|status| status.is_success())));
    let mut used: Vec<_> = requests.iter().filter_map(|request| request.param("refresh_token")).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), requests.len(), "each refresh token was used once");
    // By the tokens' own dates, which no busy machine moves: none was asked for while the one before was fresh.
    let fresh = LIFETIME / 2;
    let issued: Vec<_> = record.issued.into_iter().collect();
    let shortest = issued.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    // The clock is coarse, and runs ten times too fast.
    assert!(shortest + Duration::from_millis(50) >= fresh, "one refresh per expiry, but {shortest:?} apart");
    assert!(requests.len() >= 10 && kills >= 5, "{} rotations, {kills} kills", requests.len());

    // The next process continues from the file.
    let source = setting.source(HttpClient::new().unwrap()).build().unwrap();
    source.token().await.unwrap();
    println!(
        "two processes: {} rotations in {RUN:?}, {kills} killed ({kept} spared in the window), reused tokens 0, logouts 0, \
         shortest time between two refreshes {shortest:?} of {fresh:?} freshness, in the workers' time",
        requests.len()
    );
    std::fs::remove_dir_all(directory).unwrap();
}

/// Not a test: what the processes run. It does nothing unless the environment names the place.
#[tokio::test]
async fn worker() {
    let Some(setting) = Setting::from_env() else { return };
    let through = HttpClient::new().unwrap();
    let asking = tower::service_fn(move |request: http::Request<RequestBody>| {
        let through = through.clone();
        async move {
            // The killer is asked for leave: from here until "written", a kill may lose a rotated token in any client.
            print_line("asking");
            let line = || std::io::stdin().lines().next().transpose();
            tokio::task::spawn_blocking(line).await.unwrap().unwrap();
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let response = through.send(http::Request::from_parts(head, body), &Limits::token()).await;
            response.map(|response| response.map(Full::new))
        }
    });
    let source = setting
        .source(HttpClient::from_service(asking))
        .on_event(|event| match event {
            Event::Persisted => print_line("written"),
            Event::RefreshFailed { error } | Event::StoreFailed { error } => {
                print_line(&format!("{error:?}"));
            }
            _ => {}
        })
        .build()
        .unwrap();
    let mut last = 0;
    loop {
        match source.token().await {
            Ok(token) if token.generation() == last => {}
            Ok(token) => {
                last = token.generation();
                print_line(&format!("token {}", token.tokens().issued_at().as_millis()));
            }
            Err(error) => print_line(&format!("no token: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

fn print_line(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{what}").and_then(|()| out.flush()).unwrap();
}

/// What a worker needs to know.
struct Setting {
    endpoint: String,
    login: String,
    path: PathBuf,
    start: Duration,
}

impl Setting {
    const NAMES: [&'static str; 4] =
        ["OAUTH_TEST_ENDPOINT", "OAUTH_TEST_LOGIN", "OAUTH_TEST_PATH", "OAUTH_TEST_START"];

    fn from_env() -> Option<Self> {
        let [endpoint, login, path, start] = Self::NAMES.map(|name| env::var(name).ok());
        let start = Duration::from_nanos(start?.parse().unwrap());
        Some(Self { endpoint: endpoint?, login: login?, path: path?.into(), start })
    }

    fn to_env(&self) -> impl Iterator<Item = (&'static str, String)> {
        let path = self.path.to_str().unwrap().to_owned();
        let start = self.start.as_nanos().to_string();
        Self::NAMES.into_iter().zip([self.endpoint.clone(), self.login.clone(), path, start])
    }

    fn source(&self, http: HttpClient) -> SourceBuilder {
        let client = Client::builder()
            .token_endpoint(&self.endpoint)
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(http)
            .clock(Hasty { start: self.start })
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        client.source(grant::refresh_token(self.login.as_str())).store(FileStore::new(&self.path))
    }
}

/// Time that runs faster since a moment that all processes know.
#[derive(Debug)]
struct Hasty {
    start: Duration,
}

impl Clock for Hasty {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        let since = now.wall.saturating_sub(self.start) * HASTE;
        Now { wall: self.start + since, monotonic: since }
    }
}

struct Worker {
    child: Child,
    /// Whether its response may have come and is not written yet; held while it is killed.
    window: Arc<tokio::sync::Mutex<bool>>,
}

#[derive(Default)]
struct Record {
    /// When the request for each token was sent, in the workers' time.
    issued: BTreeSet<Duration>,
    complaints: Vec<String>,
}

impl Worker {
    fn start(setting: &Setting, record: &Arc<Mutex<Record>>) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["worker", "--exact", "--nocapture", "--test-threads=1"])
            .envs(setting.to_env())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let window = Arc::new(tokio::sync::Mutex::new(false));
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        tokio::spawn(listen(BufReader::new(output), input, Arc::clone(&window), Arc::clone(record)));
        Self { child, window }
    }

    /// Kills it (SIGKILL), unless that could lose a token in any client.
    async fn kill(&mut self) -> bool {
        let window = self.window.lock().await;
        if *window {
            return false;
        }
        self.child.kill().await.unwrap();
        true
    }
}

async fn listen(
    output: BufReader<tokio::process::ChildStdout>,
    mut input: ChildStdin,
    window: Arc<tokio::sync::Mutex<bool>>,
    record: Arc<Mutex<Record>>,
) {
    let mut lines = output.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The test harness writes to the same place, without a line of its own.
        let Some((_, said)) = line.split_once('@') else { continue };
        let mut window = window.lock().await;
        match said {
            "asking" => {
                // A worker killed in the meantime asks no more.
                if input.write_all(b"go\n").await.is_ok() {
                    *window = true;
                }
            }
            "written" => *window = false,
            said => {
                let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
                match said.strip_prefix("token ").and_then(|at| at.parse().ok()) {
                    Some(at) => {
                        record.issued.insert(Duration::from_millis(at));
                    }
                    None => {
                        *window = false;
                        record.complaints.push(said.to_owned());
                    }
                }
            }
        }
    }
}

fn random() -> u32 {
    getrandom::u32().unwrap()
}
