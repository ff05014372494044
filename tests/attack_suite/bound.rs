//! The parts of the suite about bound tokens, against an API behind the guard: DPoP with and without nonces, and
//! certificates from each kind of proxy.

use std::net::IpAddr;
use std::time::Duration;

use oauth_mock::attack::{CertificateHeader, Part};
use oauth_mock::suite::{Report, Suite, Verdict};

use crate::example::example;
use crate::file::File;

/// `typ` is a media type, so that its case does not matter (RFC 7515 section 4.1.9).
const TYPES: &[&str] = &["dpop-typ"];

/// The report of a run against `protected_api` with these keys in its configuration, at the top level and behind it.
async fn attacked(name: &str, top: &str, tables: &str, set: impl FnOnce(Suite) -> Suite) -> Report {
    let address = crate::free_port();
    let suite = Suite::new(format!("http://{address}/read")).audience("orders-api").scope("read");
    let attacker = set(suite).start().await.unwrap();
    let issuer = attacker.issuer();
    let text = format!("{top}\n[[issuer]]\nissuer = \"{issuer}\"\naudience = [\"orders-api\"]\n{tables}\n");
    let config = File::new(&format!("{name}.toml"), &text);
    let mut api = example("protected_api");
    api.arg("--config").arg(&config.0).args(["--listen", &address.to_string()]);
    let _api = crate::ready(api).await;
    drop(config);
    crate::run(attacker).await
}

/// Nothing was found, in so many requests, and these rows were answered in another way that is allowed, too.
fn faultless(report: &Report, requests: usize, choices: &[&str]) {
    assert_eq!((report.exit_code(), report.summary.incorrect), (0, 0), "{report}");
    let mut differ: Vec<_> = report.with(Verdict::Differs).map(|case| case.id).collect();
    differ.dedup();
    assert_eq!((differ.as_slice(), report.summary.judged), (choices, requests), "{report}");
}

#[tokio::test]
async fn the_guard_checks_proofs_as_it_should() {
    let public = "public_url = \"https://api.test\"";
    let report = attacked("attack-dpop", public, "[dpop]", |suite| {
        suite.part(Part::Dpop).public_url("https://api.test/read")
    })
    .await;
    faultless(&report, 262, TYPES);
}

#[tokio::test]
async fn the_guard_asks_for_nonces_and_for_bound_tokens_alone() {
    let tables = "[dpop]\nmode = \"require\"\nnonce = \"require\"\nnonce_seconds = 2";
    let lifetime = Duration::from_secs(2);
    let report =
        attacked("attack-nonce", "", tables, |suite| suite.part(Part::Dpop).nonce_lifetime(lifetime)).await;
    faultless(&report, 273, TYPES);
}

#[tokio::test]
async fn the_guard_takes_certificates_from_its_proxy_alone() {
    let past_the_proxy = IpAddr::from([127, 0, 0, 2]);
    for (header, requests) in CertificateHeader::ALL.into_iter().zip([58, 69, 55]) {
        let source = header.as_str();
        let top = "trusted_proxies = [\"127.0.0.1/32\"]";
        let tables = format!("[certificates]\nsource = \"{source}\"");
        let report = attacked(&format!("attack-{source}"), top, &tables, |suite| {
            suite.part(Part::Certificates).certificate_header(header).untrusted_from(past_the_proxy)
        })
        .await;
        // Without `[dpop]` the scheme DPoP is no attempt to show a token.
        faultless(&report, requests, &["cert-bad-token"]);
    }
}
