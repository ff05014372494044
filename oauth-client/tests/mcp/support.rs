//! An API that says what it wants, and a person who logs in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use oauth_client::Error;
use oauth_client::clock::TestClock;
use oauth_client::manage::register::ClientMetadata;
use oauth_client::mcp::{Attempt, Authorizer, AuthorizerBuilder};
use oauth_client::transport::{HttpClient, Limits, RequestBody};
use oauth_mock::{MockServer, MockServerBuilder, User};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;

pub(crate) const API: &str = "https://api.test/mcp";
pub(crate) const PLACE: &str = "https://api.test/.well-known/oauth-protected-resource/mcp";
/// Where the whole host describes itself.
const OF_HOST: &str = "https://api.test/.well-known/oauth-protected-resource";

/// The world that a client sees: one API and the servers by their hosts.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) servers: Vec<Arc<MockServer>>,
    says: Arc<Mutex<Says>>,
    seen: Arc<Mutex<Seen>>,
    pub(crate) clock: TestClock,
}

/// What the API says.
pub(crate) struct Says {
    /// The issuers whose tokens it takes.
    pub(crate) servers: Vec<String>,
    pub(crate) resource: String,
    pub(crate) scopes_supported: Option<Vec<&'static str>>,
    /// The scope of its first challenge.
    pub(crate) scope: Option<&'static str>,
    /// What it takes to be let in.
    pub(crate) needs: Vec<&'static str>,
    pub(crate) scheme: &'static str,
    /// Whether it refuses every token.
    pub(crate) refuses_all: bool,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// The pages that the person was sent to.
    pub(crate) pages: Vec<Url>,
    /// The metadata documents that were asked for.
    pub(crate) documents: Vec<String>,
}

pub(crate) fn server() -> MockServerBuilder {
    MockServer::builder().audience(API).user(User::new("alice", "wonderland"))
}

impl World {
    pub(crate) fn new(server: MockServerBuilder) -> Self {
        Self::of([server])
    }

    pub(crate) fn of<const N: usize>(servers: [MockServerBuilder; N]) -> Self {
        let servers: Vec<_> = servers.into_iter().map(|server| Arc::new(server.in_process())).collect();
        let says = Says {
            servers: vec![servers[0].issuer().to_owned()],
            resource: API.to_owned(),
            scopes_supported: None,
            scope: None,
            needs: Vec::new(),
            scheme: "Bearer",
            refuses_all: false,
        };
        Self { servers, says: Arc::new(Mutex::new(says)), seen: Arc::default(), clock: TestClock::new() }
    }

    pub(crate) fn server(&self) -> &MockServer {
        &self.servers[0]
    }

    pub(crate) fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// What the last page was asked for under this name.
    pub(crate) fn asked(&self, name: &str) -> Option<String> {
        parameter(self.seen().pages.last().unwrap(), name)
    }

    pub(crate) fn logins(&self) -> usize {
        self.seen().pages.len()
    }

    pub(crate) fn http(&self) -> HttpClient {
        let world = self.clone();
        HttpClient::from_service(tower::service_fn(move |request: Request<RequestBody>| {
            let world = world.clone();
            async move { world.serve(request).await }
        }))
    }

    async fn serve(&self, request: Request<RequestBody>) -> std::io::Result<Response<Full<Bytes>>> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        if host == "api.test" {
            return Ok(self.api(&request));
        }
        if request.uri().path().contains(".well-known") {
            self.seen().documents.push(request.uri().to_string());
        }
        let server = self.servers.iter().find(|server| server.url().contains(&host)).unwrap();
        let response = server.transport().oneshot(request).await.map_err(std::io::Error::other)?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(
            head,
            Full::new(body.collect().await.map_err(std::io::Error::other)?.to_bytes()),
        ))
    }

    fn api(&self, request: &Request<RequestBody>) -> Response<Full<Bytes>> {
        let says = self.says();
        let is_of_host = says.resource == "https://api.test" && request.uri() == OF_HOST;
        if request.uri() == PLACE || is_of_host {
            self.seen().documents.push(PLACE.to_owned());
            let mut document = json!({ "resource": says.resource, "authorization_servers": says.servers });
            if let Some(scopes) = &says.scopes_supported {
                document["scopes_supported"] = json!(scopes);
            }
            return Response::new(Full::from(document.to_string()));
        }
        let rejected = |status: StatusCode, error: &str, scope: Option<String>| {
            let scope = scope.map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
            let challenge = format!("{} resource_metadata=\"{PLACE}\"{error}{scope}", says.scheme);
            Response::builder()
                .status(status)
                .header(WWW_AUTHENTICATE, challenge)
                .body(Full::default())
                .unwrap()
        };
        let token = request.headers().get(AUTHORIZATION).and_then(|value| claims(value.to_str().ok()?));
        let scope = says.scope.map(str::to_owned);
        let Some(token) = token else { return rejected(StatusCode::UNAUTHORIZED, "", scope) };
        if says.refuses_all || !says.servers.iter().any(|issuer| token["iss"] == *issuer) {
            return rejected(StatusCode::UNAUTHORIZED, ", error=\"invalid_token\"", scope);
        }
        let granted: Vec<_> = token["scope"].as_str().unwrap_or_default().split(' ').collect();
        if says.needs.iter().any(|needed| !granted.contains(needed)) {
            let needs = Some(says.needs.join(" "));
            return rejected(StatusCode::FORBIDDEN, ", error=\"insufficient_scope\"", needs);
        }
        Response::new(Full::from(token.to_string()))
    }

    /// An authorizer whose person is alice, at whichever server.
    pub(crate) fn authorizer(&self) -> AuthorizerBuilder {
        let world = self.clone();
        self.plain().subject("alice").browser(move |page| {
            let callback = world.log_in(page);
            async move { callback }
        })
    }

    pub(crate) fn plain(&self) -> AuthorizerBuilder {
        let client = ClientMetadata::new().client_name("A test").redirect_uris(["https://app.test/callback"]);
        Authorizer::builder(API).client(client).http(self.http()).clock(self.clock.clone())
    }

    pub(crate) fn log_in(&self, page: Url) -> Result<String, String> {
        self.seen().pages.push(page.clone());
        let host = page.host_str().unwrap();
        let server = self.servers.iter().find(|server| server.url().contains(host)).unwrap();
        server.log_in(page.as_str(), "alice")
    }

    /// Sends a request as often as it takes.
    pub(crate) async fn call(&self, authorizer: &Authorizer) -> Result<StatusCode, Error> {
        self.attempt(&mut authorizer.attempt()).await
    }

    pub(crate) async fn attempt(&self, attempt: &mut Attempt) -> Result<StatusCode, Error> {
        loop {
            let mut request = Request::get(API).body(Bytes::new()).unwrap();
            if let Some(source) = attempt.source() {
                match source.token().await {
                    Ok(token) => {
                        request.headers_mut().insert(AUTHORIZATION, token.authorization().clone());
                    }
                    Err(error) if attempt.recovers_from(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            let response = self.http().send(request, &Limits::token()).await?;
            if !attempt.again(response.status(), response.headers()).await? {
                return Ok(response.status());
            }
        }
    }
}

pub(crate) fn parameter(page: &Url, name: &str) -> Option<String> {
    let parameters: HashMap<_, _> = page.query_pairs().into_owned().collect();
    parameters.get(name).cloned()
}

/// The claims of a token, by whichever scheme it came; they are not verified.
fn claims(authorization: &str) -> Option<Value> {
    let payload = authorization.split_once(' ')?.1.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
