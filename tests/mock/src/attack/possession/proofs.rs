//! Good proofs, and requests that differ from a good one in their proof only.

use serde_json::{Map, Value};

use super::Dpop;
use crate::attack::{AttackContext, AttackRequest};
use crate::encode::b64url;
use crate::keys::TestKey;
use crate::mint::TokenBuilder;

/// The header that carries a proof (RFC 9449 section 4.1).
pub(super) const DPOP: &str = "DPoP";

/// Requests with one token that is bound to the attacker's key.
pub(super) struct Shots<'a> {
    pub(super) context: &'a AttackContext,
    pub(super) dpop: &'a Dpop,
    pub(super) token: String,
    requests: Vec<AttackRequest>,
}

/// The requests of a row; none where the context knows no address.
pub(super) fn shots(
    context: &AttackContext,
    make: impl FnOnce(Shots<'_>) -> Shots<'_>,
) -> Vec<AttackRequest> {
    let Some(dpop) = context.with_dpop() else { return Vec::new() };
    let token = context.good().bound_to(&dpop.key).build();
    make(Shots { context, dpop, token, requests: Vec::new() }).requests
}

impl<'a> Shots<'a> {
    /// A request whose proof differs from a good one by this.
    pub(super) fn with(
        self,
        variant: impl Into<String>,
        change: impl FnOnce(TokenBuilder) -> TokenBuilder,
    ) -> Self {
        let proof = change(self.proof()).build();
        self.text(variant, proof)
    }

    /// A request with this for a proof.
    pub(super) fn text(self, variant: impl Into<String>, proof: impl Into<String>) -> Self {
        let request = self.request(variant).with_header(DPOP, proof);
        self.push(request)
    }

    pub(super) fn push(mut self, request: AttackRequest) -> Self {
        self.requests.push(request);
        self
    }

    /// The last request, changed.
    pub(super) fn last(mut self, change: impl FnOnce(AttackRequest) -> AttackRequest) -> Self {
        if let Some(last) = self.requests.pop() {
            self.requests.push(change(last));
        }
        self
    }

    /// One step for each item.
    pub(super) fn each<T>(
        self,
        items: impl IntoIterator<Item = T>,
        step: impl FnMut(Self, T) -> Self,
    ) -> Self {
        items.into_iter().fold(self, step)
    }

    /// `Authorization: DPoP` with the token, and no proof.
    pub(super) fn request(&self, variant: impl Into<String>) -> AttackRequest {
        bound(variant, &self.token)
    }

    /// A good proof for the token.
    pub(super) fn proof(&self) -> TokenBuilder {
        self.proof_of(&self.dpop.key, &self.token)
    }

    /// A good proof of this key for this token.
    pub(super) fn proof_of(&self, key: &TestKey, token: &str) -> TokenBuilder {
        let Dpop { method, address, nonce, .. } = self.dpop;
        let keys = self.context.keys();
        let proof = TokenBuilder::proof(keys, key, method, address, self.context.now());
        let proof = proof.access_token_hash(token);
        nonce.iter().fold(proof, |proof, nonce| proof.nonce(nonce))
    }

    /// The text of a good proof whose header has this JSON.
    pub(super) fn with_header_text(&self, header: impl Into<Vec<u8>>) -> String {
        self.proof().raw_header(header).build()
    }

    /// The method, the address and the time that the request is for.
    pub(super) fn address(&self) -> &'a str {
        &self.dpop.address
    }
}

/// `Authorization: DPoP <token>`.
pub(super) fn bound(variant: impl Into<String>, token: &str) -> AttackRequest {
    AttackRequest::plain(variant).authorization(format!("DPoP {token}"))
}

/// An object as text, with these members (JSON without braces) before or behind its own.
pub(super) fn beside(object: &Map<String, Value>, members: &str, first: bool) -> String {
    let text = Value::Object(object.clone()).to_string();
    let inner = text.trim_start_matches('{').strip_suffix('}').unwrap_or(&text);
    if first { format!("{{{members},{inner}}}") } else { format!("{{{inner},{members}}}") }
}

/// The three parts of a proof.
pub(super) fn parts(proof: &str) -> [&str; 3] {
    let mut parts = proof.splitn(3, '.');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// Base64url of a JSON text.
pub(super) fn part(json: &str) -> String {
    b64url(json)
}
