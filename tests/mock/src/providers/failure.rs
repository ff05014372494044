use bytes::Bytes;
use http::StatusCode;
use http::header::RETRY_AFTER;

use super::JSON;
use crate::endpoint::Endpoint;
use crate::rules::faults::Fault;

/// One failure that a provider's page documents: where it happens, its status and its body.
///
/// ```
/// use oauth_mock::{MockServer, Provider};
///
/// let server = MockServer::builder().personality(Provider::SailPoint).in_process();
/// for failure in Provider::SailPoint.failures() {
///     println!("{} {}", failure.name(), failure.status());
///     // More headers than the page names can be added before the fault is given to the server.
///     server.fault(failure.endpoint(), failure.fault().retry_after_secs(3)).times(1);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ProviderFailure {
    name: &'static str,
    endpoint: Endpoint,
    status: StatusCode,
    documented: bool,
    retry_after: Option<u64>,
    body: Bytes,
}

impl ProviderFailure {
    pub(super) fn new(
        name: &'static str,
        endpoint: Endpoint,
        status: StatusCode,
        body: impl Into<Bytes>,
    ) -> Self {
        Self { name, endpoint, status, documented: true, retry_after: None, body: body.into() }
    }

    /// Its status is an assumption: the page names none.
    pub(super) fn status_assumed(mut self) -> Self {
        self.documented = false;
        self
    }

    /// The page says that `Retry-After` comes with it.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A name that is the provider's only: the page's own code where it has one.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The endpoint that fails.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the page names that status.
    #[must_use]
    pub fn status_is_documented(&self) -> bool {
        self.documented
    }

    /// The response's JSON.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The fault that responds so, for [`MockServer::fault`](crate::MockServer::fault).
    pub fn fault(&self) -> Fault {
        self.fault_with(None)
    }

    /// The same, with this status if the page names none.
    pub(crate) fn fault_with(&self, undocumented: Option<StatusCode>) -> Fault {
        let status = undocumented.filter(|_| !self.documented).unwrap_or(self.status);
        let fault = Fault::body(status.as_u16(), JSON, self.body.clone());
        match self.retry_after {
            Some(seconds) => fault.header(RETRY_AFTER, seconds.to_string()),
            None => fault,
        }
    }
}
