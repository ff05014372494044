//! Introspection beside the other ways to name an issuer: with a hole for the tenant, resolved at run time, behind a gateway.

use std::time::Duration;

use oauth_guard::{ClientAuth, Guard, IntrospectedTokens, Introspection, Issuer, Profile};
use oauth_mock::{Alg, MockServer};
use serde_json::{Value, json};
use tokio::time::advance;

use crate::site::Site;
use crate::support::{File, call, settle};

const HOLE: &str = "https://login.example/{tenantid}/v2.0";
const KEYS: &str = "https://login.example/keys";
const AS: &str = "https://as.example";
const METADATA: &str = "https://as.example/.well-known/oauth-authorization-server";
const ASK: &str = "https://as.example/introspect";
const ELSEWHERE: &str = "https://cdn.example/introspect";

fn of(tenant: &str) -> String {
    HOLE.replace("{tenantid}", tenant)
}

fn asking(endpoint: &str) -> Introspection {
    Introspection::new(ClientAuth::basic("svc", "s3cr3t")).endpoint(endpoint)
}

fn active(change: &Value) -> Value {
    let mut body = json!({"active": true, "aud": "orders-api", "sub": "ada"});
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

struct Scene {
    server: MockServer,
    site: Site,
}

impl Scene {
    fn new() -> Self {
        let server = MockServer::builder().audience("orders-api").algorithms([Alg::Es256]).in_process();
        let site = Site::default();
        site.keys(KEYS, &server);
        site.json(ASK, &active(&json!({})));
        Self { server, site }
    }

    fn tenants() -> Issuer {
        Issuer::new(HOLE).audience("orders-api").jwks_uri(KEYS).profile(Profile::Jwt)
    }

    fn token(&self, tenant: &str) -> String {
        self.server.mint().issuer(of(tenant)).subject("ada").claim("tid", tenant).build()
    }

    fn questions(&self) -> usize {
        self.site.asked().iter().filter(|url| url.ends_with("/introspect")).count()
    }

    fn guard<const N: usize>(&self, issuers: [Issuer; N]) -> Guard {
        issuers
            .into_iter()
            .fold(self.site.builder(), |builder, issuer| builder.issuer(issuer))
            .build()
            .unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_jwt_of_a_tenant_is_never_sent_to_a_server_that_is_asked_about_any() {
    let scene = Scene::new();
    let any = || {
        let introspection = asking(ASK).tokens(IntrospectedTokens::Any);
        Issuer::new(AS).audience("orders-api").introspection(introspection)
    };
    let guard = scene.guard([Scene::tenants(), any()]);
    assert_eq!((call(&guard, &scene.token("a")).await.status, scene.questions()), (200, 0));
    let forged = scene.server.mint().issuer(of("a")).claim("tid", "a").signature("AAAA").build();
    assert_eq!((call(&guard, &forged).await.status, scene.questions()), (401, 0));
    // What names none of them is that server's to tell.
    let theirs = scene.server.mint().issuer("https://unknown.example").build();
    assert_eq!((call(&guard, &theirs).await.status, scene.questions()), (200, 1));

    // The same for a tenant that a resolver knows.
    let scene = Scene::new();
    let resolve = |name: String| async move {
        let known = name.starts_with("https://login.example/");
        let issuer = Issuer::new(name).audience("orders-api").jwks_uri(KEYS).profile(Profile::Jwt);
        Ok::<_, std::io::Error>(known.then_some(issuer))
    };
    let guard = scene.site.builder().issuer(any()).resolve_issuers(resolve).build().unwrap();
    assert_eq!((call(&guard, &scene.token("a")).await.status, scene.questions()), (200, 0));
    assert_eq!((call(&guard, &scene.token("a")).await.status, scene.questions()), (200, 0));
    assert_eq!((call(&guard, &theirs).await.status, scene.questions()), (200, 1));
    assert!(guard.forget_issuer(&of("a")));
    assert_eq!((call(&guard, &scene.token("a")).await.status, scene.questions()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_jwt_of_a_tenant_is_asked_about_under_its_tenants_name() {
    for (change, status) in [
        (json!({}), 200),
        (json!({"iss": of("a")}), 200),
        (json!({"iss": of("b")}), 401),
        (json!({"iss": HOLE}), 401),
        (json!({"active": false}), 401),
    ] {
        let scene = Scene::new();
        scene.site.json(ASK, &active(&change));
        let both = asking(ASK).tokens(IntrospectedTokens::Both);
        let guard = scene.guard([Scene::tenants().introspection(both)]);
        assert_eq!(
            (call(&guard, &scene.token("a")).await.status, scene.questions()),
            (status, 1),
            "{change}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_about_a_tenant_with_rules_of_its_own_is_not_judged_by_those_for_all() {
    let scene = Scene::new();
    let apart = Issuer::new(of("a")).audience("orders-api").jwks_uri(KEYS).clients(["app1"]);
    let guard = scene.guard([Scene::tenants().introspection(asking(ASK)), apart]);
    for (tenant, status) in [("a", 401), ("b", 200)] {
        scene.site.json(ASK, &active(&json!({"iss": of(tenant), "tid": tenant})));
        assert_eq!(call(&guard, &format!("opaque-{tenant}")).await.status, status, "{tenant}");
    }
}

#[test]
fn the_endpoint_of_an_issuer_with_a_hole_must_be_named() {
    let introspection = Introspection::new(ClientAuth::basic("svc", "s3cr3t"));
    let error = Guard::builder().issuer(Scene::tenants().introspection(introspection)).build().unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|problem| &*problem.field).collect();
    assert_eq!(fields, ["issuer[0].introspection.endpoint"]);
}

#[tokio::test(start_paused = true)]
async fn a_resolved_issuer_that_wants_to_be_asked_about_all_tokens_or_opaque_ones_is_a_mistake_and_never_asked()
 {
    for tokens in [IntrospectedTokens::Any, IntrospectedTokens::Opaque] {
        let scene = Scene::new();
        let resolve = move |name: String| async move {
            let asked = asking(ASK).tokens(tokens);
            Ok::<_, std::io::Error>(Some(Issuer::new(name).audience("orders-api").introspection(asked)))
        };
        let guard = scene.site.builder().resolve_issuers(resolve).build().unwrap();
        assert_eq!((call(&guard, &scene.token("a")).await.status, scene.questions()), (503, 0), "{tokens:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_reach_the_introspection_endpoint_and_no_origin_that_metadata_name() {
    let file = File::new("asking-token", "t0ken\n");
    let metadata = |site: &Site, endpoint: &str| {
        site.json(
            METADATA,
            &json!({"issuer": AS, "jwks_uri": "https://as.example/keys", "introspection_endpoint": endpoint}),
        );
        site.json(endpoint, &active(&json!({})));
    };
    let key = Some("k3y".to_owned());
    let bearer = Some("Bearer t0ken".to_owned());
    for tokens in [IntrospectedTokens::Opaque, IntrospectedTokens::Any] {
        let issuer = |introspection: Introspection| {
            let issuer =
                Issuer::new(AS).audience("orders-api").header("x-api-key", "k3y").token_file(&file.0);
            issuer.introspection(introspection.tokens(tokens))
        };
        let discovering = || Introspection::new(ClientAuth::basic("svc", "s3cr3t"));

        let scene = Scene::new();
        metadata(&scene.site, ASK);
        assert_eq!(call(&scene.guard([issuer(discovering())]), "opaque").await.status, 200);
        assert_eq!(scene.site.header(METADATA, "x-api-key"), std::slice::from_ref(&key));
        assert_eq!(scene.site.header(METADATA, "authorization"), std::slice::from_ref(&bearer));
        assert_eq!(scene.site.header(ASK, "x-api-key"), std::slice::from_ref(&key));
        let credentials = scene.site.header(ASK, "authorization").remove(0).unwrap();
        assert!(credentials.starts_with("Basic "), "the client's own authentication comes first");

        let scene = Scene::new();
        metadata(&scene.site, ELSEWHERE);
        assert_eq!(call(&scene.guard([issuer(discovering())]), "opaque").await.status, 200);
        assert_eq!(scene.site.header(ELSEWHERE, "x-api-key"), [None], "named by metadata only");

        let scene = Scene::new();
        scene.site.json(ELSEWHERE, &active(&json!({})));
        assert_eq!(call(&scene.guard([issuer(asking(ELSEWHERE))]), "opaque").await.status, 200);
        assert_eq!(
            scene.site.header(ELSEWHERE, "x-api-key"),
            std::slice::from_ref(&key),
            "named by the configuration"
        );
    }
    // Where the keys are given, the headers are for the questions alone.
    let scene = Scene::new();
    let keys = scene.server.keys().jwks_json();
    let issuer = Issuer::new(AS).audience("orders-api").jwks_json(keys).header("x-api-key", "k3y");
    assert_eq!(call(&scene.guard([issuer.introspection(asking(ASK))]), "opaque").await.status, 200);
    assert_eq!(scene.site.header(ASK, "x-api-key"), [key]);
    // One mistake is reported once.
    let wrong = Issuer::new(AS).audience("orders-api").header("x api key", "k").introspection(asking(ASK));
    assert_eq!(scene.site.builder().issuer(wrong).build().unwrap_err().problems().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn questions_that_fail_together_are_one_failure_and_those_that_wait_are_not_sent_after_them() {
    let scene = Scene::new();
    scene.site.serve(ASK, 500, "text/plain", "");
    let guard = scene.guard([Issuer::new(AS).audience("orders-api").introspection(asking(ASK))]);
    let calls = (0..200).map(|nth| {
        let guard = guard.clone();
        tokio::spawn(async move { call(&guard, &format!("new-{nth}")).await.status })
    });
    for called in calls.collect::<Vec<_>>() {
        assert_eq!(called.await.unwrap(), 503);
    }
    assert!(scene.questions() <= 64, "{} questions to a server in trouble", scene.questions());
    // The first pause is a second however many there were.
    scene.site.json(ASK, &active(&json!({})));
    advance(Duration::from_millis(1100)).await;
    settle().await;
    assert_eq!(call(&guard, "new-1").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_firewall_that_refuses_some_tokens_closes_the_way_for_no_other() {
    let scene = Scene::new();
    scene.site.serve(ASK, 403, "text/html", "<html>blocked</html>");
    let guard = scene.guard([Issuer::new(AS).audience("orders-api").introspection(asking(ASK))]);
    for nth in 0..10 {
        assert_eq!(call(&guard, &format!("/../../etc/passwd{nth}")).await.status, 503);
    }
    assert_eq!(
        guard.health().issuers[0].introspection.as_ref().unwrap().last_error.as_deref(),
        Some("credentials")
    );
    scene.site.json(ASK, &active(&json!({})));
    assert_eq!(call(&guard, "good").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_explanation_of_a_jwt_says_what_its_server_said() {
    let scene = Scene::new();
    let both = || asking(ASK).tokens(IntrospectedTokens::Both);
    let guard = scene.guard([Scene::tenants().introspection(both())]);
    let token = scene.token("a");
    scene.site.serve(ASK, 500, "text/plain", "");
    assert_eq!(call(&guard, &token).await.status, 503);
    let before = guard.explain(&token);
    assert_eq!(before.code, Some("introspection_unavailable"), "{before}");
    assert_eq!(guard.explain_fetching(&token).await.code, Some("introspection_unavailable"));
    scene.site.json(ASK, &active(&json!({})));
    assert_eq!(call(&guard, &token).await.status, 200);
    let cached = guard.explain(&token);
    assert_eq!(cached.code, None, "{cached}");
    assert!(cached.to_string().contains("asked again in"), "{cached}");

    scene.site.json(ASK, &json!({"active": false}));
    let guard = scene.guard([Scene::tenants().introspection(both())]);
    assert_eq!(call(&guard, &token).await.status, 401);
    assert_eq!(guard.explain(&token).reason, Some("token_inactive"));
    let guard = scene.guard([Scene::tenants().introspection(both())]);
    assert_eq!(guard.explain_fetching(&token).await.reason, Some("token_inactive"));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_tenant_that_is_being_asked_about_is_not_cached() {
    let scene = Scene::new();
    let resolve = |name: String| async move {
        let both = asking(ASK).tokens(IntrospectedTokens::Both);
        let issuer = Issuer::new(name).audience("orders-api").jwks_uri(KEYS).profile(Profile::Jwt);
        Ok::<_, std::io::Error>(Some(issuer.introspection(both)))
    };
    let guard = scene.site.builder().resolve_issuers(resolve).build().unwrap();
    let token = scene.token("a");
    assert_eq!((call(&guard, &token).await.status, scene.questions()), (200, 1));
    assert_eq!((call(&guard, &token).await.status, scene.questions()), (200, 1));
    let (forgetting, name) = (guard.clone(), of("a"));
    scene.site.serve_by(ASK, move |_| {
        forgetting.forget_issuer(&name);
        http::Response::new(active(&json!({})).to_string().into())
    });
    advance(Duration::from_secs(61)).await;
    let _ = call(&guard, &token).await;
    scene.site.json(ASK, &json!({"active": false}));
    assert_eq!((call(&guard, &token).await.status, scene.questions()), (401, 3));
}
