//! The strict server, what it counts, and chance.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::LIFETIME;

/// What schedules have met.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) rotations: u64,
    pub(crate) late: u64,
    pub(crate) hung: u64,
    pub(crate) failed: u64,
    pub(crate) store_faults: u64,
    pub(crate) logins: u64,
}

impl Counts {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            rotations: self.rotations + other.rotations,
            late: self.late + other.late,
            hung: self.hung + other.hung,
            failed: self.failed + other.failed,
            store_faults: self.store_faults + other.store_faults,
            logins: self.logins + other.logins,
        }
    }
}

/// A small generator (SplitMix64): the same schedule for the same seed, wherever it runs.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) Arc<Mutex<u64>>);

impl Random {
    pub(super) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&self, most: u64) -> u64 {
        self.next() % most
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the server knows: of each login which refresh token is the one to use.
#[derive(Default)]
pub(super) struct Server {
    /// By login, the number of its current refresh token.
    pub(super) current: HashMap<String, u64>,
    pub(super) trouble: bool,
    pub(super) faults: Vec<String>,
    pub(super) counts: Counts,
}

impl Server {
    /// Takes a refresh token, once.
    pub(super) fn rotate(&mut self, sent: &str) -> Option<String> {
        let (login, number) = sent.rsplit_once('.')?;
        let number: u64 = number.parse().ok()?;
        let current = self.current.get_mut(login)?;
        if number != *current {
            self.faults.push(format!("{sent} was sent again, and {login}.{current} is the one to use"));
            return None;
        }
        *current += 1;
        let next = *current;
        self.counts.rotations += 1;
        Some(token_set(login, next))
    }

    /// A new login of a user, and its token set.
    pub(super) fn log_in(&mut self, user: &str) -> String {
        self.counts.logins += 1;
        let login = format!("{user}-{}", self.counts.logins);
        self.current.insert(login.clone(), 0);
        token_set(&login, 0)
    }
}

fn token_set(login: &str, number: u64) -> String {
    format!(
        r#"{{"access_token":"access.{login}.{number}","token_type":"Bearer","expires_in":{LIFETIME},"refresh_token":"{login}.{number}"}}"#
    )
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}
