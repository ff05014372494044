use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use oauth_mock::Alg;
use oauth_mock::suite::{self, Suite};
use serde_json::Value;

use super::Failure;

/// Attack an API that takes bearer tokens, and report what it wrongly accepts.
///
/// This becomes the issuer that the API trusts: set the API up for the issuer that is printed. Then it sends some 450
/// requests, each of which has one right response by the standards, and prints what came back. It ends by itself, with
/// 0 when nothing was accepted that must be rejected, 1 when something was, and 2 when it could not run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The address to attack: http, GET, and on this machine
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    target: Option<String>,
    /// Where the issuer listens; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The path of the issuer, below the address it listens on
    #[arg(long, value_name = "PATH", default_value = "")]
    issuer_path: String,
    /// The audience that the API is
    #[arg(long, default_value = "orders-api")]
    audience: String,
    /// The scope that the API wants; without it the cases about scopes are left out
    #[arg(long)]
    scope: Option<String>,
    /// A further claim that the API wants, its value as JSON or plain text; may come more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
    /// What good tokens are signed with
    #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = algorithm)]
    alg: Alg,
    /// The API accepts requests without a token, as anonymous
    #[arg(long)]
    optional: bool,
    /// Only these cases, by number or by the beginning of their name; may come more than once
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// All cases but these, named as with --only; may come more than once
    #[arg(long, value_name = "CASE")]
    skip: Vec<String>,
    /// Print the cases, and attack nothing
    #[arg(long)]
    list: bool,
    /// How long the API may take until it lets the first good token in
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    /// How long the API may take to notice new keys
    #[arg(long, value_name = "SECONDS", default_value_t = 45)]
    key_wait: u64,
    /// Leave out the faults of the key endpoint, which take minutes with an API that is slow to fetch keys
    #[arg(long)]
    quick: bool,
    /// Write the whole report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Attack an API on another machine; only for your own, in your own network
    #[arg(long)]
    danger_allow_remote: bool,
}

const EXAMPLES: &str = "\
Examples:
  oauth-mock attack --target http://127.0.0.1:3000/whoami --audience orders-api
      Everything. The API has to trust the issuer http://127.0.0.1:9000.
  oauth-mock attack --target http://127.0.0.1:3000/read --audience orders-api --scope read
      The same at an address that asks for a scope, and whether it does.
  oauth-mock attack --target http://127.0.0.1:3000/ --only alg- --only G115
      A few cases again, after a repair.";

pub(crate) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let Some(target) = &args.target else { return list() };
    let mut suite = Suite::new(target)
        .listen(args.listen)
        .issuer_path(&args.issuer_path)
        .audience(&args.audience)
        .algorithm(args.alg)
        .wait(Duration::from_secs(args.wait))
        .key_wait(Duration::from_secs(args.key_wait));
    suite = args.scope.iter().fold(suite, |suite, scope| suite.scope(scope));
    suite = args.only.iter().fold(suite, |suite, only| suite.only(only));
    suite = args.skip.iter().fold(suite, |suite, skip| suite.skip(skip));
    suite = args.claim.iter().fold(suite, |suite, (name, value)| suite.claim(name, value.clone()));
    if args.optional {
        suite = suite.optional();
    }
    if args.quick {
        suite = suite.quick();
    }
    if args.danger_allow_remote {
        suite = suite.danger_allow_remote();
    }
    if args.list {
        return list();
    }
    let attacker = suite.start().await?;
    eprint!("{}", attacker.instructions());
    let report = attacker.run(&mut |step| eprintln!("{step}")).await?;
    if let Some(path) = &args.json {
        std::fs::write(path, report.to_json())
            .map_err(|error| Failure::new(format!("json: {} cannot be written: {error}", path.display())))?;
    }
    write!(std::io::stdout().lock(), "{report}")?;
    Ok(ExitCode::from(report.exit_code()))
}

fn list() -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    for case in suite::cases() {
        writeln!(out, "{} {:32} {} ({})", case.case, case.id, case.rule, case.clause)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn algorithm(name: &str) -> Result<Alg, String> {
    let known = Alg::parse(name).filter(|alg| alg.is_asymmetric());
    known.ok_or_else(|| "an asymmetric algorithm is needed, such as RS256, PS256, ES256 or EdDSA".to_owned())
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}
