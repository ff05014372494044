//! Three guards in three processes on one Redis.

use std::env;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use oauth_guard::Guard;
use oauth_guard::config::GuardConfig;
use oauth_guard::revocation::Revocation;
use oauth_mock::MockServer;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;

const CONFIG: &str = "OAUTH_TEST_CONFIG";

fn config(server: &MockServer, redis: &str, more: &str) -> String {
    format!(
        "[[issuer]]\nissuer = {:?}\naudience = [{:?}]\n[redis]\nurl = {redis:?}\nprefix = \"orders:\"\n{more}",
        server.issuer(),
        "orders-api",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn what_is_revoked_at_one_guard_is_revoked_at_three_within_a_second_also_after_a_cut() {
    let Some(redis) = RedisServer::start().await else { return };
    let server = MockServer::start().await;
    let proxy = Proxy::start(redis.port()).await;
    // Two of them behind the proxy.
    let mut guards = Vec::new();
    for url in [redis.url(), proxy.url(), proxy.url()] {
        guards.push(Process::start(&config(&server, &url, "")).await);
    }
    for round in 0..3 {
        let (token, jti) = token(&server);
        for guard in &mut guards {
            guard.until(&token, "200", Duration::from_secs(10)).await;
        }
        let cut = match round {
            0 => None,
            1 => Some(Mode::Cut),
            _ => Some(Mode::BlackHole),
        };
        if let Some(mode) = cut {
            proxy.set(mode);
        }
        assert_eq!(guards[0].say(&format!("revoke {} {jti}", server.issuer())).await, "revoked");
        assert_eq!(guards[0].say(&format!("check {token}")).await, "401", "at once where it was called");
        if cut.is_some() {
            tokio::time::sleep(Duration::from_secs(3)).await;
            proxy.set(Mode::Pass);
        }
        let began = Instant::now();
        for guard in &mut guards {
            guard.until(&token, "401", Duration::from_secs(1).saturating_sub(began.elapsed())).await;
        }
        println!("revoked at three guards after {:?} ({cut:?})", began.elapsed());
    }
    // A guard that starts later knows it too, and a token that is not revoked costs Redis nothing.
    let (good, _) = token(&server);
    let mut late = Process::start(&config(&server, &redis.url(), "")).await;
    late.until(&good, "200", Duration::from_secs(10)).await;
    let idle = commands_in(&redis, tokio::time::sleep(Duration::from_secs(2))).await;
    let busy = commands_in(&redis, async {
        let began = Instant::now();
        for _ in 0..500 {
            assert_eq!(late.say(&format!("check {good}")).await, "200");
        }
        tokio::time::sleep(Duration::from_secs(2).saturating_sub(began.elapsed())).await;
    });
    let busy = busy.await;
    // What guards ask by themselves, twice a second each, varies with how busy the machine is; a command a call would be 500.
    assert!(busy <= idle + 40, "the calls cost no command: {busy} with 500 of them, {idle} without");
}

async fn commands_in(redis: &RedisServer, work: impl Future<Output = ()>) -> u64 {
    let before = redis.commands().await;
    work.await;
    redis.commands().await - before - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn with_redis_away_at_start_a_guard_refuses_or_serves_and_ends_in_neither_case() {
    let Some(mut redis) = RedisServer::start().await else { return };
    redis.stop();
    let server = MockServer::start().await;
    let (token, _) = token(&server);
    for (on_outage, status) in [("refuse", "503"), ("serve", "200")] {
        let more = format!("[revocation]\non_outage = {on_outage:?}\nmax_stale_seconds = 1\n");
        let mut guard = Process::start(&config(&server, &redis.url(), &more)).await;
        for _ in 0..10 {
            guard.until(&token, status, Duration::from_secs(5)).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        redis.run().await;
        guard.until(&token, "200", Duration::from_secs(5)).await;
        redis.stop();
    }
}

#[test]
fn without_this_package_the_error_names_it() {
    let text = "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"a\"]\n[redis]\nurl = \"redis://localhost\"\n";
    let error = GuardConfig::from_toml(text).unwrap().build().unwrap_err();
    assert_eq!(error.problems()[0].field, "redis");
    assert!(error.to_string().contains("tower-oauth-guard-redis"), "{error}");
    let wrong = text.replace("redis://localhost", "http://localhost");
    let error = GuardConfig::from_toml(&wrong).unwrap_err();
    assert_eq!(error.problems()[0].field, "redis.url", "{error}");
    let _guard = oauth_guard_redis::build(&GuardConfig::from_toml(text).unwrap()).unwrap();
}

fn token(server: &MockServer) -> (String, String) {
    let jti = format!("{:016x}", getrandom::u64().unwrap());
    (server.mint().claim("jti", jti.as_str()).build(), jti)
}

/// Not a test: what the processes run. It does nothing unless the environment has the configuration.
#[tokio::test]
async fn worker() {
    let Ok(text) = env::var(CONFIG) else { return };
    let config = GuardConfig::from_toml(&text).unwrap();
    let guard = oauth_guard_redis::build(&config).unwrap().build().unwrap();
    print_line("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["check", token] => print_line(&check(&guard, token).await),
            ["revoke", issuer, jti] => {
                let revocation = Revocation::token(*issuer, *jti).until(4_102_444_800);
                let revoked = guard.revocations().revoke(revocation).await;
                print_line(&revoked.map_or_else(|error| error.to_string(), |()| "revoked".to_owned()));
            }
            _ => unreachable!("{line}"),
        }
    }
}

async fn check(guard: &Guard, token: &str) -> String {
    let request =
        http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    match guard.check(&request).resolve().await {
        Ok(claims) => if claims.is_some() { "200" } else { "no token" }.to_owned(),
        Err(rejection) => match rejection.code() {
            "invalid_token" => "401",
            "revocations_unavailable" => "503",
            other => other,
        }
        .to_owned(),
    }
}

fn print_line(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{what}").and_then(|()| out.flush()).unwrap();
}

struct Process {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    async fn start(config: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["processes::worker", "--exact", "--nocapture", "--test-threads=1"])
            .env(CONFIG, config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut process = Self { _child: child, input, output: BufReader::new(output).lines() };
        assert_eq!(process.line().await, "ready");
        process
    }

    async fn say(&mut self, what: &str) -> String {
        self.input.write_all(format!("{what}\n").as_bytes()).await.unwrap();
        self.line().await
    }

    /// Asks about a token until the answer is this one.
    async fn until(&mut self, token: &str, answer: &str, limit: Duration) {
        let began = Instant::now();
        loop {
            let said = self.say(&format!("check {token}")).await;
            if said == answer {
                return;
            }
            assert!(began.elapsed() < limit, "it says {said} and not {answer} after {limit:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn line(&mut self) -> String {
        loop {
            let line = timeout(Duration::from_secs(40), self.output.next_line()).await;
            let line = line.expect("the process says nothing").unwrap().expect("the process ended");
            // The test harness writes to the same place, without a line of its own.
            if let Some((_, said)) = line.split_once('@') {
                return said.to_owned();
            }
        }
    }
}
