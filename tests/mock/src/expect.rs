//! Expectations: how often an endpoint must have been asked by the end of the test.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::endpoint::Endpoint;
use crate::journal::Journal;
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
}

impl<'a> Expect<'a> {
    pub(crate) fn new(server: &'a MockServer, endpoint: Endpoint) -> Self {
        Self { server, endpoint }
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
        self.server.expectations().expect(self.endpoint, min, max);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Expectations(Mutex<Vec<Expectation>>);

#[derive(Clone, Copy, Debug)]
struct Expectation {
    endpoint: Endpoint,
    min: usize,
    max: Option<usize>,
}

impl Expectations {
    /// A report of what was not met, with what arrived instead; `None` when all is well.
    pub(crate) fn unmet(&self, journal: &Journal) -> Option<String> {
        let mut report = String::new();
        for expected in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let got = journal.of(expected.endpoint);
            if got.len() >= expected.min && expected.max.is_none_or(|max| got.len() <= max) {
                continue;
            }
            let endpoint = expected.endpoint;
            // Writing to a `String` cannot fail.
            let _ = writeln!(report, "- expected {} to {endpoint:?}\n+ got {}", expected.range(), got.len());
            for (number, request) in got.iter().enumerate() {
                let status =
                    request.status.map_or("no response".to_owned(), |status| status.as_u16().to_string());
                let grant = request
                    .param("grant_type")
                    .map(|grant| format!(" grant_type={grant}"))
                    .unwrap_or_default();
                let fault =
                    request.fault.as_ref().map(|fault| format!(" (fault: {fault})")).unwrap_or_default();
                let (number, method, path) = (number + 1, &request.method, &request.path);
                let _ = writeln!(report, "+   {number}. {method} {path}{grant} -> {status}{fault}");
            }
        }
        (!report.is_empty()).then_some(report)
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn expect(&self, endpoint: Endpoint, min: usize, max: Option<usize>) {
        let expectation = Expectation { endpoint, min, max };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(expectation);
    }
}

impl Expectation {
    fn range(&self) -> String {
        match (self.min, self.max) {
            (min, Some(max)) if min == max => format!("exactly {min} request(s)"),
            (0, Some(max)) => format!("at most {max} request(s)"),
            (min, _) => format!("at least {min} request(s)"),
        }
    }
}
