//! The checks of one request, reported to the operator.

use oauth_client::clock::Now;

use super::evidence::Evidence;
use super::{Binding, Possession};
use crate::bearer::Presented;
use crate::explain::Report;
use crate::request::RequestHead;

impl Possession {
    /// The checks in the order of a request's, on to the end.
    pub(crate) fn explain(
        &self,
        binding: Option<&Binding>,
        presented: &Presented<'_>,
        request: RequestHead<'_>,
        now: Now,
        report: &mut Report,
    ) {
        report.outcome("scheme", Self::check_scheme(binding, presented.scheme));
        report.outcome("bound", self.check_required(binding));
        let Some(binding) = binding else { return };
        let evidence = match Evidence::of(request, presented, self) {
            Ok(evidence) => evidence,
            Err(rejection) => return report.reject("request", &rejection),
        };
        if binding.x5t.is_some() {
            report.outcome("certificate", Self::check_certificate(binding, &evidence));
        }
        let (Some(dpop), Some(jkt), Some(given)) = (&self.dpop, binding.jkt, &evidence.dpop) else { return };
        // The report goes on after each error; the outcomes are in it.
        let _ = dpop.visit(given, &evidence.token, binding, &jkt, now, report);
        report.detail_of("dpop htu", false, || {
            format!("called: {}", crate::escape::escaped(&given.url.to_string()))
        });
        report.detail_of("dpop htm", true, || format!("called with {}", given.method));
        report.detail_of("dpop iat", true, || {
            let (latest, present) = (dpop.latest(now), now.wall.as_secs());
            let set_back =
                if latest == present { String::new() } else { format!(", set back from {latest}") };
            format!("at most {} s ago, by a clock that says {present}{set_back}", dpop.max_age)
        });
        report.skip("dpop replay", "whether it was used before is not asked here");
    }
}
