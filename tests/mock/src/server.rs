//! The handle that a test holds.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Map;
use tokio::task::AbortHandle;

use crate::builder::MockServerBuilder;
use crate::clients::MockClient;
use crate::clock::MockClock;
use crate::dpop::Dpop;
use crate::endpoint::Endpoint;
use crate::journal::Journal;
use crate::keys::{Keys, TestKey};
use crate::mint::TokenBuilder;
use crate::providers::ProviderFailure;
use crate::routes::{Call, authorize};
use crate::rules::expect::{Expect, Expectations};
use crate::rules::faults::{Fault, FaultScript, Faults};
use crate::rules::matching::{FIRST_STATE, Match};
use crate::rules::tampers::{Tamper, TamperScript, Tampers};
use crate::rules::token_rules::TokenRule;
use crate::shared::{Issuer, Shared};
use crate::state::tokens::{Grant, IssuedTokens};
use crate::state::users::User;
use crate::statements::Transmitter;
use crate::wire::transport::MockTransport;

/// A running authorization server. Dropping it shuts it down and checks what was [expected](Self::expect).
///
/// See the [crate docs](crate) for a first test.
pub struct MockServer {
    shared: Arc<Shared>,
    serving: Vec<AbortHandle>,
}

/// One issuer of a server that has [several](MockServerBuilder::issuer).
#[derive(Clone, Copy, Debug)]
pub struct IssuerHandle<'a> {
    shared: &'a Shared,
    issuer: &'a Issuer,
}

impl MockServer {
    /// A server on a free port of 127.0.0.1, with the client `svc`/`s3cr3t` and the audience `orders-api`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A server that is configured before it starts.
    pub fn builder() -> MockServerBuilder {
        MockServerBuilder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>, serving: Vec<AbortHandle>) -> Self {
        Self { shared, serving }
    }

    /// Scheme, host and port, without a slash at the end: where clients reach it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.origin
    }

    /// Where this machine reaches it: the same, unless it has a [public URL](MockServerBuilder::public_url).
    #[must_use]
    pub fn local_url(&self) -> &str {
        &self.shared.local
    }

    /// The issuer identifier, as in `iss` and in the metadata.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.first().issuer()
    }

    /// The audience of tokens that name no other: the first the builder got.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.shared.audiences.first().map_or("", String::as_str)
    }

    /// The absolute URL of an endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> String {
        self.first().endpoint(endpoint)
    }

    /// Another issuer of this server, by the name the builder got.
    ///
    /// # Panics
    /// If there is none of this name.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "asking for an issuer that was never built is an error in the test itself"
    )]
    pub fn issuer_named(&self, name: &str) -> IssuerHandle<'_> {
        match self.shared.issuers.iter().find(|issuer| issuer.name == name) {
            Some(issuer) => IssuerHandle { shared: &self.shared, issuer },
            None => panic!("this server has no issuer named {name:?}: add it with `.issuer({name:?})`"),
        }
    }

    /// The issuers besides the first one, in the order the builder got them.
    pub fn other_issuers(&self) -> impl Iterator<Item = IssuerHandle<'_>> {
        self.shared.issuers[1..].iter().map(|issuer| IssuerHandle { shared: &self.shared, issuer })
    }

    /// The transport to this server without a socket. It works for a server on a socket as well.
    #[must_use]
    pub fn transport(&self) -> MockTransport {
        MockTransport(Arc::clone(&self.shared))
    }

    /// Mints a token that the server's own records do not know; good by default.
    pub fn mint(&self) -> TokenBuilder {
        self.first().mint()
    }

    /// Issues tokens without a request, as if the client were granted them: they can be introspected, refreshed
    /// and revoked. `scope` is space-separated. [Token rules](TokenRule) hold for them, except those about something that
    /// only a request has, such as its grant or a parameter. `None` if there is no such client.
    #[must_use]
    pub fn issue(&self, client: &str, subject: &str, scope: &str) -> Option<IssuedTokens> {
        self.first().issue(client, subject, scope)
    }

    /// Plays the browser: lets `user` log in and consent to the authorization request of `url`, and returns the address
    /// the browser is sent back to, with a code or an error in its query. No request is sent, and none is recorded.
    ///
    /// # Errors
    /// What the page would say when there is nowhere to send the browser (bad client or redirect URI, no such user).
    pub fn log_in(&self, url: &str, user: &str) -> Result<String, String> {
        log_in(&self.shared, url, user)
    }

    /// Approves the device that shows this user code, as `user` would at the page (RFC 8628 section 3.3).
    ///
    /// # Errors
    /// When no device waits with this code, or there is no such user.
    pub fn approve_device(&self, user_code: &str, user: &str) -> Result<(), String> {
        self.shared.decide_device(user_code, Some(user))
    }

    /// Denies the device that shows this user code.
    ///
    /// # Errors
    /// When no device waits with this code.
    pub fn deny_device(&self, user_code: &str) -> Result<(), String> {
        self.shared.decide_device(user_code, None)
    }

    /// Confirms the request that waits for this user on a device of theirs (OpenID CIBA 1.0 section 7).
    ///
    /// # Errors
    /// When no request waits for the user, or there is no such user.
    pub fn approve_backchannel(&self, user: &str) -> Result<(), String> {
        self.shared.decide_backchannel(user, true)
    }

    /// Declines the request that waits for this user.
    ///
    /// # Errors
    /// When no request waits for the user.
    pub fn deny_backchannel(&self, user: &str) -> Result<(), String> {
        self.shared.decide_backchannel(user, false)
    }

    /// Revokes an access token, or a refresh token with all tokens of its grant.
    pub fn revoke_token(&self, token: &str) {
        self.shared.issuers.iter().for_each(|issuer| issuer.records.revoke(token));
    }

    /// The signing keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.shared.issuers[0].keys
    }

    /// The server's own clock.
    #[must_use]
    pub fn clock(&self) -> &MockClock {
        &self.shared.clock
    }

    /// What the server asks of DPoP proofs.
    #[must_use]
    pub fn dpop(&self) -> &Dpop {
        &self.shared.dpop
    }

    /// A DPoP proof (RFC 9449 section 4.2) by `key` for one request, at the server's time; good by default.
    ///
    /// ```
    /// use oauth_mock::{Alg, Endpoint, MockServer, TestKey};
    ///
    /// let server = MockServer::builder().in_process();
    /// let key = TestKey::generate(Alg::Es256);
    /// let proof = server.dpop_proof(&key, "POST", &server.endpoint(Endpoint::Token));
    /// let good = proof.clone().build();
    /// let replayed_too_late = proof.claim("iat", server.clock().now_unix() - 3600).build();
    /// # let _ = (good, replayed_too_late);
    /// ```
    pub fn dpop_proof(&self, key: &TestKey, method: &str, url: &str) -> TokenBuilder {
        TokenBuilder::proof(self.keys(), key, method, url, self.clock().now_unix())
    }

    /// Every request so far.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Makes an endpoint fail; see [`Fault`].
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) -> FaultScript<'_> {
        FaultScript::new(self, endpoint, fault)
    }

    /// Makes the provider this server plays fail as its page documents, by the name of one of
    /// [`Provider::failures`](crate::Provider::failures).
    ///
    /// ```
    /// use oauth_mock::{MockServer, Provider};
    ///
    /// let server = MockServer::builder().personality(Provider::TeenQuotes).in_process();
    /// server.provider_failure("temporarily_unavailable").times(2);
    /// ```
    ///
    /// # Panics
    /// If the provider documents no failure of this name, or the server plays no provider.
    #[expect(clippy::panic, reason = "a failure that does not exist is an error in the test itself")]
    pub fn provider_failure(&self, name: &str) -> FaultScript<'_> {
        let Some(personality) = self.shared.personality else {
            panic!("{name:?}: this server plays no provider; call `.personality(..)` on its builder")
        };
        let known = (personality.failures)();
        match known.iter().find(|failure| failure.name() == name) {
            Some(failure) => {
                self.fault(failure.endpoint(), failure.fault_with(self.shared.undocumented_status))
            }
            None if known.is_empty() => panic!("{name:?}: the provider documents no failures"),
            None => {
                let names: Vec<_> = known.iter().map(ProviderFailure::name).collect();
                panic!("{name:?} is no documented failure of this server; it knows {names:?}")
            }
        }
    }

    /// Makes responses wrong in one point; see [`Tamper`].
    pub fn tamper(&self, tamper: Tamper) -> TamperScript<'_> {
        TamperScript::new(self, tamper)
    }

    /// Puts claims into tokens and members into responses, by client, scope, grant or parameter; see [`TokenRule`].
    pub fn token_rule(&self, rule: TokenRule) {
        self.shared.token_rules.add(rule);
    }

    /// Ends all rules of [`token_rule`](Self::token_rule).
    pub fn clear_token_rules(&self) {
        self.shared.token_rules.clear();
    }

    /// The state of a [scenario](FaultScript::in_scenario): `start`, until something changes it.
    #[must_use]
    pub fn scenario(&self, name: &str) -> String {
        self.shared.scenarios.list().remove(name).unwrap_or_else(|| FIRST_STATE.to_owned())
    }

    /// Takes a scenario to a state.
    pub fn set_scenario(&self, name: &str, state: &str) {
        self.shared.scenarios.set(name, state);
    }

    /// Waits, a second at most, until the line of every request so far is [written](MockServerBuilder::log_requests).
    pub fn flush_log(&self) {
        if let Some(log) = &self.shared.log {
            log.flush();
        }
    }

    /// Ends all faults and tampers; a request that met one already goes on failing.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
        self.shared.tampers.clear();
    }

    /// Registers a client while the server runs, in place of the one with its id: a changed secret, other scopes …
    pub fn set_client(&self, client: MockClient) {
        self.shared.register(client);
    }

    /// Forgets a client; its tokens stay what they are. Whether there was one with this id.
    pub fn remove_client(&self, id: &str) -> bool {
        self.shared.remove_client(id)
    }

    /// Adds a user while the server runs, in place of the one with this name.
    pub fn set_user(&self, user: User) {
        self.shared.add_user(user);
    }

    /// Forgets a user, who can no longer log in. Whether there was one with this name.
    pub fn remove_user(&self, name: &str) -> bool {
        self.shared.remove_user(name)
    }

    /// Goes back to how the server was when it started: the same clients, users, faults and keys; no token, code,
    /// request or expectation of the meantime is remembered, the clock is what it would have been, and a paused server
    /// comes back.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Goes away: open connections are reset, new ones too, and the port is kept.
    pub fn pause(&self) {
        self.shared.paused.send_replace(true);
    }

    /// Comes back, with all its state.
    pub fn resume(&self) {
        self.shared.paused.send_replace(false);
    }

    /// Expects so many requests to an endpoint by the time the server is dropped.
    pub fn expect(&self, endpoint: Endpoint) -> Expect<'_> {
        Expect::new(self, endpoint)
    }

    /// What was expected and has not come, with what arrived instead; `None` when every expectation is met.
    #[must_use]
    pub fn unmet(&self) -> Option<String> {
        self.shared.expectations.unmet(&self.shared.journal)
    }

    /// Forgets what was expected.
    pub fn expect_nothing(&self) {
        self.shared.expectations.clear();
    }

    /// Checks now what was expected.
    ///
    /// # Panics
    /// If an expectation is not met, with what arrived instead.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn verify(&self) {
        if let Some(report) = self.unmet() {
            panic!("{} did not get the requests this test expects\n{report}", self.shared.origin);
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    pub(crate) fn tampers(&self) -> &Tampers {
        &self.shared.tampers
    }

    pub(crate) fn expectations(&self) -> &Expectations {
        &self.shared.expectations
    }

    pub(crate) fn first(&self) -> IssuerHandle<'_> {
        IssuerHandle { shared: &self.shared, issuer: &self.shared.issuers[0] }
    }
}

impl<'a> IssuerHandle<'a> {
    pub(crate) fn new(shared: &'a Shared, issuer: &'a Issuer) -> Self {
        Self { shared, issuer }
    }

    /// The issuer identifier, as in `iss` and in the metadata.
    #[must_use]
    pub fn issuer(self) -> &'a str {
        &self.issuer.url
    }

    /// The absolute URL of an endpoint of this issuer.
    #[must_use]
    pub fn endpoint(self, endpoint: Endpoint) -> String {
        format!("{}{}", self.shared.origin, endpoint.path(&self.issuer.name, self.shared.routes()))
    }

    /// The signing keys of this issuer.
    #[must_use]
    pub fn keys(self) -> &'a Keys {
        &self.issuer.keys
    }

    pub(crate) fn now(self) -> i64 {
        self.shared.clock.now_unix()
    }

    pub(crate) fn transmitter(self) -> &'a Transmitter {
        &self.issuer.transmitter
    }

    pub(crate) fn parts(self) -> (&'a Shared, &'a Issuer) {
        (self.shared, self.issuer)
    }

    /// Mints a token of this issuer; see [`MockServer::mint`].
    pub fn mint(self) -> TokenBuilder {
        self.shared.mint(self.issuer)
    }

    /// Issues tokens of this issuer; see [`MockServer::issue`].
    #[must_use]
    pub fn issue(self, client: &str, subject: &str, scope: &str) -> Option<IssuedTokens> {
        let client = self.shared.client(client)?;
        let user = self.shared.user_about(subject);
        let grant = Grant {
            client: client.id.clone(),
            subject: subject.to_owned(),
            user: user.as_ref().map(|user| user.name.clone()),
            scope: scope.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect(),
            audience: self.shared.audiences.first().cloned().into_iter().collect(),
            claims: user.map_or_else(Map::new, |user| user.claims.clone()),
            ..Grant::default()
        };
        let fits = |matching: &Match| matching.fits_without_request(&grant.client, &grant.scope);
        let set = self.shared.token_rules.of(&self.shared.scenarios, fits).access;
        let grant = Grant { set, ..grant };
        let records = &self.issuer.records;
        Some(records.issue(self.shared, self.issuer, &client, grant, records.new_family(), true))
    }
}

/// See [`MockServer::log_in`].
pub(crate) fn log_in(shared: &Shared, url: &str, user: &str) -> Result<String, String> {
    let query = url.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
    let path = url.split('?').next().and_then(|address| shared.names.path(address));
    let names = shared.issuers.iter().map(|issuer| issuer.name.as_str());
    match path.map(|path| Endpoint::of(path, names, shared.routes())) {
        Some((Endpoint::Authorize, name)) => {
            let mut request = http::Request::new(Bytes::new());
            // The browser would send it there; what the server says of itself depends on that.
            if let Ok(uri) = url.parse() {
                *request.uri_mut() = uri;
            }
            let issuer = shared.issuer(name);
            let call = Call::new(shared, issuer, &request);
            authorize::approve(call, query, user)
        }
        _ => Err(format!(
            "{} is no authorization endpoint of this server",
            url.split('?').next().unwrap_or(url)
        )),
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        for serving in &self.serving {
            serving.abort();
        }
        // A second panic would abort the process and hide why the test failed.
        if !std::thread::panicking() {
            self.verify();
        }
    }
}

impl fmt::Debug for MockServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockServer").field("url", &self.shared.origin).finish_non_exhaustive()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).field("keys", &self.keys).finish_non_exhaustive()
    }
}
