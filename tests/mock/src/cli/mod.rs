//! The command line.

mod attack;
mod attack_endpoints;
mod serve;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An OAuth 2.0 authorization server for tests, and an attacker of APIs that take its tokens.
#[derive(Debug, Parser)]
#[command(name = "oauth-mock", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Attack(Box<attack::Args>),
    AttackEndpoints(attack_endpoints::Args),
}

/// The exit code of a program that could not do what it was asked, as clap has it for bad arguments.
const COULD_NOT_RUN: u8 = 2;

pub(crate) async fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args).await,
        Command::Attack(args) => attack::run(&args).await,
        Command::AttackEndpoints(args) => attack_endpoints::run(&args).await,
    };
    result.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::from(COULD_NOT_RUN)
    })
}

/// What stopped the program, in words for the user who started it: what is wrong and the fix.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self(text)
    }
}
