//! Tokens for tokens never become more than they were, and no JWT is good twice.

use std::time::Duration;

use oauth_mock::{Alg, Endpoint, GrantType, MockClient, MockServer, TestKey, User};
use serde_json::json;

use crate::support::flow::encoded;
use crate::support::*;

const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const ID: &str = "urn:ietf:params:oauth:token-type:id_token";

fn server() -> MockServer {
    let grants = [GrantType::TokenExchange, GrantType::RefreshToken, GrantType::ClientCredentials];
    MockServer::builder()
        .client(MockClient::default().grants(grants))
        .client(MockClient::new("free").secret("f").grants(grants).exchange_audiences(["stock-api"]))
        .client(MockClient::new("app").secret("a").token_lifetime(Duration::from_secs(60)))
        .user(User::new("alice", "wonderland"))
        .audience("orders-api")
        .audience("stock-api")
        .in_process()
}

/// Exchanges as `svc`, with a proof by this key.
async fn exchange(server: &MockServer, key: Option<&TestKey>, subject: &str, more: &str) -> Reply {
    let grant = GrantType::TokenExchange.as_str();
    let form = format!("grant_type={grant}&subject_token={subject}&subject_token_type={ACCESS}{more}");
    let url = server.endpoint(Endpoint::Token);
    let mut request = form_request(&url, Some(&svc()), &form);
    if let Some(key) = key {
        let proof = server.dpop_proof(key, "POST", &url).build();
        request.headers_mut().insert("dpop", proof.parse().unwrap());
    }
    send(server, request).await.unwrap()
}

#[tokio::test]
async fn a_bound_token_stays_bound_to_its_key() {
    let server = server();
    let (key, thief) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let minted = server.mint().subject("alice").scope("read").bound_to(&key).build();
    let url = server.endpoint(Endpoint::Token);
    let mut request = form_request(&url, Some(&svc()), "grant_type=client_credentials");
    let proof = server.dpop_proof(&key, "POST", &url).build();
    request.headers_mut().insert("dpop", proof.parse().unwrap());
    let issued = send(&server, request).await.unwrap().json()["access_token"].as_str().unwrap().to_owned();
    for bound in [&minted, &issued] {
        for wrong in [None, Some(&thief)] {
            let refused = exchange(&server, wrong, bound, "").await;
            assert_eq!(refused.error(), "invalid_request", "{}", refused.text());
            assert!(refused.text().contains("subject_token: bound to a key"), "{}", refused.text());
            let as_actor = format!("&actor_token={bound}&actor_token_type={ACCESS}");
            let plain = server.mint().subject("alice").build();
            let refused = exchange(&server, wrong, &plain, &as_actor).await;
            assert!(refused.text().contains("actor_token: bound to a key"), "{}", refused.text());
        }
        let body = exchange(&server, Some(&key), bound, "").await.json();
        assert_eq!(body["token_type"], "DPoP");
        let claims = jwt_part(body["access_token"].as_str().unwrap(), 1);
        assert_eq!(claims["cnf"], json!({"jkt": key.thumbprint()}));
    }
    let certificate = server.mint().subject("alice").claim("cnf", json!({"x5t#S256": "abc"})).build();
    assert_eq!(exchange(&server, None, &certificate, "").await.error(), "invalid_request");
    let unknown = server.mint().subject("alice").claim("cnf", json!({"kid": "abc"})).build();
    assert_eq!(exchange(&server, None, &unknown, "").await.error(), "invalid_request");
}

#[tokio::test]
async fn an_exchanged_token_is_for_no_other_api() {
    let server = server();
    let subject = server.issue("app", "alice", "read").unwrap().access_token;
    let audience = |reply: &Reply| jwt_part(reply.json()["access_token"].as_str().unwrap(), 1)["aud"].clone();
    for parameter in ["audience", "resource"] {
        let refused = exchange(&server, None, &subject, &format!("&{parameter}=stock-api")).await.json();
        assert_eq!(refused["error"], "invalid_target");
        let description = refused["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("{parameter}: another API than")), "{description}");
    }
    let both = "&audience=orders-api&audience=stock-api";
    assert_eq!(exchange(&server, None, &subject, both).await.error(), "invalid_target");
    assert_eq!(audience(&exchange(&server, None, &subject, "&audience=orders-api").await), "orders-api");
    // What is not asked for is what the token has, not what the server would give to others.
    let stock = server.mint().subject("alice").scope("read").audience("stock-api").build();
    assert_eq!(audience(&exchange(&server, None, &stock, "").await), "stock-api");
    let api = server.endpoint(Endpoint::Api);
    let whole = server.mint().subject("alice").scope("read").audience(&api).build();
    let part = exchange(&server, None, &whole, &format!("&resource={api}/orders")).await;
    assert_eq!(audience(&part), format!("{api}/orders"));
    // A client may be allowed more, and an ID token is for no API that could bind.
    let form = format!(
        "grant_type={}&subject_token={subject}&subject_token_type={ACCESS}&audience=stock-api",
        GrantType::TokenExchange.as_str()
    );
    let allowed = post(&server, Endpoint::Token, Some(&basic("free", "f")), &form).await;
    assert_eq!(audience(&allowed), "stock-api");
    let id_token = server.mint().typ("JWT").subject("alice").audience("svc").without("scope").build();
    let reply = exchange(&server, None, &id_token, "").await;
    assert_eq!(reply.error(), "invalid_request", "no access token");
    let form = format!(
        "grant_type={}&subject_token={id_token}&subject_token_type={ID}&audience=stock-api",
        GrantType::TokenExchange.as_str()
    );
    assert_eq!(audience(&post(&server, Endpoint::Token, Some(&svc()), &form).await), "stock-api");
}

#[tokio::test]
async fn an_exchanged_token_lives_no_longer_than_what_it_was_made_from() {
    let server = server();
    let subject = server.issue("app", "alice", "read").unwrap().access_token; // lives a minute
    server.clock().advance(Duration::from_secs(20));
    let body = exchange(&server, None, &subject, "").await.json();
    let until = |token: &str| jwt_part(token, 1)["exp"].as_i64().unwrap();
    assert_eq!(
        (&body["expires_in"], until(body["access_token"].as_str().unwrap())),
        (&json!(40), until(&subject))
    );

    let asked = format!("&requested_token_type={REFRESH}");
    let body = exchange(&server, None, &subject, &asked).await.json();
    let refresh = |token: &str| format!("grant_type=refresh_token&refresh_token={token}");
    let form = refresh(body["access_token"].as_str().unwrap());
    let next = post(&server, Endpoint::Token, Some(&svc()), &form).await.json();
    assert_eq!(until(next["access_token"].as_str().unwrap()), until(&subject));
    server.clock().advance(Duration::from_secs(40));
    let late = refresh(next["refresh_token"].as_str().unwrap());
    assert_eq!(post(&server, Endpoint::Token, Some(&svc()), &late).await.error(), "invalid_grant");
}

#[tokio::test]
async fn a_jwt_is_good_as_authentication_or_as_a_grant_and_once() {
    let key = TestKey::generate(Alg::Es256);
    let grants = [GrantType::JwtBearer, GrantType::ClientCredentials];
    let server = MockServer::builder().client(MockClient::new("robot").key(&key).grants(grants)).in_process();
    let jwt = || {
        let jwt = server.mint().typ("JWT").signed_with(&key).issuer("robot").subject("robot");
        jwt.audience(server.issuer()).expires_in(60).build()
    };
    let kind = encoded("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let as_client = |jwt: &str| {
        format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={jwt}")
    };
    let as_grant =
        |jwt: &str| format!("grant_type={}&assertion={jwt}", encoded(GrantType::JwtBearer.as_str()));
    let ask = async |form: String| post(&server, Endpoint::Token, None, &form).await;
    let (first, second, third) = (jwt(), jwt(), jwt());
    assert_eq!(ask(as_client(&first)).await.status, 200);
    assert!(ask(as_grant(&first)).await.text().contains("jti: used before"));
    assert_eq!(ask(as_grant(&second)).await.status, 200);
    assert!(ask(as_client(&second)).await.text().contains("jti: used before"));
    let both = format!("{}&client_assertion_type={kind}&client_assertion={third}", as_grant(&third));
    assert!(ask(both).await.text().contains("jti: used before"));
}
