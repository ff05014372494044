//! The control port: all that this library can do at run time, over HTTP, for tests in other languages and for the
//! page.
//!
//! It is a port of its own, so that it never stands in the way of an OAuth route, and it takes orders from this machine
//! only: a request whose `Host` is a foreign name (DNS rebinding) or whose `Origin` is a foreign page is refused.

mod accounts;
mod guard;
mod journal;
mod keys;
mod logins;
mod page;
mod routes;
mod rules;
mod server;
mod socket;
mod statements;
mod tls;
mod tokens;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use self::guard::Guard;
pub(crate) use self::page::page_of_the_server;
use crate::builder::{StartError, reachable};
use crate::server::MockServer;

/// An open control port; dropping it closes it. See [`MockServer::control`].
#[must_use = "the port closes when this is dropped"]
pub struct Control {
    url: String,
    serving: AbortHandle,
}

impl Control {
    /// Scheme, host and port, without a slash at the end. There is a web page at `/`, the routes are below `/v1`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl MockServer {
    /// Opens a port from which this server can be steered over HTTP, by tests in any language and by a web page;
    /// `CONTROL.md` beside this crate's manifest has every route. That page is then also at `/` of the server itself,
    /// unless it plays a provider.
    ///
    /// Requests must name this port by an IP address, as `localhost` or by one of `hosts`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use oauth_mock::MockServer;
    ///
    /// let server = MockServer::start().await;
    /// let control = server.control(([127, 0, 0, 1], 0).into(), &[]).await?;
    /// println!("curl -d '{{\"expires_in\": -60}}' {}/v1/mint", control.url());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn control(&self, address: SocketAddr, hosts: &[&str]) -> Result<Control, StartError> {
        let failed = |cause| StartError { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let reached = reachable(listener.local_addr().map_err(failed)?);
        let url = format!("http://{reached}");
        let shared = Arc::clone(self.shared());
        // The first control port stays the one the page talks to.
        let _ = shared.control.set(url.clone());
        let guard = Guard::new(&shared.local, hosts).page(&shared.origin);
        let serving = tokio::spawn(socket::serve(listener, shared, guard)).abort_handle();
        Ok(Control { url, serving })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("url", &self.url).finish_non_exhaustive()
    }
}
