//! What each standard asks of a client, and a check that runs and shows it.
//!
//! `cargo test -p tower-oauth-client --all-features --test standards the_table -- --nocapture` prints the table.

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

mod authenticate;
#[cfg(feature = "reqwest")]
mod certificates;
mod device;
mod discovery;
mod dpop;
mod exchange;
#[cfg(feature = "loopback")]
mod login;
mod manage;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

/// All rows: one file for each part of the client.
const ALL: &[&[Row]] = &[
    discovery::ROWS,
    authenticate::ROWS,
    exchange::ROWS,
    manage::ROWS,
    #[cfg(feature = "reqwest")]
    certificates::ROWS,
    dpop::ROWS,
    #[cfg(feature = "loopback")]
    login::ROWS,
    device::ROWS,
];

/// One requirement, and the check that shows that it is met.
pub(crate) struct Row {
    pub(crate) standard: &'static str,
    pub(crate) section: &'static str,
    pub(crate) shows: &'static str,
    pub(crate) name: &'static str,
    pub(crate) check: fn() -> Pin<Box<dyn Future<Output = ()>>>,
}

/// Lists rows: standard, section, what is shown, and the async function that shows it. Each runs in a runtime of its
/// own, of one thread; one that waits without a socket begins with `tokio::time::pause()`.
macro_rules! rows {
    ($($standard:literal $section:literal $shows:literal => $check:ident,)*) => {
        pub(crate) const ROWS: &[crate::Row] = &[$(crate::Row {
            standard: $standard,
            section: $section,
            shows: $shows,
            name: stringify!($check),
            check: || Box::pin($check()),
        },)*];
    };
}
pub(crate) use rows;

#[test]
fn the_table() {
    println!("| standard | section | what is shown | by | |\n|---|---|---|---|---|");
    let (mut names, mut failed) = (HashSet::new(), Vec::new());
    for row in ALL.iter().copied().flatten() {
        assert!(names.insert(row.name), "{} stands twice", row.name);
        let passed = runs(row.check);
        let end = if passed { "ok" } else { "FAILED" };
        println!("| {} | {} | {} | `{}` | {end} |", row.standard, row.section, row.shows, row.name);
        failed.extend((!passed).then_some(row.name));
    }
    println!("\n{} of {} rows hold.", names.len() - failed.len(), names.len());
    assert!(failed.is_empty(), "these do not hold: {failed:?}");
}

/// Whether a check ends without a panic. It has a thread of its own, so that one that fails stops no other.
fn runs(check: fn() -> Pin<Box<dyn Future<Output = ()>>>) -> bool {
    let run = move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(check());
    };
    std::thread::spawn(run).join().is_ok()
}
