use std::process::ExitCode;

use super::Failure;

/// Attack an API that takes bearer tokens, and tell what it wrongly let in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args) -> Result<ExitCode, Failure> {
    Err(Failure::new("`attack` is not part of this build"))
}
