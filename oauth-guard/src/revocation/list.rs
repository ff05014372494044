//! What is revoked at this guard, as every request reads it. It outlives reloads.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use oauth_client::clock::Now;

use super::entry::Revocation;
use super::marks::{Mark, Marker, Marks};
use super::statement::StatementKind;
use super::table::{End, Table};
use super::watchers::{Watcher, Watchers};
use crate::claims::Verified;
use crate::defaults::{REVOCATIONS, REVOKED_TOKEN_LIFETIME};

/// What the list says about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Revoked,
    /// A feed has been away for too long, and nothing is served without it.
    Unavailable,
}

/// The list is full: what came last is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

pub(crate) struct List {
    /// What a request looks at first: three flags, and until when the feeds count as read, in milliseconds of the monotonic
    /// clock. [`IDLE`] is the usual value: nothing is revoked, and nothing is waited for.
    state: AtomicU64,
    /// When a request sweeps some shards, in seconds of the wall clock.
    sweep_at: AtomicU64,
    /// The longest lifetime of a token, in seconds: as configured, or longer if one was seen.
    longest: AtomicU64,
    longest_seen: AtomicU64,
    table: OnceLock<Table>,
    marker: Marker,
    max_entries: AtomicUsize,
    writer: Mutex<Writer>,
    pub(super) watchers: Watchers,
}

#[derive(Debug, Default)]
struct Writer {
    entries: usize,
    /// Marks added to the filter since it was built.
    filtered: usize,
    /// How far the next filter is built.
    rebuilt: Option<usize>,
    /// The shard that is swept next.
    next: usize,
    /// When a full list was last swept as a whole.
    swept_full: Option<u64>,
    refused: u64,
}

const HAS_ENTRIES: u64 = 1 << 63;
const HAS_FEEDS_TO_START: u64 = 1 << 62;
/// Whether some feed was neither read to its end yet nor has failed, so that requests wait for it.
const IS_STARTING: u64 = 1 << 61;
const DEADLINE: u64 = IS_STARTING - 1;
const IDLE: u64 = DEADLINE;

/// How many shards a request sweeps each second, and a write each time it is the turn.
const SWEPT_AT_A_TIME: usize = 64;
/// How many shards each write rebuilds of the next filter.
const REBUILT_AT_A_TIME: usize = 16;

impl List {
    /// `None` when the system has no random bytes.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            state: AtomicU64::new(IDLE),
            sweep_at: AtomicU64::new(0),
            longest: AtomicU64::new(REVOKED_TOKEN_LIFETIME.as_secs()),
            longest_seen: AtomicU64::new(0),
            table: OnceLock::new(),
            marker: Marker::new()?,
            max_entries: AtomicUsize::new(REVOCATIONS),
            writer: Mutex::default(),
            watchers: Watchers::default(),
        })
    }

    /// Whether the token is revoked. Without revocations and feeds it reads one word.
    #[inline]
    pub(crate) fn check<T>(&self, verified: &Verified<T>, now: Now) -> Verdict {
        match self.state.load(Ordering::Acquire) {
            IDLE => Verdict::Accepted,
            state => self.check_entries(state, verified, now),
        }
    }

    fn check_entries<T>(&self, state: u64, verified: &Verified<T>, now: Now) -> Verdict {
        if state & HAS_ENTRIES != 0 {
            let second = now.wall.as_secs();
            if second >= self.sweep_at.load(Ordering::Relaxed) {
                self.sweep_some(second);
            }
            if self.is_revoked(verified) {
                return Verdict::Revoked;
            }
        }
        if millis(now.monotonic) >= state & DEADLINE { Verdict::Unavailable } else { Verdict::Accepted }
    }

    /// Whether nothing is revoked, and nothing is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.load(Ordering::Acquire) == IDLE
    }

    /// Whether sources have to be started, or have not been read yet.
    #[inline]
    pub(crate) fn is_starting(&self) -> bool {
        self.state.load(Ordering::Acquire) & (HAS_FEEDS_TO_START | IS_STARTING) != 0
    }

    /// Whether the feeds have to be started, which needs a runtime.
    #[inline]
    pub(crate) fn has_feeds_to_start(&self) -> bool {
        self.state.load(Ordering::Relaxed) & HAS_FEEDS_TO_START != 0
    }

    /// Whether an entry meets the token, whatever the state of the feeds.
    pub(crate) fn is_revoked<T>(&self, verified: &Verified<T>) -> bool {
        match self.table.get() {
            Some(table) => table.meets(self.marks(verified), verified.parts.issued_at()),
            None => false,
        }
    }

    /// The token's marks. They are made once for each cached token.
    pub(crate) fn marks<'a, T>(&self, verified: &'a Verified<T>) -> &'a Marks {
        verified.marks.get_or_init(|| Box::new(self.marker.of_token(verified)))
    }

    /// Waits for revocations that may meet the token.
    pub(super) fn watch<T>(&self, verified: &Verified<T>) -> Watcher<'_> {
        self.watchers.add(*self.marks(verified))
    }

    pub(super) fn statement_mark(&self, kind: StatementKind, issuer: &str, jti: &str) -> Mark {
        self.marker.of_statement(kind, issuer, jti)
    }

    /// Adds entries, in order; those in front of the first that finds no room are in the list. When it returns, every request
    /// that begins meets them.
    pub(crate) fn add(&self, all: &[Revocation], now: Now) -> Result<(), Full> {
        // Others may read and write between two of these.
        all.chunks(64).try_for_each(|some| self.add_some(some, now.wall.as_secs()))
    }

    fn add_some(&self, some: &[Revocation], now: u64) -> Result<(), Full> {
        let mut writer = self.writer();
        let table = self.table.get_or_init(|| Table::new(self.max_entries.load(Ordering::Relaxed)));
        let longest = self.longest();
        for revocation in some {
            let end = revocation.ends_at().map_or(End::after(now), End::at);
            if end.seconds(longest) <= now {
                continue;
            }
            let mark = self.marker.of(revocation);
            let max_entries = self.max_entries.load(Ordering::Relaxed);
            // One that is known already may still be made to meet more.
            if !writer.has_room(max_entries, table, now, longest) && !table.has(mark) {
                writer.refused += 1;
                return Err(Full);
            }
            let issued_before = revocation.target().issued_before().unwrap_or(u64::MAX);
            let is_rebuilding = writer.rebuilt.is_some();
            let inserted = table.insert(mark, issued_before, end, now, longest, is_rebuilding);
            writer.entries = (writer.entries + usize::from(inserted.is_new)).saturating_sub(inserted.ended);
            if inserted.is_new {
                writer.keep_filter_sharp(table);
            }
            if inserted.changed {
                // Before the watchers wake: they look again.
                self.set_flag(HAS_ENTRIES, true);
                self.watchers.wake(mark);
            }
        }
        if writer.entries == 0 {
            self.set_flag(HAS_ENTRIES, false);
        }
        Ok(())
    }

    /// A request's share of the cleaning: the next shards, at most once a second, unless a writer is at work.
    #[cold]
    fn sweep_some(&self, now: u64) {
        let Ok(mut writer) = self.writer.try_lock() else { return };
        self.sweep_at.store(now.saturating_add(1), Ordering::Relaxed);
        self.sweep(&mut writer, SWEPT_AT_A_TIME, now);
    }

    fn sweep(&self, writer: &mut Writer, shards: usize, now: u64) {
        let Some(table) = self.table.get() else { return };
        let ended = table.sweep(writer.next, shards, now, self.longest());
        writer.next = (writer.next + shards) % Table::shards();
        writer.entries = writer.entries.saturating_sub(ended);
        if writer.entries == 0 {
            self.set_flag(HAS_ENTRIES, false);
        }
    }

    /// How many entries there are, those that ended and were not swept yet among them.
    pub(crate) fn entries(&self) -> usize {
        self.writer().entries
    }

    /// How many entries are in force, how many found no room, and whether the list is full.
    pub(crate) fn count(&self, now: Now) -> (usize, u64, bool) {
        let mut writer = self.writer();
        self.sweep(&mut writer, Table::shards(), now.wall.as_secs());
        (writer.entries, writer.refused, writer.entries >= self.max_entries.load(Ordering::Relaxed))
    }

    /// A token was validated whose lifetime ends then. Entries stay for as long as the longest-lived token can.
    pub(crate) fn saw<T>(&self, verified: &Verified<T>, now: Now) {
        let parts = &verified.parts;
        let ends = if verified.key.is_some() { parts.valid_until } else { parts.expires_at };
        let lifetime = ends.saturating_sub(parts.issued_at().unwrap_or(now.wall.as_secs()));
        if lifetime > self.longest_seen.load(Ordering::Relaxed)
            && lifetime > self.longest_seen.fetch_max(lifetime, Ordering::Relaxed)
            && lifetime > self.longest.load(Ordering::Relaxed)
            && self.state.load(Ordering::Relaxed) != IDLE
        {
            tracing::warn!(
                target: "oauth_guard",
                issuer = verified.issuer.name(),
                lifetime,
                "a token lives longer than revocations are kept; those that are known are kept longer now, but set longest_token or max_token_age"
            );
        }
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest.load(Ordering::Relaxed).max(self.longest_seen.load(Ordering::Relaxed))
    }

    /// Takes over the limits of a configuration.
    pub(crate) fn set_limits(&self, max_entries: usize, longest: Duration) {
        self.max_entries.store(max_entries, Ordering::Relaxed);
        self.longest.store(longest.as_secs(), Ordering::Relaxed);
    }

    /// Until when, on the monotonic clock, requests are served without a word from the feeds. `None`: always.
    pub(crate) fn set_deadline(&self, deadline: Option<Duration>) {
        let deadline = deadline.map_or(DEADLINE, |deadline| millis(deadline).min(DEADLINE - 1));
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some(state & !DEADLINE | deadline));
    }

    pub(crate) fn set_feeds_to_start(&self, on: bool) {
        self.set_flag(HAS_FEEDS_TO_START, on);
    }

    /// Written also where the flag seems to be set: the one that takes it away has to see that this feed has ended.
    pub(crate) fn add_feed_to_start(&self) {
        self.state.fetch_or(HAS_FEEDS_TO_START, Ordering::AcqRel);
    }

    pub(crate) fn set_starting(&self, on: bool) {
        self.set_flag(IS_STARTING, on);
    }

    fn set_flag(&self, flag: u64, on: bool) {
        // Written only when it changes: every request reads this line.
        if (self.state.load(Ordering::Acquire) & flag != 0) == on {
            return;
        }
        if on {
            self.state.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.state.fetch_and(!flag, Ordering::AcqRel);
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Whether there is room. A full list drops what ended, at most once a second.
    fn has_room(&mut self, max_entries: usize, table: &Table, now: u64, longest: u64) -> bool {
        if self.entries >= max_entries && self.swept_full != Some(now) {
            self.swept_full = Some(now);
            self.entries = self.entries.saturating_sub(table.sweep(0, Table::shards(), now, longest));
        }
        self.entries < max_entries
    }

    /// Rebuilds the filter step by step once twice as many marks were added as it is made for.
    fn keep_filter_sharp(&mut self, table: &Table) {
        self.filtered += 1;
        match self.rebuilt {
            None if self.filtered > 2 * table.filter_capacity() => {
                table.begin_rebuild();
                self.rebuilt = Some(0);
            }
            None => {}
            Some(from) => {
                let is_done = table.rebuild(from, REBUILT_AT_A_TIME);
                self.rebuilt = (!is_done).then_some(from + REBUILT_AT_A_TIME);
                if is_done {
                    self.filtered = self.entries;
                }
            }
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").finish_non_exhaustive()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
