//! The reqwest front, over real sockets on loopback.

use oauth_client::attach::ReplayPolicy;
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::dpop::Dpop;
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_mock::{DpopNonce, Endpoint, MockClient, MockServer};

async fn start(nonce: DpopNonce) -> (MockServer, TokenSource) {
    let svc = MockClient::default().scopes(["openid"]).with_refresh_token();
    let server = MockServer::builder().client(svc).dpop_api_nonce(nonce).start().await;
    let source = Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .dpop(Dpop::generate().unwrap())
        .build()
        .unwrap()
        .source(grant::client_credentials().scope(["openid"]))
        .build()
        .unwrap();
    (server, source)
}

#[tokio::test]
async fn each_request_brings_a_proof_and_a_nonce_costs_one_more_request() {
    let (server, source) = start(DpopNonce::Required).await;
    let client = AuthorizedClient::new(reqwest::Client::new(), source.clone());
    let userinfo = server.endpoint(Endpoint::Userinfo);
    let mut requests = Vec::new();
    for _ in 0..3 {
        let response = client.post(format!("{userinfo}?a=b")).body("hello").send().await.unwrap();
        assert_eq!(response.status(), 200);
        requests.push(server.journal().count(Endpoint::Userinfo));
    }
    assert_eq!(requests, [2, 3, 4]);
    server.dpop().change_nonces();
    assert_eq!(client.get(&userinfo).send().await.unwrap().status(), 200);
    assert_eq!(server.journal().count(Endpoint::Userinfo), 6);
    assert_eq!(server.journal().count(Endpoint::Token), 1);

    // A revoked token costs another one, and its replacement the nonce that was changed meanwhile.
    server.revoke_token(source.current().unwrap().secret().expose());
    server.dpop().change_nonces();
    assert_eq!(client.get(&userinfo).send().await.unwrap().status(), 200);
    assert_eq!(server.journal().count(Endpoint::Userinfo), 9);
    assert_eq!(server.journal().count(Endpoint::Token), 2);
}

#[tokio::test]
async fn what_cannot_be_repeated_is_not_and_the_token_stays() {
    let (server, source) = start(DpopNonce::Required).await;
    let client = AuthorizedClient::new(reqwest::Client::new(), source.clone()).replay(ReplayPolicy::never());
    let userinfo = server.endpoint(Endpoint::Userinfo);
    let response = client.get(&userinfo).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("dpop-nonce"), "the response stands as it came");
    assert_eq!(client.get(&userinfo).send().await.unwrap().status(), 200);
    assert_eq!(server.journal().count(Endpoint::Userinfo), 2);
    assert_eq!((server.journal().count(Endpoint::Token), source.current().unwrap().generation()), (1, 1));
}
