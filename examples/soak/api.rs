//! The API: a guard with one fixed issuer and tenants that are resolved, and what operators do to it.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use oauth_guard::revocation::RevocationSettings;
use oauth_guard::{Claims, Guard, GuardBuilder, Issuer, KeyPolicy, Requirement};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::authority::{Authority, LIFETIME};

/// Small, so that it is full long before the run ends.
const CACHE: u64 = 1024 * 1024;

pub(crate) struct Api {
    pub(crate) guard: Guard,
    pub(crate) url: String,
    serving: JoinHandle<std::io::Result<()>>,
    over: watch::Sender<bool>,
}

impl Api {
    pub(crate) async fn start(authority: &Authority) -> Result<Self, Failure> {
        let guard = Self::config(authority).build()?;
        let whoami = |claims: Claims| async move { claims.subject().unwrap_or_default().to_owned() };
        let orders = get(whoami).layer(guard.layer().require(Requirement::scope("read")));
        let app = Router::new().route("/orders", orders).merge(guard.revocation_routes());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (over, mut is_over) = watch::channel(false);
        let serving = tokio::spawn(async move {
            let over = async move { drop(is_over.wait_for(|over| *over).await) };
            axum::serve(listener, app).with_graceful_shutdown(over).await
        });
        Ok(Self { guard, url, serving, over })
    }

    fn config(authority: &Authority) -> GuardBuilder {
        let tenants = format!("{}/tenant-", authority.issuer);
        let revocation = RevocationSettings::new()
            .backchannel_logout("/backchannel-logout")
            .client_id("web")
            .longest_token(LIFETIME);
        Guard::builder()
            .issuer(Issuer::new(&authority.issuer).audience("orders-api"))
            .resolve_issuers(move |name: String| {
                let number = name.strip_prefix(&tenants).and_then(|number| number.parse::<usize>().ok());
                let known = number.filter(|number| *number < crate::authority::TENANTS);
                async move { Ok::<_, Infallible>(known.map(|_| Issuer::new(name).audience("orders-api"))) }
            })
            // Everything is on this machine.
            .allow_private_jwks()
            .keys(KeyPolicy { cooldown: Duration::from_secs(1), ..KeyPolicy::default() })
            .cache_bytes(CACHE)
            .revocation(revocation)
    }

    /// The same configuration again.
    pub(crate) fn reload(&self, authority: &Authority) -> Result<(), Failure> {
        Ok(self.guard.reload(Self::config(authority))?)
    }

    /// After the last call: waits until all connections have ended.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.over.send_replace(true);
        Ok(self.serving.await??)
    }
}
