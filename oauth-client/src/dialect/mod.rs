//! How a provider deviates from RFC 6749, as data.
//!
//! A [`Dialect`] lists what one provider does in its own way: how the token request is written, what the
//! members of its response are called, what its error bodies look like, and how its API says "your token has expired".
//! Each preset is such a list in a file of its own, made with the methods that are public here; a provider without a
//! preset is described in the same way, [in code](Dialect::new) or as the table `custom` of a
//! [configuration](crate::config).
//!
//! ```
//! use oauth_client::{Client, ClientAuth, dialect, grant};
//!
//! let client = Client::builder()
//!     .provider(dialect::infolink())
//!     .base_url("https://infolink.example.com")
//!     .auth(ClientAuth::post("9605c5d5-2a1b-49cc-8aaa-b350ee9d86b6", "s3cr3t"))
//!     .build()?;
//! let source = client.source(grant::client_credentials()).build()?;
//!
//! // ILS takes its credentials in the body and nowhere else.
//! let wrong = Client::builder().provider(dialect::ils()).auth(ClientAuth::basic("svc", "s3cr3t")).build();
//! assert_eq!(wrong.unwrap_err().problems()[0].field, "client_auth");
//! # Ok::<(), oauth_client::Error>(())
//! ```
//!
//! | preset | provider | request | base URL |
//! |---|---|---|---|
//! | [`standard`] | any that keeps to RFC 6749 | form | none: issuer or token endpoint |
//! | [`ils()`] | ILS | JSON, no `grant_type` | `https://api.ils.live` |
//! | [`infolink()`] | InfoLink | form | to be given |
//! | [`sailpoint()`] | SailPoint | form | to be given |
//! | [`comm100()`] | Comm100 | form, `partnerId` in the query | `https://partner.comm100.io` |
//! | [`teen_quotes()`] | Teen Quotes | JSON, or form | `https://api.teen-quotes.com` |
//! | [`cognito()`] | Amazon Cognito | form | none: the user pool's issuer |
//! | [`entra()`] | Microsoft Entra ID | form | none: the tenant's issuer |
//! | [`github()`] | GitHub | form | `https://github.com` |
//! | [`google()`] | Google | form | its issuer, `https://accounts.google.com` |
//! | [`slack()`] | Slack | form | `https://slack.com` |
//!
//! A provider's own error is kept beside [`Error::code`](crate::Error::code): its code as
//! [`Error::provider_code`](crate::Error::provider_code), its text as
//! [`Error::description`](crate::Error::description), and the whole of it, typed, as
//! [`Error::provider`](crate::Error::provider).

mod cognito;
mod comm100;
pub mod entra;
mod errors;
mod expired;
mod github;
mod google;
pub mod ils;
pub mod infolink;
pub(crate) mod open;
mod path;
pub mod sailpoint;
mod slack;
pub mod teen_quotes;

use std::fmt;

use serde::de::DeserializeOwned;

use crate::discover::Endpoint;
use crate::error::Error;
use crate::grant::{CIBA, DEVICE_CODE, Grant, JWT_BEARER, Renewal, TOKEN_EXCHANGE};

pub use self::cognito::cognito;
pub use self::comm100::comm100;
pub use self::entra::entra;
pub use self::errors::ErrorShape;
pub(crate) use self::errors::{Details, ReadDetails};
pub(crate) use self::expired::{ExpiredResponse, MAX_BODY as MAX_PEEKED};
pub use self::github::github;
pub use self::google::google;
pub use self::ils::ils;
pub use self::infolink::infolink;
pub(crate) use self::path::Path;
pub use self::sailpoint::sailpoint;
pub use self::slack::slack;
pub use self::teen_quotes::teen_quotes;

/// Exactly what RFC 6749 says, without a deviation.
pub fn standard() -> Dialect {
    Dialect::new("standard")
}

/// What one provider does differently from RFC 6749.
///
/// ```
/// use oauth_client::dialect::{Dialect, ErrorShape};
/// use oauth_client::{Client, ClientAuth};
///
/// let acme = Dialect::new("acme")
///     .base_url("https://api.acme.example")
///     .token_path("/v2/login")
///     .json()
///     .client_auth(["client_secret_post"])
///     .parameter_name("client_id", "app")
///     .parameter_name("client_secret", "key")
///     .response_member("access_token", "data.token")
///     .expires_at("data.valid_until")
///     .error(ErrorShape::own().code("fault.id").description("fault.text"))
///     .code("stale_login", "invalid_grant")
///     .expired_response([("fault.id", "token_expired")]);
///
/// let client = Client::builder().provider(acme).auth(ClientAuth::post("orders", "s3cr3t")).build()?;
/// assert!(format!("{client:?}").contains("https://api.acme.example/v2/login"));
/// # Ok::<(), oauth_client::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Dialect {
    pub(crate) name: String,
    pub(crate) base_url: Option<String>,
    pub(crate) token_path: Option<String>,
    pub(crate) json: bool,
    pub(crate) sends_grant_type: bool,
    pub(crate) client_auth: Vec<String>,
    pub(crate) grants: Vec<String>,
    pub(crate) required: Vec<String>,
    pub(crate) names: Vec<(String, String)>,
    pub(crate) query: Vec<String>,
    pub(crate) refresh_is_alone: bool,
    pub(crate) response: Vec<(String, Path)>,
    pub(crate) expires_at: Option<Path>,
    pub(crate) zero_lifetime_is_unknown: bool,
    pub(crate) bearer_types: Vec<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) endpoints: Vec<(Endpoint, String)>,
    pub(crate) errors: Vec<ErrorShape>,
    pub(crate) codes: Vec<(String, String)>,
    pub(crate) transient: Vec<String>,
    pub(crate) details: Option<ReadDetails>,
    pub(crate) expired: ExpiredResponse,
}

/// Where the provider is.
impl Dialect {
    /// A dialect with no deviation yet. The name is for messages.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            base_url: None,
            token_path: None,
            json: false,
            sends_grant_type: true,
            client_auth: Vec::new(),
            grants: Vec::new(),
            required: Vec::new(),
            names: Vec::new(),
            query: Vec::new(),
            refresh_is_alone: false,
            response: Vec::new(),
            expires_at: None,
            zero_lifetime_is_unknown: false,
            bearer_types: Vec::new(),
            issuer: None,
            endpoints: Vec::new(),
            errors: Vec::new(),
            codes: Vec::new(),
            transient: Vec::new(),
            details: None,
            expired: ExpiredResponse::default(),
        }
    }

    /// What a parameter is called on the wire.
    pub(crate) fn name_of<'a>(&'a self, standard: &'a str) -> &'a str {
        self.names.iter().find(|(name, _)| name == standard).map_or(standard, |(_, theirs)| theirs)
    }

    /// Why this grant is not to be sent to the provider, if it is not.
    ///
    /// # Errors
    /// `config`, with the grants that the provider has.
    pub(crate) fn check_grant(&self, grant: &dyn Grant) -> Result<(), Error> {
        // However a person gives it, the source of it is the same.
        let ways: &[&str] = match grant.renewal() {
            Renewal::Login => &["authorization_code", DEVICE_CODE, CIBA],
            _ => &[grant.grant_type()],
        };
        match ways.iter().any(|way| self.check_grant_type(way).is_ok()) {
            true => Ok(()),
            false => Err(Error::config("grant", self.no_grant(grant.grant_type()))),
        }
    }

    /// The same, by what is sent as `grant_type`: before a person is asked for it.
    ///
    /// # Errors
    /// As [`check_grant`](Self::check_grant).
    pub(crate) fn check_grant_type(&self, sent: &str) -> Result<(), Error> {
        let names: &[&str] = match sent {
            DEVICE_CODE => &["device_code"],
            CIBA => &["ciba"],
            JWT_BEARER => &["jwt_bearer", "id_jag"],
            TOKEN_EXCHANGE => &["token_exchange"],
            _ => &[],
        };
        let is_known = |known: &String| known == sent || names.contains(&known.as_str());
        if self.grants.is_empty() || self.grants.iter().any(is_known) {
            return Ok(());
        }
        Err(Error::config("grant", self.no_grant(sent)))
    }

    /// What is wrong with a grant that the provider does not have.
    pub(crate) fn no_grant(&self, grant: &str) -> String {
        format!("{grant} is not a grant of provider {}; expected {}", self.name, self.grants.join(", "))
    }

    /// The name, as it stands in a configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scheme, host and port when no other [base URL](crate::ClientBuilder::base_url) is given.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// The path of the token endpoint below the base URL, such as `/oauth/token`.
    pub fn token_path(mut self, path: impl Into<String>) -> Self {
        self.token_path = Some(path.into());
        self
    }

    /// The path of another endpoint below the base URL, for a provider without metadata.
    pub fn endpoint(mut self, endpoint: Endpoint, path: impl Into<String>) -> Self {
        self.endpoints.push((endpoint, path.into()));
        self
    }

    /// The issuer when no other is given, for a provider that has one for all its clients.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }
}

/// How the token request is written.
impl Dialect {
    /// The parameters go out as one JSON object of strings; a parameter that repeats becomes a list.
    pub fn json(mut self) -> Self {
        self.json = true;
        self
    }

    /// The parameters go out as a form, as RFC 6749 says: undoes [`json`](Self::json).
    pub fn form(mut self) -> Self {
        self.json = false;
        self
    }

    /// `grant_type` is not sent: the endpoint knows one grant only.
    pub fn without_grant_type(mut self) -> Self {
        self.sends_grant_type = false;
        self
    }

    /// How a client may authenticate, by the names of RFC 7591 (`client_secret_post` …), the usual way first. Building
    /// the client reports any other method as an error. When not set, all are accepted.
    pub fn client_auth<I: IntoIterator<Item: Into<String>>>(mut self, methods: I) -> Self {
        self.client_auth = methods.into_iter().map(Into::into).collect();
        self
    }

    /// The grants that the provider has, by their `grant_type` or by the name that a [configuration](crate::config) has
    /// for them (`jwt_bearer`), the usual one first: it is used when a configuration names none. Any other grant is an
    /// error, and nothing is sent; a refresh token that came with a token may be used in any case. When not set, all are
    /// accepted.
    pub fn grants<I: IntoIterator<Item: Into<String>>>(mut self, grants: I) -> Self {
        self.grants = grants.into_iter().map(Into::into).collect();
        self
    }

    /// A parameter that no request may go without, by its standard name.
    pub fn required(mut self, parameter: impl Into<String>) -> Self {
        self.required.push(parameter.into());
        self
    }

    /// Another name for a parameter: `client_id` may go out as `clientId`. It replaces the one that was set before.
    pub fn parameter_name(mut self, standard: impl Into<String>, theirs: impl Into<String>) -> Self {
        put(&mut self.names, standard.into(), theirs.into());
        self
    }

    /// A parameter that goes into the query of the URL, by its standard name. A secret never does, whatever is set
    /// here: URLs are logged.
    pub fn in_query(mut self, parameter: impl Into<String>) -> Self {
        self.query.push(parameter.into());
        self
    }

    /// A refresh token is sent alone, without the client's id and secret.
    pub fn refresh_without_client(mut self) -> Self {
        self.refresh_is_alone = true;
        self
    }
}

/// How its responses are read.
impl Dialect {
    /// Where a member of the token response is, when it is not where RFC 6749 section 5.1 puts it: for instance
    /// `access_token` at `data.token`. Names are joined by dots; a JSON Pointer (RFC 6901) works too.
    pub fn response_member(mut self, standard: impl Into<String>, path: impl Into<String>) -> Self {
        self.response.push((standard.into(), Path::new(path)));
        self
    }

    /// A further `token_type` for tokens that are used as bearer tokens (RFC 6750), in addition to `Bearer`: Slack's
    /// `bot`.
    pub fn bearer_type(mut self, token_type: impl Into<String>) -> Self {
        self.bearer_types.push(token_type.into());
        self
    }

    /// `"expires_in": 0` means that the provider does not say how long the token lives, and not that it has expired
    /// already. It is then used like one without `expires_in`: until the API rejects it, or for the source's default
    /// lifetime.
    pub fn zero_lifetime_is_unknown(mut self) -> Self {
        self.zero_lifetime_is_unknown = true;
        self
    }

    /// Where the response says when the token expires: as Unix time in seconds or milliseconds, as a date of RFC 3339
    /// (`2030-01-01T00:00:00Z`), or as one of HTTP's. If `expires_in` is there too, it wins: it counts from the moment
    /// the request was sent, so it does not depend on the server's clock.
    pub fn expires_at(mut self, path: impl Into<String>) -> Self {
        self.expires_at = Some(Path::new(path));
        self
    }

    /// A shape that error bodies have. Those added first are tried first; without any, RFC 6749 section 5.2 holds.
    pub fn error(mut self, shape: ErrorShape) -> Self {
        self.errors.push(shape);
        self
    }

    /// The OAuth code that a code of the provider stands for: `invalid_refresh` may be `invalid_grant`. It replaces the
    /// one that was set before.
    pub fn code(mut self, theirs: impl Into<String>, standard: impl Into<String>) -> Self {
        put(&mut self.codes, theirs.into(), standard.into());
        self
    }

    /// A code of the provider that means "later": [`Error::is_transient`](crate::Error::is_transient), whatever the
    /// status.
    pub fn transient(mut self, code: impl Into<String>) -> Self {
        self.transient.push(code.into());
        self
    }

    /// The type that error bodies are read into, for [`Error::provider`](crate::Error::provider). A body that does
    /// not fit it is kept as [text](crate::Error::unrecognized).
    pub fn error_type<T: DeserializeOwned + fmt::Debug + Send + Sync + 'static>(mut self) -> Self {
        self.details = Some(ReadDetails::of::<T>());
        self
    }

    /// How the provider's API says that a token has expired, other than by 401: each of these places in the JSON body
    /// of a response, whatever its status, holds this text. The [layer](crate::attach) then gets another token and
    /// sends the request once more.
    ///
    /// Bodies of up to 4 KiB are inspected, with a content type of JSON or plain text, or without one.
    pub fn expired_response<P: Into<String>, T: Into<String>>(
        mut self,
        says: impl IntoIterator<Item = (P, T)>,
    ) -> Self {
        self.expired = ExpiredResponse::new(says.into_iter().map(|(path, text)| (path.into(), text.into())));
        self
    }
}

/// The last word counts, also against a preset's.
fn put(list: &mut Vec<(String, String)>, name: String, value: String) {
    match list.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => list.push((name, value)),
    }
}

impl Default for Dialect {
    fn default() -> Self {
        standard()
    }
}
