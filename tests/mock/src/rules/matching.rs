//! Which requests a fault, a token rule or an expectation is about, and in which state of a scenario.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clients::GrantType;
use crate::journal::{Journal, RecordedRequest};

/// The requests that something is about: every one, until a condition is added. All conditions have to hold.
///
/// The preflights of browsers (Fetch section 3.2.2), which no client asks for, are among them only where the method is said to
/// be `OPTIONS`.
///
/// ```
/// use oauth_mock::{Endpoint, Fault, GrantType, Match, MockServer};
///
/// let server = MockServer::builder().in_process();
/// let refreshes = Match::any().client("svc").grant(GrantType::RefreshToken);
/// server.fault(Endpoint::Token, Fault::status(503)).matching(refreshes.clone()).times(1);
/// server.expect(Endpoint::Token).matching(refreshes).exactly(0);
/// server.expect(Endpoint::Token).matching(Match::any().param("resource", "https://api.test")).at_most(1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing by itself"]
pub struct Match {
    pub(crate) client: Option<String>,
    pub(crate) grant: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests of this client: the one that authenticates or names itself, or whose access token was sent.
    pub fn client(mut self, id: impl Into<String>) -> Self {
        self.client = Some(id.into());
        self
    }

    /// Token requests of this grant.
    pub fn grant(mut self, grant: GrantType) -> Self {
        self.grant = Some(grant.as_str().to_owned());
        self
    }

    /// Requests with all of these scopes (separated by spaces): asked for, granted, or those of the access token sent.
    pub fn scope(mut self, scopes: &str) -> Self {
        self.scopes.extend(scopes.split(' ').filter(|one| !one.is_empty()).map(str::to_owned));
        self
    }

    /// Requests whose form, JSON body or query has this parameter with this value.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Requests that have this header with this value.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Requests of this HTTP method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_ascii_uppercase());
        self
    }

    /// Requests of this path.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Whether it is about this request, as the journal has it.
    pub(crate) fn fits(&self, request: &RecordedRequest, journal: &Journal) -> bool {
        self.fits_as(request, journal, request.client.as_deref(), request.scope.as_deref())
    }

    /// The same, of a request whose client and scope are known better by now.
    pub(crate) fn fits_as(
        &self,
        request: &RecordedRequest,
        journal: &Journal,
        client: Option<&str>,
        scope: Option<&str>,
    ) -> bool {
        let is = |wanted: &Option<String>, got: Option<&str>| wanted.is_none() || wanted.as_deref() == got;
        let scopes: Vec<_> = scope.unwrap_or_default().split(' ').collect();
        // Secrets are kept as fingerprints only, which can be compared all the same.
        let same = |name: &str, wanted: &str, got: &str| {
            got == wanted || (Journal::is_secret(name) && got == journal.fingerprint(wanted))
        };
        let has = |pairs: &[(String, String)], name: &str, wanted: &str| {
            pairs.iter().any(|(known, value)| known == name && same(name, wanted, value))
        };
        (!request.is_preflight() || self.method.as_deref() == Some("OPTIONS"))
            && is(&self.client, client)
            && is(&self.grant, request.param("grant_type"))
            && is(&self.method, Some(&request.method))
            && is(&self.path, Some(&request.path))
            && self.scopes.iter().all(|one| scopes.contains(&one.as_str()))
            && self.headers.iter().all(|(name, value)| has(&request.headers, name, value))
            && self
                .params
                .iter()
                .all(|(name, value)| has(&request.params, name, value) || has(&request.query, name, value))
    }

    /// Whether it is about tokens of this client and scope that no request asked for.
    pub(crate) fn fits_without_request(&self, client: &str, scope: &[String]) -> bool {
        let Self { client: wanted, grant, scopes, params, headers, method, path } = self;
        wanted.as_deref().is_none_or(|wanted| wanted == client)
            && scopes.iter().all(|one| scope.contains(one))
            && [grant, method, path].into_iter().all(Option::is_none)
            && params.is_empty()
            && headers.is_empty()
    }

    /// What it is about, in a few words; empty for every request.
    pub(crate) fn described(&self) -> String {
        let named = [
            ("client", &self.client),
            ("grant_type", &self.grant),
            ("method", &self.method),
            ("path", &self.path),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let scopes = self.scopes.iter().map(|scope| ("scope".to_owned(), scope.clone()));
        let shown = |(name, value): &(String, String)| {
            let value = if Journal::is_secret(name) { "[redacted]" } else { value };
            (name.clone(), value.to_owned())
        };
        let pairs = self.params.iter().chain(&self.headers).map(shown);
        let all: Vec<_> =
            named.chain(scopes).chain(pairs).map(|(name, value)| format!("{name}={value}")).collect();
        all.join(" ")
    }
}

/// The state of a scenario that was never changed.
pub(crate) const FIRST_STATE: &str = "start";

/// When in a scenario a rule holds, and what comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) scenario: String,
    pub(crate) state: String,
    pub(crate) next: Option<String>,
}

/// The states of all scenarios.
#[derive(Debug, Default)]
pub(crate) struct Scenarios(Mutex<BTreeMap<String, String>>);

impl Scenarios {
    /// Whether the rule holds now.
    pub(crate) fn is_in(&self, turn: Option<&Turn>) -> bool {
        turn.is_none_or(|turn| {
            let states = self.states();
            states.get(&turn.scenario).map_or(FIRST_STATE, String::as_str) == turn.state
        })
    }

    /// Goes on to what comes after the rule.
    pub(crate) fn go_on(&self, turn: Option<&Turn>) {
        if let Some(Turn { scenario, next: Some(next), .. }) = turn {
            self.set(scenario, next);
        }
    }

    pub(crate) fn set(&self, scenario: &str, state: &str) {
        self.states().insert(scenario.to_owned(), state.to_owned());
    }

    /// Those that have left their first state.
    pub(crate) fn list(&self) -> BTreeMap<String, String> {
        self.states().clone()
    }

    pub(crate) fn clear(&self) {
        self.states().clear();
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
