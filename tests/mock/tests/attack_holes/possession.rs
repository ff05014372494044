//! Each row about bound tokens against an API with exactly that hole.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use oauth_mock::Alg;
use oauth_mock::attack::{self, CertificateHeader, Part};
use oauth_mock::suite::{FailOn, Report, Suite, Verdict};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::{Api, Binding};
use crate::certificates::Certificates;
use crate::proofs::{NONCE_LIFETIME, Proofs};
use crate::{AT_A_TIME, badness, findings, level, server};

/// How the API is set up.
#[derive(Clone, Copy)]
enum Setup {
    Dpop { wants_nonces: bool },
    Certificates(CertificateHeader),
}

/// Where callers of the API believe it to be, so that each spelling of an address can be tried.
const PUBLIC: &str = "https://api.test/whoami";

async fn attacked(hole: &'static str, only: Option<&str>, setup: Setup) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut suite = Suite::new(format!("http://{}/whoami", listener.local_addr().unwrap()))
        .scope("read")
        .algorithm(Alg::Es256)
        .timeout(Duration::from_secs(5));
    suite = only.iter().fold(suite, |suite, row| suite.only(*row));
    let binding = match setup {
        Setup::Dpop { wants_nonces } => {
            suite = suite.part(Part::Dpop).public_url(PUBLIC).nonce_lifetime(NONCE_LIFETIME);
            let origin = "https://api.test".to_owned();
            Binding::Key(Proofs { origin, wants_nonces, ..Proofs::default() })
        }
        Setup::Certificates(header) => {
            suite = suite.part(Part::Certificates).certificate_header(header);
            suite = suite.untrusted_from([127, 0, 0, 2]);
            Binding::Certificate(Certificates { header })
        }
    };
    let attacker = suite.start().await.unwrap();
    let mut api = Api::new(hole, [attacker.issuer()]);
    api.binding = Some(binding);
    let serving = tokio::spawn(server::serve(Arc::new(api), listener));
    let report = attacker.run(&mut |_| {}).await.unwrap_or_else(|error| panic!("{hole}: {error}"));
    serving.abort();
    report
}

fn setup_of(row: &str) -> Setup {
    match row {
        "dpop-nonce" | "dpop-nonce-stale" => Setup::Dpop { wants_nonces: true },
        row if row.starts_with("dpop-") => Setup::Dpop { wants_nonces: false },
        row if row.starts_with("cert-xfcc") => Setup::Certificates(CertificateHeader::Xfcc),
        _ => Setup::Certificates(CertificateHeader::ClientCert),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_without_a_hole_shows_none_however_tokens_are_bound() {
    let dpop = [true, false].map(|wants_nonces| Setup::Dpop { wants_nonces });
    let certificates = CertificateHeader::ALL.map(Setup::Certificates);
    let mut requests = Vec::new();
    for setup in dpop.into_iter().chain(certificates) {
        let report = attacked("", None, setup).await;
        println!("{report}");
        assert_eq!((report.exit_code_from(FailOn::Incorrect), &report.cut_short), (0, &None), "{report}");
        requests.push(report.summary.judged);
    }
    assert!(requests[..2].iter().all(|judged| *judged > 200), "{requests:?}");
    assert!(requests[2..].iter().all(|judged| *judged > 45), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs most of a minute; see tests/README.md"]
async fn every_row_about_bound_tokens_finds_the_api_with_its_hole() {
    let (turns, mut running) = (Arc::new(Semaphore::new(AT_A_TIME)), JoinSet::new());
    let rows: Vec<_> = [Part::Dpop, Part::Certificates].into_iter().flat_map(attack::of).collect();
    for row in rows.iter().copied() {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await;
            let usual = attacked("", Some(row.id), setup_of(row.id)).await;
            (row.id, usual, attacked(row.id, Some(row.id), setup_of(row.id)).await)
        });
    }
    let (mut table, mut missed, mut accepted) = (String::new(), Vec::new(), 0);
    for (id, usual, report) in running.join_all().await {
        let usual = findings(&usual);
        let worse = |case: &&oauth_mock::suite::Case| {
            let before = usual.get(&(case.id, case.variant.clone())).copied().unwrap_or(Verdict::Pass);
            case.id == id && badness(case.verdict) > badness(before)
        };
        let found = report.cases.iter().filter(worse).max_by_key(|case| badness(case.verdict));
        match found {
            Some(case) if report.exit_code_from(level(case.verdict)) == 1 => {
                accepted += usize::from(case.verdict == Verdict::LetIn);
                writeln!(table, "{id:34} {:10} {} {}", case.verdict.as_str(), case.variant, case.note)
                    .unwrap();
            }
            _ => {
                println!("{id}:\n{report}");
                missed.push(id);
            }
        }
    }
    println!("{table}{} rows, {accepted} of them let an attacker in", rows.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(accepted > 25, "{accepted}");
}
