//! Every number a guard goes by, and why it is what it is.
//!
//! The first of them can be changed, where it says so; the last cannot, since nobody who is let in comes near them.
//!
//! # Tokens
//!
//! ### Why 60 seconds of leeway?
//! [`LEEWAY`]. Machines with NTP are within a second of each other, virtual machines that just woke up within tens. A
//! minute covers both and is short against token lifetimes of five minutes and more. RFC 7519 §4.1.4 speaks of "no more
//! than a few minutes". To be changed with [`Issuer::leeway`](crate::Issuer::leeway).
//!
//! ### Why 8 KiB of token?
//! [`MAX_TOKEN_BYTES`]. It is what common servers accept for all headers together; a token of 8 KiB has passed every
//! proxy on the way. What is longer is refused before it is decoded. To be changed with
//! [`Issuer::max_token_bytes`](crate::Issuer::max_token_bytes), up to [`MOST_TOKEN_BYTES`]: far beyond any header that
//! gets through, so that a mistyped limit is noticed.
//!
//! ### Why no maximum age?
//! The issuer says in `exp` how long a token is good, and it knows best. Where its lifetimes are longer than one cares
//! for, there is [`Issuer::max_token_age`](crate::Issuer::max_token_age).
//!
//! # The cache
//!
//! ### Why 64 MiB?
//! [`CACHE_BYTES`]. That is some 40,000 to 100,000 tokens: more than the callers of one process within a token's
//! lifetime, and still small beside the process. It is filled as tokens come, not ahead. To be changed with
//! [`GuardBuilder::cache_bytes`](crate::GuardBuilder::cache_bytes).
//!
//! ### Why digests of 256 bits?
//! A token that has another's digest is taken for it. With 256 bits under a secret key, finding two that collide takes
//! 2^128 tries; with 64 bits, four billion tokens would do by chance.
//!
//! # Keys
//!
//! All of these can be changed with [`KeyPolicy`](crate::KeyPolicy), unless it says otherwise.
//!
//! ### Why 30 seconds between fetches for unknown key ids?
//! [`KEY_COOLDOWN`]. A rotation is rarer than an hour; a flood of invented key ids is not. 30 seconds bound the flood at
//! two fetches a minute, and a key that is really new is noticed within them.
//!
//! ### Why is a key set good for 10 minutes, and fetched anew after 8?
//! [`KEY_MAX_AGE`]. It is how long a withdrawn key can still be used, if nobody tells us; and one small fetch in eight
//! minutes costs the issuer nothing. At 80 % of the age there are two minutes left for tries that fail, before anybody
//! has to wait. A `Cache-Control: max-age` of the issuer counts where it is shorter, but no shorter than the cool-down.
//!
//! ### Why are old keys used for up to 24 hours while the issuer is down?
//! [`KEY_MAX_STALE`]. An issuer that is down gives out no tokens, but those it gave out are still good. After a day
//! nobody has had a token renewed, so that what still comes is worth a look.
//!
//! ### Why does the wait after a failed fetch begin with a second?
//! [`KEY_FIRST_BACKOFF`]. A restart of the issuer is over in seconds. The wait doubles up to the cool-down, and up to a
//! quarter is added at random, so that a hundred processes do not come back in step. A `Retry-After` counts if it is
//! longer, but no longer than the keys' age. It cannot be changed.
//!
//! ### Why is the metadata asked for the address of the keys every hour?
//! [`KEY_ADDRESS`]. Addresses change less often than keys. Whoever moves one usually leaves the old one in place for a
//! while; an hour is well within that, and a key that is nowhere to be found asks for the address at once. It cannot
//! be changed.
//!
//! ### Why 5 seconds for a fetch?
//! [`KEY_TIMEOUT`]. A key set is a few KiB from a server nearby. Callers wait for it at most this long, discovery
//! included.
//!
//! ### Why 512 KiB and 100 keys?
//! [`KEY_SET_BYTES`], [`KEYS_PER_SET`]. Nobody signs with a hundred keys at a time, and a hundred of the largest, with
//! their certificates, are 500 KiB. More is a mistake or an attack on our memory. Sets that come with the configuration
//! have no such limits.
//!
//! ### Why 8 keys tried for a token that names none?
//! [`KEYS_TRIED`]. Each costs a signature check, and whoever sends the token decides that it has no `kid`. Issuers that
//! leave it out have one key, and two while they rotate. It cannot be changed.
//!
//! ### Why RSA keys from 2048 to 8192 bits?
//! RFC 7518 §3.3 asks for 2048. Beyond 8192 a check takes many times as long as any other, and no issuer has such keys.
//! It cannot be changed.
//!
//! # Issuers found at run time
//!
//! ### Why 1,000 tenants, and 4 MiB of names that are none?
//! [`TENANTS`], [`UNKNOWN_ISSUER_BYTES`]. A tenant that is displaced is looked up again with its next new token, which
//! costs a question and a key fetch. A name that is none is remembered for the keys' cool-down only; 4 MiB are some
//! 15,000 of the usual length, and however many somebody invents, they displace no tenant.
//!
//! ### Why 1 KiB of name, and 1,000 names asked about at a time?
//! [`ISSUER_BYTES`], [`LOOK_UPS`]. Whoever sends a token writes its `iss`, and nothing vouches for it yet. Issuers are
//! URLs of some 50 bytes; and what cannot be asked right now is answered 503, while the tenants that are known go on.
//!
//! ### Why a second's rest for a resolver that failed?
//! [`RESOLVER_PAUSE`]. It is a database or a service that is away for a moment. The rest is for the one name only.
//!
//! # What no good token comes near
//!
//! ### Why 2 KiB of header and 256 bytes of key id?
//! [`HEADER_BYTES`], [`KEY_ID_BYTES`]. Real headers take about 100 bytes and key ids 43, the length of a thumbprint. Both
//! are read before anything is known of who sent them, so they are read on the stack and no further.
//!
//! ### Why 1,024 bytes of signature?
//! [`SIGNATURE_BYTES`]. That is RSA with 8192 bits. What is longer is by no key there is.
//!
//! ### Why 32 levels of JSON?
//! [`JSON_DEPTH`]. Claims in the wild stay below 6. A text that nests without end would use up the stack.
//!
//! ### Why 64 characters of what a caller wrote in a log line?
//! [`LOGGED_CHARS`]. Key ids fit, and most issuers do; a line stays a line, whoever writes it.

use std::time::Duration;

use oauth_client::jose;

/// How far clocks may be apart.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 8192;
/// The most that an issuer may set for that.
pub const MOST_TOKEN_BYTES: usize = 1024 * 1024;
/// What the token cache may take.
pub const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Between two fetches that unknown key ids cause.
pub const KEY_COOLDOWN: Duration = Duration::from_secs(30);
/// How long a key set is good.
pub const KEY_MAX_AGE: Duration = Duration::from_secs(600);
/// How long an old key set is used while no new one can be had.
pub const KEY_MAX_STALE: Duration = Duration::from_secs(24 * 3600);
/// The first wait after a failed fetch; it doubles up to the cool-down.
pub const KEY_FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// How long a key fetch may take, discovery included.
pub const KEY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the address of a key set is good that the metadata told.
pub const KEY_ADDRESS: Duration = Duration::from_secs(3600);
/// The largest key set that is read, in bytes.
pub const KEY_SET_BYTES: usize = 512 * 1024;
/// How many keys of a set are taken.
pub const KEYS_PER_SET: usize = jose::KEYS_PER_SET;
/// How many keys a token without a key id is tried against.
pub const KEYS_TRIED: usize = jose::KEYS_TRIED;
/// Issuers found at run time that are remembered.
pub const TENANTS: u64 = 1_000;
/// What the names that turned out to be no issuer's may take, in bytes.
pub const UNKNOWN_ISSUER_BYTES: u64 = 4 * 1024 * 1024;
/// The longest `iss` that somebody is asked about, in bytes.
pub const ISSUER_BYTES: usize = 1024;
/// How many names are asked about at a time.
pub const LOOK_UPS: usize = 1_000;
/// How long a resolver that failed is left alone, for the name it failed on.
pub const RESOLVER_PAUSE: Duration = Duration::from_secs(1);
/// The longest header of a token, in encoded bytes.
pub const HEADER_BYTES: usize = 2048;
/// The longest key id, in bytes.
pub const KEY_ID_BYTES: usize = jose::KEY_ID_BYTES;
/// The longest signature, in bytes.
pub const SIGNATURE_BYTES: usize = jose::SIGNATURE_BYTES;
/// How deep the JSON of a token may nest.
pub const JSON_DEPTH: usize = jose::JSON_DEPTH;
/// How much of a name that a caller wrote is logged, in characters.
pub const LOGGED_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    #[test]
    fn every_number_has_its_reason() {
        let text = include_str!("defaults.rs");
        let (docs, code) = text.split_once("\nuse std::time").unwrap();
        let names: Vec<_> =
            code.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next()).collect();
        assert!(names.len() >= 20, "{names:?}");
        for name in names {
            assert!(docs.contains(&format!("[`{name}`]")), "{name} has no reason");
        }
    }
}
