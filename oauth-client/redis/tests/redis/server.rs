//! A redis-server of one test, on a free port, in a directory of its own.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};
use tokio::time::Instant;

/// A redis-server, which ends with the test.
pub(crate) struct RedisServer {
    child: Option<Child>,
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

impl RedisServer {
    /// One that forgets everything when it ends. `None` where redis-server is not installed: the test is then skipped,
    /// and says so; in CI it must be there.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&["--save", "", "--appendonly", "no"]).await
    }

    /// One that keeps its data when it ends.
    pub(crate) async fn lasting() -> Option<Self> {
        Self::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
    }

    pub(crate) async fn start_with(options: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !installed {
            assert!(
                std::env::var_os("CI").is_none(),
                "redis-server is not installed; apt-get install redis-server"
            );
            // Straight to the terminal: the harness keeps what a test prints that succeeds.
            let _ = writeln!(std::io::stderr(), "skipped: redis-server is not installed");
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("oauth-redis-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { child: None, port: free_port(), directory, options };
        server.run().await;
        Some(server)
    }

    /// Runs it, again after [`stop`](Self::stop), on the same port.
    pub(crate) async fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&self.directory);
        command.args(&self.options).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(20);
        while self.try_ask::<String>(&["PING"]).await.is_err_and(|error| error.code() != Some("NOAUTH")) {
            assert!(Instant::now() < end, "redis-server does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it as a crash does (SIGKILL).
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn url_of(&self, user: &str) -> String {
        format!("redis://{user}@127.0.0.1:{}", self.port)
    }

    /// Adds the user that the documentation of a crate shows.
    pub(crate) async fn permit(&self, documentation: &str) {
        let line = documentation.lines().find_map(|line| line.strip_prefix("//! ACL SETUSER ")).unwrap();
        let words: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(line.split(' ')).collect();
        let _: String = self.ask(&words).await;
    }

    /// A command of the test's own, over a connection of its own.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).await.unwrap()
    }

    async fn try_ask<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let mut words = redis::cmd(command[0]);
        words.arg(&command[1..]);
        words.query_async(&mut self.connection().await?).await
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    /// How many commands it has processed, those inside scripts too, and not the one of this call.
    pub(crate) async fn commands(&self) -> u64 {
        let stats: String = self.ask(&["INFO", "stats"]).await;
        let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse().unwrap()
    }

    /// All keys with what they hold, as far as it is text or bytes.
    pub(crate) async fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let mut keys: Vec<String> = self.ask(&["KEYS", "*"]).await;
        keys.sort();
        let mut contents = Vec::new();
        for key in keys {
            let value: Vec<u8> = self.try_ask(&["GET", &key]).await.unwrap_or_default();
            contents.push((key, value));
        }
        contents
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
