//! SailPoint: OAuth clients as data (its page "Create OAuth Client").
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use oauth_client::manage::sailpoint::{AccessType, GrantType, NewOAuthClient, OAuthClients};
//!
//! # async fn run(http: oauth_client::transport::HttpClient, source: oauth_client::TokenSource) -> Result<(), oauth_client::Error> {
//! let clients = OAuthClients::new(http, source, "https://acme.api.example.com")?;
//! let client = clients
//!     .create(
//!         &NewOAuthClient::new("nightly-report")
//!             .description("Reads what the nightly report needs")
//!             .grant_types([GrantType::ClientCredentials])
//!             .access_type(AccessType::Offline)
//!             .access_token_validity(Duration::from_secs(750))
//!             .scope(["report:read"]),
//!     )
//!     .await?;
//! let secret = client.secret; // shown this once
//! # let _ = secret; Ok(()) }
//! ```

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Api;
use crate::TokenSource;
use crate::dialect;
use crate::dialect::open::{list, one_of, open_enum, text};
use crate::error::Error;
use crate::timestamp::unix_time;
use crate::token::Secret;
use crate::transport::HttpClient;

/// The scope of a client that was created without any: all that its owner may do.
pub const DEFAULT_SCOPE: &str = "sp:scopes:all";

/// SailPoint's API of OAuth clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OAuthClients(Api);

impl OAuthClients {
    /// The API at `base_url`, called with tokens from `source`.
    ///
    /// # Errors
    /// As [`Api::new`].
    pub fn new(http: HttpClient, source: TokenSource, base_url: &str) -> Result<Self, Error> {
        Api::new(http, source, base_url).map(Self)
    }

    /// The same, over an [`Api`] that was built elsewhere.
    #[must_use]
    pub fn from_api(api: Api) -> Self {
        Self(api)
    }

    /// Creates a client: `POST /oauth-clients`. It is sent again only when the token was rejected: a request
    /// without a response may or may not have created a client.
    ///
    /// # Errors
    /// `invalid_request` (400), `invalid_token` (401), `access_denied` (403), `rate_limited` (429, with
    /// [`Error::retry_after`]) and `server_error` (500), each with the body as
    /// [`dialect::sailpoint::ErrorBody`] in [`Error::provider`]; and what else [`Error::code`] lists.
    pub async fn create(&self, client: &NewOAuthClient) -> Result<OAuthClient, Error> {
        self.0.call(Method::POST, "/oauth-clients", Some(client), &dialect::sailpoint()).await
    }
}

/// A client to be created. What is not set is not sent; the page does not say which fields the server insists on, and
/// the server's 400 does. Field names are those of the page's response, since it lost the request's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct NewOAuthClient {
    #[serde(skip_serializing_if = "Option::is_none")]
    business_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage_url: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    access_token_validity_seconds: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    refresh_token_validity_seconds: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uris: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_types: Option<Vec<GrantType>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_type: Option<AccessType>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    client_type: Option<ClientType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strong_auth_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Vec<String>>,
}

impl NewOAuthClient {
    /// A client of this display name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The business it belongs to.
    pub fn business_name(mut self, name: impl Into<String>) -> Self {
        self.business_name = Some(name.into());
        self
    }

    /// The homepage of its owner.
    pub fn homepage_url(mut self, url: impl Into<String>) -> Self {
        self.homepage_url = Some(url.into());
        self
    }

    /// What it is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// How long its access tokens are valid, in whole seconds.
    pub fn access_token_validity(mut self, validity: Duration) -> Self {
        self.access_token_validity_seconds = Some(validity);
        self
    }

    /// How long its refresh tokens are valid, in whole seconds.
    pub fn refresh_token_validity(mut self, validity: Duration) -> Self {
        self.refresh_token_validity_seconds = Some(validity);
        self
    }

    /// Where its users' browsers may come back to. [`GrantType::AuthorizationCode`] needs one or more.
    pub fn redirect_uris<I: IntoIterator<Item: Into<String>>>(mut self, uris: I) -> Self {
        self.redirect_uris = Some(uris.into_iter().map(Into::into).collect());
        self
    }

    /// The grants it can use.
    pub fn grant_types(mut self, grants: impl IntoIterator<Item = GrantType>) -> Self {
        self.grant_types = Some(grants.into_iter().collect());
        self
    }

    /// Whether it works while its user is away.
    pub fn access_type(mut self, access: AccessType) -> Self {
        self.access_type = Some(access);
        self
    }

    /// Whether it can keep a secret.
    pub fn client_type(mut self, kind: ClientType) -> Self {
        self.client_type = Some(kind);
        self
    }

    /// Whether it may be used for requests inside the product.
    pub fn internal(mut self, internal: bool) -> Self {
        self.internal = Some(internal);
        self
    }

    /// Whether it can be used at all.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }

    /// Whether it supports strong authentication.
    pub fn strong_auth_supported(mut self, supported: bool) -> Self {
        self.strong_auth_supported = Some(supported);
        self
    }

    /// Whether it supports SAML claims with the authorization code flow.
    pub fn claims_supported(mut self, supported: bool) -> Self {
        self.claims_supported = Some(supported);
        self
    }

    /// Its scopes. Without any, it gets [`DEFAULT_SCOPE`], which is everything its owner may do.
    pub fn scope<I: IntoIterator<Item: Into<String>>>(mut self, scope: I) -> Self {
        self.scope = Some(scope.into_iter().map(Into::into).collect());
        self
    }
}

/// A client as SailPoint returns it. It is read liberally, because the secret comes this once: what is missing or of
/// another type than the page shows is left empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct OAuthClient {
    /// Its identifier, the `client_id` of its token requests.
    #[serde(deserialize_with = "string")]
    pub id: String,
    /// Its secret, in the response to its creation only. Redacted in `Debug`.
    #[serde(deserialize_with = "secret")]
    pub secret: Option<Secret>,
    /// The business it belongs to.
    #[serde(deserialize_with = "text")]
    pub business_name: Option<String>,
    /// The homepage of its owner.
    #[serde(deserialize_with = "text")]
    pub homepage_url: Option<String>,
    /// Its display name.
    #[serde(deserialize_with = "text")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(deserialize_with = "text")]
    pub description: Option<String>,
    /// How long its access tokens are valid; `accessTokenValiditySeconds` on the wire.
    #[serde(rename = "accessTokenValiditySeconds", deserialize_with = "seconds")]
    pub access_token_validity: Option<Duration>,
    /// How long its refresh tokens are valid; `refreshTokenValiditySeconds` on the wire.
    #[serde(rename = "refreshTokenValiditySeconds", deserialize_with = "seconds")]
    pub refresh_token_validity: Option<Duration>,
    /// Where its users' browsers may come back to.
    #[serde(deserialize_with = "list")]
    pub redirect_uris: Vec<String>,
    /// The grants it can use.
    #[serde(deserialize_with = "list")]
    pub grant_types: Vec<GrantType>,
    /// Whether it works while its user is away.
    #[serde(deserialize_with = "one_of")]
    pub access_type: Option<AccessType>,
    /// Whether it can keep a secret; `type` on the wire.
    #[serde(rename = "type", deserialize_with = "one_of")]
    pub client_type: Option<ClientType>,
    /// Whether it may be used for requests inside the product.
    #[serde(deserialize_with = "flag")]
    pub internal: Option<bool>,
    /// Whether it can be used at all.
    #[serde(deserialize_with = "flag")]
    pub enabled: Option<bool>,
    /// Whether it supports strong authentication.
    #[serde(deserialize_with = "flag")]
    pub strong_auth_supported: Option<bool>,
    /// Whether it supports SAML claims with the authorization code flow.
    #[serde(deserialize_with = "flag")]
    pub claims_supported: Option<bool>,
    /// When it was created, as Unix time to the millisecond.
    #[serde(deserialize_with = "unix_time")]
    pub created: Option<Duration>,
    /// When it was last changed, as Unix time to the millisecond.
    #[serde(deserialize_with = "unix_time")]
    pub modified: Option<Duration>,
    /// Its scopes.
    #[serde(deserialize_with = "list")]
    pub scope: Vec<String>,
}

open_enum! {
    /// A grant that a client can use.
    GrantType {
        ClientCredentials = "CLIENT_CREDENTIALS",
        AuthorizationCode = "AUTHORIZATION_CODE",
        RefreshToken = "REFRESH_TOKEN",
    }
}

open_enum! {
    /// Whether a client works while its user is away.
    AccessType {
        Online = "ONLINE",
        Offline = "OFFLINE",
    }
}

open_enum! {
    /// Whether a client can keep a secret (RFC 6749 section 2.1).
    ClientType {
        Confidential = "CONFIDENTIAL",
        Public = "PUBLIC",
    }
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn whole_seconds<S: Serializer>(validity: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    validity.map(|validity| validity.as_secs()).serialize(serializer)
}

fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer).map(Option::unwrap_or_default)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    text(deserializer).map(|text| text.map(Secret::new))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = text(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs))
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}
