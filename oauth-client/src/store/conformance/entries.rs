//! Entries and their revisions.

use super::{Report, Violation, done, key, tokens, works};
use crate::store::{Revision, Swap, TokenStore};
use crate::token::TokenSet;

const NOTHING: &str = "an entry that is not there is no error";
const WHOLE: &str = "an entry comes back as it was written, through every handle";
const KNOWN: &str = "an entry is replaced only by who knows its revision";
const APART: &str = "entries of different keys are apart";
const GONE: &str = "a removed entry is gone";
const ENDED: &str = "a log-out is kept, and comes back as it was written";
const ANEW: &str = "an entry that was made anew has a revision that never was before";

pub(super) async fn check<S: TokenStore>(here: &S, there: &S, report: &mut Report) -> Result<(), Violation> {
    let [alice, bob] = ["alice", "bob"].map(key);
    let missing = works(here.load(&alice)).await?;
    report.keeps(NOTHING, missing.is_none(), &missing)?;

    let first = tokens("one");
    let one = done(works(here.compare_and_swap(&alice, None, Some(&first))).await?)?;
    for handle in [here, there] {
        let stored = works(handle.load(&alice)).await?;
        let same = stored.as_ref().is_some_and(|stored| stored.tokens == first && stored.revision == one);
        report.keeps(WHOLE, same, &stored)?;
    }
    let neighbour = works(there.load(&bob)).await?;
    report.keeps(APART, neighbour.is_none(), &neighbour)?;

    for stale in [None, Some(Revision(one.0.wrapping_add(1000)))] {
        for new in [Some(&tokens("lost")), None] {
            let swap = works(there.compare_and_swap(&alice, stale, new)).await?;
            report.keeps(KNOWN, swap == Swap::Conflict, swap)?;
        }
    }
    let swap = works(here.compare_and_swap(&bob, Some(one), Some(&tokens("lost")))).await?;
    report.keeps(KNOWN, swap == Swap::Conflict, swap)?;
    let stored = works(here.load(&alice)).await?;
    report.keeps(
        "a conflict changes nothing",
        stored.as_ref().is_some_and(|stored| stored.tokens == first),
        &stored,
    )?;

    let two = done(works(there.compare_and_swap(&alice, Some(one), Some(&tokens("two")))).await?)?;
    report.keeps("every write has another revision", one != two, (one, two))?;
    let bobs = done(works(here.compare_and_swap(&bob, None, Some(&tokens("bob's")))).await?)?;
    done(works(here.compare_and_swap(&alice, Some(two), None)).await?)?;
    let stored = works(there.load(&alice)).await?;
    report.keeps(GONE, stored.is_none(), &stored)?;
    let stored = works(there.load(&bob)).await?;
    report.keeps(
        APART,
        stored.as_ref().is_some_and(|stored| stored.tokens == tokens("bob's") && stored.revision == bobs),
        &stored,
    )?;

    let three = done(works(here.compare_and_swap(&alice, None, Some(&tokens("three")))).await?)?;
    for stale in [one, two] {
        report.keeps(ANEW, three != stale, (three, stale))?;
        for new in [Some(&tokens("lost")), None] {
            let swap = works(there.compare_and_swap(&alice, Some(stale), new)).await?;
            report.keeps(ANEW, swap == Swap::Conflict, swap)?;
        }
    }
    let ended = TokenSet::end_of(tokens("three").family(), tokens("three").issued_at(), None);
    let four = done(works(there.compare_and_swap(&alice, Some(three), Some(&ended))).await?)?;
    let stored = works(here.load(&alice)).await?;
    report.keeps(ENDED, stored.as_ref().is_some_and(|stored| stored.tokens == ended), &stored)?;
    for (key, revision) in [(&alice, four), (&bob, bobs)] {
        done(works(here.compare_and_swap(key, Some(revision), None)).await?)?;
    }
    Ok(())
}
