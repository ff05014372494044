//! How often tokens with unknown key ids may cause a fetch. Any caller can invent a key id, and each real rotation begins
//! with one.

use std::time::Duration;

/// A budget of two fetches; one comes back per cool-down. Between two fetches lies a sixth of a cool-down, so a forged
/// token delays a rotation by no more than that. When many key ids are unknown, which is a flood and not a rotation,
/// the second fetch is left out: a cool-down lies between two fetches, and that is the most that a lasting flood delays
/// a rotation.
#[derive(Clone, Debug, Default)]
pub(super) struct UnknownKeyBudget {
    /// When the last such fetch started, on the monotonic clock.
    last: Option<Duration>,
    /// When the whole budget is available again: each fetch moves it by a cool-down.
    full_at: Duration,
    /// The key ids that were unknown since the last such fetch, its own included; one more than are a flood, at most.
    unknown: Vec<Option<Box<str>>>,
}

/// More unknown key ids than these within a cool-down are a flood. A rotation brings one or two, and a forged one may come
/// beside it.
const NO_FLOOD: usize = 4;

impl UnknownKeyBudget {
    /// Whether a token with this key id may cause a fetch now.
    pub(super) fn allows(&mut self, key_id: Option<&str>, now: Duration, cooldown: Duration) -> bool {
        if self.unknown.len() <= NO_FLOOD && !self.unknown.iter().any(|one| one.as_deref() == key_id) {
            self.unknown.push(key_id.map(Into::into));
        }
        self.pause(now, cooldown).is_zero()
    }

    /// How long until one of the key ids that are known to be unknown may cause a fetch.
    pub(super) fn pause(&self, now: Duration, cooldown: Duration) -> Duration {
        let is_flood = self.unknown.len() > NO_FLOOD;
        let between = if is_flood { cooldown } else { cooldown / 6 };
        let since = self.last.map(|last| now.saturating_sub(last));
        let spacing = since.map_or(Duration::ZERO, |since| between.saturating_sub(since));
        // The budget has room for another fetch when no more than one cool-down is left of it.
        spacing.max(self.full_at.saturating_sub(now).saturating_sub(cooldown))
    }

    /// Such a fetch starts, for a token with this key id.
    pub(super) fn spend(&mut self, key_id: Option<&str>, now: Duration, cooldown: Duration) {
        self.last = Some(now);
        self.full_at = self.full_at.max(now).saturating_add(cooldown);
        self.unknown.clear();
        self.unknown.push(key_id.map(Into::into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(30);

    /// The seconds at which tokens with these key ids, one per second, cause a fetch.
    fn fetches(seconds: std::ops::Range<u64>, key_id: impl Fn(u64) -> String) -> Vec<u64> {
        let mut budget = UnknownKeyBudget::default();
        let fetched = seconds.filter(|second| {
            let (key_id, now) = (key_id(*second), Duration::from_secs(*second));
            let allowed = budget.allows(Some(&key_id), now, COOLDOWN);
            if allowed {
                budget.spend(Some(&key_id), now, COOLDOWN);
            }
            allowed
        });
        fetched.collect()
    }

    #[test]
    fn a_flood_causes_one_fetch_per_cool_down() {
        assert_eq!(fetches(0..130, |second| second.to_string()), [0, 30, 60, 90, 120]);
    }

    #[test]
    fn one_key_id_that_stays_unknown_uses_the_second_fetch_early() {
        assert_eq!(fetches(0..130, |_| "same".to_owned()), [0, 5, 30, 60, 90, 120]);
    }

    #[test]
    fn after_one_forgery_per_cool_down_the_second_fetch_is_still_there() {
        // A forged token every 30 seconds, and from second 61 on tokens of a new key.
        let forged = |second: u64| second.is_multiple_of(30).then(|| format!("forged-{second}"));
        let mut budget = UnknownKeyBudget::default();
        let mut fetched = Vec::new();
        for second in 0..66 {
            let rotated = (second > 60).then(|| "rotated".to_owned());
            let Some(key_id) = forged(second).or(rotated) else { continue };
            let now = Duration::from_secs(second);
            if budget.allows(Some(&key_id), now, COOLDOWN) {
                budget.spend(Some(&key_id), now, COOLDOWN);
                fetched.push((second, key_id));
            }
        }
        let rotated = (65, "rotated".to_owned());
        assert_eq!(fetched.last(), Some(&rotated), "{fetched:?}");
        assert_eq!(fetched.len(), 4);
    }

    #[test]
    fn the_longest_cool_down_never_overflows() {
        let mut budget = UnknownKeyBudget::default();
        for now in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
            if budget.allows(None, now, Duration::MAX) {
                budget.spend(None, now, Duration::MAX);
            }
        }
    }
}
