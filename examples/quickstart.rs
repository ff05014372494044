//! Run with `cargo run --example quickstart`. The whole path in one process: an authorization server, a guarded API
//! and a client; what each does with and without failures. Exits non-zero if any step does not happen as printed.

use std::cell::Cell;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::{Client, ClientAuth, TokenSource, grant};
use oauth_guard::{Claims, Guard, Issuer, Requirement};
use oauth_mock::{Endpoint, MockClient, MockServer};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// Short, so that a token can be watched as it expires.
const LIFETIME: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    println!("An authorization server, an API and a client, all in this process.\n");

    // 1. The authorization server. In production this is another service.
    let svc = MockClient::new("svc").secret("s3cr3t").scopes(["read", "write"]).token_lifetime(LIFETIME);
    let server = MockServer::builder().client(svc).audience("orders-api").start().await;
    println!("   authorization server  {}", server.issuer());

    // 2. The API: any tower stack behind a layer. Its keys are discovered when the first token comes.
    let guard = Guard::builder().issuer(Issuer::new(server.issuer()).audience("orders-api")).build()?;
    let api = start_api(&guard).await?;
    println!("   guarded API           {api}");

    // 3. The client: a source that always has a fresh token, and a reqwest client that attaches it.
    let source = Client::builder()
        .issuer(server.issuer())
        .auth(ClientAuth::basic("svc", "s3cr3t"))
        .build()?
        .source(grant::client_credentials().scope(["read"]).audience("orders-api"))
        .refresh_margin(Duration::ZERO) // expire before our eyes, rather than be renewed ahead of time
        .build()?;
    println!("   token source          client_credentials as \"svc\"\n");
    let http = AuthorizedClient::new(reqwest::Client::new(), source.clone()).allowed_origins([&api])?;
    let run = Run { server, guard, api, source, http, calls: Cell::new(0) };
    run.all_steps().await?;
    run.summary();
    Ok(())
}

/// `/orders` asks for the scope `read`, `/admin` for `write`.
async fn start_api(guard: &Guard) -> Result<String, Failure> {
    async fn whoami(claims: Claims) -> Json<Value> {
        Json(json!({ "client_id": claims.client_id(), "scope": claims.scopes().collect::<Vec<_>>() }))
    }
    let orders = get(whoami).layer(guard.layer().require(Requirement::scope("read")));
    let admin = get(whoami).layer(guard.layer().require(Requirement::scope("write")));
    let app = Router::new().route("/orders", orders).route("/admin", admin);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

struct Run {
    server: MockServer,
    guard: Guard,
    api: String,
    source: TokenSource,
    http: AuthorizedClient,
    calls: Cell<usize>,
}

impl Run {
    async fn all_steps(&self) -> Result<(), Failure> {
        step("a token is obtained");
        let token = self.source.token().await?;
        say(format!(
            "good until {} (Unix time), scope {:?}",
            token.expires_at().as_secs(),
            token.tokens().scope()
        ));
        expect(self.token_requests() == 1, "one token request")?;

        step("a call succeeds with 200 and the caller's claims");
        let claims = self.call("/orders", 200).await?;
        expect(claims == json!({ "client_id": "svc", "scope": ["read"] }), "the claims of \"svc\"")?;

        step("a call without a token is rejected with 401 and its challenge");
        self.count();
        let response = reqwest::get(format!("{}/orders", self.api)).await?;
        say(format!("{} {:?}", response.status(), response.headers()["www-authenticate"]));
        expect(
            response.status() == 401 && response.headers()["www-authenticate"] == "Bearer realm=\"api\"",
            "a challenge without an error",
        )?;

        step("a call lacking a scope is rejected with 403, and the challenge names the scope");
        self.count();
        let response = self.http.get(format!("{}/admin", self.api)).send().await?;
        let challenge = response.headers()["www-authenticate"].to_str()?.to_owned();
        say(format!("{} {challenge:?}", response.status()));
        expect(
            response.status() == 403 && challenge.contains("scope=\"write\""),
            "insufficient_scope for \"write\"",
        )?;

        step("the token expires, and the next call still succeeds with one refresh");
        tokio::time::sleep(LIFETIME).await;
        expect(self.source.current().is_none(), "the token has expired")?;
        self.call("/orders", 200).await?;
        expect(self.token_requests() == 2, "one token request more")?;

        step("the signing key is rotated, and calls go on");
        self.server.keys().rotate();
        self.source.reject(self.source.token().await?.generation()); // have the next token signed with the new key
        self.call("/orders", 200).await?;
        expect(
            self.server.journal().count(Endpoint::Jwks) == 2,
            "one key fetch more, for the unknown key id",
        )?;

        step("the server goes away, and calls with known keys and a valid token go on");
        self.server.pause();
        self.call("/orders", 200).await?;

        step("the server comes back, and so do new tokens");
        self.server.resume();
        self.source.reject(self.source.token().await?.generation());
        self.call("/orders", 200).await?;
        expect(self.token_requests() == 4, "one token request more")
    }

    async fn call(&self, path: &str, status: u16) -> Result<Value, Failure> {
        self.count();
        let response = self.http.get(format!("{}{path}", self.api)).send().await?;
        let (got, body) = (response.status(), response.bytes().await?);
        say(format!("GET {path} -> {got} {}", String::from_utf8_lossy(&body)));
        expect(got == status, &format!("status {status}"))?;
        Ok(serde_json::from_slice(&body)?)
    }

    fn token_requests(&self) -> usize {
        self.server.journal().count(Endpoint::Token)
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    fn summary(&self) {
        let (calls, tokens) = (self.calls.get(), self.token_requests());
        let (keys, seen) = (self.server.journal().count(Endpoint::Jwks), self.guard.health().cache.hits);
        println!("\nAll as expected: {calls} calls, {tokens} token requests, {keys} key fetches.");
        println!(
            "{seen} of the calls came with a token the guard verified before, and cost it no signature check."
        );
    }
}

fn step(what: &str) {
    println!("-> {what}");
}

fn say(what: String) {
    println!("   {what}");
}

fn expect(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("this did not happen: {what}").into()) }
}
