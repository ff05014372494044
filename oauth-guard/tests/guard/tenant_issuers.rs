//! Issuers with a hole for the tenant in their name, and keys that belong to one issuer of several.

use oauth_guard::{Guard, Issuer, Profile, Requirement, Rule};
use oauth_mock::{Alg, MockServer, TestKey};
use serde_json::{Value, json};

use crate::site::Site;
use crate::support::{call, claims};

const HOLE: &str = "https://login.example/{tenantid}/v2.0";
const KEYS: &str = "https://login.example/common/discovery/v2.0/keys";

fn of(tenant: &str) -> String {
    HOLE.replace("{tenantid}", tenant)
}

struct Common {
    server: MockServer,
    site: Site,
}

impl Common {
    fn new() -> Self {
        let server = MockServer::builder().audience("orders-api").algorithms([Alg::Es256]).in_process();
        let site = Site::default();
        site.keys(KEYS, &server);
        Self { server, site }
    }

    /// With an `issuer` member in its key.
    fn with_key_of(issuer: &Value) -> Self {
        let common = Self::new();
        let mut key = common.server.keys().current().public_jwk();
        key["issuer"] = issuer.clone();
        common.site.json(KEYS, &json!({"keys": [key]}));
        common
    }

    fn issuer(&self) -> Issuer {
        Issuer::new(HOLE).audience("orders-api").jwks_uri(KEYS).profile(Profile::Jwt)
    }

    fn guard(&self) -> Guard {
        self.site.builder().issuer(self.issuer()).build().unwrap()
    }

    fn token(&self, issuer: &str, tenant: impl Into<Value>) -> String {
        self.server.mint().issuer(issuer).claim("tid", tenant).build()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_any_tenant_is_accepted_under_its_own_name() {
    let common = Common::new();
    let guard = common.guard();
    for tenant in ["9188040d-6c67-4c5b-b112-36a304b66dad", "contoso.onmicrosoft.com", "A1"] {
        let token = common.token(&of(tenant), tenant);
        for round in ["new", "cached"] {
            let claims = claims(&guard, &token).await.unwrap();
            assert_eq!(claims.issuer(), of(tenant), "{round}");
        }
    }
    assert_eq!(common.site.asked().len(), 1, "one set of keys for all of them");
    let health = guard.health();
    assert_eq!((health.issuers.len(), &*health.issuers[0].issuer), (1, HOLE));
    // Escapes in the claim are resolved before it is shown.
    let iss = of("a-1").replace('/', "\\/");
    let now = common.server.clock().now_unix();
    let payload = format!(r#"{{"iss":"{iss}","tid":"\u0061-1","aud":"orders-api","exp":{}}}"#, now + 60);
    let token = common.server.mint().raw_payload(payload).build();
    assert_eq!(claims(&guard, &token).await.unwrap().issuer(), of("a-1"));
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_tenant_is_not_that_of_its_issuer_is_rejected() {
    let common = Common::new();
    let guard = common.guard();
    let long = "x".repeat(65);
    let cases = [
        (of("a"), json!("b")),
        (of("a"), json!("A")),
        (of("a"), json!("")),
        (of("a"), json!(null)),
        (of("a"), json!(["a"])),
        (of("a"), json!({"a": "a"})),
        (of(""), json!("")),
        (of("a/b"), json!("a/b")),
        (of("a/../b"), json!("a/../b")),
        (of("a%2fb"), json!("a%2fb")),
        (of("a b"), json!("a b")),
        (of("\u{e4}"), json!("\u{e4}")),
        (of("a#"), json!("a#")),
        (of("{tenantid}"), json!("{tenantid}")),
        (of(&long), json!(long)),
        (HOLE.to_owned(), json!("a")),
        (format!("{}/", of("a")), json!("a")),
        (of("a").replace("https", "http"), json!("a")),
        (of("a").replace("login.example", "evil.example"), json!("a")),
    ];
    for (issuer, tenant) in cases {
        let reply = call(&guard, &common.token(&issuer, tenant.clone())).await;
        assert_eq!(reply.summary(), (401, Some("invalid_token")), "{issuer} {tenant}");
    }
    let without = common.server.mint().issuer(of("a")).build();
    assert_eq!(call(&guard, &without).await.status, 401);
    let hole = common.server.mint().issuer(HOLE).build();
    assert_eq!(call(&guard, &hole).await.status, 401);
    assert_eq!(guard.explain(&hole).reason, Some("issuer_unknown"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_names_its_issuer_signs_for_no_other() {
    // Every tenant's key may sign for its own tokens only.
    let common = Common::with_key_of(&json!(of("a")));
    let guard = common.guard();
    assert_eq!(call(&guard, &common.token(&of("a"), "a")).await.status, 200);
    let foreign = common.token(&of("b"), "b");
    assert_eq!(call(&guard, &foreign).await.summary(), (401, Some("invalid_token")));
    assert_eq!(guard.explain(&foreign).reason, Some("key_of_another_issuer"));

    // Entra's own keys have the hole in the member.
    let common = Common::with_key_of(&json!(HOLE));
    assert_eq!(call(&common.guard(), &common.token(&of("b"), "b")).await.status, 200);

    // It counts for an issuer without a hole as well.
    for (member, status) in
        [(json!(of("a")), 200), (json!(of("b")), 401), (json!(HOLE), 200), (json!(null), 200)]
    {
        let common = Common::with_key_of(&member);
        let issuer = Issuer::new(of("a")).audience("orders-api").jwks_uri(KEYS).profile(Profile::Jwt);
        let guard = common.site.builder().issuer(issuer).build().unwrap();
        assert_eq!(call(&guard, &common.token(&of("a"), "a")).await.status, status, "{member}");
    }

    // Two tenants' keys under one kid: each signs for its own.
    let common = Common::new();
    let other = TestKey::generate(Alg::Es256).with_kid(&common.server.keys().current_kid());
    let owned = |key: &TestKey, tenant: &str| {
        let mut jwk = key.public_jwk();
        jwk["issuer"] = of(tenant).into();
        jwk
    };
    let keys = [owned(&common.server.keys().current(), "a"), owned(&other, "b")];
    common.site.json(KEYS, &json!({ "keys": keys }));
    let guard = common.guard();
    let by_other =
        |tenant: &str| common.server.mint().issuer(of(tenant)).claim("tid", tenant).signed_with(&other);
    assert_eq!(call(&guard, &common.token(&of("a"), "a")).await.status, 200);
    assert_eq!(call(&guard, &by_other("b").build()).await.status, 200);
    assert_eq!(call(&guard, &by_other("a").build()).await.status, 401);
    assert_eq!(call(&guard, &common.token(&of("b"), "b")).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changes_hands_ends_what_was_cached_under_it() {
    let common = Common::with_key_of(&json!(of("a")));
    let guard = common.guard();
    let token = common.token(&of("a"), "a");
    assert_eq!(call(&guard, &token).await.status, 200);
    let mut key = common.server.keys().current().public_jwk();
    key["issuer"] = of("b").into();
    common.site.json(KEYS, &json!({"keys": [key]}));
    // An unknown kid brings the new set.
    assert_eq!(
        call(&guard, &common.server.mint().issuer(of("a")).claim("tid", "a").kid("new").build()).await.status,
        401
    );
    assert_eq!(call(&guard, &token).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_configured_by_name_has_its_own_rules() {
    let common = Common::new();
    let apart = || {
        let issuer = Issuer::new(of("a")).audience("orders-api").jwks_uri(KEYS).profile(Profile::Jwt);
        issuer.clients(["app1"])
    };
    let guard = common.guard();
    let (a, b) = (common.token(&of("a"), "a"), common.token(&of("b"), "b"));
    assert_eq!((call(&guard, &a).await.status, call(&guard, &b).await.status), (200, 200));
    // What was cached under the rules for all tenants does not outlive them.
    guard.reload(common.site.builder().issuer(common.issuer()).issuer(apart())).unwrap();
    assert_eq!((call(&guard, &a).await.status, call(&guard, &b).await.status), (401, 200));
    guard.reload(common.site.builder().issuer(common.issuer())).unwrap();
    assert_eq!(call(&guard, &a).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn rules_choose_among_tenants() {
    let common = Common::new();
    let rule = Rule::new("/{*rest}").require(Requirement::claim("tid", "a"));
    let guard = common.site.builder().issuer(common.issuer()).rule(rule).build().unwrap();
    assert_eq!(call(&guard, &common.token(&of("b"), "b")).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_is_never_asked_for_an_open_hole() {
    let common = Common::new();
    let builder = common.site.builder().resolve_issuers(|name: String| async move {
        Ok::<_, std::io::Error>(Some(
            Issuer::new(name).audience("orders-api").jwks_uri(KEYS).profile(Profile::Jwt),
        ))
    });
    let guard = builder.build().unwrap();
    assert_eq!(call(&guard, &common.token(&of("a"), "a")).await.status, 200);
    assert_eq!(call(&guard, &common.token(HOLE, "{tenantid}")).await.status, 401);
}

#[test]
fn an_issuer_with_a_hole_needs_to_know_where_its_keys_are() {
    let build =
        |issuer: Issuer| Site::default().builder().issuer(issuer.audience("orders-api")).build().map(|_| ());
    let error = build(Issuer::new(HOLE)).unwrap_err();
    assert_eq!(error.problems()[0].field, "issuer[0].jwks_uri", "{error}");
    let twice = Issuer::new("https://{tenantid}.example/{tenantid}").jwks_uri(KEYS);
    assert_eq!(build(twice).unwrap_err().problems()[0].field, "issuer[0].issuer");
    assert!(build(Issuer::new(HOLE).jwks_uri(KEYS)).is_ok());
}

#[test]
fn the_document_of_the_api_names_no_issuer_with_a_hole() {
    let common = Common::new();
    let builder = common.site.builder().resource("https://api.example.com");
    let document = builder.issuer(common.issuer()).build().unwrap().resource_metadata().unwrap();
    assert!(!serde_json::to_string(&document).unwrap().contains("authorization_servers"), "{document:?}");
}
