//! Clients that authenticate with a signed JWT (RFC 7523 sections 2.2 and 3).

mod support;

use std::time::Duration;

use oauth_mock::{Alg, AuthMethod, Endpoint, MockClient, MockServer, TestKey, TokenBuilder};
use serde_json::json;
use support::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

fn assertion(server: &MockServer, key: &TestKey) -> TokenBuilder {
    let claims = server.mint().typ("JWT").without("scope").without("client_id").signed_with(key);
    claims.issuer("svc").subject("svc").audience(server.issuer()).expires_in(60)
}

async fn ask(server: &MockServer, assertion: &str) -> Reply {
    let form =
        format!("grant_type=client_credentials&client_assertion_type={TYPE}&client_assertion={assertion}");
    post(server, Endpoint::Token, None, &form).await
}

#[tokio::test]
async fn every_algorithm_gets_a_token() {
    let metadata = get(&MockServer::builder().in_process(), Endpoint::OauthMetadata).await.unwrap().json();
    let supported = metadata["token_endpoint_auth_signing_alg_values_supported"].as_array().unwrap().clone();
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert!(methods.contains(&json!("private_key_jwt")) && methods.contains(&json!("client_secret_jwt")));
    assert_eq!(supported.len(), 15);
    for alg in supported.iter().map(|alg| Alg::parse(alg.as_str().unwrap()).unwrap()) {
        if alg.is_asymmetric() {
            let key = TestKey::generate(alg);
            let server = MockServer::builder().client(MockClient::new("svc").key(&key)).in_process();
            assert_eq!(ask(&server, &assertion(&server, &key).build()).await.status, 200, "{alg}");
        } else {
            let secret = SECRET.repeat(2);
            let client =
                MockClient::new("svc").secret(secret.as_str()).auth_methods([AuthMethod::ClientSecretJwt]);
            let server = MockServer::builder().client(client).in_process();
            let signed =
                assertion(&server, &server.keys().current()).no_kid().signed_with_secret(alg, secret);
            assert_eq!(ask(&server, &signed.build()).await.status, 200, "{alg}");
        }
    }
}

#[tokio::test]
async fn every_wrong_assertion_is_an_invalid_client() {
    let (key, other) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
    let rs = TestKey::generate(Alg::Rs256);
    let client = MockClient::new("svc")
        .secret(SECRET)
        .jwks(&json!({"keys": [rs.public_jwk(), key.public_jwk()]}))
        .assertion_algs([Alg::Es256, Alg::Hs256]);
    let server =
        MockServer::builder().client(client).client(MockClient::new("else").key(&other)).in_process();
    let good = || assertion(&server, &key);
    let now = server.clock().now_unix();
    #[rustfmt::skip]
    let cases = [
        ("alg", good().unsigned()),
        ("alg", good().signed_with_secret(Alg::Hs256, SECRET)), // its secret is not for this
        ("alg", good().signed_with_secret(Alg::Hs256, key.public_jwk()["x"].as_str().unwrap())),
        ("alg", good().signed_with(&rs)), // its key, not its algorithm
        ("signature", good().signed_with(&other)),
        ("signature", good().signed_with(&other).kid(key.kid())),
        ("signature", good().kid("else")),
        ("signature", good().signature([7; 64])),
        ("header", good().raw_header("{}}")),
        ("alg", good().raw_header("{}")),
        ("crit", good().header("crit", json!(["b64"])).header("b64", true)),
        ("typ", good().typ("at+jwt")),
        ("typ", good().typ("dpop+jwt")),
        ("sub", good().without("sub")),
        ("sub", good().claim("sub", 7)),
        ("iss", good().without("iss")),
        ("iss", good().issuer("else")),
        ("unknown", good().issuer("unknown").subject("unknown")),
        ("signature", good().issuer("else").subject("else")),
        ("aud", good().without("aud")),
        ("aud", good().audience("orders-api")),
        ("aud", good().claim("aud", json!([server.issuer(), 7]))),
        ("exp", good().without("exp")),
        ("exp", good().claim("exp", "soon")),
        ("exp", good().expires_in(0)),
        ("exp", good().expires_in(601)),
        ("nbf", good().not_before(now + 61)),
        ("iat", good().issued_at(now + 61)),
        ("iat", good().claim("iat", "now")),
        ("jti", good().without("jti")),
        ("payload", good().raw_payload(r#"{"sub":"svc","sub":"svc"}"#)),
    ];
    for (named, wrong) in cases {
        let reply = ask(&server, &wrong.build()).await;
        let description = reply.json()["error_description"].as_str().unwrap().to_owned();
        assert_eq!((reply.status.as_u16(), reply.error().as_str()), (401, "invalid_client"), "{description}");
        assert!(description.contains(named), "{named}: {description}");
        assert!(!reply.headers.contains_key("www-authenticate"), "no header was tried");
    }
    assert_eq!(ask(&server, &good().no_kid().build()).await.status, 200, "kid is optional");
}

#[tokio::test]
async fn an_assertion_is_good_for_one_request() {
    let key = TestKey::generate(Alg::Ps256);
    let server = MockServer::builder().client(MockClient::new("svc").key(&key)).in_process();
    let once = assertion(&server, &key).build();
    assert_eq!(ask(&server, &once).await.status, 200);
    let again = ask(&server, &once).await;
    assert_eq!((again.error().as_str(), again.text().contains("jti")), ("invalid_client", true));
    server.clock().advance(Duration::from_secs(60));
    assert!(ask(&server, &once).await.text().contains("exp"));
    assert!(!format!("{:?}", server.journal()).contains(&once), "the journal keeps no assertion");
}

#[tokio::test]
async fn the_audience_is_the_issuer_or_an_endpoint_unless_the_server_is_strict() {
    let key = TestKey::generate(Alg::Es256);
    let client = MockClient::new("svc").key(&key);
    for strict in [false, true] {
        let server = MockServer::builder().client(client.clone());
        let server = if strict { server.strict_assertion_audience() } else { server }.in_process();
        let token_endpoint = server.endpoint(Endpoint::Token);
        for (audience, loose) in [
            (json!(server.issuer()), false),
            (json!([server.issuer()]), true),
            (json!(token_endpoint), true),
            (json!(["https://elsewhere.test", token_endpoint]), true),
        ] {
            let reply = ask(&server, &assertion(&server, &key).claim("aud", audience.clone()).build()).await;
            assert_eq!(reply.status == 200, !(strict && loose), "{strict} {audience}");
        }
    }
    let server = MockServer::builder().client(client).in_process();
    let endpoint = server.endpoint(Endpoint::Introspect);
    let form = format!(
        "token=x&client_assertion_type={TYPE}&client_assertion={}",
        assertion(&server, &key).audience(endpoint).build()
    );
    let reply = post(&server, Endpoint::Introspect, None, &form).await;
    assert_eq!(reply.json(), json!({"active": false}));
}

#[tokio::test]
async fn there_is_one_method_at_a_time_and_it_is_well_formed() {
    let key = TestKey::generate(Alg::Es256);
    let both = MockClient::new("svc").secret(SECRET).key(&key);
    let server = MockServer::builder()
        .client(both.auth_methods([AuthMethod::Basic, AuthMethod::PrivateKeyJwt]))
        .in_process();
    let (grant, kind) = ("grant_type=client_credentials", format!("&client_assertion_type={TYPE}"));
    let signed = || format!("&client_assertion={}", assertion(&server, &key).build());
    let basic = basic("svc", SECRET);
    #[rustfmt::skip]
    let cases = [
        (Some(&basic), format!("{grant}{kind}{}", signed()), "more than one"),
        (None, format!("{grant}{kind}{}&client_secret={SECRET}&client_id=svc", signed()), "more than one"),
        (None, format!("{grant}{kind}{}&client_id=else", signed()), "client_id"),
        (None, format!("{grant}{kind}"), "client_assertion: missing"),
        (None, format!("{grant}{}", signed()), "client_assertion_type"),
        (None, format!("{grant}{}&client_assertion_type=jwt-bearer", signed()), "client_assertion_type"),
    ];
    for (authorization, form, named) in cases {
        let reply = post(&server, Endpoint::Token, authorization.map(String::as_str), &form).await;
        assert_eq!((reply.status.as_u16(), reply.error().as_str()), (400, "invalid_request"), "{named}");
        assert!(reply.text().contains(named), "{named}: {}", reply.text());
    }
    let named = format!("{grant}{kind}{}&client_id=svc", signed());
    assert_eq!(post(&server, Endpoint::Token, None, &named).await.status, 200);
    assert_eq!(post(&server, Endpoint::Token, Some(&basic), grant).await.status, 200);
    let short = MockClient::new("short").secret("s3cr3t").auth_methods([AuthMethod::ClientSecretJwt]);
    server.set_client(short);
    let weak = assertion(&server, &key).issuer("short").subject("short");
    let reply = ask(&server, &weak.signed_with_secret(Alg::Hs256, "s3cr3t").build()).await;
    assert!(reply.text().contains("shorter than the hash"), "{}", reply.text());
}
