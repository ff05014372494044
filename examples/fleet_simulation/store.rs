//! A store that all replicas share, in this process: with the latency of a network, with losses and outages.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oauth_client::TokenSet;
use oauth_client::store::{Lease, LeaseGuard, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use tokio::time::Instant;

use crate::world::{Random, Schedule};

/// How long a call takes at most, there and back.
const LATENCY: Duration = Duration::from_millis(4);
/// How long a call is waited for that gets no answer.
const TIMEOUT: Duration = Duration::from_millis(1500);
/// In so many calls, one gets no answer; half of those have been done.
const LOSSES: u64 = 1000;

thread_local! {
    /// Entries whose next lease is not given back, as that of a holder that was killed.
    static LEFT_BEHIND: RefCell<HashSet<StoreKey>> = RefCell::default();
}

/// A replica was killed: the next lease on this entry that is given back stays until its end.
pub(crate) fn leave_leases_behind(key: &StoreKey) {
    LEFT_BEHIND.with_borrow_mut(|left| left.insert(key.clone()));
}

#[derive(Clone)]
pub(crate) struct Store(Arc<Mutex<State>>);

struct State {
    schedule: Schedule,
    random: Random,
    entries: HashMap<StoreKey, Stored>,
    leases: HashMap<StoreKey, (u64, Instant)>,
    revisions: u64,
    per_second: BTreeMap<u64, u64>,
}

/// What becomes of a call.
#[derive(PartialEq)]
enum Fate {
    Done,
    /// Done, and the answer is lost.
    DoneUnseen,
    Lost,
}

impl Store {
    pub(crate) fn new(schedule: Schedule, random: Random) -> Self {
        Self(Arc::new(Mutex::new(State {
            schedule,
            random,
            entries: HashMap::new(),
            leases: HashMap::new(),
            revisions: 0,
            per_second: BTreeMap::new(),
        })))
    }

    /// How many calls there were in the worst second.
    pub(crate) fn worst_second(&self) -> u64 {
        self.state().per_second.values().copied().max().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: there, done or not, and back or not.
    async fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let (wait, fate) = {
            let mut state = self.state();
            let now = state.schedule.now();
            *state.per_second.entry(now.as_secs()).or_default() += 1;
            let lost = state.schedule.store_is_away(now);
            let fate = match state.random.once_in(LOSSES) {
                _ if lost => Fate::Lost,
                true if state.random.once_in(2) => Fate::DoneUnseen,
                true => Fate::Lost,
                false => Fate::Done,
            };
            (Duration::from_millis(1) + state.random.up_to(LATENCY), fate)
        };
        tokio::time::sleep(wait / 2).await;
        let done = (fate != Fate::Lost).then(|| work(&mut self.state()));
        match done.filter(|_| fate == Fate::Done) {
            Some(done) => {
                tokio::time::sleep(wait / 2).await;
                Ok(done)
            }
            None => {
                tokio::time::sleep(TIMEOUT).await;
                Err(StoreError::new("no response"))
            }
        }
    }
}

impl TokenStore for Store {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.call(|state| state.entries.get(key).cloned()).await
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.call(|state| {
            let before = state.entries.get(key);
            let fence = before.and_then(|stored| stored.tokens.fence());
            let is_late =
                tokens.and_then(TokenSet::fence).zip(fence).is_some_and(|(ours, theirs)| ours < theirs);
            if before.map(|stored| stored.revision) != expected || is_late {
                return Swap::Conflict;
            }
            state.revisions += 1;
            let revision = Revision(state.revisions);
            match tokens {
                Some(tokens) => {
                    state.entries.insert(key.clone(), Stored { tokens: tokens.clone(), revision })
                }
                None => state.entries.remove(key),
            };
            Swap::Done(revision)
        })
        .await
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let taken = self.call(|state| {
            let now = Instant::now();
            let (number, until) = state.leases.get(key).copied().unwrap_or((0, now));
            if until > now {
                return None;
            }
            state.leases.insert(key.clone(), (number + 1, now + longest));
            Some(number + 1)
        });
        let number = taken.await?;
        let row = |number| Row { store: self.clone(), key: key.clone(), number };
        Ok(number.map(|number| Lease::renewable(row(number)).fenced(number)))
    }
}

struct Row {
    store: Store,
    key: StoreKey,
    number: u64,
}

impl Row {
    fn set(state: &mut State, key: &StoreKey, number: u64, until: Instant) -> bool {
        let ours = state.leases.get_mut(key).filter(|row| row.0 == number);
        ours.map(|row| row.1 = until).is_some()
    }
}

impl LeaseGuard for Row {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        let set = |state: &mut State| Self::set(state, &self.key, self.number, Instant::now() + longest);
        self.store.call(set).await
    }

    async fn give_back(&self) {
        if LEFT_BEHIND.with_borrow_mut(|left| left.remove(&self.key)) {
            return;
        }
        let set = |state: &mut State| Self::set(state, &self.key, self.number, Instant::now());
        // One that does not arrive ends by itself.
        let _ = self.store.call(set).await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
