//! Run with `cargo run --example protected_api -- --config guard.toml --listen 127.0.0.1:0`. A resource server from a
//! configuration file; without `--config` it is read from the environment (`GUARD_ISSUER_0_ISSUER` and so on).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use oauth_guard::config::GuardConfig;
use oauth_guard::{BuildError, Claims, Guard, Requirement, ResourceMetadata};
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

/// A resource server from a configuration.
#[derive(Parser)]
struct Options {
    /// The guard's configuration; without it the environment is read.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where to listen; with port 0 the system chooses one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match guard(&options) {
        Ok(guard) => serve(guard, options.listen).await.map_or_else(
            |error| {
                eprintln!("error: listen: {} ({error}); choose another address", options.listen);
                ExitCode::from(2)
            },
            |()| ExitCode::SUCCESS,
        ),
        Err(error) => {
            error.problems().iter().for_each(|problem| eprintln!("error: config: {problem}"));
            ExitCode::from(2)
        }
    }
}

fn guard(options: &Options) -> Result<Guard, BuildError> {
    let config = match &options.config {
        Some(path) => GuardConfig::from_file(path)?,
        None => GuardConfig::from_env("GUARD_")?,
    };
    // With the table `redis`, what the guards of a fleet share is there; without it this is `config.build()`.
    oauth_guard_redis::build(&config)?.build()
}

async fn serve(guard: Guard, listen: SocketAddr) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("READY http://{}", listener.local_addr()?);
    // Whose Forwarded and certificate headers count is decided by the caller's address.
    axum::serve(listener, app(guard).into_make_service_with_connect_info::<SocketAddr>()).await
}

fn app(guard: Guard) -> Router {
    let any = get(whoami).layer(guard.layer());
    let read = get(whoami).layer(guard.layer().require(Requirement::scope("read")));
    let write = get(whoami).layer(guard.layer().require(Requirement::scope("write")));
    let public = get(maybe).layer(guard.layer().optional());
    let mut app = Router::new()
        .route("/whoami", any)
        .route("/read", read)
        .route("/write", write)
        .route("/public", public)
        // For rules with `mcp`: the guard has compared headers and body, and the response says who was let through.
        .route("/mcp", axum::routing::any(maybe).layer(guard.layer()))
        .route("/healthz", get(health));
    // RFC 9728: the path of the resource comes behind the well-known part. Some clients look without it, so that is served too.
    const BARE: &str = "/.well-known/oauth-protected-resource";
    if guard.resource_metadata().is_some_and(|metadata| metadata.path() != BARE) {
        app = app.route(BARE, get(metadata));
    }
    // Where the authorization server says what is revoked, if that is configured.
    app.merge(guard.metadata_router()).merge(guard.revocation_routes()).with_state(guard)
}

async fn whoami(claims: Claims) -> Json<Value> {
    Json(json!({
        "iss": claims.issuer(),
        "sub": claims.subject(),
        "client_id": claims.client_id(),
        "scope": claims.scopes().collect::<Vec<_>>(),
        "claims": serde_json::from_str::<Value>(claims.as_json()).unwrap_or_default(),
    }))
}

async fn maybe(claims: Option<Claims>) -> Json<Value> {
    match claims {
        Some(claims) => whoami(claims).await,
        None => Json(json!({ "anonymous": true })),
    }
}

async fn health(State(guard): State<Guard>) -> Json<oauth_guard::Health> {
    Json(guard.health())
}

async fn metadata(State(guard): State<Guard>) -> Json<Option<ResourceMetadata>> {
    Json(guard.resource_metadata())
}
