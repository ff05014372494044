//! What firewalls and gateways want of each request, and what they do to responses.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use oauth_client::attach::TokenLayer;
use oauth_client::clock::TestClock;
use oauth_client::discover::Endpoint;
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, ClientBuilder, grant};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::{Scripted, advance};

/// Requests by path, with their headers, of a server whose tokens live for 300 seconds and whose refresh tokens rotate.
#[derive(Clone, Default)]
struct Gateway {
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    compresses: bool,
}

const METADATA: &str = "/.well-known/oauth-authorization-server";

impl Gateway {
    /// `refuses` is what it does not forward.
    fn http(&self, refuses: fn(&HeaderMap) -> bool) -> HttpClient {
        let this = self.clone();
        HttpClient::from_service(service_fn(move |request: Request<RequestBody>| {
            let response = this.respond(&request, refuses);
            async move { Ok::<_, Infallible>(response) }
        }))
    }

    fn respond(
        &self,
        request: &Request<RequestBody>,
        refuses: fn(&HeaderMap) -> bool,
    ) -> Response<Full<Bytes>> {
        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
        let mut seen = self.seen.lock().unwrap();
        seen.push((path.clone(), headers.clone()));
        if refuses(&headers) {
            let refused = Response::builder().status(StatusCode::FORBIDDEN);
            return refused.body(Full::from("<html>Request blocked</html>")).unwrap();
        }
        let n = seen.iter().filter(|(path, _)| path == "/token").count();
        let document = match &*path {
            METADATA => r#"{"issuer":"https://as.test","token_endpoint":"https://as.test/token"}"#.to_owned(),
            _ => format!(
                r#"{{"access_token":"a{n}","token_type":"Bearer","expires_in":300,"refresh_token":"r{n}"}}"#
            ),
        };
        if !self.compresses {
            return Response::new(Full::from(document));
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(document.as_bytes()).unwrap();
        let body = Full::from(encoder.finish().unwrap());
        Response::builder().header("content-encoding", "gzip").body(body).unwrap()
    }

    fn paths(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }
}

fn client(http: HttpClient, clock: &TestClock) -> ClientBuilder {
    let client = Client::builder().issuer("https://as.test").auth(ClientAuth::none("app"));
    client.http(http).clock(clock.clone())
}

fn has_no_user_agent(headers: &HeaderMap) -> bool {
    !headers.contains_key("user-agent")
}

fn has_no_key(headers: &HeaderMap) -> bool {
    headers.get("x-api-key").is_none_or(|key| key != "k3y")
}

#[tokio::test(start_paused = true)]
async fn a_firewall_that_wants_a_user_agent_sees_one_in_every_request() {
    let (gateway, clock) = (Gateway::default(), TestClock::new());
    let ours = concat!("oauth-client/", env!("CARGO_PKG_VERSION"));
    for name in [ours, "orders/7"] {
        let mut builder = client(gateway.http(has_no_user_agent), &clock);
        if name != ours {
            builder = builder.user_agent(name);
        }
        let source = builder.build().unwrap().source(grant::refresh_token("r0")).build().unwrap();
        source.token().await.unwrap();
        advance(301).await;
        source.token().await.unwrap();
        assert_eq!(gateway.paths(), [METADATA, "/token", "/token"]);
        let seen = std::mem::take(&mut *gateway.seen.lock().unwrap());
        assert!(seen.iter().all(|(_, headers)| headers["user-agent"] == name));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateways_header_goes_to_the_server_and_never_to_the_api() {
    let (gateway, clock) = (Gateway::default(), TestClock::new());
    let builder = client(gateway.http(has_no_key), &clock).header("X-Api-Key", "k3y");
    let source = builder.build().unwrap().source(grant::refresh_token("r0")).build().unwrap();
    source.token().await.unwrap();
    advance(301).await;
    source.token().await.unwrap();
    assert_eq!(gateway.paths(), [METADATA, "/token", "/token"]);

    let api = service_fn(|request: Request<oauth_client::attach::Body<Full<Bytes>>>| async move {
        assert!(!request.headers().contains_key("x-api-key"));
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
            request.headers()["authorization"].as_bytes().to_vec(),
        )))
    });
    // The API may be at the very same origin.
    for url in ["https://as.test/orders", "https://api.test/orders"] {
        let layered = TokenLayer::new(source.clone()).layer(api);
        let request = Request::get(url).body(Full::<Bytes>::default()).unwrap();
        layered.oneshot(request).await.unwrap();
    }

    let refused = client(gateway.http(has_no_key), &clock).build().unwrap();
    let error = refused.request(&grant::client_credentials()).await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_compressed_response_loses_no_rotated_refresh_token() {
    let gateway = Gateway { compresses: true, ..Gateway::default() };
    let (clock, store) = (TestClock::new(), Scripted::default());
    for start in 1..=3 {
        let client = client(gateway.http(|_| false), &clock).build().unwrap();
        let source =
            client.source(grant::refresh_token("r0").subject("alice")).store(store.clone()).build().unwrap();
        assert_eq!(source.token().await.unwrap().secret().expose(), format!("a{start}"));
        assert_eq!(store.last_written().unwrap().refresh_token().unwrap().expose(), format!("r{start}"));
        advance(301).await;
    }
}

#[test]
fn an_address_with_a_password_is_a_mistake_and_not_shown() {
    let build = |client: ClientBuilder| client.auth(ClientAuth::basic("svc", "secret")).build();
    for (client, field) in [
        (Client::builder().issuer("https://us3r:p4ss@as.test"), "issuer"),
        (Client::builder().token_endpoint("https://us3r@as.test/token"), "token_endpoint"),
        (
            Client::builder()
                .token_endpoint("https://as.test/token")
                .endpoint(Endpoint::Revocation, "https://us3r:p4ss@as.test/revoke"),
            "revocation_endpoint",
        ),
    ] {
        let error = build(client).unwrap_err();
        let [problem] = error.problems() else { unreachable!("one problem: {error}") };
        assert_eq!(problem.field, field);
        assert!(problem.message.starts_with("has a user name or password, which is never sent"), "{error}");
        assert!(!format!("{error:?}").contains("p4ss"), "{error:?}");
    }
}
