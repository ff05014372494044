//! What arrived: every request, with every secret replaced by a fingerprint.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use crate::encode::{form_pairs, hex, random};
use crate::endpoint::Endpoint;
use crate::peer::Peer;

/// Parameters whose values are never stored.
const SECRET_PARAMETERS: &[&str] = &[
    "access_token",
    "actor_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "clientSecret",
    "code",
    "code_verifier",
    "device_code",
    "id_token_hint",
    "password",
    "refresh_token",
    "registration_access_token",
    "subject_token",
    "token",
];

/// Headers whose values are never stored.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "proxy-authorization"];

/// Every request a server got, in order. Clones are handles to the same journal.
///
/// ```
/// use oauth_mock::{Endpoint, MockServer};
///
/// let server = MockServer::builder().in_process();
/// assert_eq!(server.journal().count(Endpoint::Token), 0);
/// ```
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    log: Mutex<Log>,
    /// The number of the last change; see [`RecordedRequest::revision`].
    changes: watch::Sender<u64>,
    salt: [u8; 16],
}

#[derive(Default)]
struct Log {
    entries: Vec<RecordedRequest>,
    /// The number of the next request.
    next: u64,
    /// The number of the last change.
    revision: u64,
}

/// One request, without its secrets.
///
/// A secret (a password, code, token, assertion, `Authorization` header …) reads `[redacted:…]`; equal secrets have
/// equal fingerprints within one server, and [`Journal::fingerprint`] makes one to compare with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// The issuer it was asked of.
    pub issuer: String,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query's parameters, in order.
    pub query: Vec<(String, String)>,
    /// The headers, in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The parameters of a form, or the members of a JSON object as text.
    pub params: Vec<(String, String)>,
    /// The certificate that came with it, as `x5t#S256` names it (RFC 8705 section 3.1).
    pub certificate: Option<String>,
    /// When it arrived, by the server's clock, in Unix seconds.
    pub at_unix: i64,
    /// The fault it met, if any.
    pub fault: Option<String>,
    /// The response's status; `None` while it runs, and when no response was sent.
    pub status: Option<StatusCode>,
    sequence: u64,
    /// When it was last written to, counted over all changes of the journal.
    revision: u64,
}

impl RecordedRequest {
    /// Which request it is, counted from 0 since the server started.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.sequence
    }

    /// The first value of a parameter of the form or JSON body.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        first(&self.params, name)
    }

    /// The first value of a header, named in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { log: Mutex::default(), changes: watch::Sender::new(0), salt: random() }))
    }

    /// All requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.log().entries.clone()
    }

    /// The requests to one endpoint so far, oldest first.
    #[must_use]
    pub fn of(&self, endpoint: Endpoint) -> Vec<RecordedRequest> {
        self.log().entries.iter().filter(|entry| entry.endpoint == endpoint).cloned().collect()
    }

    /// How many requests an endpoint got.
    #[must_use]
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.log().entries.iter().filter(|entry| entry.endpoint == endpoint).count()
    }

    /// Waits until an endpoint has got `n` requests: they have arrived then, and may still run.
    pub async fn wait_for(&self, endpoint: Endpoint, n: usize) {
        let mut changes = self.0.changes.subscribe();
        // The sender lives in this journal, so there is always another change to wait for.
        let _ = changes.wait_for(|_| self.count(endpoint) >= n).await;
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.change(|log| log.entries.clear());
    }

    /// The requests that arrived or completed after the change of this number; the number of the last change until now;
    /// and the number of the oldest request that is kept.
    pub(crate) fn since(&self, revision: u64) -> (Vec<RecordedRequest>, u64, u64) {
        let log = self.log();
        let news = log.entries.iter().filter(|entry| entry.revision > revision).cloned().collect();
        let oldest = log.entries.first().map_or(log.next, |entry| entry.sequence);
        (news, log.revision, oldest)
    }

    /// Waits for a change after the one of this number.
    pub(crate) async fn changed_since(&self, revision: u64) {
        // The sender lives in this journal, so the wait ends only with a change.
        let _ = self.0.changes.subscribe().wait_for(|last| *last > revision).await;
    }

    /// How a secret of this value is written in this journal.
    #[must_use]
    pub fn fingerprint(&self, secret: &str) -> String {
        let hash = digest(&SHA256, &[&self.0.salt, secret.as_bytes()].concat());
        format!("[redacted:{}]", hex(&hash.as_ref()[..6]))
    }

    /// Writes a request down; the number returned names it in [`completed`](Self::completed).
    pub(crate) fn record(&self, request: &Request<Bytes>, endpoint: Endpoint, issuer: &str, now: i64) -> u64 {
        let headers = request.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let secret = SECRET_HEADERS.contains(&name.as_str());
            (name.as_str().to_owned(), if secret { self.fingerprint(&value) } else { value })
        });
        let mut recorded = RecordedRequest {
            endpoint,
            issuer: issuer.to_owned(),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: self
                .redact(form_pairs(request.uri().query().unwrap_or_default().as_bytes()).unwrap_or_default()),
            headers: headers.collect(),
            params: self.redact(parameters(request)),
            certificate: Peer::of(request).map(Peer::thumbprint),
            at_unix: now,
            fault: None,
            status: None,
            sequence: 0,
            revision: 0,
        };
        self.change(|log| {
            (recorded.sequence, recorded.revision) = (log.next, log.revision);
            log.entries.push(recorded);
            log.next += 1;
            log.next - 1
        })
    }

    pub(crate) fn faulted(&self, entry: u64, fault: &str) {
        self.amend(entry, |recorded| recorded.fault = Some(fault.to_owned()));
    }

    pub(crate) fn completed(&self, entry: u64, status: StatusCode) {
        self.amend(entry, |recorded| recorded.status = Some(status));
    }

    fn amend(&self, entry: u64, change: impl FnOnce(&mut RecordedRequest)) {
        // From the end: what is amended is nearly always among the newest. It may be gone after `clear`.
        self.change(|log| {
            if let Some(recorded) = log.entries.iter_mut().rev().find(|recorded| recorded.sequence == entry) {
                change(recorded);
                recorded.revision = log.revision;
            }
        });
    }

    /// Changes the log, whose revision is already that of this change, and wakes all waiters.
    fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.log();
        log.revision += 1;
        let (result, revision) = (change(&mut log), log.revision);
        drop(log);
        // After the lock is released: waiters take it while they look at this channel.
        self.0.changes.send_modify(|last| *last = revision.max(*last));
        result
    }

    fn redact(&self, pairs: Vec<(String, String)>) -> Vec<(String, String)> {
        let redacted = |(name, value): (String, String)| {
            let secret = SECRET_PARAMETERS.contains(&name.as_str());
            let value = if secret { self.fingerprint(&value) } else { value };
            (name, value)
        };
        pairs.into_iter().map(redacted).collect()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.log().entries).finish()
    }
}

fn parameters(request: &Request<Bytes>) -> Vec<(String, String)> {
    let body = request.body();
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => {
            let text = |value: Value| match value {
                Value::String(text) => text,
                // A nested value could hold a secret under any name.
                Value::Array(_) | Value::Object(_) => "[nested]".to_owned(),
                plain => plain.to_string(),
            };
            members.into_iter().map(|(name, value)| (name, text(value))).collect()
        }
        _ => form_pairs(body).unwrap_or_default(),
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stored_as_fingerprints_that_can_be_compared() {
        let journal = Journal::new();
        let body = "grant_type=password&username=alice&password=wonderland&client_secret=s3cr3t";
        let request = Request::post("/token?code=c0de")
            .header("authorization", "Basic c3ZjOnMzY3IzdA==")
            .body(Bytes::from(body))
            .unwrap();
        journal.record(&request, Endpoint::Token, "https://as", 7);

        let entry = &journal.of(Endpoint::Token)[0];
        assert_eq!(entry.param("username"), Some("alice"));
        assert_eq!(entry.param("password"), Some(journal.fingerprint("wonderland").as_str()));
        assert_ne!(journal.fingerprint("wonderland"), journal.fingerprint("s3cr3t"));
        assert_ne!(journal.fingerprint("x"), Journal::new().fingerprint("x"), "the salt is the server's own");
        let shown = format!("{journal:?} {entry:?}");
        for secret in ["wonderland", "s3cr3t", "c0de", "c3ZjOnMzY3IzdA=="] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }

    #[test]
    fn json_members_are_parameters_too() {
        let journal = Journal::new();
        let body = Bytes::from(r#"{"clientId":"a","clientSecret":"s3cr3t","n":1}"#);
        journal.record(&Request::post("/x").body(body).unwrap(), Endpoint::Other, "", 0);
        let entry = &journal.requests()[0];
        assert_eq!((entry.param("clientId"), entry.param("n")), (Some("a"), Some("1")));
        assert!(entry.param("clientSecret").unwrap().starts_with("[redacted:"));
    }
}
