//! The store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client::config::RedisConfig;
use oauth_client::secret::SecretSource;
use oauth_client::store::{Lease, Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use oauth_client::{Error, Secret, TokenSet};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::lease::{Held, milliseconds};
use crate::link::{Address, Fault, Link, RESPONSE_TIMEOUT, Tls};
use crate::pace::{Pace, Question};
use crate::problem;
use crate::seal::{SealKeys, Unopened};

/// What a value of ours begins with: then 16 digits of the revision, 16 of the fencing number, each with a space, and
/// the sealed set.
const MAGIC: &str = "oauth1 ";
const HEADER: usize = MAGIC.len() + 2 * 17;

/// How long an entry with a refresh token, or a log-out, stays after it was last written.
const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);
/// How long one without stays beyond its access token: some clocks are wrong by a time zone.
const KEPT_EXPIRED: Duration = Duration::from_secs(24 * 3600);
/// How long an access token is taken to live of which the server has not said it.
const LONGEST_UNKNOWN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Replaces a value if its revision is the expected one and its fencing number not greater. -1: what is there is not ours.
const SWAP: &str = "\
local head = redis.call('GETRANGE', KEYS[1], 0, 40) \
if head == '' then if ARGV[1] ~= '' then return 0 end \
else \
if string.sub(head, 1, 7) ~= 'oauth1 ' then return -1 end \
if string.sub(head, 8, 23) ~= ARGV[1] then return 0 end \
if ARGV[4] ~= '' and string.sub(head, 25, 40) > ARGV[4] then return 0 end \
end \
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end \
return 1";

/// A store in Redis or Valkey, for the processes of a fleet. Clones share one connection.
///
/// See the [crate's documentation](crate) for what is kept there, and for bad days.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Link,
    prefix: String,
    keys: SealKeys,
    kept: Duration,
    pace: Pace,
    returning: watch::Sender<usize>,
}

/// What a [`RedisStore`] needs to know.
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    address: Address,
    prefix: String,
    seal_keys: Vec<Secret>,
    kept: Duration,
}

impl RedisStore {
    /// A store at this URL: `redis://host:6379`, with TLS `rediss://host:6379`, with a user `redis://user@host`, with the
    /// number of a database `redis://host/2`.
    pub fn builder(url: impl Into<Secret>) -> RedisStoreBuilder {
        let address = Address { url: url.into(), password: None, tls: Tls::default() };
        RedisStoreBuilder { address, prefix: "oauth:".to_owned(), seal_keys: Vec::new(), kept: KEPT }
    }

    /// The store that a configuration describes. Nothing is connected yet.
    ///
    /// # Errors
    /// `config` when its keys cannot seal.
    pub fn from_config(config: &RedisConfig) -> Result<Self, Error> {
        let mut builder = Self::builder(config.url().clone()).prefix(config.prefix());
        builder.address.password = config.password().cloned();
        builder.address.tls = Tls::of(config);
        builder.seal_keys = config.seal_keys().to_vec();
        builder.build().map_err(|error| match error.problems() {
            [found, ..] => problem(&format!("store.{}", found.field), found.message.clone()),
            [] => error,
        })
    }

    fn names(&self, key: &StoreKey) -> Names {
        Names::new(&self.0.prefix, key)
    }

    fn decode(&self, key: &StoreKey, names: &Names, value: &[u8]) -> Result<Stored, StoreError> {
        let (head, sealed) = value.split_at_checked(HEADER).ok_or_else(|| names.foreign(&self.0.link))?;
        let revision = std::str::from_utf8(head)
            .ok()
            .and_then(|head| head.strip_prefix(MAGIC)?.get(..16))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| names.foreign(&self.0.link))?;
        let opened = self.0.keys.open(key.as_str(), sealed);
        let plain = opened.map_err(|why| names.unopened(&self.0.link, why))?;
        // serde_json's own message may quote the value it stumbled over.
        let tokens = serde_json::from_slice(&plain).map_err(|_| names.foreign(&self.0.link))?;
        Ok(Stored { tokens, revision: Revision(revision) })
    }

    fn encode(&self, key: &StoreKey, tokens: &TokenSet, revision: u64) -> Result<Vec<u8>, StoreError> {
        let unable = || StoreError::new("the tokens cannot be sealed");
        let plain = Zeroizing::new(serde_json::to_vec(tokens).map_err(|_| unable())?);
        let sealed = self.0.keys.seal(key.as_str(), &plain).ok_or_else(unable)?;
        let fence = tokens.fence().unwrap_or_default();
        let mut value = format!("{MAGIC}{revision:016x} {fence:016x} ").into_bytes();
        value.extend_from_slice(&sealed);
        Ok(value)
    }

    fn time_to_live(&self, tokens: &TokenSet) -> Duration {
        match tokens.refresh_token() {
            Some(_) => self.0.kept,
            // A process that was idle may have its refresh token for as long.
            None if tokens.is_ended() => self.0.kept,
            None => tokens.lifetime().unwrap_or(LONGEST_UNKNOWN).saturating_add(KEPT_EXPIRED),
        }
    }
}

impl RedisStoreBuilder {
    /// The password. A file is read again for each connection.
    pub fn password(mut self, password: impl Into<SecretSource>) -> Self {
        self.address.password = Some(password.into());
        self
    }

    /// What the names of all keys begin with. Without one: `oauth:`.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// A key that values are sealed under: at least 32 random bytes in base64. Of several, the first seals and all open.
    pub fn seal_key(mut self, key: impl Into<Secret>) -> Self {
        self.seal_keys.push(key.into());
        self
    }

    /// How long an entry with a refresh token stays when it is not refreshed, and a log-out; without it 180 days. Longer
    /// than the server's refresh tokens live unused is of no use, shorter costs logins.
    pub fn keep_for(self, kept: Duration) -> Self {
        Self { kept, ..self }
    }

    /// The certificate authorities that a server with `rediss://` is trusted by, as PEM, instead of the platform's. A file
    /// is read again for each connection.
    pub fn tls_ca(mut self, pem: impl Into<SecretSource>) -> Self {
        self.address.tls.ca = Some(pem.into());
        self
    }

    /// The certificate that is shown to a server with `rediss://`, with those in between, and its key, as PEM. Files are
    /// read again for each connection.
    pub fn tls_identity(
        mut self,
        certificate: impl Into<SecretSource>,
        key: impl Into<SecretSource>,
    ) -> Self {
        self.address.tls.identity = Some((certificate.into(), key.into()));
        self
    }

    /// The store. Nothing is connected yet.
    ///
    /// # Errors
    /// `config` when the URL or a key cannot be used.
    pub fn build(self) -> Result<RedisStore, Error> {
        let Self { address, prefix, seal_keys, kept } = self;
        let keys = SealKeys::new(&seal_keys)?;
        let link = Link::new(address)?;
        let (pace, returning) = (Pace::new(), watch::Sender::new(0));
        Ok(RedisStore(Arc::new(Inner { link, prefix, keys, kept, pace, returning })))
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.0.link.place();
        f.debug_struct("RedisStore")
            .field("place", &place)
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}

impl TokenStore for RedisStore {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        let names = self.names(key);
        let read = self.0.link.ask(redis::cmd("GET").arg(&names.tokens)).await;
        let value: Option<Vec<u8>> = read.map_err(|fault| names.failed(&self.0.link, fault))?;
        value.map(|value| self.decode(key, &names, &value)).transpose()
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        let names = self.names(key);
        // At random: no revision comes twice, whatever Redis forgets.
        let revision =
            getrandom::u64().map_err(|_| StoreError::new("this machine gives no random numbers"))?;
        let value = tokens.map(|tokens| self.encode(key, tokens, revision)).transpose()?.unwrap_or_default();
        let fence = tokens.and_then(TokenSet::fence).map(|fence| format!("{fence:016x}"));
        let lives = tokens.map_or(0, |tokens| milliseconds(self.time_to_live(tokens)).max(1));
        if expected.is_none() && tokens.is_some() {
            // Where nothing is there, one command does it; where something is, the script says whose.
            let mut command = redis::cmd("SET");
            command.arg(&names.tokens).arg(value.as_slice()).arg("NX").arg("PX").arg(lives);
            let set: Option<String> =
                self.0.link.ask(&command).await.map_err(|fault| names.failed(&self.0.link, fault))?;
            if set.is_some() {
                return Ok(Swap::Done(Revision(revision)));
            }
        }
        let mut command = redis::cmd("EVAL");
        command.arg(SWAP).arg(1).arg(&names.tokens);
        command.arg(expected.map(|Revision(revision)| format!("{revision:016x}")).unwrap_or_default());
        command.arg(value.as_slice());
        command.arg(lives);
        command.arg(fence.unwrap_or_default());
        let swapped: i64 =
            self.0.link.ask(&command).await.map_err(|fault| names.failed(&self.0.link, fault))?;
        match swapped {
            1 => Ok(Swap::Done(Revision(revision))),
            0 => Ok(Swap::Conflict),
            _ => Err(names.foreign(&self.0.link)),
        }
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let names = self.names(key);
        // One of ours that was dropped a moment ago is free.
        let mut returning = self.0.returning.subscribe();
        let _ = tokio::time::timeout(RESPONSE_TIMEOUT, returning.wait_for(|count| *count == 0)).await;
        match self.0.pace.next(&names.lease) {
            Question::Lease => {}
            Question::Nothing => return Ok(None),
            Question::IsFree => {
                let held: bool = self.0.link.ask(redis::cmd("EXISTS").arg(&names.lease)).await?;
                if held {
                    self.0.pace.refused(&names.lease);
                    return Ok(None);
                }
            }
        }
        match Held::take(&self.0.link, &names, longest, &self.0.returning).await? {
            Some(held) => {
                self.0.pace.granted(&names.lease);
                let fence = held.fence();
                Ok(Some(Lease::renewable(held).fenced(fence)))
            }
            None => {
                self.0.pace.refused(&names.lease);
                Ok(None)
            }
        }
    }
}

/// The keys of one entry.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) tokens: String,
    pub(crate) lease: String,
    pub(crate) fence: String,
}

impl Names {
    fn new(prefix: &str, key: &StoreKey) -> Self {
        let tag = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, key.as_str().as_bytes()));
        let name = |what| format!("{prefix}{{{tag}}}:{what}");
        Self { tokens: name("tokens"), lease: name("lease"), fence: name("fence") }
    }

    fn failed(&self, link: &Link, fault: Fault) -> StoreError {
        if fault.foreign { self.foreign(link) } else { fault.into() }
    }

    fn foreign(&self, link: &Link) -> StoreError {
        StoreError::permanent(format!(
            "the key {} of Redis at {} is not of this store, or damaged, and is left as it is; delete it, or give another prefix",
            self.tokens,
            link.place()
        ))
    }

    fn unopened(&self, link: &Link, why: Unopened) -> StoreError {
        match why {
            Unopened::Damaged => self.foreign(link),
            Unopened::UnknownKey => StoreError::permanent(format!(
                "the key {} of Redis at {} is sealed under a key that is not in seal_key, and is left as it is; add that \
                 key to the list, or delete the entry",
                self.tokens,
                link.place()
            )),
        }
    }
}
