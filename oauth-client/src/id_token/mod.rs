//! ID tokens (OpenID Connect Core section 2): who logged in, and their validation (section 3.1.3.7).
//!
//! A [login](crate::login) that asks for the scope `openid` does it by itself. By hand:
//!
//! ```no_run
//! use oauth_client::id_token::{Expect, IdToken};
//! # use oauth_client::{Client, Secret};
//!
//! #[derive(serde::Deserialize)]
//! struct Profile {
//!     email: Option<String>,
//! }
//!
//! # async fn run(client: Client, token: Secret, nonce: Secret) -> Result<(), oauth_client::Error> {
//! let expected = Expect::new().nonce(nonce);
//! let token: IdToken<Profile> = client.validate_id_token(&token, &expected).await?;
//! println!("{} ({:?})", token.subject(), token.claims().email);
//! # Ok(()) }
//! ```

mod claims;
mod expect;
mod jwks;
mod logout;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::claims::IdToken;
use self::claims::Parties;
pub use self::expect::Expect;
pub(crate) use self::jwks::KeyCache;
pub use self::logout::LogoutToken;
use crate::client::Client;
use crate::error::Error;
use crate::jose::{self, CompactJws, Header, Issued, Scratch, Typ, VerifyingKey, decode_base64url, json};
use crate::token::Secret;

/// The longest ID token that is read, in bytes.
const LONGEST: usize = 64 * 1024;

impl Client {
    /// Checks an ID token of this client's issuer (OpenID Connect Core section 3.1.3.7): signature by the issuer's
    /// keys, issuer, audience, authorized party, times, and what is [expected](Expect) beyond.
    ///
    /// # Errors
    /// `invalid_id_token`, saying what is wrong; `config` when the client has no issuer; and any failure to fetch the keys
    /// of the issuer.
    pub async fn validate_id_token<T: DeserializeOwned>(
        &self,
        token: &Secret,
        expected: &Expect,
    ) -> Result<IdToken<T>, Error> {
        let Some(configured) = self.issuer() else {
            return Err(Error::config("issuer", "is missing; an ID token is checked against its issuer"));
        };
        let mut scratch = Scratch::new();
        let (signed, header) = read_header(token, &mut scratch)?;
        let claims = payload(token)?;
        if !expected.allows(header.algorithm) {
            return Err(Error::id_token("alg: it is signed with another algorithm than was expected"));
        }
        match (header.algorithm.is_symmetric(), expected.shared_secret()) {
            (true, Some(secret)) => check_hmac(&header, &signed, secret)?,
            (true, None) => {
                return Err(Error::id_token("it is signed with a shared secret, which was not expected"));
            }
            (false, _) => {
                let text = |name: &str| claims.get(name).and_then(Value::as_str);
                let issued = Issued { issuer: text("iss").unwrap_or_default(), tenant: text("tid") };
                self.keys().check(self, &header, &signed, issued).await?;
            }
        }
        let now = self.clock().now().wall;
        // The keys, which were looked for last, are named there.
        let metadata = self.known_metadata();
        let issuer = metadata.as_ref().map_or(configured, |known| known.issuer_of_tokens(configured));
        let parties =
            Parties { issuer, client_id: self.auth().client_id(), others: self.id_token_audiences() };
        claims::check(claims, parties, expected, header.algorithm, now)
    }
}

/// The token's form and its header: a plain signed JWT, and no other kind of token by the same keys.
fn read_header<'a>(
    token: &'a Secret,
    scratch: &'a mut Scratch,
) -> Result<(CompactJws<'a>, Header<'a>), Error> {
    let text = token.expose();
    if text.len() > LONGEST {
        return Err(Error::id_token(format!("it is longer than {LONGEST} bytes")));
    }
    // A header may carry a certificate chain: it is as long as it likes within the whole.
    let signed = CompactJws::split(text, LONGEST).map_err(invalid)?;
    let header = Header::read(signed.header, scratch).map_err(invalid)?;
    match header.typ {
        Typ::Absent | Typ::Jwt => Ok((signed, header)),
        // An access token (RFC 9068) or a logout token is signed with the same keys.
        _ => Err(Error::id_token("typ: it is another kind of token")),
    }
}

fn check_hmac(header: &Header<'_>, signed: &CompactJws<'_>, secret: &Secret) -> Result<(), Error> {
    // RFC 7518 section 3.2: a shorter one can be guessed from a single token.
    let key =
        VerifyingKey::from_secret(None, header.algorithm, secret.expose().as_bytes()).map_err(|_| {
            let (least, algorithm) = (header.algorithm.hash().output_len(), header.algorithm);
            Error::id_token(format!(
                "the client's secret is shorter than the {least} bytes that {algorithm} needs"
            ))
        })?;
    let mut scratch = Scratch::new();
    let signature = signed.signature(&mut scratch).map_err(invalid)?;
    if key.verifies(signed.signed.as_bytes(), signature) {
        return Ok(());
    }
    Err(invalid(jose::Error::BadSignature))
}

fn invalid(error: jose::Error) -> Error {
    Error::id_token(match error {
        jose::Error::NotCompact => {
            "it is not a signed JWT of three parts; one without a signature (alg none) proves nothing"
                .to_owned()
        }
        jose::Error::UnknownKey => "its issuer publishes no key that made its signature".to_owned(),
        jose::Error::BadSignature => "its signature is not its issuer's".to_owned(),
        other => other.to_string(),
    })
}

/// What the same session must keep from one ID token to the next (OpenID Connect Core section 12.2). The newer one
/// came straight from the token endpoint, which section 3.1.3.7 lets stand in for its signature.
pub(crate) fn same_person(before: &Secret, after: &Secret) -> Result<(), Error> {
    // A token that was encrypted for another party cannot be read here, and was not validated before.
    let Ok(before) = payload(before) else { return Ok(()) };
    let after = payload(after)?;
    let audience = |claims: &Map<String, Value>| match claims.get("aud") {
        Some(Value::Array(several)) => several.clone(),
        one => one.into_iter().cloned().collect(),
    };
    let (earlier, later) = (audience(&before), audience(&after));
    let is_kept = |name: &str| match name {
        "aud" => earlier.iter().all(|one| later.contains(one)),
        _ => before.get(name) == after.get(name),
    };
    match ["iss", "sub", "aud"].into_iter().find(|name| !is_kept(name)) {
        None => Ok(()),
        Some(name) => Err(Error::id_token(format!(
            "its {name} is not that of the one before, as a refresh must keep it (OpenID Connect Core section 12.2)"
        ))),
    }
}

fn payload(token: &Secret) -> Result<Map<String, Value>, Error> {
    if token.expose().len() > LONGEST {
        return Err(Error::id_token(format!("it is longer than {LONGEST} bytes")));
    }
    let part = token.expose().split('.').nth(1).unwrap_or_default();
    json_part(part, "its claims are")
}

fn json_part(part: &str, what: &str) -> Result<Map<String, Value>, Error> {
    let wrong = |why: &str| Error::id_token(format!("{what} not what they should be: {why}"));
    let bytes = decode_base64url(part).map_err(|_| wrong("not base64url"))?;
    // A byte order mark is no part of a JWT.
    if bytes.first() != Some(&b'{') {
        return Err(wrong("expected a JSON object"));
    }
    json::object(&bytes).map_err(|why| wrong(&why))
}
