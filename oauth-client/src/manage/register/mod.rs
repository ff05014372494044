//! Clients that register themselves (RFC 7591), and what becomes of them (RFC 7592).
//!
//! ```
//! use oauth_client::manage::register::{ClientMetadata, Registrar, Registration};
//! # use {bytes::Bytes, http::Response, http_body_util::Full, oauth_client::transport::{HttpClient, RequestBody}};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let http = HttpClient::from_service(tower::service_fn(|_: http::Request<RequestBody>| async {
//! #     let response = r#"{"client_id":"s6BhdRkqt3","client_secret":"cf136dc3","client_secret_expires_at":0,
//! #         "redirect_uris":["http://127.0.0.1/callback"]}"#;
//! #     Ok::<_, std::io::Error>(Response::builder().status(201).body(Full::new(Bytes::from(response))).unwrap())
//! # }));
//! let registrar = Registrar::new(http, "https://auth.example.com/register")?; // or Registrar::from_metadata(http, &metadata)
//! let wanted = ClientMetadata::new()
//!     .client_name("My editor")
//!     .redirect_uris(["http://127.0.0.1/callback"])
//!     .grant_types(["authorization_code", "refresh_token"]);
//! let registration = registrar.register(&wanted).await?;
//!
//! // Who we are from now on:
//! let auth = registration.auth()?;
//! assert_eq!(auth.client_id(), "s6BhdRkqt3");
//!
//! // Kept for the next start, with its secrets in the clear; `Debug` shows none.
//! let kept = serde_json::to_string(&registration)?;
//! assert_eq!(serde_json::from_str::<Registration>(&kept)?, registration);
//! assert!(!format!("{registration:?}").contains("cf136dc3"));
//! # Ok(()) }
//! ```

mod metadata;
mod registration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request};
use serde_json::{Map, Value};
use url::Url;

pub use self::metadata::ClientMetadata;
pub use self::registration::Registration;
use super::{json_request, read};
use crate::dialect;
use crate::discover::{Endpoint, Metadata, limits_beyond, may_lead_to};
use crate::error::Error;
use crate::token::Secret;
use crate::transport::{HttpClient, Limits};

/// Where clients register (RFC 7591 section 3). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registrar {
    http: HttpClient,
    endpoint: Url,
    initial_access_token: Option<Secret>,
    limits: Limits,
    /// Whether a foreign document has named the endpoint.
    public_only: bool,
}

impl Registrar {
    /// The registration endpoint at this URL.
    ///
    /// # Errors
    /// `config` when that is not an http or https URL.
    pub fn new(http: HttpClient, endpoint: &str) -> Result<Self, Error> {
        let url = Url::parse(endpoint).ok().filter(Url::has_host);
        let endpoint = url.ok_or_else(|| {
            let message = "is no URL; expected something like https://auth.example.com/register";
            Error::config("registration_endpoint", message)
        })?;
        Ok(Self { http, endpoint, initial_access_token: None, limits: Limits::token(), public_only: false })
    }

    /// The registration endpoint of a server whose [metadata](crate::discover::discover) is known.
    ///
    /// # Errors
    /// `discovery` when it names none.
    pub fn from_metadata(http: HttpClient, server: &Metadata) -> Result<Self, Error> {
        let endpoint = server.endpoint(Endpoint::Registration).ok_or_else(|| {
            Error::discovery(
                "the document names no registration_endpoint; clients of this server are registered by hand",
            )
        })?;
        let mut this = Self::new(http, endpoint.as_str())?;
        this.public_only = server.public_only(endpoint);
        Ok(this)
    }

    /// The credential for a server where registration is protected (RFC 7591 section 3).
    #[must_use]
    pub fn initial_access_token(mut self, token: impl Into<Secret>) -> Self {
        self.initial_access_token = Some(token.into());
        self
    }

    /// Other [limits](Limits) than those of token requests; plain http to other machines among them.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Registers a client. It is sent once: a request without a response may or may not have created a client.
    ///
    /// # Errors
    /// `invalid_redirect_uri`, `invalid_client_metadata`, `invalid_software_statement` and
    /// `unapproved_software_statement` (RFC 7591 section 3.2.2), `invalid_token` when the initial access token is
    /// missing or not taken, and the other codes of [`Error::code`].
    pub async fn register(&self, client: &ClientMetadata) -> Result<Registration, Error> {
        let body = serde_json::to_string(client).map_err(|_| unwritable())?;
        let token = self.initial_access_token.as_ref();
        let secrets = [client.software_statement.as_ref(), None];
        let object = self.ask(Method::POST, &self.endpoint, Some(body), token, secrets).await?;
        Registration::read(object, &self.endpoint)
    }

    /// Reads the registration as the server has it now (RFC 7592 section 2.1). Secrets and tokens that are new in the
    /// response replace the old ones, and those that it leaves out stay: keep what is returned.
    ///
    /// # Errors
    /// `unsupported` when the server gave no means to manage the client; `discovery` when it gave a URL that its token
    /// must not be sent to, such as a private address under a public endpoint; `invalid_token` when it is gone, or the
    /// registration access token is not taken; and the other codes of [`Error::code`].
    pub async fn read(&self, registration: &Registration) -> Result<Registration, Error> {
        let (url, token) = self.managed_at(registration)?;
        let object = self.ask(Method::GET, url, None, Some(token), [None; 2]).await?;
        registration.replaced_by(object, url, registration.metadata().token_endpoint_auth_method.as_deref())
    }

    /// Replaces the client's whole metadata (RFC 7592 section 2.2): the server drops what `client` leaves out, so start
    /// from [`Registration::metadata`]. Keep what is returned.
    ///
    /// # Errors
    /// As [`read`](Self::read) and [`register`](Self::register).
    pub async fn update(
        &self,
        registration: &Registration,
        client: &ClientMetadata,
    ) -> Result<Registration, Error> {
        let (url, token) = self.managed_at(registration)?;
        let mut object = match serde_json::to_value(client) {
            Ok(Value::Object(object)) => object,
            _ => return Err(unwritable()),
        };
        object.insert("client_id".to_owned(), registration.client_id().into());
        let secret = registration.client_secret();
        object.extend(secret.map(|secret| ("client_secret".to_owned(), secret.expose().into())));
        let body = serde_json::to_string(&object).map_err(|_| unwritable())?;
        let secrets = [secret, client.software_statement.as_ref()];
        let object = self.ask(Method::PUT, url, Some(body), Some(token), secrets).await?;
        registration.replaced_by(object, url, client.token_endpoint_auth_method.as_deref())
    }

    /// Removes the client (RFC 7592 section 2.3). Its tokens are no longer accepted.
    ///
    /// # Errors
    /// As [`read`](Self::read); `invalid_request` with status 405 when the server removes none.
    pub async fn delete(&self, registration: &Registration) -> Result<(), Error> {
        let (url, token) = self.managed_at(registration)?;
        let request = authorized(json_request(Method::DELETE, url, None)?, Some(token))?;
        let response = self.http.send(request, &self.limits_at(url)).await?;
        if response.status().is_success() {
            return Ok(());
        }
        match read(response, [token].into_iter(), &dialect::standard()) {
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The server has chosen the URL, and the token goes with the request: it is held to the rules for URLs that a document
    /// names. A registration is kept whatever its URL, since its credentials come but once.
    fn managed_at<'a>(&self, registration: &'a Registration) -> Result<(&'a Url, &'a Secret), Error> {
        let (url, token) = registration.managed_at()?;
        may_lead_to(&self.endpoint, "registration_client_uri", url, self.limits.allow_http)?;
        Ok((url, token))
    }

    fn limits_at(&self, url: &Url) -> Limits {
        let limits = limits_beyond(&self.endpoint, url, &self.limits);
        Limits { public_only: limits.public_only || self.public_only, ..limits }
    }

    /// `secrets`: what is in the body and must not be seen again.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        body: Option<String>,
        token: Option<&Secret>,
        secrets: [Option<&Secret>; 2],
    ) -> Result<Map<String, Value>, Error> {
        let request = authorized(json_request(method, url, body)?, token)?;
        let response = self.http.send(request, &self.limits_at(url)).await?;
        read(response, token.into_iter().chain(secrets.into_iter().flatten()), &dialect::standard())
    }
}

fn authorized(mut request: Request<Bytes>, token: Option<&Secret>) -> Result<Request<Bytes>, Error> {
    if let Some(token) = token {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| {
            Error::config("registration_access_token", "has characters that a header cannot carry")
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

fn unwritable() -> Error {
    Error::config("client_metadata", "cannot be written as JSON")
}
