//! Proofs of possession for one request to the authorization server, however often it is sent (RFC 9449 section 8).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use url::Url;

use crate::client::Client;
use crate::discover::Endpoint;
use crate::dpop::{Prover, Target, Verifier};
use crate::error::Error;
use crate::json;
use crate::transport::to_uri;

pub(super) struct Possession {
    prover: Arc<Prover>,
    target: Target,
    /// The nonce that was in the last proof.
    sent: Option<Arc<str>>,
    /// A newer one that the response brought.
    fresh: Option<Arc<str>>,
}

impl Possession {
    /// Tokens are bound at the token endpoint, and codes where requests for them are pushed (RFC 9449 sections 5 and
    /// 10.1). No other endpoint takes proofs.
    pub(super) fn at(client: &Client, endpoint: Endpoint, url: &Url) -> Result<Option<Self>, Error> {
        let takes_proofs = matches!(endpoint, Endpoint::Token | Endpoint::PushedAuthorizationRequest);
        let Some(prover) = client.prover().filter(|_| takes_proofs) else { return Ok(None) };
        let (prover, target) = (Arc::clone(prover), Target::of(&to_uri(url)?)?);
        Ok(Some(Self { prover, target, sent: None, fresh: None }))
    }

    /// The proof for the next request: each is good once.
    pub(super) fn prove(&mut self) -> Result<HeaderValue, Error> {
        let verifier = Verifier::AuthorizationServer;
        let proof = self.prover.prove(verifier, &Method::POST, &self.target, self.fresh.take())?;
        self.sent = proof.nonce;
        Ok(proof.header)
    }

    /// Learns the nonce that any response may carry, a success included.
    pub(super) fn observe(&mut self, response: &Response<Bytes>) {
        let (verifier, sent) = (Verifier::AuthorizationServer, self.sent.as_deref());
        self.fresh = self.prover.learn(verifier, &self.target, sent, response.headers());
    }

    /// Whether the server demands a nonce, and sent one.
    pub(super) fn must_retry_with_nonce(&self, response: &Response<Bytes>) -> bool {
        let names_it = || {
            let body = json::object(response.body());
            body.is_ok_and(|body| body.get("error").is_some_and(|code| code == "use_dpop_nonce"))
        };
        self.fresh.is_some() && response.status().is_client_error() && names_it()
    }
}
