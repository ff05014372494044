//! What a test steers while it runs: answers of users, the clock, gates.

use serde_json::{Value, json};
use tokio::time::Duration;

use super::support::*;

const CIBA: &str = "urn:openid:params:grant-type:ciba";

#[tokio::test]
async fn a_user_who_is_asked_on_a_device_says_yes_or_no() {
    let server = serve(&[]).await;
    let client = json!({"client_secret": "x", "grant_types": [CIBA], "scope": "openid read"});
    server.order("PUT", "/v1/clients/till", client).await;
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let post = async |path: &str, form: &str| {
        let form = format!("client_id=till&client_secret=x&{form}");
        send(&server.url, "POST", path, &headers, &form).await
    };
    let ask = async || post("/backchannel_authentication", "scope=openid&login_hint=alice").await.json();
    let redeem = async |id: &Value| {
        let id = id.as_str().unwrap();
        post("/token", &format!("grant_type={CIBA}&auth_req_id={id}")).await.json()
    };
    let asked = ask().await;
    assert_eq!(redeem(&asked["auth_req_id"]).await["error"], "authorization_pending");
    server.order("POST", "/v1/backchannel", json!({"user": "alice", "allowed": true})).await;
    server.order("POST", "/v1/clock", json!({"advance": 6})).await;
    assert!(redeem(&asked["auth_req_id"]).await["id_token"].is_string());
    let again = redeem(&asked["auth_req_id"]).await;
    assert_eq!(again["error_description"], "auth_req_id: used before");

    let asked = ask().await;
    server.order("POST", "/v1/backchannel", json!({"user": "alice", "allowed": false})).await;
    assert_eq!(redeem(&asked["auth_req_id"]).await["error"], "access_denied");
    for (bad, field) in [
        (json!({"user": "alice", "allowed": true}), "user"),
        (json!({"user": "alice"}), "allowed"),
        (json!({"allowed": true}), "user"),
    ] {
        let refused = server.control("POST", "/v1/backchannel", bad).await;
        assert_eq!((refused.status, &refused.json()["mistakes"][0]["field"]), (400, &json!(field)));
    }
}

#[tokio::test]
async fn the_clock_can_be_stopped() {
    let server = serve(&[]).await;
    server.order("POST", "/v1/clock", json!({"set": 2_000_000_000})).await;
    let stopped = server.order("POST", "/v1/clock", json!({"stop": true})).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(server.order("GET", "/v1/clock", Value::Null).await, stopped);
    for bad in [json!({"stop": false}), json!({"stop": true, "step": 1})] {
        assert_eq!(server.control("POST", "/v1/clock", bad).await.status, 400);
    }
    server.order("POST", "/v1/reset", Value::Null).await;
    assert_ne!(server.order("GET", "/v1/clock", Value::Null).await, stopped);
}

#[tokio::test]
async fn a_reset_closes_the_gates_of_the_configuration_and_no_other() {
    let text = "[[faults]]\nendpoint = \"token\"\nfault = \"hold\"\ngate = \"g\"\ntimes = 1\n";
    let file = File::new("gates.toml", text);
    let server = serve(&["--config", file.path()]).await;
    let gates = async || server.order("GET", "/v1/gates", Value::Null).await["gates"].clone();
    let arrived = async |count: usize| {
        let path = format!("/v1/journal?endpoint=token&count={count}&wait=10");
        server.control("GET", &path, Value::Null).await
    };
    server.order("POST", "/v1/gates/g/open", Value::Null).await;
    assert_eq!(server.token().await.status, 200);
    let more = json!({"endpoint": "token", "fault": "hold", "gate": "of a test"});
    server.order("POST", "/v1/faults", more).await;
    // One is held back by the gate of a test when the next test begins: it goes on.
    let (held, ()) = tokio::join!(server.token(), async {
        arrived(2).await;
        assert_eq!(gates().await, json!(["of a test"]));
        server.order("POST", "/v1/reset", Value::Null).await;
    });
    assert_eq!(held.status, 200);
    assert_eq!(gates().await, json!(["g"]));
    let (held, ()) = tokio::join!(server.token(), async {
        arrived(1).await;
        let journal = server.order("GET", "/v1/journal", Value::Null).await;
        assert_eq!(journal["requests"][0]["status"], Value::Null, "held back, as at the start");
        server.order("POST", "/v1/gates/g/open", Value::Null).await;
    });
    assert_eq!((held.status, gates().await), (200, json!([])));
}
