//! Each provider's personality does what its page documents: one row per request, response and error, one test per row.
//!
//! `cargo test -p tower-oauth-mock --test providers -- --nocapture the_table` prints the rows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails must fail its test")]

mod comm100;
mod ils;
mod infolink;
mod sailpoint;
#[path = "../support/mod.rs"]
mod support;
mod teen_quotes;

use std::collections::HashSet;

use http::Request;
use http_body_util::Full;
use oauth_mock::{Endpoint, MockServer, Provider};
use support::{Reply, form_request, send};

/// One documented behaviour, and the test that shows it.
pub(crate) struct Row {
    provider: Provider,
    kind: &'static str,
    documented: &'static str,
    test: &'static str,
}

/// Lists a provider's rows, and makes a test of each.
macro_rules! rows {
    ($provider:ident: $($kind:ident $documented:literal => $test:ident,)*) => {
        pub(crate) const ROWS: &[crate::Row] = &[$(crate::Row {
            provider: oauth_mock::Provider::$provider,
            kind: stringify!($kind),
            documented: $documented,
            test: stringify!($test),
        },)*];

        mod row {
            $(#[tokio::test]
            async fn $test() {
                super::$test().await;
            })*
        }
    };
}
pub(crate) use rows;

#[test]
fn the_table() {
    let rows = || {
        [ils::ROWS, infolink::ROWS, sailpoint::ROWS, comm100::ROWS, teen_quotes::ROWS].into_iter().flatten()
    };
    println!("| provider | kind | documented | test |\n|---|---|---|---|");
    let mut tests = HashSet::new();
    for Row { provider, kind, documented, test } in rows() {
        println!("| {provider} | {kind} | {documented} | `{test}` |");
        assert!(tests.insert((provider, test)), "{provider}: {test} stands twice");
    }
    for &provider in Provider::ALL {
        for kind in ["request", "response", "error"] {
            // The page of Comm100 documents no error; its row says so.
            let found = rows().any(|row| row.provider == provider && row.kind == kind);
            assert!(found, "no {kind} of {provider}");
        }
    }
}

/// Each failure responds as documented, whatever the request, as often as configured and no more.
#[tokio::test]
async fn every_failure_can_be_asked_for_by_name() {
    for &provider in Provider::ALL {
        let server = plays(provider);
        let mut names = HashSet::new();
        for failure in provider.failures() {
            assert!(names.insert(failure.name()), "{provider}: {} stands twice", failure.name());
            server.provider_failure(failure.name()).times(1);
            let reply = call(&server, failure.endpoint()).await;
            assert_eq!((reply.status, &reply.body), (failure.status(), failure.body()), "{}", failure.name());
            assert_eq!(reply.header("content-type"), "application/json");
            reply.json();
            call(&server, failure.endpoint()).await;
            let faults: Vec<_> =
                server.journal().requests().iter().map(|request| request.fault.is_some()).collect();
            assert_eq!(faults, [true, false], "{provider}: {}", failure.name());
            server.journal().clear();
        }
    }
}

#[test]
#[should_panic(expected = "is no documented failure of this server; it knows [\"expired_access_token\"")]
fn an_unknown_failure_says_which_there_are() {
    plays(Provider::InfoLink).provider_failure("server_busy").times(1);
}

#[test]
#[should_panic(expected = "\"server_busy\": this server plays no provider; call `.personality(..)`")]
fn a_server_without_a_provider_says_so() {
    MockServer::builder().in_process().provider_failure("server_busy").times(1);
}

#[test]
#[should_panic(expected = "the provider documents no failures")]
fn a_provider_without_failures_says_so() {
    plays(Provider::Comm100).provider_failure("server_busy").times(1);
}

/// The README names every failure, and none that does not exist.
#[test]
fn the_readme_lists_the_failures() {
    let readme = include_str!("../../README.md");
    for &provider in Provider::ALL {
        let failures = provider.failures();
        let names: Vec<_> = failures.iter().map(|failure| format!("`{}`", failure.name())).collect();
        let names = if names.is_empty() { "none is documented".to_owned() } else { names.join(", ") };
        let row = format!("| `{provider:?}` | {names} |");
        assert!(readme.contains(&row), "{row}");
    }
}

/// A personality has the provider's endpoints and no other.
#[tokio::test]
async fn the_standard_endpoints_are_gone() {
    for &provider in Provider::ALL {
        let server = plays(provider);
        for path in ["/token", "/introspect", "/revoke", "/.well-known/openid-configuration", "/"] {
            let request = form_request(&format!("{}{path}", server.url()), None, "");
            assert_eq!(send(&server, request).await.unwrap().status, 404, "{provider} {path}");
        }
        let get = Request::get(server.endpoint(Endpoint::Token)).body(Full::default()).unwrap();
        let reply = send(&server, get).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"), "{provider}");
        assert_eq!(server.journal().count(Endpoint::Token), 1, "{provider}");
        assert_eq!(server.journal().count(Endpoint::Other), 5, "{provider}");
    }
}

/// Faults, pauses and clients that change work for a personality as for the standard server.
#[tokio::test]
async fn a_personality_can_go_away_and_come_back() {
    let server = plays(Provider::Ils);
    server.pause();
    let request =
        || json_request(&server.endpoint(Endpoint::Token), r#"{"clientId":"a","clientSecret":"b"}"#);
    assert!(send(&server, request()).await.is_err());
    server.resume();
    assert_eq!(send(&server, request()).await.unwrap().status, 401);
    server.set_client(oauth_mock::MockClient::new("a").secret("b"));
    assert_eq!(send(&server, request()).await.unwrap().status, 200);
}

/// On a socket it is the same server.
#[tokio::test]
async fn a_personality_can_listen() {
    let server = MockServer::builder().personality(Provider::TeenQuotes).start().await;
    let response = support::raw_get(&server, Endpoint::Api).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&response));
    assert_eq!(server.journal().of(Endpoint::Api)[0].path, "/resource");
}

/// Tokens that no request asked for look like the provider's, and are as good.
#[tokio::test]
async fn tokens_can_be_issued_without_a_request() {
    let server = plays(Provider::TeenQuotes);
    let tokens = server.issue("42", "42", "").unwrap();
    assert_eq!((tokens.access_token.len(), tokens.expires_in), (40, 604_800));
    assert_eq!(get_with(&server, Endpoint::Api, &tokens.access_token).await.status, 200);
    server.revoke_token(&tokens.access_token);
    assert_eq!(get_with(&server, Endpoint::Api, &tokens.access_token).await.status, 401);
}

/// No request is too odd for a personality to respond to, and none gets a token by oddity.
#[tokio::test]
async fn odd_bodies_are_refused_politely() {
    let bodies = [
        "",
        "{",
        "{}",
        "[]",
        "null",
        "\u{fffd}",
        "=",
        "&&",
        "%",
        "%ff",
        "grant_type",
        "'",
        "{'a':1}",
        "{\"a\":{}}",
        "grant_type=&client_id=",
        "grant_type=client_credentials&grant_type=client_credentials",
        "{\"clientId\":1,\"clientSecret\":null}",
        "{\"grant_type\":[]}",
    ];
    for &provider in Provider::ALL {
        let server = plays(provider);
        for body in bodies {
            for endpoint in [Endpoint::Token, Endpoint::Api, Endpoint::Userinfo] {
                let url = server.endpoint(endpoint);
                for request in [form_request(&url, Some("Bearer x"), body), json_request(&url, body)] {
                    let reply = send(&server, request).await.unwrap();
                    let said = (provider, body, reply.status);
                    assert!(reply.status.is_client_error() || is_expired(&reply), "{said:?}");
                    assert!(!reply.text().contains("access_token"), "{said:?}");
                }
            }
        }
    }
}

fn is_expired(reply: &Reply) -> bool {
    reply.text().contains(r#""status":"error""#)
}

/// The server of a provider with the credentials its page prints.
pub(crate) fn plays(provider: Provider) -> MockServer {
    MockServer::builder().personality(provider).in_process()
}

/// Calls an endpoint with a form that no provider takes.
pub(crate) async fn call(server: &MockServer, endpoint: Endpoint) -> Reply {
    send(server, form_request(&server.endpoint(endpoint), None, "")).await.unwrap()
}

/// How the provider responds when it fails in the way of this name.
pub(crate) async fn failing(provider: Provider, name: &str) -> Reply {
    let server = plays(provider);
    let failure = provider.failures().into_iter().find(|failure| failure.name() == name).unwrap();
    server.provider_failure(name).times(1);
    call(&server, failure.endpoint()).await
}

pub(crate) fn json_request(url: &str, body: &str) -> Request<Full<bytes::Bytes>> {
    let request = Request::post(url).header("content-type", "application/json");
    request.body(Full::from(body.to_owned())).unwrap()
}

pub(crate) async fn post_json(server: &MockServer, endpoint: Endpoint, body: &str) -> Reply {
    send(server, json_request(&server.endpoint(endpoint), body)).await.unwrap()
}

/// Gets an endpoint with a bearer token.
pub(crate) async fn get_with(server: &MockServer, endpoint: Endpoint, token: &str) -> Reply {
    let request = Request::get(server.endpoint(endpoint)).header("authorization", format!("Bearer {token}"));
    send(server, request.body(Full::default()).unwrap()).await.unwrap()
}

/// A string member of a response.
pub(crate) fn member(reply: &Reply, name: &str) -> String {
    reply.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", reply.text())).to_owned()
}

/// The names of a flat JSON object's members, in the order they were sent.
pub(crate) fn order(text: &str) -> Vec<String> {
    let (mut names, mut rest, mut depth) = (Vec::new(), text, 0);
    while let Some(at) = rest.find(['{', '}', '[', ']', '"']) {
        let sign = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        match sign {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {
                let end = rest.find('"').unwrap();
                let (string, after) = (&rest[..end], &rest[end + 1..]);
                if depth == 1 && after.starts_with(':') {
                    names.push(string.to_owned());
                }
                rest = after;
            }
        }
    }
    names
}
