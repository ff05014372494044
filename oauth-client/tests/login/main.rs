//! People log in: what comes back is believed only where it may be, and each attack that is known is one test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../common/fixture.rs"]
mod fixture;
mod support;
#[path = "../common/time.rs"]
mod time;

mod ciba;
mod device;
mod flaws;
mod id_token;
#[cfg(feature = "loopback")]
mod loopback;
mod slow;
mod source;
mod web;
