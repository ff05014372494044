//! People log in: what comes back is believed only where it may be, and each attack that is known is one test. The
//! names of tests that answer a case of the attack catalogue begin with its number.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod bench;

mod device;
mod flaws;
mod id_token;
#[cfg(feature = "loopback")]
mod loopback;
mod source;
mod web;
