//! Signs proofs, with the nonce that each server demands.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};

use super::Dpop;
use super::nonces::{Nonces, nonce_in};
use super::proof::{Claims, Target};
use crate::clock::Clock;
use crate::error::Error;
use crate::sign::{Algorithm, SigningKey, base64url};
use crate::token::Secret;
use crate::www_authenticate::Challenge;

/// A client's DPoP at work. One for each client, so that all its sources share what its servers said.
pub(crate) struct Prover {
    key: SigningKey,
    /// The header of each proof, made once: what it is, and the public key.
    header: String,
    clock: Arc<dyn Clock>,
    bearer_is_allowed: bool,
    /// Those of the authorization server's endpoints. An API at the same origin has nonces of its own.
    server: Nonces,
    apis: Nonces,
}

/// Whom a proof is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verifier<'a> {
    AuthorizationServer,
    /// An API, which also wants to know that the proof is for this very token (section 4.3, `ath`).
    Api {
        ath: &'a str,
    },
}

/// What an API says about the proof (section 7.1), which says nothing about the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProofError {
    /// It wants a nonce in it, or another one.
    UseNonce,
    /// It does not like it.
    InvalidProof,
}

/// A proof as it was sent.
pub(crate) struct Proof {
    pub(crate) header: HeaderValue,
    pub(crate) nonce: Option<Arc<str>>,
}

impl Prover {
    pub(crate) fn new(dpop: Dpop, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let Dpop { key, bearer_is_allowed } = dpop;
        let mut header = Map::new();
        header.insert("typ".to_owned(), "dpop+jwt".into());
        header.insert("jwk".to_owned(), Value::Object(key.bare_public_jwk().clone()));
        let header = key.header(header)?;
        let (server, apis) = (Nonces::default(), Nonces::default());
        Ok(Self { key, header, clock, bearer_is_allowed, server, apis })
    }

    pub(crate) fn thumbprint(&self) -> &str {
        self.key.thumbprint()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    pub(crate) fn allows_bearer(&self) -> bool {
        self.bearer_is_allowed
    }

    /// A new proof, good for one request: with this nonce, else with the last one that its server sent.
    pub(crate) fn prove(
        &self,
        verifier: Verifier<'_>,
        method: &Method,
        target: &Target,
        nonce: Option<Arc<str>>,
    ) -> Result<Proof, Error> {
        let nonce = nonce.or_else(|| self.nonces(verifier).of(target.origin()));
        let ath = match verifier {
            Verifier::AuthorizationServer => None,
            Verifier::Api { ath } => Some(ath),
        };
        let iat = self.clock.now().wall.as_secs();
        let claims = Claims::new(method, target, iat, ath, nonce.as_deref())?;
        let proof = self.key.sign_under(&self.header, &claims)?;
        let mut header = HeaderValue::try_from(proof.expose())
            .map_err(|_| Error::config("dpop", "the proof cannot be written into a header"))?;
        header.set_sensitive(true);
        Ok(Proof { header, nonce })
    }

    /// Takes in the nonce of a response, if it brings one. Returned when it is another one than that of the proof which
    /// was sent, so that a new proof may be accepted.
    pub(crate) fn learn(
        &self,
        verifier: Verifier<'_>,
        target: &Target,
        sent: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Arc<str>> {
        let nonce = nonce_in(headers)?;
        self.nonces(verifier).learn(target.origin(), &nonce);
        (sent != Some(&*nonce)).then_some(nonce)
    }

    fn nonces(&self, verifier: Verifier<'_>) -> &Nonces {
        match verifier {
            Verifier::AuthorizationServer => &self.server,
            Verifier::Api { .. } => &self.apis,
        }
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

/// The hash of a token that binds a proof to it (section 4.2, `ath`).
pub(crate) fn hash(token: &Secret) -> String {
    base64url(digest(&SHA256, token.expose().as_bytes()).as_ref())
}

/// What an API's 401, or gRPC's UNAUTHENTICATED, says about the proof; `None` when it is about the token.
pub(crate) fn proof_error(headers: &HeaderMap) -> Option<ProofError> {
    Challenge::from_headers(headers).iter().filter(|challenge| challenge.is("DPoP")).find_map(|challenge| {
        match challenge.parameter("error")? {
            "use_dpop_nonce" => Some(ProofError::UseNonce),
            "invalid_dpop_proof" => Some(ProofError::InvalidProof),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::WWW_AUTHENTICATE;

    use super::*;

    #[test]
    fn the_hash_of_rfc_9449_section_7_1_comes_out_to_the_letter() {
        let token = Secret::from("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
        assert_eq!(hash(&token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    }

    #[test]
    fn a_response_is_about_the_proof_only_where_a_dpop_challenge_says_so() {
        let error = |challenge: &'static str| {
            proof_error(&HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))]))
        };
        // RFC 9449 section 9.
        let asks = r#"DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof""#;
        assert_eq!(error(asks), Some(ProofError::UseNonce));
        assert_eq!(error(r#"Bearer, dpop error=invalid_dpop_proof"#), Some(ProofError::InvalidProof));
        assert_eq!(error(r#"DPoP error="invalid_token", algs="ES256""#), None);
        assert_eq!(error(r#"Bearer error="use_dpop_nonce""#), None);
        assert_eq!(error("DPoP"), None);
    }
}
