//! Servers that check tokens in front of an API, by others: Apache with two modules, and Envoy. Their configurations are in
//! `tests/foreign/gateways`; what they deviate in is listed here, so that it is noticed when a version changes it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use oauth_mock::suite::{Attacker, Report, Suite, Verdict};
use tokio::process::{Child, Command};

use super::installed::is_there;
use super::programs::{ENVOY_HOW, Folder, envoy, foreign, listening};

const APACHE: &str = "/usr/sbin/apache2";

/// What they find depends on the second in which a request arrives, and so on how busy the machine is.
const BY_THE_SECOND: [&str; 2] = ["time-exp-now", "time-exp-of-a-known-token"];

/// What a run finds, by the names of the rows; beside this it leaks nothing and breaks nothing.
struct Found {
    let_in: &'static [&'static str],
    incorrect: &'static [&'static str],
}

impl Found {
    fn compare(&self, report: &Report) {
        let ids = |verdict| {
            let mut ids: Vec<_> = report.with(verdict).map(|case| case.id).collect();
            ids.retain(|id| !BY_THE_SECOND.contains(id));
            ids.dedup();
            ids
        };
        assert_eq!(ids(Verdict::LetIn), self.let_in, "accepted");
        assert_eq!(ids(Verdict::Incorrect), self.incorrect, "incorrect");
        assert_eq!((ids(Verdict::Leaked), ids(Verdict::Broke)), (vec![], vec![]), "leaked, broke");
    }
}

/// A configuration of `tests/foreign/gateways` with its words in `@` filled in.
pub(super) fn filled_in(name: &str, words: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(foreign("gateways").join(name)).unwrap();
    let text = words.iter().fold(text, |text, (word, value)| text.replace(&format!("@{word}@"), value));
    let open = text.lines().find(|line| line.matches('@').count() > 1);
    assert_eq!(open, None, "{name} has a word that is not filled in");
    text
}

/// Starts a program that says nothing when it is there.
pub(super) async fn started(mut command: Command, address: SocketAddr) -> Child {
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    listening(address).await;
    child
}

async fn attacked(configuration: &str, suite: Suite, address: SocketAddr, program: &Path) -> Report {
    let attacker: Attacker = suite.start().await.unwrap();
    let issuer = attacker.issuer().to_owned();
    let folder = Folder::new(configuration);
    std::fs::create_dir_all(folder.0.join("www")).unwrap();
    folder.write("www/whoami", "{}");
    let (at, there) = (address.to_string(), folder.0.display().to_string());
    let (port, issuer_port) = (address.port().to_string(), issuer.rsplit(':').next().unwrap());
    let words = [
        ("address", at.as_str()),
        ("folder", &there),
        ("issuer", &issuer),
        ("issuer_port", issuer_port),
        ("port", &port),
    ];
    let file = folder.write(configuration, &filled_in(configuration, &words));
    let mut command = Command::new(program);
    if program == Path::new(APACHE) {
        // One process, which ends with this test.
        command.arg("-X").arg("-f").arg(file);
    } else {
        command.arg("-c").arg(file).args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "off"]);
    }
    let _server = started(command, address).await;
    let report = super::run(attacker).await;
    assert_eq!(report.cut_short, None, "{report}");
    report
}

/// Apache, if this module of it is installed.
fn apache(module: &str, package: &str) -> bool {
    let module = Path::new("/usr/lib/apache2/modules").join(module);
    is_there(Path::new(APACHE).is_file() && module.is_file(), package, &format!("apt-get install {package}"))
}

#[tokio::test]
#[ignore = "needs Apache or Envoy; see tests/README.md"]
async fn mod_oauth2_on_apache() {
    if !apache("mod_oauth2.so", "libapache2-mod-oauth2") {
        return;
    }
    let address = super::free_port();
    let suite = Suite::new(format!("http://{address}/whoami")).scope("read").quick().skip("keys-");
    let report = attacked("mod_oauth2.conf", suite, address, Path::new(APACHE)).await;
    assert!(report.summary.judged > 500, "{report}");
    let found = Found {
        let_in: &[
            "structure-unencoded-payload",
            "header-crit",
            "time-nbf-future",
            "iss-list",
            "iss-nearly",
            "cnf-as-bearer",
        ],
        incorrect: &[
            "http-claims-in-errors",
            "structure-padding",
            "structure-trailing-bits",
            "structure-signed-unusual-spelling",
            "json-duplicate-other-claim",
            "json-names-in-another-case",
            "json-trailing-junk",
            "header-crit",
            "header-id-token",
            "alg-not-the-keys-own",
            "signature-of-wrong-length",
            "time-exp-fraction",
            "time-nbf-of-wrong-type",
            "iss-missing",
            "iss-of-wrong-type",
            "iss-nearly",
            "iss-lookalike",
            "aud-missing",
            "aud-of-wrong-type",
            "aud-empty",
            "aud-nearly",
            "aud-a-part",
            "scope-missing",
            "scope-nearly",
            "scope-odd-forms",
        ],
    };
    found.compare(&report);
}

#[tokio::test]
#[ignore = "needs Apache or Envoy; see tests/README.md"]
async fn mod_auth_openidc_on_apache_that_introspects() {
    if !apache("mod_auth_openidc.so", "libapache2-mod-auth-openidc") {
        return;
    }
    let address = super::free_port();
    let suite = Suite::new(format!("http://{address}/whoami")).scope("read").quick().opaque();
    let report = attacked("mod_auth_openidc.conf", suite, address, Path::new(APACHE)).await;
    assert!(report.summary.judged > 80, "{report}");
    let found = Found {
        let_in: &[
            "opaque-bound-to-a-key",
            "opaque-bound-to-a-certificate",
            "opaque-status-500",
            "opaque-status-401",
            "opaque-redirect",
        ],
        incorrect: &[
            "opaque-characters",
            "opaque-active-true-as-text",
            "opaque-active-twice",
            "opaque-expired",
            "opaque-exp-of-wrong-type",
            "opaque-not-yet-valid",
            "opaque-other-audience",
            "opaque-audience-nearly",
            "opaque-no-audience",
            "opaque-other-issuer",
            "opaque-scope-missing",
            "opaque-scope-nearly",
            "opaque-other-token-type",
            "opaque-unknown-members",
            "opaque-status-created",
        ],
    };
    found.compare(&report);
}

#[tokio::test]
#[ignore = "needs Apache or Envoy; see tests/README.md"]
async fn jwt_authn_on_envoy() {
    if !is_there(envoy().is_file(), "Envoy", ENVOY_HOW) {
        return;
    }
    let address = super::free_port();
    let suite = Suite::new(format!("http://{address}/whoami")).quick().skip("keys-");
    let report = attacked("envoy.yaml", suite, address, &envoy()).await;
    assert!(report.summary.judged > 480, "{report}");
    let found = Found {
        let_in: &[
            "http-two-headers",
            "http-token-in-the-query",
            "structure-unencoded-payload",
            "header-crit",
            "time-exp-past",
            "cnf-as-bearer",
        ],
        incorrect: &[
            "http-scheme-case",
            "http-claims-in-errors",
            "structure-too-many-parts",
            "structure-padding",
            "structure-trailing-bits",
            "structure-signed-unusual-spelling",
            "json-names-in-another-case",
            "header-crit",
            "header-id-token",
            "signature-of-wrong-length",
            "aud-missing",
            "aud-empty",
            "aud-nearly",
            "aud-a-part",
        ],
    };
    found.compare(&report);
}
