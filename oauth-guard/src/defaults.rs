//! Every number that has a default, and why it is what it is.
//!
//! ### Why 60 seconds of leeway?
//! Machines with NTP are within a second of each other, virtual machines that just woke up within tens. A minute
//! covers both and is short against token lifetimes of five minutes and more. RFC 7519 §4.1.4 speaks of "no more
//! than a few minutes".
//!
//! ### Why 8 KiB of token?
//! It is what common servers accept for all headers together; a token of 8 KiB has passed every proxy on the way.
//! What is longer is refused before it is decoded.
//!
//! ### Why 64 MiB of cache?
//! That is some 100,000 tokens with the usual claims: more than the callers of one process within a token's
//! lifetime, and still small beside the process.
//!
//! ### Why 30 seconds between key fetches for unknown key ids?
//! A rotation is rarer than an hour; a flood of invented key ids is not. 30 seconds bound the flood at two fetches
//! a minute, and a key that is really new is noticed within them.
//!
//! ### Why is a key set good for 10 minutes?
//! It is how long a withdrawn key can still be used, if nobody tells us; and one small fetch in eight minutes
//! (80 % of it) costs the issuer nothing.
//!
//! ### Why are old keys used for up to 24 hours while the issuer is down?
//! An issuer that is down gives out no tokens, but those it gave out are still good. After a day nobody has had a
//! token renewed, so that what still comes is worth a look.
//!
//! ### Why 5 seconds for a key fetch, 512 KiB and 100 keys?
//! A key set is a few KiB from a server nearby. Callers wait for it at most this long; and nobody signs with a
//! hundred keys at a time.
//!
//! ### Why 1,000 tenants, and 4 MiB of names that are none?
//! A tenant that is displaced is looked up again with its next new token, which costs a question and a key fetch.
//! A name that is none is remembered for half a minute only; 4 MiB are some 15,000 of the usual length, and however
//! many somebody invents, they displace no tenant.
//!
//! ### Why 1 KiB of name, and 1,000 names asked about at a time?
//! Whoever sends a token writes its `iss`, and nothing vouches for it yet. Issuers are URLs of some 50 bytes; and
//! what cannot be asked right now is answered 503, while the tenants that are known go on.

use std::time::Duration;

/// How far clocks may be apart.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 8192;
/// What the token cache may take.
pub const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Between two fetches that unknown key ids cause.
pub const KEY_COOLDOWN: Duration = Duration::from_secs(30);
/// How long a key set is good.
pub const KEY_MAX_AGE: Duration = Duration::from_secs(600);
/// How long an old key set is used while no new one can be had.
pub const KEY_MAX_STALE: Duration = Duration::from_secs(24 * 3600);
/// How long a key fetch may take, discovery included.
pub const KEY_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest key set that is read, in bytes.
pub const KEY_SET_BYTES: usize = 512 * 1024;
/// How many keys of a set are taken.
pub const KEYS_PER_SET: usize = 100;
/// Issuers found at run time that are remembered.
pub const TENANTS: u64 = 1_000;
/// What the names that turned out to be no issuer's may take, in bytes.
pub const UNKNOWN_ISSUER_BYTES: u64 = 4 * 1024 * 1024;
/// The longest `iss` that somebody is asked about, in bytes.
pub const ISSUER_BYTES: usize = 1024;
/// How many names are asked about at a time.
pub const LOOK_UPS: usize = 1_000;
