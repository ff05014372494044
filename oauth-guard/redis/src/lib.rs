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
//! A revocation is put into snapshot and stream by one script. A guard notes the end of the stream, reads the snapshot,
//! and then the stream from there on. Each entry of the stream has a random mark: after every reconnection, and with
//! all news, the guard looks whether the entry it has read last is there with its mark. Where it is not, after a
//! restart from older data, a failover that lost entries, or when the stream was trimmed meanwhile, the snapshot is
//! read again, and what the guard has stays.
//!
//! # Costs
//! A proof costs one command; a token that needs none costs none, valid or not. Each guard waits for news with one command a
//! second, on a connection of its own.
//!
//! # Bad days
//! Without an answer about a proof, the request is rejected with 503. Without news for longer than `max_stale_seconds`,
//! `on_outage` decides. A write that a failover loses is lost: a revocation that Redis confirmed and then lost
//! holds at the guards that had read it, and not at those that start later; a proof that was noted so could be used once
//! more within its window, which a nonce bounds further.

mod feed;
mod replay;

use std::fmt;

use oauth_client::config::RedisConfig;
use oauth_client::secret::SecretSource;
use oauth_client::{Error, Secret};
use oauth_client_redis::link::{Address, Link};
use oauth_guard::config::GuardConfig;
use oauth_guard::{BuildError, GuardBuilder, Problem};

pub use self::feed::RedisFeed;
pub use self::replay::RedisReplayStore;

/// The builder of the guard that a configuration describes. With the table `redis`, used proofs and revocations are shared
/// there; Redis need not be there yet.
///
/// # Errors
/// When the URL cannot be used.
pub fn build(config: &GuardConfig) -> Result<GuardBuilder, BuildError> {
    let builder = config.clone().into_builder();
    let Some(found) = config.redis() else { return Ok(builder) };
    let redis = Redis::from_config(found).map_err(|error| {
        let field = |problem: &Problem| Problem {
            field: format!("redis.{}", problem.field),
            message: problem.message.clone(),
        };
        BuildError::of(error.problems().iter().map(field))
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
        let address = Address { url: url.into(), password, root_certificates: None };
        Ok(Self { link: Link::new(address.clone())?, waiting: Link::new(address)?, prefix: prefix.into() })
    }

    /// What a configuration describes. Nothing is connected yet.
    ///
    /// # Errors
    /// `config` when the URL cannot be used.
    pub fn from_config(config: &RedisConfig) -> Result<Self, Error> {
        Self::new(config.url().clone(), config.password().cloned(), config.prefix())
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
