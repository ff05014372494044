//! Step 6: reject.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use http_body_util::Full;

use super::Snapshot;
use crate::bearer;
use crate::error::TokenError;
use crate::issuer::{IssuerState, Profile};
use crate::jose::{self, Issued};
use crate::possession::dpop::DPOP_NONCE;
use crate::reject::log::Origin;
use crate::reject::{Rejection, advice, grpc, respond, without_content};
use crate::request::RequestHead;
use crate::telemetry;
use crate::validate::{Buffers, ClaimSet, IssuerLookup, ParsedToken};

impl<T> Snapshot<T> {
    /// The whole response, in the caller's protocol.
    #[cold]
    pub(crate) fn reject(&self, rejection: &Rejection, request: RequestHead<'_>) -> Response<Full<Bytes>> {
        self.reject_with_bytes(rejection, request).map(Full::new)
    }

    pub(crate) fn reject_with_bytes(
        &self,
        rejection: &Rejection,
        request: RequestHead<'_>,
    ) -> Response<Bytes> {
        telemetry::rejected(rejection);
        let dpop = self.token_locations.dpop && bearer::is_dpop(request.headers);
        let mut response = respond(rejection, &self.challenge, grpc::is_grpc(request), dpop);
        if let Some(nonce) = self.nonce_after(rejection) {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
        if *request.method == Method::HEAD { without_content(response) } else { response }
    }

    /// The nonce for the caller's next proof.
    pub(crate) fn nonce_after(&self, rejection: &Rejection) -> Option<HeaderValue> {
        let nonces = self.possession.dpop.as_ref()?.nonces.as_ref()?;
        match rejection {
            // RFC 9449 section 8.2: a caller that learns it with the challenge need not be rejected once more.
            Rejection::MissingToken
            | Rejection::MissingBoundToken
            | Rejection::InvalidToken(_)
            | Rejection::TokenNotBound(_)
            | Rejection::InvalidProof(_)
            | Rejection::UseDpopNonce => Some(nonces.current(self.clock.now())),
            _ => None,
        }
    }

    /// Logs the rejection of a request without a readable token.
    pub(crate) fn logged(&self, rejection: Rejection) -> Rejection {
        self.challenge.log.rejected(&rejection, Origin::default);
        rejection
    }
}

impl<T: Send + Sync + 'static> Snapshot<T> {
    /// Classifies and logs the rejection of a token. The token is parsed again, but only if it is logged.
    pub(crate) fn rejected(&self, token: &str, rejection: Rejection) -> Rejection {
        let rejection = bearer::classify(token, rejection);
        self.challenge.log.rejected(&rejection, || {
            let mut buffers = Buffers::new();
            let Ok(token) = ParsedToken::parse(token, self.max_token_bytes, &mut buffers) else {
                return Origin::default();
            };
            let is_misfit =
                matches!(rejection, Rejection::InvalidToken(why) if why == TokenError::CustomClaims.into());
            let payload = token.payload.as_ref().ok().filter(|_| is_misfit);
            let misfit = payload.and_then(|payload| (self.misfit)(payload));
            let origin = token.origin(|name| {
                let has_form = |issuer: &Arc<IssuerState>| jose::is_for_some_tenant(name, issuer.name());
                self.issuers.contains_key(name) || self.with_tenants.iter().any(has_form)
            });
            let is_about_a_claim = matches!(rejection, Rejection::InvalidToken(why) if why.claim().is_some());
            let claims = token.claims.as_ref().ok().filter(|_| is_about_a_claim);
            Origin { misfit, profile: claims.and_then(|claims| self.profile(claims)), ..origin }
        });
        rejection
    }

    /// What kind of token is expected of the issuer that these claims name.
    fn profile(&self, claims: &ClaimSet<'_>) -> Option<Profile> {
        let (name, tenant) = (claims.issuer().ok()?, claims.tenant());
        let issued = Issued { issuer: &name, tenant: tenant.as_deref() };
        match self.issuer(issued, self.clock.now()) {
            Ok(IssuerLookup::Found(issuer)) => advice::profile(&issuer),
            _ => None,
        }
    }
}
