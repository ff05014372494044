//! From an API's URL to its authorization server (RFC 9728, RFC 8414).

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Request, Response};
use oauth_client::discover::{discover, follow, resource};
use oauth_client::manage::register::{ClientMetadata, Registrar};
use oauth_client::transport::Limits;
use oauth_client::{Client, ClientAuth, Error, grant};
use oauth_mock::{Endpoint, Fault, MockServer};

use crate::site::Site;
use crate::support::{advance, fixture_of, http};

const API: &str = "https://api.test/mcp";
const PLACE: &str = "GET https://api.test/.well-known/oauth-protected-resource/mcp";
const ROOT: &str = "GET https://api.test/.well-known/oauth-protected-resource/";
const SERVER: &str = "GET https://auth.test/.well-known/oauth-authorization-server";

fn api(resource: &str, servers: &[&str]) -> String {
    serde_json::json!({"resource": resource, "authorization_servers": servers}).to_string()
}

fn server(issuer: &str) -> String {
    let endpoint = |name: &str| format!("{issuer}/{name}");
    serde_json::json!({"issuer": issuer, "token_endpoint": endpoint("token"), "registration_endpoint": endpoint("register")})
        .to_string()
}

/// An API and its server as they should be.
fn site() -> Site {
    Site::default().with(PLACE, &api(API, &["https://auth.test"])).with(SERVER, &server("https://auth.test"))
}

fn headers(challenge: &str) -> HeaderMap {
    HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge.parse().unwrap())])
}

async fn refused(site: &Site, url: &str, challenge: &str) -> Error {
    follow(&site.http(), url, &headers(challenge), &Limits::metadata()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn an_api_that_says_no_leads_to_a_token_that_it_takes() {
    let fixture = fixture_of(MockServer::builder().api_scope("/orders", "read").in_process());
    let url = format!("{}/orders", fixture.server.endpoint(Endpoint::Api));
    let call = |token: Option<String>| {
        let mut request = Request::get(&url);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let http = http(&fixture.server);
        async move { http.send(request.body(Bytes::new()).unwrap(), &Limits::token()).await.unwrap() }
    };
    let response = call(None).await;
    assert_eq!(response.status(), 401);
    let found = follow(&http(&fixture.server), &url, response.headers(), &Limits::metadata()).await.unwrap();
    assert_eq!(
        (found.resource.resource.as_str(), found.server.issuer.as_str()),
        (&*url, fixture.server.issuer())
    );
    assert_eq!(found.scope, ["read"]);

    let documents = fixture.server.journal().count(Endpoint::OauthMetadata);
    let client = found.client().auth(ClientAuth::basic("svc", "s3cr3t")).http(http(&fixture.server));
    let client = client.clock(fixture.clock.clone()).build().unwrap();
    let request = grant::client_credentials().scope(found.scope).resource([found.resource.resource]);
    let token = client.source(request).build().unwrap().token().await.unwrap();
    assert_eq!(call(Some(token.authorization().to_str().unwrap().to_owned())).await.status(), 200);
    assert_eq!(fixture.server.journal().count(Endpoint::OauthMetadata), documents, "what was found is used");
    let sent = fixture.server.journal().of(Endpoint::Token).pop().unwrap();
    assert_eq!(sent.param("resource"), Some(&*url), "RFC 8707");
}

#[tokio::test]
async fn the_place_is_named_by_the_challenge_or_follows_from_the_url() {
    let site = site();
    let limits = Limits::metadata();
    let named = headers(r#"Basic realm="x", Bearer scope="a b", resource_metadata="https://api.test/about""#);
    site.response("GET https://api.test/about", Response::new(Bytes::from(api(API, &["https://auth.test"]))));
    let found = follow(&site.http(), "https://api.test/mcp/messages?x=1", &named, &limits).await.unwrap();
    assert_eq!((found.resource.resource.as_str(), found.scope), (API, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(site.lines(), ["GET https://api.test/about", PLACE, SERVER], "and confirmed at its own place");

    let found = follow(&site.http(), API, &headers("Bearer"), &limits).await.unwrap();
    assert!(found.scope.is_empty());
    assert_eq!(site.lines(), [PLACE, SERVER]);

    let whole_host = Site::default()
        .with(&ROOT[..ROOT.len() - 1], &api("https://api.test", &["https://auth.test"]))
        .with(SERVER, &server("https://auth.test"));
    let found = follow(&whole_host.http(), API, &HeaderMap::new(), &limits).await.unwrap();
    assert_eq!(found.resource.resource, "https://api.test");
}

#[tokio::test]
async fn a_document_about_another_api_is_refused() {
    let limits = Limits::metadata();
    for other in [
        "https://evil.test/mcp",
        "https://api.test/mcp/deeper",
        "https://api.test/mc",
        "http://api.test/mcp",
        "mcp",
    ] {
        let site = site().with(PLACE, &api(other, &["https://auth.test"]));
        let error = refused(&site, API, "Bearer").await;
        assert!(error.code() == "discovery" && error.to_string().contains("RFC 9728 section 3.3"), "{error}");
        assert_eq!(site.lines(), [PLACE], "its servers are not asked");
    }
    // By its identifier, to the letter.
    let by_name = |name: &'static str| {
        let (site, limits) = (site(), limits.clone());
        async move { resource(&site.http(), name, &limits).await }
    };
    assert_eq!(by_name(API).await.unwrap().resource, API);
    assert_eq!(by_name("https://api.test/mcp/").await.unwrap_err().code(), "discovery");
    assert_eq!(by_name("https://api.test/other").await.unwrap_err().code(), "discovery");
    assert_eq!(by_name("not a url").await.unwrap_err().code(), "config");
}

/// One host may serve several APIs, and not each of them speaks for the host.
#[tokio::test]
async fn an_api_above_the_called_one_speaks_for_itself() {
    const WHOLE: &str = "https://api.test";
    const OF_PATH: &str = "GET https://api.test/evil/about";
    const OF_HOST: &str = "GET https://api.test/.well-known/oauth-protected-resource";
    let called = "https://api.test/evil";
    let named = r#"Bearer resource_metadata="https://api.test/evil/about""#;
    let claimed = api(WHOLE, &["https://evil.test"]);
    // Also where the place that follows from the URL is handed on to the path.
    let of_path = "GET https://api.test/.well-known/oauth-protected-resource/evil";
    for (challenge, place) in [(named, OF_PATH), ("Bearer", of_path)] {
        let others = [
            None,
            Some("<html>".to_owned()),
            Some(api("https://api.test/victim", &["https://auth.test"])),
            Some(api("https://evil.test", &["https://auth.test"])),
        ];
        for own in others {
            let mut site = Site::default().with(place, &claimed);
            if let Some(own) = &own {
                site = site.with(OF_HOST, own);
            }
            let error = refused(&site, called, challenge).await;
            let names_it = error.to_string().contains(r#"resource "https://api.test""#);
            assert!(error.code() == "discovery" && names_it, "{own:?}: {error}");
            assert_eq!(site.lines(), [place, OF_HOST], "one more request, and no server is asked");
        }
        // What the host says of itself counts, and not what the path says of it.
        let site = Site::default()
            .with(place, &claimed)
            .with(OF_HOST, &api(WHOLE, &["https://auth.test"]))
            .with(SERVER, &server("https://auth.test"));
        let found = follow(&site.http(), called, &headers(challenge), &Limits::metadata()).await.unwrap();
        assert_eq!((found.resource.resource.as_str(), &*found.server.issuer), (WHOLE, "https://auth.test"));
        assert_eq!(site.lines(), [place, OF_HOST, SERVER]);
    }
    // A host that is away for the moment says neither.
    let site = Site::default().with(OF_PATH, &claimed);
    site.response(OF_HOST, Response::builder().status(503).body(Bytes::new()).unwrap());
    assert!(refused(&site, called, named).await.is_transient());
    // Its own place needs no second look, nor does a document of the very API.
    let site = Site::default()
        .with(OF_HOST, &api(WHOLE, &["https://auth.test"]))
        .with(SERVER, &server("https://auth.test"));
    let own = r#"Bearer resource_metadata="https://api.test/.well-known/oauth-protected-resource""#;
    follow(&site.http(), called, &headers(own), &Limits::metadata()).await.unwrap();
    assert_eq!(site.lines(), [OF_HOST, SERVER]);
    let site = Site::default()
        .with(OF_PATH, &api("https://api.test/evil/", &["https://auth.test"]))
        .with(SERVER, &server("https://auth.test"));
    follow(&site.http(), "https://api.test/evil?q=1", &headers(named), &Limits::metadata()).await.unwrap();
    assert_eq!(site.lines(), [OF_PATH, SERVER]);
}

#[tokio::test]
async fn strangers_lead_nowhere_that_is_ours_and_down_to_no_plain_http() {
    for place in [
        "http://api.test/about",
        "https://127.0.0.1/about",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/about",
        "https://localhost/about",
        "https://localhost./about",
        "https://about/",
        "https://vault.internal./about",
        "file:///etc/passwd",
        "about",
    ] {
        let site = site();
        let error = refused(&site, API, &format!("Bearer resource_metadata=\"{place}\"")).await;
        assert!(
            error.code() == "discovery" && error.to_string().contains("resource_metadata"),
            "{place}: {error}"
        );
        assert!(site.lines().is_empty(), "{place} is not asked");
    }
    for issuer in
        ["http://auth.test", "https://10.0.0.1", "https://localhost:8080", "https://api.prod.svc", "auth"]
    {
        let site = site().with(PLACE, &api(API, &[issuer]));
        let error = refused(&site, API, "Bearer").await;
        assert!(error.to_string().contains("authorization server"), "{issuer}: {error}");
        assert_eq!(site.lines(), [PLACE]);
    }
    for endpoint in ["https://192.168.1.1/token", "http://auth.test/token", "https://127.0.0.1/token"] {
        let document = serde_json::json!({"issuer": "https://auth.test", "token_endpoint": endpoint});
        let error = refused(&site().with(SERVER, &document.to_string()), API, "Bearer").await;
        assert!(error.to_string().contains("token_endpoint"), "{error}");
    }
    // Nor do the URLs that are asked for later: the keys of ID tokens, and where certificates are shown.
    for member in [
        serde_json::json!({"jwks_uri": "https://169.254.169.254/keys"}),
        serde_json::json!({"jwks_uri": "https://[64:ff9b::a9fe:a9fe]/keys"}),
        serde_json::json!({"mtls_endpoint_aliases": {"token_endpoint": "https://10.0.0.1/token"}}),
    ] {
        let mut document = member.clone();
        document["issuer"] = "https://auth.test".into();
        document["token_endpoint"] = "https://auth.test/token".into();
        let error = refused(&site().with(SERVER, &document.to_string()), API, "Bearer").await;
        let name = member
            .as_object()
            .unwrap()
            .keys()
            .next()
            .unwrap()
            .replace("mtls_endpoint_aliases", "token_endpoint");
        assert!(error.code() == "discovery" && error.to_string().contains(&name), "{member}: {error}");
    }
    let site = site();
    let moved = Response::builder().status(302).header("location", "https://127.0.0.1/").body(Bytes::new());
    site.response(PLACE, moved.unwrap());
    assert_eq!(refused(&site, API, "Bearer").await.code(), "redirect");
    let lines = site.lines();
    assert!(
        lines[0] == PLACE && lines.iter().all(|line| line.starts_with("GET https://api.test/")),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_strangers_lead_to_must_not_resolve_to_a_private_address() {
    let metadata = serde_json::json!({
        "issuer": "https://auth.test", "token_endpoint": "https://auth.test/token",
        "registration_endpoint": "https://auth.test/register", "userinfo_endpoint": "https://api.test/userinfo",
    });
    let registration = r#"{"client_id":"c1","client_secret":"s3cr3t"}"#;
    let tokens = r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":600}"#;
    let site = site()
        .with(SERVER, &metadata.to_string())
        .with("POST https://auth.test/register", registration)
        .with("POST https://auth.test/token", tokens)
        .with("GET https://api.test/userinfo", r#"{"sub":"amy"}"#);
    let asked =
        || -> Vec<_> { site.asked().into_iter().map(|asked| (asked.line, asked.public_only)).collect() };
    let expected = |lines: &[(&str, bool)]| -> Vec<_> {
        lines.iter().map(|(line, public_only)| ((*line).to_owned(), *public_only)).collect()
    };
    let found = follow(&site.http(), API, &HeaderMap::new(), &Limits::metadata()).await.unwrap();
    assert_eq!(
        asked(),
        expected(&[(PLACE, false), (SERVER, true)]),
        "the host of the API is the caller's choice"
    );

    let registrar = Registrar::from_metadata(site.http(), &found.server).unwrap();
    registrar.register(&ClientMetadata::new()).await.unwrap();
    let builder = || {
        let auth = ClientAuth::basic("svc", "s3cr3t");
        found.client().auth(auth).http(site.http()).clock(oauth_client::clock::TestClock::new())
    };
    let client = builder().build().unwrap();
    let source = client.source(grant::client_credentials()).build().unwrap();
    client.userinfo(&source).await.unwrap();
    let (register, token) = ("POST https://auth.test/register", "POST https://auth.test/token");
    let own = ("GET https://api.test/userinfo", false);
    assert_eq!(asked(), expected(&[(register, true), (token, true), own]));
    advance(3601).await;
    client.request(&grant::client_credentials()).await.unwrap();
    assert_eq!(asked(), expected(&[(SERVER, true), (token, true)]), "nor when they are fetched anew");

    // What is configured is exempt, and so is all that an API on the same network names.
    let given = builder().endpoint(oauth_client::discover::Endpoint::Token, "https://auth.test/token");
    given.build().unwrap().request(&grant::client_credentials()).await.unwrap();
    assert_eq!(asked(), expected(&[(token, false)]));
    let configured = Client::builder().issuer("https://auth.test").auth(ClientAuth::basic("svc", "s3cr3t"));
    configured.http(site.http()).build().unwrap().request(&grant::client_credentials()).await.unwrap();
    assert_eq!(asked(), expected(&[(SERVER, false), (token, false)]));
    let place = "GET https://10.0.0.5/.well-known/oauth-protected-resource/mcp";
    let site = site.with(place, &api("https://10.0.0.5/mcp", &["https://auth.test"]));
    follow(&site.http(), "https://10.0.0.5/mcp", &HeaderMap::new(), &Limits::metadata()).await.unwrap();
    assert!(site.asked().iter().all(|asked| !asked.public_only));
}

#[tokio::test(start_paused = true)]
async fn nor_do_they_later_when_their_documents_are_fetched_anew() {
    let site = site();
    let found = follow(&site.http(), API, &HeaderMap::new(), &Limits::metadata()).await.unwrap();
    let client = found.client().auth(ClientAuth::basic("svc", "s3cr3t")).http(site.http());
    let client = client.clock(oauth_client::clock::TestClock::new()).build().unwrap();
    let moved = r#"{"issuer":"https://auth.test","token_endpoint":"https://169.254.169.254/token"}"#;
    let site = site.with(SERVER, moved);
    advance(3601).await;
    let error = client.request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!(error.code(), "discovery");
    assert!(!site.lines().iter().any(|line| line.contains("169.254")));
}

#[tokio::test]
async fn the_first_available_server_is_used() {
    let servers = ["https://gone.test", "https://evil.test", "https://auth.test", "https://later.test"];
    let site = site()
        .with(PLACE, &api(API, &servers))
        // It says that it is another one.
        .with("GET https://evil.test/.well-known/oauth-authorization-server", &server("https://auth.test"));
    let found = follow(&site.http(), API, &HeaderMap::new(), &Limits::metadata()).await.unwrap();
    assert_eq!(found.server.issuer, "https://auth.test");
    assert!(!site.lines().iter().any(|line| line.contains("later.test")));

    let error = refused(&site.with(PLACE, &api(API, &[])), API, "Bearer").await;
    assert!(error.to_string().contains("authorization_servers"), "{error}");
    let error = refused(&Site::default(), API, "Bearer").await;
    assert!(
        error.to_string().contains("https://api.test/.well-known/oauth-protected-resource/mcp"),
        "{error}"
    );
    let twice = r#"{"resource":"https://api.test/mcp","resource":"https://api.test/mcp"}"#;
    assert_eq!(
        refused(&Site::default().with(PLACE, twice), API, "Bearer").await.code(),
        "malformed_response"
    );
}

#[tokio::test]
async fn an_issuer_is_compared_to_the_letter_and_its_endpoints_are_https() {
    let limits = Limits::metadata();
    let at = |document: &str| Site::default().with(SERVER, document);
    assert!(discover(&at(&server("https://auth.test")).http(), "https://auth.test", &limits).await.is_ok());
    for issuer in [
        "https://auth.test/",
        "https://AUTH.test",
        "https://auth.test:443",
        "http://auth.test",
        "https://auth.test.evil",
    ] {
        let error = discover(&at(&server(issuer)).http(), "https://auth.test", &limits).await.unwrap_err();
        assert!(error.code() == "discovery" && error.to_string().contains("to the letter"), "{error}");
    }
    // With the slash it has one, and is found at the same place.
    assert!(discover(&at(&server("https://auth.test/")).http(), "https://auth.test/", &limits).await.is_ok());
    let plain = r#"{"issuer":"https://auth.test","token_endpoint":"http://auth.test/token"}"#;
    assert_eq!(
        discover(&at(plain).http(), "https://auth.test", &limits).await.unwrap_err().code(),
        "discovery"
    );
}

#[tokio::test(start_paused = true)]
async fn metadata_is_kept_for_an_hour_and_longer_while_unavailable() {
    let fixture = fixture_of(MockServer::builder().in_process());
    let client = fixture.client.clone();
    let documents = || fixture.server.journal().count(Endpoint::OauthMetadata);
    for _ in 0..3 {
        client.metadata().await.unwrap();
        advance(1000).await;
    }
    assert_eq!(documents(), 1);
    advance(700).await;
    client.metadata().await.unwrap();
    assert_eq!(documents(), 2);
    let everywhere = |fault: Fault| {
        for place in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
            fixture.server.fault(place, fault.clone()).always();
        }
    };
    everywhere(Fault::status(503));
    advance(3601).await;
    for _ in 0..10 {
        client.request(&grant::client_credentials()).await.unwrap();
    }
    assert_eq!(documents(), 3, "the old one does meanwhile");
    advance(61).await;
    client.metadata().await.unwrap();
    assert_eq!(documents(), 4, "and a minute later it is looked for again");
    let evil = r#"{"issuer":"https://evil.test","token_endpoint":"https://evil.test/token"}"#;
    fixture.server.clear_faults();
    everywhere(Fault::body(200, "application/json", evil));
    advance(61).await;
    assert_eq!(client.metadata().await.unwrap_err().code(), "discovery", "but nothing takes its place");
}

#[tokio::test(start_paused = true)]
async fn known_metadata_is_used_for_a_day_when_its_place_fails() {
    let fixture = fixture_of(MockServer::builder().in_process());
    let client = fixture.client.clone();
    client.metadata().await.unwrap();
    for place in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata] {
        fixture.server.fault(place, Fault::body(404, "text/html", "<html>gone</html>")).always();
    }
    advance(3601).await;
    let documents = fixture.count(Endpoint::OauthMetadata);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let listening = tracing::subscriber::set_default(subscriber);
    for _ in 0..10 {
        client.request(&grant::client_credentials()).await.unwrap();
    }
    drop(listening);
    assert_eq!(fixture.count(Endpoint::OauthMetadata), documents + 1, "it is not looked for by each request");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(matches!(&warnings[..], [one] if one.contains("code=\"discovery\"")), "one warning: {log}");
    advance(82_000).await;
    client.request(&grant::client_credentials()).await.unwrap();
    advance(900).await;
    let error = client.request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!(error.code(), "discovery", "24 hours after it was found last: {error}");

    fixture.server.clear_faults();
    advance(61).await;
    client.request(&grant::client_credentials()).await.unwrap();
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_subjects_cost_one_discovery_and_share_its_failure() {
    // Each of the two places is asked, whatever the other one failed with.
    for (status, documents) in [(404, 2), (503, 2)] {
        let site = Site::default();
        let places = [SERVER, "GET https://auth.test/.well-known/openid-configuration"];
        for place in places {
            let failure = Response::builder().status(status).body(Bytes::new()).unwrap();
            site.response(place, failure);
        }
        let tokens = r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":600}"#;
        let site = site.with("POST https://auth.test/token", tokens);
        let client = Client::builder().issuer("https://auth.test").auth(ClientAuth::basic("svc", "s3cr3t"));
        let client = client.http(site.http()).clock(oauth_client::clock::TestClock::new()).build().unwrap();
        let herd = || {
            let calls = (0..1000).map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.request(&grant::client_credentials()).await })
            });
            futures_util::future::join_all(calls)
        };
        for result in herd().await {
            let error = result.unwrap().unwrap_err();
            assert_eq!(error.code(), if status == 404 { "discovery" } else { "server_error" });
        }
        assert_eq!(site.lines().len(), documents, "{status}");

        // The failure is not kept for long.
        advance(2).await;
        let site = site.with(SERVER, &server("https://auth.test"));
        assert!(herd().await.into_iter().all(|result| result.unwrap().is_ok()));
        let discoveries = site.lines().into_iter().filter(|line| line == SERVER).count();
        assert_eq!(discoveries, 1);
    }
}
