//! Run with `cargo run --example login_web_app`. A web app with routes of its own, where users log in (RFC 6749 section
//! 4.1, PKCE) and which then calls an API as each of them. What a login needs and what it brings stays on the server's
//! side; the browser has cookies that say nothing. Server and API are a mock in this same process, and so is alice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{RawQuery, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use axum::{Router, routing::get};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::login::{AuthorizationRequest, PendingLogin};
use oauth_client::{Client, ClientAuth, TokenSource};
use oauth_mock::{GrantType, MockClient, MockServer, User};
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
    let api = server.url().to_owned();
    let http = reqwest::Client::new();
    let shop = Shop { client, request, api, http, logins: Kept::default(), sessions: Kept::default() };
    let routes = Router::new().route("/login", get(login)).route("/callback", get(callback));
    let app = routes.route("/", get(home)).route("/orders", get(orders)).with_state(shop);
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
    let landed = browser.get(&back).header("cookie", &cookie).send().await?;
    let cookie = cookie_of(&landed)?;
    println!("logged in: {} to {}", landed.status(), landed.headers()["location"].to_str()?);
    let get = |url: String| browser.get(url).header("cookie", &cookie).send();
    println!("at home: {}", get(url.to_owned()).await?.text().await?);

    // By the button that leads back, or by a link on any other site.
    let again = get(back).await?;
    println!("the same address again: {} {}", again.status(), again.text().await?);
    get(format!("{url}/login")).await?;
    let orders = get(format!("{url}/orders")).await?;
    println!("after all that: {} {}", orders.status(), orders.text().await?);
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
    logins: Kept<PendingLogin>,
    sessions: Kept<Session>,
}

#[derive(Clone)]
struct Session {
    user: String,
    source: TokenSource,
}

async fn login(State(shop): State<Shop>) -> Result<Response, Refusal> {
    let pending = shop.client.authorize(&shop.request).await?;
    let to = Redirect::to(pending.url().as_str());
    // A cookie of its own: a login that is begun ends no session.
    Ok(([(SET_COOKIE, cookie("login", &shop.logins.keep(pending)?))], to).into_response())
}

async fn callback(
    State(shop): State<Shop>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    // Taken out, because a login is good once; by the cookie, because only this browser may end it. Nothing else is
    // taken: any site can send the browser here.
    let pending = named(&headers, "login").and_then(|id| shop.logins.take(id));
    let Some(pending) = pending else { return Err(Refusal("no login has begun here")) };
    let login = shop.client.finish(pending, query.unwrap_or_default()).await?;
    let user = login.id_token().ok_or(Refusal("the login does not say whose it is"))?.subject().to_owned();
    // With a store: whose tokens these are.
    let request = shop.request.clone().subject(&user);
    let source = shop.client.source(request).starting_with(login).build()?;
    if let Some(before) = named(&headers, "session").and_then(|id| shop.sessions.take(id)) {
        // Its tokens would live on; if they do, the new login is good all the same.
        if let Err(error) = before.source.revoke().await {
            error.lines().for_each(|line| eprintln!("{line}"));
        }
    }
    // Another name than before the login, and another page: a reload of this one would bring the code again.
    let session = cookie("session", &shop.sessions.keep(Session { user, source })?);
    let cookies = AppendHeaders([(SET_COOKIE, session), (SET_COOKIE, cookie("login", "; Max-Age=0"))]);
    Ok((cookies, Redirect::to("/")).into_response())
}

async fn home(State(shop): State<Shop>, headers: HeaderMap) -> Result<String, Refusal> {
    Ok(format!("hello {}", shop.session(&headers)?.user))
}

async fn orders(State(shop): State<Shop>, headers: HeaderMap) -> Result<String, Refusal> {
    let api = AuthorizedClient::new(shop.http.clone(), shop.session(&headers)?.source);
    // The token goes to this API and nowhere else.
    let api = api.allowed_origins([&shop.api])?;
    let response = api.get(format!("{}/api/orders", shop.api)).send().await;
    response.map_err(|_| NO_RESPONSE)?.text().await.map_err(|_| NO_RESPONSE)
}

impl Shop {
    fn session(&self, headers: &HeaderMap) -> Result<Session, Refusal> {
        let session = named(headers, "session").and_then(|id| self.sessions.get(id));
        session.ok_or(Refusal("log in first, at /login"))
    }
}

/// By names that cannot be guessed. In production this is a store whose entries end: a pending login and a token set can
/// both be serialized.
struct Kept<T>(Arc<Mutex<HashMap<String, T>>>);

impl<T> Kept<T> {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, entry: T) -> Result<String, Refusal> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| Refusal("this machine has no randomness"))?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        self.entries().insert(id.clone(), entry);
        Ok(id)
    }

    fn take(&self, id: &str) -> Option<T> {
        self.entries().remove(id)
    }
}

impl<T: Clone> Kept<T> {
    fn get(&self, id: &str) -> Option<T> {
        self.entries().get(id).cloned()
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// On https the cookie is `Secure` and `__Host-`, too.
fn cookie(name: &str, value: &str) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax")
}

fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // Over HTTP/2 each cookie may have a header of its own (RFC 9113 section 8.2.3).
    let headers = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut cookies = headers.flat_map(|cookies| cookies.split("; "));
    cookies.find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='))
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
