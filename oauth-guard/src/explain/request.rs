//! A whole request: its token, and what proves that the token is its sender's.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Explanation, Report, explain, learnt};
use crate::bearer::{Presented, as_text};
use crate::guard::Guard;
use crate::possession::dpop::Visitor;
use crate::possession::{Binding, ProofError};
use crate::reject::Rejection;
use crate::reject::advice::InsteadOfToken;
use crate::request::RequestHead;
use crate::snapshot::Snapshot;
use crate::validate::{Buffers, ClaimSet, ParsedToken};

impl<T: DeserializeOwned + Send + Sync + 'static> Guard<T> {
    /// Reports every check of a request's token, as [`explain`](Self::explain) does, and every check of the proof that it
    /// is its sender's: scheme, certificate and DPoP proof. The proof is not noted as used, and whether it was used before
    /// is not asked.
    ///
    /// ```
    /// use oauth_guard::{Dpop, Guard, Issuer};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .dpop(Dpop::new())
    ///     .build()?;
    /// let explanation = guard.explain_request(&http::Request::get("/orders").body(())?);
    /// assert_eq!(explanation.code, Some("missing_token"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn explain_request<'a>(&self, request: impl Into<RequestHead<'a>>) -> Explanation {
        let (snapshot, request) = (Arc::clone(&*self.snapshot()), request.into());
        let found = snapshot.possession.screen(request);
        let found = found.and_then(|()| snapshot.token_locations.token(&request));
        let read = |presented: &Presented<'_>| as_text(&presented.token).map(str::to_owned);
        let found = found.and_then(|found| found.map(|one| Ok((read(&one)?, one))).transpose());
        let mut report = Report::default();
        let (text, presented) = match found {
            Ok(Some(found)) => found,
            Ok(None) => {
                report.reject("request", &Rejection::MissingToken);
                let instead = InsteadOfToken::of(request.method, request.headers);
                if let Some(advice) = instead.and_then(|instead| instead.advice(&Rejection::MissingToken)) {
                    report.explanation.change = Some(advice);
                }
                return report.explanation;
            }
            Err(rejection) => {
                report.reject("request", &rejection);
                return report.explanation;
            }
        };
        let now = snapshot.clock.now();
        let mut report = Report { explanation: explain(&snapshot, &text, now, None), ..Report::default() };
        match binding(&snapshot, &text) {
            Ok(binding) => {
                snapshot.possession.explain(binding.as_deref(), &presented, request, now, &mut report);
            }
            Err(why) => report.skip("possession", why),
        }
        report.explanation
    }
}

/// The keys that a token is bound to, as far as it can be read.
fn binding<T: Send + Sync + 'static>(
    snapshot: &Snapshot<T>,
    text: &str,
) -> Result<Option<Box<Binding>>, &'static str> {
    const UNKNOWN: &str = "its server has not been asked which key it is bound to";
    const UNREADABLE: &str = "the token cannot be read, or is bound in a way that is not checked here";
    let (now, provable) = (snapshot.clock.now(), snapshot.possession.provable());
    if let Ok(Some(issuer)) = snapshot.asked_without_keys(text, now) {
        let claims = learnt(snapshot, &issuer, text, now).and_then(Result::ok).ok_or(UNKNOWN)?;
        let claims = ClaimSet::read(claims.as_json()).map_err(|_| UNREADABLE)?;
        return claims.binding(provable).map_err(|_| UNREADABLE);
    }
    let mut buffers = Buffers::new();
    let parsed = ParsedToken::parse(text, snapshot.max_token_bytes, &mut buffers);
    let claims = parsed.and_then(|token| token.claims).map_err(|_| UNREADABLE)?;
    claims.binding(provable).map_err(|_| UNREADABLE)
}

impl Visitor for Report {
    fn check<V>(
        &mut self,
        check: &'static str,
        outcome: Result<V, ProofError>,
    ) -> Result<Option<V>, ProofError> {
        Ok(match outcome {
            Ok(value) => {
                let _ = self.record(check, Ok(()));
                Some(value)
            }
            Err(error) => {
                self.reject(check, &error.into());
                None
            }
        })
    }
}
