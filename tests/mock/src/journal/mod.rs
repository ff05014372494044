//! What arrived: every request, with every secret replaced by a fingerprint. Beside it: who sent a request, and the line
//! on stderr.

pub(crate) mod callers;
pub(crate) mod request_log;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::mem::size_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use crate::encode::{form_pairs, hex, random};
use crate::endpoint::Endpoint;
use crate::wire::peer::Peer;

/// Parameters and headers whose values are never stored, without case, dashes and underscores; sorted.
const SECRETS: &[&str] = &[
    "accesstoken",
    "actortoken",
    "apikey",
    "apitoken",
    "assertion",
    "authorization",
    "authtoken",
    "clientassertion",
    "clientsecret",
    "code",
    "codeverifier",
    "cookie",
    "devicecode",
    "dpop",
    "idtoken",
    "idtokenhint",
    "initialaccesstoken",
    "logintoken",
    "logouttoken",
    "password",
    "proxyauthorization",
    "refreshtoken",
    "registrationaccesstoken",
    "request",
    "samlresponse",
    "secret",
    "sessiontoken",
    "setcookie",
    "softwarestatement",
    "subjecttoken",
    "token",
    "xaccesstoken",
    "xapikey",
    "xapitoken",
    "xauthtoken",
    "xforwardedaccesstoken",
];

/// How much a journal keeps, unless the server is built otherwise: enough for any test that looks at single requests.
pub(crate) const LIMITS: Limits = Limits { entries: 20_000, bytes: 32 << 20 };

/// What a journal may hold at most. The oldest requests go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) entries: usize,
    /// Memory, about.
    pub(crate) bytes: usize,
}

/// The requests a server got, in order. Clones are handles to the same journal.
///
/// It keeps the newest 20,000 requests, within 32 MiB; see
/// [`MockServerBuilder::journal_limits`](crate::MockServerBuilder::journal_limits). [`count`](Self::count) counts the
/// older ones too.
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
    limits: Limits,
}

#[derive(Default)]
struct Log {
    entries: VecDeque<Arc<RecordedRequest>>,
    /// What they hold of memory, about.
    bytes: usize,
    /// How many requests came, those that are no longer kept included.
    counts: HashMap<Endpoint, usize>,
    /// How often everything was forgotten.
    epoch: u64,
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
    /// The client that authenticated or named itself, or whose access token was sent: as the request says, whether it
    /// is true or not.
    pub client: Option<String>,
    /// The scope that the request asks for, or that of the access token that was sent.
    pub scope: Option<String>,
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

    /// Whether it is the question of a browser before a request to another origin (Fetch section 3.2.2).
    pub(crate) fn is_preflight(&self) -> bool {
        self.method == "OPTIONS"
            && self.header("origin").is_some()
            && self.header("access-control-request-method").is_some()
    }

    /// What it holds of memory, about: each text is an allocation of its own.
    fn bytes(&self) -> usize {
        const ALLOCATION: usize = 16;
        let text = |text: &String| size_of::<String>() + text.len() + ALLOCATION;
        let pairs = [&self.query, &self.headers, &self.params].into_iter().flatten();
        let pairs: usize = pairs.map(|(name, value)| text(name) + text(value)).sum();
        let texts = [Some(&self.issuer), Some(&self.method), Some(&self.path), self.certificate.as_ref()];
        let more = [self.client.as_ref(), self.scope.as_ref(), self.fault.as_ref()];
        let texts: usize = texts.into_iter().chain(more).flatten().map(|text| text.len() + ALLOCATION).sum();
        size_of::<Self>() + pairs + texts
    }
}

/// Who sends a request, and with what scope: what the journal cannot see from the request alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) client: Option<String>,
    pub(crate) scope: Option<String>,
}

impl Journal {
    pub(crate) fn new(limits: Limits) -> Self {
        let (log, changes, salt) = (Mutex::default(), watch::Sender::new(0), random());
        Self(Arc::new(Inner { log, changes, salt, limits }))
    }

    /// All requests that are kept, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.log().entries.iter().map(|entry| RecordedRequest::clone(entry)).collect()
    }

    /// The requests to one endpoint that are kept, oldest first.
    #[must_use]
    pub fn of(&self, endpoint: Endpoint) -> Vec<RecordedRequest> {
        self.kept(endpoint).iter().map(|entry| RecordedRequest::clone(entry)).collect()
    }

    /// How many requests an endpoint got, since the server started or the journal was cleared.
    #[must_use]
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.log().counts.get(&endpoint).copied().unwrap_or_default()
    }

    /// How often everything was forgotten so far: who counts along starts anew then.
    pub(crate) fn epoch(&self) -> u64 {
        self.log().epoch
    }

    /// The same as [`of`](Self::of), without copies.
    pub(crate) fn kept(&self, endpoint: Endpoint) -> Vec<Arc<RecordedRequest>> {
        self.log().entries.iter().filter(|entry| entry.endpoint == endpoint).cloned().collect()
    }

    /// How many requests came, to all endpoints or to one.
    pub(crate) fn total(&self, endpoint: Option<Endpoint>) -> usize {
        match endpoint {
            Some(endpoint) => self.count(endpoint),
            None => self.log().counts.values().sum(),
        }
    }

    /// The request of this number, if it is kept.
    pub(crate) fn entry(&self, number: u64) -> Option<Arc<RecordedRequest>> {
        let log = self.log();
        log.position(number).and_then(|at| log.entries.get(at)).cloned()
    }

    /// Waits until an endpoint has got `n` requests: they have arrived then, and may still run.
    pub async fn wait_for(&self, endpoint: Endpoint, n: usize) {
        let mut changes = self.0.changes.subscribe();
        // The sender lives in this journal, so there is always another change to wait for.
        let _ = changes.wait_for(|_| self.count(endpoint) >= n).await;
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.change(|log| {
            log.entries.clear();
            log.counts.clear();
            log.bytes = 0;
            log.epoch += 1;
        });
    }

    /// The requests that arrived or completed after the change of this number; the number of the last change until now;
    /// and the number of the oldest request that is kept.
    pub(crate) fn since(&self, revision: u64) -> (Vec<Arc<RecordedRequest>>, u64, u64) {
        let log = self.log();
        let news = log.entries.iter().filter(|entry| entry.revision > revision).cloned().collect();
        let oldest = log.entries.front().map_or(log.next, |entry| entry.sequence);
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

    /// Whether values of parameters and headers of this name are secrets.
    pub(crate) fn is_secret(name: &str) -> bool {
        let mut letters = name.to_ascii_lowercase();
        letters.retain(|letter| !matches!(letter, '-' | '_'));
        SECRETS.binary_search(&letters.as_str()).is_ok()
    }

    /// Writes a request down.
    pub(crate) fn record(
        &self,
        request: &Request<Bytes>,
        endpoint: Endpoint,
        issuer: &str,
        caller: Caller,
        now: i64,
    ) -> Arc<RecordedRequest> {
        let headers = request.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let mut recorded = RecordedRequest {
            endpoint,
            issuer: issuer.to_owned(),
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: self
                .redact(form_pairs(request.uri().query().unwrap_or_default().as_bytes()).unwrap_or_default()),
            headers: self.redact(headers.collect()),
            params: self.redact(parameters(request)),
            client: caller.client,
            scope: caller.scope,
            certificate: Peer::of(request).map(Peer::thumbprint),
            at_unix: now,
            fault: None,
            status: None,
            sequence: 0,
            revision: 0,
        };
        self.change(|log| {
            (recorded.sequence, recorded.revision) = (log.next, log.revision);
            log.next += 1;
            *log.counts.entry(endpoint).or_default() += 1;
            log.bytes += recorded.bytes();
            let recorded = Arc::new(recorded);
            log.entries.push_back(Arc::clone(&recorded));
            log.shrink(self.0.limits);
            recorded
        })
    }

    pub(crate) fn faulted(&self, entry: u64, fault: &str) {
        self.amend(entry, |recorded| recorded.fault = Some(fault.to_owned()));
    }

    pub(crate) fn completed(&self, entry: u64, status: StatusCode) {
        self.amend(entry, |recorded| recorded.status = Some(status));
    }

    fn amend(&self, entry: u64, change: impl FnOnce(&mut RecordedRequest)) {
        // It may be gone, forgotten or pushed out by newer ones.
        self.change(|log| {
            let revision = log.revision;
            let at = log.position(entry);
            if let Some(recorded) = at.and_then(|at| log.entries.get_mut(at)) {
                let recorded = Arc::make_mut(recorded);
                let before = recorded.bytes();
                change(recorded);
                recorded.revision = revision;
                log.bytes = log.bytes.saturating_sub(before) + recorded.bytes();
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
            let secret = Self::is_secret(&name) || holds_jwt(&value);
            let value = if secret { self.fingerprint(&value) } else { value };
            (name, value)
        };
        pairs.into_iter().map(redacted).collect()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Where the request of this number is. They are in order, and none in between is missing.
    fn position(&self, number: u64) -> Option<usize> {
        let first = self.entries.front()?.sequence;
        usize::try_from(number.checked_sub(first)?).ok()
    }

    /// Lets the oldest go, never the newest.
    fn shrink(&mut self, limits: Limits) {
        while self.entries.len() > 1 && (self.entries.len() > limits.entries || self.bytes > limits.bytes) {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes = self.bytes.saturating_sub(oldest.bytes());
            }
        }
    }
}

/// Whether a signed token stands in this text, under whatever name it was sent.
fn holds_jwt(value: &str) -> bool {
    // `{"` in base64url, with which every JOSE header begins.
    value.split([' ', ',', '=', '"']).any(|word| word.starts_with("eyJ") && word.matches('.').count() >= 2)
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.log().entries.iter()).finish()
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
        let journal = Journal::new(LIMITS);
        let body = "grant_type=password&username=alice&password=wonderland&client_secret=s3cr3t";
        let request = Request::post("/token?code=c0de")
            .header("authorization", "Basic c3ZjOnMzY3IzdA==")
            .body(Bytes::from(body))
            .unwrap();
        journal.record(&request, Endpoint::Token, "https://as", Caller::default(), 7);

        let entry = &journal.of(Endpoint::Token)[0];
        assert_eq!(entry.param("username"), Some("alice"));
        assert_eq!(entry.param("password"), Some(journal.fingerprint("wonderland").as_str()));
        assert_ne!(journal.fingerprint("wonderland"), journal.fingerprint("s3cr3t"));
        assert_ne!(
            journal.fingerprint("x"),
            Journal::new(LIMITS).fingerprint("x"),
            "the salt is the server's own"
        );
        let shown = format!("{journal:?} {entry:?}");
        for secret in ["wonderland", "s3cr3t", "c0de", "c3ZjOnMzY3IzdA=="] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }

    #[test]
    fn json_members_are_parameters_too() {
        let journal = Journal::new(LIMITS);
        let body = Bytes::from(r#"{"clientId":"a","clientSecret":"s3cr3t","n":1}"#);
        let request = Request::post("/x").body(body).unwrap();
        journal.record(&request, Endpoint::Other, "", Caller::default(), 0);
        let entry = &journal.requests()[0];
        assert_eq!((entry.param("clientId"), entry.param("n")), (Some("a"), Some("1")));
        assert!(entry.param("clientSecret").unwrap().starts_with("[redacted:"));
    }

    #[test]
    fn a_token_is_a_secret_under_any_name() {
        assert!(SECRETS.is_sorted());
        let journal = Journal::new(LIMITS);
        let jwt = "eyJhbGciOiJub25lIn0.e30.x";
        let body = format!(r#"{{"software_statement":"{jwt}","odd":"{jwt}","api_key":"k3y","n":"plain"}}"#);
        let request = Request::post(format!("/x?apiKey=k3y&other={jwt}"))
            .header("DPoP", jwt)
            .header("X-API-Key", "k3y")
            .header("x-odd", format!("token={jwt}"))
            .body(Bytes::from(body));
        journal.record(&request.unwrap(), Endpoint::Other, "", Caller::default(), 0);
        let shown = format!("{journal:?}");
        assert!(!shown.contains("eyJ") && !shown.contains("k3y") && shown.contains("plain"), "{shown}");
        assert_eq!(journal.requests()[0].header("dpop"), Some(&*journal.fingerprint(jwt)));
    }

    #[test]
    fn the_oldest_requests_go_and_are_counted_all_the_same() {
        let request =
            |length: usize| Request::get("/jwks").header("x", "y".repeat(length)).body(Bytes::new());
        let record = |journal: &Journal, length| {
            journal.record(&request(length).unwrap(), Endpoint::Jwks, "", Caller::default(), 0).number()
        };
        let few = Journal::new(Limits { entries: 3, bytes: 1 << 20 });
        let numbers: Vec<_> = (0..10).map(|_| record(&few, 1)).collect();
        assert_eq!((few.requests().len(), few.count(Endpoint::Jwks), few.since(0).2), (3, 10, 7));
        few.completed(numbers[0], StatusCode::OK);
        few.completed(numbers[8], StatusCode::OK);
        let completed: Vec<_> = few.requests().iter().map(|request| request.status.is_some()).collect();
        assert_eq!(completed, [false, true, false]);

        let small = Journal::new(Limits { entries: 1_000, bytes: 10_000 });
        for _ in 0..100 {
            record(&small, 1_000);
        }
        assert!((5..10).contains(&small.requests().len()), "{}", small.requests().len());
        record(&small, 50_000);
        assert_eq!(small.requests().len(), 1, "the newest one is kept whatever it takes");
        small.clear();
        assert_eq!(small.count(Endpoint::Jwks), 0);
        assert_eq!(small.log().bytes, 0);
        assert_eq!(record(&small, 1), 101, "numbers go on");
    }
}
