//! What is left of an axum server's throughput with the guard in front of it: `cargo bench -p tower-oauth-guard --bench loopback`.
//!
//! wrk (Debian's package `wrk`) sends the same requests to two servers in turn, each a process of its own with one
//! thread: one guarded, one not. The ratio of a round is that of two runs that follow each other, and the median of
//! the rounds is reported. Without wrk it says so and measures nothing.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[expect(dead_code, reason = "this bench needs a part of it")]
#[path = "../../oauth-client/benches/measure/paired.rs"]
mod paired;
#[expect(dead_code, reason = "this bench needs a part of it")]
mod setting;
#[expect(dead_code, reason = "this bench needs a part of it")]
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use axum::Router;
use axum::routing::get;
use oauth_guard::{Guard, Issuer};
use oauth_mock::Alg;

use self::paired::median;
use self::setting::{AUDIENCE, ISSUER, Setting};
use self::summary::{Summary, is_measuring};

/// How many pairs of runs, and how long each run lasts.
const ROUNDS: usize = 11;
const SECONDS: &str = "2s";

/// The argument for a server with a layer that does nothing: what is left is axum's own price for one.
const IDLE: &str = "idle";

/// Each request is written out before the clock starts; eight headers, as a browser's API call has them.
const SCRIPT: &str = r#"
local requests, turn = {}, 0
function init(args)
  for token in io.lines(os.getenv("TOKENS")) do
    requests[#requests + 1] = wrk.format("GET", "/orders", {
      ["Host"] = "api.example.com", ["User-Agent"] = "bench/1.0", ["Accept"] = "application/json",
      ["Accept-Encoding"] = "gzip, br", ["Content-Type"] = "application/json",
      ["X-Request-Id"] = "b1946ac92492d2347c6235b4d2611184",
      ["Traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      ["Authorization"] = "Bearer " .. token,
    })
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
"#;

fn main() {
    if let Ok(keys) = env::var("LOOPBACK_SERVER") {
        return serve(&keys);
    }
    if Command::new("wrk").arg("--version").output().is_err() {
        println!("wrk is not installed; nothing measured (apt-get install wrk)");
        return;
    }
    let (rounds, seconds) = if is_measuring() { (ROUNDS, SECONDS) } else { (1, "1s") };
    let setting = Setting::new(Alg::Rs256);
    let keys = setting.server.keys().jwks_json();
    let [guarded, idle, bare] = [&*keys, IDLE, ""].map(Server::start);
    let mut summary = Summary::new();
    for count in if is_measuring() { [1, 10_000] } else { [1, 10] } {
        let files = Files::write(&(0..count).map(|_| setting.token()).collect::<Vec<_>>());
        // Every token is new once; that is not measured here.
        for server in [&guarded, &idle, &bare] {
            files.load(server, seconds);
        }
        let mut rates = [const { Vec::new() }; 3];
        for round in 0..rounds {
            // Each goes first in turn.
            for turn in 0..3 {
                let which = (round + turn) % 3;
                rates[which].push(files.load([&guarded, &idle, &bare][which], seconds));
            }
        }
        let ratio_of =
            |which: usize| median(rates[which].iter().zip(&rates[2]).map(|(one, bare)| one / bare));
        let (ratio, idle_ratio) = (ratio_of(0), ratio_of(1));
        let [guarded_rate, idle_rate, bare_rate] = rates.map(|rates| median(rates.into_iter()));
        println!("{count} tokens, medians of {rounds} rounds, requests a second:");
        for (what, rate, ratio) in [
            ("guarded", guarded_rate, ratio),
            ("with a layer that does nothing", idle_rate, idle_ratio),
            ("bare", bare_rate, 1.0),
        ] {
            let more = 1e6 / rate - 1e6 / bare_rate;
            println!("  {what:<32} {rate:>8.0} {ratio:>7.3} {more:>7.2} us more for each");
        }
        let name =
            if count == 1 { "axum_guarded_over_unguarded" } else { "axum_guarded_over_unguarded_10000" };
        summary.tell(name, ratio);
    }
    summary.finish();
}

/// One server on one thread, until it is killed; guarded if there are keys.
fn serve(keys: &str) {
    let app = Router::new().route("/orders", get(|| async { "ok" }));
    let app = if keys.is_empty() {
        app
    } else if keys == IDLE {
        app.layer(tower::util::MapRequestLayer::new(|request| request))
    } else {
        let issuer = Issuer::new(ISSUER).audience(AUDIENCE).jwks_json(keys);
        app.layer(Guard::builder().issuer(issuer).build().expect("a guard").layer())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        axum::serve(listener, app).await.expect("a server");
    });
}

/// This program once more, as a server.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(keys: &str) -> Self {
        let mut process = Command::new(env::current_exe().expect("a program"))
            .env("LOOPBACK_SERVER", keys)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut address = String::new();
        let out = process.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut address).expect("its address");
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What wrk reads.
struct Files {
    tokens: PathBuf,
    script: PathBuf,
}

impl Files {
    fn write(tokens: &[String]) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let files = Self { tokens: directory.join("tokens.txt"), script: directory.join("loopback.lua") };
        fs::write(&files.tokens, tokens.join("\n")).expect("a file");
        fs::write(&files.script, SCRIPT).expect("a file");
        files
    }

    /// Requests a second.
    fn load(&self, server: &Server, seconds: &str) -> f64 {
        let output = Command::new("wrk")
            .args(["-t1", "-c16", "-d", seconds, "-s"])
            .arg(&self.script)
            .arg(format!("http://{}/orders", server.address))
            .env("TOKENS", &self.tokens)
            .output()
            .expect("wrk");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("Non-2xx"), "the server refused: {text}");
        let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
        rate.and_then(|rate| rate.trim().parse().ok()).expect("a rate")
    }
}
