//! What callers saw, by who called and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many unexplained responses are described.
const MAX_DESCRIBED: usize = 20;

#[derive(Default)]
pub(crate) struct Counts(Mutex<State>);

#[derive(Default)]
struct State {
    totals: Totals,
    /// By what happened, in words.
    kinds: BTreeMap<String, u64>,
    unexplained: Vec<String>,
}

/// What a line of the table shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    /// As they should be, rejections of bad tokens included.
    pub(crate) rejections: u64,
    /// What follows from an outage that was ordered.
    pub(crate) outages: u64,
    pub(crate) unexplained: u64,
}

impl Totals {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            requests: self.requests - before.requests,
            rejections: self.rejections - before.rejections,
            outages: self.outages - before.outages,
            unexplained: self.unexplained - before.unexplained,
        }
    }
}

impl Counts {
    pub(crate) fn good(&self, who: &str, count: u64) {
        self.requests(count, format!("{who}: 200"), |_| None);
    }

    pub(crate) fn rejected(&self, who: &str, why: &str, count: u64) {
        self.requests(count, format!("{who}: 401, {why}"), |totals| Some(&mut totals.rejections));
    }

    pub(crate) fn of_outage(&self, who: &str, what: &str, count: u64) {
        self.requests(count, format!("{who}: {what}, in an outage"), |totals| Some(&mut totals.outages));
    }

    pub(crate) fn unexplained(&self, who: &str, what: &str) {
        self.requests(1, format!("UNEXPLAINED {who}: {what}"), |totals| Some(&mut totals.unexplained));
        let mut state = self.state();
        if state.unexplained.len() < MAX_DESCRIBED {
            state.unexplained.push(format!("{who}: {what}"));
        }
    }

    /// Requests that ended so, which count in one more total.
    fn requests(&self, count: u64, what: String, also: impl FnOnce(&mut Totals) -> Option<&mut u64>) {
        let mut state = self.state();
        state.totals.requests += count;
        if let Some(total) = also(&mut state.totals) {
            *total += count;
        }
        state.count(what, count);
    }

    /// Something other than a request.
    pub(crate) fn event(&self, what: &str) {
        self.state().count(what.to_owned(), 1);
    }

    pub(crate) fn totals(&self) -> Totals {
        self.state().totals
    }

    /// What nothing explains, and which of these has not taken place.
    pub(crate) fn faults(&self, due: &[&str]) -> Vec<String> {
        let state = self.state();
        let missing = due.iter().filter(|what| !state.kinds.contains_key(**what));
        let missing = missing.map(|what| format!("the run had no {what}"));
        state.unexplained.iter().cloned().chain(missing).collect()
    }

    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        for (kind, count) in &self.state().kinds {
            let _ = writeln!(text, "{count:>10}  {kind}");
        }
        text
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, kind: String, count: u64) {
        *self.kinds.entry(kind).or_default() += count;
    }
}
