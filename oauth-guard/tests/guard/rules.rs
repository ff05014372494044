//! Rules by route, through the real layer: which one applies, what it requires, and how it rejects.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use oauth_guard::{Guard, GuardLayer, Requirement, Rule};
use tower::{Layer, ServiceExt};

use crate::support::{Fixture, Reply, send_request};

pub(crate) fn scope(scope: &str) -> Requirement {
    Requirement::scope(scope)
}

pub(crate) fn guard(fixture: &Fixture, rules: impl IntoIterator<Item = Rule>) -> Guard {
    let builder = fixture.builder().issuer(fixture.issuer()).realm("orders");
    rules.into_iter().fold(builder, oauth_guard::GuardBuilder::rule).build().unwrap()
}

/// Sends a request whose target is used as it is written.
pub(crate) async fn ask(layer: &GuardLayer, method: Method, target: &str, token: Option<&str>) -> Reply {
    let mut request = Request::builder().method(method).uri(target);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    send_request(layer, request.body(Full::<Bytes>::default()).unwrap()).await
}

pub(crate) async fn get(layer: &GuardLayer, target: &str, token: Option<&str>) -> (u16, Option<String>) {
    let reply = ask(layer, Method::GET, target, token).await;
    (reply.status, reply.challenge)
}

pub(crate) fn too_little(scope: &str) -> (u16, Option<String>) {
    (403, Some(format!(r#"Bearer realm="orders", error="insufficient_scope", scope="{scope}""#)))
}

#[tokio::test(start_paused = true)]
async fn each_route_has_its_requirement_and_the_challenge_names_it() {
    let fixture = Fixture::new();
    let layer = guard(
        &fixture,
        [
            Rule::new("/orders/{*rest}").require(scope("read")),
            Rule::new("/orders/{id}").methods([Method::PUT]).require(scope("read") & scope("write")),
            Rule::new("/reports").require(Requirement::role("analyst")),
        ],
    )
    .layer();
    let token = fixture.server.mint().scope("read").build();
    let token = Some(token.as_str());
    assert_eq!(get(&layer, "/orders", token).await.0, 200);
    assert_eq!(get(&layer, "/orders/7?write=1", token).await.0, 200);
    let put = ask(&layer, Method::PUT, "/orders/7", token).await;
    assert_eq!((put.status, put.challenge), too_little("read write"));
    assert_eq!(ask(&layer, Method::PUT, "/orders/7/items", token).await.status, 200);
    let no_scope_helps = (403, Some(r#"Bearer realm="orders", error="insufficient_scope""#.to_owned()));
    assert_eq!(get(&layer, "/reports", token).await, no_scope_helps);
    // Cached or not, it is checked each time.
    for _ in 0..3 {
        let poor = fixture.server.mint().scope("write").build();
        assert_eq!(get(&layer, "/orders", Some(&poor)).await, too_little("read"));
        assert_eq!(get(&layer, "/orders", Some(&poor)).await, too_little("read"));
    }
}

#[tokio::test(start_paused = true)]
async fn with_rules_a_route_without_one_needs_a_valid_token() {
    let fixture = Fixture::new();
    let layer =
        guard(&fixture, [Rule::new("/orders").require(scope("read")), Rule::new("/health").public()]).layer();
    let token = fixture.server.mint().scope("nothing").build();
    assert_eq!(get(&layer, "/elsewhere", None).await.0, 401);
    assert_eq!(get(&layer, "/elsewhere", Some("a.b.c")).await.0, 401);
    assert_eq!(get(&layer, "/elsewhere", Some(&token)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn public_validates_no_token_and_optional_rejects_invalid_ones() {
    let fixture = Fixture::new();
    let guard = guard(
        &fixture,
        [Rule::new("/health").public(), Rule::new("/shop").optional().require(scope("read"))],
    );
    let layer = guard.layer();
    let mint = || fixture.server.mint().subject("ada");
    let body = async |target: &str, token: Option<&str>| {
        let reply = ask(&layer, Method::GET, target, token).await;
        (reply.status, reply.body)
    };
    assert_eq!(body("/health", None).await, (200, "no claims".to_owned()));
    assert_eq!(body("/health", Some("a.b.c")).await, (200, "no claims".to_owned()));
    assert_eq!(body("/health", Some(&mint().build())).await, (200, "no claims".to_owned()), "not validated");
    assert_eq!(body("/shop", None).await, (200, "no claims".to_owned()));
    assert_eq!(body("/shop", Some("a.b.c")).await.0, 401);
    assert_eq!(body("/shop", Some(&mint().scope("other").build())).await.0, 403);
    assert_eq!(body("/shop", Some(&mint().scope("read").build())).await, (200, "ada".to_owned()));
    // A requirement in code is not undone by a rule.
    let strict = guard.layer().require(scope("admin"));
    assert_eq!(get(&strict, "/health", None).await.0, 401);
    let lenient = guard.layer().optional();
    assert_eq!(get(&lenient, "/elsewhere", None).await.0, 200, "no rule is about it, and the layer says so");
}

#[tokio::test(start_paused = true)]
async fn a_public_route_gets_no_token_where_tokens_are_stripped() {
    let fixture = Fixture::new();
    let rules = fixture.builder().issuer(fixture.issuer()).rule(Rule::new("/health").public()).strip_token();
    let layer = rules.build().unwrap().layer();
    let inner = tower::service_fn(async |request: Request<Full<Bytes>>| {
        assert!(!request.headers().contains_key(header::AUTHORIZATION));
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    let request = Request::get("/health").header(header::AUTHORIZATION, "Bearer a.b.c");
    let reply = layer.layer(inner).oneshot(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(reply.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn requirements_of_rule_and_layer_add_up_in_one_challenge() {
    let fixture = Fixture::new();
    let layer = guard(&fixture, [Rule::new("/orders").require(scope("read"))]).layer().require(scope("beta"));
    let token = |scope: &str| fixture.server.mint().scope(scope).build();
    for poor in ["read", "beta", "other"] {
        assert_eq!(get(&layer, "/orders", Some(&token(poor))).await, too_little("read beta"), "{poor}");
    }
    assert_eq!(get(&layer, "/orders", Some(&token("read beta"))).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn ambiguous_paths_evade_no_rule() {
    let fixture = Fixture::new();
    let layer = guard(
        &fixture,
        [
            Rule::new("/admin/{*rest}").require(scope("admin")),
            Rule::new("/files/{name}").public(),
            Rule::new("/pages/{page}/edit").require(scope("write")),
        ],
    )
    .layer();
    let token = fixture.server.mint().scope("read").build();
    for target in [
        "//admin",
        "/admin//users",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2E/admin",
        "/x/%2E./admin",
        "/admin%2Fusers",
        "/admin%5Cusers",
        "/%61dmin/users",
        "/%41dmin%2f..%2fadmin",
        "/files/..%2fadmin",
        "/files/a%2F..%2F..%2Fadmin",
        "/files/../admin",
        "/pages/1%2Fedit",
        "/pages/1//edit",
        "/pages/1/%65dit",
        "/files/a%00",
        "/files/%zz",
        "https://api.example.com/x/../admin",
    ] {
        let reply = ask(&layer, Method::GET, target, Some(&token)).await;
        assert_eq!(reply.summary(), (400, Some("invalid_request")), "{target}");
        assert!(!reply.body.contains("admin"), "{target}");
    }
    for target in ["/admin", "/admin/", "/admin/users?x=/files/a", "https://api.example.com/admin"] {
        assert_eq!(get(&layer, target, Some(&token)).await.0, 403, "{target}");
    }
    for target in ["/files/a%20b", "/files/%7Eada", "/projects/a%2Fb", "/Admin", "/?x=/../admin"] {
        assert_eq!(get(&layer, target, Some(&token)).await.0, 200, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_rules_paths_are_not_checked() {
    let fixture = Fixture::new();
    let token = fixture.server.mint().build();
    for target in ["//a", "/a/../b", "/a%2Fb"] {
        assert_eq!(get(&fixture.guard().layer(), target, Some(&token)).await.0, 200, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn head_follows_get_and_other_methods_follow_the_next_best_rule() {
    let fixture = Fixture::new();
    let rules = [
        Rule::new("/orders").methods([Method::GET]).require(scope("read")),
        Rule::new("/{*rest}").require(scope("write")),
    ];
    let layer = guard(&fixture, rules).layer();
    let reader = fixture.server.mint().scope("read").build();
    for (method, status) in [
        (Method::GET, 200),
        (Method::HEAD, 200),
        (Method::POST, 403),
        (Method::OPTIONS, 403),
        (Method::DELETE, 403),
    ] {
        assert_eq!(ask(&layer, method.clone(), "/orders", Some(&reader)).await.status, status, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn preflight_is_forwarded_where_configured_and_nothing_else() {
    let fixture = Fixture::new();
    let ask = async |guard: &Guard, method: Method, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri("/orders");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send_request(&guard.layer(), request.body(Full::default()).unwrap()).await.status
    };
    let (origin, wants) = (("origin", "https://app.example"), ("access-control-request-method", "PUT"));
    let rule = || Rule::new("/orders").require(scope("read"));
    let closed = guard(&fixture, [rule()]);
    assert_eq!(ask(&closed, Method::OPTIONS, &[origin, wants]).await, 401);
    let open = fixture.builder().issuer(fixture.issuer()).rule(rule()).allow_preflight().build().unwrap();
    assert_eq!(ask(&open, Method::OPTIONS, &[origin, wants]).await, 200);
    assert_eq!(ask(&open, Method::OPTIONS, &[origin]).await, 401);
    assert_eq!(ask(&open, Method::OPTIONS, &[wants]).await, 401);
    assert_eq!(ask(&open, Method::GET, &[origin, wants]).await, 401);
    assert_eq!(ask(&open, Method::OPTIONS, &[origin, wants, ("authorization", "Bearer a.b.c")]).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_login_too_weak_or_too_old_is_401_and_names_what_is_needed() {
    let fixture = Fixture::new();
    let payments =
        Requirement::acr(["urn:x:mfa", "urn:x:hwk"]) & Requirement::max_login_age(Duration::from_secs(300));
    let layer = guard(&fixture, [Rule::new("/payments").require(payments & scope("pay"))]).layer();
    let now = 1_893_456_000_u64; // where the test clock starts
    let mint = || fixture.server.mint().claim("acr", "urn:x:mfa").claim("auth_time", now).scope("pay");
    let step_up = (
        401,
        Some(
            r#"Bearer realm="orders", error="insufficient_user_authentication", acr_values="urn:x:mfa urn:x:hwk", max_age="300""#
                .to_owned(),
        ),
    );
    let fresh = mint().build();
    assert_eq!(get(&layer, "/payments", Some(&fresh)).await.0, 200);
    let weak = mint().claim("acr", "pwd").build();
    assert_eq!(get(&layer, "/payments", Some(&weak)).await, step_up);
    assert_eq!(get(&layer, "/payments", Some(&mint().without("auth_time").build())).await, step_up);
    let poor = mint().scope("other").claim("acr", "pwd").build();
    assert_eq!(
        get(&layer, "/payments", Some(&poor)).await,
        too_little("pay"),
        "a new login would not be enough"
    );
    // The same token, cached, once the login is too old.
    tokio::time::advance(Duration::from_secs(361)).await;
    assert_eq!(get(&layer, "/payments", Some(&fresh)).await, step_up);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_method_has_its_own_rule_and_response() {
    let fixture = Fixture::new();
    let layer = guard(
        &fixture,
        [
            Rule::grpc("orders.Orders").require(scope("read")),
            Rule::grpc("orders.Orders/Cancel").require(scope("write")),
            Rule::grpc("grpc.health.v1.Health").public(),
            Rule::grpc("orders.Orders/Pay").require(Requirement::acr(["mfa"])),
        ],
    )
    .layer();
    let token = fixture.server.mint().scope("read").build();
    let call = async |path: &str, token: Option<&str>| {
        let request = Request::post(path).version(http::Version::HTTP_2);
        let mut request = request.header(header::CONTENT_TYPE, "application/grpc");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let inner = tower::service_fn(async |_: Request<Full<Bytes>>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
        });
        let response = layer.layer(inner).oneshot(request.body(Full::default()).unwrap()).await.unwrap();
        let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(response.status(), 200);
        (text("grpc-status"), text("www-authenticate"))
    };
    let through = (None, None);
    assert_eq!(call("/orders.Orders/List", Some(&token)).await, through);
    assert_eq!(call("/grpc.health.v1.Health/Check", None).await, through);
    assert_eq!(
        call("/orders.Orders/List", None).await,
        (Some("16".into()), Some(r#"Bearer realm="orders""#.into()))
    );
    let (_, challenge) = too_little("write");
    assert_eq!(call("/orders.Orders/Cancel", Some(&token)).await, (Some("7".into()), challenge));
    let (status, challenge) = call("/orders.Orders/Pay", Some(&token)).await;
    assert_eq!(status.as_deref(), Some("16"));
    assert!(challenge.unwrap().ends_with(r#"error="insufficient_user_authentication", acr_values="mfa""#));
    assert_eq!(call("/orders.Orders//Cancel", Some(&token)).await.0.as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn authorize_applies_the_same_rules_without_a_tower_stack() {
    let fixture = Fixture::new();
    let guard = guard(&fixture, [Rule::new("/orders").require(scope("read")), Rule::new("/health").public()]);
    let at = |path: &str, token: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(()).unwrap()
    };
    let token = fixture.server.mint().scope("other").build();
    let request = at("/orders", Some(&token));
    let claims = guard.check(&request).resolve().await.unwrap();
    let code = |outcome: Result<(), oauth_guard::Rejection>| outcome.map_err(|rejection| rejection.code());
    assert_eq!(code(guard.authorize(&request, claims.as_ref())), Err("insufficient_scope"));
    assert_eq!(code(guard.authorize(&at("/orders", None), None)), Err("missing_token"));
    assert_eq!(code(guard.authorize(&at("/a/../orders", None), claims.as_ref())), Err("invalid_request"));
    assert_eq!(code(guard.authorize(&at("/health", None), None)), Ok(()));
    assert_eq!(code(guard.authorize(&at("/else", None), claims.as_ref())), Ok(()));
    let claims = claims.unwrap();
    assert_eq!(code(guard.require(&scope("other"), &claims)), Ok(()));
    assert_eq!(code(guard.require(&scope("more"), &claims)), Err("insufficient_scope"));
}

#[tokio::test(start_paused = true)]
async fn reloading_changes_the_rules_and_a_bad_rule_changes_nothing() {
    let fixture = Fixture::new();
    let guard = guard(&fixture, [Rule::new("/orders").require(scope("read"))]);
    let layer = guard.layer();
    let token = fixture.server.mint().scope("read").build();
    assert_eq!(get(&layer, "/orders", Some(&token)).await.0, 200);
    let with = |rule| Guard::builder().issuer(fixture.issuer()).realm("orders").rule(rule);
    let problems = guard.reload(with(Rule::new("orders").require(scope("two words")))).unwrap_err();
    let fields: Vec<_> = problems.problems().iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["rule[0].require", "rule[0].path"]);
    assert_eq!(get(&layer, "/orders", Some(&token)).await.0, 200);
    guard.reload(with(Rule::new("/orders").require(scope("write")))).unwrap();
    assert_eq!(get(&layer, "/orders", Some(&token)).await, too_little("write"));
}
