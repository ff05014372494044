//! Claims and tokens made up by a test: they are worth nothing to a guard that does not ask for them.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use oauth_guard::testing::{self, TestClaimsLayer};
use oauth_guard::{Algorithm, Claims, Guard, Issuer, Profile, Requirement, Rule};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

#[derive(serde::Deserialize)]
struct Mine {
    tenant: String,
}

fn with(token: &str) -> Request<()> {
    Request::get("/orders").header(header::AUTHORIZATION, format!("Bearer {token}")).body(()).unwrap()
}

#[test]
fn claims_for_tests_say_what_the_test_says_and_the_rest_is_filled_in() {
    let claims =
        Claims::for_tests(json!({ "sub": "ada", "scope": "read write", "roles": ["editor"], "n": 7 }))
            .unwrap();
    assert_eq!((claims.issuer(), claims.subject()), (testing::ISSUER, Some("ada")));
    assert_eq!(claims.audience().collect::<Vec<_>>(), [testing::AUDIENCE]);
    assert!(claims.has_scope("write") && claims.has_role("editor") && !claims.has_scope("admin"));
    assert_eq!(claims.get::<u8>("n"), Some(7));

    let other = json!({ "iss": "https://auth.example.com", "aud": ["orders-api", "other"], "exp": 4_000_000_000_u64 });
    let claims = Claims::for_tests(other).unwrap();
    assert_eq!((claims.issuer(), claims.expires_at()), ("https://auth.example.com", 4_000_000_000));
}

#[test]
fn claims_that_no_token_could_bring_are_an_error_that_names_them() {
    let refused = |claims| Claims::for_tests(claims).unwrap_err().to_string();
    assert!(refused(json!({ "exp": 1 })).contains("exp"), "{}", refused(json!({ "exp": 1 })));
    assert!(refused(json!({ "sub": 7 })).contains("sub"), "{}", refused(json!({ "sub": 7 })));
    assert!(refused(json!(["sub"])).contains("JSON object"));
    let misfit = Claims::<Mine>::custom_for_tests(json!({ "sub": "ada" })).err().unwrap().to_string();
    assert!(misfit.contains("tenant"), "{misfit}");
}

#[tokio::test]
async fn the_layer_hands_on_claims_of_any_type_and_removes_others() {
    let seen = service_fn(|request: Request<()>| async move {
        let untyped = request.extensions().get::<Claims>().is_some();
        let tenant = request.extensions().get::<Claims<Mine>>().map(|claims| claims.custom().tenant.clone());
        Ok::<_, Infallible>((untyped, tenant))
    });
    let mine = Claims::<Mine>::custom_for_tests(json!({ "tenant": "acme" })).unwrap();
    let typed = TestClaimsLayer::new(mine).layer(seen);
    assert_eq!(typed.oneshot(Request::new(())).await.unwrap(), (false, Some("acme".to_owned())));

    let mut request = Request::new(());
    request.extensions_mut().insert(Claims::for_tests(json!({})).unwrap());
    let without = TestClaimsLayer::without_token().layer(seen);
    assert_eq!(without.oneshot(request).await.unwrap(), (false, None));
}

#[tokio::test]
async fn rules_are_tested_with_tokens_of_the_test() {
    let guard = Guard::builder()
        .issuer(testing::issuer().unwrap())
        .rule(Rule::new("/orders").require(Requirement::scope("orders:read")))
        .build()
        .unwrap();
    let handler =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) });
    let service = guard.layer().layer(handler);
    let status = async |claims| {
        let token = testing::token(claims).unwrap();
        service.clone().oneshot(with(&token)).await.unwrap().status()
    };
    assert_eq!(status(json!({ "scope": "orders:read" })).await, StatusCode::OK);
    assert_eq!(status(json!({ "scope": "profile" })).await, StatusCode::FORBIDDEN);
    assert_eq!(status(json!({ "scope": "orders:read", "exp": 1 })).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(json!({ "scope": "orders:read", "aud": "another" })).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_for_tests_is_worth_nothing_to_another_guard() {
    let token = testing::token(json!({ "sub": "ada" })).unwrap();
    assert!(Guard::for_tests().unwrap().check(&with(&token)).resolve().await.unwrap().is_some());

    // The same issuer by its name, with a secret of its own.
    let issuer = Issuer::new(testing::ISSUER).audience(testing::AUDIENCE).profile(Profile::Jwt);
    let other = Guard::builder().issuer(issuer.hmac_secret(Algorithm::Hs256, [7; 32])).build().unwrap();
    let rejection = other.check(&with(&token)).resolve().await.unwrap_err();
    assert_eq!(rejection.code(), "invalid_token");
}
