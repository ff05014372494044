//! Leases, their end, and their numbers.

use std::time::Duration;

use super::{Report, Violation, done, fenced, key, works};
use crate::store::{Lease, StoreKey, Swap, TokenStore};

const ONE: &str = "a lease is lent to one holder at a time";
const APART: &str = "leases of different keys are apart";
const RENEWED: &str = "a lease lasts as long as it is renewed";
const ENDS: &str = "a lease that is not renewed ends by itself, and not before its time";
const PASSED: &str = "a lease that has passed to another holder cannot be renewed";
const PASSED_AND_BACK: &str =
    "a lease that another holder has had and given back meanwhile cannot be renewed by the earlier one";
const LATE_DROP: &str = "a holder that drops a lease which has passed on takes nothing from its successor";
const BACK: &str = "a lease that is dropped is free within a second";
const GIVEN_BACK: &str = "a lease that is given back is free at once";
const GROWS: &str = "each lease has a greater number than all before it";
const FENCED: &str = "a set of an earlier lease never takes the place of one of a later lease";

/// Long enough that nothing in the suite outlasts it.
const LONG: Duration = Duration::from_secs(3600);
/// One that runs out while the suite looks on.
const SHORT: Duration = Duration::from_millis(400);

pub(super) async fn check<S: TokenStore>(here: &S, there: &S, report: &mut Report) -> Result<(), Violation> {
    let [alice, bob] = ["alice", "bob"].map(key);
    let first = taken(here, &alice).await?;
    let second = works(there.lease(&alice, LONG)).await?;
    if second.is_some() {
        // The default of the trait: right for a store that a single source uses.
        report.skips(ONE);
        report.skips(GROWS);
        return Ok(());
    }
    report.keeps(ONE, works(here.lease(&alice, LONG)).await?.is_none(), "the same handle got it again")?;
    let neighbour = works(there.lease(&bob, LONG)).await?;
    report.keeps(APART, neighbour.is_some(), &neighbour)?;
    give_back(neighbour).await;
    report.keeps(RENEWED, works(first.renew(LONG)).await?, "renewing it failed")?;
    report.keeps(ONE, works(there.lease(&alice, LONG)).await?.is_none(), "a second holder")?;

    // Renewed to end at once, it goes to the next holder, and stays there.
    report.keeps(RENEWED, works(first.renew(Duration::ZERO)).await?, "renewing it to end failed")?;
    let next = taken(there, &alice).await?;
    report.keeps(PASSED, !works(first.renew(LONG)).await?, "it could be renewed")?;
    let (earlier, later) = (first.fence(), next.fence());
    drop(first);
    settle().await;
    report.keeps(LATE_DROP, works(here.lease(&alice, LONG)).await?.is_none(), "it is free")?;
    report.keeps(LATE_DROP, works(next.renew(LONG)).await?, "it cannot be renewed any more")?;
    drop(next);
    let free = freed(here, &alice).await?;
    report.keeps(BACK, free.is_some(), &free)?;
    give_back(free).await;
    let free = works(there.lease(&alice, LONG)).await?;
    report.keeps(GIVEN_BACK, free.is_some(), &free)?;
    give_back(free).await;

    let slept = works(here.lease(&bob, LONG)).await?;
    report.keeps(ONE, slept.is_some(), &slept)?;
    if let Some(slept) = slept {
        works(slept.renew(Duration::ZERO)).await?;
        give_back(works(there.lease(&bob, LONG)).await?).await;
        report.keeps(PASSED_AND_BACK, !works(slept.renew(LONG)).await?, "it could be renewed")?;
    }
    runs_out(here, there, report).await?;
    match earlier.zip(later) {
        None => report.skips(GROWS),
        Some(_) => fences(here, there, report).await?,
    }
    Ok(())
}

async fn runs_out<S: TokenStore>(here: &S, there: &S, report: &mut Report) -> Result<(), Violation> {
    let carol = key("carol");
    let began = tokio::time::Instant::now();
    let lease = works(here.lease(&carol, SHORT)).await?;
    report.keeps(ENDS, lease.is_some(), &lease)?;
    let mut passed = None;
    while passed.is_none() && began.elapsed() < SHORT * 5 {
        tokio::time::sleep(SHORT / 20).await;
        passed = works(there.lease(&carol, LONG)).await?;
    }
    // Clocks of a store may be coarse, and its end counts from when it took the call.
    let waited = began.elapsed();
    report.keeps(ENDS, passed.is_some() && waited >= SHORT - SHORT / 20, waited)?;
    if let Some(lease) = lease {
        report.keeps(PASSED, !works(lease.renew(LONG)).await?, "it could be renewed after its time")?;
    }
    give_back(passed).await;
    Ok(())
}

/// A holder that was paused beyond its lease comes back and writes.
async fn fences<S: TokenStore>(here: &S, there: &S, report: &mut Report) -> Result<(), Violation> {
    let dave = key("dave");
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let lease = taken(here, &dave).await?;
        numbers.push(lease.fence());
        lease.give_back().await;
    }
    let grows = numbers.windows(2).all(|pair| pair[0].is_some() && pair[0] < pair[1]);
    report.keeps(GROWS, grows, &numbers)?;

    let paused = taken(here, &dave).await?;
    works(paused.renew(Duration::ZERO)).await?;
    let successor = taken(there, &dave).await?;
    report.keeps(GROWS, paused.fence() < successor.fence(), (paused.fence(), successor.fence()))?;
    let new = fenced("of the successor", successor.fence());
    let revision = done(works(there.compare_and_swap(&dave, None, Some(&new))).await?)?;
    let late = fenced("of the paused holder", paused.fence());
    for expected in [None, Some(revision)] {
        let swap = works(here.compare_and_swap(&dave, expected, Some(&late))).await?;
        report.keeps(FENCED, swap == Swap::Conflict, swap)?;
    }
    let stored = works(here.load(&dave)).await?;
    report.keeps(FENCED, stored.as_ref().is_some_and(|stored| stored.tokens == new), &stored)?;
    // A set without a number is a login that could not have the lease: its revision counts.
    let login = fenced("of a login", None);
    let revision = done(works(here.compare_and_swap(&dave, Some(revision), Some(&login))).await?)?;
    done(works(here.compare_and_swap(&dave, Some(revision), None)).await?)?;
    give_back(Some(successor)).await;
    Ok(())
}

async fn taken<S: TokenStore>(store: &S, key: &StoreKey) -> Result<Lease, Violation> {
    works(store.lease(key, LONG))
        .await?
        .ok_or(Violation { rule: "a lease that no holder has is granted", found: "none".to_owned() })
}

/// The lease, as soon as it is free, for a second.
async fn freed<S: TokenStore>(store: &S, key: &StoreKey) -> Result<Option<Lease>, Violation> {
    for _ in 0..50 {
        let lease = works(store.lease(key, LONG)).await?;
        if lease.is_some() {
            return Ok(lease);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

async fn give_back(lease: Option<Lease>) {
    if let Some(lease) = lease {
        lease.give_back().await;
    }
}

/// Lets the giving back of a dropped lease reach its store.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
