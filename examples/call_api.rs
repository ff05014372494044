//! Run with `cargo run --example call_api -- --config client.toml --url http://127.0.0.1:3000/whoami --count 3`. Calls
//! an API and prints a JSON line for each call; without `--config` the environment is read (`OAUTH_CLIENT_ID` …). With
//! a grant that a user gives, the first line says where to log in, and the calls wait for that login.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::stream::{self, StreamExt};
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::attach::{AttachError, Attached};
use oauth_client::config::ClientConfig;
use oauth_client::source::Event;
use oauth_client::{Error, TokenSource};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

/// Calls a protected API with tokens that stay fresh.
#[derive(Parser)]
struct Options {
    /// The client's configuration; without it the environment is read.
    #[arg(long)]
    config: Option<PathBuf>,
    /// What to call.
    #[arg(long)]
    url: reqwest::Url,
    /// How many calls to make, by all callers together.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How long each caller waits between its calls.
    #[arg(long, default_value_t = 0)]
    interval_ms: u64,
    /// How many callers there are.
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    #[arg(long, default_value = "GET")]
    method: reqwest::Method,
    /// A JSON body to send.
    #[arg(long)]
    json: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
    let (source, client) = match set_up(&options).await {
        Ok(set_up) => set_up,
        Err(error) => {
            error.lines().for_each(|line| eprintln!("error: {line}"));
            return ExitCode::from(2);
        }
    };
    let calls = stream::iter(1..=options.count).map(|n| call(&client, &options, n));
    let calls: Vec<Call> = calls.buffer_unordered(options.concurrency.max(1)).collect().await;
    let count = |which: fn(&Call) -> bool| calls.iter().filter(|call| which(call)).count();
    let (ok, replays) = (count(|call| call.ok), count(|call| call.replayed));
    // A refresh that is under way may have spent the refresh token in the store.
    if let Err(error) = source.settle().await {
        eprintln!("warning: {}", error.with_causes());
    }
    let token_requests = source.status().token_requests;
    println!(
        "{}",
        json!({ "summary": { "calls": calls.len(), "ok": ok, "token_requests": token_requests, "replays": replays } })
    );
    ExitCode::from(if count(|call| call.lost) > 0 { 2 } else { u8::from(ok < calls.len()) })
}

async fn set_up(options: &Options) -> Result<(TokenSource, AuthorizedClient), Error> {
    let source = source(options).await?;
    // The token goes to this API and nowhere else.
    let api = options.url.origin().ascii_serialization();
    let client = AuthorizedClient::new(reqwest::Client::new(), source.clone()).allowed_origins([api])?;
    Ok((source, client.report()))
}

async fn source(options: &Options) -> Result<TokenSource, Error> {
    let config = match &options.config {
        Some(path) => ClientConfig::from_file(path)?,
        None => ClientConfig::from_env("OAUTH_")?,
    };
    let warn = |event: &Event| {
        if let Event::StoreFailed { error } = event {
            eprintln!("warning: store: {}", error.with_causes());
        }
    };
    let login = config.login()?;
    let source = oauth_client_redis::build(&config)?.on_event(warn).build()?;
    if let Some(login) = login {
        // `{"open": …}`, or `{"verification_uri": …, "user_code": …}`: for the calling program to show to a user.
        let ensured = login.ensure(&source, |prompt| println!("{}", json!(prompt))).await;
        if ensured.is_err() {
            let _ = source.settle().await;
        }
        ensured?;
    }
    Ok(source)
}

/// How a call ended.
struct Call {
    ok: bool,
    replayed: bool,
    lost: bool,
}

/// Makes one call, prints its line, and waits until the same caller may make another.
async fn call(client: &AuthorizedClient, options: &Options, n: u64) -> Call {
    let began = Instant::now();
    let outcome = exchange(client, options).await;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (line, call) = match outcome {
        Ok((status, attached, body)) => {
            let generation = attached.map(|attached| attached.generation);
            let replayed = attached.is_some_and(|attached| attached.replayed);
            let line = json!({ "n": n, "status": status, "generation": generation, "ms": ms, "body": body });
            (line, Call { ok: status < 400, replayed, lost: false })
        }
        Err(failure) => {
            let code = failure.code();
            let silent = || "the API sent no complete response; check --url and that it is up".to_owned();
            eprintln!(
                "error: {code}: {}",
                failure.token_error().map_or_else(silent, |error| error.with_causes().to_string())
            );
            (json!({ "n": n, "error": code, "ms": ms }), Call { ok: false, replayed: false, lost: true })
        }
    };
    println!("{line}");
    if n < options.count {
        tokio::time::sleep(Duration::from_millis(options.interval_ms)).await;
    }
    call
}

type Received = (u16, Option<Attached>, Value);

async fn exchange(
    client: &AuthorizedClient,
    options: &Options,
) -> Result<Received, AttachError<reqwest::Error>> {
    let mut request =
        client.request(options.method.clone(), options.url.clone()).timeout(Duration::from_secs(30));
    if let Some(json) = &options.json {
        request = request.header("content-type", "application/json").body(json.clone());
    }
    let mut response = request.send().await?;
    let (status, attached) = (response.status().as_u16(), response.extensions().get().copied());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(AttachError::Inner)? {
        body.extend_from_slice(&piece);
        if body.len() > 2048 {
            break;
        }
    }
    let text = || Value::from(String::from_utf8_lossy(&body[..body.len().min(2048)]));
    let whole = (body.len() <= 2048).then(|| serde_json::from_slice(&body).ok()).flatten();
    Ok((status, attached, whole.unwrap_or_else(text)))
}
