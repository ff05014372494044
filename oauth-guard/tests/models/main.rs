//! Parts of the guard under loom: the files that ship, with loom's types in the place of std's. Every order of steps is
//! tried, and every value that the memory model lets a read return.
//!
//! Each model says which protection was taken out to see it fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod first_level;
mod revocation;
mod spreading;
mod sync;

#[path = "../../src/cache/near.rs"]
#[expect(dead_code, reason = "models use a part of the file")]
mod near;
#[path = "../../src/sync/spread.rs"]
#[expect(dead_code, reason = "models use a part of the file")]
mod spread;
#[path = "../../src/revocation/table.rs"]
#[expect(dead_code, reason = "models use a part of the file")]
mod table;

mod defaults {
    pub(crate) const REVOCATION_SHARDS: usize = 2;
    pub(crate) const REVOCATION_FILTER_WORDS: usize = 1;
}

mod marks {
    pub(crate) type Mark = [u64; 2];
    pub(crate) struct Marks(pub(crate) [Mark; 5]);
    pub(crate) const NONE: Mark = [0; 2];
}

/// A token's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u64; 4]);
