//! Devices that wait for a user's approval (RFC 8628): their codes, how often they ask, what the user said.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::encode::{random, random_text};
use crate::state::kept::Kept;
use crate::state::tokens::Grant;
use crate::wire::response::OAuthError;

/// Seconds added to the interval of a device that asks too often (RFC 8628 section 3.5).
const SLOWER: i64 = 5;

/// What user codes are made of: no vowels, so no words, and nothing that looks like something else (RFC 8628 section
/// 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The devices that wait at one issuer, by device code.
#[derive(Default)]
pub(crate) struct Devices(Mutex<Kept<Device>>);

/// A device that waits, or did.
#[derive(Clone)]
pub(crate) struct Device {
    /// What the client gets if the user approves; the subject is known then.
    pub(crate) grant: Grant,
    /// As it is shown; [`same_code`] compares.
    pub(crate) user_code: String,
    pub(crate) expires_at: i64,
    /// Seconds between two requests of the device.
    pub(crate) interval: i64,
    asked_at: Option<i64>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Allowed,
    Denied,
    Used,
}

impl Devices {
    /// Lets a device wait for so many seconds from now on; gives its device code and its user code.
    pub(crate) fn begin(&self, grant: Grant, now: i64, lifetime: i64, interval: i64) -> (String, String) {
        let (device_code, user_code) = (random_text::<24>(), new_user_code());
        let device = Device {
            grant,
            user_code: user_code.clone(),
            expires_at: now.saturating_add(lifetime),
            interval,
            asked_at: None,
            state: State::Pending,
        };
        self.devices().keep(device_code.clone(), device, now, |device| device.expires_at);
        (device_code, user_code)
    }

    /// The device that shows this code and still waits.
    pub(crate) fn waiting(&self, user_code: &str, now: i64) -> Option<Device> {
        self.devices().values().find(|device| device.waits_with(user_code, now)).cloned()
    }

    /// The one that waits for this user.
    pub(crate) fn waiting_for(&self, user: &str, now: i64) -> Option<Device> {
        let is_theirs = |device: &&Device| {
            device.state == State::Pending
                && now < device.expires_at
                && device.grant.user.as_deref() == Some(user)
        };
        self.devices().values().find(is_theirs).cloned()
    }

    /// What the user said of the device with this code: the grant with the user in it, or no. `false` when no such
    /// device waits.
    pub(crate) fn decide(&self, user_code: &str, now: i64, allowed: Option<Grant>) -> bool {
        let mut devices = self.devices();
        let Some(device) = devices.values_mut().find(|device| device.waits_with(user_code, now)) else {
            return false;
        };
        device.state = if allowed.is_some() { State::Allowed } else { State::Denied };
        device.grant = allowed.unwrap_or_else(|| device.grant.clone());
        true
    }

    /// A device asks for its tokens (RFC 8628 section 3.5), by the value of the parameter `name`.
    pub(crate) fn ask(
        &self,
        name: &str,
        device_code: &str,
        client: &str,
        now: i64,
    ) -> Result<Grant, OAuthError> {
        let refused = |code, why: &str| Err(OAuthError::bad_request(code, why));
        let of_code = |code, what| refused(code, &format!("{name}: {what}"));
        let mut devices = self.devices();
        let device = devices.get_mut(device_code).filter(|device| device.grant.client == client);
        let Some(device) = device else { return of_code("invalid_grant", "unknown") };
        if device.state == State::Used {
            return of_code("invalid_grant", "used before");
        }
        if now >= device.expires_at {
            return of_code("expired_token", "it has expired");
        }
        let early = device.asked_at.is_some_and(|before| now < before.saturating_add(device.interval));
        device.asked_at = Some(now);
        if early {
            device.interval = device.interval.saturating_add(SLOWER);
            return refused("slow_down", "asked too often; the interval is five seconds longer from now on");
        }
        match device.state {
            State::Pending => refused("authorization_pending", "the user has not decided yet"),
            State::Denied => refused("access_denied", "the user said no"),
            State::Allowed | State::Used => {
                device.state = State::Used;
                Ok(device.grant.clone())
            }
        }
    }

    /// Turns away the devices that were allowed in a session that has ended, and have not asked since.
    pub(crate) fn end_session(&self, session: &str) {
        let of_session = |grant: &Grant| grant.login.as_ref().is_some_and(|login| login.session == session);
        let mut devices = self.devices();
        let allowed = devices.values_mut().filter(|device| device.state == State::Allowed);
        allowed.filter(|device| of_session(&device.grant)).for_each(|device| device.state = State::Denied);
    }

    pub(crate) fn clear(&self) {
        self.devices().clear();
    }

    fn devices(&self) -> MutexGuard<'_, Kept<Device>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    fn waits_with(&self, user_code: &str, now: i64) -> bool {
        self.state == State::Pending && now < self.expires_at && same_code(&self.user_code, user_code)
    }
}

/// RFC 8628 section 6.1: users type small letters, and leave the dash out.
fn same_code(shown: &str, typed: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
    };
    letters(shown) == letters(typed)
}

fn new_user_code() -> String {
    let letter = |byte: u8| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]);
    let (first, second) = (random::<4>(), random::<4>());
    first.map(letter).into_iter().chain(['-']).chain(second.map(letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_can_be_typed_carelessly() {
        assert!(same_code("WDJB-MJHT", "wdjbmjht") && same_code("WDJB-MJHT", " wdjb mjht "));
        assert!(!same_code("WDJB-MJHT", "WDJB-MJH") && !same_code("WDJB-MJHT", ""));
        let code = new_user_code();
        assert!(code.len() == 9 && code.as_bytes()[4] == b'-', "{code}");
    }
}
