//! The store in the keychain against a real one: GNOME Keyring on a session bus of its own, which each test starts.
//!
//! Without `dbus-run-session` and `gnome-keyring-daemon` the tests say what to install and are skipped; in CI that is a
//! failure.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_client::store::{KeyringStore, Revision, StoreKey, Swap, TokenStore as _, conformance};
use oauth_client::{Client, ClientAuth, TokenSet, grant};

const FOLDER: &str = "OAUTH_TEST_KEYRING";
const NO_BUS: &str = "unix:path=/nonexistent/bus";

#[test]
fn it_keeps_the_contract_of_every_store() {
    let Some(session) = Session::new("contract") else { return };
    session.run(Keyring::Unlocked, "inside_contract");
}

#[test]
fn two_processes_lose_no_write_and_survive_being_killed() {
    let Some(session) = Session::new("processes") else { return };
    session.run(Keyring::Unlocked, "inside_processes");
}

#[test]
fn tokens_outlive_the_session_and_a_locked_keychain_is_named() {
    let Some(session) = Session::new("locked") else { return };
    session.run(Keyring::Unlocked, "inside_write");
    session.run(Keyring::Locked, "inside_locked");
    session.run(Keyring::Unlocked, "inside_read");
}

#[test]
fn without_a_bus_the_error_names_the_fix_and_the_file_takes_over() {
    let folder = Folder::new("no-bus");
    let mut command = inside("inside_without_bus", &folder);
    command.env("DBUS_SESSION_BUS_ADDRESS", NO_BUS);
    let output = command.output().unwrap();
    let shown =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    let warned: Vec<_> = shown.lines().filter(|line| line.contains("the keychain cannot be used")).collect();
    assert!(warned.len() == 1 && warned[0].contains("WARN"), "one warning: {shown}");
    assert!(warned[0].contains("instead.json"), "it names the file: {}", warned[0]);
}

#[tokio::test]
async fn inside_contract() {
    let Some(folder) = folder() else { return };
    let report = conformance::check(async || store(&folder)).await.unwrap();
    println!("@{} rules", report.passed().len());
    // Whole, and in so many parts.
    let mut revision = None;
    for length in [30_000, 200_000, 100, 300_000, 200_000] {
        let long = tokens(&"x".repeat(length));
        let swap = store(&folder).compare_and_swap(&key(), revision, Some(&long)).await.unwrap();
        let Swap::Done(done) = swap else { panic!("no other writer is there") };
        revision = Some(done);
        assert_eq!(store(&folder).load(&key()).await.unwrap().unwrap().tokens, long);
    }
    store(&folder).compare_and_swap(&key(), revision, None).await.unwrap();
    assert!(store(&folder).load(&key()).await.unwrap().is_none());
}

#[tokio::test]
async fn inside_write() {
    let Some(folder) = folder() else { return };
    store(&folder).compare_and_swap(&key(), None, Some(&tokens("kept"))).await.unwrap();
}

#[tokio::test]
async fn inside_read() {
    let Some(folder) = folder() else { return };
    assert_eq!(store(&folder).load(&key()).await.unwrap().unwrap().tokens, tokens("kept"));
}

#[tokio::test]
async fn inside_locked() {
    let Some(folder) = folder() else { return };
    let error = store(&folder).load(&key()).await.unwrap_err();
    assert!(error.to_string().contains("the keychain is "), "{error}");
    assert!(error.to_string().contains("KeyringStore::unlock"), "{error}");
}

#[tokio::test]
async fn inside_without_bus() {
    let Some(folder) = folder() else { return };
    tracing_subscriber::fmt().with_ansi(false).init();
    let error = store(&folder).load(&key()).await.unwrap_err();
    assert!(error.is_permanent() && error.to_string().contains("store.kind = \"file\""), "{error}");
    let path = folder.join("instead.json");
    let store = store(&folder).or_file(&path);
    for _ in 0..2 {
        assert!(store.load(&key()).await.unwrap().is_none());
    }
    store.compare_and_swap(&key(), None, Some(&tokens("in the file"))).await.unwrap();
    assert!(std::fs::read_to_string(path).unwrap().contains("in the file"));
}

/// Two processes count up under the lease, and one of them is killed now and then.
#[test]
fn inside_processes() {
    let Some(folder) = folder() else { return };
    let counted = Arc::new(Mutex::new(Vec::new()));
    let mut workers: Vec<_> = (0..2).map(|_| Worker::start(&folder, &counted)).collect();
    let enough = |n: usize| move |counted: &Vec<u64>| counted.len() >= n;
    for kill in 1..=6 {
        wait_until(&counted, enough(kill * 10));
        workers[kill % 2].kill();
        workers[kill % 2] = Worker::start(&folder, &counted);
    }
    wait_until(&counted, enough(80));
    workers.iter_mut().for_each(Worker::kill);
    let counted = counted.lock().unwrap();
    let different: BTreeSet<_> = counted.iter().collect();
    assert_eq!(different.len(), counted.len(), "no write was lost: {counted:?}");
    // One that was killed between its write and its line has counted without saying so.
    let last = *different.last().unwrap();
    assert!(*last <= counted.len() as u64 + 8, "{last} of {}", counted.len());
    println!("@{} writes by two processes, 6 killed, none lost", counted.len());
}

/// Not a test: what the processes run.
#[tokio::test]
async fn inside_worker() {
    let Some(folder) = folder() else { return };
    let store = store(&folder);
    loop {
        let lease = store.lease(&key(), Duration::from_secs(15)).await.unwrap();
        if lease.is_some() {
            let stored = store.load(&key()).await.unwrap();
            let (count, revision): (u64, Option<Revision>) = match &stored {
                Some(stored) => {
                    (stored.tokens.access_token().expose().parse().unwrap(), Some(stored.revision))
                }
                None => (0, None),
            };
            let next = tokens(&(count + 1).to_string());
            let swap = store.compare_and_swap(&key(), revision, Some(&next)).await.unwrap();
            assert!(matches!(swap, Swap::Done(_)), "only the holder of the lease writes");
            let mut out = std::io::stdout().lock();
            writeln!(out, "@{}", count + 1).and_then(|()| out.flush()).unwrap();
        }
        drop(lease);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn store(folder: &Path) -> KeyringStore {
    KeyringStore::new().lock_directory(folder.join("locks"))
}

fn key() -> StoreKey {
    let client =
        Client::builder().issuer("https://auth.example.com").auth(ClientAuth::none("app")).build().unwrap();
    client.source(grant::refresh_token("r").subject("alice")).store_key()
}

fn tokens(text: &str) -> TokenSet {
    TokenSet::new(text).with_refresh_token("refresh").with_issued_at(Duration::from_secs(1_900_000_000))
}

fn folder() -> Option<PathBuf> {
    env::var_os(FOLDER).map(PathBuf::from)
}

/// One of the tests above that start with `inside`, in a process of its own.
fn inside(test: &str, folder: &Folder) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(FOLDER, &folder.0);
    command
}

fn wait_until(counted: &Mutex<Vec<u64>>, holds: impl Fn(&Vec<u64>) -> bool) {
    for _ in 0..6000 {
        if holds(&counted.lock().unwrap()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the workers stand still: {:?}", counted.lock().unwrap());
}

struct Worker {
    child: Child,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    fn start(folder: &Path, counted: &Arc<Mutex<Vec<u64>>>) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["inside_worker", "--exact", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (output, counted) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(counted));
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test harness writes to the same place.
                let number = line.split_once('@').and_then(|(_, said)| said.parse().ok());
                counted.lock().unwrap().extend(number.iter());
            }
        });
        Self { child, reader: Some(reader) }
    }

    /// SIGKILL, in whatever it does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("oauth-client-keychain-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Copy)]
enum Keyring {
    Unlocked,
    /// There is one of an earlier session, and no password for it.
    Locked,
}

/// A home for a keychain, and a bus with it for each run.
struct Session(Folder);

impl Session {
    /// `None` where the programs are missing.
    fn new(name: &str) -> Option<Self> {
        let there = |program: &str| {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        let missing: Vec<_> = ["dbus-run-session", "gnome-keyring-daemon"]
            .into_iter()
            .filter(|program| !there(program))
            .collect();
        if missing.is_empty() {
            return Some(Self(Folder::new(name)));
        }
        let what =
            format!("{} missing; on Debian: apt-get install dbus gnome-keyring", missing.join(" and "));
        assert!(env::var_os("CI").is_none(), "{what}");
        // Straight to the terminal: the harness keeps what a test prints that succeeds.
        let _ = writeln!(std::io::stderr(), "skipped: {what}");
        None
    }

    fn run(&self, keyring: Keyring, test: &str) {
        let how = match keyring {
            Keyring::Unlocked => "--unlock",
            Keyring::Locked => "--start",
        };
        let script = format!(
            "printf pass | gnome-keyring-daemon --foreground {how} --components=secrets >/dev/null 2>&1 &
            daemon=$!
            tries=0
            while [ ! -S \"$XDG_RUNTIME_DIR/keyring/control\" ] && [ $tries -lt 500 ]; do
                sleep 0.02; tries=$((tries + 1))
            done
            \"$0\" {test} --exact --nocapture
            code=$?
            kill $daemon
            exit $code"
        );
        let home = &self.0.0;
        let runtime = home.join("run");
        let _ = std::fs::remove_dir_all(&runtime);
        std::fs::create_dir_all(&runtime).unwrap();
        std::fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let output = Command::new("dbus-run-session")
            .args(["--", "sh", "-c", &script])
            .arg(env::current_exe().unwrap())
            .env(FOLDER, home)
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("XDG_DATA_HOME", home.join("data"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        let shown = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && shown.contains("1 passed"), "{test}: {shown}");
        out.lines().filter_map(|line| line.split_once('@')).for_each(|(_, line)| println!("{test}: {line}"));
    }
}
