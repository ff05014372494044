use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use oauth_mock::{Config, MockServer};

use super::Failure;

/// Run the authorization server until it is asked to stop (Ctrl-C or SIGTERM)
///
/// The first line on stdout is `READY <url>`: the server accepts requests from then on. `CONTROL <url>` comes next:
/// there it is steered while it runs, by a test over REST or by a user on the page that is also at `/` of the server.
/// Logs go to stderr, a line for each request among them.
///
/// The exit code is 0, or 1 when a test expected requests that did not come, or 2 when the server could not start.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The configuration, TOML or JSON (`.json`); without it the server knows the client `svc` with the secret `s3cr3t`
    /// and the user `alice` with the password `wonderland`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The address of the authorization server, before that of the configuration; port 0 takes a free one
    /// [default: 127.0.0.1:0]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,

    /// The address of the control port, before that of the configuration [default: 127.0.0.1:0]
    #[arg(long, value_name = "HOST:PORT")]
    control: Option<SocketAddr>,

    /// Another name by which the control port may be asked, `mock` in a network of containers for example
    #[arg(long, value_name = "NAME")]
    control_host: Vec<String>,

    /// Speak HTTPS, with a certificate of an authority of its own
    #[arg(long)]
    tls: bool,

    /// Write the authority's certificate here, in PEM, before the server is ready: what clients have to trust
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,

    /// Write no line per request to stderr
    #[arg(long)]
    quiet: bool,

    /// Open no control port
    #[arg(long, conflicts_with_all = ["control", "control_host"])]
    no_control: bool,
}

const EXAMPLES: &str = "\
Examples:
  oauth-mock serve
      A server on a free port.
  oauth-mock serve --listen 127.0.0.1:9000 --control 127.0.0.1:9001
      The same on ports of your choice; open http://127.0.0.1:9000/ in a browser. Then:
      curl -u svc:s3cr3t -d grant_type=client_credentials http://127.0.0.1:9000/token
      curl -d '{\"subject\": \"alice\", \"expires_in\": -60}' http://127.0.0.1:9001/v1/mint
      curl -d '{\"endpoint\": \"token\", \"fault\": \"status\", \"status\": 503, \"times\": 1}' \\
           http://127.0.0.1:9001/v1/faults
  oauth-mock serve --tls --ca ca.pem --listen 127.0.0.1:9443
      With HTTPS: curl --cacert ca.pem https://127.0.0.1:9443/jwks
  oauth-mock serve --config mock.toml
      With clients, users, issuers and faults of your own.";

const FREE_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The exit code when expectations of the control port are not met.
const UNMET: u8 = 1;

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let stop = Stop::listen()?;
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), read)?;
    let listen = args.listen.or(config.listen()).unwrap_or(FREE_PORT);
    let control = args.control.or(config.control()).unwrap_or(FREE_PORT);

    let mut builder = config.into_builder().listen(listen);
    if !args.quiet {
        builder = builder.log_requests();
    }
    if args.tls {
        builder = builder.tls();
    }
    let server = builder.try_start().await?;
    if let Some(path) = &args.ca {
        let failed = |error| Failure::new(format!("cannot write {}: {error}", path.display()));
        fs::write(path, server.ca_pem()).map_err(failed)?;
    }
    let hosts: Vec<_> = args.control_host.iter().map(String::as_str).collect();
    let control = if args.no_control { None } else { Some(server.control(control, &hosts).await?) };
    say(&format!("READY {}", server.local_url()))?;
    if let Some(control) = &control {
        say(&format!("CONTROL {}", control.url()))?;
    }
    log(&server, control.is_some());
    stop.asked().await;
    drop(control);
    server.flush_log();
    Ok(exit_code(&server))
}

fn read(path: &Path) -> Result<Config, Failure> {
    let name = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let config = if json { Config::from_json(&text) } else { Config::from_toml(&text) };
    config.map_err(|mistakes| Failure::new(format!("{name} cannot be used:\n{mistakes}")))
}

fn log(server: &MockServer, has_page: bool) {
    let issuers = [server.issuer()].into_iter().chain(server.other_issuers().map(|issuer| issuer.issuer()));
    issuers.for_each(|issuer| eprintln!("issuer {issuer}"));
    if has_page {
        eprintln!("a page to watch and steer it is at {}/", server.local_url());
    }
}

/// Whether all came that was expected.
fn exit_code(server: &MockServer) -> ExitCode {
    match server.unmet() {
        None => ExitCode::SUCCESS,
        Some(report) => {
            eprintln!("{} did not get the requests that were expected\n{report}", server.url());
            // Reported; a panic would add nothing.
            server.expect_nothing();
            ExitCode::from(UNMET)
        }
    }
}

/// One line on stdout, flushed: the parent process waits for it.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The signals that end the program, listened for before it says that it is ready.
#[derive(Debug)]
struct Stop {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl Stop {
    fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { signals: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?] })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn asked(self) {
        let [mut interrupt, mut terminate] = self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn asked(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing can be heard, so nothing is waited for: the process ends when it is killed.
            std::future::pending().await
        }
    }
}
