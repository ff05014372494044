//! Tokens for tokens (RFC 8693).

mod support;

use std::time::Duration;

use oauth_mock::{Alg, Endpoint, GrantType, MockClient, MockServer, TestKey, TrustedIssuer, User};
use serde_json::{Value, json};
use support::*;

const IDP: &str = "https://idp.test";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";
const ID: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";

fn server(idp: &TestKey) -> MockServer {
    // What it exchanges is for orders-api; a token for another API is a right of this client.
    let gateway = MockClient::default()
        .grants([GrantType::TokenExchange, GrantType::RefreshToken])
        .exchange_audiences(["https://stock.test"]);
    MockServer::builder()
        .client(gateway.scopes(["read", "write"]))
        .client(MockClient::new("app").secret("a").scopes(["openid", "read"]))
        .client(MockClient::new("opaque").secret("o").opaque_tokens().grants([GrantType::TokenExchange]))
        .user(User::new("alice", "wonderland").claim("email", "alice@example.com"))
        .trusted_issuer(TrustedIssuer::new(IDP).key(idp))
        .audience("orders-api")
        .audience("https://stock.test")
        .in_process()
}

/// Exchanges with these parameters besides the grant type.
async fn exchange(server: &MockServer, authorization: &str, parameters: &[(&str, &str)]) -> Reply {
    let mut form = format!("grant_type={}", GrantType::TokenExchange.as_str());
    for (name, value) in parameters {
        form.push_str(&format!("&{name}={value}"));
    }
    post(server, Endpoint::Token, Some(authorization), &form).await
}

fn claims(reply: &Reply) -> Value {
    jwt_part(reply.json()["access_token"].as_str().unwrap_or_default(), 1)
}

#[tokio::test]
async fn an_access_token_is_exchanged_for_a_narrower_one() {
    let server = server(&TestKey::generate(Alg::Es256));
    let metadata = get(&server, Endpoint::OauthMetadata).await.unwrap().json();
    let grants = metadata["grant_types_supported"].as_array().unwrap();
    assert!(grants.contains(&json!(GrantType::TokenExchange.as_str())));

    let subject = server.issue("app", "alice", "read write").unwrap().access_token;
    let given = [("subject_token", subject.as_str()), ("subject_token_type", ACCESS)];
    let reply = exchange(&server, &svc(), &given).await;
    let body = reply.json();
    assert_eq!((&body["issued_token_type"], &body["token_type"]), (&json!(ACCESS), &json!("Bearer")));
    assert_eq!((&body["scope"], &body["expires_in"]), (&json!("read write"), &json!(300)));
    assert_eq!((reply.header("cache-control"), body.get("refresh_token")), ("no-store", None));
    let about = claims(&reply);
    assert_eq!(
        (&about["sub"], &about["client_id"], about.get("act")),
        (&json!("alice"), &json!("svc"), None)
    );

    let narrow = [("scope", "read"), ("resource", "https://stock.test"), ("requested_token_type", JWT)];
    let reply = exchange(&server, &svc(), &[&given[..], &narrow].concat()).await;
    assert_eq!((&reply.json()["issued_token_type"], &reply.json()["scope"]), (&json!(JWT), &json!("read")));
    assert_eq!(claims(&reply)["aud"], "https://stock.test");
}

#[tokio::test]
async fn actors_are_nested_the_last_one_outermost() {
    let idp = TestKey::generate(Alg::Es256);
    let server = server(&idp);
    let alice = server.issue("app", "alice", "read").unwrap().access_token;
    let gateway = server.issue("svc", "gateway", "read").unwrap().access_token;
    let with_actor = |subject: String, actor: String, kind: &'static str| {
        let server = &server;
        async move {
            let subject = [("subject_token", subject.as_str()), ("subject_token_type", ACCESS)];
            let actor = [("actor_token", actor.as_str()), ("actor_token_type", kind)];
            exchange(server, &svc(), &[subject, actor].concat()).await
        }
    };
    let first = with_actor(alice, gateway, ACCESS).await;
    assert_eq!(claims(&first)["act"], json!({"sub": "gateway"}));
    let first = first.json()["access_token"].as_str().unwrap().to_owned();
    let foreign = server.mint().typ("JWT").signed_with(&idp).issuer(IDP).subject("clerk");
    let second = with_actor(first, foreign.audience(server.issuer()).build(), JWT).await;
    let act = json!({"sub": "clerk", "iss": IDP, "act": {"sub": "gateway"}});
    assert_eq!((&claims(&second)["sub"], &claims(&second)["act"]), (&json!("alice"), &act));
    let form = format!("token={}", second.json()["access_token"].as_str().unwrap());
    assert_eq!(post(&server, Endpoint::Introspect, Some(&svc()), &form).await.json()["act"], act);
}

#[tokio::test]
async fn each_type_of_subject_is_understood() {
    let idp = TestKey::generate(Alg::Es256);
    let server = server(&idp);
    let foreign =
        || server.mint().signed_with(&idp).issuer(IDP).subject("alice").typ("JWT").scope("read admin");
    let refresh = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
    let minted = server.mint().subject("alice").scope("read").build();
    let id_token = server.mint().typ("JWT").without("scope").subject("alice").audience("svc").build();
    #[rustfmt::skip]
    let cases = [
        (ACCESS, minted.clone(), "read"),
        (JWT, minted, "read"),
        (REFRESH, refresh, "read"),
        (ID, id_token, "read write"), // it has no scope that could bind
        (ID, foreign().audience("svc").without("scope").build(), "read write"),
        (JWT, foreign().audience(server.issuer()).build(), "read"),
        (ACCESS, foreign().audience("orders-api").build(), "read"),
    ];
    for (kind, token, scope) in cases {
        let reply =
            exchange(&server, &svc(), &[("subject_token", &token), ("subject_token_type", kind)]).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["scope"]),
            (200, &json!(scope)),
            "{kind} {}",
            reply.text()
        );
        assert_eq!(
            (&claims(&reply)["sub"], &claims(&reply)["email"]),
            (&json!("alice"), &json!("alice@example.com"))
        );
    }
}

#[tokio::test]
async fn a_refresh_token_can_be_asked_for() {
    let server = server(&TestKey::generate(Alg::Es256));
    let subject = server.issue("app", "alice", "read").unwrap().access_token;
    let given =
        [("subject_token", &*subject), ("subject_token_type", ACCESS), ("requested_token_type", REFRESH)];
    let body = exchange(&server, &svc(), &given).await.json();
    assert_eq!((&body["issued_token_type"], &body["token_type"]), (&json!(REFRESH), &json!("N_A")));
    let form = format!("grant_type=refresh_token&refresh_token={}", body["access_token"].as_str().unwrap());
    let refreshed = post(&server, Endpoint::Token, Some(&svc()), &form).await;
    assert_eq!(claims(&refreshed)["sub"], "alice");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_an_invalid_request() {
    let (idp, other) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let server = server(&idp);
    let good = server.issue("app", "alice", "read").unwrap();
    let (access, refresh) = (good.access_token, good.refresh_token.unwrap());
    let revoked = server.issue("app", "alice", "read").unwrap().access_token;
    server.revoke_token(&revoked);
    let own = || server.mint().subject("alice");
    let foreign = || own().typ("JWT").signed_with(&idp).issuer(IDP).audience(server.issuer());
    let for_gateway = own().claim("may_act", json!({"sub": "gateway"})).build();
    #[rustfmt::skip]
    let subjects = [
        (ACCESS, "guessed".to_owned()),
        (ACCESS, revoked),
        (ACCESS, refresh.clone()),
        (REFRESH, refresh), // of another client
        (REFRESH, access.clone()),
        (ID, access.clone()),
        (SAML2, access.clone()),
        (ACCESS, own().expires_in(0).build()),
        (ACCESS, own().without("exp").build()),
        (ACCESS, own().signed_with(&other).build()),
        (ACCESS, own().audience("elsewhere").build()),
        (ACCESS, own().typ("JWT").build()),
        (ACCESS, own().without("sub").build()),
        (JWT, foreign().signed_with(&other).build()),
        (JWT, foreign().issuer("https://else.test").build()),
        (JWT, foreign().audience("elsewhere").build()),
        (JWT, foreign().not_before(server.clock().now_unix() + 5).build()),
        (ID, foreign().audience("app").build()),
        (ACCESS, for_gateway.clone()),
    ];
    for (kind, token) in &subjects {
        let reply =
            exchange(&server, &svc(), &[("subject_token", token), ("subject_token_type", kind)]).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (400, "invalid_request"),
            "{kind} {token}"
        );
        assert!(reply.text().contains("subject_token"), "{}", reply.text());
    }
    let subject = [("subject_token", access.as_str()), ("subject_token_type", ACCESS)];
    #[rustfmt::skip]
    let more: [(&[(&str, &str)], &str); 9] = [
        (&[("actor_token", "guessed"), ("actor_token_type", ACCESS)], "invalid_request"),
        (&[("actor_token", &access)], "invalid_request"),
        (&[("actor_token_type", ACCESS)], "invalid_request"),
        (&[("requested_token_type", SAML2)], "invalid_request"),
        (&[("requested_token_type", ID)], "invalid_request"),
        (&[("scope", "write")], "invalid_scope"), // the client may, the subject's token may not
        (&[("audience", "elsewhere")], "invalid_target"),
        (&[("resource", "https://elsewhere.test")], "invalid_target"),
        (&[("resource", "https://stock.test"), ("audience", "orders-api")], ""),
    ];
    for (parameters, error) in more {
        let reply = exchange(&server, &svc(), &[&subject[..], parameters].concat()).await;
        assert_eq!(reply.error(), error, "{parameters:?}");
    }
    for missing in [&subject[..1], &subject[1..]] {
        assert_eq!(exchange(&server, &svc(), missing).await.error(), "invalid_request");
    }
    assert_eq!(exchange(&server, &basic("app", "a"), &subject).await.error(), "unauthorized_client");
    let jwt = [&subject[..], &[("requested_token_type", JWT)]].concat();
    assert_eq!(exchange(&server, &basic("opaque", "o"), &jwt).await.error(), "invalid_request");

    let gateway = server.issue("svc", "gateway", "read").unwrap().access_token;
    let may = [("subject_token", &*for_gateway), ("subject_token_type", ACCESS)];
    let actor = [("actor_token", &*gateway), ("actor_token_type", ACCESS)];
    assert_eq!(exchange(&server, &svc(), &[may, actor].concat()).await.status, 200);
    server.clock().advance(Duration::from_secs(300));
    assert_eq!(exchange(&server, &svc(), &subject).await.error(), "invalid_request", "expired");
}
