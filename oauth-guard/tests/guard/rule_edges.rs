//! Where rules could be evaded or mistaken: slashes, targets without one, parameters, methods, routes without a rule, patterns that match
//! nothing.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use oauth_guard::{Requirement, Rule};
use tower::{Layer, ServiceExt};

use crate::rules::{ask, get, guard, scope, too_little};
use crate::support::{Fixture, send_request};

#[tokio::test(start_paused = true)]
async fn a_slash_at_the_end_takes_no_weaker_rule_than_the_handler_behind_it() {
    let fixture = Fixture::new();
    let layer = guard(
        &fixture,
        [
            Rule::new("/docs/public").public(),
            Rule::new("/docs/{*path}").require(scope("docs")),
            Rule::new("/files/{name}").public(),
            Rule::new("/health").public(),
            Rule::new("/static/{*file}").public(),
            Rule::new("/index/").public(),
            Rule::new("/reports").require(scope("reports")),
        ],
    )
    .layer();
    let (docs, reports) = (fixture.server.mint().scope("docs"), fixture.server.mint().scope("reports"));
    let (docs, reports) = (docs.build(), reports.build());
    for (target, anonymous, reader) in [
        ("/docs/public", 200, 200),
        ("/docs/public/", 401, 200),
        ("/docs/other/", 401, 200),
        ("/files/a", 200, 200),
        // Where nothing else counts, the default does.
        ("/files/a/", 401, 200),
        ("/health/", 401, 200),
        // `{*file}` covers the further empty segment.
        ("/static/", 200, 200),
        ("/static/a/", 200, 200),
        // Written with the slash, it is the other form that needs both.
        ("/index/", 200, 200),
        ("/index", 401, 200),
        ("/reports/", 401, 403),
    ] {
        assert_eq!(get(&layer, target, None).await.0, anonymous, "{target}");
        assert_eq!(get(&layer, target, Some(&docs)).await.0, reader, "{target}");
    }
    assert_eq!(get(&layer, "/docs/public/", Some(&reports)).await, too_little("docs"));
    assert_eq!(get(&layer, "/reports/", Some(&reports)).await.0, 200);
    let public =
        guard(&fixture, [Rule::new("/a").require(scope("a")), Rule::new("/{*rest}").require(scope("b"))]);
    assert_eq!(get(&public.layer(), "/a/", Some(&docs)).await, too_little("a b"), "both in one challenge");
}

#[tokio::test(start_paused = true)]
async fn path_parameters_take_no_weaker_rule() {
    let fixture = Fixture::new();
    let rules = [Rule::new("/admin/{*rest}").require(scope("admin")), Rule::new("/files/{name}").public()];
    let layer = guard(&fixture, rules).layer();
    let token = fixture.server.mint().scope("read").build();
    for target in [
        "/admin;x=1/users",
        "/admin/users;x",
        "/files/a;v=1",
        "/files/..;/admin",
        "/files/.;/a",
        "/x/..;/admin/users",
        "/x/%2e%2e;/admin",
        "/files/a%3Bb",
        "/;/admin",
        // An encoded DEL is a control character too.
        "/files/a%7F",
        "/admin/%7f",
    ] {
        let reply = ask(&layer, Method::GET, target, Some(&token)).await;
        assert_eq!(reply.summary(), (400, Some("invalid_request")), "{target}");
    }
    assert_eq!(get(&layer, "/projects/a;v=1", Some(&token)).await.0, 200, "no rule covers anything in there");
}

#[tokio::test(start_paused = true)]
async fn targets_without_a_slash_evade_no_rule() {
    let fixture = Fixture::new();
    let token = fixture.server.mint().scope("read").build();
    let star = [(Method::GET, "*"), (Method::OPTIONS, "*")];
    let empty = [(Method::POST, "foo"), (Method::POST, "host:80"), (Method::CONNECT, "host:443")];
    let ask_all = async |rules: Vec<Rule>, targets: &[(Method, &str)], token: Option<&str>| {
        let layer = guard(&fixture, rules).layer().optional();
        let mut summaries = Vec::new();
        for (method, target) in targets {
            let reply = ask(&layer, method.clone(), target, token).await;
            summaries.push((reply.status, reply.challenge));
        }
        summaries.dedup();
        let [summary] = &*summaries else { panic!("{summaries:?}") };
        summary.clone()
    };
    let all = [&star[..], &empty].concat();
    let rest = || Rule::new("/{*rest}");
    assert_eq!(ask_all(vec![rest().require(scope("admin"))], &all, Some(&token)).await, too_little("admin"));
    assert_eq!(ask_all(vec![rest()], &all, None).await.0, 401);
    let mcp = || rest().mcp("*").require(scope("mcp"));
    assert_eq!(ask_all(vec![mcp()], &all, Some(&token)).await, too_little("mcp"));
    assert_eq!(ask_all(vec![rest().public()], &all, None).await.0, 200);
    // A framework that drops the first slash takes an empty path for `/`, and `*` for a segment.
    for weaker in [vec![], vec![rest().public()]] {
        let with = |rule: Rule| [vec![rule.require(scope("admin"))], weaker.clone()].concat();
        assert_eq!(ask_all(with(Rule::new("/")), &empty, Some(&token)).await.0, 400);
        assert_eq!(ask_all(with(Rule::new("/{page}")), &star, Some(&token)).await.0, 400);
        assert_eq!(ask_all(with(Rule::new("/").mcp("*")), &empty, Some(&token)).await.0, 400);
        assert_eq!(ask_all(with(Rule::new("/orders")), &all, Some(&token)).await.0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_over_http_2_meets_the_rule_for_get() {
    let fixture = Fixture::new();
    let rules = [
        Rule::new("/ws").methods([Method::GET]).require(scope("chat")),
        Rule::new("/tunnel").methods([Method::GET]).require(scope("chat")),
        Rule::new("/tunnel").methods([Method::CONNECT]).require(scope("tunnel")),
        Rule::new("/either").methods([Method::GET]).public(),
        Rule::new("/either").require(scope("write")),
        Rule::new("/below/{*rest}").require(scope("write")),
        Rule::new("/below/ws").methods([Method::GET]).require(scope("chat")),
    ];
    let layer = guard(&fixture, rules).layer();
    let token = fixture.server.mint().scope("other").build();
    let connect = async |target: &str, version| {
        let request = Request::builder().method(Method::CONNECT).uri(target).version(version);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let reply = send_request(&layer, request.body(Full::default()).unwrap()).await;
        (reply.status, reply.challenge)
    };
    let http_2 = http::Version::HTTP_2;
    assert_eq!(connect("https://api.example.com/ws", http_2).await, too_little("chat"));
    assert_eq!(connect("/ws", http::Version::HTTP_3).await, too_little("chat"));
    assert_eq!(connect("/tunnel", http_2).await, too_little("tunnel"));
    // A handler for any method gets it too, and the weaker rule must not decide.
    assert_eq!(connect("/either", http_2).await.0, 400);
    assert_eq!(connect("/below/ws", http_2).await, too_little("chat"));
    // Over HTTP/1.1 a WebSocket is a GET, and this is none.
    assert_eq!(connect("/ws", http::Version::HTTP_11).await.0, 200);
    assert_eq!(connect("api.example.com:443", http_2).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_route_without_a_rule_is_403_if_denied_by_default() {
    let fixture = Fixture::new();
    let builder = || {
        let builder = fixture.builder().issuer(fixture.issuer()).realm("orders").deny_by_default();
        builder.rule(Rule::new("/orders").require(scope("read"))).rule(Rule::new("/health").public())
    };
    let guard = builder().build().unwrap();
    let layer = guard.layer();
    let token = fixture.server.mint().scope("read").build();
    let denied = (403, Some(r#"Bearer realm="orders", error="insufficient_scope""#.to_owned()));
    for (target, token) in [
        ("/forgotten", None),
        ("/forgotten", Some("a.b.c")),
        ("/forgotten", Some(&*token)),
        // With a slash more, what counts without the rule counts too.
        ("/orders/", Some(&token)),
        ("/health/", None),
        ("/", Some(&token)),
    ] {
        assert_eq!(get(&layer, target, token).await, denied, "{target}");
    }
    assert_eq!(get(&layer, "/orders", Some(&token)).await.0, 200);
    assert_eq!(get(&layer, "/orders", None).await.0, 401);
    assert_eq!(get(&layer, "/health", None).await.0, 200);
    let body = ask(&layer, Method::GET, "/forgotten", None).await.body;
    assert_eq!(body, r#"{"error":"insufficient_scope","error_description":"no rule allows this request"}"#);
    let rejection = guard.authorize(&Request::get("/forgotten").body(()).unwrap(), None).unwrap_err();
    assert_eq!((rejection.code(), rejection.reason()), ("insufficient_scope", "no_rule"));
    let call = Request::post("/a.B/C").version(http::Version::HTTP_2);
    let call = call.header(header::CONTENT_TYPE, "application/grpc").body(()).unwrap();
    let inner = tower::service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    let response = layer.layer(inner).oneshot(call).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &"7".parse().unwrap())
    );
    // A guard without rules forwards nothing.
    let empty = fixture.builder().issuer(fixture.issuer()).deny_by_default().build().unwrap();
    assert_eq!(get(&empty.layer().optional(), "/orders", Some(&token)).await.0, 403);
    // A dry run logs it, and goes on as by default.
    let dry = builder().dry_run().build().unwrap();
    assert_eq!(get(&dry.layer(), "/forgotten", Some(&token)).await.0, 200);
    assert_eq!(get(&dry.layer(), "/forgotten", None).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn a_preflight_request_has_the_route_of_the_method_it_asks_for() {
    let fixture = Fixture::new();
    let builder = || {
        let builder = fixture.builder().issuer(fixture.issuer()).deny_by_default();
        builder.rule(Rule::new("/orders").methods([Method::POST]).require(scope("write")))
    };
    let preflight = |path: &'static str, wanted: &'static str| {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(path)
            .header(header::ORIGIN, "https://app.example");
        let request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, wanted);
        request.body(Full::<Bytes>::default()).unwrap()
    };
    let (allowed, strict) = (builder().allow_preflight().build().unwrap(), builder().build().unwrap());
    for (path, wanted, status) in [
        ("/orders", "POST", 200),
        ("/orders", "PUT", 403),
        ("/orders", "PO ST", 403),
        ("/orders/", "POST", 403),
        ("/forgotten", "POST", 403),
    ] {
        assert_eq!(
            send_request(&allowed.layer(), preflight(path, wanted)).await.status,
            status,
            "{path} {wanted}"
        );
        assert_eq!(
            send_request(&strict.layer(), preflight(path, wanted)).await.status,
            403,
            "{path} {wanted}"
        );
    }
}

#[test]
fn patterns_of_other_routers_and_empty_lists_are_build_errors() {
    let fixture = Fixture::new();
    let problem = |rule: Rule| {
        let error = fixture.builder().issuer(fixture.issuer()).rule(rule).build().map(|_| ()).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        (problem.field.clone(), problem.message.clone())
    };
    for pattern in ["/admin/*", "/admin/**", "/users/:id", "/users/<id>", "/orders.Orders/*"] {
        let (field, message) = problem(Rule::new(pattern));
        assert_eq!(field, "rule[0].path", "{pattern}");
        assert!(message.contains("{*rest}"), "{pattern}: {message}");
    }
    for method in
        ["orders.Orders/*", "orders.Orders/", "", "/", "orders.Orders/A/B", "*", "/orders.Orders//A"]
    {
        let (field, message) = problem(Rule::grpc(method));
        assert_eq!(field, "rule[0].grpc", "{method}");
        assert!(message.contains("package.Service/Method"), "{method}: {message}");
    }
    let (field, message) = problem(Rule::grpc("hello.v1.Greeter.Greet"));
    assert_eq!(field, "rule[0].grpc");
    assert!(message.contains("write \"hello.v1.Greeter/Greet\""), "{message}");
    for service in
        ["hello.v1.Greeter", "Greeter", "/hello.v1.Greeter", "hello.Greeter/Greet", "hello.v1.greeter.Greet"]
    {
        fixture.builder().issuer(fixture.issuer()).rule(Rule::grpc(service)).build().unwrap();
    }
    for empty in [Requirement::all([]), Requirement::any([])] {
        let (field, message) = problem(Rule::new("/a").require(empty));
        assert_eq!(field, "rule[0].require");
        assert!(message.contains("name at least one requirement"), "{message}");
    }
}

#[test]
fn a_rule_that_protects_nothing_or_locks_its_route_is_a_build_error() {
    let fixture = Fixture::new();
    let problem = |rule: Rule| {
        let error = fixture.builder().issuer(fixture.issuer()).rule(rule).build().map(|_| ()).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        (problem.field.clone(), problem.message.clone())
    };
    let (field, message) = problem(Rule::grpc("orders.Orders").methods([Method::PUT, Method::DELETE]));
    assert_eq!(field, "rule[0].methods");
    assert_eq!(message, "the rule would apply to no gRPC call; for other requests use path");
    let bound = Requirement::bound;
    for locked in [bound(), bound() & scope("a"), bound() | (bound() & scope("a"))] {
        let (field, message) = problem(Rule::new("/a").require(locked));
        assert_eq!(field, "rule[0].require");
        assert!(message.contains("dpop or certificates"), "{message}");
    }
    let build = |rule| fixture.builder().issuer(fixture.issuer()).rule(rule).build().unwrap();
    build(Rule::grpc("orders.Orders").methods([Method::PUT, Method::POST]));
    // The preflight request of gRPC-Web, and the GET of Connect.
    for beside in [Method::OPTIONS, Method::GET, Method::HEAD] {
        build(Rule::grpc("orders.Orders").methods([beside]).public());
    }
    // Streams of an MCP server are opened by GET, and sessions ended by DELETE.
    build(Rule::new("/mcp").mcp("*").methods([Method::GET, Method::DELETE]).require(scope("a")));
    build(Rule::new("/a").require(bound() | scope("a")));
    build(Rule::new("/a").require(!bound()));
}

#[tokio::test(start_paused = true)]
async fn a_layer_or_handler_that_requires_an_empty_list_forwards_nothing() {
    let fixture = Fixture::new();
    let guard = fixture.guard();
    let token = fixture.server.mint().scope("read").build();
    for empty in [Requirement::all([]), Requirement::any([]), !Requirement::any([]), !Requirement::all([])] {
        let layer = guard.layer().require(empty.clone());
        assert_eq!(get(&layer, "/", Some(&token)).await.0, 403, "{empty:?}");
        let layer = guard.layer().require(scope("read")).require(empty.clone());
        assert_eq!(get(&layer, "/", Some(&token)).await.0, 403, "{empty:?}");
        let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let claims = guard.check(&request.body(()).unwrap()).resolve().await.unwrap().unwrap();
        assert_eq!(guard.require(&empty, &claims).unwrap_err().code(), "insufficient_scope", "{empty:?}");
    }
}
