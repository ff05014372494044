//! Rules for the operations of an MCP server, through the real layer: chosen by the headers, compared with the body.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use oauth_guard::{Guard, GuardBuilder, GuardLayer, RequestBody, Requirement, Rule};
use tower::{Layer, ServiceExt, service_fn};

use crate::rules::{ask, get, guard, scope};
use crate::support::{Fixture, send_request};

const UNCHECKED: &str = r#"{"error":"unchecked_body","error_description":"the request cannot be handled"}"#;
const OTHER_ORIGIN: &str =
    r#"{"error":"origin_not_allowed","error_description":"pages of this origin may not send this request"}"#;

/// What came back: status, the scopes of the challenge, and on success the body that the service read.
pub(crate) type Answer = (u16, Option<String>, String);

pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: RequestBody,
    pub(crate) token: Option<&'a str>,
}

pub(crate) async fn send(layer: &GuardLayer, ask: Ask<'_>) -> Answer {
    let mut request = Request::builder().method(ask.method).uri(ask.path);
    for (name, value) in &ask.headers {
        request = request.header(*name, value.as_bytes());
    }
    if let Some(token) = ask.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let service = layer.layer(service_fn(async |request: Request<RequestBody>| {
        let body = request.into_body().collect().await.map_err(|_| ()).map(|body| body.to_bytes());
        Ok::<_, Infallible>(Response::new(Full::new(body.unwrap_or_default())))
    }));
    let response = service.oneshot(request.body(ask.body).unwrap()).await.unwrap();
    let challenge =
        response.headers().get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    let scopes =
        challenge.and_then(|text| Some(text.split_once("scope=\"")?.1.trim_end_matches('"').to_owned()));
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = if status == 200 { String::from_utf8(body.to_vec()).unwrap() } else { String::new() };
    (status, scopes, body)
}

/// A `POST` to `/mcp`.
pub(crate) async fn post(
    layer: &GuardLayer,
    headers: &[(&str, &str)],
    body: &str,
    token: Option<&str>,
) -> Answer {
    let ask = Ask {
        method: Method::POST,
        path: "/mcp",
        headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body: Bytes::from(body.to_owned()).into(),
        token,
    };
    send(layer, ask).await
}

pub(crate) fn call(tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
    )
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
pub(crate) const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

/// A server with a scope to be there at all, one for tools, and one for tools that delete.
pub(crate) fn rules() -> [Rule; 4] {
    [
        Rule::new("/mcp").require(scope("mcp")),
        Rule::new("/mcp").mcp("tools/call").require(scope("tools")),
        Rule::new("/mcp").mcp("tools/call").name("delete_*").require(scope("delete")),
        Rule::new("/mcp").mcp("resources/read").name("file:///secret/*").require(scope("secrets")),
    ]
}

pub(crate) fn forbidden(scopes: &str) -> Answer {
    (403, Some(scopes.to_owned()), String::new())
}

pub(crate) fn served(body: &str) -> Answer {
    (200, None, body.to_owned())
}

pub(crate) const MALFORMED: Answer = (400, None, String::new());

#[tokio::test(start_paused = true)]
async fn each_operation_has_its_scopes_and_one_challenge_names_them_all() {
    let fixture = Fixture::new();
    let layer = guard(&fixture, rules()).layer();
    let token = |scope: &str| fixture.server.mint().scope(scope).build();
    let (user, caller, all) = (token("mcp"), token("mcp tools"), token("mcp tools delete"));
    let tool = |name| [VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", name)];
    assert_eq!(post(&layer, &[("mcp-method", "tools/list")], LIST, Some(&user)).await, served(LIST));
    assert_eq!(post(&layer, &[("mcp-method", "tools/list")], LIST, None).await.0, 401);
    assert_eq!(post(&layer, &tool("get"), &call("get"), Some(&user)).await, forbidden("mcp tools"));
    assert_eq!(post(&layer, &tool("get"), &call("get"), Some(&caller)).await, served(&call("get")));
    let deletion = call("delete_all");
    assert_eq!(
        post(&layer, &tool("delete_all"), &deletion, Some(&user)).await,
        forbidden("mcp tools delete")
    );
    assert_eq!(
        post(&layer, &tool("delete_all"), &deletion, Some(&caller)).await,
        forbidden("mcp tools delete")
    );
    assert_eq!(post(&layer, &tool("delete_all"), &deletion, Some(&all)).await, served(&deletion));
    // base64("delete_all")
    let encoded = tool("=?base64?ZGVsZXRlX2FsbA==?=");
    assert_eq!(post(&layer, &encoded, &deletion, Some(&caller)).await, forbidden("mcp tools delete"));
    assert_eq!(post(&layer, &encoded, &deletion, Some(&all)).await, served(&deletion));
    let read = r#"{"method":"resources/read","params":{"uri":"file:///secret/keys"}}"#;
    let headers = [("mcp-method", "resources/read"), ("mcp-name", "file:///secret/keys")];
    assert_eq!(post(&layer, &headers, read, Some(&all)).await, forbidden("mcp secrets"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_the_service_decodes_is_not_compared_as_it_came() {
    let fixture = Fixture::new();
    let layer = guard(&fixture, rules()).layer();
    let token = fixture.server.mint().scope("mcp").build();
    // What is a JSON object before a decoding can be another one afterwards.
    for coding in ["br", "deflate", "identity, br", "zstd", "x"] {
        let headers = [("mcp-method", "tools/list"), ("content-encoding", coding)];
        assert_eq!(post(&layer, &headers, LIST, Some(&token)).await, MALFORMED, "{coding}");
        let headers = [("mcp-method", "tools/list"), ("content-encoding", ""), ("content-encoding", coding)];
        assert_eq!(post(&layer, &headers, LIST, Some(&token)).await, MALFORMED, "{coding}");
    }
    for none in ["identity", "", "Identity, identity"] {
        let headers = [("mcp-method", "tools/list"), ("content-encoding", none)];
        assert_eq!(post(&layer, &headers, LIST, Some(&token)).await, served(LIST), "{none}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_say_its_operation_meets_every_rule() {
    let fixture = Fixture::new();
    let layer = guard(&fixture, rules()).layer();
    let token = |scope: &str| fixture.server.mint().scope(scope).build();
    let (some, all) = (token("mcp tools delete"), token("mcp tools delete secrets"));
    let everything = forbidden("mcp tools delete secrets");
    let old = ("mcp-protocol-version", "2025-11-25");
    for headers in [
        &[][..],
        &[VERSION],
        &[old],
        &[("mcp-method", "tools/call")],
        &[("mcp-name", "get")],
        &[old, ("mcp-method", "tools/call"), ("mcp-name", "get")],
        &[("mcp-protocol-version", "latest"), ("mcp-method", "tools/call"), ("mcp-name", "get")],
    ] {
        assert_eq!(post(&layer, headers, &call("get"), Some(&some)).await, everything, "{headers:?}");
        assert_eq!(
            post(&layer, headers, &call("get"), Some(&all)).await,
            served(&call("get")),
            "{headers:?}"
        );
        assert_eq!(post(&layer, headers, &call("get"), None).await.0, 401, "{headers:?}");
    }
    // The stream of an older version, and the end of its session.
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(ask(&layer, method.clone(), "/mcp", Some(&some)).await.status, 403);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_doubled_contradictory_or_a_batch_is_400() {
    let fixture = Fixture::new();
    let layer = guard(&fixture, rules()).layer();
    let all = fixture.server.mint().scope("mcp tools delete secrets").build();
    let get = [("mcp-method", "tools/call"), ("mcp-name", "get")];
    let batch = format!("[{LIST}]");
    for (headers, body) in [
        (&get[..], call("delete_all")),
        (&get, LIST.to_owned()),
        (&get, String::new()),
        (&get, "get".to_owned()),
        (&get, batch.clone()),
        (&[], batch),
        (&[], "{".to_owned()),
        (&[("mcp-method", "tools/list")], call("delete_all")),
        (&[("mcp-method", "tools/list"), ("mcp-method", "tools/call")], LIST.to_owned()),
        (&[get[0], get[1], ("mcp-name", "get")], call("get")),
        (&[get[0], ("mcp-name", "=?base64?Z2V0=?=")], call("get")),
        (&[VERSION, VERSION, ("mcp-method", "tools/list")], LIST.to_owned()),
    ] {
        assert_eq!(post(&layer, headers, &body, Some(&all)).await, MALFORMED, "{headers:?} {body}");
        // Not read for those who may not send it.
        let poor = fixture.server.mint().scope("other").build();
        assert!(matches!(post(&layer, headers, &body, Some(&poor)).await.0, 400 | 403), "{headers:?} {body}");
    }
    // What an MCP rule is not for is not read.
    let elsewhere = Ask {
        method: Method::POST,
        path: "/other",
        headers: vec![("mcp-method", "a".to_owned()), ("mcp-method", "b".to_owned())],
        body: Bytes::from_static(b"[").into(),
        token: Some(&all),
    };
    assert_eq!(send(&layer, elsewhere).await, served("["));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_within_its_limit_and_only_after_the_token() {
    let fixture = Fixture::new();
    let builder = rules().into_iter().fold(fixture.builder().issuer(fixture.issuer()), GuardBuilder::rule);
    let body = call("get");
    let layer = builder.mcp_body_bytes(body.len()).build().unwrap().layer();
    let caller = fixture.server.mint().scope("mcp tools").build();
    let get = [("mcp-method", "tools/call"), ("mcp-name", "get")];
    assert_eq!(post(&layer, &get, &body, Some(&caller)).await, served(&body));
    assert_eq!(post(&layer, &get, &format!("{body} "), Some(&caller)).await, MALFORMED);
    // One that never ends delays only its sender, and no one who may not send it.
    let endless = || {
        let frames = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
        RequestBody::new(http_body_util::StreamBody::new(frames))
    };
    for (token, status, seconds) in [(None, 401, 0), (Some("a.b.c"), 401, 0), (Some(&*caller), 400, 30)] {
        let started = tokio::time::Instant::now();
        let headers = get.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let ask = Ask { method: Method::POST, path: "/mcp", headers, body: endless(), token };
        assert_eq!(send(&layer, ask).await.0, status);
        assert_eq!(started.elapsed(), Duration::from_secs(seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn trusted_headers_decide_alone() {
    let fixture = Fixture::new();
    let builder = rules().into_iter().fold(fixture.builder().issuer(fixture.issuer()), GuardBuilder::rule);
    let layer = builder.danger_trust_mcp_headers().build().unwrap().layer();
    let caller = fixture.server.mint().scope("mcp tools").build();
    let get = [("mcp-method", "tools/call"), ("mcp-name", "get")];
    assert_eq!(post(&layer, &get, "[not read]", Some(&caller)).await, served("[not read]"));
    assert_eq!(post(&layer, &[], &call("get"), Some(&caller)).await, forbidden("mcp tools delete secrets"));
    assert_eq!(post(&layer, &[get[0], get[0]], "", Some(&caller)).await, MALFORMED);
    // Then any stack's body does.
    let mut request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {caller}"));
    request = request.header("mcp-method", "tools/list");
    assert_eq!(send_request(&layer, request.body(Full::default()).unwrap()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_read_is_no_way_around_the_comparison() {
    let fixture = Fixture::new();
    let guard = guard(&fixture, rules());
    let token = fixture.server.mint().scope("mcp tools delete secrets").build();
    let request = |path: &str| {
        let request = Request::post(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        request.header("mcp-method", "tools/list").body(Full::<Bytes>::from(LIST)).unwrap()
    };
    // Twice: the second time, the token is cached and no key is fetched.
    for _ in 0..2 {
        let reply = send_request(&guard.layer(), request("/mcp")).await;
        assert_eq!((reply.status, &*reply.body), (500, UNCHECKED));
    }
    assert_eq!(send_request(&guard.layer(), request("/other")).await.status, 200);
    let claims = crate::support::claims(&guard, &token).await.unwrap();
    let request = request("/mcp");
    let without_body = guard.authorize(&request, Some(&claims)).unwrap_err();
    assert_eq!(without_body.code(), "unchecked_body");
    assert!(guard.authorize_with_body(&request, LIST.as_bytes(), Some(&claims)).is_ok());
    let lie = guard.authorize_with_body(&request, call("get").as_bytes(), Some(&claims)).unwrap_err();
    assert_eq!(lie.code(), "invalid_request");
    let long = vec![b' '; oauth_guard::defaults::MCP_BODY_BYTES + 1];
    assert_eq!(
        guard.authorize_with_body(&request, &long, Some(&claims)).unwrap_err().code(),
        "invalid_request"
    );
}

#[tokio::test(start_paused = true)]
async fn public_operations_are_compared_too_and_open_nothing_else() {
    let fixture = Fixture::new();
    let rules = || {
        [
            Rule::new("/mcp").mcp("initialize").public(),
            Rule::new("/mcp").mcp("tools/list").optional(),
            Rule::new("/mcp").mcp("tools/call").require(scope("tools")),
        ]
    };
    let initialize = r#"{"method":"initialize"}"#;
    let open = guard(&fixture, rules()).layer();
    let closed = rules().into_iter().fold(fixture.builder().issuer(fixture.issuer()), GuardBuilder::rule);
    let closed = closed.deny_by_default().build().unwrap().layer();
    let token = fixture.server.mint().scope("tools").build();
    for layer in [&open, &closed] {
        let method = |method| [("mcp-method", method)];
        assert_eq!(post(layer, &method("initialize"), initialize, None).await, served(initialize));
        assert_eq!(post(layer, &method("initialize"), initialize, Some("a.b.c")).await, served(initialize));
        assert_eq!(post(layer, &method("initialize"), &call("get"), None).await, MALFORMED);
        assert_eq!(post(layer, &method("tools/list"), LIST, None).await, served(LIST));
        assert_eq!(post(layer, &method("tools/list"), LIST, Some("a.b.c")).await.0, 401);
        assert_eq!(post(layer, &method("tools/list"), &call("get"), None).await, MALFORMED);
    }
    // What no rule names needs what it needs without them; what is not named could be that.
    let ping = r#"{"method":"ping"}"#;
    assert_eq!(post(&open, &[("mcp-method", "ping")], ping, None).await.0, 401);
    assert_eq!(post(&open, &[("mcp-method", "ping")], ping, Some(&token)).await, served(ping));
    assert_eq!(post(&open, &[], initialize, None).await.0, 401);
    assert_eq!(post(&open, &[], initialize, Some(&token)).await, served(initialize));
    assert_eq!(post(&closed, &[("mcp-method", "ping")], ping, Some(&token)).await.0, 403);
    assert_eq!(post(&closed, &[], initialize, Some(&token)).await.0, 403);
    // A rule of the route that needs a token is not undone by one of an operation, and the reverse.
    let both =
        guard(&fixture, rules().into_iter().chain([Rule::new("/{*rest}").require(scope("all"))])).layer();
    assert_eq!(post(&both, &[("mcp-method", "initialize")], initialize, None).await.0, 401);
    let public = guard(&fixture, rules().into_iter().chain([Rule::new("/mcp").public()])).layer();
    assert_eq!(post(&public, &[("mcp-method", "ping")], ping, None).await, served(ping));
    let get = [("mcp-method", "tools/call"), ("mcp-name", "get")];
    assert_eq!(post(&public, &get, &call("get"), None).await.0, 401);
    assert_eq!(post(&public, &[], ping, None).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn slashes_methods_and_layers_lead_to_nothing_weaker() {
    let fixture = Fixture::new();
    let guard = guard(
        &fixture,
        [
            Rule::new("/mcp").mcp("tools/call").methods([Method::POST]).require(scope("tools")),
            Rule::new("/mcp").mcp("*").methods([Method::POST, Method::GET]).require(scope("mcp")),
            Rule::new("/mcp").mcp("tools/*").require(scope("any")),
        ],
    );
    let token = fixture.server.mint().scope("other").build();
    let ask = async |layer: &GuardLayer, method: Method, path: &str| {
        let headers = vec![("mcp-method", "tools/call".to_owned()), ("mcp-name", "get".to_owned())];
        let body = Bytes::from(call("get")).into();
        send(layer, Ask { method, path, headers, body, token: Some(&token) }).await
    };
    for (method, path, needed) in [
        (Method::POST, "/mcp", "tools mcp any"),
        (Method::POST, "/mcp/", "tools mcp any"),
        (Method::POST, "/mcp?x=1", "tools mcp any"),
        (Method::GET, "/mcp", "mcp any"),
        (Method::HEAD, "/mcp", "mcp any"),
        (Method::DELETE, "/mcp", "any"),
    ] {
        assert_eq!(ask(&guard.layer(), method.clone(), path).await, forbidden(needed), "{method} {path}");
    }
    assert_eq!(ask(&guard.layer(), Method::POST, "//mcp").await, MALFORMED);
    assert_eq!(ask(&guard.layer(), Method::POST, "/x/../mcp").await, MALFORMED);
    assert_eq!(ask(&guard.layer(), Method::POST, "/%6dcp").await, MALFORMED);
    let strict = guard.layer().require(scope("beta"));
    assert_eq!(ask(&strict, Method::POST, "/mcp").await, forbidden("tools mcp any beta"));
    assert_eq!(ask(&guard.layer().optional(), Method::POST, "/mcp").await, forbidden("tools mcp any"));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_forwards_what_it_would_reject_with_its_whole_body() {
    let fixture = Fixture::new();
    let builder = rules().into_iter().fold(fixture.builder().issuer(fixture.issuer()), GuardBuilder::rule);
    let layer = builder.mcp_body_bytes(8).dry_run().build().unwrap().layer();
    let poor = fixture.server.mint().scope("other").build();
    let get = [("mcp-method", "tools/call"), ("mcp-name", "get")];
    for body in [call("delete_all"), "[".to_owned(), String::new()] {
        assert_eq!(post(&layer, &get, &body, Some(&poor)).await, served(&body));
        assert_eq!(post(&layer, &[get[0], get[0]], &body, Some(&poor)).await, served(&body));
    }
    assert_eq!(post(&layer, &get, "", None).await.0, 401);
    // A rule of its own that is tried out: the others hold.
    let rules = [
        Rule::new("/mcp").mcp("tools/call").require(scope("tools")).dry_run(),
        Rule::new("/mcp").mcp("tools/call").name("delete_*").require(scope("delete")),
    ];
    let layer = guard(&fixture, rules).layer();
    assert_eq!(post(&layer, &get, &call("get"), Some(&poor)).await, served(&call("get")));
    let delete = [get[0], ("mcp-name", "delete_all")];
    assert_eq!(post(&layer, &delete, &call("delete_all"), Some(&poor)).await, forbidden("delete"));
}

#[tokio::test(start_paused = true)]
async fn scopes_include_others_in_rules_layers_and_handlers() {
    let fixture = Fixture::new();
    let builder = fixture.builder().issuer(fixture.issuer()).realm("orders");
    let guard = builder
        .rule(Rule::new("/read").require(scope("read")))
        .rule(Rule::new("/draft").require(scope("draft")))
        .rule(Rule::new("/not").require(!scope("read")))
        .implies("admin", ["read", "write"])
        .implies("write", ["draft"])
        .build()
        .unwrap();
    let token = |scope: &str| fixture.server.mint().scope(scope).build();
    let (admin, writer) = (token("admin"), token("write"));
    let layer = guard.layer();
    assert_eq!(get(&layer, "/read", Some(&admin)).await.0, 200);
    assert_eq!(get(&layer, "/draft", Some(&admin)).await.0, 200);
    assert_eq!(get(&layer, "/not", Some(&admin)).await.0, 403);
    assert_eq!(get(&layer, "/draft", Some(&writer)).await.0, 200);
    assert_eq!(get(&layer, "/read", Some(&writer)).await, crate::rules::too_little("read"));
    assert_eq!(get(&layer.require(scope("write")), "/read", Some(&admin)).await.0, 200);
    let claims = crate::support::claims(&guard, &admin).await.unwrap();
    assert!(guard.require(&scope("draft"), &claims).is_ok());
    assert!(guard.require(&Requirement::role("read"), &claims).is_err());
    assert!(!claims.has_scope("read"), "handlers see what the token says");
    // A reload takes it back, for layers that are there already.
    let layer = guard.layer().require(scope("write"));
    guard.reload(fixture.builder().issuer(fixture.issuer())).unwrap();
    assert_eq!(get(&layer, "/read", Some(&admin)).await.0, 403);
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_origins_are_refused_whatever_they_bring() {
    let fixture = Fixture::new();
    let builder = fixture.builder().issuer(fixture.issuer()).allow_preflight();
    let builder = builder.rule(Rule::new("/health").public()).rule(Rule::new("/mcp").mcp("*"));
    let guard =
        builder.allowed_origins(["https://app.example.com", "http://localhost:8080"]).build().unwrap();
    let token = fixture.server.mint().build();
    let ask = async |method: Method, path: &str, origins: &[&str], token: Option<&str>| {
        let mut request =
            Request::builder().method(method).uri(path).header("access-control-request-method", "PUT");
        for origin in origins {
            request = request.header(header::ORIGIN, *origin);
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let reply = send_request(&guard.layer(), request.body(Full::default()).unwrap()).await;
        if reply.status == 403 {
            assert_eq!((reply.challenge, &*reply.body), (None, OTHER_ORIGIN));
        }
        reply.status
    };
    for (origins, good) in [
        (&[][..], 200),
        (&["https://app.example.com"], 200),
        (&["http://localhost:8080"], 200),
        (&["https://evil.example"], 403),
        (&["null"], 403),
        (&[""], 403),
        (&["https://app.example.com.evil.example"], 403),
        (&["https://app.example.com:8443"], 403),
        (&["http://app.example.com"], 403),
        (&["https://app.example.com, https://evil.example"], 403),
        (&["https://app.example.com", "https://app.example.com"], 400),
        (&["https://app.example.com", "https://evil.example"], 400),
    ] {
        for path in ["/orders", "/health"] {
            assert_eq!(ask(Method::POST, path, origins, Some(&token)).await, good, "{origins:?} {path}");
        }
        let bare = if good == 200 { 401 } else { good };
        assert_eq!(ask(Method::POST, "/orders", origins, None).await, bare, "{origins:?}");
        if good != 200 {
            assert_eq!(ask(Method::OPTIONS, "/orders", origins, None).await, good, "{origins:?}");
            assert_eq!(ask(Method::POST, "/mcp", origins, Some(&token)).await, good, "{origins:?}");
        }
    }
    assert_eq!(ask(Method::OPTIONS, "/orders", &["https://app.example.com"], None).await, 200, "a preflight");
    let none = fixture.builder().issuer(fixture.issuer()).allowed_origins([""; 0]).build().unwrap();
    let request = Request::get("/").header(header::ORIGIN, "https://app.example.com").body(()).unwrap();
    assert_eq!(none.authorize(&request, None).unwrap_err().code(), "origin_not_allowed");
}

#[tokio::test(start_paused = true)]
async fn a_preflight_request_of_an_mcp_path_is_one() {
    let fixture = Fixture::new();
    let builder = fixture.builder().issuer(fixture.issuer()).allow_preflight().deny_by_default();
    let layer = builder.rule(Rule::new("/mcp").mcp("*").methods([Method::POST])).build().unwrap().layer();
    for (wanted, status) in [("POST", 200), ("PUT", 403)] {
        let request = Request::options("/mcp").header(header::ORIGIN, "https://app.example.com");
        let request = request.header("access-control-request-method", wanted);
        assert_eq!(
            send_request(&layer, request.body(Full::default()).unwrap()).await.status,
            status,
            "{wanted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn placeholders_are_the_same_whatever_their_names() {
    let fixture = Fixture::new();
    let token = fixture.server.mint().scope("tools").build();
    for (one, other) in [("/mcp/{tenant}", "/mcp/{org}"), ("/mcp/{*rest}", "/mcp/{*all}")] {
        let rules = [
            Rule::new(one).methods([Method::POST]).mcp("tools/call").require(scope("tools")),
            Rule::new(other).mcp("*").require(scope("mcp")),
        ];
        let layer = guard(&fixture, rules).layer();
        let ask = Ask {
            method: Method::POST,
            path: "/mcp/a",
            headers: vec![("mcp-method", "tools/call".to_owned()), ("mcp-name", "get".to_owned())],
            body: Bytes::from(call("get")).into(),
            token: Some(&token),
        };
        assert_eq!(send(&layer, ask).await, forbidden("tools mcp"), "{one} {other}");
        let same = [Rule::new(one).mcp("a"), Rule::new(other).mcp("a")];
        let found = problems(same, |builder| builder);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("rule[1].mcp") && found[0].contains("rule[0]; merge them"), "{found:?}");
    }
}

fn problems(rules: impl IntoIterator<Item = Rule>, change: fn(GuardBuilder) -> GuardBuilder) -> Vec<String> {
    let issuer = oauth_guard::Issuer::new("https://auth.example.com").audience("orders-api");
    let builder = rules.into_iter().fold(Guard::builder().issuer(issuer), GuardBuilder::rule);
    let error = change(builder).build().map(drop).unwrap_err();
    error.problems().iter().map(ToString::to_string).collect()
}

#[test]
fn mistakes_are_named_with_their_fix() {
    let mcp = |method: &str| Rule::new("/mcp").mcp(method);
    let same = |builder| builder;
    for (rules, field, hint) in [
        (vec![Rule::new("/mcp").name("a")], "rule[0].name", "goes with mcp"),
        (vec![mcp("")], "rule[0].mcp", "such as tools/call"),
        (vec![mcp("tools call")], "rule[0].mcp", "such as tools/call"),
        (vec![mcp("tools/list").name("a")], "rule[0].name", "tools/list names nothing"),
        (vec![mcp("tools/call").name("")], "rule[0].name", "leave it out"),
        (vec![Rule::grpc("a.B/C").mcp("tools/call")], "rule[0].mcp", "needs a path"),
        (vec![Rule::new("mcp").mcp("tools/call")], "rule[0].path", "from the root"),
        (vec![mcp("tools/call"), mcp("tools/call")], "rule[1].mcp", "rule[0]; merge them"),
        (vec![mcp("a"), Rule::new("/mcp/").mcp("a")], "rule[1].path", "another spelling"),
        (vec![mcp("a").public().require(scope("b"))], "rule[0].require", "the rule is public"),
    ] {
        let found = problems(rules, same);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(field) && found[0].contains(hint), "{found:?}");
    }
    for (change, field, hint) in [
        (
            (|builder| builder.mcp_body_bytes(0)) as fn(GuardBuilder) -> GuardBuilder,
            "mcp_body_bytes",
            "above zero",
        ),
        (|builder| builder.implies("admin", [""; 0]), "implies.admin", "includes no scope"),
        (|builder| builder.implies("admin", ["read write"]), "implies.admin", "is not a scope"),
        (|builder| builder.allowed_origins(["https://a/b"]), "allowed_origins[0]", "write https://a"),
    ] {
        let found = problems([], change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(field) && found[0].contains(hint), "{found:?}");
    }
}

/// Any executor may poll a request; only tokio's has timers.
#[test]
fn bodies_are_read_without_a_runtime_of_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (layer, token) = runtime.block_on(async {
        let fixture = Fixture::new();
        let layer = guard(&fixture, rules()).layer();
        let token = fixture.server.mint().scope("mcp tools").build();
        let headers = [VERSION, ("mcp-method", "tools/call"), ("mcp-name", "get")];
        assert_eq!(post(&layer, &headers, &call("get"), Some(&token)).await, served(&call("get")));
        (layer, token)
    });
    let headers = [VERSION, ("mcp-method", "tools/call"), ("mcp-name", "get")];
    let body = call("get");
    let mut answer = std::pin::pin!(post(&layer, &headers, &body, Some(&token)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(answer.as_mut().poll(&mut context), std::task::Poll::Ready(served(&body)));
}
