//! The cache library by itself, and another one beside it: what the choice of moka costs.

use std::hint::black_box;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::paired::{each, median};

/// What stands for a token's digest.
pub(crate) type Digest = [u64; 4];

pub(crate) fn digest(number: usize) -> Digest {
    let word = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [word, word.rotate_left(21), word.rotate_left(42), !word]
}

/// What lies behind it, in bytes that a look-up touches one of.
type Value = Arc<[usize; 80]>;

/// The floor under a known token among so many: a look-up in moka by a digest that is ready made, and the first touch of
/// what is found.
pub(crate) fn moka(count: usize, rounds: usize) -> f64 {
    let cache = Cache::builder().max_capacity(count as u64).eviction_policy(EvictionPolicy::lru()).build();
    for number in 0..count {
        cache.insert(digest(number), Arc::new([number; 80]));
    }
    look_up(count, rounds, |digest| cache.get(digest))
}

/// The same in `quick_cache`, which is as well kept.
pub(crate) fn quick_cache(count: usize, rounds: usize) -> f64 {
    let cache = quick_cache::sync::Cache::new(count);
    for number in 0..count {
        cache.insert(digest(number), Arc::new([number; 80]));
    }
    look_up(count, rounds, |digest| cache.get(digest))
}

fn look_up(count: usize, rounds: usize, get: impl Fn(&Digest) -> Option<Value>) -> f64 {
    let mut shares = Shares::new();
    let times = (0..rounds).map(|_| {
        let next = || digest(shares.rank(count));
        each(64, next, |digest| get(&digest).map(|found| black_box(found[0])))
    });
    median(times.collect::<Vec<_>>().into_iter())
}

/// Numbers below `count`, drawn as web traffic goes: a few all the time, most hardly ever (zipf 1.0).
pub(crate) struct Shares(u64);

impl Shares {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn rank(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The rank below which that share of all requests falls, spread over the numbers.
        let share = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = ((count as f64 + 1.0).ln() * share).exp() as usize - 1;
        rank.wrapping_mul(7_919) % count
    }
}
