//! Signed introspection responses (RFC 9701): who has signed them, for whom, and what they are never taken for.

use std::time::Duration;

use oauth_guard::{ClientAuth, Guard, IntrospectedTokens, Introspection};
use oauth_mock::{Alg, Endpoint, Fault, MockClient, MockServer, Tamper, TestKey};
use serde_json::{Value, json};
use tokio::time::advance;

use crate::support::{Fixture, call};

const TOKEN: &str = "ory_at_2YotnFZFEjr1zCsicMWpAA";
const SIGNED: &str = "application/token-introspection+jwt";

fn introspection() -> Introspection {
    Introspection::new(ClientAuth::basic("svc", "s3cr3t")).jwt_response()
}

fn fixture() -> Fixture {
    let server = MockServer::builder()
        .audience("orders-api")
        .client(MockClient::new("svc").secret("s3cr3t"))
        .client(MockClient::new("app").secret("s3cr3t").scopes(["read", "write"]).opaque_tokens())
        .in_process();
    Fixture { server, clock: oauth_guard::clock::TestClock::new() }
}

fn asking(fixture: &Fixture, introspection: Introspection) -> Guard {
    fixture.guard_of(fixture.issuer().introspection(introspection))
}

/// Makes the server respond so to every question.
fn respond(fixture: &Fixture, content_type: &str, body: impl Into<Vec<u8>>) {
    fixture.server.clear_faults();
    let fault = Fault::body(200, content_type, body.into());
    fixture.server.fault(Endpoint::Introspect, fault).always();
}

/// What the server would sign about an active token.
fn claims(fixture: &Fixture) -> Value {
    let now = fixture.server.clock().now_unix();
    json!({
        "iss": fixture.server.issuer(), "aud": "svc", "iat": now,
        "token_introspection": {"active": true, "aud": "orders-api", "sub": "ada", "exp": now + 3600}
    })
}

fn sign(fixture: &Fixture, claims: &Value) -> oauth_mock::TokenBuilder {
    fixture.server.mint().typ("token-introspection+jwt").raw_payload(claims.to_string())
}

fn questions(fixture: &Fixture) -> usize {
    fixture.server.journal().count(Endpoint::Introspect)
}

#[tokio::test(start_paused = true)]
async fn a_signed_response_is_asked_for_and_counts_like_a_plain_one() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection());
    let issued = fixture.server.issue("app", "ada", "read").unwrap();
    for _ in 0..2 {
        let reply = call(&guard, &issued.access_token).await;
        assert_eq!((reply.status, &*reply.body), (200, "ada"));
    }
    let asked = fixture.server.journal().of(Endpoint::Introspect);
    assert_eq!((asked.len(), asked[0].header("accept")), (1, Some(SIGNED)));
    assert_eq!(fixture.server.journal().count(Endpoint::Jwks), 1, "the issuer's keys were fetched");

    fixture.server.revoke_token(&issued.access_token);
    advance(Duration::from_secs(61)).await;
    assert_eq!(call(&guard, &issued.access_token).await.summary(), (401, Some("invalid_token")));
    assert_eq!(call(&guard, "never-issued").await.summary(), (401, Some("invalid_token")));
}

/// Every violation singly: what the response is, and what comes of it. Printed with `--nocapture`.
#[tokio::test(start_paused = true)]
async fn each_point_of_a_signed_response_is_validated() {
    let fixture = fixture();
    let now = fixture.server.clock().now_unix();
    let good = claims(&fixture);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        sign(&fixture, &claims).build()
    };
    let saying = |response: Value| with("token_introspection", response);
    let foreign = TestKey::generate(Alg::Es256);
    let known = fixture.server.keys().current();
    let good_text = sign(&fixture, &good).build();
    let (_, signature) = good_text.rsplit_once('.').unwrap();
    let other_payload = with("iat", json!(now - 1));
    let swapped = format!("{}.{signature}", other_payload.rsplit_once('.').unwrap().0);
    let twice = good.to_string().replacen('{', "{\"aud\":\"svc\",", 1);
    let inner_twice = good.to_string().replace("{\"active\":true", "{\"active\":false,\"active\":true");
    let raw = |text: String| fixture.server.mint().typ("token-introspection+jwt").raw_payload(text).build();
    let plain = good["token_introspection"].to_string();
    type Row<'a> = (&'a str, &'a str, String, u16);
    let table: Vec<Row<'_>> = vec![
        ("good", SIGNED, good_text.clone(), 200),
        ("a parameter of the media type", "Application/Token-Introspection+JWT; charset=utf-8", good_text.clone(), 200),
        ("aud is a list with us", SIGNED, with("aud", json!(["other", "svc"])), 200),
        ("typ with application/", SIGNED, sign(&fixture, &good).typ("application/token-introspection+jwt").build(), 200),
        ("without kid", SIGNED, sign(&fixture, &good).no_kid().build(), 200),
        ("plain JSON", "application/json", plain.clone(), 503),
        ("plain JSON of the signed type", SIGNED, plain, 503),
        ("a JWT as JSON", "application/json", good_text.clone(), 503),
        ("a JWT of another media type", "application/jwt", good_text.clone(), 503),
        ("no media type", "", good_text.clone(), 503),
        ("typ JWT", SIGNED, sign(&fixture, &good).typ("JWT").build(), 503),
        ("typ at+jwt", SIGNED, sign(&fixture, &good).typ("at+jwt").build(), 503),
        ("without typ", SIGNED, sign(&fixture, &good).without_header("typ").build(), 503),
        ("another iss", SIGNED, with("iss", json!("https://other.example")), 503),
        ("without iss", SIGNED, with("iss", Value::Null), 503),
        ("iss is a list", SIGNED, with("iss", json!([fixture.server.issuer()])), 503),
        ("another aud", SIGNED, with("aud", json!("other")), 503),
        ("the API's audience as aud", SIGNED, with("aud", json!("orders-api")), 503),
        ("without aud", SIGNED, with("aud", Value::Null), 503),
        ("aud of a wrong type", SIGNED, with("aud", json!(["svc", 1])), 503),
        ("without iat", SIGNED, with("iat", Value::Null), 503),
        ("iat in the future", SIGNED, with("iat", json!(now + 61)), 503),
        ("iat within the leeway", SIGNED, with("iat", json!(now + 59)), 200),
        ("expired", SIGNED, with("exp", json!(now - 61)), 503),
        ("another key under a known kid", SIGNED, sign(&fixture, &good).signed_with(&foreign.clone().with_kid(known.kid())).build(), 503),
        ("an unknown kid", SIGNED, sign(&fixture, &good).signed_with(&foreign).build(), 503),
        ("unsigned", SIGNED, sign(&fixture, &good).unsigned().build(), 503),
        ("the signature of another", SIGNED, swapped, 503),
        ("signed with the client's secret", SIGNED, sign(&fixture, &good).signed_with_secret(Alg::Hs256, "s3cr3t").build(), 503),
        ("two parts", SIGNED, good_text.rsplit_once('.').unwrap().0.to_owned(), 503),
        ("empty", SIGNED, String::new(), 503),
        ("a claim twice", SIGNED, raw(twice), 503),
        ("active twice", SIGNED, raw(inner_twice), 503),
        ("without token_introspection", SIGNED, with("token_introspection", Value::Null), 503),
        ("token_introspection is a string", SIGNED, saying(json!("{\"active\":true}")), 503),
        ("token_introspection is a list", SIGNED, saying(json!([{"active": true}])), 503),
        ("its members at the top", SIGNED, raw(json!({"iss": fixture.server.issuer(), "aud": ["svc", "orders-api"], "iat": now, "active": true}).to_string()), 503),
        ("too long", SIGNED, saying(json!({"active": true, "aud": "orders-api", "x": "x".repeat(64 * 1024)})), 503),
        ("inactive", SIGNED, saying(json!({"active": false})), 401),
        ("active is a string", SIGNED, saying(json!({"active": "true", "aud": "orders-api"})), 503),
        ("the token is for another API", SIGNED, saying(json!({"active": true, "aud": "svc"})), 401),
        ("the token has expired", SIGNED, saying(json!({"active": true, "aud": "orders-api", "exp": now - 61})), 401),
        ("the token is by another issuer", SIGNED, saying(json!({"active": true, "aud": "orders-api", "iss": "https://other.example"})), 401),
        ("the token is bound", SIGNED, saying(json!({"active": true, "aud": "orders-api", "cnf": {}})), 401),
    ];
    for (what, content_type, body, expected) in table {
        respond(&fixture, content_type, body);
        let guard = asking(&fixture, introspection());
        let reply = call(&guard, TOKEN).await;
        println!("{what:36} {:3} {}", reply.status, reply.summary().1.unwrap_or_default());
        assert_eq!(reply.status, expected, "{what}");
        assert_eq!(reply.retry_after.is_some(), expected == 503, "{what}");
        let before = questions(&fixture);
        assert_eq!(call(&guard, TOKEN).await.status, expected, "{what}, again");
        match expected {
            503 => assert!(questions(&fixture) > before, "trouble is not cached: {what}"),
            200 => assert_eq!(questions(&fixture), before, "{what}, cached"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_tamper_of_the_server_is_noticed() {
    for (tamper, expected) in [
        (Tamper::IntrospectionActiveText, 503),
        (Tamper::IntrospectionActiveMissing, 503),
        (Tamper::IntrospectionExpired, 401),
        (Tamper::IntrospectionFuture, 401),
        (Tamper::IntrospectionIssuer, 401),
        (Tamper::IntrospectionAudience, 401),
        (Tamper::IntrospectionBound, 401),
        (Tamper::IntrospectionScopeList, 200),
        (Tamper::IntrospectionTokenType, 401),
        (Tamper::IntrospectionDuplicate, 503),
        (Tamper::IntrospectionUnsigned, 503),
        (Tamper::IntrospectionJwtType, 503),
        (Tamper::IntrospectionJwtIssuer, 503),
        (Tamper::IntrospectionJwtAudience, 503),
        (Tamper::IntrospectionJwtKey, 503),
        (Tamper::IntrospectionJwtSignature, 503),
        (Tamper::IntrospectionJwtMember, 503),
    ] {
        let fixture = fixture();
        let issued = fixture.server.issue("app", "ada", "read").unwrap();
        fixture.server.tamper(tamper).times(1);
        let guard = asking(&fixture, introspection());
        assert_eq!(call(&guard, &issued.access_token).await.status, expected, "{tamper:?}");
        if expected != 401 {
            assert_eq!(call(&guard, &issued.access_token).await.status, 200, "{tamper:?}, once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_of_the_issuer_is_fetched_within_the_cool_down() {
    let fixture = fixture();
    let guard = asking(&fixture, introspection().cache(Duration::ZERO));
    let issued = fixture.server.issue("app", "ada", "read").unwrap();
    let fetches = || fixture.server.journal().count(Endpoint::Jwks);
    assert_eq!((call(&guard, &issued.access_token).await.status, fetches()), (200, 1));
    fixture.server.keys().rotate();
    assert_eq!((call(&guard, &issued.access_token).await.status, fetches()), (200, 2));

    // A server that signs with keys it does not publish costs few fetches.
    let foreign = TestKey::generate(Alg::Es256);
    respond(&fixture, SIGNED, sign(&fixture, &claims(&fixture)).signed_with(&foreign).build());
    for _ in 0..20 {
        assert_eq!(call(&guard, TOKEN).await.status, 503);
    }
    assert!(fetches() <= 4, "{}", fetches());
    let health = serde_json::to_value(guard.health()).unwrap();
    assert_eq!(health["issuers"][0]["introspection"]["last_error"], "malformed_response");
}

#[tokio::test(start_paused = true)]
async fn without_keys_there_is_no_response_and_health_says_so() {
    let fixture = fixture();
    let issued = fixture.server.issue("app", "ada", "read").unwrap();
    fixture.server.fault(Endpoint::Jwks, Fault::status(500)).always();
    let guard = asking(&fixture, introspection());
    let reply = call(&guard, &issued.access_token).await;
    assert_eq!((reply.status, reply.retry_after.is_some()), (503, true));
    let health = serde_json::to_value(guard.health()).unwrap();
    assert_eq!(health["issuers"][0]["introspection"]["last_error"], "keys");
    fixture.server.clear_faults();
    advance(Duration::from_secs(31)).await;
    assert_eq!(call(&guard, &issued.access_token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_signed_response_is_never_an_access_token() {
    let fixture = fixture();
    let mut payload = claims(&fixture);
    for (name, value) in [("sub", json!("ada")), ("client_id", json!("app")), ("jti", json!("1"))] {
        payload[name] = value;
    }
    payload["aud"] = json!(["svc", "orders-api"]);
    payload["exp"] = json!(fixture.server.clock().now_unix() + 600);
    let response = sign(&fixture, &payload).build();
    respond(&fixture, SIGNED, sign(&fixture, &claims(&fixture)).build());
    for tokens in [IntrospectedTokens::Opaque, IntrospectedTokens::Both, IntrospectedTokens::Any] {
        let guard = asking(&fixture, introspection().tokens(tokens));
        assert_eq!(call(&guard, &response).await.summary(), (401, Some("invalid_token")), "{tokens:?}");
        assert_eq!(guard.explain(&response).reason, Some("type_mismatch"), "{tokens:?}");
    }
    assert_eq!(questions(&fixture), 0, "it is not even asked about");
}

#[tokio::test(start_paused = true)]
async fn where_all_tokens_are_asked_about_the_keys_are_those_of_the_responses() {
    let fixture = fixture();
    respond(&fixture, SIGNED, sign(&fixture, &claims(&fixture)).build());
    let any = introspection().tokens(IntrospectedTokens::Any);
    let static_keys = fixture.issuer().jwks_json(fixture.server.keys().jwks_json());
    for issuer in [fixture.issuer(), static_keys] {
        let guard = fixture.guard_of(issuer.introspection(any.clone()));
        let jwt = fixture.server.mint().build();
        assert_eq!((call(&guard, &jwt).await.status, call(&guard, TOKEN).await.status), (200, 200));
    }
}

#[cfg(feature = "toml")]
#[test]
fn the_configuration_has_a_key_for_it() {
    let read = |table: &str| {
        let text = format!(
            "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"orders-api\"]\n[issuer.introspection]\n\
             client_id = \"svc\"\nclient_secret = \"s3cr3t\"\n{table}"
        );
        oauth_guard::config::GuardConfig::from_toml(&text).and_then(|config| config.build())
    };
    read("jwt_response = true").unwrap();
    read("jwt_response = true\ntokens = \"any\"").unwrap();
    let error = read("jwt_response = \"yes\"").unwrap_err().to_string();
    assert!(error.contains("issuer[0].introspection.jwt_response"), "{error}");
    let keys = oauth_guard::Issuer::new("https://auth.example.com")
        .audience("orders-api")
        .jwks_uri("https://auth.example.com/k");
    let any = introspection().tokens(IntrospectedTokens::Any);
    Guard::builder().issuer(keys.introspection(any)).build().unwrap();
}
