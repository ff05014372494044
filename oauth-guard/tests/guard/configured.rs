//! What each key of guard.toml changes for a request. The names of keys and the errors about them have tests of their own;
//! here each value is another one than the default, so that a key which is not read, or is read as another, shows.

use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, Version, header};
use http_body_util::Full;
use oauth_guard::clock::TestClock;
use oauth_guard::config::GuardConfig;
use oauth_guard::{Guard, HttpClient, PeerAddr, TlsPeer};
use oauth_mock::{Alg, Endpoint, Fault, Gate, MockClient, MockServer, TestKey};
use serde_json::json;
use tokio::time::advance;

use crate::possession::{ask, reason, request};
use crate::site::Site;
use crate::support::{File, Fixture, call, send, send_request, settle};

const NONCE_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEVER_ASKED: &str = "opaque-0";

/// A server of opaque tokens and of JWTs.
fn fixture() -> Fixture {
    let server = MockServer::builder()
        .audience("orders-api")
        .algorithms([Alg::Es256])
        .client(MockClient::new("svc").secret("s3cr3t"))
        .client(MockClient::new("app").secret("s3cr3t").scopes(["read", "write"]).opaque_tokens())
        .in_process();
    Fixture { server, clock: TestClock::new() }
}

/// A guard by a file: what stands at its top, what else is said of the one issuer, and the tables below.
fn guard(fixture: &Fixture, top: &str, issuer: &str, tables: &str) -> Guard {
    let name = fixture.server.issuer();
    let text =
        format!("{top}\n[[issuer]]\nissuer = \"{name}\"\naudience = [\"orders-api\"]\n{issuer}\n{tables}\n");
    let builder =
        GuardConfig::from_toml(&text).unwrap_or_else(|error| panic!("{text}: {error}")).into_builder();
    let builder = builder.http(HttpClient::from_service(fixture.server.transport()));
    builder.clock(fixture.clock.clone()).build().unwrap()
}

fn asking(fixture: &Fixture, keys: &str) -> Guard {
    let table = "[issuer.introspection]\nclient_id = \"svc\"\nclient_secret = \"s3cr3t\"";
    guard(fixture, "", "", &format!("{table}\n{keys}"))
}

fn opaque(fixture: &Fixture) -> String {
    fixture.server.issue("app", "ada", "read").unwrap().access_token
}

fn questions(fixture: &Fixture) -> usize {
    fixture.server.journal().count(Endpoint::Introspect)
}

fn jwt(fixture: &Fixture) -> String {
    fixture.server.mint().subject("ada").scope("read").build()
}

/// A request as the callers of a browser, of an MCP server or of a proxy send it.
fn get(path: &str, headers: &[(&str, String)]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

async fn status(guard: &Guard, request: Request<Full<Bytes>>) -> u16 {
    send_request(&guard.layer(), request).await.status
}

#[tokio::test(start_paused = true)]
async fn introspection_caches_what_is_active_and_what_is_not_for_times_of_their_own() {
    let fixture = fixture();
    let guard = asking(&fixture, "cache_seconds = 7\nnegative_cache_seconds = 3");
    let token = opaque(&fixture);
    for (second, active, inactive) in [(0, 1, 1), (2, 1, 1), (4, 1, 2), (6, 1, 2), (8, 2, 3)] {
        let began = questions(&fixture);
        assert_eq!(call(&guard, &token).await.status, 200);
        assert_eq!(call(&guard, NEVER_ASKED).await.status, 401);
        let health = guard.health().issuers.remove(0).introspection.unwrap();
        assert_eq!((health.active, health.inactive), (active, inactive), "second {second}, {began} before");
        advance(Duration::from_secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn introspection_is_about_the_tokens_that_it_says() {
    for (keys, asked, fetched) in
        [("", 0, 1), ("tokens = \"opaque\"", 0, 1), ("tokens = \"both\"", 1, 1), ("tokens = \"any\"", 1, 0)]
    {
        let fixture = fixture();
        let now = fixture.server.clock().now_unix();
        let active = json!({
            "active": true, "iss": fixture.server.issuer(), "aud": "orders-api", "sub": "ada", "exp": now + 600
        });
        let active = Fault::body(200, "application/json", active.to_string());
        fixture.server.fault(Endpoint::Introspect, active).always();
        let guard = asking(&fixture, keys);
        assert_eq!(call(&guard, &jwt(&fixture)).await.status, 200, "{keys}");
        let counts = (questions(&fixture), fixture.server.journal().count(Endpoint::Jwks));
        assert_eq!(counts, (asked, fetched), "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn introspection_waits_as_long_as_it_says_and_asks_as_much_at_a_time() {
    let fixture = fixture();
    let gate = Gate::new();
    fixture.server.fault(Endpoint::Introspect, Fault::hold(&gate)).always();
    let guard = asking(&fixture, "timeout_seconds = 3\nmax_concurrent = 2");
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (guard, token) = (guard.clone(), opaque(&fixture));
            tokio::spawn(async move { call(&guard, &token).await.status })
        })
        .collect();
    settle().await;
    assert_eq!(questions(&fixture), 2);
    advance(Duration::from_millis(2_900)).await;
    settle().await;
    assert!(callers.iter().all(|caller| !caller.is_finished()));
    advance(Duration::from_millis(200)).await;
    settle().await;
    assert!(callers.iter().all(tokio::task::JoinHandle::is_finished));
}

#[tokio::test(start_paused = true)]
async fn introspection_asks_the_endpoint_that_it_says_for_the_responses_that_it_says() {
    let fixture = fixture();
    let elsewhere = format!("endpoint = \"{}/elsewhere\"", fixture.server.issuer());
    let guard = asking(&fixture, &elsewhere);
    assert_eq!((call(&guard, &opaque(&fixture)).await.status, questions(&fixture)), (503, 0));
    let guard = asking(&fixture, "jwt_response = true");
    let plain = Fault::body(200, "application/json", json!({ "active": false }).to_string());
    fixture.server.fault(Endpoint::Introspect, plain).always();
    assert_eq!(call(&guard, NEVER_ASKED).await.status, 503, "a plain response is none");
    assert_eq!(call(&asking(&fixture, ""), NEVER_ASKED).await.status, 401);
}

/// A caller whose token is bound to its key.
struct Bound {
    fixture: Fixture,
    key: TestKey,
    token: String,
}

impl Bound {
    fn new(algorithm: Alg) -> Self {
        let (fixture, key) = (fixture(), TestKey::generate(algorithm));
        let token = fixture.server.mint().subject("ada").bound_to(&key).expires_in(100_000).build();
        Self { fixture, key, token }
    }

    fn proof(&self, url: &str) -> oauth_mock::TokenBuilder {
        self.fixture.server.dpop_proof(&self.key, "GET", url).access_token_hash(&self.token)
    }

    fn guard(&self, keys: &str) -> Guard {
        guard(&self.fixture, "public_url = \"https://api.example.com\"", "", &format!("[dpop]\n{keys}"))
    }
}

const URL: &str = "https://api.example.com/orders";

#[tokio::test(start_paused = true)]
async fn dpop_takes_the_tokens_and_proofs_that_it_says() {
    let bound = Bound::new(Alg::Es256);
    let unbound = jwt(&bound.fixture);
    let proven = || request("DPoP", &bound.token, &[&bound.proof(URL).build()]);
    for (keys, of_bound, of_unbound) in [
        ("", "accepted", "accepted"),
        ("mode = \"accept\"", "accepted", "accepted"),
        ("mode = \"require\"", "accepted", "token_not_bound"),
        ("algorithms = [\"ES256\"]", "accepted", "accepted"),
        ("algorithms = [\"ES384\", \"EdDSA\"]", "proof_algorithm_not_allowed", "accepted"),
        ("nonce = \"off\"\nnonce_seconds = 300", "accepted", "accepted"),
        ("nonce = \"require\"", "proof_nonce_missing_or_stale", "accepted"),
    ] {
        let guard = bound.guard(keys);
        assert_eq!(reason(&guard, &proven()).await, of_bound, "{keys}");
        let unbound = reason(&guard, &request("Bearer", &unbound, &[])).await;
        assert_eq!(unbound, of_unbound, "{keys}");
    }
    for (keys, age, outcome) in [
        ("", 59, "accepted"),
        ("", 62, "proof_too_old"),
        ("max_age_seconds = 100", 99, "accepted"),
        ("max_age_seconds = 100", 102, "proof_too_old"),
        ("max_age_seconds = 10", 12, "proof_too_old"),
    ] {
        let guard = bound.guard(keys);
        // The guard is older than the proof: of what was before it, it knows nothing.
        advance(Duration::from_secs(200)).await;
        let proven = proven();
        advance(Duration::from_secs(age)).await;
        assert_eq!(reason(&guard, &proven).await, outcome, "{keys} at {age} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nonce_lasts_as_long_as_it_says_and_is_shared_by_its_key() {
    let bound = Bound::new(Alg::Es256);
    let key = format!("nonce_key = \"{NONCE_KEY}\"");
    for (more, shared, age, accepted) in [
        ("nonce_seconds = 20", false, 18, true),
        ("nonce_seconds = 20", false, 22, false),
        ("nonce_seconds = 500", false, 450, true),
        ("", false, 310, false),
        ("", true, 10, false),
        (&*key, true, 10, true),
    ] {
        let keys = format!("nonce = \"require\"\n{more}");
        let guard = bound.guard(&keys);
        let rejected = ask(&guard.layer(), request("DPoP", &bound.token, &[&bound.proof(URL).build()])).await;
        let nonce = rejected.nonce().unwrap().to_owned();
        let guard = if shared { bound.guard(&keys) } else { guard };
        advance(Duration::from_secs(age)).await;
        let proof = bound.proof(URL).nonce(&nonce).build();
        let outcome = reason(&guard, &request("DPoP", &bound.token, &[&proof])).await;
        assert_eq!(outcome == "accepted", accepted, "{more} at {age} s: {outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn proofs_name_the_url_of_the_file_or_of_a_trusted_proxy() {
    let bound = Bound::new(Alg::Es256);
    let forwarded = |peer: &str, url: &str| {
        let mut sent = request("DPoP", &bound.token, &[&bound.proof(url).build()]);
        sent.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
        for (name, value) in
            [("host", "inner.example"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "outer.example")]
        {
            sent.headers_mut().insert(name, value.parse().unwrap());
        }
        sent
    };
    let (proxy, stranger) = ("10.0.0.1:4000", "203.0.113.9:4000");
    let (outer, base) = ("https://outer.example/orders", "https://api.example.com/base/orders");
    for (top, peer, url, accepted) in [
        ("", proxy, outer, false),
        ("trusted_proxies = [\"10.0.0.0/8\"]", proxy, outer, true),
        ("trusted_proxies = [\"10.0.0.0/8\"]", stranger, outer, false),
        ("trusted_proxies = [\"192.168.0.0/16\"]", proxy, outer, false),
        ("public_url = \"https://api.example.com/base\"", proxy, base, true),
        ("public_url = \"https://api.example.com\"", proxy, base, false),
        ("resource = \"https://api.example.com\"", proxy, URL, true),
    ] {
        let guard = guard(&bound.fixture, top, "", "[dpop]");
        let outcome = reason(&guard, &forwarded(peer, url)).await;
        assert_eq!(outcome == "accepted", accepted, "{top}, {peer}, {url}: {outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn certificates_come_from_the_place_that_it_says() {
    // Something with the outer form of a certificate.
    let der = [&[0x30, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
    let print = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let fixture = fixture();
    let bound = fixture.server.mint().subject("ada");
    let bound =
        bound.claim("cnf", json!({ "x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(print.as_ref()) })).build();
    let unbound = jwt(&fixture);
    let pem = BASE64_STANDARD.encode(&der).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let pem = format!("-----BEGIN%20CERTIFICATE-----%0A{pem}%0A-----END%20CERTIFICATE-----%0A");
    let hex: String = print.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = |place: &str, token: &str| {
        let mut sent = request("Bearer", token, &[]);
        sent.extensions_mut().insert(PeerAddr("10.0.0.1:4000".parse().unwrap()));
        let (name, value) = match place {
            "client-cert" => ("client-cert", format!(":{}:", BASE64_STANDARD.encode(&der))),
            "xfcc" => ("x-forwarded-client-cert", format!("Hash={hex}")),
            "nginx" => ("ssl-client-cert", pem.clone()),
            _ => {
                sent.extensions_mut().insert(TlsPeer::with_certificate(der.clone()));
                return sent;
            }
        };
        sent.headers_mut().insert(name, value.parse().unwrap());
        sent
    };
    let places = ["connection", "client-cert", "xfcc", "nginx"];
    let of = |keys: &str| {
        guard(&fixture, "trusted_proxies = [\"10.0.0.0/8\"]", "", &format!("[certificates]\n{keys}"))
    };
    for source in places {
        let guard = of(&format!("source = \"{source}\""));
        for place in places {
            let outcome = reason(&guard, &shown(place, &bound)).await;
            assert_eq!(outcome == "accepted", source == place, "{source} by {place}: {outcome}");
        }
    }
    assert_eq!(reason(&of(""), &shown("connection", &bound)).await, "accepted");
    for (mode, outcome) in [
        ("", "accepted"),
        ("mode = \"accept\"", "accepted"),
        ("mode = \"require\"", "token_not_bound_to_certificate"),
    ] {
        assert_eq!(reason(&of(mode), &shown("connection", &unbound)).await, outcome, "{mode}");
        assert_eq!(reason(&of(mode), &shown("connection", &bound)).await, "accepted", "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn routes_need_what_the_file_says() {
    let fixture = fixture();
    let token = jwt(&fixture);
    let (app, evil) = ("https://app.example.com", "https://evil.example");
    let from = |origin: &str| vec![bearer(&token), ("origin", origin.to_owned())];
    let preflight = || vec![("origin", app.to_owned()), ("access-control-request-method", "GET".to_owned())];
    let orders = "[[rule]]\npath = \"/orders\"\nrequire = { scope = \"orders\" }";
    let read = "[[rule]]\npath = \"/orders\"\nrequire = { scope = \"read\" }";
    for (top, rules, path, headers, expected) in [
        ("", read, "/other", vec![bearer(&token)], 200),
        ("default_access = \"token\"", read, "/other", vec![bearer(&token)], 200),
        ("default_access = \"deny\"", read, "/other", vec![bearer(&token)], 403),
        ("default_access = \"deny\"", read, "/orders", vec![bearer(&token)], 200),
        ("", read, "/orders", from(evil), 200),
        ("allowed_origins = [\"https://app.example.com\"]", read, "/orders", from(evil), 403),
        ("allowed_origins = [\"https://app.example.com\"]", read, "/orders", from(app), 200),
        ("", orders, "/orders", vec![bearer(&token)], 403),
        ("implies = { read = [\"orders\"] }", orders, "/orders", vec![bearer(&token)], 200),
        ("implies = { write = [\"orders\"] }", orders, "/orders", vec![bearer(&token)], 403),
        ("dry_run = true", orders, "/orders", vec![bearer(&token)], 200),
        ("", read, "/orders", preflight(), 401),
        ("allow_preflight = true", read, "/orders", preflight(), 200),
        ("", "", "/orders", vec![("x-token", token.clone())], 401),
        ("token_header = \"x-token\"", "", "/orders", vec![("x-token", token.clone())], 200),
        ("", "", "/orders", vec![("cookie", format!("at={token}"))], 401),
        ("token_cookie = \"at\"", "", "/orders", vec![("cookie", format!("at={token}"))], 200),
    ] {
        let guard = guard(&fixture, top, "", rules);
        let mut sent = get(path, &headers);
        if headers.iter().any(|(name, _)| name.starts_with("access-control")) {
            *sent.method_mut() = Method::OPTIONS;
        }
        assert_eq!(status(&guard, sent).await, expected, "{top} {rules} {path} {headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejections_and_requests_are_written_as_the_file_says() {
    let fixture = fixture();
    let of = |top: &str| guard(&fixture, top, "", "");
    for (top, status, challenge) in [
        ("", 200, "Bearer realm=\"api\""),
        ("grpc = true", 200, "Bearer realm=\"api\""),
        ("grpc = false", 401, "Bearer realm=\"api\""),
        ("realm = \"orders\"", 200, "Bearer realm=\"orders\""),
    ] {
        let mut sent = get("/a.B/C", &[("content-type", "application/grpc".to_owned())]);
        (*sent.method_mut(), *sent.version_mut()) = (Method::POST, Version::HTTP_2);
        let answer = ask(&of(top).layer(), sent).await;
        assert_eq!((answer.status, answer.challenges()), (status, vec![challenge]), "{top}");
    }
    for (top, seen) in [("", "ada: authorization"), ("strip_token = true", "ada: ")] {
        let answer = ask(&of(top).layer(), request("Bearer", &jwt(&fixture), &[])).await;
        assert_eq!(answer.body, seen, "{top}");
    }
    let resource = of("resource = \"https://api.example.com/orders\"");
    let challenge = send(&resource.layer(), &[]).await.challenge.unwrap();
    assert!(challenge.contains(".well-known/oauth-protected-resource/orders"), "{challenge}");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_accepts_what_the_file_says() {
    let fixture = fixture();
    let mint = || fixture.server.mint().subject("ada").scope("read");
    let now = fixture.server.clock().now_unix();
    for (keys, token, accepted) in [
        ("", mint().typ("JWT"), false),
        ("profile = \"jwt\"", mint().typ("JWT"), true),
        ("algorithms = [\"RS256\"]", mint(), false),
        ("algorithms = [\"ES256\"]", mint(), true),
        ("require = { token_use = \"access\" }", mint(), false),
        ("require = { token_use = \"access\" }", mint().claim("token_use", "id"), false),
        ("require = { token_use = \"access\" }", mint().claim("token_use", "access"), true),
        ("require = { hd = [\"a.example\", \"b.example\"] }", mint().claim("hd", "b.example"), true),
        ("", mint().expires_in(-30), true),
        ("leeway_seconds = 10", mint().expires_in(-30), false),
        ("max_token_age_seconds = 100", mint().issued_at(now - 200), false),
        ("max_token_age_seconds = 300", mint().issued_at(now - 200), true),
        ("max_token_bytes = 300", mint().claim("long", "x".repeat(300)), false),
        ("clients = [\"svc\"]", mint().client_id("svc"), true),
        ("clients = [\"svc\"]", mint().client_id("other"), false),
    ] {
        let guard = guard(&fixture, "", keys, "");
        let token = token.build();
        assert_eq!(call(&guard, &token).await.status == 200, accepted, "{keys}: {}", guard.explain(&token));
    }
    for (keys, token) in [
        ("scope_claim = \"permissions\"", mint().without("scope").claim("permissions", "orders")),
        ("scope_separator = \",\"", mint().scope("read,orders")),
    ] {
        let rule = "[[rule]]\npath = \"/\"\nrequire = { scope = \"orders\" }";
        let token = token.build();
        assert_eq!(call(&guard(&fixture, "", keys, rule), &token).await.status, 200, "{keys}");
        assert_eq!(call(&guard(&fixture, "", "", rule), &token).await.status, 403, "without {keys}");
    }
    let rule = "[[rule]]\npath = \"/\"\nrequire = { role = \"admin\" }";
    let token = mint().claim("realm", json!({ "roles": ["admin"] })).build();
    let keys = "roles_claim = \"realm.roles\"";
    assert_eq!(call(&guard(&fixture, "", keys, rule), &token).await.status, 200);
    assert_eq!(call(&guard(&fixture, "", "", rule), &token).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_with_the_headers_and_the_token_of_the_file() {
    let fixture = fixture();
    let file = File::new("configured-token", "t0k3n\n");
    let (site, name) = (Site::default(), fixture.server.issuer());
    let jwks = format!("{name}/keys");
    site.keys(&jwks, &fixture.server);
    for (keys, key, token) in [
        (String::new(), None, None),
        ("headers = { x-api-key = \"k3y\" }".to_owned(), Some("k3y"), None),
        (format!("token_file = {:?}", file.0), None, Some("Bearer t0k3n")),
    ] {
        let text = format!(
            "[[issuer]]\nissuer = \"{name}\"\naudience = [\"orders-api\"]\njwks_uri = \"{jwks}\"\n{keys}\n"
        );
        let builder = GuardConfig::from_toml(&text).unwrap().into_builder();
        let guard = builder.http(site.http()).clock(fixture.clock.clone()).build().unwrap();
        assert_eq!(call(&guard, &jwt(&fixture)).await.status, 200, "{keys}");
        let last = |name: &str| site.header(&jwks, name).pop().unwrap();
        let sent = (last("x-api-key"), last(header::AUTHORIZATION.as_str()));
        assert_eq!(sent, (key.map(str::to_owned), token.map(str::to_owned)), "{keys}");
    }
    assert_eq!(site.asked().iter().filter(|url| **url != jwks).count(), 0, "nothing is discovered");
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_when_the_file_says_and_tokens_cached() {
    for (tables, at, fetches) in
        [("", 900, 2), ("[keys]\nmax_age_seconds = 2000", 900, 1), ("[keys]\nmax_age_seconds = 60", 100, 2)]
    {
        let fixture = fixture();
        let guard = guard(&fixture, "", "", tables);
        for _ in 0..2 {
            assert_eq!(call(&guard, &jwt(&fixture)).await.status, 200);
            settle().await;
            let fetched = fixture.server.journal().count(Endpoint::Jwks);
            advance(Duration::from_secs(at)).await;
            assert!(fetched <= fetches, "{tables}");
        }
        assert_eq!(fixture.server.journal().count(Endpoint::Jwks), fetches, "{tables}");
    }
    for (tables, outlives) in [("", true), ("[keys]\nmax_stale_seconds = 1000", false)] {
        let fixture = fixture();
        let guard = guard(&fixture, "", "", tables);
        assert_eq!(call(&guard, &jwt(&fixture)).await.status, 200);
        fixture.server.fault(Endpoint::Jwks, Fault::status(500)).always();
        advance(Duration::from_secs(2000)).await;
        assert_eq!(call(&guard, &jwt(&fixture)).await.status == 200, outlives, "{tables}");
    }
    for (tables, hits) in [("", 1), ("[cache]\nmax_bytes = 0", 0)] {
        let fixture = fixture();
        let (guard, token) = (guard(&fixture, "", "", tables), jwt(&fixture));
        for _ in 0..2 {
            assert_eq!(call(&guard, &token).await.status, 200);
        }
        assert_eq!(guard.health().cache.hits, hits, "{tables}");
    }
}
