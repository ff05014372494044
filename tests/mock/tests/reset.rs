//! Back to the start, between two tests that share one server.

mod support;

use std::time::Duration;

use oauth_mock::{Endpoint, Fault, MockClient, MockServer, START_OF_IN_PROCESS_TIME, User};
use support::*;

#[tokio::test(start_paused = true)]
async fn a_reset_server_knows_nothing_of_what_happened() {
    let server = MockServer::builder().user(User::new("alice", "wonderland")).in_process();
    let key = server.keys().current_kid();
    let before = server.issue("svc", "svc", "read").unwrap();

    server.keys().rotate_abruptly();
    server.keys().set_max_age(Duration::from_secs(1));
    server.fault(Endpoint::Jwks, Fault::status(503)).always();
    server.set_client(MockClient::new("svc").secret("changed"));
    assert!(server.remove_user("alice") && !server.remove_user("alice"));
    server.set_user(User::new("bob", "builder"));
    server.clock().step(-500);
    tokio::time::advance(Duration::from_secs(9)).await;
    server.expect(Endpoint::Revoke).exactly(7);
    assert_eq!(get(&server, Endpoint::Jwks).await.unwrap().status, 503);
    server.pause();

    server.reset();
    let keys = get(&server, Endpoint::Jwks).await.unwrap();
    assert_eq!((keys.status.as_u16(), keys.header("cache-control")), (200, ""));
    assert_eq!(server.keys().kids(), [key.as_str()]);
    assert_eq!(server.keys().current_kid(), key);
    assert_eq!(server.clock().now_unix(), i64::try_from(START_OF_IN_PROCESS_TIME).unwrap());
    assert_eq!(server.journal().requests().len(), 1, "only what came since");
    let form = "grant_type=client_credentials&client_id=svc&client_secret=s3cr3t";
    assert_eq!(post(&server, Endpoint::Token, None, form).await.status, 200);
    let form = format!("token={}&client_id=svc&client_secret=s3cr3t", before.access_token);
    let introspected = post(&server, Endpoint::Introspect, None, &form).await;
    assert_eq!(introspected.json()["active"], false, "tokens of before are forgotten");
    let url = format!("{}?client_id=x", server.endpoint(Endpoint::Authorize));
    assert_eq!(server.log_in(&url, "bob"), server.log_in(&url, "unknown"));
}

#[test]
fn a_removed_client_is_unknown_and_an_end_of_rotation_keeps_the_signer() {
    let server = MockServer::builder().in_process();
    assert!(server.remove_client("svc") && !server.remove_client("svc"));
    assert!(server.issue("svc", "svc", "read").is_none());

    server.keys().rotate();
    let old = server.keys().kids()[0].clone();
    assert!(server.keys().key(&old).is_some());
    server.keys().retire();
    assert_eq!(server.keys().kids(), [server.keys().current_kid()]);
    assert!(server.keys().key(&old).is_none());
}
