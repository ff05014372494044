//! `oauth-mock attack-endpoints`: logout tokens and security events, good and bad.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use oauth_mock::statements::EndpointSuite;
use serde_json::Value;

use super::Failure;
use super::attack::claim;

/// Attack the endpoints of an API for logout tokens and security events, and report what they wrongly take.
///
/// This becomes the issuer that the API trusts: set the API up for the issuer that is printed. Then it sends logout tokens and
/// security event tokens, good and bad, and looks with an access token whether they ended something. It ends by itself, with 0
/// when nothing was found that helps an attacker, 1 when something was, and 2 when it could not run to its end.
///
/// It is no part of `attack`: that one sends access tokens to one route, and needs no more of an API than that route. Here other
/// tokens go to other URLs, whether one was taken is seen only by what it ended, and an API without such endpoints has nothing
/// to be attacked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An address of the API that takes access tokens, http and on this machine
    #[arg(long, value_name = "URL")]
    target: String,
    /// The endpoint for logout tokens (OpenID Connect Back-Channel Logout 1.0)
    #[arg(long, value_name = "URL", required_unless_present = "security_events")]
    backchannel_logout: Option<String>,
    /// The endpoint for security events (RFC 8935)
    #[arg(long, value_name = "URL")]
    security_events: Option<String>,
    /// Whom they are for: their aud
    #[arg(long, value_name = "ID", default_value = "shop")]
    client_id: String,
    /// The audience that the API is
    #[arg(long, default_value = "orders-api")]
    audience: String,
    /// The scope that the API wants of an access token
    #[arg(long)]
    scope: Option<String>,
    /// A further claim that the API wants of an access token, its value as JSON or plain text; may come more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
    /// Where the issuer listens; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// How long the API may take until it lets the first good token in
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut suite = EndpointSuite::new(&args.target)
        .client_id(&args.client_id)
        .audience(&args.audience)
        .listen(args.listen)
        .wait(Duration::from_secs(args.wait));
    suite = args.scope.iter().fold(suite, |suite, scope| suite.scope(scope));
    suite = args.claim.iter().fold(suite, |suite, (name, value)| suite.claim(name, value.clone()));
    if let Some(url) = &args.backchannel_logout {
        suite = suite.backchannel_logout(url);
    }
    if let Some(url) = &args.security_events {
        suite = suite.security_events(url);
    }
    let server = suite.start().await?;
    eprintln!("ISSUER {}", server.issuer());
    let report = suite.run(&server).await?;
    println!("{report}");
    Ok(if report.holes() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
