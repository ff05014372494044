//! The tenants that are known. The state of a tenant is in force as long as it is a member: whatever removes it, also
//! ends it, and with it the tokens that were cached under it.

use std::collections::HashMap;
use std::sync::Arc;

use super::Flights;
use crate::defaults;
use crate::issuer::IssuerState;

/// All that one lock protects.
pub(super) struct Members {
    /// Those of which a token was verified.
    known: Area,
    /// The others: their names may be invented.
    probation: Area,
    /// Those of the previous snapshot that were known: their keys are reused.
    before: HashMap<Box<str>, Arc<IssuerState>>,
    /// The first generation that has none of them.
    ended: u64,
    pub(super) flights: Flights,
}

impl Members {
    pub(super) fn new(known: usize, before: HashMap<Box<str>, Arc<IssuerState>>) -> Self {
        Self {
            known: Area::new(known),
            probation: Area::new(defaults::PROBATION_TENANTS),
            before,
            ended: u64::MAX,
            flights: Flights::default(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<IssuerState>> {
        self.known.states.get(name).or_else(|| self.probation.states.get(name))
    }

    pub(super) fn before(&self, name: &str) -> Option<Arc<IssuerState>> {
        self.before.get(name).cloned()
    }

    /// A tenant that was resolved. It takes the place of another state under its name, and in a full area that of the
    /// one used longest ago.
    pub(super) fn insert(&mut self, issuer: &Arc<IssuerState>) {
        issuer.end(self.ended);
        self.before.remove(issuer.name());
        self.remove(issuer.name());
        let is_known = issuer.probation.as_ref().is_none_or(|probation| probation.is_over());
        if is_known { self.known.insert(issuer) } else { self.probation.insert(issuer) }
    }

    /// A token of it was verified. False if it is no member any more.
    pub(super) fn promote(&mut self, issuer: &Arc<IssuerState>) -> bool {
        if self.probation.states.get(issuer.name()).is_none_or(|member| !Arc::ptr_eq(member, issuer)) {
            return false;
        }
        self.probation.states.remove(issuer.name());
        self.known.insert(issuer);
        true
    }

    /// Removes it, and its predecessor of the previous snapshot too.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.flights.by_name.remove(name);
        self.before.remove(name);
        self.remove(name)
    }

    fn remove(&mut self, name: &str) -> bool {
        let known = self.known.remove(name);
        self.probation.remove(name) || known
    }

    /// That generation and all later ones have none of them, nor those being resolved.
    pub(super) fn end(&mut self, generation: u64) {
        self.ended = generation;
        self.all().for_each(|issuer| issuer.end(generation));
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<IssuerState>> {
        self.known().chain(self.probation.states.values())
    }

    pub(super) fn known(&self) -> impl ExactSizeIterator<Item = &Arc<IssuerState>> {
        self.known.states.values()
    }

    pub(super) fn len(&self) -> usize {
        self.known.states.len() + self.probation.states.len()
    }

    /// For the next snapshot: those known now, else those known before, as many as are kept.
    pub(super) fn hand_over(&self, capacity: usize) -> HashMap<Box<str>, Arc<IssuerState>> {
        let mut next = HashMap::new();
        for issuer in self.known().chain(self.before.values()) {
            if next.len() < capacity && !next.contains_key(issuer.name()) {
                next.insert(issuer.name().into(), Arc::clone(issuer));
            }
        }
        next
    }
}

/// Tenants by name, so many at most.
struct Area {
    states: HashMap<Box<str>, Arc<IssuerState>>,
    capacity: usize,
}

impl Area {
    fn new(capacity: usize) -> Self {
        Self { states: HashMap::new(), capacity }
    }

    fn insert(&mut self, issuer: &Arc<IssuerState>) {
        if self.states.len() >= self.capacity {
            // Reads a number of each, once for each tenant beyond the capacity.
            let oldest = self.states.values().min_by_key(|state| state.last_used()).cloned();
            if let Some(oldest) = oldest {
                self.remove(oldest.name());
            }
        }
        self.states.insert(issuer.name().into(), Arc::clone(issuer));
    }

    fn remove(&mut self, name: &str) -> bool {
        let removed = self.states.remove(name);
        if let Some(issuer) = &removed {
            // No generation has it.
            issuer.end(0);
        }
        removed.is_some()
    }
}
