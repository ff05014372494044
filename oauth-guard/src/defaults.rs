//! Every number a guard uses, and why it is what it is.
//!
//! The first ones can be changed, where it says so; the last ones cannot, since no valid token comes near them.
//!
//! # Tokens
//!
//! ### Why 60 seconds of leeway?
//! [`LEEWAY`]. Machines with NTP are within a second of each other, virtual machines that just resumed within tens of
//! seconds. A minute covers both and is short against token lifetimes of five minutes and more. RFC 7519 section 4.1.4
//! speaks of "no more than a few minutes". Change it with [`Issuer::leeway`](crate::Issuer::leeway).
//!
//! ### Why 8 KiB of token?
//! [`MAX_TOKEN_BYTES`]. Common servers accept that much for all headers together, so a longer token rarely arrives. It is
//! rejected before it is decoded. Change it with [`Issuer::max_token_bytes`](crate::Issuer::max_token_bytes), up to
//! [`MOST_TOKEN_BYTES`]: far beyond any header that a server accepts, so that a mistyped limit is noticed.
//!
//! ### Why no maximum age?
//! The issuer sets the lifetime in `exp`. If its lifetimes are too long for you, set
//! [`Issuer::max_token_age`](crate::Issuer::max_token_age).
//!
//! # The cache
//!
//! ### Why 64 MiB?
//! [`CACHE_BYTES`]. That is about 40,000 to 100,000 tokens: more than the callers of one process within a token's
//! lifetime, and still small beside the process. It grows with the tokens, not ahead of them. Change it with
//! [`GuardBuilder::cache_bytes`](crate::GuardBuilder::cache_bytes). A sixteenth of it is for what each thread holds for
//! itself: the tokens that it sees most, so that threads do not wait for each other.
//!
//! ### Why digests of 256 bits?
//! A token with the digest of another token would be taken for that one. With 256 bits under a secret key, finding two
//! that collide takes 2^128 tries; with 64 bits, two of four billion tokens collide by chance.
//!
//! # Proofs of possession
//!
//! ### Why is a proof good for 60 seconds?
//! [`PROOF_MAX_AGE`]. A client makes a proof for one request and sends it at once, so the time has to cover only the
//! network and the difference of two clocks. RFC 9449 section 11.1 speaks of seconds to minutes, and each proof is
//! remembered for that long. Change it with [`Dpop::max_age`](crate::Dpop::max_age).
//!
//! ### Why is a nonce good for five minutes?
//! [`NONCE_LIFETIME`]. It bounds how far ahead a proof can be made by someone who has the key for a moment. A client that
//! pauses for longer pays one more round trip. Change it with [`Dpop::nonce_lifetime`](crate::Dpop::nonce_lifetime).
//!
//! ### Why room for 4,194,304 proofs?
//! [`REPLAY_CAPACITY`]. One key may hold a 64th of it, which is a thousand requests per second of one client. Memory is
//! used only for proofs that were sent, up to 80 bytes each: all room takes 64 clients at that rate, and many cores to
//! check their signatures. Change it with [`Dpop::replay_capacity`](crate::Dpop::replay_capacity).
//!
//! ### Why 3 seconds for a store of used proofs?
//! [`REPLAY_STORE_TIMEOUT`]. A store over a network answers in a millisecond, and one that reconnects first in a second or two.
//! The request waits for it, and gets 503 when the time is over. It cannot be changed; a store may have a shorter one.
//!
//! # Keys
//!
//! Change all of these with [`KeyPolicy`](crate::KeyPolicy), unless it says otherwise.
//!
//! ### Why 30 seconds between fetches for unknown key ids?
//! [`KEY_COOLDOWN`]. A key rotation is rarer than an hour; a flood of invented key ids is not. 30 seconds limit the flood
//! to two fetches a minute, and a new key is found within them. It is a budget, not a pause: two fetches may follow
//! each other, five seconds (a sixth of the cool-down) apart, and one comes back every 30 seconds. So one forged token
//! delays a rotation by five seconds at most. When many key ids are unknown at a time, the second fetch is left out.
//!
//! ### Why is a key set fresh for 10 minutes, and refreshed after 8?
//! [`KEY_MAX_AGE`]. That is how long a withdrawn key stays in use if no fetch shows it earlier; and one small fetch in
//! eight minutes costs the issuer nothing. At 80 % of the age there are two minutes left for failed attempts before a
//! request has to wait. A `Cache-Control: max-age` of the issuer is followed if it is shorter, down to the cool-down.
//!
//! ### Why are old keys used for up to 24 hours while the issuer is down?
//! [`KEY_MAX_STALE`]. An issuer that is down issues no tokens, but those it issued are still valid. After a day without a
//! renewed token, a token that still arrives is suspicious.
//!
//! ### Why does the delay after a failed fetch start with a second?
//! [`KEY_FIRST_BACKOFF`]. A restart of the issuer takes seconds. The delay doubles up to the cool-down, with up to a
//! quarter of jitter, so that a hundred processes do not retry in step. A longer `Retry-After` is obeyed, up to the keys'
//! maximum age. It cannot be changed.
//!
//! ### Why is the metadata read for the JWKS URI every hour?
//! [`JWKS_URI_MAX_AGE`]. URIs change less often than keys, and an issuer usually keeps the old URI for a while. A missing key
//! causes the metadata to be read at once. It cannot be changed.
//!
//! ### Why 5 seconds for a fetch?
//! [`KEY_TIMEOUT`]. A key set is a few KiB from a server nearby. Requests wait for it at most this long, discovery
//! included.
//!
//! ### Why does a request wait a second for newer keys?
//! [`KEY_PATIENCE`]. After an idle time the keys at hand may be older than their maximum age, and a key may have been
//! withdrawn. A server that is well responds in less; for one that hangs, requests go on with the keys at hand, as they
//! do while it is down. It cannot be changed.
//!
//! ### Why 512 KiB and 100 keys?
//! [`KEY_SET_BYTES`], [`KEYS_PER_SET`]. No issuer signs with a hundred keys at a time, and a hundred of the largest, with
//! their certificates, take 500 KiB. More is an error or an attack on memory. Sets in the configuration have no such
//! limits.
//!
//! ### Why 8 keys tried for a token without a key id?
//! [`KEYS_TRIED`]. Each costs a signature check, and the caller decides whether the token has a `kid`. Issuers that omit
//! it have one key, and two during a rotation. It cannot be changed.
//!
//! ### Why RSA keys from 2048 to 8192 bits?
//! RFC 7518 section 3.3 requires 2048. Beyond 8192 a check takes many times as long as any other, and no issuer has such
//! keys. It cannot be changed.
//!
//! # Issuers resolved at run time
//!
//! ### Why 1,000 tenants, and 4 MiB of unknown names?
//! [`TENANTS`], [`UNKNOWN_ISSUER_BYTES`]. A tenant that is evicted is resolved again with its next new token, which costs
//! a call of the resolver and a key fetch. An unknown name is kept for the keys' cool-down only; 4 MiB are about 15,000
//! names of the usual length, and however many a caller invents, they evict no tenant. `max_tenants` keeps up to 100,000
//! ([`MOST_TENANTS`]): beyond its number each new tenant looks for the one used longest ago, which reads one number of each.
//!
//! ### Why ten tenants in the health report?
//! [`TENANTS_LISTED`]. Enough to see which ones have a problem. A probe reads the report every second, and its
//! endpoint may be public, so it is short and no list of customers.
//!
//! ### Why 64 tenants on probation, and 32 fetches for them?
//! [`PROBATION_TENANTS`], [`PROBATION_FETCHES`], [`PROBATION_INTERVAL`]. A resolver that decides by a rule accepts
//! invented names too, and each would cost a fetch. So tenants without one verified token are kept apart, and have one
//! budget per guard: 32 fetches at once, and one more each second; beyond that they get 503. The fetches of a tenant
//! come back with its first verified token, so that many real tenants at a start hardly wait for each other; and
//! [preloaded keys](crate::Guard::preload_keys) need no fetch.
//!
//! ### Why 1 KiB of name, and 1,000 names resolved at a time?
//! [`ISSUER_BYTES`], [`PENDING_RESOLUTIONS`]. The caller writes the token's `iss`, and nothing vouches for it yet. Issuers are URLs of
//! about 50 bytes. Names beyond the limit get 503, while known tenants are served.
//!
//! ### Why a pause of one second after a failed resolver call?
//! [`RESOLVER_PAUSE`]. It covers a database or a service that is briefly unavailable. The pause is for that one name.
//!
//! # Challenges
//!
//! ### Why is the realm `api`?
//! [`REALM`]. RFC 6750 section 3 requires at least one parameter after `Bearer`, and some clients cannot read a challenge
//! without one. It says nothing about the service. Change it with [`GuardBuilder::realm`](crate::GuardBuilder::realm).
//!
//! # The log
//!
//! ### Why one warning a minute for each reason?
//! [`WARNING_INTERVAL`]. An operator who tries out a new issuer sees at once why its tokens are rejected; a flood of
//! forged tokens writes one line a minute.
//!
//! # What no valid token comes near
//!
//! ### Why 2 KiB of header and 256 bytes of key id?
//! [`HEADER_BYTES`], [`KEY_ID_BYTES`]. Real headers take about 100 bytes and key ids 43, the length of a thumbprint. Both
//! are read before the sender is known, so they are read on the stack and not beyond.
//!
//! ### Why 1,024 bytes of signature?
//! [`SIGNATURE_BYTES`]. That is RSA with 8192 bits. No supported key makes a longer one.
//!
//! ### Why 32 levels of JSON?
//! [`JSON_DEPTH`]. Real claims stay below 6. Unlimited nesting would exhaust the stack.
//!
//! ### Why 64 characters of a caller's text in a log line?
//! [`LOGGED_CHARS`]. Key ids fit, and so do most issuers; the line stays a line, whatever the text.
//!
//! # MCP
//!
//! ### Why 1 MiB of body, within 30 seconds?
//! [`MCP_BODY_BYTES`], [`MCP_BODY_TIMEOUT`]. A body that is compared with its headers is held in memory. Messages with a
//! picture in them take some hundred KiB; a server that takes larger files raises the limit with
//! [`GuardBuilder::mcp_body_bytes`](crate::GuardBuilder::mcp_body_bytes). At 30 seconds, 1 MiB is 300 kbit/s; a caller
//! that sends slower holds memory for nothing. The time cannot be changed.
//!
//! # Introspection
//!
//! Change the first four with [`Introspection`](crate::Introspection). The others cannot be changed.
//!
//! ### Why are active tokens asked about once a minute?
//! [`INTROSPECTION_CACHE`]. It is how long a revoked token is still accepted. A minute is what users of a log-out button
//! tolerate, and spares a busy API nearly all questions.
//!
//! ### Why does an inactive response count for 10 seconds?
//! [`INTROSPECTION_NEGATIVE_CACHE`]. A caller that retries with a dead token costs one question in ten seconds; a token that
//! the server learns of a moment later works soon. [`INTROSPECTION_NEGATIVES`] of them are kept, about a megabyte, apart
//! from the active ones, so that invented tokens push no good one out.
//!
//! ### Why 5 seconds for a question?
//! [`INTROSPECTION_TIMEOUT`]. As for keys: the server is nearby, and requests wait.
//!
//! ### Why 64 questions at a time?
//! [`INTROSPECTION_CONCURRENCY`]. At 10 ms a question that is 6,400 new tokens a second. [`INTROSPECTION_WAITING`] may wait for
//! each of them, as many as get a response within the time limit; what exceeds that is 503 at once, so that a flood of invented
//! tokens takes bounded memory.
//!
//! ### Why 64 KiB of response?
//! [`INTROSPECTION_BYTES`]. Claims longer than that do not fit into a cached token.
//!
//! ### Why is a server left alone after three failures, for 1 to 30 seconds?
//! [`INTROSPECTION_TRIES`], [`INTROSPECTION_FIRST_PAUSE`], [`INTROSPECTION_LONGEST_PAUSE`]. One failure may be due to
//! one connection; three in a row are due to the server. The pause doubles with each failure, and one question that
//! succeeds ends it. A `Retry-After` counts at once, up to the longest pause.
//!
//! # Revocation
//!
//! - [`REVOCATIONS`]: about 55 MB when it is full; a fleet of a million sessions that are all revoked fits.
//! - [`REVOKED_TOKEN_LIFETIME`]: access tokens live for minutes or hours. Where neither `max_token_age` nor `longest_token`
//!   says so, an entry outlives even those of servers that issue them for weeks.
//! - [`REVOCATION_MAX_STALE`]: a store that restarts is back by then, and a stolen token is not used for much longer.
//! - [`REVOCATION_POLL`]: what a transmitter can bear from each guard.
//! - [`REVOCATION_FIRST_READ`]: how long requests wait for a source that was not read yet, before `on_outage` decides.
//! - [`REVOCATION_LONGEST_PAUSE`], [`REVOCATION_SHORT_OUTAGE`]: a fleet of thousands that retries every second or two leaves
//!   a store that is down in peace. In the first 15 seconds of an outage, as long as a broken connection or a restart
//!   takes, the pause is at most half the interval of the source: a guard over Redis has caught up a second after Redis
//!   is back, and 3 seconds after a longer outage.
//! - [`REVOCATION_PUBLISH_TIMEOUT`]: what a logout waits for. All feeds are given the revocation at the same time.
//! - [`STATEMENTS_REMEMBERED`]: a logout token that comes again is rare, and its effect would be the same.
//! - [`STATEMENT_BODY_BYTES`]: a token has 8 KiB, and a form writes some characters as three.
//! - [`STATEMENT_BODY_TIMEOUT`]: a request that trickles in holds nothing for longer.

use std::time::Duration;

use oauth_client::jose;

/// The tolerated clock difference.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// The longest token that is accepted, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8192;
/// The highest limit that an issuer may set for it, in bytes.
pub const MOST_TOKEN_BYTES: usize = 1024 * 1024;
/// The capacity of the token cache, in bytes.
pub const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// How often unknown key ids may cause a fetch: a budget of two, one of which comes back in this time.
pub const KEY_COOLDOWN: Duration = Duration::from_secs(30);
/// How long a key set is fresh.
pub const KEY_MAX_AGE: Duration = Duration::from_secs(600);
/// The maximum age of a key set while no newer one is available.
pub const KEY_MAX_STALE: Duration = Duration::from_secs(24 * 3600);
/// The first delay after a failed fetch; it doubles up to the cool-down.
pub const KEY_FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The time limit of a key fetch, discovery included.
pub const KEY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the JWKS URI of the metadata is used before the metadata is read again.
pub const JWKS_URI_MAX_AGE: Duration = Duration::from_secs(3600);
/// How long a request waits for newer keys while there are keys beyond their maximum age.
pub const KEY_PATIENCE: Duration = Duration::from_secs(1);
/// The largest key set that is read, in bytes.
pub const KEY_SET_BYTES: usize = 512 * 1024;
/// How many keys of a set are used.
pub const KEYS_PER_SET: usize = jose::KEYS_PER_SET;
/// How many keys a token without a key id is tried against.
pub const KEYS_TRIED: usize = jose::KEYS_TRIED;
/// How many issuers resolved at run time are kept.
pub const TENANTS: usize = 1_000;
/// The most that [`max_tenants`](crate::GuardBuilder::max_tenants) may be.
pub const MOST_TENANTS: usize = 100_000;
/// How many tenants [`Health`](crate::Health) lists by name.
pub const TENANTS_LISTED: usize = 10;
/// How many tenants without one verified token are kept.
pub const PROBATION_TENANTS: usize = 64;
/// How many key fetches such tenants may cause at once.
pub const PROBATION_FETCHES: u32 = 32;
/// How often they may cause another.
pub const PROBATION_INTERVAL: Duration = Duration::from_secs(1);
/// The capacity for unknown issuer names, in bytes.
pub const UNKNOWN_ISSUER_BYTES: u64 = 4 * 1024 * 1024;
/// The longest `iss` that is passed to the resolver, in bytes.
pub const ISSUER_BYTES: usize = 1024;
/// How many names are resolved at a time.
pub const PENDING_RESOLUTIONS: usize = 1_000;
/// The pause after a failed resolver call, for the name that it failed on.
pub const RESOLVER_PAUSE: Duration = Duration::from_secs(1);
/// How long a response about an active token is used.
pub const INTROSPECTION_CACHE: Duration = Duration::from_secs(60);
/// How long an inactive token counts as such.
pub const INTROSPECTION_NEGATIVE_CACHE: Duration = Duration::from_secs(10);
/// The time limit of a question about a token.
pub const INTROSPECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How many questions to one server are under way at a time.
pub const INTROSPECTION_CONCURRENCY: usize = 64;
/// How many questions may wait for each that is under way.
pub const INTROSPECTION_WAITING: usize = 256;
/// How many inactive tokens of one server are remembered.
pub const INTROSPECTION_NEGATIVES: u64 = 10_000;
/// The largest response about a token, in bytes.
pub const INTROSPECTION_BYTES: usize = 64 * 1024;
/// How many questions in a row may fail before the server is left alone.
pub const INTROSPECTION_TRIES: u32 = 3;
/// The first pause then; it doubles with each failure.
pub const INTROSPECTION_FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub const INTROSPECTION_LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How many revocations are kept.
pub const REVOCATIONS: usize = 1 << 20;
/// How many parts the list of revocations has: a write replaces one.
pub(crate) const REVOCATION_SHARDS: usize = 4096;
/// The fewest words of the filter before it.
pub(crate) const REVOCATION_FILTER_WORDS: usize = 64;
/// How long a revocation is kept that does not say when it ends, where tokens have no maximum age.
pub const REVOKED_TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a source of revocations may be away.
pub const REVOCATION_MAX_STALE: Duration = Duration::from_secs(30);
/// How often a transmitter of security events is polled.
pub const REVOCATION_POLL: Duration = Duration::from_secs(30);
/// How long requests wait for sources that were not read yet.
pub const REVOCATION_FIRST_READ: Duration = Duration::from_secs(3);
/// The longest pause after failed reads of a source.
pub const REVOCATION_LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For how long failed reads are repeated within half the interval of their source.
pub const REVOCATION_SHORT_OUTAGE: Duration = Duration::from_secs(15);
/// How long a feed may take to store a revocation that is published.
pub const REVOCATION_PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How many logout tokens and security events are remembered, so that each has its effect once.
pub const STATEMENTS_REMEMBERED: u64 = 100_000;
/// The largest body with a logout token or a security event, in bytes.
pub const STATEMENT_BODY_BYTES: usize = 32 * 1024;
/// How long such a body may take.
pub const STATEMENT_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How old a DPoP proof may be.
pub const PROOF_MAX_AGE: Duration = Duration::from_secs(60);
/// How long a nonce for DPoP proofs is good.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// How many used proofs are remembered.
pub const REPLAY_CAPACITY: usize = 4 * 1024 * 1024;
/// How long a store of used proofs may take to decide.
pub const REPLAY_STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest body that is compared with the headers of an MCP request, in bytes.
pub const MCP_BODY_BYTES: usize = 1024 * 1024;
/// How long such a body may take to arrive.
pub const MCP_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the rejections of one reason are warned of.
pub const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// The realm of challenges.
pub const REALM: &str = "api";
/// The longest header of a token, in encoded bytes.
pub const HEADER_BYTES: usize = 2048;
/// The longest key id, in bytes.
pub const KEY_ID_BYTES: usize = jose::KEY_ID_BYTES;
/// The longest signature, in bytes.
pub const SIGNATURE_BYTES: usize = jose::SIGNATURE_BYTES;
/// How deep the JSON of a token may nest.
pub const JSON_DEPTH: usize = jose::JSON_DEPTH;
/// How much of a caller's text is logged, in characters.
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
