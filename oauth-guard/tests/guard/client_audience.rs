//! Issuers that put no audience into access tokens, and claims that tokens must have.

use oauth_guard::{Issuer, Profile};
use oauth_mock::TokenBuilder;
use serde_json::{Value, json};

use crate::support::{Fixture, call};

fn issuer(fixture: &Fixture) -> Issuer {
    Issuer::new(fixture.server.issuer()).profile(Profile::Jwt).any_audience().clients(["app1"])
}

fn token(fixture: &Fixture) -> TokenBuilder {
    fixture.server.mint().without("aud").client_id("app1").claim("token_use", "access")
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_audience_is_accepted_of_the_named_clients_only() {
    let fixture = Fixture::new();
    let guard = fixture.guard_of(issuer(&fixture));
    assert_eq!(call(&guard, &token(&fixture).build()).await.status, 200);
    assert_eq!(call(&guard, &token(&fixture).audience("another-api").build()).await.status, 200);
    let azp = token(&fixture).without("client_id").claim("azp", "app1");
    assert_eq!(call(&guard, &azp.build()).await.status, 200);
    for (name, token) in [
        ("another client", token(&fixture).client_id("app2")),
        ("in another case", token(&fixture).client_id("APP1")),
        ("no client", token(&fixture).without("client_id")),
        ("null", token(&fixture).claim("client_id", Value::Null)),
        ("an empty client", token(&fixture).client_id("")),
        ("a list", token(&fixture).claim("client_id", json!(["app1"]))),
        ("azp beside another client_id", token(&fixture).client_id("app2").claim("azp", "app1")),
    ] {
        assert_eq!(call(&guard, &token.build()).await.summary(), (401, Some("invalid_token")), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_audience_of_a_wrong_type_is_an_error_all_the_same() {
    let fixture = Fixture::new();
    let guard = fixture.guard_of(issuer(&fixture));
    for aud in [json!(null), json!(5), json!({}), json!([["a"]]), json!(["a", 5]), json!(true)] {
        let reply = call(&guard, &token(&fixture).claim("aud", aud.clone()).build()).await;
        assert_eq!(reply.status, 401, "{aud}");
    }
    assert_eq!(call(&guard, &token(&fixture).claim("aud", json!([])).build()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_has_the_claims_that_are_required() {
    let fixture = Fixture::new();
    let issuer =
        issuer(&fixture).require("token_use", "access").require("level.number", 2).require("mfa", true);
    let guard = fixture.guard_of(issuer);
    let good = || token(&fixture).claim("level", json!({"number": 2})).claim("mfa", true);
    assert_eq!(call(&guard, &good().build()).await.status, 200);
    for (name, token) in [
        ("an ID token", good().claim("token_use", "id")),
        ("nothing", good().without("token_use")),
        ("null", good().claim("token_use", Value::Null)),
        ("empty", good().claim("token_use", "")),
        ("another case", good().claim("token_use", "Access")),
        ("a list", good().claim("token_use", json!(["access"]))),
        ("another number", good().claim("level", json!({"number": 3}))),
        ("a number as text", good().claim("level", json!({"number": "2"}))),
        ("no object", good().claim("level", 2)),
        ("a truth as text", good().claim("mfa", "true")),
    ] {
        let token = token.build();
        assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")), "{name}");
        let explanation = guard.explain(&token);
        assert_eq!(explanation.reason, Some("required_claim_mismatch"), "{name}");
        assert!(explanation.to_string().contains("token_use = \"access\""), "{explanation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_required_claim_may_have_one_of_several_values() {
    let fixture = Fixture::new();
    let issuer = issuer(&fixture).require_one_of("hd", ["example.com", "example.org"]);
    let guard = fixture.guard_of(issuer);
    for good in ["example.com", "example.org"] {
        assert_eq!(call(&guard, &token(&fixture).claim("hd", good).build()).await.status, 200, "{good}");
    }
    for other in [json!("example.net"), json!(["example.com"]), Value::Null] {
        let token = token(&fixture).claim("hd", other).build();
        assert_eq!(call(&guard, &token).await.summary(), (401, Some("invalid_token")));
        let explanation = guard.explain(&token).to_string();
        assert!(explanation.contains(r#"hd one of ["example.com", "example.org"]"#), "{explanation}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_cached_before_a_claim_was_required_is_validated_again() {
    let fixture = Fixture::new();
    let guard = fixture.guard_of(issuer(&fixture));
    let id = token(&fixture).claim("token_use", "id").build();
    assert_eq!(call(&guard, &id).await.status, 200);
    guard.reload(fixture.builder().issuer(issuer(&fixture).require("token_use", "access"))).unwrap();
    assert_eq!(call(&guard, &id).await.status, 401);
}

#[test]
fn any_audience_goes_with_clients_and_without_an_audience() {
    let fixture = Fixture::new();
    let fields = |issuer: Issuer| match fixture.builder().issuer(issuer).build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(|problem| problem.field.clone()).collect(),
    };
    let named = || Issuer::new(fixture.server.issuer());
    assert_eq!(fields(named().any_audience()), ["issuer[0].any_audience"]);
    assert_eq!(fields(named().any_audience().clients(Vec::<String>::new())), ["issuer[0].clients"]);
    assert_eq!(fields(named().any_audience().clients(["a"]).audience("x")), ["issuer[0].any_audience"]);
    assert_eq!(fields(named().require("", "x").audience("x")), ["issuer[0].require"]);
    let none = named().require_one_of("hd", Vec::<String>::new());
    assert_eq!(fields(none.audience("x")), ["issuer[0].require.hd"]);
    assert!(fields(named().any_audience().clients(["a"])).is_empty());
}
