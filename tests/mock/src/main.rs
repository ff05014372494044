//! `oauth-mock`: the server of this crate as a program, for tests in any language, and the attacks on a guarded API.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run().await
}
