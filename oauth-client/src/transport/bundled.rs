//! The bundled transport: reqwest on rustls, with redirects off.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower_service::Service;

use super::clients::{Certificates, Clients, unusable};
use super::tls::{Rotating, Tls};
use super::{BoxFuture, HttpClient, NotSent, RequestBody};
use crate::error::{BoxError, Error};

impl HttpClient {
    /// The bundled client: reqwest with rustls and the platform's certificates, 5 seconds to connect.
    ///
    /// Proxies are taken from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), as reqwest does;
    /// but requests to this machine never go through one. Requests to hosts that a foreign document names
    /// ([`Limits::public_only`](super::Limits::public_only)) connect to public addresses only. Through a proxy, it is
    /// the proxy that resolves their names.
    ///
    /// # Errors
    /// `config` when TLS cannot be set up on this machine.
    pub fn new() -> Result<Self, Error> {
        let clients = Clients::new(Certificates::default()).map_err(unusable)?;
        Ok(Self::from_service(Bundled::fixed(clients)))
    }

    /// The bundled client, from a builder with your own proxies, certificates or resolver.
    ///
    /// It takes the builder and not a finished client so that redirects can be switched off. Set a `connect_timeout`
    /// on it: without one, connecting may take as long as the whole exchange.
    ///
    /// Plain http to this machine goes to it directly, by none of the builder's proxies. The name of a host that a foreign document
    /// names ([`Limits::public_only`](super::Limits::public_only)) is looked up before the request and refused when one of
    /// its addresses is private. The builder's resolver looks it up once more: if the name changes in between, only
    /// that resolver can refuse it.
    ///
    /// # Errors
    /// `config` when the builder's settings cannot be used.
    pub fn from_reqwest(builder: reqwest::ClientBuilder) -> Result<Self, Error> {
        Ok(Self::from_service(Bundled::fixed(Clients::own(builder).map_err(unusable)?)))
    }

    /// The bundled client for plain http alone. It trusts no certificate authority, so it can be built on a machine that has
    /// none.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_tls() -> Result<Self, Error> {
        let clients = Clients::new(Certificates::none()).map_err(unusable)?;
        Ok(Self::from_service(Bundled::fixed(clients)))
    }

    /// The bundled client, with certificates of your own.
    ///
    /// # Errors
    /// `config`, naming `tls.ca`, `tls.cert` or `tls.key`, when they cannot be read or do not fit.
    pub fn with_tls(tls: Tls) -> Result<Self, Error> {
        Ok(Self::from_service(Bundled(Which::Rotating(Arc::new(Rotating::new(tls)?)))))
    }
}

#[derive(Clone)]
pub(super) struct Bundled(Which);

impl Bundled {
    pub(super) fn fixed(clients: Clients) -> Self {
        Self(Which::Fixed(clients))
    }
}

#[derive(Clone)]
enum Which {
    Fixed(Clients),
    Rotating(Arc<Rotating>),
}

impl Service<Request<RequestBody>> for Bundled {
    type Response = Response<reqwest::Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let which = self.0.clone();
        let future: BoxFuture<'static, Result<Self::Response, BoxError>> = Box::pin(async move {
            let clients = match which {
                Which::Fixed(clients) => clients,
                Which::Rotating(rotating) => rotating.clients().await?,
            };
            let (head, body) = request.into_parts();
            let client = clients.client(&head).await?;
            // The body is a single piece that is there already: collecting it copies nothing.
            let bytes = body.collect().await?.to_bytes();
            let request = reqwest::Request::try_from(Request::from_parts(head, bytes))?;
            let error = match client.execute(request).await {
                Ok(response) => return Ok(response.into()),
                Err(error) => error,
            };
            match by_resolver(&error) {
                Some(refused) => Err(refused.into()),
                // An address may carry credentials (`https://user:pass@…`): it stays out of the error.
                None if error.is_connect() => Err(NotSent(error.without_url().into()).into()),
                None => Err(error.without_url().into()),
            }
        });
        future
    }
}

/// What our resolver has refused, from below what reqwest makes of it.
fn by_resolver(error: &reqwest::Error) -> Option<Error> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref().cloned())
}
