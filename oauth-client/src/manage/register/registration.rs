//! A registered client.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use url::Url;

use super::ClientMetadata;
use crate::authenticate::ClientAuth;
use crate::error::{Error, Kind, printable};
use crate::manage::typed;
use crate::token::Secret;
use crate::token::plaintext_serde::{conceal_some, expose_some};

/// A client as the server has it (RFC 7591 section 3.2.1).
///
/// It serializes as the server wrote it, with its secrets in the clear, because it has to be kept somewhere: a client
/// registers once and not with every start. `Debug` shows none of them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    client_id: String,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some",
        deserialize_with = "conceal_some"
    )]
    client_secret: Option<Secret>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "seconds",
        deserialize_with = "time"
    )]
    client_id_issued_at: Option<Duration>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "seconds",
        deserialize_with = "time"
    )]
    client_secret_expires_at: Option<Duration>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some",
        deserialize_with = "conceal_some"
    )]
    registration_access_token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registration_client_uri: Option<Url>,
    #[serde(flatten)]
    metadata: ClientMetadata,
}

impl Registration {
    /// The client's identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The client's secret, where it was given one.
    #[must_use]
    pub fn client_secret(&self) -> Option<&Secret> {
        self.client_secret.as_ref()
    }

    /// When the secret expires, as Unix time; `None` when it never does or the server does not say.
    #[must_use]
    pub fn client_secret_expires_at(&self) -> Option<Duration> {
        self.client_secret_expires_at.filter(|end| !end.is_zero())
    }

    /// When the client was made, as Unix time.
    #[must_use]
    pub fn client_id_issued_at(&self) -> Option<Duration> {
        self.client_id_issued_at
    }

    /// The token with which the client can be [read](super::Registrar::read), updated and deleted (RFC 7592), where the
    /// server offers that.
    #[must_use]
    pub fn registration_access_token(&self) -> Option<&Secret> {
        self.registration_access_token.as_ref()
    }

    /// Where the client can be read, updated and deleted (RFC 7592).
    #[must_use]
    pub fn registration_client_uri(&self) -> Option<&Url> {
        self.registration_client_uri.as_ref()
    }

    /// The client's metadata as registered: the server may have changed or added members.
    pub fn metadata(&self) -> &ClientMetadata {
        &self.metadata
    }

    /// The client's authentication, for [`ClientBuilder::auth`](crate::ClientBuilder::auth).
    ///
    /// # Errors
    /// `config` when it authenticates with a key, which only the client has
    /// ([`ClientAuth::private_key_jwt`]), or in a way that is not known here.
    pub fn auth(&self) -> Result<ClientAuth, Error> {
        self.auth_by(None)
    }

    /// The same, by the method that was asked for where the server did not say which it gave; without a secret it did not
    /// give one that needs it.
    pub(crate) fn auth_by(&self, asked: Option<&str>) -> Result<ClientAuth, Error> {
        let id = self.client_id.as_str();
        let can = |asked: &&str| self.client_secret.is_some() || !asked.starts_with("client_secret");
        let asked = asked.filter(can);
        let method = self.metadata.token_endpoint_auth_method.as_deref().or(asked);
        match (method, &self.client_secret) {
            (Some("none"), _) | (None, None) => Ok(ClientAuth::none(id)),
            (Some("client_secret_basic") | None, Some(secret)) => Ok(ClientAuth::basic(id, secret.clone())),
            (Some("client_secret_post"), Some(secret)) => Ok(ClientAuth::post(id, secret.clone())),
            (Some("client_secret_jwt"), Some(secret)) => {
                Ok(ClientAuth::client_secret_jwt(id, secret.clone()))
            }
            (Some("tls_client_auth"), _) => Ok(ClientAuth::tls(id)),
            (Some("self_signed_tls_client_auth"), _) => Ok(ClientAuth::self_signed_tls(id)),
            (Some(method @ ("client_secret_basic" | "client_secret_post" | "client_secret_jwt")), None) => {
                let message =
                    format!("is missing in the registration, and the client was registered for {method}");
                Err(Error::config("client_secret", message))
            }
            (Some("private_key_jwt"), _) => {
                let message = "private_key_jwt needs the key, which only the client has; give it with the client_id to ClientAuth::private_key_jwt";
                Err(Error::config("token_endpoint_auth_method", message))
            }
            (Some(method), _) => {
                let message = format!("{method:?} is not known here; register with another");
                Err(Error::config("token_endpoint_auth_method", message))
            }
        }
    }

    /// Reads what the endpoint at `asked` responded with. A member that does not fit counts as absent, so that the
    /// client that was just made is not lost for it.
    pub(super) fn read(mut object: Map<String, Value>, asked: &Url) -> Result<Self, Error> {
        if let Some(Value::String(place)) = object.get_mut("registration_client_uri")
            && let Some(url) =
                Some(&*place).filter(|place| !place.is_empty()).and_then(|place| asked.join(place).ok())
        {
            *place = url.into();
        }
        object.retain(|name, value| name == "client_id" || fits(name, value));
        let registration: Self = typed(object)?;
        if registration.client_id.is_empty() {
            return Err(Error::malformed("client_id: is empty"));
        }
        Ok(registration)
    }

    pub(super) fn managed_at(&self) -> Result<(&Url, &Secret), Error> {
        self.registration_client_uri.as_ref().zip(self.registration_access_token.as_ref()).ok_or_else(|| {
            Error::new(Kind::Unsupported(
                "the server gave no registration_client_uri and registration_access_token, so the client is managed there by hand"
                    .to_owned(),
            ))
        })
    }

    /// What a server returned when it was asked about this client, or to change it to `method`. What it leaves out of
    /// the credentials stays in force (RFC 7592 section 3), and so does how they are shown.
    pub(super) fn replaced_by(
        &self,
        object: Map<String, Value>,
        asked: &Url,
        method: Option<&str>,
    ) -> Result<Self, Error> {
        let mut new = Self::read(object, asked)?;
        if new.client_id != self.client_id {
            return Err(Error::malformed("client_id: is another client's"));
        }
        let has_own_secret = new.client_secret.is_some();
        let as_before = method.filter(|method| !has_own_secret || takes_secret(method)).map(str::to_owned);
        let method = &mut new.metadata.token_endpoint_auth_method;
        *method = method.take().or(as_before);
        if !has_own_secret && method.as_deref().is_none_or(takes_secret) {
            new.client_secret.clone_from(&self.client_secret);
            new.client_secret_expires_at = self.client_secret_expires_at;
        }
        new.client_id_issued_at = new.client_id_issued_at.or(self.client_id_issued_at);
        new.registration_access_token =
            new.registration_access_token.or_else(|| self.registration_access_token.clone());
        new.registration_client_uri =
            new.registration_client_uri.or_else(|| self.registration_client_uri.clone());
        Ok(new)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .field("client_secret_expires_at", &self.client_secret_expires_at())
            .field("registration_access_token", &self.registration_access_token)
            .field("registration_client_uri", &self.registration_client_uri.as_ref().map(Url::as_str))
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

/// Whether a client that authenticates in this way uses a secret, as far as is known here.
fn takes_secret(method: &str) -> bool {
    !matches!(method, "none" | "private_key_jwt" | "tls_client_auth" | "self_signed_tls_client_auth")
}

/// Whether a member is what it should be. `null` and `""` are what serializers write for one that is not there.
fn fits(name: &str, value: &Value) -> bool {
    if value.is_null() || value == "" {
        return false;
    }
    let alone = Map::from_iter([("client_id".to_owned(), "c".into()), (name.to_owned(), value.clone())]);
    let fits = serde_json::from_value::<Registration>(Value::Object(alone)).is_ok();
    if !fits {
        tracing::debug!(target: "oauth_client", member = %printable(name, 64), "a member of the registration does not fit and is left out");
    }
    fits
}

fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs()).serialize(serializer)
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = match Value::deserialize(deserializer)? {
        Value::Null => None,
        // Some servers write a string, or a fraction.
        Value::String(text) => text.trim().parse::<f64>().ok(),
        value => value.as_f64(),
    };
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.floor()).ok()))
}
