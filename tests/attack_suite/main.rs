//! The attack suite of `oauth-mock` against APIs: one guarded by `oauth-guard`, some broken on purpose, some guarded by
//! libraries of others, and some behind servers of others that check the tokens.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bound;
mod broken;
#[path = "../support/example.rs"]
mod example;
#[path = "../support/file.rs"]
mod file;
mod foreign;
mod gateways;
#[path = "../support/installed.rs"]
mod installed;
mod nginx;
mod opaque;
#[path = "../support/foreign.rs"]
mod programs;

use std::process::Stdio;
use std::time::Duration;

use oauth_mock::suite::{Attacker, Report, Suite, Verdict};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use self::example::example;
use self::file::File;
use self::programs::free_port;

/// How many requests have one right response by the standards, for a target that takes what `oauth-guard` takes.
const REQUESTS: usize = 603;

#[tokio::test]
async fn an_api_behind_the_guard_responds_to_every_request_as_it_should() {
    let address = free_port();
    let suite = Suite::new(format!("http://{address}/read")).audience("orders-api").scope("read");
    let attacker = suite.start().await.unwrap();
    // The cool-down is short, so that the test does not take minutes; the issuer's keys change often here.
    let issuer = attacker.issuer();
    let text = format!(
        "[[issuer]]\nissuer = \"{issuer}\"\naudience = [\"orders-api\"]\n[keys]\ncooldown_seconds = 1\n"
    );
    let config = File::new("attack-suite.toml", &text);
    let mut api = example("protected_api");
    api.arg("--config").arg(&config.0).args(["--listen", &address.to_string()]);
    let _api = ready(api).await;
    drop(config);

    let report = run(attacker).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!((report.summary.incorrect, report.summary.judged), (0, REQUESTS), "{report}");
    // Those that the HTTP server refuses before the guard sees them, and the two that a malformed request or a bad
    // token could both be called.
    let mut choices: Vec<_> = report.with(Verdict::Differs).map(|case| case.id).collect();
    choices.dedup();
    let expected =
        ["http-odd-bytes", "http-folded-header", "structure-padding", "structure-foreign-characters"];
    assert_eq!(choices, expected, "{report}");
    assert!(report.traits.only_access_tokens && report.traits.leeway_is_exact, "{report}");
    assert_eq!(report.traits.leeway_seconds, 60);
}

/// Runs to the end; `cargo test -- --nocapture` shows the steps.
async fn run(attacker: Attacker) -> Report {
    let report = attacker.run(&mut |step| println!("{step}")).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{report}");
    report
}

/// Starts a program that says `READY` first; it ends with what is returned.
async fn ready(mut command: Command) -> Child {
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
    let first = first.expect("the program says READY within a minute").unwrap();
    assert!(first.is_some_and(|line| line.starts_with("READY ")), "{command:?}");
    // Whatever it prints later must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}
