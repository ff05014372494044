//! Run it: `cargo run --release --example soak -- --minutes 20`. A guarded API and its clients in this process, under load,
//! while an authorization server in another process rotates keys, goes away and comes back, users log out, tenants come and
//! go, tokens are made and revoked, and the API reloads its configuration. Each minute it prints what happened and what the
//! process holds. It ends with an error after a response that nothing explains, when memory grows, or when a task, a
//! connection or an unsettled source is left over.

mod actors;
mod api;
mod authority;
mod counts;
mod process;
mod storm;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::sync::watch;

use self::actors::World;
use self::authority::Authority;
use self::counts::Counts;
use self::process::Sample;

type Failure = Box<dyn Error + Send + Sync>;

/// Without these a run says nothing.
const EVENTS: [&str; 6] =
    ["key rotations", "outages", "reloads", "logouts", "tenants forgotten", "tokens revoked"];
/// How often memory is looked at.
const TICK: Duration = Duration::from_secs(5);
/// Samples in a line of the table.
const TICKS_IN_A_LINE: u32 = 12;

/// Keeps a guarded API and its clients busy, and watches what they hold.
#[derive(Parser)]
struct Options {
    /// How long the load lasts, in seconds.
    #[arg(long, default_value_t = 60, conflicts_with = "minutes")]
    seconds: u64,
    /// How long the load lasts, in minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// About how many requests are sent in a second.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Bursts of load by wrk as well, as fast as it goes.
    #[arg(long)]
    wrk: bool,
    /// Plays the authorization server; the program starts itself so.
    #[arg(long, hide = true)]
    authorization_server: bool,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match options.authorization_server {
        true => runtime.block_on(authority::play()),
        false => runtime.block_on(soak(&options)),
    }
}

async fn soak(options: &Options) -> Result<(), Failure> {
    let length = Duration::from_secs(options.minutes.map_or(options.seconds, |minutes| minutes * 60));
    if options.wrk {
        storm::check().await?;
    }
    let authority = Arc::new(Authority::start().await?);
    let counts = Arc::<Counts>::default();
    let before = Sample::take();
    let (end, ended) = watch::channel(false);
    let world = World::start(&authority, &counts, options.rate, options.wrk, ended).await?;
    let storm = if options.wrk { ", and wrk" } else { "" };
    println!("{length:?} of about {} requests a second{storm}; {}", options.rate, process::machine());
    println!("{}", process::heading());
    let samples = watched(length, &counts).await;
    end.send_replace(true);
    world.end().await?;
    drop(authority);
    let mut faults = counts.faults(&EVENTS);
    faults.extend(process::growth(&samples));
    faults.extend(process::left_over(before).await);
    println!("\n{}", counts.report());
    if faults.is_empty() {
        println!("every response is explained, and nothing is left over");
        return Ok(());
    }
    Err(faults.join("\n").into())
}

/// Prints a line each minute, and returns what the process held over time.
async fn watched(length: Duration, counts: &Counts) -> Vec<Sample> {
    let began = tokio::time::Instant::now();
    let (mut samples, mut printed) = (Vec::new(), counts.totals());
    for tick in 1.. {
        tokio::time::sleep_until(began + TICK * tick).await;
        samples.push(Sample::take());
        let is_over = TICK * tick >= length;
        if tick % TICKS_IN_A_LINE == 0 || is_over {
            let now = counts.totals();
            println!("{}", process::line(began.elapsed(), &samples, &now.since(&printed)));
            printed = now;
        }
        if is_over {
            break;
        }
    }
    samples
}
