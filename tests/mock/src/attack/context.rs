use std::time::Duration;

use http::Method;
use serde_json::{Map, Value};

use crate::clock::MockClock;
use crate::encode::b64url;
use crate::endpoint::Endpoint;
use crate::keys::{Alg, Keys, TestKey};
use crate::mint::TokenBuilder;
use crate::server::MockServer;

use super::RequirementLevel;
use super::possession::Possession;
use super::request::{AttackRequest, Expected};

/// What an attacker knows and has: the issuer's good tokens and (to sign what no honest issuer would) its keys, a key
/// of their own, an address that no request should ever reach.
#[derive(Clone, Debug)]
pub struct AttackContext {
    keys: Keys,
    issuer: String,
    audience: String,
    scope: Option<String>,
    leeway: i64,
    clock: MockClock,
    foreign: TestKey,
    trap: String,
    second: Option<(String, Keys)>,
    typ: Option<String>,
    claims: Vec<(String, Value)>,
    max_token_age: i64,
    method: Method,
    /// What binds its good tokens; `None` for bearer tokens.
    pub(super) possession: Option<Possession>,
}

impl AttackContext {
    /// Attacks an API that trusts `server` and its default audience, with a leeway of 60 seconds and no scope.
    #[must_use]
    pub fn new(server: &MockServer) -> Self {
        Self::of(server, server.keys(), server.issuer())
    }

    /// Attacks an API that trusts the issuer of this name and address.
    pub(crate) fn of(server: &MockServer, keys: &Keys, issuer: &str) -> Self {
        Self {
            keys: keys.clone(),
            issuer: issuer.to_owned(),
            audience: server.audience().to_owned(),
            scope: None,
            leeway: 60,
            clock: server.clock().clone(),
            foreign: keys.foreign(Alg::Rs256),
            trap: server.endpoint(Endpoint::Trap),
            second: server
                .other_issuers()
                .next()
                .map(|other| (other.issuer().to_owned(), other.keys().clone())),
            typ: None,
            claims: Vec::new(),
            max_token_age: 86_400,
            method: Method::GET,
            possession: None,
        }
    }

    /// The scope that the API wants; without one the attacks of [`Area::Scope`](super::Area::Scope) are left out.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// The audience the API is.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = audience.to_owned();
        self
    }

    /// The leeway the API grants to the clock, in whole seconds.
    #[must_use]
    pub fn leeway(mut self, seconds: u32) -> Self {
        self.leeway = seconds.into();
        self
    }

    /// What the API wants as the `typ` of a good token's header, when that is not `at+jwt`.
    #[must_use]
    pub fn typ(mut self, typ: &str) -> Self {
        self.typ = Some(typ.to_owned());
        self
    }

    /// How old a token the API takes, where it [limits that](super::Setup::max_token_age); a day otherwise.
    #[must_use]
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        self
    }

    /// A further claim that the API wants of a good token.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.push((name.to_owned(), value.into()));
        self
    }

    /// The method that the API is made for; GET otherwise.
    pub(crate) fn method(mut self, method: &Method) -> Self {
        self.method = method.clone();
        self
    }

    /// The method that the API is made for.
    pub(crate) fn usual_method(&self) -> &Method {
        &self.method
    }

    /// Forges with this key instead of one of the twelve that every server may have.
    pub(crate) fn foreign_key(mut self, key: TestKey) -> Self {
        self.foreign = key;
        self
    }

    /// The other issuer that a target with [`two_issuers`](super::Setup::two_issuers) trusts: the server's second one.
    #[must_use]
    pub fn second_issuer(&self) -> Option<&str> {
        self.second.as_ref().map(|(issuer, _)| issuer.as_str())
    }

    /// A token that the API accepts; every bad one is made from it.
    pub fn good(&self) -> TokenBuilder {
        let mut token = TokenBuilder::new(&self.keys, &self.issuer, &self.audience, self.now());
        if let Some(scope) = &self.scope {
            token = token.scope(scope.clone());
        }
        if let Some(typ) = &self.typ {
            token = token.typ(typ);
        }
        self.claims.iter().fold(token, |token, (name, value)| token.claim(name.clone(), value.clone()))
    }

    /// The name of an API that is not the target.
    pub(crate) fn other_audience(&self) -> &'static str {
        if self.audience == "payments-api" { "billing-api" } else { "payments-api" }
    }

    /// The name of a client that the target is not called like.
    pub(super) fn client(&self) -> &'static str {
        if self.audience == "svc" { "web" } else { "svc" }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The issuer's key for `alg`.
    pub(super) fn key(&self, alg: Alg) -> TestKey {
        self.keys.for_alg(alg)
    }

    /// A key the API knows nothing of.
    pub(crate) fn foreign(&self) -> &TestKey {
        &self.foreign
    }

    pub(super) fn second(&self) -> Option<&Keys> {
        self.second.as_ref().map(|(_, keys)| keys)
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn the_audience(&self) -> &str {
        &self.audience
    }

    pub(crate) fn wanted_scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_unix()
    }

    pub(super) fn leeway_seconds(&self) -> i64 {
        self.leeway
    }

    pub(super) fn oldest_token(&self) -> i64 {
        self.max_token_age
    }

    pub(super) fn trap(&self) -> &str {
        &self.trap
    }

    /// A validly signed token whose claims are this text.
    pub(super) fn with_payload(&self, payload: impl Into<Vec<u8>>) -> String {
        self.good().raw_payload(payload).build()
    }

    /// The claims of a good token as text, with `members` (JSON without braces) added at the end.
    pub(super) fn claims_and(&self, members: &str) -> String {
        object_and(self.good().claims(), members)
    }

    /// A validly signed token whose header is a good one with `members` added at the end.
    pub(super) fn with_header_members(&self, members: &str) -> String {
        let good = self.good();
        let header = object_and(good.header_members(), members);
        good.raw_header(header).build()
    }

    /// Signs `header.payload` as it stands, with the current key.
    pub(super) fn sign(&self, input: &str) -> String {
        format!("{input}.{}", b64url(self.good().sign(input.as_bytes())))
    }

    /// A good request, to see that what an attack changed corrupted nothing else.
    pub(crate) fn control(&self) -> AttackRequest {
        if let Some(bound) = self.possession_control() {
            return bound.expecting(Expected::ACCEPTED).with_level(RequirementLevel::Must);
        }
        AttackRequest::bearer("control: a good token", &self.good().build())
            .expecting(Expected::ACCEPTED)
            .with_level(RequirementLevel::Must)
    }
}

/// An object as the builder would write it.
pub(super) fn text_of(object: &Map<String, Value>) -> String {
    Value::Object(object.clone()).to_string()
}

/// All but the last character.
pub(super) fn without_last(text: &str) -> &str {
    let mut characters = text.chars();
    characters.next_back();
    characters.as_str()
}

fn object_and(object: &Map<String, Value>, members: &str) -> String {
    let text = text_of(object);
    format!("{},{members}}}", text.strip_suffix('}').unwrap_or(&text))
}
