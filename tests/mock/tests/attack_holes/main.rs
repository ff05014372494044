//! Each row of the attack table against a small API with exactly that hole: the suite must find it, by that row.
//!
//! `cargo test -p tower-oauth-mock --test attack_holes -- --ignored --nocapture` prints the table: row, finding, exit code.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod certificates;
mod claims;
mod foreign;
mod introspects;
mod json;
mod keys;
mod possession;
mod proofs;
mod server;
mod signature;
mod trouble;
mod verify;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use oauth_mock::Alg;
use oauth_mock::attack::{self, Area, Attack, Part};
use oauth_mock::suite::{self, FailOn, Report, Suite, Verdict};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::api::Api;

/// How many APIs are attacked at a time: most of the time is spent waiting for fetches of keys.
const AT_A_TIME: usize = 16;

/// Attacks an API with this hole, with these rows only.
async fn attacked(hole: &'static str, rows: &[&str]) -> Report {
    let row = suite::cases().find(|row| row.id == hole);
    attacked_with(hole, rows, row.is_some_and(|row| row.setup.optional)).await
}

/// The same, where a token is optional or not.
async fn attacked_with(hole: &'static str, rows: &[&str], optional: bool) -> Report {
    let row = suite::cases().find(|row| row.id == hole);
    let setup = row.map(|row| row.setup).unwrap_or_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut suite = Suite::new(format!("http://{}/whoami", listener.local_addr().unwrap()))
        .scope("read")
        .key_wait(Duration::from_secs(10))
        .timeout(Duration::from_secs(5));
    suite = rows.iter().fold(suite, |suite, row| suite.only(*row));
    if rows.is_empty() {
        suite = suite.parallel(8);
    }
    if row.is_some_and(|row| row.area == Area::Keys) {
        // New RSA keys take a second each.
        suite = suite.algorithm(Alg::Es256);
    }
    let mut allowed: Vec<Alg> = attack::ALGORITHMS.to_vec();
    match (setup.only_algorithms, hole) {
        (Some(only), _) => {
            allowed = only.to_vec();
            suite = suite.allowed(only.iter().copied());
        }
        // Found by what it refuses, so that it has to be said what it is meant to accept.
        (None, "alg-families-side-by-side" | "alg-ed25519") => suite = suite.allowed(allowed.iter().copied()),
        _ => {}
    }
    if setup.two_issuers {
        suite = suite.second_issuer();
    }
    if optional {
        suite = suite.optional();
    }
    if setup.max_token_age.is_some() {
        suite = suite.max_token_age(Duration::from_secs(3_600));
    }
    let attacker = suite.start().await.unwrap();
    let issuers = [Some(attacker.issuer()), attacker.second_issuer()].into_iter().flatten();
    let mut api = Api::new(hole, issuers);
    api.allowed = allowed.iter().map(|alg| alg.as_str()).collect();
    api.optional = optional;
    api.max_token_age = setup.max_token_age.map(|_| 3_600);
    let serving = tokio::spawn(server::serve(Arc::new(api), listener));
    let report = attacker.run(&mut |_| {}).await.unwrap_or_else(|error| panic!("{hole}: {error}"));
    serving.abort();
    report
}

/// The same of an API that introspects its tokens.
async fn attacked_by_introspection(hole: &'static str, rows: &[&str], signed: bool) -> Report {
    attacked_by_introspection_with(hole, rows, signed, false).await
}

async fn attacked_by_introspection_with(
    hole: &'static str,
    rows: &[&str],
    signed: bool,
    optional: bool,
) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let suite = Suite::new(format!("http://{}/whoami", listener.local_addr().unwrap()))
        .scope("read")
        .algorithm(Alg::Es256)
        .key_wait(Duration::from_secs(4))
        .timeout(Duration::from_secs(5))
        .opaque();
    let mut suite = rows.iter().fold(suite, |suite, row| suite.only(*row));
    if optional {
        suite = suite.optional().quick();
    }
    let attacker = suite.start().await.unwrap();
    let api = Api { optional, ..Api::introspecting(hole, attacker.issuer(), signed) };
    let serving = tokio::spawn(server::serve(Arc::new(api), listener));
    let report = attacker.run(&mut |_| {}).await.unwrap_or_else(|error| panic!("{hole}: {error}"));
    serving.abort();
    report
}

/// The rows that have to be sent for this one to show.
fn with_what_leads_there(row: &Attack) -> Vec<&'static str> {
    match row.id {
        "endpoint-recovered" => vec!["endpoint-error", "endpoint-recovered"],
        "kid-flood-and-a-rotation" => vec!["kid-flood", "kid-flood-and-a-rotation"],
        id => vec![id],
    }
}

fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass | Verdict::NotApplicable => 0,
        Verdict::Differs => 1,
        Verdict::Incorrect => 2,
        _ => 3,
    }
}

/// The worst finding of each request, by row and variant.
fn findings(report: &Report) -> HashMap<(&'static str, String), Verdict> {
    report.cases.iter().map(|case| ((case.id, case.variant.clone()), case.verdict)).collect()
}

/// The least level at which a run fails for a finding.
fn level(verdict: Verdict) -> FailOn {
    match verdict {
        Verdict::Differs => FailOn::Differs,
        Verdict::Incorrect => FailOn::Incorrect,
        _ => FailOn::Accepted,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_found_in_an_api_that_serves_anonymous_callers_as_well() {
    // The whole table but the rows about keys, which take minutes and show a token each.
    let report = attacked_with(
        "",
        &[
            "http-",
            "structure-",
            "json-",
            "header-",
            "alg-",
            "time-exp",
            "iss-",
            "aud-",
            "cnf-",
            "sub-",
            "scope-",
            "optional-",
        ],
        true,
    )
    .await;
    assert_eq!((report.exit_code_from(FailOn::Incorrect), &report.cut_short), (0, &None), "{report}");
    let anonymous = |case: &&suite::Case| case.note == "a token is optional here";
    let rows: HashSet<_> = report.cases.iter().filter(anonymous).map(|case| case.id).collect();
    for row in [
        "http-no-token",
        "http-other-scheme",
        "http-token-in-a-cookie",
        "http-other-methods",
        "http-identity-headers",
        "http-cors-any-origin",
    ] {
        assert!(rows.contains(row), "{row}: {report}");
    }
    // What shows a token is judged as always.
    let beside =
        |case: &&suite::Case| case.id == "http-identity-headers" && case.variant.ends_with("beside a token");
    assert!(report.cases.iter().filter(beside).count() > 10, "{report}");
    let origin = attacked_with("http-cors-any-origin", &["http-cors-any-origin"], true).await;
    assert_eq!((origin.exit_code(), origin.summary.let_in), (1, 5), "{origin}");

    let report = attacked_by_introspection_with("", &[], false, true).await;
    assert_eq!((report.exit_code_from(FailOn::Incorrect), &report.cut_short), (0, &None), "{report}");
    let rows: HashSet<_> = report.cases.iter().filter(anonymous).map(|case| case.id).collect();
    assert!(
        ["opaque-no-token", "opaque-other-scheme", "opaque-in-the-query"]
            .iter()
            .all(|row| rows.contains(row)),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs most of a minute; see tests/README.md"]
async fn every_row_finds_the_api_with_its_hole() {
    let whole = tokio::spawn(async { attacked("", &[]).await });
    let (turns, mut running) = (Arc::new(Semaphore::new(AT_A_TIME)), JoinSet::new());
    for (place, row) in suite::cases_of(Part::Tokens).enumerate() {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await;
            (place, row, attacked(row.id, &with_what_leads_there(row)).await)
        });
    }
    let results = running.join_all().await;
    let counts = found(whole.await.unwrap(), results);
    // What lets an attacker in is said so, whatever `--fail-on` is.
    assert!(counts["ACCEPTED"] > 50, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs most of a minute; see tests/README.md"]
async fn every_row_about_introspection_finds_the_api_with_its_hole() {
    // Signed responses are asked for, so that nothing is left out.
    let whole = tokio::spawn(async { attacked_by_introspection("", &[], true).await });
    let plain = tokio::spawn(async { attacked_by_introspection("", &[], false).await });
    let (turns, mut running) = (Arc::new(Semaphore::new(AT_A_TIME)), JoinSet::new());
    let rows = suite::cases().filter(|row| row.area == Area::Introspection);
    for (place, row) in rows.enumerate() {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await;
            let signed = row.id.starts_with("opaque-signed");
            (place, row, attacked_by_introspection(row.id, &[row.id], signed).await)
        });
    }
    let results = running.join_all().await;
    let plain = plain.await.unwrap();
    assert_eq!((plain.exit_code_from(FailOn::Incorrect), &plain.cut_short), (0, &None), "{plain}");
    assert!(results.len() >= 40, "{}", results.len());
    let counts = found(whole.await.unwrap(), results);
    assert!(counts["ACCEPTED"] > 25, "{counts:?}");
}

/// Prints what was found in each API with a hole, by its row, beyond what is found in the one without. How many rows have
/// which finding.
fn found(whole: Report, mut results: Vec<(usize, &'static Attack, Report)>) -> HashMap<&'static str, usize> {
    println!("without a hole:\n{whole}");
    assert_eq!((whole.exit_code_from(FailOn::Incorrect), &whole.cut_short), (0, &None), "{whole}");
    let usual = findings(&whole);
    results.sort_by_key(|(place, ..)| *place);

    let mut table = String::new();
    let mut missed = Vec::new();
    let mut counts = HashMap::<&str, usize>::new();
    for (_, row, report) in &results {
        let worse = |case: &&suite::Case| {
            let before = usual.get(&(case.id, case.variant.clone())).copied().unwrap_or(Verdict::Pass);
            case.id == row.id && badness(case.verdict) > badness(before)
        };
        let found = report.cases.iter().filter(worse).max_by_key(|case| badness(case.verdict));
        let (verdict, code, what) = match found {
            Some(case) => {
                let code = report.exit_code_from(level(case.verdict));
                (case.verdict.as_str(), code, format!("{} {}", case.variant.escape_debug(), case.note))
            }
            None => ("missed", report.exit_code(), String::new()),
        };
        *counts.entry(verdict).or_default() += 1;
        if code != 1 || found.is_none() {
            missed.push(row.id);
            println!("{}:\n{report}", row.id);
        }
        writeln!(
            table,
            "{:34} {verdict:10} exit {code}  {}",
            row.id,
            what.chars().take(90).collect::<String>()
        )
        .unwrap();
    }
    println!("{table}{} rows: {counts:?}", results.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
    counts
}
