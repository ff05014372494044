//! The example programs, as a test starts them.

use std::process::Stdio;

use tokio::process::Command;

/// An example beside this test; it ends with what is started. `cargo test` builds the examples first; with
/// `--test NAME` alone, build them with `cargo build --examples`.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let mut command = Command::new(program.with_extension(std::env::consts::EXE_EXTENSION));
    command.kill_on_drop(true).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}
