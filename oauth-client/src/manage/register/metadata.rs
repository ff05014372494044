//! Client metadata.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::sign::SigningKey;
use crate::token::Secret;
use crate::token::plaintext_serde::{conceal_some, expose_some};

/// Client metadata (RFC 7591 section 2). What is not set is not sent, and the server decides; what the
/// server made of it is in the [`Registration`](super::Registration).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[must_use]
pub struct ClientMetadata {
    /// Where its users' browsers may come back to.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub redirect_uris: Vec<String>,
    /// How it authenticates at the token endpoint; `client_secret_basic` is meant when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<String>,
    /// The grants it uses; `authorization_code` is meant when absent.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub grant_types: Vec<String>,
    /// The response types it uses; `code` is meant when absent.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub response_types: Vec<String>,
    /// Its display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// A page about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// Its logo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    /// The scopes it may ask for.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "joined", deserialize_with = "words")]
    pub scope: Vec<String>,
    /// Who is responsible for it: e-mail addresses mostly.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub contacts: Vec<String>,
    /// Its terms of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    /// Its privacy policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    /// Where its public keys are. Not beside [`jwks`](Self::jwks).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Its public keys, as a JWK set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// The software, the same for all its installations and versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    /// The software's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// A statement about the software, signed by a party that the server trusts (RFC 7591 section 2.3): a JWT.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some",
        deserialize_with = "conceal_some"
    )]
    pub software_statement: Option<Secret>,
    /// All other members: `application_type` and the rest of OpenID Connect's, `dpop_bound_access_tokens`, names in
    /// other languages such as `client_name#fr`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A setter for each member that is text.
macro_rules! texts {
    ($($(#[$about:meta])* $member:ident,)+) => {
        $($(#[$about])* pub fn $member(mut self, value: impl Into<String>) -> Self {
            self.$member = Some(value.into());
            self
        })+
    };
}

/// A setter for each member that is a list.
macro_rules! lists {
    ($($(#[$about:meta])* $member:ident,)+) => {
        $($(#[$about])* pub fn $member<I: IntoIterator<Item: Into<String>>>(mut self, values: I) -> Self {
            self.$member = values.into_iter().map(Into::into).collect();
            self
        })+
    };
}

impl ClientMetadata {
    /// No metadata yet.
    pub fn new() -> Self {
        Self::default()
    }

    texts! {
        /// Its display name.
        client_name,
        /// A page about it.
        client_uri,
        /// Its logo.
        logo_uri,
        /// Its terms of service.
        tos_uri,
        /// Its privacy policy.
        policy_uri,
        /// How it authenticates at the token endpoint: `none` for an app in its users' hands.
        token_endpoint_auth_method,
        /// Where its public keys are.
        jwks_uri,
        /// The software, the same for all its installations and versions.
        software_id,
        /// The software's version.
        software_version,
    }

    lists! {
        /// Where its users' browsers may come back to.
        redirect_uris,
        /// The grants it uses.
        grant_types,
        /// The response types it uses.
        response_types,
        /// The scopes it may ask for.
        scope,
        /// Who is responsible for it.
        contacts,
    }

    /// A statement about the software, signed by a party that the server trusts: a JWT.
    pub fn software_statement(mut self, statement: impl Into<Secret>) -> Self {
        self.software_statement = Some(statement.into());
        self
    }

    /// It authenticates with this key (`private_key_jwt`), whose public half goes into [`jwks`](Self::jwks).
    pub fn signing_key(mut self, key: &SigningKey) -> Self {
        self.token_endpoint_auth_method = Some("private_key_jwt".to_owned());
        self.jwks = Some(serde_json::json!({ "keys": [key.public_jwk()] }));
        self
    }

    /// One more member, or one of those above in another language: `client_name#fr` (RFC 7591 section 2.2).
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for ClientMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMetadata")
            .field("client_name", &self.client_name)
            .field("redirect_uris", &self.redirect_uris)
            .field("token_endpoint_auth_method", &self.token_endpoint_auth_method)
            .field("grant_types", &self.grant_types)
            .field("scope", &self.scope)
            // A server may have put a secret of its own there, so only the names are shown.
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn joined<S: Serializer>(scope: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scope.join(" "))
}

/// Words in a string, or a list of them as some servers write.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scope {
        Words(String),
        List(Vec<String>),
        Null,
    }
    Ok(match Scope::deserialize(deserializer)? {
        Scope::Words(words) => words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        Scope::List(list) => list,
        Scope::Null => Vec::new(),
    })
}

/// Some servers write what is not set as null.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
