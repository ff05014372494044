//! Its backchannel authentication (OpenID CIBA 1.0, poll mode), by the client.

use oauth_client::login::BackchannelRequest;
use oauth_client::{Client, ClientAuth};
use serde_json::json;

use crate::provider::Provider;

fn request() -> BackchannelRequest {
    BackchannelRequest::login_hint("ada").scope(["openid", "read"]).binding_message("W4SCT")
}

fn client(server: &Provider) -> Client {
    Client::builder().issuer(&server.issuer).auth(ClientAuth::basic("device", "s3cr3t")).build().unwrap()
}

/// The identifier of the request that the server has just been sent.
async fn latest(server: &Provider) -> serde_json::Value {
    let asked = reqwest::get(format!("{}/control/ciba", server.issuer)).await.unwrap().text().await.unwrap();
    let asked: Vec<serde_json::Value> = serde_json::from_str(&asked).unwrap();
    asked.last().cloned().unwrap()
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn a_person_confirms_and_the_login_is_refreshed() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let client = client(&server);
    let waiting = client.backchannel(&request()).await.unwrap();
    let asked = latest(&server).await;
    assert_eq!((&asked["sub"], &asked["binding_message"]), (&json!("ada"), &json!("W4SCT")));
    server.control("ciba", &json!({"auth_req_id": asked["auth_req_id"], "approve": true})).await;
    let login = waiting.wait().await.unwrap();
    assert_eq!(login.id_token().unwrap().subject(), "ada");
    let source = client.source(&request()).starting_with(login).build().unwrap();
    let first = source.token().await.unwrap();
    assert_ne!(source.refresh_now().await.unwrap().secret(), first.secret());
}

#[tokio::test]
#[ignore = "needs npm packages; see tests/README.md"]
async fn a_person_declines() {
    let Some(server) = Provider::start(&json!({})).await else { return };
    let waiting = client(&server).backchannel(&request()).await.unwrap();
    let asked = latest(&server).await;
    server.control("ciba", &json!({"auth_req_id": asked["auth_req_id"], "approve": false})).await;
    assert_eq!(waiting.wait().await.unwrap_err().code(), "access_denied");
}
