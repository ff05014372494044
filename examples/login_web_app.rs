//! Run with `cargo run --example login_web_app`. A web app with routes of its own, where users log in (RFC 6749 section
//! 4.1, PKCE) and which then calls an API as each of them. What a login needs and what it brings stays on the server's
//! side; the browser has a cookie that says nothing. Server and API are a mock in this same process, and so is alice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{RawQuery, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Router, routing::get};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::login::{AuthorizationRequest, PendingLogin};
use oauth_client::{Client, ClientAuth, TokenSource};
use oauth_mock::{Endpoint, GrantType, MockClient, MockServer, User};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let shop = MockClient::new("shop")
        .secret("s3cr3t")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .scopes(["openid", "read"])
        .redirect_uri(format!("{url}/callback"));
    let server = MockServer::builder().client(shop).user(User::new("alice", "wonderland")).start().await;

    let client =
        Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("shop", "s3cr3t")).build()?;
    let request = AuthorizationRequest::new(format!("{url}/callback")).scope(["openid", "read"]);
    let api = server.endpoint(Endpoint::Api);
    let shop = Shop { client, request, api, http: reqwest::Client::new(), sessions: Arc::default() };
    let routes = Router::new().route("/login", get(login)).route("/callback", get(callback));
    let app = routes.route("/orders", get(orders)).with_state(shop);
    tokio::spawn(async move { axum::serve(listener, app).await });
    alice(&server, &url).await
}

/// What alice's browser does, cookies included.
async fn alice(server: &MockServer, url: &str) -> Result<(), Failure> {
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let early = browser.get(format!("{url}/orders")).send().await?;
    println!("before the login: {} {}", early.status(), early.text().await?);

    let sent = browser.get(format!("{url}/login")).send().await?;
    let cookie = cookie_of(&sent)?;
    let back = server.log_in(sent.headers()["location"].to_str()?, "alice")?;
    let other_browser = browser.get(&back).send().await?;
    println!("in another browser: {} {}", other_browser.status(), other_browser.text().await?);
    let landed = browser.get(&back).header("cookie", cookie).send().await?;
    let cookie = cookie_of(&landed)?;
    println!("logged in: {} {}", landed.status(), landed.text().await?);

    let orders = browser.get(format!("{url}/orders")).header("cookie", cookie).send().await?;
    println!("after the login: {} {}", orders.status(), orders.text().await?);
    Ok(())
}

fn cookie_of(response: &reqwest::Response) -> Result<String, Failure> {
    let cookie = response.headers().get("set-cookie").ok_or("there is no cookie")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

#[derive(Clone)]
struct Shop {
    client: Client,
    request: AuthorizationRequest,
    api: String,
    http: reqwest::Client,
    sessions: Arc<Mutex<HashMap<String, Session>>>,
}

/// In production these live in a store, and end: a pending login and a token set can both be serialized.
enum Session {
    LoggingIn(Box<PendingLogin>),
    LoggedIn(TokenSource),
}

async fn login(State(shop): State<Shop>) -> Result<Response, Refusal> {
    let pending = shop.client.authorize(&shop.request).await?;
    let to = Redirect::to(pending.url().as_str());
    Ok((shop.open(Session::LoggingIn(Box::new(pending)))?, to).into_response())
}

async fn callback(
    State(shop): State<Shop>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    // Taken out, because a login is good once; by the cookie, because only this browser may end it.
    let session = session_id(&headers).and_then(|id| shop.sessions().remove(id));
    let Some(Session::LoggingIn(pending)) = session else { return Err(Refusal("no login has begun here")) };
    let login = shop.client.finish(*pending, query.unwrap_or_default()).await?;
    let greeting = format!("hello {}", login.id_token().map_or("unknown", |token| token.subject()));
    let source = shop.client.source(&shop.request).starting_with(login).build()?;
    // Another cookie than before the login.
    Ok((shop.open(Session::LoggedIn(source))?, greeting).into_response())
}

async fn orders(State(shop): State<Shop>, headers: HeaderMap) -> Result<String, Refusal> {
    let source = session_id(&headers).and_then(|id| match shop.sessions().get(id) {
        Some(Session::LoggedIn(source)) => Some(source.clone()),
        _ => None,
    });
    let source = source.ok_or(Refusal("log in first, at /login"))?;
    let api = AuthorizedClient::new(shop.http.clone(), source);
    let response = api.get(format!("{}/orders", shop.api)).send().await;
    response.map_err(|_| NO_RESPONSE)?.text().await.map_err(|_| NO_RESPONSE)
}

impl Shop {
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a session under a name that cannot be guessed. On https the cookie is `Secure` and `__Host-`, too.
    fn open(&self, session: Session) -> Result<[(HeaderName, String); 1], Refusal> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| Refusal("this machine has no randomness"))?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let cookie = format!("session={id}; Path=/; HttpOnly; SameSite=Lax");
        self.sessions().insert(id, session);
        Ok([(SET_COOKIE, cookie)])
    }
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="))
}

const NO_RESPONSE: Refusal = Refusal("the API sent no response");

/// What the user sees; the rest is for the log.
struct Refusal(&'static str);

impl From<oauth_client::Error> for Refusal {
    fn from(error: oauth_client::Error) -> Self {
        error.lines().for_each(|line| eprintln!("{line}"));
        Self(if error.code() == "access_denied" { "you said no" } else { "the login failed; try again" })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::UNAUTHORIZED, self.0).into_response()
    }
}
