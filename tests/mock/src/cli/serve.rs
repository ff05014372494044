use std::io::{self, Write as _};
use std::net::SocketAddr;

use oauth_mock::{MockServer, User};

use super::Failure;

/// Run the authorization server until it is told to stop (Ctrl-C or SIGTERM).
///
/// The first line on stdout is `READY <url>`: the server answers from then on. Logs go to stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The address of the authorization server; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

const EXAMPLES: &str = "\
Examples:
  oauth-mock serve
      A server on a free port. It knows the client `svc` with the secret `s3cr3t`
      and the user `alice` with the password `wonderland`.
  oauth-mock serve --listen 127.0.0.1:9000
      The same on a port of your choice. Then, for a token:
      curl -u svc:s3cr3t -d grant_type=client_credentials http://127.0.0.1:9000/token";

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let builder = MockServer::builder().user(User::new("alice", "wonderland"));
    let server = builder.listen(args.listen).try_start().await?;
    say(&format!("READY {}", server.url()))?;
    stop.asked().await;
    Ok(())
}

/// One line on stdout, at once: whoever started the program waits for it.
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
