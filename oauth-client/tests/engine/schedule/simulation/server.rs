//! The strict server, what it counts, and chance.

use std::collections::{HashMap, HashSet};
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
    /// Requests of derived sources.
    pub(crate) derived: u64,
    /// Responses that are good for nothing but the refresh token in them.
    pub(crate) malformed: u64,
    pub(crate) logins: u64,
    pub(crate) log_outs: u64,
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
            derived: self.derived + other.derived,
            malformed: self.malformed + other.malformed,
            logins: self.logins + other.logins,
            log_outs: self.log_outs + other.log_outs,
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
    /// The logins that a log-out has ended. Nothing of them may come back.
    pub(super) ended: HashSet<String>,
    pub(super) users: HashMap<&'static str, User>,
    pub(super) trouble: bool,
    pub(super) faults: Vec<String>,
    pub(super) counts: Counts,
}

/// How it stands with a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) newest: String,
    pub(super) standing: Standing,
    /// How often that has changed.
    changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    LoggedIn,
    /// A login or a log-out is under way, or a log-out has failed: nothing is promised.
    Changing,
    LoggedOut,
}

impl Server {
    pub(super) fn user(&self, user: &str) -> User {
        self.users[user].clone()
    }

    pub(super) fn set(&mut self, user: &str, standing: Standing) {
        let user = self.users.get_mut(user).unwrap();
        user.standing = standing;
        user.changes += 1;
    }

    /// A log-out has said that it is done.
    pub(super) fn log_out(&mut self, user: &str) {
        self.counts.log_outs += 1;
        let of_user = |login: &&String| login.starts_with(user);
        self.ended.extend(self.current.keys().filter(of_user).cloned());
        self.set(user, Standing::LoggedOut);
    }

    /// Takes a refresh token, once. The response may be one that is of no other use than the next refresh token.
    pub(super) fn rotate(&mut self, sent: &str, is_spoiled: bool) -> Option<String> {
        let (login, number) = sent.rsplit_once('.')?;
        let number: u64 = number.parse().ok()?;
        if self.ended.contains(login) {
            self.faults.push(format!("{sent} was sent after the log-out"));
            return None;
        }
        let current = self.current.get_mut(login)?;
        if number != *current {
            self.faults.push(format!("{sent} was sent again, and {login}.{current} is the one to use"));
            return None;
        }
        *current += 1;
        let next = *current;
        self.counts.rotations += 1;
        let set = token_set(login, next);
        if is_spoiled {
            self.counts.malformed += 1;
            return Some(set.replace(&format!(":{LIFETIME},"), r#":"soon","#));
        }
        Some(set)
    }

    /// A user's login, the first of all.
    pub(super) fn begin(&mut self, user: &'static str) -> String {
        let login = format!("{user}-0");
        self.current.insert(login.clone(), 0);
        let newest = login.clone();
        self.users.insert(user, User { newest, standing: Standing::LoggedIn, changes: 0 });
        login
    }

    /// A new login of a user, and its token set.
    pub(super) fn log_in(&mut self, user: &str) -> String {
        self.counts.logins += 1;
        let login = format!("{user}-{}", self.counts.logins);
        self.current.insert(login.clone(), 0);
        self.set(user, Standing::Changing);
        self.users.get_mut(user).unwrap().newest.clone_from(&login);
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
