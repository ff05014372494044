//! `oauth-mock attack` as a program: arguments, output, exit codes.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

async fn attack(args: &[&str]) -> Output {
    run(&[&["attack"], args].concat()).await
}

async fn run(args: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_oauth-mock"));
    program.args(args).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap()
}

/// An API that gives this response to everything; its address.
async fn always(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/whoami", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
                while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                    let Ok(length @ 1..) = stream.read(&mut chunk).await else { return };
                    request.extend_from_slice(&chunk[..length]);
                }
                let text = format!("HTTP/1.1 {response}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(text.as_bytes()).await;
            });
        }
    });
    url
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn an_open_door_is_told_of_and_is_exit_code_1() {
    let url = always("200 OK").await;
    let json = std::env::temp_dir().join(format!("attack-program-{}.json", std::process::id()));
    let args = ["--listen", "127.0.0.1:0", "--only", "alg-none", "--only", "G110", "--json"];
    let output = attack(&[&["--target", &url], &args[..], &[json.to_str().unwrap()]].concat()).await;
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("alg-none: with a kid") && table.contains("ACCEPTED"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    assert!(text(&output.stderr).contains("must trust this issuer"));
    assert!(!table.contains("without any scope"), "{table}");

    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    std::fs::remove_file(&json).unwrap();
    assert_eq!((&report["version"], &report["target"]), (&1.into(), &url.into()));
    let cases = report["cases"].as_array().unwrap();
    assert!(cases.iter().any(|case| case["id"] == "http-no-token" && case["verdict"] == "let_in"));
    assert_eq!(report["summary"]["judged"], cases.len());
}

#[tokio::test]
async fn the_parts_about_bound_tokens_are_chosen_by_name() {
    let url = always("200 OK").await;
    let args = ["--target", &url, "--listen", "127.0.0.1:0"];
    let dpop = ["--part", "dpop", "--only", "dpop-ath", "--public-url", "https://api.test/"];
    let certificates = ["--part", "certificates", "--certificate-header", "xfcc", "--only", "cert-missing"];
    for (part, row, how) in [
        (&dpop[..], "dpop-ath: of another token", "DPoP, proofs for https://api.test/"),
        (&certificates[..], "cert-missing: no header", "named in X-Forwarded-Client-Cert"),
    ] {
        let output = attack(&[&args[..], part].concat()).await;
        let table = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{table}");
        assert!(table.contains(how) && table.contains(row) && table.contains("ACCEPTED"), "{table}");
        assert!(text(&output.stderr).contains(how));
    }
    let output = attack(&[&args[..], &["--part", "dpop", "--only", "alg-none"]].concat()).await;
    assert!(text(&output.stderr).contains("no case is called \"alg-none\""), "it belongs to another part");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn who_names_a_scope_that_is_not_asked_for_is_told_so() {
    let url = always("200 OK").await;
    let args = ["--listen", "127.0.0.1:0", "--only", "scope-missing", "--scope", "read"];
    let output = attack(&[&["--target", &url], &args[..]].concat()).await;
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("A token without any scope was accepted"), "{table}");
}

#[tokio::test]
async fn what_never_lets_a_good_token_in_is_told_why_and_is_exit_code_2() {
    let url = always("401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"invalid_token\"").await;
    let output = attack(&["--target", &url, "--listen", "127.0.0.1:0", "--wait", "1"]).await;
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{error}");
    assert!(error.contains("never accepted") && error.contains("Bearer error=\"invalid_token\""), "{error}");
    assert!(error.contains("asked for no metadata and no keys"), "{error}");
    for reason in
        ["set its issuer to the one above", "compare the audience", "keys of an earlier run: restart it"]
    {
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[tokio::test]
async fn what_cannot_be_attacked_is_exit_code_2() {
    for (target, word) in [
        ("http://192.0.2.1/", "--danger-allow-remote"),
        ("ftp://127.0.0.1/", "http://"),
        ("nonsense", "http://"),
        ("no address at all", "no URL"),
    ] {
        let output = attack(&["--target", target, "--listen", "127.0.0.1:0"]).await;
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(word), "{target}: {error}");
    }
    let output = attack(&["--target", "http://127.0.0.1:1/", "--listen", "127.0.0.1:0", "--only", "X"]).await;
    assert!(text(&output.stderr).contains("no case is called \"X\""));
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn junit_sarif_and_the_level_of_failure() {
    let file = |name: &str| std::env::temp_dir().join(format!("attack-{}-{name}", std::process::id()));
    let (junit, sarif) = (file("junit.xml"), file("findings.sarif"));
    let url = always("200 OK").await;
    let args = ["--target", &url, "--listen", "127.0.0.1:0", "--only", "json-duplicate-"];
    let written = ["--junit", junit.to_str().unwrap(), "--sarif", sarif.to_str().unwrap()];
    // Choices alone: a failure only for those who ask for it.
    for (level, code) in [("accepted", 0), ("incorrect", 0), ("differs", 1)] {
        let output = attack(&[&args[..], &written, &["--fail-on", level]].concat()).await;
        assert_eq!(output.status.code(), Some(code), "{level}: {}", text(&output.stdout));
        let xml = std::fs::read_to_string(&junit).unwrap();
        assert_eq!(xml.contains("<failure type=\"differs\""), code == 1, "{xml}");
        let log: Value = serde_json::from_slice(&std::fs::read(&sarif).unwrap()).unwrap();
        assert_eq!(log["runs"][0]["results"][0]["level"], "note", "{log}");
    }
    for file in [junit, sarif] {
        std::fs::remove_file(file).unwrap();
    }
}

#[tokio::test]
async fn arguments_that_make_no_sense_name_the_flag() {
    let target = ["--target", "http://127.0.0.1:1/", "--listen", "127.0.0.1:0"];
    for (flag, value) in [
        ("--header", "no colon"),
        ("--rate", "0"),
        ("--parallel", "0"),
        ("--timeout", "0"),
        ("--time-limit", "0"),
        ("--allow-alg", "HS256"),
        ("--fail-on", "never"),
        ("--method", "G E T"),
        ("--ca", "/no/such/file"),
    ] {
        let output = attack(&[&target[..], &[flag, value]].concat()).await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag}: {error}");
        assert!(error.contains(flag.trim_start_matches('-')), "{flag}: {error}");
    }
}

#[tokio::test]
async fn the_list_names_every_case() {
    let output = attack(&["--list"]).await;
    let list = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for id in ["alg-none", "keys-withdrawn", "kid-flood", "endpoint-silent", "scope-missing"] {
        assert!(list.lines().any(|line| line.split_whitespace().nth(1) == Some(id)), "{id}");
    }
    assert!(list.lines().count() > 120);
}

#[tokio::test]
async fn what_would_attack_nothing_is_exit_code_2() {
    let output = attack(&["--target", "http://127.0.0.1:1/", "--opaque", "--part", "dpop"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("part: this run would not use it"), "{}", text(&output.stderr));

    // An API that wants more of a token than it was given.
    let url = always("403 Forbidden").await;
    let args = ["attack-endpoints", "--listen", "127.0.0.1:0", "--wait", "0", "--claim", "tenant=acme"];
    let output = run(&[&args[..], &["--target", &url, "--backchannel-logout", &url]].concat()).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("a good token gets 403"), "{}", text(&output.stderr));
}
