//! Token introspection: the state of a token, from the server that issued it (RFC 7662).

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use crate::client::Client;
use crate::discover::Endpoint;
use crate::error::Error;
use crate::token::{Secret, TokenType};
use crate::token_endpoint::{BeforeSend, Parameters};

/// The media type of a signed response (RFC 9701 section 4).
const SIGNED: &str = "application/token-introspection+jwt";

impl Client {
    /// Asks the server about a token (RFC 7662). `None` when it is not active: expired, revoked, never issued, or not
    /// visible to this client. Nothing is cached.
    ///
    /// ```
    /// # use oauth_client::{Client, ClientAuth, grant};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
    /// # let server = oauth_mock::MockServer::start().await;
    /// # let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).build()?;
    /// let tokens = client.request(&grant::client_credentials().scope(["read"])).await?;
    ///
    /// let token = client.introspect(tokens.access_token(), None).await?.ok_or("not active").unwrap();
    /// assert_eq!(token.scope, ["read"]);
    /// assert!(client.introspect(&"guessed".into(), None).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `invalid_client` when the server does not let this client ask; `malformed_response`, naming the member, when its
    /// response makes no sense; `discovery` or `config` when it has no introspection endpoint; and whatever else
    /// [`Error::code`] lists.
    pub async fn introspect(
        &self,
        token: &Secret,
        hint: Option<TokenType>,
    ) -> Result<Option<Introspection>, Error> {
        let mut parameters = Parameters::default();
        parameters.set_secret("token", token.clone());
        if let Some(hint) = hint {
            parameters.set("token_type_hint", hint.name());
        }
        read(self.post_for_object(Endpoint::Introspection, parameters).await?)
    }

    /// The server's response about a token as it came, for a resource server that reads it by rules of its own. Only a
    /// 200 is one (RFC 7662 section 2.2).
    ///
    /// # Errors
    /// As [`introspect`](Self::introspect), but for the body, which is not looked at.
    #[doc(hidden)]
    pub async fn introspection_response(&self, token: &Secret, time: Duration) -> Result<Bytes, Error> {
        let response = self.post_for_ok(Endpoint::Introspection, asking(token), time, &mut ()).await?;
        Ok(response.into_body())
    }

    /// As [`introspection_response`](Self::introspection_response), for a signed response (RFC 9701): a JWT, which is not
    /// verified here.
    ///
    /// # Errors
    /// `malformed_response` as well, when the response is of another media type.
    #[doc(hidden)]
    pub async fn signed_introspection_response(
        &self,
        token: &Secret,
        time: Duration,
    ) -> Result<Bytes, Error> {
        let response = self.post_for_ok(Endpoint::Introspection, asking(token), time, &mut Signed).await?;
        if is_signed(response.headers()) {
            Ok(response.into_body())
        } else {
            Err(Error::malformed(format!("expected a signed response, of the type {SIGNED}")))
        }
    }
}

/// The question of a resource server.
fn asking(token: &Secret) -> Parameters {
    let mut parameters = Parameters::default();
    parameters.set_secret("token", token.clone());
    parameters.set("token_type_hint", TokenType::AccessToken.name());
    parameters
}

/// A request that accepts a signed response alone.
struct Signed;

impl BeforeSend for Signed {
    async fn before_send(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn adapt(&self, headers: &mut HeaderMap) {
        headers.insert(ACCEPT, HeaderValue::from_static(SIGNED));
    }
}

/// Parameters of the media type mean nothing.
fn is_signed(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(SIGNED))
}

/// What the server knows of an active token (RFC 7662 section 2.2).
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Introspection {
    /// What the token is good for.
    pub scope: Vec<String>,
    /// The client it was issued to.
    pub client_id: Option<String>,
    /// The person who authorized it, as a display name.
    pub username: Option<String>,
    /// How it is presented: `Bearer`, `DPoP`.
    pub token_type: Option<String>,
    /// When it expires (`exp`), as Unix time.
    pub expires_at: Option<Duration>,
    /// When it was issued (`iat`), as Unix time.
    pub issued_at: Option<Duration>,
    /// Before when it must not be used (`nbf`), as Unix time.
    pub not_before: Option<Duration>,
    /// Whom it is about (`sub`).
    pub subject: Option<String>,
    /// Whom it is for (`aud`).
    pub audience: Vec<String>,
    /// Who issued it (`iss`).
    pub issuer: Option<String>,
    /// Its identifier (`jti`).
    pub token_id: Option<String>,
    /// All other members, as they came.
    pub extra: Map<String, Value>,
}

fn read(mut object: Map<String, Value>) -> Result<Option<Introspection>, Error> {
    match object.remove("active") {
        Some(Value::Bool(true)) => {}
        // Whatever else is said of it, it is not to be used (RFC 7662 section 2.2 wants nothing else said).
        Some(Value::Bool(false)) => return Ok(None),
        _ => return Err(Error::malformed("active: expected true or false")),
    }
    let mut members = Members(object);
    Ok(Some(Introspection {
        scope: members.words("scope")?,
        client_id: members.text("client_id")?,
        // For people to read: nothing is decided by it.
        username: members.text("username").ok().flatten(),
        token_type: members.text("token_type")?,
        expires_at: members.time("exp")?,
        issued_at: members.time("iat")?,
        not_before: members.time("nbf")?,
        subject: members.text("sub")?,
        audience: members.list("aud")?,
        issuer: members.text("iss")?,
        token_id: members.text("jti")?,
        extra: members.0,
    }))
}

/// The members of the response, taken out one by one. One of another type is an error and not an absent one: the caller
/// decides by them.
struct Members(Map<String, Value>);

impl Members {
    fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(Error::malformed(format!("{name}: expected a string"))),
        }
    }

    /// Seconds since 1970; a fraction is cut.
    fn time(&mut self, name: &str) -> Result<Option<Duration>, Error> {
        let wrong = || Error::malformed(format!("{name}: expected seconds since 1970"));
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(whole) => Ok(Some(Duration::from_secs(whole))),
                None => number
                    .as_f64()
                    .filter(|seconds| *seconds >= 0.0)
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds.floor()).ok())
                    .map(Some)
                    .ok_or_else(wrong),
            },
            Some(_) => Err(wrong()),
        }
    }

    /// Words in a string (RFC 6749 section 3.3), or a list of them.
    fn words(&mut self, name: &str) -> Result<Vec<String>, Error> {
        match self.0.get(name) {
            Some(Value::String(words)) => {
                let words = words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
                self.0.remove(name);
                Ok(words)
            }
            _ => self.list(name),
        }
    }

    /// A string, or a list of them.
    fn list(&mut self, name: &str) -> Result<Vec<String>, Error> {
        let wrong = || Error::malformed(format!("{name}: expected a string, or a list of strings"));
        let items = match self.0.remove(name) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::String(text)) => return Ok(vec![text]),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong()),
        };
        let texts = items.into_iter().map(|item| match item {
            Value::String(text) => Ok(text),
            _ => Err(wrong()),
        });
        texts.collect()
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("scope", &self.scope)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("token_type", &self.token_type)
            .field("expires_at", &self.expires_at)
            .field("issued_at", &self.issued_at)
            .field("not_before", &self.not_before)
            .field("subject", &self.subject)
            .field("audience", &self.audience)
            .field("issuer", &self.issuer)
            .field("token_id", &self.token_id)
            // What the server adds may be confidential.
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Option<Introspection>, Error> {
        super::read(value.as_object().unwrap().clone())
    }

    #[test]
    fn the_example_of_the_rfc_is_understood() {
        let token = read(json!({
            "active": true, "client_id": "l238j323ds-23ij4", "username": "jdoe", "scope": "read write dolphin",
            "sub": "Z5O3upPC88QrAjx00dis", "aud": "https://protected.example.net/resource",
            "iss": "https://server.example.com/", "exp": 1419356238, "iat": 1419350238,
            "extension_field": "twenty-seven"
        }));
        let token = token.unwrap().unwrap();
        assert_eq!((token.scope.len(), token.audience.len()), (3, 1));
        assert_eq!(token.expires_at, Some(Duration::from_secs(1_419_356_238)));
        assert_eq!(token.extra["extension_field"], "twenty-seven");
        assert!(!format!("{token:?}").contains("twenty-seven"));
    }

    #[test]
    fn of_an_inactive_token_nothing_is_believed() {
        assert_eq!(read(json!({"active": false, "sub": "admin", "scope": 7})).unwrap(), None);
    }

    #[test]
    fn a_member_of_another_type_is_an_error_that_names_it() {
        for (name, value) in [
            ("active", json!("true")),
            ("exp", json!("soon")),
            ("exp", json!(-1)),
            ("nbf", json!(1e300)),
            ("aud", json!({})),
            ("scope", json!([1])),
            ("sub", json!(5)),
        ] {
            let mut response = json!({"active": true});
            response[name] = value;
            let error = read(response).unwrap_err();
            assert!(error.code() == "malformed_response" && error.to_string().contains(name), "{error}");
        }
        assert_eq!(read(json!({})).unwrap_err().code(), "malformed_response");
    }
}
