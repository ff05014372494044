//! Chance, the plan of the day, and what callers see.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::Instant;

/// Chance that is the same every time (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// A time between zero and this, in milliseconds.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.next() % most)
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }
}

/// A replica that ends and is started anew.
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) replica: usize,
    pub(crate) killed: bool,
}

/// When what happens.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    began: Instant,
    hours: u64,
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

impl Schedule {
    pub(crate) fn new(hours: u64) -> Self {
        Self { began: Instant::now(), hours }
    }

    pub(crate) fn length(&self) -> Duration {
        minutes(self.hours * 60)
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.began + at
    }

    /// The store is away for ten minutes in hours 3, 11 and 19, in the last for half an hour.
    pub(crate) fn store_is_away(&self, at: Duration) -> bool {
        let within = |hour: u64, long: u64| at >= minutes(hour * 60) && at < minutes(hour * 60 + long);
        within(3, 10) || within(11, 10) || within(19, 30)
    }

    /// The authorization server is away for five minutes in hour 7, and for twenty in hour 15.
    pub(crate) fn server_is_away(&self, at: Duration) -> bool {
        let within = |hour: u64, long: u64| at >= minutes(hour * 60) && at < minutes(hour * 60 + long);
        within(7, 5) || within(15, 20)
    }

    /// Whether all is well, and has been for a while.
    pub(crate) fn is_good(&self, at: Duration) -> bool {
        // What follows from an outage is over by then.
        (0..20).all(|ago| {
            let then = at.saturating_sub(minutes(ago));
            !self.store_is_away(then) && !self.server_is_away(then)
        })
    }

    /// Deploys of all replicas in hours 2, 10 and 18, over ten minutes each, the last in the middle of nothing; a tenth of
    /// the replicas is killed at one moment in hours 5 and 13, and one replica every minute all day.
    pub(crate) fn events(&self, replicas: usize, random: &mut Random) -> Vec<Event> {
        let mut events = Vec::new();
        for hour in [2, 10, 18] {
            for replica in 0..replicas {
                let at = minutes(hour * 60) + random.up_to(minutes(10));
                events.push(Event { at, replica, killed: false });
            }
        }
        let any =
            |random: &mut Random| usize::try_from(random.next() % (replicas as u64)).unwrap_or_default();
        for hour in [5, 13] {
            for _ in 0..replicas / 10 {
                events.push(Event { at: minutes(hour * 60), replica: any(random), killed: true });
            }
        }
        for minute in 0..self.hours * 60 {
            events.push(Event { at: minutes(minute), replica: any(random), killed: true });
        }
        events.retain(|event| event.at < self.length());
        events
    }
}

/// The calls of all replicas.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) all: Cell<u64>,
    pub(crate) failed: Cell<u64>,
    failed_at: RefCell<Vec<Instant>>,
}

impl Calls {
    pub(crate) fn note(&self, ok: bool) {
        self.all.set(self.all.get() + 1);
        if !ok {
            self.failed.set(self.failed.get() + 1);
            self.failed_at.borrow_mut().push(Instant::now());
        }
    }

    pub(crate) fn failed_on_good_days(&self, schedule: &Schedule) -> usize {
        let began = schedule.instant(Duration::ZERO);
        self.failed_at.borrow().iter().filter(|at| schedule.is_good(**at - began)).count()
    }
}
