//! Many writers at once.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Report, Violation, done, key, tokens, works};
use crate::store::{StoreKey, Swap, TokenStore};

/// How many handles write at once.
pub(super) const WRITERS: usize = 8;
/// How often each of them does.
const ROUNDS: usize = 4;

const ONE_WINS: &str = "of many writers at once one wins, and its entry is there";
const NONE_LOST: &str = "of many writers who try again after a conflict, none loses a write";

pub(super) async fn check<S: TokenStore>(many: Vec<S>, report: &mut Report) -> Result<(), Violation> {
    let many: Vec<_> = many.into_iter().map(Arc::new).collect();
    let Some(store) = many.first() else { return Ok(()) };
    let alice = key("alice");
    let mut writers = JoinSet::new();
    for (n, store) in many.iter().cloned().enumerate() {
        let alice = alice.clone();
        writers.spawn(async move {
            let tokens = tokens(&format!("writer {n}"));
            let swap = works(store.compare_and_swap(&alice, None, Some(&tokens))).await?;
            Ok((swap != Swap::Conflict).then_some(tokens))
        });
    }
    let winners: Vec<_> = all(writers).await?.into_iter().flatten().collect();
    report.keeps(ONE_WINS, winners.len() == 1, winners.len())?;
    let stored = works(store.load(&alice)).await?;
    let there = stored.as_ref().is_some_and(|stored| winners.contains(&stored.tokens));
    report.keeps(ONE_WINS, there, &stored)?;

    let count = key("count");
    let mut writers = JoinSet::new();
    for store in many.iter().cloned() {
        let count = count.clone();
        writers.spawn(async move {
            let mut written = Vec::new();
            for _ in 0..ROUNDS {
                written.push(add_one(&*store, &count).await?);
            }
            Ok(written)
        });
    }
    let mut numbers: Vec<_> = all(writers).await?.into_iter().flatten().collect();
    numbers.sort_unstable();
    let each_once = numbers.iter().copied().eq(1..=u64::try_from(WRITERS * ROUNDS).unwrap_or_default());
    report.keeps(NONE_LOST, each_once, &numbers)?;
    for key in [&alice, &count] {
        if let Some(stored) = works(store.load(key)).await? {
            done(works(store.compare_and_swap(key, Some(stored.revision), None)).await?)?;
        }
    }
    Ok(())
}

/// Reads a number, adds one and writes it, until there is no conflict; returns what it wrote.
async fn add_one<S: TokenStore>(store: &S, key: &StoreKey) -> Result<u64, Violation> {
    loop {
        let stored = works(store.load(key)).await?;
        let before = stored.as_ref().and_then(|stored| stored.tokens.lifetime_ms).unwrap_or_default();
        let mut next = tokens("the count");
        next.lifetime_ms = Some(before + 1);
        let revision = stored.map(|stored| stored.revision);
        if let Swap::Done(_) = works(store.compare_and_swap(key, revision, Some(&next))).await? {
            return Ok(before + 1);
        }
        tokio::task::yield_now().await;
    }
}

async fn all<T: 'static>(mut tasks: JoinSet<Result<T, Violation>>) -> Result<Vec<T>, Violation> {
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let panicked =
            |_| Violation { rule: "a store does not panic", found: "a panic; see its message".to_owned() };
        done.push(ended.map_err(panicked)??);
    }
    Ok(done)
}
