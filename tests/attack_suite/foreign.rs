//! APIs guarded by libraries that others wrote, in other languages: `tests/foreign/README.md` tells what they fail.

use std::path::PathBuf;

use oauth_mock::attack::Part;
use oauth_mock::suite::{Suite, Verdict};
use tokio::process::Command;

use super::installed::is_there;
use super::programs::foreign;

/// A server of `tests/foreign/servers`, and what the suite finds there.
struct Server {
    program: PathBuf,
    script: &'static str,
    /// Named without the faults of the key endpoint: its cool-down is half a minute.
    let_in: &'static [&'static str],
    broke: &'static [&'static str],
}

fn servers() -> PathBuf {
    foreign("servers")
}

/// The node servers, if their packages are installed.
fn node(script: &'static str) -> Option<PathBuf> {
    let installed = servers().join("node_modules/express").is_dir();
    is_there(installed, &format!("a package of {script}"), "npm ci --prefix tests/foreign/servers")
        .then(|| "node".into())
}

/// The Python servers, if their packages are installed.
fn python(script: &'static str) -> Option<PathBuf> {
    let python = servers().join(".venv/bin/python");
    let how = "python3 -m venv tests/foreign/servers/.venv && \
               tests/foreign/servers/.venv/bin/pip install -r tests/foreign/servers/requirements.txt";
    is_there(python.is_file(), &format!("a package of {script}"), how).then_some(python)
}

async fn attacked(server: Server) {
    let address = super::free_port();
    let suite = Suite::new(format!("http://{address}/whoami")).scope("read").quick().skip("keys-");
    let attacker = suite.start().await.unwrap();
    let mut command = Command::new(&server.program);
    command.arg(servers().join(server.script)).args([attacker.issuer(), "orders-api"]);
    command.arg(address.port().to_string()).current_dir(servers());
    let _child = super::ready(command).await;
    let report = super::run(attacker).await;
    let ids = |verdict| {
        let mut ids: Vec<_> = report.with(verdict).map(|case| case.id).collect();
        ids.dedup();
        ids
    };
    assert_eq!((ids(Verdict::LetIn), ids(Verdict::Broke)), (server.let_in.to_vec(), server.broke.to_vec()));
    assert!(report.summary.judged > 300, "{report}");
}

#[tokio::test]
#[ignore = "needs Node.js, Python and their packages; see tests/README.md"]
async fn jose_on_express_accepts_bound_tokens_and_a_second_header() {
    let Some(program) = node("jose_express.js") else { return };
    attacked(Server {
        program,
        script: "jose_express.js",
        let_in: &["http-two-headers", "cnf-as-bearer"],
        broke: &[],
    })
    .await;
}

#[tokio::test]
#[ignore = "needs Node.js, Python and their packages; see tests/README.md"]
async fn express_oauth2_jwt_bearer_does_not_outlive_the_suite() {
    let Some(program) = node("express_oauth2_jwt_bearer.js") else { return };
    let script = "express_oauth2_jwt_bearer.js";
    let let_in = &["http-two-headers", "http-token-in-the-query"];
    attacked(Server { program, script, let_in, broke: &["alg-malformed"] }).await;
}

/// What its checks of proofs let pass, and that a proof is not remembered, which RFC 9449 leaves to the server.
#[tokio::test]
#[ignore = "needs Node.js, Python and their packages; see tests/README.md"]
async fn express_oauth2_jwt_bearer_checks_proofs() {
    let Some(program) = node("express_oauth2_jwt_bearer.js") else { return };
    let address = super::free_port();
    let suite = Suite::new(format!("http://{address}/whoami")).scope("read").part(Part::Dpop);
    let attacker = suite.start().await.unwrap();
    let mut command = Command::new(&program);
    command.arg(servers().join("express_oauth2_jwt_bearer.js")).args([attacker.issuer(), "orders-api"]);
    command.arg(address.port().to_string()).current_dir(servers());
    let _child = super::ready(command).await;
    let report = super::run(attacker).await;
    let ids = |verdict| {
        let mut ids: Vec<_> = report.with(verdict).map(|case| case.id).collect();
        ids.dedup();
        ids
    };
    assert_eq!((report.exit_code(), &report.cut_short), (0, &None), "{report}");
    let incorrect = ["dpop-scheme-twice", "dpop-proof-malformed", "dpop-htm", "dpop-jti"];
    let in_table_order = ids(Verdict::Incorrect);
    assert_eq!(in_table_order, incorrect, "{report}");
    assert!(ids(Verdict::Differs).contains(&"dpop-replay"), "{report}");
    assert!(report.summary.judged > 250, "{report}");
}

#[tokio::test]
#[ignore = "needs Node.js, Python and their packages; see tests/README.md"]
async fn authlib_takes_tokens_without_a_type() {
    let Some(program) = python("authlib_flask.py") else { return };
    attacked(Server {
        program,
        script: "authlib_flask.py",
        let_in: &["header-typ", "cnf-as-bearer"],
        broke: &[],
    })
    .await;
}

#[tokio::test]
#[ignore = "needs Node.js, Python and their packages; see tests/README.md"]
async fn pyjwt_on_flask_accepts_bound_tokens_and_exp_as_a_string() {
    let Some(program) = python("pyjwt_flask.py") else { return };
    attacked(Server {
        program,
        script: "pyjwt_flask.py",
        let_in: &["time-exp-of-wrong-type", "cnf-as-bearer"],
        broke: &[],
    })
    .await;
}
