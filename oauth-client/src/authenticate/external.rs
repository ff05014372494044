//! An assertion made for the client by others, most often by the platform it runs on (RFC 7523 section 2.2).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock::Now;
use crate::error::Error;
use crate::secret::SecretSource;
use crate::token::Secret;

pub(super) const FIELD: &str = "client_assertion";

/// How often a file is looked at again that has no whole assertion in it.
const POLL: Duration = Duration::from_millis(50);

/// The assertion that is there now; one that is not whole is waited for, but for no longer than `time`.
pub(super) async fn read(source: &SecretSource, time: Duration, now: Now) -> Result<Secret, Error> {
    let began = Instant::now();
    loop {
        // Whatever was there before: an assertion that was replaced is one that is about to expire.
        let error = match source.now(FIELD, now).await {
            Ok(found) => {
                let whole = found.expose().trim_matches(['\r', '\n', ' ', '\u{feff}']);
                let whole =
                    if whole.len() == found.expose().len() { found.clone() } else { Secret::from(whole) };
                match flaw(&whole) {
                    None => return Ok(whole),
                    Some(why) => Error::config(FIELD, why),
                }
            }
            Err(error) => error,
        };
        // Nothing but a file changes while it is waited for.
        if !source.is_file() || began.elapsed().saturating_add(POLL) >= time {
            return Err(error);
        }
        sleep(POLL).await;
    }
}

/// Why this is no whole assertion: a compact JWS has three parts, a JWE five (RFC 7515 section 7.1, RFC 7516 section 7.1).
pub(super) fn flaw(assertion: &Secret) -> Option<&'static str> {
    let text = assertion.expose().trim_end_matches(['\r', '\n']);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let parts: Vec<_> = text.split('.').collect();
    let is_whole = match parts.len() {
        3 => parts.iter().all(|part| !part.is_empty()),
        // The second is the encrypted key, and there may be none.
        5 => parts.iter().enumerate().all(|(n, part)| n == 1 || !part.is_empty()),
        _ => false,
    };
    if text.is_empty() {
        return Some("is empty; expected a JWT, as the platform writes it");
    }
    let well_formed = is_whole && parts.iter().all(|part| part.bytes().all(fits));
    (!well_formed).then_some("is not a whole JWT; expected three parts of base64url, joined by dots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_jwt_is_sent() {
        for whole in ["e30.e30.AA", "a-_.b.c", "a..c.d.e", "e30.e30.AA\n"] {
            assert_eq!(flaw(&Secret::from(whole)), None, "{whole}");
        }
        for part in
            ["", "e30", "e30.e30", "e30.e30.", "e30..AA", ".e30.AA", "a.b.c.d", "a b.c.d", "{}", "a.b.c=="]
        {
            assert!(flaw(&Secret::from(part)).is_some(), "{part}");
        }
    }
}
