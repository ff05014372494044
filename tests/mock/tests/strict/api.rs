//! The mock's own API against the mock's own table of attacks.

use http::{Request, StatusCode};
use http_body_util::Full;
use oauth_mock::attack::{self, Area, AttackContext, Setup};
use oauth_mock::{Endpoint, MockServer};
use serde_json::json;

use crate::support::*;

fn server() -> MockServer {
    MockServer::builder().algorithms(attack::ALGORITHMS).api_scope("/", "read").in_process()
}

/// Whether it was accepted is looked at, not how it was refused: it grants no leeway to expiry, for example.
#[tokio::test]
async fn it_withstands_every_attack_on_a_token() {
    let mut failed = Vec::new();
    let mut sent = 0;
    // Keys are the matter of those who fetch them, which this API does not; the setups are of other APIs.
    for row in attack::all().filter(|row| row.area != Area::Keys && row.setup == Setup::default()) {
        let server = server();
        let context = AttackContext::new(&server).scope("read");
        for request in row.requests(&context) {
            let Some(http) = request.to_http(&server.endpoint(Endpoint::Api)) else { continue };
            let status = send(&server, http.map(Full::new)).await.unwrap().status;
            sent += 1;
            let forged = request.expected().status >= 400;
            if forged && status == StatusCode::OK && !request.expected().allows(200) {
                failed.push(format!("{} {}: accepted", row.id, request.variant()));
            }
        }
    }
    assert!(sent > 200, "{sent}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn a_claim_of_the_wrong_type_makes_a_token_bad() {
    let server = MockServer::builder().in_process();
    let now = server.clock().now_unix();
    for (name, value) in [
        ("nbf", json!("0")),
        ("nbf", json!(null)),
        ("nbf", json!([0])),
        ("iat", json!("0")),
        ("iat", json!(now + 61)),
        ("exp", json!((now + 60).to_string())),
        ("exp", json!(null)),
        ("scope", json!(["read"])),
        ("aud", json!(["orders-api", 7])),
        ("sub", json!(7)),
        ("cnf", json!("jkt")),
        ("cnf", json!({"jkt": 7})),
        ("cnf", json!({"kid": "x"})),
        ("act", json!("x")),
    ] {
        let token = server.mint().claim(name, value.clone()).build();
        let request =
            Request::get(server.endpoint(Endpoint::Api)).header("authorization", format!("Bearer {token}"));
        let reply = send(&server, request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{name} {value}");
    }
}
