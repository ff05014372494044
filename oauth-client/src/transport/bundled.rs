//! The bundled transport: reqwest on rustls, with redirects off.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt;
use tower_service::Service;

use super::reqwest_builder::{CONNECT_TIMEOUT, build};
use super::tls::{Rotating, Tls};
use super::{BoxFuture, HttpClient, NotSent, RequestBody};
use crate::error::{BoxError, Error, Problem};

impl HttpClient {
    /// The bundled client: reqwest with rustls and the platform's certificates, 5 seconds to connect.
    ///
    /// Proxies are taken from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), as reqwest does.
    ///
    /// # Errors
    /// `config` when TLS cannot be set up on this machine.
    pub fn new() -> Result<Self, Error> {
        Self::from_reqwest(reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT))
    }

    /// The bundled client, from a builder with your own proxies, certificates or resolver.
    ///
    /// It takes the builder and not a finished client so that redirects can be switched off. Set a `connect_timeout`
    /// on it: without one, connecting may take as long as the whole exchange.
    ///
    /// # Errors
    /// `config` when the builder's settings cannot be used.
    pub fn from_reqwest(builder: reqwest::ClientBuilder) -> Result<Self, Error> {
        let client = build(builder).map_err(|cause| {
            // As in a container of the program alone.
            let no_authorities = cause.contains("CA certificates") || cause.contains("root certificates");
            let message = match no_authorities {
                true => "this machine has no certificate authorities to trust; install them (the package ca-certificates), or name a file of them in tls.ca".to_owned(),
                false => format!("the HTTP client cannot be built ({cause}); check the TLS settings"),
            };
            Error::from(Problem { field: "http".to_owned(), message })
        })?;
        Ok(Self::from_service(Bundled(Which::Fixed(client))))
    }

    /// The bundled client for plain http alone. It trusts no certificate authority, so it can be built on a machine that has
    /// none.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_tls() -> Result<Self, Error> {
        let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        Self::from_reqwest(builder.tls_certs_only(std::iter::empty()))
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
struct Bundled(Which);

#[derive(Clone)]
enum Which {
    Fixed(reqwest::Client),
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
        let future: BoxFuture<Result<Self::Response, BoxError>> = Box::pin(async move {
            let client = match which {
                Which::Fixed(client) => client,
                Which::Rotating(rotating) => rotating.client().await?,
            };
            let (head, body) = request.into_parts();
            // The body is a single piece that is there already: collecting it copies nothing.
            let bytes = body.collect().await?.to_bytes();
            let request = reqwest::Request::try_from(Request::from_parts(head, bytes))?;
            match client.execute(request).await {
                Ok(response) => Ok(response.into()),
                // An address may carry credentials (`https://user:pass@…`): it stays out of the error.
                Err(error) if error.is_connect() => Err(NotSent(error.without_url().into()).into()),
                Err(error) => Err(error.without_url().into()),
            }
        });
        future
    }
}
