//! Roles from several claims of one token, at exact paths; and whose client a token is.

use oauth_guard::{Requirement, Rule};
use serde_json::json;

use crate::support::{Fixture, send};

#[tokio::test(start_paused = true)]
async fn roles_of_all_configured_claims_count_and_no_others() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer().roles_claims([
        "realm_access.roles",
        "/resource_access/orders.api/roles",
        "https://orders.example/roles",
        "single",
    ]);
    let guard = fixture.guard_of(issuer);
    let token = fixture
        .server
        .mint()
        .claim("realm_access", json!({"roles": ["a", "b"]}))
        .claim("resource_access", json!({"orders.api": {"roles": ["c"]}, "other": {"roles": ["not-ours"]}}))
        .claim("https://orders.example/roles", json!(["d"]))
        .claim("single", "e f")
        .claim("roles", json!(["not-configured"]))
        .build();
    let request =
        http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    let claims = guard.check(&request).resolve().await.unwrap().unwrap();
    assert_eq!(claims.roles().collect::<Vec<_>>(), ["a", "b", "c", "d", "e f"]);
    for (role, status) in
        [("a", 200), ("c", 200), ("d", 200), ("e f", 200), ("not-ours", 403), ("not-configured", 403)]
    {
        let layer = guard.layer().require(Requirement::role(role));
        let reply = send(&layer, &[format!("Bearer {token}").as_bytes()]).await;
        assert_eq!(reply.status, status, "{role}");
    }
    // One of another form grants nothing, and the others still count.
    let token =
        fixture.server.mint().claim("realm_access", json!({"roles": ["a", 7]})).claim("single", "e").build();
    let request =
        http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    let claims = guard.check(&request).resolve().await.unwrap().unwrap();
    assert_eq!(claims.roles().collect::<Vec<_>>(), ["e"]);
}

#[tokio::test(start_paused = true)]
async fn the_scope_claim_is_a_name_a_path_or_a_pointer() {
    let fixture = Fixture::new();
    let token = fixture
        .server
        .mint()
        .claim("resource", json!({"orders.api": {"scope": "read"}, "scope": ["write"]}))
        .claim("https://orders.example/scope", "admin")
        .build();
    for (claim, scope) in [
        ("/resource/orders.api/scope", "read"),
        ("/resource/scope", "write"),
        ("resource.scope", "write"),
        ("https://orders.example/scope", "admin"),
    ] {
        let layer = fixture.guard_of(fixture.issuer().scope_claim(claim)).layer();
        let layer = layer.require(Requirement::scope(scope));
        assert_eq!(send(&layer, &[format!("Bearer {token}").as_bytes()]).await.status, 200, "{claim}");
    }
    for claim in ["", "/", "/resource/*/scope", "/a~2"] {
        let error = fixture.builder().issuer(fixture.issuer().scope_claim(claim)).build().unwrap_err();
        let [problem] = error.problems() else { unreachable!("one problem: {error}") };
        assert_eq!(problem.field, "issuer[0].scope_claim", "{claim}");
    }
}

#[test]
fn a_wildcard_an_empty_list_and_a_broken_pointer_are_build_errors() {
    let fixture = Fixture::new();
    for (paths, word) in [
        (&["resource_access.*.roles"][..], "wildcards"),
        (&["roles", "/resource_access/*/roles"], "wildcards"),
        (&[], "empty list"),
        (&[""], "path of a claim"),
        (&["/a~2b"], "JSON Pointer"),
    ] {
        let issuer = fixture.issuer().roles_claims(paths.iter().copied());
        let error = fixture.builder().issuer(issuer).build().map(|_| ()).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert_eq!(problem.field, "issuer[0].roles_claim");
        assert!(problem.message.contains(word), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_is_client_id_and_azp_only_without_it() {
    let fixture = Fixture::new();
    let issuer = fixture.issuer().profile(oauth_guard::Profile::Jwt).clients(["ours"]);
    let rule = Rule::new("/").require(Requirement::client("ours"));
    let guard = fixture.builder().issuer(issuer).rule(rule).build().unwrap();
    let mint = || fixture.server.mint().without("client_id");
    for (token, status) in [
        (mint().client_id("ours").claim("azp", "another").build(), 200),
        (mint().client_id("another").claim("azp", "ours").build(), 401),
        (mint().claim("azp", "ours").build(), 200),
        (mint().claim("azp", "another").build(), 401),
        (mint().build(), 401),
    ] {
        assert_eq!(
            send(&guard.layer(), &[format!("Bearer {token}").as_bytes()]).await.status,
            status,
            "{token}"
        );
    }
}
