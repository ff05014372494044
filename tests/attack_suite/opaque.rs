//! The part of the suite that is the introspection endpoint, against the guard.

use oauth_mock::suite::{Suite, Verdict};

use super::example::example;
use super::file::File;

/// How many requests have one right response, without and with signed responses.
const PLAIN: usize = 93;
const SIGNED: usize = 105;

async fn attacked(name: &str, more: &str) -> oauth_mock::suite::Report {
    let address = super::free_port();
    let suite = Suite::new(format!("http://{address}/read")).audience("orders-api").scope("read").opaque();
    let attacker = suite.start().await.unwrap();
    let text = format!(
        "[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\n[issuer.introspection]\n\
         client_id = \"orders-api\"\nclient_secret = \"s3cr3t\"\ncache_seconds = 2\n{more}\n",
        attacker.issuer(),
    );
    let config = File::new(name, &text);
    let mut api = example("protected_api");
    api.arg("--config").arg(&config.0).args(["--listen", &address.to_string()]);
    let _api = super::ready(api).await;
    let report = super::run(attacker).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(report.summary.incorrect, 0, "{report}");
    report
}

/// What the guard does otherwise than the row has it, by choice.
fn choices(report: &oauth_mock::suite::Report) -> Vec<&'static str> {
    let mut ids: Vec<_> = report.with(Verdict::Differs).map(|case| case.id).collect();
    ids.dedup();
    ids
}

#[tokio::test]
async fn a_guard_that_introspects_responds_to_every_request_as_it_should() {
    let report = attacked("attack-opaque.toml", "").await;
    assert_eq!((report.summary.judged, choices(&report)), (PLAIN, Vec::new()), "{report}");
}

#[tokio::test]
async fn so_does_one_that_asks_for_signed_responses() {
    let report = attacked("attack-opaque-signed.toml", "jwt_response = true").await;
    assert_eq!((report.summary.judged, choices(&report)), (SIGNED, Vec::new()), "{report}");
    assert_eq!(report.summary.not_applicable, 0, "{report}");
}
