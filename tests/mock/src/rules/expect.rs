//! Expectations: how often an endpoint must have been asked by the end of the test.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::endpoint::Endpoint;
use crate::journal::{Journal, RecordedRequest};
use crate::rules::matching::Match;
use crate::server::MockServer;

/// An endpoint about which something is expected: nothing is expected before one of these methods is called.
///
/// ```should_panic
/// use oauth_mock::{Endpoint, MockServer};
///
/// let server = MockServer::builder().in_process();
/// server.expect(Endpoint::Token).exactly(1);
/// // No client asks for a token, so dropping the server fails the test and shows what did arrive.
/// ```
#[derive(Debug)]
#[must_use = "say how often: `.exactly(n)`, `.at_least(n)` or `.at_most(n)`"]
pub struct Expect<'a> {
    server: &'a MockServer,
    endpoint: Endpoint,
    matching: Match,
}

impl<'a> Expect<'a> {
    pub(crate) fn new(server: &'a MockServer, endpoint: Endpoint) -> Self {
        Self { server, endpoint, matching: Match::any() }
    }

    /// Counts these requests only.
    pub fn matching(mut self, matching: Match) -> Self {
        self.matching = matching;
        self
    }

    /// Exactly `n` requests.
    pub fn exactly(self, n: usize) {
        self.add(n, Some(n));
    }

    /// `n` requests or more.
    pub fn at_least(self, n: usize) {
        self.add(n, None);
    }

    /// `n` requests or fewer.
    pub fn at_most(self, n: usize) {
        self.add(0, Some(n));
    }

    fn add(self, min: usize, max: Option<usize>) {
        self.server.expectations().expect(self.server.journal(), self.endpoint, self.matching, min, max);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Expectations(Mutex<Vec<Expectation>>);

#[derive(Clone, Debug)]
struct Expectation {
    endpoint: Endpoint,
    matching: Match,
    min: usize,
    max: Option<usize>,
    /// How many such requests came, those that the journal no longer keeps included.
    got: usize,
    /// Since the journal was forgotten so often.
    epoch: u64,
}

impl Expectations {
    /// A report of what was not met, with what arrived instead; `None` when all is well.
    pub(crate) fn unmet(&self, journal: &Journal) -> Option<String> {
        let mut report = String::new();
        for expected in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let number = expected.got_since(journal.epoch());
            if number >= expected.min && expected.max.is_none_or(|max| number <= max) {
                continue;
            }
            let (endpoint, about) = (expected.endpoint, expected.matching.described());
            let about = if about.is_empty() { about } else { format!(" with {about}") };
            // Writing to a `String` cannot fail.
            let _ =
                writeln!(report, "- expected {} to {endpoint:?}{about}\n+ got {number}", expected.range());
            // All that came there, so that it can be seen in what they differ from what was expected. The numbers say in
            // which order.
            let arrived = journal.kept(endpoint).into_iter().enumerate();
            let (fitting, others): (Vec<_>, Vec<_>) =
                arrived.partition(|(_, request)| expected.matching.fits(request, journal));
            list(&mut report, &fitting);
            if !others.is_empty() {
                report.push_str("+ these came, and do not match:\n");
                list(&mut report, &others);
            }
        }
        (!report.is_empty()).then_some(report)
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Expects so many requests, those that came already included.
    pub(crate) fn expect(
        &self,
        journal: &Journal,
        endpoint: Endpoint,
        matching: Match,
        min: usize,
        max: Option<usize>,
    ) {
        // Under the lock, so that a request that comes now is counted once.
        let mut expectations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = journal.kept(endpoint);
        let fitting = kept.iter().filter(|request| matching.fits(request, journal)).count();
        let got = match matching == Match::any() {
            // Those that the journal no longer keeps are known by their number only.
            true => journal.count(endpoint).saturating_sub(kept.len() - fitting),
            false => fitting,
        };
        let epoch = journal.epoch();
        expectations.push(Expectation { endpoint, matching, min, max, got, epoch });
    }

    /// Counts a request, which `record` writes into the journal.
    pub(crate) fn count(
        &self,
        journal: &Journal,
        record: impl FnOnce() -> Arc<RecordedRequest>,
    ) -> Arc<RecordedRequest> {
        let mut expectations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let request = record();
        for expected in &mut *expectations {
            if expected.endpoint == request.endpoint && expected.matching.fits(&request, journal) {
                let epoch = journal.epoch();
                (expected.got, expected.epoch) = (expected.got_since(epoch) + 1, epoch);
            }
        }
        request
    }
}

/// A line for each request, with its place among those that arrived.
fn list(report: &mut String, requests: &[(usize, Arc<RecordedRequest>)]) {
    for (place, request) in requests {
        let status = request.status.map_or("no response".to_owned(), |status| status.as_u16().to_string());
        let grant =
            request.param("grant_type").map(|grant| format!(" grant_type={grant}")).unwrap_or_default();
        let fault = request.fault.as_ref().map(|fault| format!(" (fault: {fault})")).unwrap_or_default();
        let (number, method, path) = (place + 1, &request.method, &request.path);
        // Writing to a `String` cannot fail.
        let _ = writeln!(report, "+   {number}. {method} {path}{grant} -> {status}{fault}");
    }
}

impl Expectation {
    fn got_since(&self, epoch: u64) -> usize {
        if self.epoch == epoch { self.got } else { 0 }
    }

    fn range(&self) -> String {
        match (self.min, self.max) {
            (min, Some(max)) if min == max => format!("exactly {min} request(s)"),
            (0, Some(max)) => format!("at most {max} request(s)"),
            (min, _) => format!("at least {min} request(s)"),
        }
    }
}
