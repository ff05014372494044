//! Which requests a fault meets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Fault;
use crate::endpoint::Endpoint;
use crate::journal::{Journal, RecordedRequest};
use crate::rules::matching::{Match, Scenarios, Turn};
use crate::server::MockServer;

/// A fault and its endpoint, without a count: nothing happens before one of these methods is called.
#[derive(Debug)]
#[must_use = "say how often: `.times(n)`, `.on_call(k)` or `.always()`"]
pub struct FaultScript<'a> {
    server: &'a MockServer,
    endpoint: Endpoint,
    fault: Fault,
    matching: Match,
    turn: Option<Turn>,
}

impl<'a> FaultScript<'a> {
    pub(crate) fn new(server: &'a MockServer, endpoint: Endpoint, fault: Fault) -> Self {
        Self { server, endpoint, fault, matching: Match::any(), turn: None }
    }

    /// Fails only these requests; others are neither failed nor counted.
    pub fn matching(mut self, matching: Match) -> Self {
        self.matching = matching;
        self
    }

    /// Fails only while `scenario` is in `state`, and takes it to the state `next`, if there is one. A scenario has
    /// any name, and begins in the state `start`.
    ///
    /// ```
    /// use oauth_mock::{Endpoint, Fault, MockServer};
    ///
    /// let server = MockServer::builder().in_process();
    /// // The API rejects the first request; once a token was asked for, it accepts again.
    /// server.fault(Endpoint::Api, Fault::status(401)).in_scenario("revoked", "start", None).always();
    /// server.fault(Endpoint::Token, Fault::pass()).in_scenario("revoked", "start", Some("renewed")).always();
    /// assert_eq!(server.scenario("revoked"), "start");
    /// server.set_scenario("revoked", "renewed");
    /// ```
    pub fn in_scenario(mut self, scenario: &str, state: &str, next: Option<&str>) -> Self {
        let (scenario, state, next) = (scenario.to_owned(), state.to_owned(), next.map(str::to_owned));
        self.turn = Some(Turn { scenario, state, next });
        self
    }

    /// Fails the next `n` requests to this endpoint.
    pub fn times(self, n: usize) {
        self.add(When::Times(n));
    }

    /// Fails only the `k`-th request from now on, counted from 1.
    pub fn on_call(self, k: usize) {
        self.add(When::OnCall(k));
    }

    /// Fails every request until [`MockServer::clear_faults`].
    pub fn always(self) {
        self.add(When::Always);
    }

    fn add(self, when: When) {
        let Self { server, endpoint, fault, matching, turn } = self;
        server.faults().add(Rule { matching, turn, ..Rule::new(endpoint, fault, when) });
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Rules>);

#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    last_id: u64,
}

/// One fault, and what is left of it.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Given when the rule comes into force; unique in one server.
    pub(crate) id: u64,
    pub(crate) endpoint: Endpoint,
    pub(crate) fault: Fault,
    pub(crate) when: When,
    pub(crate) seen: usize,
    /// Which requests it is about.
    pub(crate) matching: Match,
    /// When in a scenario it holds.
    pub(crate) turn: Option<Turn>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum When {
    Times(usize),
    OnCall(usize),
    #[default]
    Always,
}

impl When {
    /// Whether it is so at the request of this number, counted from 1. What is used up counts down.
    pub(crate) fn meets(&mut self, number: usize) -> bool {
        match self {
            Self::Always => true,
            Self::OnCall(k) => number == *k,
            Self::Times(left) if *left > 0 => {
                *left -= 1;
                true
            }
            Self::Times(_) => false,
        }
    }
}

impl Rule {
    pub(crate) fn new(endpoint: Endpoint, fault: Fault, when: When) -> Self {
        Self { id: 0, endpoint, fault, when, seen: 0, matching: Match::any(), turn: None }
    }
}

impl Faults {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let faults = Self::default();
        faults.reset(rules);
        faults
    }

    /// Ends all faults but these, which start anew.
    pub(crate) fn reset(&self, rules: &[Rule]) {
        self.clear();
        rules.iter().cloned().for_each(|rule| {
            self.add(rule);
        });
    }

    /// The fault that meets this request now. Every call counts as one request.
    pub(crate) fn meet(
        &self,
        request: &RecordedRequest,
        journal: &Journal,
        scenarios: &Scenarios,
    ) -> Option<Fault> {
        let mut chosen: Option<(Fault, Option<Turn>)> = None;
        // Until the scenario has gone on: of two requests at a time, one alone may find it in its state.
        let mut inner = self.inner();
        for rule in inner.rules.iter_mut().filter(|rule| rule.endpoint == request.endpoint) {
            if !rule.matching.fits(request, journal) || !scenarios.is_in(rule.turn.as_ref()) {
                continue;
            }
            rule.seen += 1;
            // Used up only by the requests it fails: a rule before it in line goes first.
            if chosen.is_none() && rule.when.meets(rule.seen) {
                chosen = Some((rule.fault.clone(), rule.turn.clone()));
            }
        }
        let (fault, turn) = chosen?;
        scenarios.go_on(turn.as_ref());
        Some(fault)
    }

    pub(crate) fn clear(&self) {
        self.inner().rules.clear();
    }

    /// The faults as they stand, those that are used up included.
    pub(crate) fn list(&self) -> Vec<Rule> {
        self.inner().rules.clone()
    }

    /// Ends one fault. Whether there was one of this number.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut inner = self.inner();
        let before = inner.rules.len();
        inner.rules.retain(|rule| rule.id != id);
        inner.rules.len() < before
    }

    /// The number of the fault.
    pub(crate) fn add(&self, rule: Rule) -> u64 {
        let mut inner = self.inner();
        inner.last_id += 1;
        let id = inner.last_id;
        inner.rules.push(Rule { id, ..rule });
        id
    }

    fn inner(&self) -> MutexGuard<'_, Rules> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::journal::Caller;

    #[test]
    fn of_requests_at_the_same_time_one_finds_the_scenario_in_its_state() {
        let server = MockServer::builder().in_process();
        server.fault(Endpoint::Api, Fault::status(401)).in_scenario("s", "start", Some("later")).always();
        let shared = server.shared();
        let request = http::Request::get("/api").body(bytes::Bytes::new()).unwrap();
        let request = shared.journal.record(&request, Endpoint::Api, "", Caller::default(), 0);
        const ROUNDS: usize = 20_000;
        let (met, turns) = (AtomicUsize::new(0), Barrier::new(2));
        std::thread::scope(|scope| {
            for first in [true, false] {
                let (met, turns, request) = (&met, &turns, &request);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        if first {
                            shared.scenarios.set("s", "start");
                        }
                        turns.wait();
                        if shared.faults.meet(request, &shared.journal, &shared.scenarios).is_some() {
                            met.fetch_add(1, Ordering::Relaxed);
                        }
                        turns.wait();
                    }
                });
            }
        });
        assert_eq!(met.into_inner(), ROUNDS);
    }
}
