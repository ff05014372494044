//! What the pages of five providers document works with `oauth-client`, and with `oauth-guard` where tokens are
//! checked: one row for each request, response and error, one test for each row.
//!
//! `cargo test --test providers -- --nocapture the_table` prints the rows.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod comm100;
mod custom;
mod ils;
mod infolink;
mod runs;
mod sailpoint;
mod support;
mod teen_quotes;

use std::collections::HashSet;

/// One documented behaviour, and the test that shows it.
pub(crate) struct Row {
    provider: &'static str,
    kind: &'static str,
    documented: &'static str,
    test: &'static str,
}

/// Lists a provider's rows, and makes a test of each. Nothing here has a socket, so time is tokio's, and paused.
macro_rules! rows {
    ($provider:literal: $($kind:ident $documented:literal => $test:ident,)*) => {
        pub(crate) const ROWS: &[crate::Row] = &[$(crate::Row {
            provider: $provider,
            kind: stringify!($kind),
            documented: $documented,
            test: stringify!($test),
        },)*];

        mod row {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                super::$test().await;
            })*
        }
    };
}
pub(crate) use rows;

#[test]
fn the_table() {
    let all = [
        ils::ROWS,
        infolink::ROWS,
        sailpoint::ROWS,
        comm100::ROWS,
        teen_quotes::ROWS,
        custom::ROWS,
        runs::ROWS,
    ];
    println!("| provider | kind | documented | test |\n|---|---|---|---|");
    let mut tests = HashSet::new();
    for Row { provider, kind, documented, test } in all.into_iter().flatten() {
        println!("| {provider} | {kind} | {documented} | `{test}` |");
        assert!(tests.insert((provider, test)), "{provider}: {test} stands twice");
    }
    println!("\n{} rows, each a test of this name that has to pass.", tests.len());
}
