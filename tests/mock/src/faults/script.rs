//! Which requests a fault meets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Fault;
use crate::endpoint::Endpoint;
use crate::server::MockServer;

/// A fault and its endpoint, without a count: nothing happens before one of these methods is called.
#[derive(Debug)]
#[must_use = "say how often: `.times(n)`, `.on_call(k)` or `.always()`"]
pub struct FaultScript<'a> {
    server: &'a MockServer,
    endpoint: Endpoint,
    fault: Fault,
}

impl<'a> FaultScript<'a> {
    pub(crate) fn new(server: &'a MockServer, endpoint: Endpoint, fault: Fault) -> Self {
        Self { server, endpoint, fault }
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
        self.server.faults().add(Rule::new(self.endpoint, self.fault, when));
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
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Times(usize),
    OnCall(usize),
    Always,
}

impl Rule {
    pub(crate) fn new(endpoint: Endpoint, fault: Fault, when: When) -> Self {
        Self { id: 0, endpoint, fault, when, seen: 0 }
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
    /// The fault that meets a request to `endpoint` now. Every call counts as one request.
    pub(crate) fn meet(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut chosen = None;
        for rule in self.inner().rules.iter_mut().filter(|rule| rule.endpoint == endpoint) {
            rule.seen += 1;
            let applies = match &mut rule.when {
                When::Always => true,
                When::OnCall(k) => rule.seen == *k,
                // Used up only by the requests it fails: a rule before it in line goes first.
                When::Times(left) if *left > 0 && chosen.is_none() => {
                    *left -= 1;
                    true
                }
                When::Times(_) => false,
            };
            if applies && chosen.is_none() {
                chosen = Some(rule.fault.clone());
            }
        }
        chosen
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
