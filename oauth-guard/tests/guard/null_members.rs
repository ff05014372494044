//! What serializers write for members that are not there: `null`, and in keys `""` and `[]` too.

use std::time::Duration;

use oauth_guard::{Issuer, Profile};
use serde_json::{Value, json};
use tokio::time::advance;

use crate::support::{Fixture, call, claims};

const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

#[tokio::test(start_paused = true)]
async fn a_key_with_empty_members_is_used_and_one_with_a_private_part_is_not() {
    let empty = [json!(null), json!(""), json!([])];
    let optional = ["use", "alg", "key_ops", "issuer", "x5c", "x5t", "x5u"];
    let mut keys: Vec<(String, Value, u16)> = Vec::new();
    for value in &empty {
        for member in PRIVATE.iter().chain(&optional) {
            keys.push((format!("{member}: {value}"), json!({ *member: value }), 200));
        }
        let all: serde_json::Map<_, _> =
            PRIVATE.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
        keys.push((format!("all private ones {value}"), all.clone().into(), 200));
        let mut truly = Value::Object(all);
        truly["d"] = "AQ".into();
        keys.push((format!("all {value} but one"), truly, 401));
    }
    for member in PRIVATE {
        keys.push((member.to_owned(), json!({ member: "AQ" }), 401));
    }
    keys.push(("oth".to_owned(), json!({"oth": [{"r": "AQ"}]}), 401));
    for (name, members, expected) in keys {
        let fixture = Fixture::new();
        let mut jwk = fixture.server.keys().current().public_jwk();
        for (member, value) in members.as_object().unwrap() {
            jwk[member] = value.clone();
        }
        let token = fixture.server.mint().build();
        fixture.server.keys().clear();
        fixture.server.keys().add_raw(jwk);
        assert_eq!(call(&fixture.guard(), &token).await.status, expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_may_be_absent_may_be_null() {
    let fixture = Fixture::new();
    let guard = |profile| fixture.guard_of(fixture.issuer().profile(profile));
    let (rfc9068, jwt) = (guard(Profile::Rfc9068), guard(Profile::Jwt));
    for (claim, with_rfc9068, with_jwt) in [
        ("nbf", 200, 200),
        ("azp", 200, 200),
        ("cnf", 200, 200),
        ("scope", 200, 200),
        ("acr", 200, 200),
        ("auth_time", 200, 200),
        ("iat", 401, 200),
        ("sub", 401, 200),
        ("jti", 401, 200),
        ("client_id", 401, 200),
        ("exp", 401, 401),
        ("iss", 401, 401),
        ("aud", 401, 401),
    ] {
        let token = fixture.server.mint().claim(claim, Value::Null).build();
        assert_eq!(call(&rfc9068, &token).await.status, with_rfc9068, "{claim}");
        assert_eq!(call(&jwt, &token).await.status, with_jwt, "{claim}");
    }
    for (claim, value) in [("nbf", json!("soon")), ("nbf", json!("")), ("cnf", json!({})), ("azp", json!([]))]
    {
        let token = fixture.server.mint().claim(claim, value.clone()).build();
        assert_eq!(call(&jwt, &token).await.status, 401, "{claim}: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_null_claim_leaves_its_place_to_the_next_name() {
    let fixture = Fixture::new();
    let guard = fixture.guard_of(fixture.issuer().profile(Profile::Jwt).clients(["app1"]));
    let token = fixture.server.mint().claim("scope", Value::Null).claim("scp", "read");
    let token = token.claim("client_id", Value::Null).claim("azp", "app1").claim("roles", Value::Null);
    let claims = claims(&guard, &token.build()).await.unwrap();
    assert_eq!(claims.scopes().collect::<Vec<_>>(), ["read"]);
    assert_eq!((claims.client_id(), claims.roles().count()), (Some("app1"), 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_without_iat_has_no_age_to_be_checked_and_is_rejected_where_one_is() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer().profile(Profile::Jwt).max_token_age(Duration::from_secs(60));
    let guard = fixture.guard_of(issuer);
    assert_eq!(call(&guard, &fixture.server.mint().claim("iat", Value::Null).build()).await.status, 401);
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn scopes_are_separated_by_blanks_and_by_a_comma_only_where_that_is_configured() {
    let fixture = Fixture::new();
    let scopes = async |issuer: Issuer, scope: &str| {
        let claims =
            claims(&fixture.guard_of(issuer), &fixture.server.mint().scope(scope).build()).await.unwrap();
        claims.scopes().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(scopes(fixture.issuer(), "read,write a").await, ["read,write", "a"]);
    let by_comma = || fixture.issuer().scope_separator(',');
    assert_eq!(scopes(by_comma(), "read,write, a").await, ["read", "write", "a"]);
    assert_eq!(scopes(by_comma(), "read \u{e4},b").await, ["read", "\u{e4}", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_file_is_read_again_by_a_reload_and_may_begin_with_a_byte_order_mark() {
    let fixture = Fixture::new();
    let directory = std::env::temp_dir().join(format!("oauth-guard-{}-swap", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    // As container platforms replace files: a symbolic link to a directory is swapped.
    let mount = |name: &str, text: &str| {
        let generation = directory.join(name);
        std::fs::create_dir_all(&generation).unwrap();
        std::fs::write(generation.join("jwks.json"), text).unwrap();
        let link = directory.join(format!("link-{name}"));
        std::os::unix::fs::symlink(&generation, &link).unwrap();
        std::fs::rename(&link, directory.join("current")).unwrap();
    };
    mount("one", &format!("\u{feff}{}\r\n", fixture.server.keys().jwks_json()));
    let config = || fixture.builder().issuer(fixture.issuer().jwks_file(directory.join("current/jwks.json")));
    let guard = config().build().unwrap();
    let old = fixture.server.mint().build();
    assert_eq!(call(&guard, &old).await.status, 200);
    fixture.server.keys().rotate_abruptly();
    mount("two", &fixture.server.keys().jwks_json());
    let new = fixture.server.mint().build();
    assert_eq!(call(&guard, &new).await.status, 401);
    guard.reload(config()).unwrap();
    assert_eq!((call(&guard, &new).await.status, call(&guard, &old).await.status), (200, 401));
    // A file that is being replaced is an error of the reload, and the keys in force stay.
    std::fs::remove_file(directory.join("current")).unwrap();
    assert!(guard.reload(config()).is_err());
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&guard, &new).await.status, 200);
    std::fs::remove_dir_all(&directory).unwrap();
}
