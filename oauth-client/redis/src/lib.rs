//! Tokens of `oauth_client` in Redis or Valkey, so that the processes of a fleet share one token and refresh it once per
//! expiry.
//!
//! ```no_run
//! use oauth_client::config::ClientConfig;
//!
//! # fn main() -> Result<(), oauth_client::Error> {
//! let config = ClientConfig::from_file("client.toml")?; // with [store] kind = "redis"
//! let source = oauth_client_redis::build(&config)?.build()?;
//! # let _ = source; Ok(()) }
//! ```
//!
//! or in code:
//!
//! ```no_run
//! use oauth_client::{Client, grant, secret};
//! use oauth_client_redis::RedisStore;
//!
//! # fn run(client: Client) -> Result<(), oauth_client::Error> {
//! let store = RedisStore::builder("rediss://tokens.example.com")
//!     .password(secret::from_file("/run/secrets/redis"))
//!     .seal_key(std::env::var("SEAL_KEY").unwrap_or_default()) // at least 32 bytes, in base64
//!     .prefix("orders:")
//!     .build()?;
//! let source = client.source(grant::client_credentials()).store(store).build()?;
//! # let _ = source; Ok(()) }
//! ```
//!
//! A URL with `rediss://` connects with TLS. `tls = { ca = "redis-ca.crt" }` in `[store]` trusts a private authority, and
//! `cert` and `key` beside it are this client's own certificate, where the server wants one. Files are read for each
//! connection, so they can be replaced.
//!
//! # What is in Redis
//! For each entry of the store three keys, which share a hash tag, so that a cluster keeps them together:
//!
//! | key | holds | ends |
//! |---|---|---|
//! | `{prefix}{…}:tokens` | a header (revision and fencing number) and the sealed token set | with a refresh token after 180 days without a refresh ([`keep_for`](RedisStoreBuilder::keep_for)), and so does a [log-out](oauth_client::store#log-outs); without one a day after its access token |
//! | `{prefix}{…}:lease` | which process is refreshing | after 15 seconds, unless it is renewed |
//! | `{prefix}{…}:fence` | the last fencing number | 30 days after it was made |
//!
//! The tag is a SHA-256 hash of the entry's identity, so that no user's name is readable; a party that can guess a name
//! can look for it. A value is sealed with AES-256-GCM under a key derived from the first `seal_key`. The key's id
//! stands in front of it, and it is bound to its entry. A value that was copied to another entry, a damaged one, and
//! one under a key that is not in the list are errors that name the key of Redis; such values are left as they are. To
//! replace a key, put the new one in front of the list, wait until all entries were refreshed (or expired), and take
//! the old one out.
//!
//! # A refresh
//! A refresh costs six commands: read, lease, read again, renew the lease, write, release the lease. With the commands
//! inside their scripts it is 14, and 11 where no person is needed, also for the first refresh. Making a fencing number that has expired takes two more. A
//! process that waits for another's lease sends at most 30 commands a second, however many sources wait. A token in hand
//! costs none.
//!
//! # Permissions
//! A user of its own needs these commands, also those that scripts call, and the keys with the prefix:
//!
//! ```text
//! ACL SETUSER orders on >password ~orders:* -@all +get +set +del +exists +getrange +incr +pexpire +time +eval
//! ```
//!
//! With the number of a database in the URL it needs `+select` as well. `+client|setinfo` lets `CLIENT LIST` show the
//! library's name; without it all works.
//!
//! # Bad days
//! All callers share one connection; it is opened when it is first needed, and again when it breaks. A call without a
//! response within 1.5 s ends the connection, so that no other call waits for a half-open one.
//!
//! | what happens | what callers see |
//! |---|---|
//! | Redis is away, slow or out of memory, or is a replica that takes no writes | tokens in hand stay in use; grants that need no person are asked for without the store; a person's grant is not refreshed until the lease is available |
//! | a refresh was made and its write fails | the token is released with a warning, the lease kept, and the write goes on in the background |
//! | the lease holder is killed | the others wait for its lease to end, at most 15 s |
//! | the lease holder is suspended beyond its lease | it sends nothing when it comes back, and what it writes loses by its fencing number |
//! | a user is logged out at one process | the others find that in the entry before their next refresh, and end the login, too; what a suspended holder writes late loses here as well |
//! | Redis comes back empty | tokens in memory stay in use, and are there again after the next refresh; log-outs are forgotten by all but the processes that have seen them |
//! | wrong password, foreign or damaged value, unknown seal key | reported once and not waited for; a person's grant fails at once |
//!
//! In three cases no client can save a login. A holder that is killed, or suspended beyond its lease, between the
//! server's response and the write takes a rotated refresh token with it. A write that Redis confirmed and then lost,
//! in a failover to a replica that did not have it yet, is lost until the process that made it refreshes again, which
//! writes what it has in memory; a process that is started in between finds the spent refresh token. And a Redis that
//! is restored from a backup holds spent refresh tokens for every process that has no newer one in memory. If the
//! server treats reuse as theft, the person has to log in once more in each case; grants that need no person are only
//! requested again. `appendfsync always` and `min-replicas-to-write 1` make the second case less likely.

mod lease;
#[doc(hidden)]
pub mod link;
mod pace;
mod seal;
mod store;
mod tls;

use oauth_client::Error;
use oauth_client::Problem;
use oauth_client::config::ClientConfig;
use oauth_client::source::SourceBuilder;

pub use self::store::{RedisStore, RedisStoreBuilder};

/// The source that a configuration describes, over the store that it names: with `kind = "redis"` that in Redis, else as
/// [`ClientConfig::into_builder`]. Redis need not be there yet.
///
/// # Errors
/// `config` when the seal keys are none, or this machine cannot do what the configuration says.
pub fn build(config: &ClientConfig) -> Result<SourceBuilder, Error> {
    match config.redis() {
        Some(redis) => config.clone().into_builder_with(RedisStore::from_config(redis)?),
        None => config.clone().into_builder(),
    }
}

fn problem(field: &str, message: impl Into<String>) -> Error {
    Problem { field: field.to_owned(), message: message.into() }.into()
}
