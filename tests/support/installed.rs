//! What of the programs of others a machine has.

use std::io::Write as _;

/// Whether the program is there; its absence is an error in CI.
pub(crate) fn is_there(found: bool, name: &str, how: &str) -> bool {
    assert!(found || std::env::var_os("CI").is_none(), "{name} is missing: {how}");
    if !found {
        // Straight to the terminal: the harness keeps what a test prints that succeeds.
        let _ = writeln!(std::io::stderr(), "skipped: {name} is missing: {how}");
    }
    found
}
