//! What all parts of one server share, and the path of a request through them.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{Method, Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clients::MockClient;
use crate::clients::documents::ClientDocuments;
use crate::clients::registration::{Registration, Registrations};
use crate::clock::MockClock;
use crate::dpop::Dpop;
use crate::endpoint::Endpoint;
use crate::journal::callers;
use crate::journal::request_log::{self, RequestLog};
use crate::journal::{Caller, Journal};
use crate::keys::{Alg, Keys};
use crate::providers::{Personality, Route, Tokens};
use crate::routes::{self, api::is_within};
use crate::rules::expect::Expectations;
use crate::rules::faults::{self, Faults, Rule};
use crate::rules::matching::Scenarios;
use crate::rules::tampers::{Tamper, Tampers};
use crate::rules::token_rules::{TokenRule, TokenRules};
use crate::settings::Gates;
use crate::state::codes::Codes;
use crate::state::consents::Consents;
use crate::state::details::AuthorizationDetailsType;
use crate::state::devices::Devices;
use crate::state::pushed::PushedRequests;
use crate::state::replays::Replays;
use crate::state::sessions::Sessions;
use crate::state::tokens::Records;
use crate::state::trust::TrustedIssuer;
use crate::state::users::User;
use crate::statements::Transmitter;
use crate::tls::Authority;
use crate::wire::body::MockBody;
use crate::wire::names::{Names, Origin};
use crate::wire::peer::Peer;
use crate::wire::response::{MockResponse, OAuthError};
use crate::wire::transport::TransportError;

pub(crate) struct Shared {
    /// Scheme, host and port: `http://127.0.0.1:40123`.
    pub(crate) origin: String,
    /// Where it listens, as this machine can reach it; the same unless a public address was chosen.
    pub(crate) local: String,
    /// All addresses by which requests may name it.
    pub(crate) names: Names,
    /// The same of the port that asks for certificates.
    pub(crate) mtls_origin: Option<String>,
    pub(crate) authority: Option<Authority>,
    /// The first one is at the root; there is always one.
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) clients: RwLock<Vec<Arc<MockClient>>>,
    pub(crate) users: RwLock<Vec<Arc<User>>>,
    /// The first one is the default; there is always one.
    pub(crate) audiences: Vec<String>,
    /// What scope is needed at and below which path of the API.
    pub(crate) api_scopes: Vec<(String, String)>,
    pub(crate) registration: Registration,
    pub(crate) trusted_issuers: Vec<TrustedIssuer>,
    pub(crate) clock: MockClock,
    pub(crate) dpop: Dpop,
    pub(crate) tampers: Tampers,
    pub(crate) policy: Policy,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
    pub(crate) token_rules: TokenRules,
    pub(crate) scenarios: Scenarios,
    /// Where a line is written for each request, if anywhere.
    pub(crate) log: Option<RequestLog>,
    pub(crate) expectations: Expectations,
    pub(crate) paused: watch::Sender<bool>,
    /// The provider this server plays, if any.
    pub(crate) personality: Option<&'static Personality>,
    /// The status of errors for which the provider's page names none.
    pub(crate) undocumented_status: Option<StatusCode>,
    pub(crate) initial: Initial,
    /// Those that faults name which were written down.
    pub(crate) gates: Gates,
    /// Where this server can be steered from, once that is open.
    pub(crate) control: OnceLock<String>,
    /// Whether assertions must name the issuer and nothing else.
    pub(crate) strict_assertion_audience: bool,
}

/// What [`MockServer::reset`](crate::MockServer::reset) goes back to, as far as no part of the server knows it by
/// itself.
pub(crate) struct Initial {
    pub(crate) clients: Vec<Arc<MockClient>>,
    pub(crate) users: Vec<Arc<User>>,
    pub(crate) faults: Vec<Rule>,
    pub(crate) tampers: Vec<(Tamper, Option<usize>)>,
    pub(crate) token_rules: Vec<TokenRule>,
}

/// Lifetime in seconds of access tokens about which nothing was said.
const LIFETIME: i64 = 300;

/// One issuer: its own keys, its own tokens.
pub(crate) struct Issuer {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) algorithms: Vec<Alg>,
    pub(crate) keys: Keys,
    pub(crate) records: Records,
    pub(crate) codes: Codes,
    pub(crate) consents: Consents,
    /// The assertions and proofs it has seen.
    pub(crate) replays: Replays,
    pub(crate) pushed: PushedRequests,
    pub(crate) sessions: Sessions,
    pub(crate) registrations: Registrations,
    pub(crate) devices: Devices,
    /// Security events that wait to be polled.
    pub(crate) transmitter: Transmitter,
    /// Those who wait for a user to confirm elsewhere.
    pub(crate) backchannel: Devices,
}

/// What the server asks and offers beyond the defaults.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Whether every authorization request must be pushed (RFC 9126 section 5).
    pub(crate) needs_par: bool,
    pub(crate) details_types: Vec<AuthorizationDetailsType>,
    /// How strong a login may be; the first one is what a plain one is worth.
    pub(crate) acr_values: Vec<String>,
    /// Seconds that a device waits for its user's approval.
    pub(crate) device_lifetime: i64,
    /// Seconds between two of its requests.
    pub(crate) device_interval: i64,
    /// The pages that may read the responses to clients; `None`: all (CORS).
    pub(crate) cors_origins: Option<Vec<String>>,
    /// What there is at the URLs of clients that are named by one.
    pub(crate) client_documents: ClientDocuments,
}

impl Default for Policy {
    fn default() -> Self {
        // OpenID Connect Core section 2 gives `0` to a login that meets no level of assurance.
        let acr_values = vec!["0".to_owned()];
        // RFC 8628 section 3.2 takes five seconds where a server names no interval.
        let (device_lifetime, device_interval) = (600, 5);
        Self {
            needs_par: false,
            details_types: Vec::new(),
            acr_values,
            device_lifetime,
            device_interval,
            cors_origins: None,
            client_documents: ClientDocuments::default(),
        }
    }
}

impl Shared {
    /// Takes one request to its response, or to the way it fails.
    pub(crate) async fn response(
        self: &Arc<Self>,
        request: Request<Bytes>,
    ) -> Result<Response<MockBody>, TransportError> {
        let mut paused = self.paused.subscribe();
        if *paused.borrow_and_update() {
            return Err(TransportError::Refused);
        }
        tokio::select! {
            biased;
            // Also ends when the sender is gone; it cannot be, `self` holds it.
            _ = paused.wait_for(|paused| *paused) => Err(TransportError::Reset),
            response = self.route(request) => response,
        }
    }

    async fn route(&self, request: Request<Bytes>) -> Result<Response<MockBody>, TransportError> {
        let (endpoint, issuer) = self.asked(request.uri().path());
        if endpoint == Endpoint::Health {
            let mut response = faults::whole(routes::health(&request));
            if request.method() == Method::HEAD {
                *response.body_mut() = MockBody::whole(Bytes::new());
            }
            return Ok(response);
        }
        let (now, began) = (self.clock.now_unix(), Instant::now());
        let caller = callers::of(issuer, &request);
        let record = || self.journal.record(&request, endpoint, &issuer.url, caller, now);
        let recorded = self.expectations.count(&self.journal, record);
        let mut logged = Logged { shared: self, number: recorded.number(), began, status: None };
        let fault = self.faults.meet(&recorded, &self.journal, &self.scenarios);
        let work = || routes::serve(self, issuer, endpoint, &request, &recorded);
        let mut response = match fault {
            None => faults::whole(work()),
            Some(fault) => {
                self.journal.faulted(recorded.number(), &fault.name());
                let dress = |response| routes::readable(self, issuer, endpoint, &request, response);
                fault.play(now, work, dress).await?
            }
        };
        if request.method() == Method::HEAD {
            // RFC 9110 section 9.3.2: the headers of a GET, its length included.
            *response.body_mut() = MockBody::whole(Bytes::new());
        }
        self.journal.completed(recorded.number(), response.status());
        logged.status = Some(response.status());
        Ok(response)
    }

    /// The response to a request that is no HTTP, or is too large: written down like any other, without its body.
    pub(crate) async fn refused(
        self: &Arc<Self>,
        request: Request<Bytes>,
        status: StatusCode,
        why: &'static str,
    ) -> Result<Response<MockBody>, TransportError> {
        if *self.paused.borrow() {
            return Err(TransportError::Refused);
        }
        let (endpoint, issuer) = self.asked(request.uri().path());
        let now = self.clock.now_unix();
        let record = || self.journal.record(&request, endpoint, &issuer.url, Caller::default(), now);
        let recorded = self.expectations.count(&self.journal, record);
        let number = recorded.number();
        self.journal.completed(number, status);
        drop(Logged { shared: self, number, began: Instant::now(), status: Some(status) });
        // The rest of the body, if there is one, is not read.
        let response = MockResponse::new(status, "text/plain; charset=utf-8", why).with(CONNECTION, "close");
        Ok(faults::whole(response))
    }

    /// What a path asks for, and of which issuer.
    fn asked(&self, path: &str) -> (Endpoint, &Issuer) {
        let names = self.issuers.iter().map(|issuer| issuer.name.as_str());
        let (endpoint, name) = Endpoint::of(path, names, self.routes());
        let issuer = self.issuer(name);
        if endpoint != Endpoint::Other || !self.routes().is_empty() {
            return (endpoint, issuer);
        }
        // The first issuer may be called by another URL than the server's, which has a path of its own.
        let first = &self.issuers[0];
        let place = Origin::split(&first.url).and_then(|(_, own)| Endpoint::metadata_at(path, own));
        place.map_or((endpoint, issuer), |place| (place, first))
    }

    /// The issuer of this name, or the first one.
    pub(crate) fn issuer(&self, name: &str) -> &Issuer {
        self.issuers.iter().find(|issuer| issuer.name == name).unwrap_or(&self.issuers[0])
    }

    pub(crate) fn client(&self, id: &str) -> Option<Arc<MockClient>> {
        let known = self.clients().into_iter().find(|client| client.id == id);
        known.or_else(|| self.documented_client(id)?.ok())
    }

    /// The client that the document at its identifier makes, or what is wrong with the document.
    pub(crate) fn documented_client(&self, id: &str) -> Option<Result<Arc<MockClient>, OAuthError>> {
        let found = self.policy.client_documents.client(id, self.mtls_origin.is_some())?;
        Some(found.map(Arc::new))
    }

    pub(crate) fn clients(&self) -> Vec<Arc<MockClient>> {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Registers a client, in place of the one with its id.
    pub(crate) fn register(&self, client: MockClient) {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|known| known.id != client.id);
        clients.push(Arc::new(client));
    }

    /// Whether there was a client of this id.
    pub(crate) fn remove_client(&self, id: &str) -> bool {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        let before = clients.len();
        clients.retain(|known| known.id != id);
        clients.len() < before
    }

    /// The user of this name, if the password is right.
    pub(crate) fn user(&self, name: &str, password: &str) -> Option<Arc<User>> {
        self.user_named(name).filter(|user| user.password == password)
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<Arc<User>> {
        self.users().into_iter().find(|user| user.name == name)
    }

    pub(crate) fn users(&self) -> Vec<Arc<User>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds a user, in place of the one with this name.
    pub(crate) fn add_user(&self, user: User) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        users.retain(|known| known.name != user.name);
        users.push(Arc::new(user));
    }

    /// Whether there was a user of this name.
    pub(crate) fn remove_user(&self, name: &str) -> bool {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let before = users.len();
        users.retain(|known| known.name != name);
        users.len() < before
    }

    /// Back to how the server started, with its first keys.
    pub(crate) fn reset(&self) {
        self.clients.write().unwrap_or_else(PoisonError::into_inner).clone_from(&self.initial.clients);
        self.users.write().unwrap_or_else(PoisonError::into_inner).clone_from(&self.initial.users);
        for issuer in &self.issuers {
            issuer.keys.reset();
            issuer.records.clear();
            issuer.codes.clear();
            issuer.consents.clear();
            issuer.replays.clear();
            issuer.pushed.clear();
            issuer.sessions.clear();
            issuer.registrations.clear();
            issuer.devices.clear();
            issuer.transmitter.clear();
            issuer.backchannel.clear();
        }
        self.clock.reset();
        self.dpop.reset();
        self.tampers.reset(&self.initial.tampers);
        // What is held back goes on; the faults of the start hold again.
        self.gates.open_all();
        let renewed = |rule: &Rule| {
            let fault = rule.fault.clone().renewed(|name| self.gates.named(name));
            Rule { fault, ..rule.clone() }
        };
        self.faults.reset(&self.initial.faults.iter().map(renewed).collect::<Vec<_>>());
        self.token_rules.reset(&self.initial.token_rules);
        self.scenarios.clear();
        self.expectations.clear();
        self.journal.clear();
        self.paused.send_replace(false);
    }

    /// Lets the device with this user code in as `user`, or turns it away; the error says why neither is possible.
    pub(crate) fn decide_device(&self, user_code: &str, user: Option<&str>) -> Result<(), String> {
        let (now, request) = (self.clock.now_unix(), Request::new(Bytes::new()));
        let mut issuers = self.issuers.iter();
        let issuer = issuers.find(|issuer| issuer.devices.waiting(user_code, now).is_some());
        let issuer = issuer.unwrap_or_else(|| self.issuer(""));
        routes::device::decide(routes::Call::new(self, issuer, &request), user_code, user)
    }

    /// Says yes or no for a user who is asked on a device of theirs.
    pub(crate) fn decide_backchannel(&self, user: &str, allowed: bool) -> Result<(), String> {
        let (now, request) = (self.clock.now_unix(), Request::new(Bytes::new()));
        let mut issuers = self.issuers.iter();
        let issuer = issuers.find(|issuer| issuer.backchannel.waiting_for(user, now).is_some());
        let issuer = issuer.unwrap_or_else(|| self.issuer(""));
        routes::backchannel::decide(routes::Call::new(self, issuer, &request), user, allowed)
    }

    /// The user with this `sub`.
    pub(crate) fn user_about(&self, subject: &str) -> Option<Arc<User>> {
        self.users().into_iter().find(|user| user.subject == subject)
    }

    /// Seconds that an access token of this client lives.
    pub(crate) fn lifetime(&self, client: &MockClient) -> i64 {
        let by_default = self.personality.map_or(LIFETIME, |personality| personality.lifetime);
        client.token_lifetime.map_or(by_default, seconds)
    }

    /// The provider's endpoints; empty for a standard server.
    pub(crate) fn routes(&self) -> &'static [Route] {
        self.personality.map_or(&[], |personality| personality.routes)
    }

    /// The scope that the longest fitting rule asks for at this path of the API.
    pub(crate) fn api_scope(&self, path: &str) -> Option<&str> {
        let rules = self.api_scopes.iter().filter(|(root, _)| is_within(path, root));
        rules.max_by_key(|(root, _)| root.len()).map(|(_, scope)| scope.as_str())
    }

    /// The scopes that the API knows, sorted.
    pub(crate) fn api_scopes(&self) -> Vec<&str> {
        let mut scopes: Vec<_> = self.api_scopes.iter().map(|(_, scope)| scope.as_str()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// What its tokens look like.
    pub(crate) fn tokens(&self) -> Tokens {
        self.personality.map_or(Tokens::Standard, |personality| personality.tokens)
    }

    /// The status of an error for which the provider's page names none.
    pub(crate) fn undocumented(&self, by_default: StatusCode) -> StatusCode {
        self.undocumented_status.unwrap_or(by_default)
    }

    /// Whether an in-process request names another host than this server.
    pub(crate) fn is_elsewhere(&self, request: &Request<Bytes>) -> bool {
        let uri = request.uri();
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => self.names.path(&format!("{scheme}://{authority}")).is_none(),
            _ => false,
        }
    }

    /// Whether an in-process request goes to the address that asks for certificates.
    #[cfg(feature = "tls")]
    pub(crate) fn is_mtls(&self, uri: &http::Uri) -> bool {
        let named = uri.scheme_str().zip(uri.authority()).map(|(scheme, host)| format!("{scheme}://{host}"));
        named.is_some() && named == self.mtls_origin
    }

    /// Whether the server's own authority vouches for this certificate now.
    pub(crate) fn trusts(&self, peer: &Peer) -> bool {
        self.authority.as_ref().is_some_and(|authority| authority.trusts(&peer.0, self.clock.now_unix()))
    }

    pub(crate) fn refuse_elsewhere(&self, request: &Request<Bytes>) -> TransportError {
        let now = self.clock.now_unix();
        let record = || self.journal.record(request, Endpoint::Elsewhere, "", Caller::default(), now);
        self.expectations.count(&self.journal, record);
        TransportError::Refused
    }

    pub(crate) fn mint(&self, issuer: &Issuer) -> crate::TokenBuilder {
        let audience = self.audiences.first().map_or("", String::as_str);
        crate::TokenBuilder::new(&issuer.keys, &issuer.url, audience, self.clock.now_unix())
    }
}

/// Writes the line of a request when that has its response, or never will have.
struct Logged<'a> {
    shared: &'a Shared,
    number: u64,
    began: Instant,
    status: Option<StatusCode>,
}

impl Drop for Logged<'_> {
    fn drop(&mut self) {
        if let Some(log) = &self.shared.log
            && let Some(request) = self.shared.journal.entry(self.number)
        {
            let status = self.status.map(|status| status.as_u16());
            log.write(request_log::line(&request, status, self.began.elapsed()));
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Whole seconds of a lifetime, as claims and responses carry them.
pub(crate) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
