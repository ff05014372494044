//! `protected_api` with a configuration of its own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::example::example;
use crate::file::File;

/// One that runs; it ends with this.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    _child: Child,
}

impl Api {
    /// Trusts this issuer; `top` are keys of the top level, `tables` those behind the issuer.
    pub(crate) async fn start(name: &str, issuer: &str, top: &str, tables: &str) -> Self {
        let address = crate::free_port();
        let text =
            format!("{top}\n[[issuer]]\nissuer = \"{issuer}\"\naudience = [\"orders-api\"]\n{tables}\n");
        let config = File::new(&format!("{name}.toml"), &text);
        let mut api = example("protected_api");
        api.arg("--config").arg(&config.0).args(["--listen", &address.to_string()]);
        let mut child = api.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        let first = first.expect("the program says READY within a minute").unwrap();
        assert!(first.is_some_and(|line| line.starts_with("READY ")), "{text}");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, _child: child }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
