//! Used proofs and revocations of `oauth_guard` in Redis or Valkey, shared by the guards of a fleet.
//!
//! ```no_run
//! use oauth_guard::config::GuardConfig;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = GuardConfig::from_file("guard.toml")?; // with [redis]
//! let guard = oauth_guard_redis::build(&config)?.build()?;
//! # let _ = guard; Ok(()) }
//! ```
//!
//! or in code, each alone: [`RedisReplayStore`] and [`RedisFeed`] of one [`Redis`].
//!
//! A URL with `rediss://` connects with TLS. `tls = { ca = "redis-ca.crt" }` in `[redis]` trusts a private authority, and
//! `cert` and `key` beside it are this guard's own certificate, where the server wants one.
//!
//! # What is in Redis
//!
//! | key | holds | ends |
//! |---|---|---|
//! | `{prefix}proof:…` | that a proof was used, by a SHA-256 hash of its key and `jti` | with the proof's window |
//! | `{prefix}{revocations}:now` | the revocations in force, as JSON: the snapshot | with the last of them |
//! | `{prefix}{revocations}:ends` | when each of them ends | with the last of them |
//! | `{prefix}{revocations}:news` | the last revocations, in order: the stream | with the last of them, a day at least |
//!
//! A revocation names an issuer and a subject, session, client or token id in the clear; no token is there.
//!
//! # Nothing is missed
//! One script puts a revocation into snapshot and stream. A guard notes the end of the stream, reads the snapshot, and
//! then reads the stream from that end on. Each entry of the stream has a random mark: after every reconnection, and
//! whenever new entries arrive, the guard checks that the entry it has read last is still there with its mark. It is
//! not there after a restart from older data, after a failover that lost entries, or when the stream was trimmed
//! meanwhile. Then the snapshot is read again, and the guard keeps what it has.
//!
//! # Costs
//! A proof costs one command; a token that needs none costs none, valid or not. Each guard waits for revocations with
//! two commands a second, on a connection of its own: a read that waits, and a write that changes nothing, which finds
//! out whether the server still is the primary.
//!
//! # Permissions
//! A user of its own needs these commands, also those that scripts call, and the keys with the prefix:
//!
//! ```text
//! ACL SETUSER orders on >password ~orders:* -@all +get +set +eval +time +expire +expireat +hget +hset +hdel +hscan +zadd +zrem +zrangebyscore +zrevrange +xadd +xread +xrange +xrevrange +xtrim
//! ```
//!
//! With the number of a database in the URL it needs `+select` as well. `+client|setinfo` lets `CLIENT LIST` show the
//! library's name; without it all works.
//!
//! # Bad days
//! Without a response about a proof, the request is rejected with 503. When the revocations could not be read for
//! longer than `max_stale_seconds`, `on_outage` decides. A guard whose connection breaks tries again after a tenth of a
//! second, then after growing pauses of half a second at most, so that it has caught up within a second after a short
//! break; from 15 s on the pauses grow to 2 s, and all are jittered. A primary that becomes a replica counts as away,
//! although it can be read: it may be behind. The connection is then closed and the name looked up again. A write that
//! a failover loses is lost. A revocation that Redis confirmed and then lost holds at the guards that had read it, and
//! not at those that start later. A proof whose entry was lost could be used once more within its window; a nonce
//! shortens that window.

mod feed;
mod replay;

use std::fmt;

use oauth_client::config::RedisConfig;
use oauth_client::secret::SecretSource;
use oauth_client::{Error, Secret};
use oauth_client_redis::link::{Address, Link, Tls};
use oauth_guard::config::GuardConfig;
use oauth_guard::{BuildError, GuardBuilder, Problem};

pub use self::feed::RedisFeed;
pub use self::replay::RedisReplayStore;

/// The builder of the guard that a configuration describes. With the table `redis`, used proofs and revocations are shared
/// there; Redis need not be there yet. What is then set in code, such as [`GuardBuilder::dpop`] and
/// [`GuardBuilder::revocation`], takes nothing of that away.
///
/// # Errors
/// When the URL cannot be used, named as the configuration names it: by key or by variable.
pub fn build(config: &GuardConfig) -> Result<GuardBuilder, BuildError> {
    let builder = config.clone().into_builder();
    let Some(found) = config.redis() else { return Ok(builder) };
    let redis = Redis::from_config(found).map_err(|error| {
        let field = |problem: &Problem| Problem {
            field: format!("redis.{}", problem.field),
            message: problem.message.clone(),
        };
        config.error(error.problems().iter().map(field))
    })?;
    Ok(builder.replay_store(redis.replay_store()).revocation_feed(redis.feed()).redis_connected(true))
}

/// Where the guards of a fleet share what they know.
#[derive(Clone)]
pub struct Redis {
    /// For questions and answers.
    link: Link,
    /// For waiting, which would hold up the others.
    waiting: Link,
    prefix: String,
    address: Address,
}

impl Redis {
    /// At this URL: `redis://host:6379`, with TLS `rediss://host:6379`, with a user `redis://user@host`, with the number of
    /// a database `redis://host/2`. Nothing is connected yet.
    ///
    /// # Errors
    /// `config` when the URL cannot be used.
    pub fn new(
        url: impl Into<Secret>,
        password: Option<SecretSource>,
        prefix: impl Into<String>,
    ) -> Result<Self, Error> {
        Self::at(Address { url: url.into(), password, tls: Tls::default() }, prefix.into())
    }

    fn at(address: Address, prefix: String) -> Result<Self, Error> {
        let link = Link::new(address.clone())?;
        Ok(Self { link, waiting: Link::new(address.clone())?, prefix, address })
    }

    /// Trusts these certificate authorities, as PEM, with `rediss://`, instead of the platform's. A file is read again for
    /// each connection. Call it before [`replay_store`](Self::replay_store) and [`feed`](Self::feed).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn tls_ca(mut self, pem: impl Into<SecretSource>) -> Result<Self, Error> {
        self.address.tls.ca = Some(pem.into());
        Self::at(self.address, self.prefix)
    }

    /// Shows this certificate, with those in between, and proves it with its key, both as PEM, with `rediss://`. Files are
    /// read again for each connection. Call it before [`replay_store`](Self::replay_store) and [`feed`](Self::feed).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn tls_identity(
        mut self,
        certificate: impl Into<SecretSource>,
        key: impl Into<SecretSource>,
    ) -> Result<Self, Error> {
        self.address.tls.identity = Some((certificate.into(), key.into()));
        Self::at(self.address, self.prefix)
    }

    /// What a configuration describes. Nothing is connected yet.
    ///
    /// # Errors
    /// `config` when the URL cannot be used.
    pub fn from_config(config: &RedisConfig) -> Result<Self, Error> {
        let (url, password) = (config.url().clone(), config.password().cloned());
        Self::at(Address { url, password, tls: Tls::of(config) }, config.prefix().to_owned())
    }

    /// The store of used proofs.
    #[must_use]
    pub fn replay_store(&self) -> RedisReplayStore {
        RedisReplayStore::new(self.link.clone(), &self.prefix)
    }

    /// The feed of revocations.
    #[must_use]
    pub fn feed(&self) -> RedisFeed {
        RedisFeed::new(self.link.clone(), self.waiting.clone(), &self.prefix)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.link.place();
        f.debug_struct("Redis").field("place", &place).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
