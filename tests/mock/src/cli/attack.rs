use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http::Method;
use oauth_mock::Alg;
use oauth_mock::attack::{CertificateHeader, Part};
use oauth_mock::suite::{self, FailOn, Suite};
use serde_json::Value;

use super::Failure;

/// Attack an API that takes bearer tokens, and report what it wrongly accepts.
///
/// This becomes the issuer that the API trusts: set the API up for the issuer that is printed. Then it sends some 600
/// requests, each of which has one right response by the standards, and prints what came back. It ends by itself, with
/// 0 when nothing was found that helps an attacker, 1 when something was, and 2 when it could not run to its end.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The address to attack, http or https, on this machine; a redirect to https at the same host is followed
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
    /// Which defences to attack: those against bad tokens, or what bound tokens need beside them
    #[arg(long, value_enum, default_value = "tokens")]
    part: PartName,
    /// What callers know the API by, if not as --target: DPoP proofs are made for it
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// How long a DPoP nonce of the API lives: a stale one is tried as well
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    nonce_lifetime: Option<u64>,
    /// The header in which the API's proxy names certificates; client-cert by default
    #[arg(long, value_enum)]
    certificate_header: Option<HeaderName>,
    /// An address of this machine that the API does not trust as a proxy, such as 127.0.0.2
    #[arg(long, value_name = "ADDRESS")]
    untrusted_from: Option<IpAddr>,
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
    /// The method the address is made for; POST, PUT and PATCH are sent with an empty body
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,
    /// A header that every request carries; may come more than once
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The authority, in PEM, that vouches for an https address; without it any certificate will do on this machine
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// An algorithm that the API is set to allow; may come more than once. Without it they are found out
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    allow_alg: Vec<Alg>,
    /// The API refuses tokens that were issued longer ago than this
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    max_token_age: Option<u64>,
    /// The API introspects its tokens: become the introspection endpoint, and send the cases about that
    #[arg(long)]
    opaque: bool,
    /// Become a second issuer as well, which the API trusts beside the first
    #[arg(long)]
    second_issuer: bool,
    /// Send at most so many requests in a second; a 429 is obeyed without this as well
    #[arg(long, value_name = "PER SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Send so many independent rows at a time
    #[arg(long, value_name = "ROWS", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// How long one response may take
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = positive)]
    timeout: u64,
    /// How long the whole run may take; what was not run by then is listed
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    time_limit: Option<u64>,
    /// What ends the program with 1: only what helps an attacker, or lesser findings too
    #[arg(long, value_name = "LEVEL", default_value = "accepted")]
    fail_on: Level,
    /// Write the whole report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report to this file, as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the findings to this file, as SARIF
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Attack an API on another machine; only for your own, in your own network
    #[arg(long)]
    danger_allow_remote: bool,
}

/// From which finding on a run has failed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Level {
    /// Accepted, leaked, broke
    Accepted,
    /// Incorrect responses, too
    Incorrect,
    /// Whatever differs, too
    Differs,
}

/// The parts of the table.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PartName {
    /// Forged, malformed and misplaced bearer tokens, bad keys
    Tokens,
    /// DPoP proofs (RFC 9449)
    Dpop,
    /// Certificates that a proxy names in a header (RFC 8705)
    Certificates,
}

/// The headers that proxies write.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum HeaderName {
    /// RFC 9440
    ClientCert,
    /// Envoy's x-forwarded-client-cert
    Xfcc,
    /// Escaped PEM in ssl-client-cert
    Nginx,
}

const EXAMPLES: &str = "\
Examples:
  oauth-mock attack --target http://127.0.0.1:3000/whoami --audience orders-api
      Everything. The API has to trust the issuer http://127.0.0.1:9000.
  oauth-mock attack --target http://127.0.0.1:3000/read --audience orders-api --scope read
      The same at an address that asks for a scope, and whether it does.
  oauth-mock attack --target http://127.0.0.1:3000/read --scope read --opaque
      An API that introspects its tokens at http://127.0.0.1:9000/introspect.
  oauth-mock attack --target http://127.0.0.1:3000/ --only alg- --only G115
      A few cases again, after a repair.
  oauth-mock attack --target http://127.0.0.1:3000/read --scope read --part dpop --nonce-lifetime 5
      What an API that takes DPoP asks of proofs.
  oauth-mock attack --target http://127.0.0.1:3000/read --scope read --part certificates \\
      --certificate-header xfcc --untrusted-from 127.0.0.2
      What it makes of certificates: 127.0.0.1 has to be among its trusted proxies, and 127.0.0.2 not.";

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
    suite = args.header.iter().fold(suite, |suite, (name, value)| suite.header(name, value));
    suite = suite
        .method(args.method.clone())
        .allowed(args.allow_alg.iter().copied())
        .parallel(args.parallel.into())
        .timeout(Duration::from_secs(args.timeout));
    suite = args.rate.into_iter().fold(suite, Suite::rate);
    suite = args.time_limit.map(Duration::from_secs).into_iter().fold(suite, Suite::time_limit);
    suite = args.max_token_age.map(Duration::from_secs).into_iter().fold(suite, Suite::max_token_age);
    if let Some(path) = &args.ca {
        let pem = std::fs::read(path)
            .map_err(|error| Failure::new(format!("ca: {} cannot be read: {error}", path.display())))?;
        suite = suite.ca(pem);
    }
    if args.opaque {
        suite = suite.opaque();
    }
    if args.second_issuer {
        suite = suite.second_issuer();
    }
    suite = suite.part(match args.part {
        PartName::Tokens => Part::Tokens,
        PartName::Dpop => Part::Dpop,
        PartName::Certificates => Part::Certificates,
    });
    if let Some(header) = args.certificate_header {
        suite = suite.certificate_header(match header {
            HeaderName::ClientCert => CertificateHeader::ClientCert,
            HeaderName::Xfcc => CertificateHeader::Xfcc,
            HeaderName::Nginx => CertificateHeader::Nginx,
        });
    }
    suite = args.public_url.iter().fold(suite, |suite, url| suite.public_url(url));
    suite = args.nonce_lifetime.map(Duration::from_secs).into_iter().fold(suite, Suite::nonce_lifetime);
    suite = args.untrusted_from.into_iter().fold(suite, |suite, address| suite.untrusted_from(address));
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
    let level = match args.fail_on {
        Level::Accepted => FailOn::Accepted,
        Level::Incorrect => FailOn::Incorrect,
        Level::Differs => FailOn::Differs,
    };
    save("json", args.json.as_deref(), || report.to_json())?;
    save("junit", args.junit.as_deref(), || report.to_junit(level))?;
    save("sarif", args.sarif.as_deref(), || report.to_sarif())?;
    write!(std::io::stdout().lock(), "{report}")?;
    Ok(ExitCode::from(report.exit_code_from(level)))
}

fn save(flag: &str, path: Option<&Path>, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, text())
        .map_err(|error| Failure::new(format!("{flag}: {} cannot be written: {error}", path.display())))
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

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("NAME: VALUE is needed")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn positive(text: &str) -> Result<u64, String> {
    let seconds = text.parse().map_err(|_| "a whole number of seconds is needed")?;
    if seconds == 0 { Err("it must be 1 or more".to_owned()) } else { Ok(seconds) }
}

pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is needed")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}
