//! The right to refresh an entry, with its fencing number.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oauth_client::store::{LeaseGuard, StoreError};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::link::{Fault, Link};
use crate::store::Names;

/// For how long the last fencing number is remembered. The next one after it starts from the server's clock, which has
/// gone on by then further than any count of leases.
const FENCE_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Takes the lease, and counts. A call whose response was lost, and that comes again, finds its own.
const TAKE: &str = "\
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
local n = redis.call('INCR', KEYS[2]) \
if n == 1 then \
local t = redis.call('TIME') \
n = t[1] * 1000 + math.floor(t[2] / 1000) \
redis.call('SET', KEYS[2], string.format('%.0f', n), 'PX', ARGV[3]) \
end \
return n";

/// Renews the lease: while it is ours, or when it has run out and no other holder has come since. That of another holder
/// stays as it is, which takes a command more than to renew whatever is there: its holder may have crashed.
const RENEW: &str = "\
local holder = redis.call('GET', KEYS[1]) \
if holder == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
if holder or redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end \
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
return 1";

/// Ends the lease where it could be renewed.
const END: &str = "\
local holder = redis.call('GET', KEYS[1]) \
if holder and holder ~= ARGV[1] or not holder and redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end \
redis.call('DEL', KEYS[1]) \
return 1";

/// Gives the lease back, and leaves that of another holder where it is.
const GIVE_BACK: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

pub(crate) struct Held {
    link: Link,
    names: Names,
    /// Distinguishes it from all other leases.
    id: String,
    fence: u64,
    /// Whether it was given back, or has passed to another holder.
    ended: AtomicBool,
    runtime: Option<Handle>,
    /// How many leases of this store are on their way back.
    returning: watch::Sender<usize>,
}

impl Held {
    /// Takes the lease if it is free.
    pub(crate) async fn take(
        link: &Link,
        names: &Names,
        longest: Duration,
        returning: &watch::Sender<usize>,
    ) -> Result<Option<Self>, Fault> {
        let id = new_id()?;
        let mut command = redis::cmd("EVAL");
        command.arg(TAKE).arg(2).arg(&names.lease).arg(&names.fence);
        command.arg(&id).arg(milliseconds(longest).max(1)).arg(milliseconds(FENCE_TTL));
        let fence: u64 = link.ask(&command).await?;
        if fence == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            link: link.clone(),
            names: names.clone(),
            id,
            fence,
            ended: AtomicBool::new(false),
            runtime: Handle::try_current().ok(),
            returning: returning.clone(),
        }))
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }
}

impl LeaseGuard for Held {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        if self.ended.load(Ordering::Acquire) {
            return Ok(false);
        }
        // However recently it was renewed by the clock of this machine: that may have stood still.
        let mut command = redis::cmd("EVAL");
        let script = if longest.is_zero() { END } else { RENEW };
        command.arg(script).arg(2).arg(&self.names.lease).arg(&self.names.fence);
        command.arg(&self.id).arg(milliseconds(longest).max(1)).arg(self.fence);
        let is_ours: bool = self.link.ask(&command).await?;
        if !is_ours {
            self.ended.store(true, Ordering::Release);
        }
        Ok(is_ours)
    }

    async fn give_back(&self) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            give_back(&self.link, &self.names.lease, &self.id).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Where no runtime is left, it ends by itself.
        let Some(runtime) = self.runtime.take().filter(|_| !*self.ended.get_mut()) else { return };
        let (link, lease, id) = (self.link.clone(), self.names.lease.clone(), self.id.clone());
        let returning = Returning::begin(&self.returning);
        runtime.spawn(async move {
            give_back(&link, &lease, &id).await;
            drop(returning);
        });
    }
}

/// One lease on its way back.
struct Returning(watch::Sender<usize>);

impl Returning {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// One that does not reach Redis ends by itself.
async fn give_back(link: &Link, lease: &str, id: &str) {
    let mut command = redis::cmd("EVAL");
    command.arg(GIVE_BACK).arg(1).arg(lease).arg(id);
    if let Err(fault) = link.ask::<u64>(&command).await {
        tracing::debug!(target: "oauth_client", %fault, "a lease was not given back; it ends by itself");
    }
}

fn new_id() -> Result<String, Fault> {
    let text = "this machine gives no random numbers; see the cause in the log of the system";
    let unable = |_| Fault { text: text.to_owned(), ..Fault::default() };
    Ok(format!("{:016x}{:016x}", getrandom::u64().map_err(unable)?, getrandom::u64().map_err(unable)?))
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    // No more than Redis takes.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 52)
}
