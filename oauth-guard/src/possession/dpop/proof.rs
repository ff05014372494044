//! The checks of one proof (RFC 9449 section 4.3), in their order: what costs least comes first, no signature is computed
//! under a key that the token is not bound to, and nothing is remembered of a proof that fails.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use oauth_client::clock::Now;
use oauth_client::jose::{ProofKey, VerifyingKey, sha256};

use super::nonce::NonceState;
use super::{AHEAD, DpopRules, Jti, MAX_BYTES, MAX_JTI, ProofError, UrlMatch, Used};
use crate::jose::{CompactJws, Header, Scratch, Typ, decode_base64url};
use crate::json::{self, Text, Value};
use crate::possession::binding::{Binding, Known};
use crate::possession::evidence::DpopEvidence;
use crate::possession::public_url::ExpectedUrl;

/// The longest header that is remembered with its token.
const KNOWN_HEADER: usize = 1024;

/// Gets the outcome of each check, in order, and decides whether to go on after an error.
pub(crate) trait Visitor {
    fn check<V>(
        &mut self,
        check: &'static str,
        outcome: Result<V, ProofError>,
    ) -> Result<Option<V>, ProofError>;
}

/// Ends at the first error.
pub(crate) struct FailFast;

impl Visitor for FailFast {
    fn check<V>(&mut self, _: &'static str, outcome: Result<V, ProofError>) -> Result<Option<V>, ProofError> {
        outcome.map(Some)
    }
}

/// The claims of a proof.
#[derive(Default)]
struct ProofClaims<'a> {
    jti: Option<Value<'a>>,
    htm: Option<Value<'a>>,
    htu: Option<Value<'a>>,
    iat: Option<Value<'a>>,
    ath: Option<Value<'a>>,
    nonce: Option<Value<'a>>,
}

impl DpopRules {
    /// Every check but that of a replay.
    pub(in crate::possession) fn check(
        &self,
        given: &DpopEvidence<'_>,
        token: &[u8],
        binding: &Binding,
        jkt: &[u8; 32],
        now: Now,
    ) -> Result<Used, ProofError> {
        self.visit(given, token, binding, jkt, now, &mut FailFast)?.ok_or(ProofError::Claim("jti"))
    }

    pub(in crate::possession) fn visit<V: Visitor>(
        &self,
        given: &DpopEvidence<'_>,
        token: &[u8],
        binding: &Binding,
        jkt: &[u8; 32],
        now: Now,
        visitor: &mut V,
    ) -> Result<Option<Used>, ProofError> {
        let Some(text) = visitor.check("dpop proof", text(given.proof.as_deref()))? else { return Ok(None) };
        let jws = CompactJws::split(text, MAX_BYTES).map_err(ProofError::from);
        let Some(jws) = visitor.check("dpop form", jws)? else { return Ok(None) };
        let known = binding
            .known
            .get()
            .filter(|known| *known.header == *jws.header && self.algorithms.contains(&known.key.algorithm));
        let parsed = if known.is_none() { self.key(&jws, jkt, visitor)? } else { None };
        let key = known.map(|known| &known.key).or(parsed.as_ref());
        let mut scratch = Scratch::new();
        let payload = jws.payload(&mut scratch).map_err(ProofError::from);
        let claims = payload.and_then(ProofClaims::read);
        let Some(claims) = visitor.check("dpop payload", claims)? else { return Ok(None) };
        visitor.check("dpop ath", claims.check_token(token))?;
        visitor.check("dpop htm", claims.check_method(&given.method))?;
        visitor.check("dpop htu", self.check_url(&claims, &given.url))?;
        let iat =
            visitor.check("dpop iat", claims.check_age(|iat| self.max_age_of(iat), now, self.latest(now)))?;
        let renewal = visitor.check("dpop nonce", self.check_nonce(&claims, now))?;
        let Some(key) = key else { return Ok(None) };
        visitor.check("dpop signature", check_signature(&jws, key))?;
        if let Some(key) = parsed.filter(|_| jws.header.len() <= KNOWN_HEADER) {
            // The next proof with this header needs no look at it.
            let _ = binding.known.set(Known { header: jws.header.into(), key });
        }
        let Some(jti) = visitor.check("dpop jti", claims.identifier())? else { return Ok(None) };
        // As long as it could be accepted, and a little longer: the clocks of a fleet differ.
        let iat = iat.unwrap_or(0);
        let until = iat.saturating_add(self.max_age).saturating_add(AHEAD + 1);
        let keep = Duration::from_secs(until).saturating_sub(now.wall);
        Ok(Some(Used { thumbprint: *jkt, jti: Jti::new(&jti), iat, keep, renewal: renewal.flatten() }))
    }

    /// The key in the header, if it is the one that the token is bound to.
    #[cold]
    fn key<V: Visitor>(
        &self,
        jws: &CompactJws<'_>,
        jkt: &[u8; 32],
        visitor: &mut V,
    ) -> Result<Option<VerifyingKey>, ProofError> {
        let mut scratch = Scratch::new();
        let header = Header::read(jws.header, &mut scratch).map_err(ProofError::from);
        let Some(header) = visitor.check("dpop header", header)? else { return Ok(None) };
        let is_proof = header.typ == Typ::DpopProof;
        visitor.check("dpop typ", if is_proof { Ok(()) } else { Err(ProofError::WrongType) })?;
        let allowed = !header.algorithm.is_symmetric() && self.algorithms.contains(&header.algorithm);
        let allowed = if allowed { Ok(()) } else { Err(ProofError::AlgorithmNotAllowed) };
        visitor.check("dpop alg", allowed)?;
        let Some(key) = visitor.check("dpop jwk", embedded(jws, header.algorithm))? else { return Ok(None) };
        let same = if key.thumbprint == *jkt { Ok(()) } else { Err(ProofError::OtherKey) };
        visitor.check("dpop jkt", same)?;
        Ok(Some(key.key))
    }

    fn check_url(&self, claims: &ProofClaims<'_>, expected: &ExpectedUrl<'_>) -> Result<(), ProofError> {
        let htu = text_of(claims.htu, "htu")?;
        let htu = htu.decode();
        match expected.compare(&htu) {
            UrlMatch::Same => Ok(()),
            UrlMatch::OtherScheme => {
                self.hint(expected);
                Err(ProofError::OtherUrl)
            }
            UrlMatch::Other => Err(ProofError::OtherUrl),
        }
    }

    /// Behind a proxy that ends TLS every proof fails like this, and no caller can tell why.
    #[cold]
    fn hint(&self, expected: &ExpectedUrl<'_>) {
        if !self.hinted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "oauth_guard",
                url = %crate::escape::escaped(&expected.to_string()),
                "proofs name the same URL with another scheme: set public_url to what callers see, or trusted_proxies to the proxy that says so"
            );
        }
    }

    /// A nonce for the next proof, if this one's ages.
    fn check_nonce(
        &self,
        claims: &ProofClaims<'_>,
        now: Now,
    ) -> Result<Option<http::HeaderValue>, ProofError> {
        let Some(nonces) = &self.nonces else { return Ok(None) };
        let nonce = claims.nonce.and_then(Value::as_text).ok_or(ProofError::Nonce)?;
        match nonces.state(&nonce.decode(), now) {
            NonceState::Good => Ok(None),
            NonceState::Aging => Ok(Some(nonces.current(now))),
            NonceState::Bad => Err(ProofError::Nonce),
        }
    }
}

impl<'a> ProofClaims<'a> {
    fn read(payload: &'a str) -> Result<Self, ProofError> {
        let mut claims = Self::default();
        json::read_object(payload, &mut |name, value, _| {
            let place = match &*name.decode() {
                "jti" => &mut claims.jti,
                "htm" => &mut claims.htm,
                "htu" => &mut claims.htu,
                "iat" => &mut claims.iat,
                "ath" => &mut claims.ath,
                "nonce" => &mut claims.nonce,
                _ => return,
            };
            *place = Some(value);
        })
        .map_err(ProofError::Claims)?;
        Ok(claims)
    }

    fn check_token(&self, token: &[u8]) -> Result<(), ProofError> {
        let ath = text_of(self.ath, "ath")?;
        let hash = decode_base64url(&ath.decode()).map_err(|_| ProofError::OtherToken)?;
        if *hash == sha256(token) { Ok(()) } else { Err(ProofError::OtherToken) }
    }

    fn check_method(&self, method: &Method) -> Result<(), ProofError> {
        if text_of(self.htm, "htm")?.is(method.as_str()) { Ok(()) } else { Err(ProofError::OtherMethod) }
    }

    /// `latest` is later than `now` where the clock was set back.
    fn check_age(&self, max_age: impl Fn(u64) -> u64, now: Now, latest: u64) -> Result<u64, ProofError> {
        let iat = self.iat.and_then(Value::as_seconds).ok_or(ProofError::Claim("iat"))?;
        if iat > now.wall.as_secs().saturating_add(AHEAD) {
            return Err(ProofError::FromTheFuture);
        }
        if latest > iat.saturating_add(max_age(iat)) { Err(ProofError::TooOld) } else { Ok(iat) }
    }

    fn identifier(&self) -> Result<Cow<'a, str>, ProofError> {
        let jti = text_of(self.jti, "jti")?.decode();
        if (1..=MAX_JTI).contains(&jti.len()) { Ok(jti) } else { Err(ProofError::Claim("jti")) }
    }
}

fn text_of<'a>(value: Option<Value<'a>>, name: &'static str) -> Result<Text<'a>, ProofError> {
    value.and_then(Value::as_text).ok_or(ProofError::Claim(name))
}

/// The proof as text.
fn text(proof: Option<&[u8]>) -> Result<&str, ProofError> {
    let proof = proof.ok_or(ProofError::Missing)?;
    if proof.len() > MAX_BYTES {
        return Err(ProofError::TooLong);
    }
    std::str::from_utf8(proof).map_err(|_| ProofError::Malformed(oauth_client::jose::Error::NotUtf8))
}

/// The key in the header of a proof.
fn embedded(jws: &CompactJws<'_>, algorithm: crate::jose::Algorithm) -> Result<ProofKey, ProofError> {
    let header = decode_base64url(jws.header)?;
    let text = std::str::from_utf8(&header).map_err(|_| oauth_client::jose::Error::NotUtf8)?;
    let mut jwk = None;
    // It was read before, so it is well-formed.
    let _ = json::read_object(text, &mut |name, _, raw| {
        if name.is("jwk") {
            jwk = Some(raw);
        }
    });
    ProofKey::from_jwk(jwk.ok_or(ProofError::NoKey)?, algorithm).map_err(ProofError::Key)
}

fn check_signature(jws: &CompactJws<'_>, key: &VerifyingKey) -> Result<(), ProofError> {
    let mut scratch = Scratch::new();
    let signature = jws.signature(&mut scratch)?;
    if key.verifies(jws.signed.as_bytes(), signature) { Ok(()) } else { Err(ProofError::BadSignature) }
}

#[cfg(test)]
mod tests;
