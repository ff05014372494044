//! Which requests a fault meets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Fault;
use crate::endpoint::Endpoint;
use crate::server::MockServer;

/// A fault and its endpoint, waiting to be told how often: nothing happens before one of these methods is called.
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
        self.server.faults().add(Rule { endpoint: self.endpoint, fault: self.fault, when, seen: 0 });
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    endpoint: Endpoint,
    fault: Fault,
    when: When,
    seen: usize,
}

#[derive(Debug)]
enum When {
    Times(usize),
    OnCall(usize),
    Always,
}

impl Faults {
    /// The fault that meets a request to `endpoint` now. Every call counts as one request.
    pub(crate) fn meet(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut chosen = None;
        for rule in self.rules().iter_mut().filter(|rule| rule.endpoint == endpoint) {
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
        self.rules().clear();
    }

    fn add(&self, rule: Rule) {
        self.rules().push(rule);
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
