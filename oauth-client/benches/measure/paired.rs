//! Two things measured against each other on a machine that is never quite still.

use std::hint::black_box;
use std::time::Instant;

/// What two sides took, in nanoseconds per item.
pub(crate) struct Paired {
    /// The median of each side's rounds.
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    /// The median, over the rounds, of what ours took more.
    pub(crate) added: f64,
    /// The median, over the rounds, of ours divided by theirs.
    pub(crate) ratio: f64,
}

/// Measures both sides in turns, each of which tells the nanoseconds for one item. A round of each takes well under a time slice and follows on the heels of the
/// other's, so that most pairs are run under the same conditions, and the median forgets the rest.
pub(crate) fn paired(
    rounds: usize,
    mut ours: impl FnMut() -> f64,
    mut theirs: impl FnMut() -> f64,
) -> Paired {
    let mut pairs = Vec::with_capacity(rounds);
    // Caches and branch predictors warm up first.
    for round in 0..rounds + rounds / 10 + 1 {
        // Who goes first finds the caches cold; each does in turn.
        let pair = if round % 2 == 0 {
            let first = ours();
            (first, theirs())
        } else {
            let first = theirs();
            (ours(), first)
        };
        if round > rounds / 10 {
            pairs.push(pair);
        }
    }
    Paired {
        ours: median(pairs.iter().map(|pair| pair.0)),
        theirs: median(pairs.iter().map(|pair| pair.1)),
        added: median(pairs.iter().map(|pair| pair.0 - pair.1)),
        ratio: median(pairs.iter().map(|pair| pair.0 / pair.1)),
    }
}

/// How many requests are made beforehand for one measurement. Together they stay well below the 64 KiB of free memory in one
/// piece at which glibc's allocator tidies up with each `free`: with 32 and more, that took longer than what was measured.
pub(crate) const REQUESTS: usize = 16;

/// Runs each of the items, all of them made beforehand, and returns the nanoseconds for one.
pub(crate) fn each<I, O>(count: usize, make: impl FnMut() -> I, mut run: impl FnMut(I) -> O) -> f64 {
    let items: Vec<I> = std::iter::repeat_with(make).take(count).collect();
    let began = now();
    for item in items {
        black_box(run(black_box(item)));
    }
    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    let count = count as f64;
    began.elapsed().as_secs_f64() * 1e9 / count
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bench measures the machine's own time, not a program's idea of it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
