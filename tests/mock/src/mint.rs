//! Tokens of every kind: good by default, and wrong in exactly the way a test asks for.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

use crate::encode::{b64url, random_text};
use crate::keys::{Alg, Keys, TestKey};

/// Lifetime of a minted token in seconds, long enough for any test that does not step the clock.
const LIFETIME: i64 = 600;

/// Builds one access token. Untouched, it is a good `at+jwt` (RFC 9068) for the server's first audience.
///
/// ```
/// use oauth_mock::MockServer;
///
/// let server = MockServer::builder().in_process();
/// let good = server.mint().subject("alice").scope("read").build();
/// let expired = server.mint().expires_in(-120).build();
/// let unsigned = server.mint().unsigned().build();
/// assert!(unsigned.ends_with('.'));
/// # let _ = (good, expired);
/// ```
#[derive(Clone)]
#[must_use = "nothing is minted before `build`"]
pub struct TokenBuilder {
    keys: Keys,
    now: i64,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signer: Signer,
    raw_header: Option<Vec<u8>>,
    raw_payload: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
}

#[derive(Clone)]
enum Signer {
    Key(TestKey),
    Secret(Alg, Vec<u8>),
    None,
}

impl TokenBuilder {
    pub(crate) fn new(keys: &Keys, issuer: &str, audience: &str, now: i64) -> Self {
        let builder = Self {
            keys: keys.clone(),
            now,
            header: Map::new(),
            claims: Map::new(),
            signer: Signer::None,
            raw_header: None,
            raw_payload: None,
            signature: None,
        };
        builder
            .typ("at+jwt")
            .signed_with(&keys.current())
            .claim("iss", issuer)
            .audience(audience)
            .subject("svc")
            .client_id("svc")
            .claim("jti", random_text::<16>())
            .issued_at(now)
            .expires_in(LIFETIME)
    }

    /// A DPoP proof (RFC 9449 section 4.2): no access token, but corrupted in the same ways.
    pub(crate) fn proof(keys: &Keys, key: &TestKey, method: &str, url: &str, now: i64) -> Self {
        let mut jwk = key.public_jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.retain(|name, _| !matches!(name.as_str(), "kid" | "alg" | "use"));
        }
        let proof = Self { header: Map::new(), claims: Map::new(), ..Self::new(keys, "", "", now) };
        proof
            .typ("dpop+jwt")
            .signed_with(key)
            .no_kid()
            .header("jwk", jwk)
            .claim("jti", random_text::<16>())
            .claim("htm", method)
            .claim("htu", url.split(['?', '#']).next().unwrap_or(url))
            .issued_at(now)
    }

    /// Sets `ath`, as a DPoP proof for this access token has it (RFC 9449 section 4.2).
    pub fn access_token_hash(self, access_token: &str) -> Self {
        self.claim("ath", b64url(digest(&SHA256, access_token.as_bytes())))
    }

    /// Sets `nonce`: in a DPoP proof the server's (RFC 9449 section 8), in an ID token the client's.
    pub fn nonce(self, nonce: &str) -> Self {
        self.claim("nonce", nonce)
    }

    /// Binds the token to a key, for use with DPoP: `cnf` with `jkt` (RFC 9449 section 6.1).
    pub fn bound_to(self, key: &TestKey) -> Self {
        self.claim("cnf", json!({"jkt": key.thumbprint()}))
    }

    /// Sets `sub`.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject.into())
    }

    /// Sets `client_id` (RFC 9068 section 2.2).
    pub fn client_id(self, id: impl Into<String>) -> Self {
        self.claim("client_id", id.into())
    }

    /// Sets `iss`.
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.claim("iss", issuer.into())
    }

    /// Sets `aud` to one string; use [`claim`](Self::claim) for a list.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// Sets `scope`, space-separated (RFC 9068 section 2.2.3).
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.claim("scope", scope.into())
    }

    /// Sets any claim to any JSON.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets `iat`, in Unix seconds.
    pub fn issued_at(self, unix: i64) -> Self {
        self.claim("iat", unix)
    }

    /// Sets `exp`, in Unix seconds.
    pub fn expires_at(self, unix: i64) -> Self {
        self.claim("exp", unix)
    }

    /// Sets `exp` to so many seconds from the server's now; negative for an expired token.
    pub fn expires_in(self, seconds: i64) -> Self {
        let exp = self.now.saturating_add(seconds);
        self.expires_at(exp)
    }

    /// Sets `nbf`, in Unix seconds.
    pub fn not_before(self, unix: i64) -> Self {
        self.claim("nbf", unix)
    }

    /// Sets the header's `typ`.
    pub fn typ(self, typ: &str) -> Self {
        self.header("typ", typ)
    }

    /// Sets any header member to any JSON. Setting `alg` here changes the label only, not the signature.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Leaves a header member out.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Sets the header's `kid`, whatever key signs.
    pub fn kid(self, kid: &str) -> Self {
        self.header("kid", kid)
    }

    /// Leaves the header's `kid` out.
    pub fn no_kid(self) -> Self {
        self.without_header("kid")
    }

    /// Signs with the server's key for `alg`, which is made and published if there is none.
    ///
    /// # Panics
    /// For `none` and the HMAC algorithms: see [`unsigned`](Self::unsigned) and
    /// [`signed_with_secret`](Self::signed_with_secret).
    pub fn alg(self, alg: Alg) -> Self {
        let key = self.keys.for_alg(alg);
        self.signed_with(&key)
    }

    /// Signs with any key, and names that key's `alg` and `kid` in the header.
    pub fn signed_with(mut self, key: &TestKey) -> Self {
        self.signer = Signer::Key(key.clone());
        self.header("alg", key.alg().as_str()).kid(key.kid())
    }

    /// Signs with an HMAC under `secret` and names that algorithm in the header; `kid` stays as it was.
    ///
    /// An algorithm that is no HMAC is taken as HS256 with its own name in the header.
    pub fn signed_with_secret(mut self, alg: Alg, secret: impl Into<Vec<u8>>) -> Self {
        self.signer = Signer::Secret(alg, secret.into());
        self.header("alg", alg.as_str())
    }

    /// `"alg":"none"` and an empty signature.
    pub fn unsigned(mut self) -> Self {
        self.signer = Signer::None;
        self.header("alg", Alg::None.as_str())
    }

    /// Puts these bytes where the header's JSON belongs.
    pub fn raw_header(mut self, json: impl Into<Vec<u8>>) -> Self {
        self.raw_header = Some(json.into());
        self
    }

    /// Puts these bytes where the claims' JSON belongs; they are signed as they are.
    pub fn raw_payload(mut self, json: impl Into<Vec<u8>>) -> Self {
        self.raw_payload = Some(json.into());
        self
    }

    /// Puts these bytes where the signature belongs.
    pub fn signature(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.signature = Some(bytes.into());
        self
    }

    /// The token in compact form (RFC 7515 section 7.1).
    #[must_use]
    pub fn build(self) -> String {
        let mut token = self.signing_input();
        let signature = self.signature.clone().unwrap_or_else(|| self.sign(token.as_bytes()));
        token.push('.');
        token.push_str(&b64url(signature));
        token
    }

    /// The first two parts of the token, joined by a dot: what gets signed (RFC 7515 section 5.1).
    pub(crate) fn signing_input(&self) -> String {
        let part = |raw: &Option<Vec<u8>>, json: &Map<String, Value>| match raw {
            Some(bytes) => b64url(bytes),
            None => b64url(Value::Object(json.clone()).to_string()),
        };
        format!("{}.{}", part(&self.raw_header, &self.header), part(&self.raw_payload, &self.claims))
    }

    /// Signs any bytes the way this token would be signed.
    #[expect(clippy::expect_used, reason = "a valid key fails to sign only when memory is exhausted")]
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.signer {
            Signer::Key(key) => key.sign(message).expect("a valid key signs"),
            Signer::Secret(alg, secret) => {
                let algorithm = match alg {
                    Alg::Hs384 => hmac::HMAC_SHA384,
                    Alg::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
            }
            Signer::None => Vec::new(),
        }
    }

    /// The claims as they stand.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Puts these claims over those there are; `null` leaves one out.
    pub(crate) fn set_claims(mut self, claims: &Map<String, Value>) -> Self {
        crate::rules::token_rules::set(&mut self.claims, claims);
        self
    }

    /// The header as it stands.
    #[must_use]
    pub fn header_members(&self) -> &Map<String, Value> {
        &self.header
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("header", &self.header)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn json_part(token: &str, index: usize) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap())
            .unwrap()
    }

    #[test]
    fn an_untouched_token_is_a_good_one() {
        let keys = Keys::new(&[Alg::Es256]);
        let token = TokenBuilder::new(&keys, "https://as", "api", 1_000).build();
        let header = json_part(&token, 0);
        assert_eq!(header, json!({"typ": "at+jwt", "alg": "ES256", "kid": keys.current_kid()}));
        let claims = json_part(&token, 1);
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://as"), &json!("api")));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_000), &json!(1_600)));
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let jwk = keys.current().public_jwk();
        assert!(crate::keys::verifies(&jwk, Alg::Es256, input.as_bytes(), &signature));
    }

    #[test]
    fn each_part_can_be_corrupted_alone() {
        let keys = Keys::new(&[Alg::Es256]);
        let mint = || TokenBuilder::new(&keys, "https://as", "api", 1_000);
        assert_eq!(json_part(&mint().expires_in(-5).build(), 1)["exp"], 995);
        assert_eq!(json_part(&mint().without("exp").build(), 1).get("exp"), None);
        assert_eq!(json_part(&mint().no_kid().build(), 0).get("kid"), None);
        assert_eq!(json_part(&mint().raw_payload("[1]").build(), 1), json!([1]));
        assert!(mint().unsigned().build().ends_with('.'));
        let relabelled = json_part(&mint().header("alg", "RS256").build(), 0);
        assert_eq!(relabelled["alg"], "RS256");
        let hmac = json_part(&mint().signed_with_secret(Alg::Hs256, "k").build(), 0);
        assert_eq!((&hmac["alg"], &hmac["kid"]), (&json!("HS256"), &json!(keys.current_kid())));
    }

    #[test]
    fn asking_for_an_algorithm_publishes_a_key_for_it() {
        let keys = Keys::new(&[Alg::Es256]);
        let token = TokenBuilder::new(&keys, "https://as", "api", 0).alg(Alg::EdDsa).build();
        let kid = json_part(&token, 0)["kid"].clone();
        assert_eq!(keys.kids().last().map(String::as_str), kid.as_str());
    }
}
