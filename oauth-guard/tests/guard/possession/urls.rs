//! Which URL a proof has to name: what is configured, what a trusted proxy says, and the request itself.

use bytes::Bytes;
use http::{HeaderValue, Request, Version};
use http_body_util::Full;
use oauth_guard::{Dpop, Guard, GuardBuilder, PeerAddr, TlsPeer};

use super::{Bound, reason, request};

/// Where it comes from, its target, and its headers.
struct Sent {
    peer: Option<&'static str>,
    target: &'static str,
    version: Version,
    headers: Vec<(&'static str, &'static str)>,
    tls: bool,
}

impl Sent {
    fn to(target: &'static str) -> Self {
        Self { peer: None, target, version: Version::HTTP_11, headers: Vec::new(), tls: false }
    }

    fn from(peer: &'static str) -> Self {
        Self { peer: Some(peer), ..Self::to("/orders?page=2") }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    fn over_http2(mut self) -> Self {
        self.version = Version::HTTP_2;
        self
    }
}

async fn outcome(bound: &Bound, guard: &Guard, sent: &Sent, htu: &str) -> String {
    let proof = bound.proof().claim("htu", htu).build();
    reason(guard, &built(bound, sent, &proof)).await
}

fn built(bound: &Bound, sent: &Sent, proof: &str) -> Request<Full<Bytes>> {
    let mut request = request("DPoP", &bound.token, &[proof]);
    *request.uri_mut() = sent.target.parse().unwrap();
    *request.version_mut() = sent.version;
    for (name, value) in &sent.headers {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    if let Some(peer) = sent.peer {
        request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
    }
    if sent.tls {
        request.extensions_mut().insert(TlsPeer::without_certificate());
    }
    request
}

fn open(bound: &Bound) -> GuardBuilder {
    bound.fixture.builder().issuer(bound.fixture.issuer()).dpop(Dpop::new())
}

const SAME: &str = "accepted";
const OTHER: &str = "proof_htu_mismatch";
const MALFORMED: &str = "invalid_request";

#[tokio::test(start_paused = true)]
async fn the_request_itself_says_it_where_nothing_else_does() {
    let bound = Bound::new();
    let guard = open(&bound).build().unwrap();
    let host = |target| Sent::to(target).with("host", "api.example.com");
    for (sent, htu, expected) in [
        (host("/orders"), "http://api.example.com/orders", SAME),
        (host("/orders"), "http://API.example.com:80/orders", SAME),
        (host("/orders"), "https://api.example.com/orders", OTHER),
        (host("/orders").over_tls(), "https://api.example.com/orders", SAME),
        (host("/orders").over_tls(), "http://api.example.com/orders", OTHER),
        (host("/"), "http://api.example.com", SAME),
        (host("*"), "http://api.example.com", SAME),
        (
            Sent::to("/orders").with("host", "api.example.com:8080"),
            "http://api.example.com:8080/orders",
            SAME,
        ),
        (Sent::to("/orders").with("host", "[::1]:8080"), "http://[::1]:8080/orders", SAME),
        (Sent::to("/orders"), "http://api.example.com/orders", OTHER),
        (host("/orders").with("host", "api.example.com"), "http://api.example.com/orders", OTHER),
        (Sent::to("/orders").with("host", "api.example.com/a"), "http://api.example.com/a/orders", OTHER),
        (Sent::to("/orders").with("host", "u@api.example.com"), "http://u@api.example.com/orders", OTHER),
        (Sent::to("/orders").with("host", ""), "http:///orders", OTHER),
        // The absolute form, and HTTP/2's authority, take the place of Host.
        (
            Sent::to("http://api.example.com/orders").with("host", "other.example"),
            "http://api.example.com/orders",
            SAME,
        ),
        (
            Sent::to("http://api.example.com/orders").with("host", "other.example"),
            "http://other.example/orders",
            OTHER,
        ),
        (Sent::to("https://api.example.com/orders").over_http2(), "https://api.example.com/orders", SAME),
        (
            Sent::to("https://api.example.com:8443/orders").over_http2(),
            "https://api.example.com:8443/orders",
            SAME,
        ),
        // What a stranger forwards does not count.
        (host("/orders").with("x-forwarded-proto", "https"), "https://api.example.com/orders", OTHER),
        (host("/orders").with("x-forwarded-host", "evil.example"), "http://evil.example/orders", OTHER),
        (host("/orders").with("forwarded", "host=evil.example"), "http://evil.example/orders", OTHER),
    ] {
        let found = outcome(&bound, &guard, &sent, htu).await;
        println!("{:<32} {:<60} {htu:<44} {found}", sent.target, format!("{:?}", sent.headers));
        assert_eq!(found, expected, "{htu} for {} {:?}", sent.target, sent.headers);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trusted_proxy_says_what_it_was_asked_for() {
    let bound = Bound::new();
    let guard = open(&bound).trusted_proxies(["10.0.0.0/8", "fd00::/8"]).build().unwrap();
    const HERE: &str = "https://api.example.com/orders";
    let proxy = || Sent::from("10.1.2.3:4000").with("host", "backend:3000");
    let stranger = || Sent::from("203.0.113.9:4000").with("host", "backend:3000");
    for (name, sent, htu, expected) in [
        (
            "X-Forwarded-*",
            proxy().with("x-forwarded-proto", "https").with("x-forwarded-host", "api.example.com"),
            HERE,
            SAME,
        ),
        (
            "over IPv6",
            Sent {
                peer: Some("[fd00::1]:1"),
                ..proxy().with("x-forwarded-proto", "https").with("x-forwarded-host", "api.example.com")
            },
            HERE,
            SAME,
        ),
        (
            "from a dual-stack socket",
            Sent {
                peer: Some("[::ffff:10.1.2.3]:1"),
                ..proxy().with("x-forwarded-proto", "https").with("x-forwarded-host", "api.example.com")
            },
            HERE,
            SAME,
        ),
        (
            "the same from a stranger",
            stranger().with("x-forwarded-proto", "https").with("x-forwarded-host", "api.example.com"),
            HERE,
            OTHER,
        ),
        (
            "without an address",
            Sent {
                peer: None,
                ..proxy().with("x-forwarded-proto", "https").with("x-forwarded-host", "api.example.com")
            },
            HERE,
            OTHER,
        ),
        (
            "host and port",
            proxy().with("x-forwarded-proto", "http").with("x-forwarded-host", "api.example.com:8080"),
            "http://api.example.com:8080/orders",
            SAME,
        ),
        (
            "the last of a list",
            proxy()
                .with("x-forwarded-proto", "http, https")
                .with("x-forwarded-host", "evil.example, api.example.com"),
            HERE,
            SAME,
        ),
        (
            "the first of a list",
            proxy()
                .with("x-forwarded-proto", "http, https")
                .with("x-forwarded-host", "evil.example, api.example.com"),
            "http://evil.example/orders",
            OTHER,
        ),
        (
            "the last of two headers",
            proxy()
                .with("x-forwarded-proto", "https")
                .with("x-forwarded-host", "evil.example")
                .with("x-forwarded-host", "api.example.com"),
            HERE,
            SAME,
        ),
        (
            "prefix",
            proxy()
                .with("x-forwarded-proto", "https")
                .with("x-forwarded-host", "api.example.com")
                .with("x-forwarded-prefix", "/base/"),
            "https://api.example.com/base/orders",
            SAME,
        ),
        (
            "prefix, without it in htu",
            proxy()
                .with("x-forwarded-proto", "https")
                .with("x-forwarded-host", "api.example.com")
                .with("x-forwarded-prefix", "/base"),
            HERE,
            OTHER,
        ),
        (
            "empty prefix",
            proxy()
                .with("x-forwarded-proto", "https")
                .with("x-forwarded-host", "api.example.com")
                .with("x-forwarded-prefix", "/"),
            HERE,
            SAME,
        ),
        (
            "Forwarded",
            proxy().with("forwarded", "for=192.0.2.1;proto=https;host=api.example.com"),
            HERE,
            SAME,
        ),
        (
            "Forwarded, quoted and in capitals",
            proxy().with("forwarded", "For=\"[2001:db8::1]:1\"; Proto=HTTPS; Host=\"api.example.com\""),
            HERE,
            SAME,
        ),
        (
            "Forwarded, the last of a list",
            proxy().with("forwarded", "host=evil.example;proto=http, host=api.example.com;proto=https"),
            HERE,
            SAME,
        ),
        (
            "Forwarded, a comma in quotes",
            proxy().with("forwarded", "host=evil.example, for=\"a,b\";host=api.example.com;proto=https"),
            HERE,
            SAME,
        ),
        ("scheme alone", proxy().with("x-forwarded-proto", "https"), "https://backend:3000/orders", SAME),
        (
            "both, and they agree",
            proxy()
                .with("forwarded", "proto=https;host=api.example.com")
                .with("x-forwarded-proto", "HTTPS")
                .with("x-forwarded-host", "API.example.com"),
            HERE,
            SAME,
        ),
        (
            "both, and one says nothing of the URL",
            proxy()
                .with("forwarded", "for=192.0.2.1")
                .with("x-forwarded-proto", "https")
                .with("x-forwarded-host", "api.example.com"),
            HERE,
            SAME,
        ),
        // A proxy that writes the one and passes the other on would let its callers choose the rest.
        (
            "a scheme, and a host that was passed on",
            proxy().with("x-forwarded-proto", "https").with("forwarded", "host=evil.example"),
            "https://evil.example/orders",
            MALFORMED,
        ),
        (
            "a scheme, and the other header whole",
            proxy().with("x-forwarded-proto", "https").with("forwarded", "host=evil.example;proto=https"),
            "https://evil.example/orders",
            MALFORMED,
        ),
        (
            "a host, and the other header whole",
            proxy()
                .with("forwarded", "proto=https;host=api.example.com")
                .with("x-forwarded-host", "api.example.com"),
            HERE,
            MALFORMED,
        ),
        (
            "the standard header, and a prefix that was passed on",
            proxy().with("forwarded", "proto=https;host=api.example.com").with("x-forwarded-prefix", "/evil"),
            "https://api.example.com/evil/orders",
            MALFORMED,
        ),
        (
            "both, and they do not",
            proxy()
                .with("forwarded", "proto=https;host=evil.example")
                .with("x-forwarded-host", "api.example.com"),
            HERE,
            MALFORMED,
        ),
        (
            "schemes that do not agree",
            proxy().with("forwarded", "proto=https").with("x-forwarded-proto", "http"),
            HERE,
            MALFORMED,
        ),
        ("no scheme", proxy().with("x-forwarded-proto", "ftp"), HERE, MALFORMED),
        ("no host", proxy().with("x-forwarded-host", "api.example.com/a"), HERE, MALFORMED),
        ("an open quote", proxy().with("forwarded", "host=\"api.example.com"), HERE, MALFORMED),
        // What a caller sends in front of the element of a proxy that adds its own.
        (
            "a quote in a name, left open",
            proxy().with("forwarded", "host=api.example.com;proto=https;\",host=backend:3000"),
            HERE,
            MALFORMED,
        ),
        (
            "a quote in a value, left open",
            proxy().with("forwarded", "host=api.example.com;proto=https;for=\",host=backend:3000"),
            HERE,
            MALFORMED,
        ),
        (
            "a quote in a list without quotes",
            proxy()
                .with("x-forwarded-proto", "https")
                .with("x-forwarded-host", "api.example.com")
                .with("x-forwarded-prefix", "/evil\", /base"),
            "https://api.example.com/base/orders",
            SAME,
        ),
        (
            "a parameter twice",
            proxy().with("forwarded", "host=api.example.com;host=evil.example"),
            HERE,
            MALFORMED,
        ),
        ("no pair", proxy().with("forwarded", "api.example.com"), HERE, MALFORMED),
        ("no path", proxy().with("x-forwarded-prefix", "base"), HERE, MALFORMED),
    ] {
        let found = outcome(&bound, &guard, &sent, htu).await;
        println!("{name:<34} {htu:<40} {found}");
        assert_eq!(found, expected, "{name}: {:?}", sent.headers);
    }
    // A bearer token has nothing to do with any of it.
    let plain = bound.fixture.server.mint().build();
    let mut request = built(&bound, &proxy().with("forwarded", "nonsense"), "a.b.c");
    request.headers_mut().insert("authorization", format!("Bearer {plain}").parse().unwrap());
    assert_eq!(reason(&guard, &request).await, SAME);
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_comes_first() {
    let bound = Bound::new();
    let forwarded = || {
        Sent::from("10.1.2.3:4000")
            .with("host", "backend:3000")
            .with("x-forwarded-proto", "http")
            .with("x-forwarded-host", "evil.example")
    };
    let builder = || open(&bound).trusted_proxies(["10.0.0.0/8"]);
    let with_prefix =
        || builder().public_url("https://api.example.com:443/base/").resource("https://other.example");
    let resource = || builder().resource("https://API.example.com:8443/orders-api");
    for (guard, sent, htu, expected) in [
        (with_prefix(), forwarded(), "https://api.example.com/base/orders", SAME),
        (with_prefix(), forwarded(), "https://api.example.com/orders", OTHER),
        (with_prefix(), forwarded(), "http://evil.example/orders", OTHER),
        (
            with_prefix(),
            forwarded().with("x-forwarded-prefix", "/x"),
            "https://api.example.com/base/orders",
            SAME,
        ),
        (with_prefix(), Sent::to("/"), "https://api.example.com/base/", SAME),
        (resource(), forwarded(), "https://api.example.com:8443/orders", SAME),
        (resource(), forwarded(), "http://evil.example/orders", OTHER),
        (resource(), Sent::to("/orders"), "https://api.example.com:8443/orders", SAME),
        (
            resource(),
            forwarded().with("x-forwarded-prefix", "/x"),
            "https://api.example.com:8443/x/orders",
            SAME,
        ),
    ] {
        let guard = guard.build().unwrap();
        assert_eq!(outcome(&bound, &guard, &sent, htu).await, expected, "{htu}: {:?}", sent.headers);
    }
}

/// A nested router takes its prefix off the path.
#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn a_nested_axum_router_hides_nothing() {
    use std::net::SocketAddr;

    use ::axum::extract::ConnectInfo;
    use ::axum::routing::get;
    use ::axum::{Router, body::Body};
    use tower::ServiceExt;

    let bound = Bound::new();
    let guard = open(&bound).trusted_proxies(["10.0.0.0/8"]).build().unwrap();
    let inner = Router::new().route("/orders/{id}", get(async || "served")).layer(guard.layer());
    let app = Router::new().nest("/v1", Router::new().nest("/shop", inner));
    for (htu, expected) in [
        ("https://api.example.com/base/v1/shop/orders/7", 200),
        ("https://api.example.com/v1/shop/orders/7", 401),
        ("https://api.example.com/base/orders/7", 401),
    ] {
        let proof = bound.proof().claim("htu", htu).build();
        let mut request = built(&bound, &Sent::to("/v1/shop/orders/7"), &proof).map(|_| Body::empty());
        for (name, value) in [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "api.example.com"),
            ("x-forwarded-prefix", "/base"),
        ] {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let peer: SocketAddr = "10.0.0.1:1".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), expected, "{htu}");
    }
}
