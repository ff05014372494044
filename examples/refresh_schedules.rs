//! Run it: `cargo run --example refresh_schedules -- --minutes 5`. Random schedules of several processes that share a
//! person's refresh token, derive tokens with it, log in and log out, over a store and a server in trouble, on a clock that
//! costs no time. Each schedule follows from its seed. The first one that sends a refresh token twice, loses a login, or
//! brings one back after its log-out, ends the run and prints its seed: `-- --seed 4711` runs that one again.

#[expect(clippy::unwrap_used, reason = "a simulation that cannot go on must fail")]
#[path = "../oauth-client/tests/engine/schedule/simulation/mod.rs"]
mod simulation;

use std::error::Error;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use oauth_client::clock::{Clock, SystemClock};

use self::simulation::{Counts, one_schedule};

/// Runs random schedules of the refresh engine.
#[derive(Parser)]
struct Options {
    /// The first seed; each schedule takes the next one.
    #[arg(long)]
    seed: Option<u64>,
    /// For how long schedules are started. Without it, one runs.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many run at a time.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let first = match options.seed {
        Some(seed) => seed,
        None => getrandom::u64()? >> 16,
    };
    let run = Run {
        next: AtomicU64::new(first),
        failed: AtomicBool::new(false),
        began: SystemClock.now().monotonic,
        length: Duration::from_secs(60 * options.minutes.unwrap_or_default()),
    };
    println!("schedules from seed {first}");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(|| run.go_on())).collect();
        running.into_iter().map(|one| one.join().unwrap_or(Err("a thread ended".to_owned()))).collect()
    });
    let mut total = Counts::default();
    for outcome in outcomes {
        total = total.plus(outcome?);
    }
    let count = run.next.load(Ordering::Relaxed) - first;
    println!("{count} schedules in {:?}, none failed: {total:?}", run.elapsed());
    Ok(())
}

/// What the threads share.
struct Run {
    next: AtomicU64,
    failed: AtomicBool,
    began: Duration,
    length: Duration,
}

impl Run {
    fn elapsed(&self) -> Duration {
        SystemClock.now().monotonic.saturating_sub(self.began)
    }

    /// Runs schedules until the time is over; the one that goes on then ends first.
    fn go_on(&self) -> Result<Counts, String> {
        let mut total = Counts::default();
        let mut reported = self.elapsed();
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            let outcome = catch_unwind(|| one_schedule(seed)).unwrap_or(Err("it panicked".to_owned()));
            total = total.plus(outcome.map_err(|fault| {
                self.failed.store(true, Ordering::Relaxed);
                format!("seed {seed}: {fault}\nagain: cargo run --example refresh_schedules -- --seed {seed}")
            })?);
            if self.elapsed() >= self.length || self.failed.load(Ordering::Relaxed) {
                return Ok(total);
            }
            if self.elapsed() - reported >= Duration::from_secs(60) {
                reported = self.elapsed();
                println!("{} min, seed {seed}: {total:?}", reported.as_secs() / 60);
            }
        }
    }
}
