//! Where the metadata of a server are, when its first well-known place is of no use.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use oauth_client::clock::TestClock;
use oauth_client::discover::{discover, discover_with, follow};
use oauth_client::transport::{HttpClient, Limits, RequestBody};
use oauth_client::{Client, ClientAuth, grant};
use serde_json::json;

use crate::site::Site;
use crate::support::advance;

const ISSUER: &str = "https://as.test/x";
const PLACES: [&str; 3] = [
    "GET https://as.test/.well-known/oauth-authorization-server/x",
    "GET https://as.test/x/.well-known/openid-configuration",
    "GET https://as.test/.well-known/openid-configuration/x",
];

fn document() -> String {
    json!({"issuer": ISSUER, "token_endpoint": "https://as.test/x/token", "jwks_uri": "https://as.test/x/keys"})
        .to_string()
}

fn status(status: u16) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from_static(b"<html>")).unwrap()
}

fn ok(body: &str) -> Response<Bytes> {
    Response::new(Bytes::from(body.to_owned()))
}

/// Whatever a first place may say that is of no use.
fn useless() -> Vec<(&'static str, Response<Bytes>)> {
    let moved = |status: u16| {
        let moved = Response::builder().status(status).header("location", "https://login.test/");
        moved.body(Bytes::new()).unwrap()
    };
    vec![
        ("redirect", moved(302)),
        ("permanent redirect", moved(308)),
        ("bad gateway", status(502)),
        ("unavailable", status(503)),
        ("rate limited", status(429)),
        ("refused", status(403)),
        ("absent", status(404)),
        ("gone", status(410)),
        ("html", ok("<!doctype html><title>Log in</title>")),
        ("empty", ok("")),
        ("null", ok("null")),
        ("a list", ok("[]")),
        ("no issuer", ok("{}")),
        ("issuer of another type", ok(r#"{"issuer": 5}"#)),
        ("another issuer", ok(r#"{"issuer": "https://evil.test", "token_endpoint": "https://evil.test/t"}"#)),
        ("a member twice", ok(r#"{"issuer": "https://as.test/x", "issuer": "https://as.test/x"}"#)),
        ("without what is needed", ok(r#"{"issuer": "https://as.test/x"}"#)),
        ("what is needed is null", ok(r#"{"issuer": "https://as.test/x", "token_endpoint": null}"#)),
        ("what is needed is no URL", ok(r#"{"issuer": "https://as.test/x", "token_endpoint": "/token"}"#)),
        ("plain http", ok(r#"{"issuer": "https://as.test/x", "token_endpoint": "http://as.test/token"}"#)),
        ("too large", ok(&format!("{{{}}}", " ".repeat(600 * 1024)))),
        ("unknown coding", Response::builder().header("content-encoding", "br").body(Bytes::new()).unwrap()),
    ]
}

#[tokio::test]
async fn the_next_place_is_asked_after_any_failure_of_one() {
    for good in [1, 2] {
        for (what, response) in useless() {
            let site = Site::default().with(PLACES[good], &document());
            PLACES[..good].iter().for_each(|place| site.response(place, response.clone()));
            let found = discover_with(&site.http(), ISSUER, &["token_endpoint"], &Limits::metadata()).await;
            let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(found.token_endpoint.unwrap().as_str(), "https://as.test/x/token", "{what}");
            assert_eq!(site.lines(), PLACES[..=good], "{what}: and no redirect is followed");
        }
    }
}

#[tokio::test]
async fn a_client_gets_its_token_then() {
    for (what, response) in useless() {
        let site = Site::default()
            .with(PLACES[1], &document())
            .with("POST https://as.test/x/token", r#"{"access_token":"a1","token_type":"Bearer"}"#);
        site.response(PLACES[0], response);
        let client =
            Client::builder().issuer(ISSUER).auth(ClientAuth::basic("svc", "s3cr3t")).http(site.http());
        let tokens = client.build().unwrap().request(&grant::client_credentials()).await;
        assert_eq!(tokens.unwrap().access_token().expose(), "a1", "{what}");
    }
}

#[tokio::test]
async fn it_is_transient_only_when_no_place_served_anything() {
    let html = || ok("<html>");
    let wrong = || ok(r#"{"issuer": "https://evil.test"}"#);
    for (what, responses, code, transient) in [
        ("none there", [status(404), status(404), status(404)], "discovery", false),
        ("redirects", [status(302), status(302), status(302)], "discovery", false),
        ("a web page", [html(), html(), html()], "discovery", false),
        ("one is down", [status(502), status(404), status(404)], "server_error", true),
        ("the last is down", [status(404), html(), status(503)], "server_error", true),
        ("limited", [status(404), status(429), status(404)], "rate_limited", true),
        ("down, and another issuer", [status(502), wrong(), status(502)], "discovery", false),
        ("another issuer, and down", [wrong(), status(502), status(404)], "discovery", false),
    ] {
        let site = Site::default();
        PLACES.iter().zip(responses).for_each(|(place, response)| site.response(place, response));
        let error = discover(&site.http(), ISSUER, &Limits::metadata()).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), (code, transient), "{what}: {error}");
        assert_eq!(site.lines(), PLACES, "{what}");
    }
    let error = discover(&Site::default().http(), ISSUER, &Limits::metadata()).await.unwrap_err();
    for place in PLACES {
        assert!(error.to_string().contains(place.strip_prefix("GET ").unwrap()), "it names {place}: {error}");
    }
}

#[tokio::test]
async fn without_a_better_one_a_document_without_what_is_needed_is_used() {
    let site = Site::default().with(PLACES[1], r#"{"issuer": "https://as.test/x"}"#);
    let found = discover_with(&site.http(), ISSUER, &["jwks_uri"], &Limits::metadata()).await.unwrap();
    assert!(found.jwks_uri.is_none());
    assert_eq!(site.lines(), PLACES);
}

/// Hangs at paths that begin so, and serves the document elsewhere.
fn hanging_at(prefix: &'static str) -> HttpClient {
    HttpClient::from_service(tower::service_fn(move |request: Request<RequestBody>| async move {
        if request.uri().path().starts_with(prefix) {
            std::future::pending::<()>().await;
        }
        Ok::<_, std::io::Error>(Response::new(Full::from(document())))
    }))
}

#[tokio::test(start_paused = true)]
async fn a_place_that_hangs_leaves_time_for_the_next() {
    let began = tokio::time::Instant::now();
    let limits = Limits::metadata();
    assert!(discover(&hanging_at("/.well-known/oauth"), ISSUER, &limits).await.is_ok());
    assert!(began.elapsed() < limits.timeout);

    let began = tokio::time::Instant::now();
    let error = discover(&hanging_at("/"), ISSUER, &limits).await.unwrap_err();
    assert_eq!((error.code(), began.elapsed()), ("timeout", limits.timeout), "for all of them together");

    let most = Limits { timeout: Duration::MAX, ..limits };
    assert!(discover(&hanging_at("/nowhere"), ISSUER, &most).await.is_ok());
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_asked_once() {
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let http = HttpClient::from_service(tower::service_fn(move |_: Request<RequestBody>| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async { Err::<Response<Full<Bytes>>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)) }
    }));
    let error = discover(&http, ISSUER, &Limits::metadata()).await.unwrap_err();
    assert!(error.code() == "transport" && error.is_transient());
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_issuer_with_a_hole_is_that_of_each_tenant_and_of_nobody_else() {
    let template = "https://login.test/{tenantid}/v2.0";
    let document = |issuer: &str| {
        json!({"issuer": issuer, "token_endpoint": "https://login.test/common/token"}).to_string()
    };
    let found = |asked: &'static str, issuer: &str| {
        let place = format!("GET {asked}/.well-known/openid-configuration");
        let site = Site::default().with(&place, &document(issuer));
        async move { discover(&site.http(), asked, &Limits::metadata()).await }
    };
    for asked in [
        "https://login.test/common/v2.0",
        "https://login.test/organizations/v2.0",
        "https://login.test/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        "https://login.test/contoso.example/v2.0",
    ] {
        assert_eq!(found(asked, template).await.unwrap().issuer, template, "{asked}");
    }
    for (asked, issuer) in [
        ("https://login.test/a/b/v2.0", template),
        ("https://login.test/common/v1.0", template),
        ("https://evil.test/common/v2.0", template),
        ("https://login.test/common/v2.0", "https://login.test/{tenantid}{tenantid}/v2.0"),
        ("https://login.test/common/v2.0", "https://{tenantid}/v2.0"),
        ("https://login.test/common/v2.0", "{tenantid}"),
        ("https://login.test/common/v2.0", "https://login.test/{other}/v2.0"),
    ] {
        assert_eq!(found(asked, issuer).await.unwrap_err().code(), "discovery", "{asked} {issuer}");
    }
}

#[tokio::test]
async fn a_member_that_does_not_fit_costs_nothing_but_itself() {
    let mut document = json!({
        "issuer": ISSUER, "token_endpoint": "https://as.test/x/token", "jwks_uri": "https://as.test/x/keys",
    });
    for (member, value) in [
        ("userinfo_endpoint", json!("")),
        ("revocation_endpoint", json!("/revoke")),
        ("introspection_endpoint", json!(["https://as.test/introspect"])),
        ("registration_endpoint", json!(false)),
        ("end_session_endpoint", json!({})),
        ("device_authorization_endpoint", json!("http://as.test/device")),
        (
            "mtls_endpoint_aliases",
            json!({"token_endpoint": "", "revocation_endpoint": "https://mtls.test/r"}),
        ),
        ("authorization_response_iss_parameter_supported", json!("yes")),
        ("require_pushed_authorization_requests", json!(null)),
        ("token_endpoint_auth_methods_supported", json!("client_secret_basic")),
        ("grant_types_supported", json!([1, 2])),
        ("scopes_supported", json!("read write")),
    ] {
        document[member] = value;
    }
    // Serializers of some platforms put a byte order mark in front.
    let body = format!("\u{feff}{document}");
    let site = Site::default().with(PLACES[0], &body);
    let found = discover(&site.http(), ISSUER, &Limits::metadata()).await.unwrap();
    assert_eq!(found.token_endpoint.unwrap().as_str(), "https://as.test/x/token");
    assert!(found.userinfo_endpoint.is_none() && found.revocation_endpoint.is_none());
    assert!(found.device_authorization_endpoint.is_none(), "plain http under an https issuer is not used");
    assert!(found.scopes_supported.is_none() && found.token_endpoint_auth_methods_supported.is_none());
    assert_eq!(found.mtls_endpoint_aliases.into_keys().collect::<Vec<_>>(), ["revocation_endpoint"]);
    assert!(!found.authorization_response_iss_parameter_supported);
    assert_eq!(site.lines(), [PLACES[0]]);
}

#[tokio::test]
async fn an_api_without_a_document_is_followed_to_the_server_at_its_origin() {
    let limits = Limits::metadata();
    let follow = async |site: &Site| {
        follow(&site.http(), "https://api.test/mcp?s=1", &HeaderMap::new(), &limits).await
    };
    let server = |issuer: &str| {
        json!({"issuer": issuer, "token_endpoint": format!("{}/token", issuer.trim_end_matches('/'))})
            .to_string()
    };
    for place in ["oauth-authorization-server", "openid-configuration"] {
        for issuer in ["https://api.test", "https://api.test/"] {
            let site =
                Site::default().with(&format!("GET https://api.test/.well-known/{place}"), &server(issuer));
            let found = follow(&site).await.unwrap();
            assert_eq!((&*found.server.issuer, &*found.resource.resource), (issuer, "https://api.test/mcp"));
            assert_eq!(found.resource.authorization_servers, [issuer]);
            let client = found.client().auth(ClientAuth::none("c")).http(site.http());
            client.build().unwrap();
        }
    }
    // Single-page sites respond to any path with a page, and login walls with a redirect.
    for page in [ok("<html>"), status(302), status(401)] {
        let site = Site::default()
            .with("GET https://api.test/.well-known/openid-configuration", &server("https://api.test"));
        for place in
            ["oauth-protected-resource/mcp?s=1", "oauth-protected-resource/", "oauth-authorization-server"]
        {
            site.response(&format!("GET https://api.test/.well-known/{place}"), page.clone());
        }
        assert_eq!(follow(&site).await.unwrap().server.issuer, "https://api.test");
    }
    // The server of another name has to confirm it.
    let place = "GET https://api.test/.well-known/oauth-authorization-server";
    let site = Site::default().with(place, &server("https://auth.test"));
    assert_eq!(follow(&site).await.unwrap_err().code(), "discovery");
    let own = "GET https://auth.test/.well-known/oauth-authorization-server";
    assert_eq!(
        follow(&site.with(own, &server("https://auth.test"))).await.unwrap().server.issuer,
        "https://auth.test"
    );
    for issuer in ["https://127.0.0.1", "http://auth.test", "https://localhost"] {
        let site = Site::default().with(place, &server(issuer));
        assert_eq!(follow(&site).await.unwrap_err().code(), "discovery", "{issuer}");
        assert!(site.lines().iter().all(|line| line.contains("api.test")), "{issuer} is not asked");
    }
    // Nothing leads inside either.
    let inside =
        json!({"issuer": "https://api.test", "token_endpoint": "https://10.0.0.1/token"}).to_string();
    assert_eq!(follow(&Site::default().with(place, &inside)).await.unwrap_err().code(), "discovery");
    // An API that has a document, but is down, is not asked around it.
    let site = Site::default().with(place, &server("https://api.test"));
    site.response("GET https://api.test/.well-known/oauth-protected-resource/mcp?s=1", status(503));
    let error = follow(&site).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn metadata_at_hand_outlives_an_outage_of_its_place_whatever_the_other_places_serve() {
    let wrong = r#"{"issuer": "https://evil.test"}"#;
    let site = Site::default()
        .with(PLACES[0], wrong)
        .with(PLACES[1], &document())
        .with("POST https://as.test/x/token", r#"{"access_token":"a1","token_type":"Bearer"}"#);
    let client = Client::builder().issuer(ISSUER).auth(ClientAuth::basic("svc", "s3cr3t")).http(site.http());
    let client = client.clock(TestClock::new()).build().unwrap();
    client.metadata().await.unwrap();

    site.response(PLACES[1], status(503));
    advance(3601).await;
    site.asked();
    client.request(&grant::client_credentials()).await.unwrap();
    assert_eq!(site.lines().len(), 4, "it was looked for in all places, and the token was got all the same");
    client.request(&grant::client_credentials()).await.unwrap();
    assert_eq!(site.lines().len(), 1, "not again by every request");

    // Where nothing is down, the documents that are there count.
    site.response(PLACES[1], status(404));
    advance(61).await;
    assert_eq!(client.metadata().await.unwrap_err().code(), "discovery");
    site.response(PLACES[1], status(503));
    advance(61).await;
    client.metadata().await.unwrap();
    advance(24 * 3600).await;
    assert_eq!(client.metadata().await.unwrap_err().code(), "discovery", "and not for longer than a day");
}
