//! Where an issuer's metadata are, when they are not at the first place, or not as they should be.

use std::time::Duration;

use oauth_guard::{Guard, Issuer, Profile};
use oauth_mock::{Alg, MockServer};
use serde_json::json;

use crate::site::Site;
use crate::support::call;

const ISSUER: &str = "https://as.example/x";
const OAUTH: &str = "https://as.example/.well-known/oauth-authorization-server/x";
const OPENID: &str = "https://as.example/x/.well-known/openid-configuration";
const THIRD: &str = "https://as.example/.well-known/openid-configuration/x";
const KEYS: &str = "https://as.example/x/keys";

fn server() -> MockServer {
    MockServer::builder().audience("orders-api").algorithms([Alg::Es256]).in_process()
}

fn guard(site: &Site, issuer: &str) -> Guard {
    site.builder().issuer(Issuer::new(issuer).audience("orders-api")).build().unwrap()
}

fn token(server: &MockServer, issuer: &str) -> String {
    server.mint().issuer(issuer).build()
}

type Spoil = fn(&Site, &str);

/// What a place may serve that is not what is needed.
const USELESS: [(&str, Spoil); 16] = [
    ("a redirect to a login page", |site, url| site.serve(url, 302, "text/html", "")),
    ("a permanent redirect", |site, url| site.serve(url, 308, "text/html", "")),
    ("401", |site, url| site.serve(url, 401, "text/plain", "who are you?")),
    ("403", |site, url| site.serve(url, 403, "text/html", "<html>no</html>")),
    ("404", |_, _| {}),
    ("406", |site, url| site.serve(url, 406, "text/plain", "")),
    ("429", |site, url| site.serve(url, 429, "text/plain", "")),
    ("502", |site, url| site.serve(url, 502, "text/html", "<html>bad gateway</html>")),
    ("503", |site, url| site.serve(url, 503, "text/plain", "")),
    ("204", |site, url| site.serve(url, 204, "text/plain", "")),
    ("a page with status 200", |site, url| site.serve(url, 200, "text/html", "<!doctype html><title>app")),
    ("nothing but an object", |site, url| site.json(url, &json!({}))),
    ("another document", |site, url| site.json(url, &json!({"error": "not_found"}))),
    ("a document without jwks_uri", |site, url| {
        site.json(
            url,
            &json!({"issuer": ISSUER, "token_endpoint": "https://as.example/token", "jwks_uri": null}),
        );
    }),
    ("a document of another issuer", |site, url| {
        site.metadata(url, "https://evil.example", "https://evil.example/keys");
    }),
    ("a document that is too large", |site, url| {
        site.serve(url, 200, "application/json", vec![b' '; 1 << 20]);
    }),
];

#[tokio::test(start_paused = true)]
async fn the_next_place_is_asked_after_any_failure_of_one() {
    let server = server();
    for (name, spoil) in USELESS {
        for good in [OPENID, THIRD] {
            let site = Site::default();
            for place in [OAUTH, OPENID, THIRD] {
                spoil(&site, place);
            }
            site.metadata(good, ISSUER, KEYS);
            site.keys(KEYS, &server);
            let guard = guard(&site, ISSUER);
            assert_eq!(call(&guard, &token(&server, ISSUER)).await.status, 200, "{name}, {good}");
            let asked = site.asked();
            assert!(asked.iter().all(|url| url.starts_with("https://as.example/")), "{name}: {asked:?}");
            assert_eq!(asked[0], OAUTH, "the standard's place comes first");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_hangs_leaves_time_for_the_next() {
    let server = server();
    let (hung, site) = (MockServer::builder().in_process(), Site::default());
    site.metadata(OPENID, ISSUER, KEYS);
    site.keys(KEYS, &server);
    hung.fault(oauth_mock::Endpoint::Elsewhere, oauth_mock::Fault::hang()).always();
    let (hanging, rest) = (hung.transport(), site.http());
    let http = oauth_guard::HttpClient::from_service(tower::service_fn(
        move |request: http::Request<oauth_client::transport::RequestBody>| {
            let (rest, hanging) = (rest.clone(), hanging.clone());
            async move {
                if request.uri().path().starts_with("/.well-known/oauth") {
                    let response = tower::ServiceExt::oneshot(hanging, request).await;
                    drop(response);
                    std::future::pending::<()>().await;
                    unreachable!("it hangs");
                }
                let request = request.map(|_| bytes::Bytes::new());
                rest.send(request, &oauth_client::transport::Limits::keys())
                    .await
                    .map(|response| response.map(http_body_util::Full::new))
            }
        },
    ));
    let guard = site.builder().http(http).issuer(Issuer::new(ISSUER).audience("orders-api")).build().unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(call(&guard, &token(&server, ISSUER)).await.status, 200);
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_no_place_serves_it_is_503_and_health_says_what_is_wrong() {
    let server = server();
    for (name, spoil) in USELESS {
        let site = Site::default();
        for place in [OAUTH, OPENID, THIRD] {
            spoil(&site, place);
        }
        let guard = guard(&site, ISSUER);
        let reply = call(&guard, &token(&server, ISSUER)).await;
        assert_eq!((reply.status, reply.challenge, reply.retry_after.is_some()), (503, None, true), "{name}");
        assert_eq!(site.asked(), [OAUTH, OPENID, THIRD], "{name}");
        let expected = match name {
            "429" => "rate_limited",
            "502" | "503" => "server_error",
            _ => "discovery",
        };
        assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_a_path_has_two_places() {
    let site = Site::default();
    let guard = guard(&site, "https://as.example");
    assert_eq!(call(&guard, &token(&server(), "https://as.example")).await.status, 503);
    assert_eq!(
        site.asked(),
        [
            "https://as.example/.well-known/oauth-authorization-server",
            "https://as.example/.well-known/openid-configuration"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn members_that_are_not_needed_may_be_of_any_form() {
    let server = server();
    let site = Site::default();
    site.keys(KEYS, &server);
    let document = json!({
        "issuer": ISSUER, "jwks_uri": KEYS, "token_endpoint": "", "registration_endpoint": "/register",
        "scopes_supported": "openid profile", "grant_types_supported": null, "mtls_endpoint_aliases": [],
        "authorization_endpoint": "http://plain.example/", "require_pushed_authorization_requests": "false",
    });
    // With a byte order mark, and by another media type than was asked for.
    site.serve(OAUTH, 200, "text/plain; charset=utf-16", format!("\u{feff}{document}"));
    let guard = guard(&site, ISSUER);
    assert_eq!(call(&guard, &token(&server, ISSUER)).await.status, 200);
    assert_eq!(site.asked(), [OAUTH, KEYS]);
}

#[tokio::test(start_paused = true)]
async fn keys_may_come_by_any_media_type() {
    let server = server();
    for content_type in ["application/jwk-set+json", "application/octet-stream", "text/html", "x"] {
        let site = Site::default();
        site.metadata(OAUTH, ISSUER, KEYS);
        site.serve(KEYS, 200, content_type, format!("\u{feff}{}", server.keys().jwks_json()));
        assert_eq!(call(&guard(&site, ISSUER), &token(&server, ISSUER)).await.status, 200, "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_issuer_may_be_spelled_in_two_ways_in_metadata_but_not_in_a_token() {
    let server = server();
    for (configured, named) in [
        (ISSUER, "https://as.example/x/"),
        ("https://as.example/x/", ISSUER),
        (ISSUER, "https://as.example:443/x"),
        (ISSUER, "HTTPS://AS.Example/x"),
        ("https://AS.example/x", ISSUER),
    ] {
        let site = Site::default();
        site.metadata(OAUTH, named, KEYS);
        site.keys(KEYS, &server);
        let guard = guard(&site, configured);
        assert_eq!(call(&guard, &token(&server, configured)).await.status, 200, "{configured} {named}");
        assert_eq!(call(&guard, &token(&server, named)).await.status, 401, "{configured} {named}");
    }
    for other in
        ["https://as.example/X", "https://as.example/x/y", "http://as.example/x", "https://as.example:8443/x"]
    {
        let site = Site::default();
        site.metadata(OAUTH, other, KEYS);
        site.keys(KEYS, &server);
        assert_eq!(call(&guard(&site, ISSUER), &token(&server, ISSUER)).await.status, 503, "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_may_be_a_bare_name_or_plain_http_where_its_keys_are_elsewhere() {
    let server = server();
    for name in ["http://as.internal/trust", "as.internal", "urn:example:trust"] {
        let site = Site::default();
        site.keys(KEYS, &server);
        let issuer = Issuer::new(name).audience("orders-api").jwks_uri(KEYS);
        let guard = site.builder().issuer(issuer).build().unwrap();
        assert_eq!(call(&guard, &token(&server, name)).await.status, 200, "{name}");
        assert_eq!(call(&guard, &token(&server, &format!("{name}/"))).await.status, 401, "{name}");
        assert_eq!(site.asked(), [KEYS]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_jwt_may_have_scp_and_no_client_id() {
    let server = server();
    let site = Site::default();
    site.keys(KEYS, &server);
    let issuer = Issuer::new(ISSUER).audience("orders-api").jwks_uri(KEYS);
    let mint =
        || server.mint().issuer(ISSUER).without("client_id").without("jti").claim("scp", json!(["read"]));
    let guard = site.builder().issuer(issuer.clone().profile(Profile::Jwt)).build().unwrap();
    let claims = crate::support::claims(&guard, &mint().build()).await.unwrap();
    assert!(claims.has_scope("read") && claims.client_id().is_none());
    let strict = site.builder().issuer(issuer).build().unwrap();
    assert_eq!(call(&strict, &mint().build()).await.status, 401, "RFC 9068 asks for client_id and jti");
}
