//! The authorization server, in a process of its own so that its memory is not counted, and the orders it gets.

use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use oauth_mock::{Alg, GrantType, MockClient, MockServer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::Failure;

pub(crate) const TENANTS: usize = 20;
/// How long tokens of clients live.
pub(crate) const LIFETIME: Duration = Duration::from_secs(20);
/// For how long after an outage failures may follow from it: what was kept back is tried again.
const AFTERMATH: Duration = Duration::from_secs(10);

/// How long a new key may be unknown to the API while forged tokens come: its cool-down, and a second for the fetch.
const NEW_KEY: Duration = Duration::from_secs(2);

/// The child process: runs until its standard input ends, which is when its parent does.
pub(crate) async fn play() -> Result<(), Failure> {
    let service = MockClient::new("service").secret("s3cr3t").scopes(["read"]).token_lifetime(LIFETIME);
    let web = MockClient::new("web")
        .secret("s3cr3t")
        .grants([GrantType::AuthorizationCode, GrantType::RefreshToken])
        .redirect_uri("http://127.0.0.1/callback")
        .scopes(["read"])
        .token_lifetime(LIFETIME);
    let builder = MockServer::builder().client(service).client(web).audience("orders-api");
    let builder = builder.algorithms([Alg::Es256]).journal_limits(100, 100_000);
    let builder = (0..TENANTS).fold(builder, |builder, tenant| builder.issuer(format!("tenant-{tenant}")));
    let server = builder.try_start().await?;
    let control = server.control(([127, 0, 0, 1], 0).into(), &[]).await?;
    println!("READY {} {}", server.issuer(), control.url());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// The child, as its parent sees it.
pub(crate) struct Authority {
    pub(crate) issuer: String,
    control: String,
    http: reqwest::Client,
    outage: Mutex<Outage>,
    _child: Child,
}

#[derive(Default)]
struct Outage {
    is_on: bool,
    ended: Option<Instant>,
    rotated: Option<Instant>,
}

impl Authority {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--authorization-server").kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let line = lines.next_line().await?.ok_or("the authorization server ended")?;
        let mut words = line.split(' ').skip(1).map(str::to_owned);
        let (issuer, control) = words.next().zip(words.next()).ok_or("no addresses")?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { issuer, control, http, outage: Mutex::default(), _child: child })
    }

    pub(crate) fn tenant(&self, number: usize) -> String {
        format!("{}/tenant-{number}", self.issuer)
    }

    pub(crate) async fn order(&self, what: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.http.post(format!("{}/v1/{what}", self.control)).body(body.to_string());
        let text = request.send().await?.error_for_status()?.text().await?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// A token of the main issuer, or of a tenant (`tenant-3`).
    pub(crate) async fn mint(&self, issuer: Option<&str>, token: &Value) -> Result<String, Failure> {
        let route = issuer.map_or("mint".to_owned(), |issuer| format!("mint?issuer={issuer}"));
        let minted = self.order(&route, token).await?;
        Ok(minted["token"].as_str().ok_or("no token")?.to_owned())
    }

    /// The refresh token of a new login.
    pub(crate) async fn log_in(&self, user: &str) -> Result<String, Failure> {
        let login = json!({ "client_id": "web", "subject": user, "scope": "read" });
        let issued = self.order("issue", &login).await?;
        Ok(issued["refresh_token"].as_str().ok_or("no refresh token")?.to_owned())
    }

    /// Goes away for so long.
    pub(crate) async fn go_away(&self, time: Duration) -> Result<(), Failure> {
        self.outage(|outage| outage.is_on = true);
        self.order("pause", &json!({})).await?;
        tokio::time::sleep(time).await;
        self.order("resume", &json!({})).await?;
        self.outage(|outage| (outage.is_on, outage.ended) = (false, Some(Instant::now())));
        Ok(())
    }

    /// Signs with another key from now on.
    pub(crate) async fn rotate(&self) -> Result<(), Failure> {
        self.outage(|outage| outage.rotated = Some(Instant::now()));
        self.order("keys/rotate", &json!({})).await?;
        self.outage(|outage| outage.rotated = Some(Instant::now()));
        Ok(())
    }

    pub(crate) fn has_a_new_key(&self) -> bool {
        self.outage(|outage| outage.rotated.is_some_and(|at| at.elapsed() < NEW_KEY))
    }

    /// Whether a failure may follow from an outage.
    pub(crate) fn is_in_trouble(&self) -> bool {
        let recently = |ended: Instant| ended.elapsed() < AFTERMATH;
        self.outage(|outage| outage.is_on || outage.ended.is_some_and(recently))
    }

    fn outage<R>(&self, with: impl FnOnce(&mut Outage) -> R) -> R {
        with(&mut self.outage.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
