//! Who the client is: how it proves itself at the token endpoint (RFC 6749 section 2.3).
//!
//! One method per client: the secret goes out in one place only, never in two (section 2.3 forbids more than one).

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use percent::encode;
use url::Url;
use zeroize::Zeroizing;

use crate::clock::Now;
use crate::error::{Error, Problem};
use crate::exchange::Parameters;
use crate::token::Secret;

/// A client's identity and how it is proved.
///
/// ```
/// use oauth_client::ClientAuth;
/// let auth = ClientAuth::basic("orders-service", "s3cr3t");
/// assert_eq!(auth.client_id(), "orders-service");
/// assert!(!format!("{auth:?}").contains("s3cr3t"));
/// ```
#[derive(Clone)]
pub struct ClientAuth {
    client_id: String,
    method: Method,
}

#[derive(Clone)]
enum Method {
    Basic(Secret),
    Post(Secret),
    None,
}

impl ClientAuth {
    /// `client_secret_basic`: id and secret in the `Authorization` header, each form-encoded first as RFC 6749
    /// section 2.3.1 says, with a space as `%20`, which every server decodes.
    #[must_use]
    pub fn basic(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self { client_id: client_id.into(), method: Method::Basic(client_secret.into()) }
    }

    /// `client_secret_post`: id and secret as parameters of the request, for servers that know no better.
    #[must_use]
    pub fn post(client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self { client_id: client_id.into(), method: Method::Post(client_secret.into()) }
    }

    /// `none`: a public client, which has no secret and only names itself.
    #[must_use]
    pub fn none(client_id: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), method: Method::None }
    }

    /// The client's identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        let problem =
            |field: &str, message: &str| Problem { field: field.to_owned(), message: message.to_owned() };
        let mut problems = Vec::new();
        if self.client_id.is_empty() {
            problems
                .push(problem("client_id", "is empty; expected the identifier the server gave this client"));
        }
        if self.client_id.contains(|c: char| c.is_control()) {
            problems
                .push(problem("client_id", "has control characters (a line break, perhaps); remove them"));
        }
        if let Some(secret) = self.secret() {
            if secret.is_empty() {
                problems.push(problem(
                    "client_secret",
                    "is empty; a client without a secret authenticates with none",
                ));
            }
            if secret.expose().contains(|c: char| c.is_control()) {
                problems.push(problem(
                    "client_secret",
                    "has control characters (a line break at the end of a file, perhaps); remove them",
                ));
            }
        }
        problems
    }

    /// The method, by its name in RFC 7591 section 2.
    pub(crate) fn method_name(&self) -> &'static str {
        match self.method {
            Method::Basic(_) => "client_secret_basic",
            Method::Post(_) => "client_secret_post",
            Method::None => "none",
        }
    }

    /// Puts the proof on a request: a header, or parameters.
    pub(crate) async fn prove(
        &self,
        parameters: &mut Parameters,
        _recipient: Recipient<'_>,
        _now: Now,
    ) -> Result<Proof, Error> {
        match &self.method {
            Method::Basic(secret) => {
                let authorization = Some(basic(&self.client_id, secret)?);
                Ok(Proof { authorization, secret: Some(secret.clone()) })
            }
            Method::Post(secret) => {
                parameters.set("client_id", self.client_id.clone());
                parameters.set_secret("client_secret", secret.clone());
                Ok(Proof::default())
            }
            Method::None => {
                parameters.set("client_id", self.client_id.clone());
                Ok(Proof::default())
            }
        }
    }

    fn secret(&self) -> Option<&Secret> {
        match &self.method {
            Method::Basic(secret) | Method::Post(secret) => Some(secret),
            Method::None => None,
        }
    }
}

/// To whom the client proves itself: what an assertion may name as its audience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipient<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) endpoint: &'a Url,
}

/// What goes with a request beside its parameters.
#[derive(Default)]
pub(crate) struct Proof {
    pub(crate) authorization: Option<HeaderValue>,
    /// The secret in it, which must not come back in an error.
    pub(crate) secret: Option<Secret>,
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method_name();
        f.debug_struct("ClientAuth").field("client_id", &self.client_id).field("method", &method).finish()
    }
}

fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, Error> {
    let pair = Zeroizing::new(format!("{}:{}", encode(client_id).as_str(), encode(secret.expose()).as_str()));
    let header = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::try_from(header.as_str())
        .map_err(|_| Error::config("client_secret", "cannot be written into a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

mod percent {
    //! `application/x-www-form-urlencoded`, but with a space as `%20`.

    use zeroize::Zeroizing;

    pub(super) fn encode(text: &str) -> Zeroizing<String> {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let mut out = String::with_capacity(text.len() * 3);
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'*') {
                out.push(char::from(byte));
            } else {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
        Zeroizing::new(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: &str, secret: &str) -> String {
        let value = basic(id, &secret.into()).unwrap();
        assert!(value.is_sensitive());
        let coded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        String::from_utf8(BASE64_STANDARD.decode(coded).unwrap()).unwrap()
    }

    #[test]
    fn id_and_secret_are_form_encoded_before_they_are_joined() {
        assert_eq!(header("svc", "s3cr3t"), "svc:s3cr3t");
        assert_eq!(header("a:b", "p%q r+ß"), "a%3Ab:p%25q%20r%2B%C3%9F");
    }

    #[test]
    fn a_secret_with_a_line_break_is_a_problem_that_names_the_field() {
        let problems = ClientAuth::basic("svc\r\nX: y", "s3cr3t\n").problems();
        assert_eq!(
            problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(),
            ["client_id", "client_secret"]
        );
        assert!(!format!("{problems:?}").contains("s3cr3t"));
    }
}
