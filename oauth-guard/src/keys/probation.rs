//! What a tenant without one verified token may cost: its name may be invented, and a caller who invents a thousand
//! names would have the guard send thousands of requests.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::defaults::{PROBATION_FETCHES, PROBATION_INTERVAL};

/// The fetches that all tenants on probation of one guard have in common. One comes back per second; and those of a
/// tenant come back as soon as a token of it is verified, so that many real tenants at a start wait for each other
/// hardly at all.
#[derive(Default)]
pub(crate) struct ProbationBudget {
    /// When the whole budget is available again, on the monotonic clock: each fetch moves it by an interval.
    full_at: Mutex<Duration>,
}

impl ProbationBudget {
    fn take(&self, now: Duration) -> bool {
        let mut full_at = self.full_at();
        let next = full_at.max(now).saturating_add(PROBATION_INTERVAL);
        let allowed = next.saturating_sub(now) <= PROBATION_INTERVAL.saturating_mul(PROBATION_FETCHES);
        if allowed {
            *full_at = next;
        }
        allowed
    }

    fn give_back(&self, fetches: u32) {
        let mut full_at = self.full_at();
        *full_at = full_at.saturating_sub(PROBATION_INTERVAL.saturating_mul(fetches));
    }

    fn full_at(&self) -> MutexGuard<'_, Duration> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One tenant's share of the budget.
pub(crate) struct Probation {
    budget: Arc<ProbationBudget>,
    /// A token of the tenant was verified: it is no invention, and fetches as configured issuers do.
    is_over: AtomicBool,
    /// Taken for the first fetch already, when the tenant was admitted.
    is_prepaid: AtomicBool,
    /// How many fetches it took from the budget.
    taken: AtomicU32,
}

impl Probation {
    pub(crate) fn new(budget: Arc<ProbationBudget>) -> Arc<Self> {
        let (is_over, is_prepaid, taken) = Default::default();
        Arc::new(Self { budget, is_over, is_prepaid, taken })
    }

    /// Takes the first fetch from the budget, ahead of it. False if there is none left.
    pub(crate) fn prepay(&self, now: Duration) -> bool {
        let taken = self.take(now);
        self.is_prepaid.fetch_or(taken, Ordering::AcqRel);
        taken
    }

    /// Whether a fetch may start now; if so, it is taken from the budget.
    pub(crate) fn may_fetch(&self, now: Duration) -> bool {
        self.is_over() || self.is_prepaid.swap(false, Ordering::AcqRel) || self.take(now)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// A token of the tenant was verified.
    pub(crate) fn end(&self) {
        if !self.is_over.swap(true, Ordering::AcqRel) {
            self.budget.give_back(self.taken.load(Ordering::Acquire));
        }
    }

    fn take(&self, now: Duration) -> bool {
        let taken = self.budget.take(now);
        if taken {
            self.taken.fetch_add(1, Ordering::AcqRel);
        }
        taken
    }
}

impl fmt::Debug for Probation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probation").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_budget_is_shared_and_comes_back_by_the_second() {
        let budget = Arc::new(ProbationBudget::default());
        let tenants: Vec<_> = (0..PROBATION_FETCHES).map(|_| Probation::new(Arc::clone(&budget))).collect();
        assert!(tenants.iter().all(|tenant| tenant.prepay(SECOND)));
        assert!(tenants.iter().all(|tenant| tenant.may_fetch(SECOND)), "paid for");
        assert!(!tenants.iter().any(|tenant| tenant.may_fetch(SECOND)), "their second fetch is not");
        let late = Probation::new(Arc::clone(&budget));
        assert!(!late.prepay(SECOND) && late.prepay(2 * SECOND) && !late.prepay(2 * SECOND));
    }

    #[test]
    fn a_verified_token_gives_back_what_its_tenant_took() {
        let budget = Arc::new(ProbationBudget::default());
        let real = Probation::new(Arc::clone(&budget));
        let invented = Probation::new(Arc::clone(&budget));
        assert!(real.may_fetch(SECOND) && real.may_fetch(SECOND));
        while invented.may_fetch(SECOND) {}
        real.end();
        real.end();
        assert_eq!((0..5).filter(|_| invented.may_fetch(SECOND)).count(), 2, "no more than it took");
        assert!((0..100).all(|_| real.may_fetch(SECOND)), "a real tenant takes nothing");
    }
}
