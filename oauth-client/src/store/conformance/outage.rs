//! A store that is away for a while.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{LONGEST_CALL, Report, Violation, done, key, tokens, works};
use crate::store::{Swap, TokenStore};

const IN_TIME: &str = "while the store is away, each call ends with an error within three seconds";
const PASSING: &str = "an outage is a passing failure, not a permanent one";
const NO_LEASE: &str = "while the store is away, it lends nothing";
const AGAIN: &str = "once the store is back, calls work within three seconds";
const KEPT: &str = "what was written before an outage is there after it";
const WHOLE: &str = "a write that failed has happened as a whole, or not at all";
const STILL_OURS: &str = "a lease outlives an outage that is shorter than its time";

/// Checks how a store meets an outage: `begin` takes it away, by whatever means, and `end` brings it back with its data.
/// `open` opens it once more.
///
/// # Errors
/// The first rule that is broken.
pub async fn check_outage<S: TokenStore>(
    open: impl AsyncFn() -> S,
    begin: impl AsyncFn(),
    end: impl AsyncFn(),
) -> Result<Report, Violation> {
    let mut report = Report::default();
    let (here, alice) = (open().await, key("alice"));
    let (old, new) = (tokens("before"), tokens("during"));
    let revision = done(works(here.compare_and_swap(&alice, None, Some(&old))).await?)?;
    let long = Duration::from_secs(3600);
    let lease = works(here.lease(&alice, long)).await?;

    begin().await;
    let late = open().await;
    for store in [&here, &late] {
        let began = Instant::now();
        let read = timeout(LONGEST_CALL, store.load(&alice)).await;
        report.keeps(IN_TIME, matches!(read, Ok(Err(_))), (began.elapsed(), &read))?;
        report.keeps(PASSING, matches!(&read, Ok(Err(error)) if !error.is_permanent()), &read)?;
        let lent = timeout(LONGEST_CALL, store.lease(&key("bob"), long)).await;
        report.keeps(NO_LEASE, !matches!(lent, Ok(Ok(Some(_)))), &lent)?;
    }
    let write = timeout(LONGEST_CALL, here.compare_and_swap(&alice, Some(revision), Some(&new))).await;
    report.keeps(IN_TIME, matches!(write, Ok(Err(_))), &write)?;

    end().await;
    let back = Instant::now();
    let stored = loop {
        match timeout(LONGEST_CALL, here.load(&alice)).await {
            Ok(Ok(stored)) => break stored,
            other if back.elapsed() >= LONGEST_CALL => {
                report.keeps(AGAIN, false, (back.elapsed(), &other))?;
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    report.keeps(AGAIN, true, ())?;
    report.keeps(KEPT, stored.is_some(), &stored)?;
    if let Some(stored) = stored {
        let unchanged = stored.tokens == old && stored.revision == revision;
        report.keeps(WHOLE, unchanged || stored.tokens == new, &stored)?;
        let swap =
            works(late.compare_and_swap(&alice, Some(stored.revision), Some(&tokens("after")))).await?;
        report.keeps(AGAIN, swap != Swap::Conflict, swap)?;
    }
    if let Some(lease) = lease {
        report.keeps(STILL_OURS, works(lease.renew(long)).await?, "it cannot be renewed")?;
        lease.give_back().await;
    }
    if let Some(stored) = works(late.load(&alice)).await? {
        done(works(late.compare_and_swap(&alice, Some(stored.revision), None)).await?)?;
    }
    Ok(report)
}
