//! The extractors and the router for axum.

use ::axum::Router;
use ::axum::body::Body;
use ::axum::routing::get;
use http::{Request, header};
use http_body_util::BodyExt;
use oauth_guard::{Claims, RejectionBody, Requirement, Rule, Scoped, Scopes, SubjectToken, Untyped};
use serde::Deserialize;
use tower::ServiceExt;

use crate::log::Log;
use crate::support::Fixture;

const NOT_GUARDED: &str = r#"{"error":"not_guarded","error_description":"the request cannot be handled"}"#;

#[derive(Deserialize)]
struct Mine {
    tenant: String,
}

async fn ask(router: &Router, path: &str, token: Option<&str>) -> (u16, String) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn subject(claims: Claims) -> String {
    claims.subject().unwrap_or_default().to_owned()
}

async fn perhaps(claims: Option<Claims>) -> String {
    claims.map_or("anonymous".to_owned(), |claims| claims.subject().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn handlers_get_claims_where_a_guard_is_and_500_where_none_is() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let router = Router::new()
        .route("/mine", get(subject))
        .route("/write", get(subject).layer(guard.layer().require(Requirement::scope("write"))))
        .layer(guard.layer())
        .route("/public", get(perhaps).layer(guard.layer().optional()))
        .route("/optional", get(subject).layer(guard.layer().optional()))
        .route("/forgotten", get(subject));
    let token = fixture.server.mint().subject("ada").scope("read").build();
    let token = Some(token.as_str());
    assert_eq!(ask(&router, "/mine", token).await, (200, "ada".to_owned()));
    assert_eq!(ask(&router, "/mine", None).await.0, 401);
    assert_eq!(ask(&router, "/write", token).await.0, 403);
    assert_eq!(ask(&router, "/public", None).await, (200, "anonymous".to_owned()));
    assert_eq!(ask(&router, "/public", token).await, (200, "ada".to_owned()));
    assert_eq!(ask(&router, "/public", Some("a.b.c")).await.0, 401);
    // Never anonymous access to a handler that needs claims.
    assert_eq!(ask(&router, "/optional", None).await.0, 500);
    assert_eq!(ask(&router, "/forgotten", token).await, (500, NOT_GUARDED.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn typed_claims_come_with_their_own_guard() {
    let fixture = Fixture::new();
    let typed = fixture.builder().claims::<Mine>().issuer(fixture.issuer()).build().unwrap();
    let router = Router::new()
        .route("/", get(async |claims: Claims<Mine>| claims.custom().tenant.clone()))
        .route("/other", get(async |_: Claims<Untyped>| "never"))
        .layer(typed.layer());
    let token = fixture.server.mint().claim("tenant", "t1").build();
    assert_eq!(ask(&router, "/", Some(&token)).await, (200, "t1".to_owned()));
    assert_eq!(ask(&router, "/other", Some(&token)).await.0, 500, "claims of another type are not there");
    let misfit = fixture.server.mint().build();
    assert_eq!(ask(&router, "/", Some(&misfit)).await.0, 401);
}

struct WriteOrders;

impl Scopes for WriteOrders {
    const SCOPES: &[&str] = &["read", "write"];
}

async fn write(claims: Scoped<WriteOrders>) -> String {
    claims.subject().unwrap_or_default().to_owned()
}

async fn response(router: &Router, request: http::request::Builder) -> http::Response<Body> {
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn with_token(path: &str, token: &str) -> http::request::Builder {
    Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"))
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_scopes_rejects_with_the_guards_response() {
    let fixture = Fixture::new();
    let builder = || {
        let guard = fixture.builder().issuer(fixture.issuer()).realm("orders");
        guard.resource("https://api.example.com/orders").rule(Rule::new("/open").optional())
    };
    let guard = builder().build().unwrap();
    let routes = || Router::new().route("/", get(write).post(write)).route("/open", get(write));
    let router = routes().layer(guard.layer()).route("/forgotten", get(write));
    let poor = fixture.server.mint().scope("read").build();
    let rich = fixture.server.mint().subject("ada").scope("write read").build();
    assert_eq!(ask(&router, "/", Some(&rich)).await, (200, "ada".to_owned()));

    let rejected = response(&router, with_token("/", &poor)).await;
    // The same response as from a layer with the same requirement.
    let same = Requirement::all(WriteOrders::SCOPES.iter().map(|scope| Requirement::scope(*scope)));
    let by_layer = Router::new().route("/", get(subject)).layer(guard.layer().require(same));
    let expected = response(&by_layer, with_token("/", &poor)).await;
    assert_eq!((rejected.status(), rejected.headers()), (expected.status(), expected.headers()));
    assert_eq!(
        rejected.headers()[header::WWW_AUTHENTICATE],
        "Bearer realm=\"orders\", \
         resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource/orders\", \
         error=\"insufficient_scope\", scope=\"read write\""
    );
    let grpc = with_token("/", &poor).method("POST").version(http::Version::HTTP_2);
    let grpc = grpc.header(header::CONTENT_TYPE, "application/grpc");
    let grpc = response(&router, grpc).await;
    assert_eq!((grpc.status().as_u16(), &grpc.headers()["grpc-status"]), (200, &"7".parse().unwrap()));

    // No guard and no claims: never treated as an authenticated caller.
    assert_eq!(ask(&router, "/forgotten", Some(&rich)).await, (500, NOT_GUARDED.to_owned()));
    assert_eq!(ask(&router, "/open", None).await.0, 500);
    assert_eq!(ask(&router, "/open", Some(&poor)).await.0, 403);

    let worded = builder().on_rejection(|rejection| RejectionBody::text(rejection.code())).build().unwrap();
    let worded = routes().layer(worded.layer());
    assert_eq!(ask(&worded, "/", Some(&poor)).await, (403, "insufficient_scope".to_owned()));

    let dry = routes().layer(builder().dry_run().build().unwrap().layer());
    assert_eq!(ask(&dry, "/", Some(&poor)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn rules_see_the_path_as_received_at_every_layer() {
    let fixture = Fixture::new();
    let rules = fixture
        .builder()
        .issuer(fixture.issuer())
        .rule(Rule::new("/api/v1/orders/{id}").require(Requirement::scope("write")))
        .rule(Rule::new("/orders/{id}").public());
    let guard = rules.build().unwrap();
    let inner = || Router::new().route("/orders/{id}", get(async || "seen"));
    let token = fixture.server.mint().scope("read").build();
    let on_route = Router::new().route("/orders/{id}", get(async || "seen").layer(guard.layer()));
    for (place, router) in [
        ("outermost", Router::new().nest("/api", Router::new().nest("/v1", inner())).layer(guard.layer())),
        ("in between", Router::new().nest("/api", Router::new().nest("/v1", inner()).layer(guard.layer()))),
        ("innermost", Router::new().nest("/api", Router::new().nest("/v1", inner().layer(guard.layer())))),
        ("on the route", Router::new().nest("/api", Router::new().nest("/v1", on_route))),
    ] {
        assert_eq!(ask(&router, "/api/v1/orders/7", Some(&token)).await.0, 403, "{place}");
        assert_eq!(ask(&router, "/api/v1/orders/7", None).await.0, 401, "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_resource_has_its_document_at_its_well_known_path() {
    let fixture = Fixture::new();
    let guard = |resource: &str, scopes: &[&str]| {
        let read = Rule::new("/{*rest}")
            .require(Requirement::any(scopes.iter().map(|scope| Requirement::scope(*scope))));
        fixture.builder().issuer(fixture.issuer()).resource(resource).rule(read).build().unwrap()
    };
    let api = guard("https://api.example.com", &["write", "read"]);
    let orders = guard("https://api.example.com/orders", &["orders:write", "orders:read"]);
    let reports = guard("https://api.example.com/tenants/a/reports/", &["reports"]);
    let router = Router::new()
        .route("/", get(subject).layer(api.layer()))
        .route("/orders", get(subject).layer(orders.layer()))
        .route("/tenants/a/reports", get(subject).layer(reports.layer()))
        .merge(api.metadata_router())
        .merge(orders.metadata_router())
        .merge(reports.metadata_router());
    let issuer = fixture.server.issuer().to_owned();
    for (path, place, resource, scopes) in [
        ("/", "/.well-known/oauth-protected-resource", "https://api.example.com", r#"["read","write"]"#),
        (
            "/orders",
            "/.well-known/oauth-protected-resource/orders",
            "https://api.example.com/orders",
            r#"["orders:read","orders:write"]"#,
        ),
        (
            "/tenants/a/reports",
            "/.well-known/oauth-protected-resource/tenants/a/reports",
            "https://api.example.com/tenants/a/reports/",
            r#"["reports"]"#,
        ),
    ] {
        // From the challenge to the document, as a client does.
        let rejected = response(&router, Request::get(path)).await;
        let challenge = rejected.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned();
        assert_eq!(
            challenge,
            format!(r#"Bearer realm="api", resource_metadata="https://api.example.com{place}""#)
        );
        let document = response(&router, Request::get(place)).await;
        assert_eq!(document.headers()[header::CONTENT_TYPE], "application/json");
        let (status, json) = ask(&router, place, None).await;
        println!("GET {place}\n{json}\n");
        assert_eq!(status, 200);
        assert_eq!(
            json,
            format!(
                r#"{{"resource":"{resource}","authorization_servers":["{issuer}"],"scopes_supported":{scopes},"bearer_methods_supported":["header"]}}"#
            )
        );
        assert_eq!(ask(&router, &format!("{place}?q=1"), None).await.0, 404);
    }
    let none = fixture.guard().metadata_router::<()>();
    assert_eq!(ask(&none, "/.well-known/oauth-protected-resource", None).await.0, 404);
}

/// RFC 9728 section 3.1 removes only the slash that ends the host.
#[tokio::test(start_paused = true)]
async fn a_resource_that_ends_with_a_slash_has_its_document_with_and_without_it() {
    let fixture = Fixture::new();
    let at = async |resource: &str, place: &str| {
        let guard = fixture.builder().issuer(fixture.issuer()).resource(resource).build().unwrap();
        let known = guard.resource_metadata().unwrap().is_at(&place.parse().unwrap());
        let (status, _) = ask(&guard.metadata_router(), place, None).await;
        assert_eq!(known, status == 200, "{resource} {place}");
        known
    };
    let root = "/.well-known/oauth-protected-resource";
    let below = |path: &str| format!("{root}{path}");
    for (resource, place, known) in [
        ("https://a.example/b/", below("/b"), true),
        ("https://a.example/b/", below("/b/"), true),
        ("https://a.example/b/?q=1", below("/b/?q=1"), true),
        ("https://a.example/b/?q=1", below("/b/"), false),
        ("https://a.example/b/", below("/b//"), false),
        ("https://a.example/b", below("/b/"), false),
        ("https://a.example/", below(""), true),
        ("https://a.example/", below("/"), false),
        ("https://a.example", below("/"), false),
    ] {
        assert_eq!(at(resource, &place).await, known, "{resource} {place}");
    }
}

#[test]
fn a_resource_that_no_router_can_serve_is_an_error_and_no_panic() {
    let fixture = Fixture::new();
    for resource in
        ["https://api.example.com/:v", "https://api.example.com/a/*b/c", "https://api.example.com/*"]
    {
        let error = fixture.builder().issuer(fixture.issuer()).resource(resource).build().unwrap_err();
        assert_eq!(error.problems()[0].field, "resource", "{error}");
        assert!(error.to_string().contains("%3A"), "{error}");
    }
    for resource in ["https://api.example.com/%3Av", "https://api.example.com/a:b/{c}/%2A"] {
        let guard = fixture.builder().issuer(fixture.issuer()).resource(resource).build().unwrap();
        let _: Router = Router::new().merge(guard.metadata_router());
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_follows_a_reload() {
    let fixture = Fixture::new();
    let with = |scope: &str| {
        let rule = Rule::new("/").require(Requirement::scope(scope));
        fixture.builder().issuer(fixture.issuer()).resource("https://api.example.com").rule(rule)
    };
    let guard = with("before").build().unwrap();
    let router: Router = guard.metadata_router();
    guard.reload(with("after")).unwrap();
    let (_, json) = ask(&router, "/.well-known/oauth-protected-resource", None).await;
    assert!(json.contains(r#""scopes_supported":["after"]"#), "{json}");
}

#[tokio::test(start_paused = true)]
async fn the_document_names_the_scopes_of_layers_too() {
    let fixture = Fixture::new();
    let builder = || {
        let rule = Rule::new("/").require(Requirement::scope("of-a-rule"));
        fixture.builder().issuer(fixture.issuer()).resource("https://api.example.com").rule(rule)
    };
    let guard = builder().build().unwrap();
    let scopes = |guard: &oauth_guard::Guard| guard.resource_metadata().unwrap().scopes_supported;
    assert_eq!(scopes(&guard), ["of-a-rule"]);
    let read = guard.layer().require(Requirement::scope("read") & !Requirement::scope("never"));
    let _both = read.require(Requirement::scope("write") | Requirement::role("editor"));
    assert_eq!(scopes(&guard), ["of-a-rule", "read", "write"]);
    let router: Router = guard.metadata_router();
    let (_, json) = ask(&router, "/.well-known/oauth-protected-resource", None).await;
    assert!(json.contains(r#""scopes_supported":["of-a-rule","read","write"]"#), "{json}");
    // Layers outlive a reload, and so do their scopes.
    guard.reload(fixture.builder().issuer(fixture.issuer()).resource("https://api.example.com")).unwrap();
    assert_eq!(scopes(&guard), ["read", "write"]);
    assert_eq!(scopes(&builder().build().unwrap()), ["of-a-rule"], "another guard");
}

async fn mine(claims: Option<Claims<Mine>>) -> String {
    claims.map_or("anonymous".to_owned(), |claims| claims.custom().tenant.clone())
}

#[tokio::test(start_paused = true)]
async fn an_optional_extractor_of_the_wrong_type_is_500_and_never_silently_none() {
    let fixture = Fixture::new();
    let plain = fixture.guard();
    let custom = fixture.builder().claims::<Mine>().issuer(fixture.issuer()).build().unwrap();
    let router = Router::new()
        .route("/custom/custom", get(mine).layer(custom.layer().optional()))
        .route("/custom/plain", get(perhaps).layer(custom.layer().optional()))
        .route("/plain/plain", get(perhaps).layer(plain.layer().optional()))
        .route("/plain/custom", get(mine).layer(plain.layer().optional()))
        .route("/none", get(perhaps));
    let token = fixture.server.mint().subject("ada").claim("tenant", "acme").build();
    for (path, status, body) in [
        ("/custom/custom", 200, "acme"),
        ("/custom/plain", 500, NOT_GUARDED),
        ("/plain/plain", 200, "ada"),
        ("/plain/custom", 500, NOT_GUARDED),
        ("/none", 200, "anonymous"),
    ] {
        assert_eq!(ask(&router, path, Some(&token)).await, (status, body.to_owned()), "{path}");
        assert_eq!(ask(&router, path, None).await, (200, "anonymous".to_owned()), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_of_an_outer_guard_do_not_show_through_an_inner_one_that_adds_none() {
    let fixture = Fixture::new();
    let token = fixture.server.mint().subject("ada").claim("tenant", "acme").build();
    let outer = fixture.guard();
    let typed = fixture.builder().claims::<Mine>().issuer(fixture.issuer()).build().unwrap();
    // The inner guards look for tokens of their own, in another place, and find none.
    let inner = fixture.builder().issuer(fixture.issuer());
    let public = inner.rule(Rule::new("/public").public()).build().unwrap();
    let elsewhere = fixture.builder().issuer(fixture.issuer()).strip_token().build().unwrap();
    let router = Router::new()
        .route("/public", get(perhaps).layer(public.layer()))
        .route("/inner", get(perhaps).layer(outer.layer().optional()))
        .layer(elsewhere.layer());
    assert_eq!(ask(&router, "/public", Some(&token)).await, (200, "anonymous".to_owned()));
    assert_eq!(ask(&router, "/inner", Some(&token)).await, (200, "anonymous".to_owned()));
    // Claims of a type of one's own are removed as well, by a guard of any type.
    let typed_outside = Router::new().route("/public", get(mine).layer(public.layer())).layer(typed.layer());
    assert_eq!(ask(&typed_outside, "/public", Some(&token)).await, (200, "anonymous".to_owned()));
    // Two guards that both find claims, each of its type: the handler gets both.
    let both = async |plain: Claims, custom: Claims<Mine>| {
        format!("{} of {}", plain.subject().unwrap_or_default(), custom.custom().tenant)
    };
    let two = Router::new().route("/", get(both).layer(typed.layer())).layer(outer.layer());
    assert_eq!(ask(&two, "/", Some(&token)).await, (200, "ada of acme".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn requests_without_a_token_flood_no_error_log() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let router = Router::new()
        .route("/optional", get(subject).layer(guard.layer().optional()))
        .route("/forgotten", get(subject));
    let log = Log::listen();
    for _ in 0..20 {
        assert_eq!(ask(&router, "/optional", None).await.0, 500);
    }
    let said = log.take();
    assert_eq!(said.matches("ERROR").count(), 0, "{said}");
    assert!(said.matches("WARN").count() <= 1, "once for all tests of this process: {said}");
    assert_eq!(said.matches("the request has no token, and the handler needs claims").count(), 20, "{said}");
    assert_eq!(ask(&router, "/forgotten", None).await.0, 500);
    assert_eq!(
        log.take().matches("ERROR").count(),
        1,
        "a route that was forgotten is a mistake of the program"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stripped_query_token_is_gone_from_the_original_uri_too() {
    use ::axum::extract::OriginalUri;
    let fixture = Fixture::new();
    let guard = fixture.builder().issuer(fixture.issuer()).danger_accept_query_parameter("access_token");
    let guard = guard.rule(Rule::new("/api/public").public()).strip_token().build().unwrap();
    let seen = async |OriginalUri(original): OriginalUri, uri: http::Uri| format!("{original} {uri}");
    let inner = Router::new().route("/orders", get(seen)).route("/public", get(seen)).layer(guard.layer());
    let router = Router::new().nest("/api", inner);
    let token = fixture.server.mint().build();
    for path in ["/orders", "/public"] {
        let reply = ask(&router, &format!("/api{path}?a=b&access_token={token}&c=d"), None).await;
        assert_eq!(reply, (200, format!("/api{path}?a=b&c=d {path}?a=b&c=d")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_takes_the_callers_token() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let secret = |caller: SubjectToken| async move { caller.secret().expose().to_owned() };
    let perhaps = |caller: Option<SubjectToken>| async move { caller.is_some().to_string() };
    let router = Router::new()
        .route("/told", get(secret).layer(guard.layer().with_subject_token()))
        .route("/perhaps", get(perhaps).layer(guard.layer().optional().with_subject_token()))
        .route("/untold", get(secret).layer(guard.layer()));
    let token = fixture.server.mint().subject("ada").build();
    assert_eq!(ask(&router, "/told", Some(&token)).await, (200, token.clone()));
    assert_eq!(ask(&router, "/perhaps", Some(&token)).await, (200, "true".to_owned()));
    assert_eq!(ask(&router, "/perhaps", None).await, (200, "false".to_owned()));
    assert_eq!(ask(&router, "/untold", Some(&token)).await.0, 500, "and the log says what to do");
}

/// Whoever can reach the route can send requests without a token: they must not fill the log.
#[tokio::test(start_paused = true)]
async fn a_missing_caller_token_is_an_error_of_the_program_only_where_no_caller_causes_it() {
    let fixture = Fixture::new();
    let guard =
        fixture.builder().issuer(fixture.issuer()).rule(Rule::new("/public").public()).build().unwrap();
    let secret = |caller: SubjectToken| async move { caller.secret().expose().to_owned() };
    let router = Router::new()
        .route("/optional", get(secret).layer(guard.layer().with_subject_token().optional()))
        .route("/public", get(secret).layer(guard.layer().with_subject_token()))
        .route("/unasked", get(secret).layer(guard.layer()))
        .route("/forgotten", get(secret));
    let token = fixture.server.mint().build();
    let lines = Log::listen();
    let count = async |path: &str, token: Option<&str>| {
        lines.take();
        assert_eq!(ask(&router, path, token).await, (500, NOT_GUARDED.to_owned()), "{path}");
        let said = lines.take();
        ["ERROR", "WARN", "the handler needs it"]
            .map(|part| said.lines().filter(|line| line.contains(part)).count())
    };
    let mut warnings = 0;
    for _ in 0..20 {
        for path in ["/optional", "/public"] {
            let [errors, warned, hints] = count(path, None).await;
            assert_eq!((errors, hints), (0, 1), "{path}");
            warnings += warned;
        }
    }
    assert_eq!(warnings, 1, "once for the whole process, and no other test causes it");
    for _ in 0..2 {
        assert_eq!(count("/unasked", Some(&token)).await[0], 1, "with_subject_token is missing");
        assert_eq!(count("/forgotten", Some(&token)).await[0], 1, "the layer is missing");
    }
}
