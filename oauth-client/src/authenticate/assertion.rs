//! `private_key_jwt` and `client_secret_jwt`: a signed statement of who the client is, good for one request (RFC 7523
//! sections 2.2 and 3, OpenID Connect Core section 9).

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Recipient;
use crate::clock::Now;
use crate::error::Error;
use crate::sign::{self, Algorithm, SigningKey};
use crate::token::Secret;
use crate::token_endpoint::Parameters;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Long enough for slow networks and clocks that differ; an assertion that leaks soon is worth nothing.
const LIFETIME: Duration = Duration::from_secs(60);

/// What may be different from one server to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) audience: Vec<String>,
    pub(super) lifetime: Option<Duration>,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) key_id: Option<String>,
    pub(super) not_before: bool,
    /// Whether the certificate is named by its SHA-1 thumbprint as well.
    pub(super) sha1: bool,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: Audience<'a>,
    jti: String,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
}

/// RFC 7519 section 4.1.3: one may stand by itself, and most servers read it only so.
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Several(&'a [String]),
}

impl Settings {
    pub(super) fn with_key(
        &self,
        client_id: &str,
        key: &SigningKey,
        thumbprints: impl IntoIterator<Item = (&'static str, String)>,
        recipient: Recipient<'_>,
        now: Now,
    ) -> Result<Secret, Error> {
        let mut header = header();
        header.extend(thumbprints.into_iter().map(|(name, thumbprint)| (name.to_owned(), thumbprint.into())));
        key.sign(header, &self.claims(client_id, recipient, now)?)
    }

    pub(super) fn with_secret(
        &self,
        client_id: &str,
        secret: &Secret,
        recipient: Recipient<'_>,
        now: Now,
    ) -> Result<Secret, Error> {
        let mut header = header();
        header.extend(self.key_id.as_deref().map(|key_id| ("kid".to_owned(), key_id.into())));
        let algorithm = self.algorithm.unwrap_or(Algorithm::Hs256);
        sign::sign_with_secret(algorithm, secret, header, &self.claims(client_id, recipient, now)?)
    }

    fn claims<'a>(
        &'a self,
        client_id: &'a str,
        recipient: Recipient<'a>,
        now: Now,
    ) -> Result<Claims<'a>, Error> {
        // The issuer names exactly one server; another one could claim the same endpoint, which would
        // then have an assertion to show there.
        let aud = match &*self.audience {
            [] => Audience::One(recipient.issuer.unwrap_or(recipient.endpoint.as_str())),
            [one] => Audience::One(one),
            several => Audience::Several(several),
        };
        let iat = now.wall.as_secs();
        Ok(Claims {
            iss: client_id,
            sub: client_id,
            aud,
            jti: sign::unique_id()?,
            iat,
            exp: iat.saturating_add(self.lifetime.unwrap_or(LIFETIME).as_secs()),
            nbf: self.not_before.then_some(iat),
        })
    }
}

/// RFC 7523 section 2.2, and the client's id beside it, which some servers look for first (RFC 7521 section 4.2).
pub(super) fn put(parameters: &mut Parameters, client_id: &str, assertion: Secret) {
    parameters.set("client_id", client_id);
    parameters.set("client_assertion_type", TYPE);
    parameters.set_secret("client_assertion", assertion);
}

fn header() -> Map<String, Value> {
    Map::from_iter([("typ".to_owned(), "JWT".into())])
}
