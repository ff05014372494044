//! Run it: `cargo run --example fleet_simulation`. A day of 1,000 replicas that share one token over a store with latency,
//! loss and outages, with deploys, kills and an outage of the authorization server: simulated on a clock that costs no
//! time, the same every time. It prints what the authorization server and the callers saw. `SCALING.md` has the model.
//!
//! `-- --replicas 100 --hours 6 --seed 7` simulates another fleet; `--minutes 60` goes on with the next seeds for so long. A
//! run that loses a token ends, and prints its seed.

mod server;
mod store;
mod world;

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use oauth_client::clock::{Clock, SystemClock};
use oauth_client::store::StoreKey;
use oauth_client::{Client, ClientAuth, TokenSource, grant, seed_jitter};
use tokio::task::{AbortHandle, LocalSet};

use self::server::Server;
use self::store::Store;
use self::world::{Calls, Random, Schedule};

/// How often each replica needs a token.
const PACE: Duration = Duration::from_secs(60);

/// Simulates a day of a fleet.
#[derive(Parser)]
struct Options {
    /// How many replicas there are.
    #[arg(long, default_value_t = 1000)]
    replicas: usize,
    /// How long the day is.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// What all chance follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how long further seeds are started. Without it, one runs.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::parse();
    let began = SystemClock.now().monotonic;
    let elapsed = || SystemClock.now().monotonic.saturating_sub(began);
    let first = options.seed;
    loop {
        simulate(&options)?;
        if elapsed() >= Duration::from_secs(60 * options.minutes) {
            break;
        }
        options.seed += 1;
    }
    if options.minutes > 0 {
        println!("\nseeds {first} to {}, none lost a token, in {:?}", options.seed, elapsed());
    }
    Ok(())
}

/// A day of both fleets.
fn simulate(options: &Options) -> Result<(), Box<dyn Error>> {
    println!(
        "{} replicas, {} h, tokens of {:?}, each replica needs one every {PACE:?}, seed {}",
        options.replicas,
        options.hours,
        server::LIFETIME,
        options.seed
    );
    let mut lost = 0;
    for person in [true, false] {
        // A clock of its own for each fleet.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        lost += LocalSet::new().block_on(&runtime, day(options, person))?;
    }
    if lost > 0 {
        let Options { replicas, hours, seed, .. } = options;
        let again = format!("--replicas {replicas} --hours {hours} --seed {seed}");
        return Err(format!(
            "{lost} tokens were lost; again: cargo run --example fleet_simulation -- {again}"
        )
        .into());
    }
    Ok(())
}

/// One day of one fleet; returns how many tokens were lost.
async fn day(options: &Options, person: bool) -> Result<u64, Box<dyn Error>> {
    seed_jitter(options.seed);
    let schedule = Schedule::new(options.hours);
    let server = Server::new(schedule.clone(), Random::new(options.seed ^ 1));
    let store = Store::new(schedule.clone(), Random::new(options.seed ^ 2));
    let client = Client::builder()
        .token_endpoint("https://auth.example.com/token")
        .auth(ClientAuth::basic("fleet", "s3cr3t"))
        .http(server.transport())
        .clock(oauth_client::clock::TestClock::new())
        .build()?;
    let start = || -> Result<(TokenSource, StoreKey), oauth_client::Error> {
        let request = match person {
            true => grant::refresh_token(server::FIRST).subject("alice"),
            false => grant::client_credentials(),
        };
        let builder = client.source(request).store(store.clone());
        let key = builder.store_key();
        Ok((builder.build()?, key))
    };
    let calls = Rc::new(Calls::default());
    let mut random = Random::new(options.seed ^ 3);
    let mut replicas = Vec::new();
    for _ in 0..options.replicas {
        replicas.push(Replica::start(start()?, &calls, &mut random));
    }
    let mut events = schedule.events(options.replicas, &mut random);
    events.sort_by_key(|event| event.at);
    for event in events {
        tokio::time::sleep_until(schedule.instant(event.at)).await;
        let new = Replica::start(start()?, &calls, &mut random);
        let old = std::mem::replace(&mut replicas[event.replica], new);
        old.end(event.killed);
    }
    tokio::time::sleep_until(schedule.instant(schedule.length())).await;
    let name = if person { "a person's grant" } else { "a grant that needs no person" };
    println!("\n{name}:");
    let seen = server.seen();
    let expiries = seen.tokens.max(1);
    let lines = [
        ("expiries", seen.tokens.to_string()),
        ("token requests", seen.requests.to_string()),
        (
            "refreshes per expiry",
            format!("{}.{:02}", seen.tokens_given / expiries, seen.tokens_given * 100 / expiries % 100),
        ),
        ("token requests in the worst second", seen.worst_second.to_string()),
        ("of these, with the store and the server up", seen.worst_second_of_good_days.to_string()),
        ("refresh tokens used twice", seen.reused.to_string()),
        ("tokens lost", seen.lost.to_string()),
        ("commands of the store in the worst second", store.worst_second().to_string()),
        ("calls", calls.all.get().to_string()),
        ("calls without a token", calls.failed.get().to_string()),
        ("of these, with the store and the server up", calls.failed_on_good_days(&schedule).to_string()),
    ];
    for (what, number) in lines {
        println!("  {what:<46} {number:>10}");
    }
    Ok(seen.lost + seen.reused)
}

/// One process of the fleet.
struct Replica {
    source: TokenSource,
    key: StoreKey,
    task: AbortHandle,
}

impl Replica {
    fn start((source, key): (TokenSource, StoreKey), calls: &Rc<Calls>, random: &mut Random) -> Self {
        let (calls, own, mut random) = (Rc::clone(calls), source.clone(), random.fork());
        let task = tokio::task::spawn_local(async move {
            tokio::time::sleep(random.up_to(PACE)).await;
            loop {
                calls.note(own.token().await.is_ok());
                tokio::time::sleep(PACE / 2 + random.up_to(PACE)).await;
            }
        });
        Self { source, key, task: task.abort_handle() }
    }

    /// A process that is asked to end lets what is under way end first. One that is killed leaves a lease behind: the next
    /// one that is given back does not arrive.
    fn end(self, killed: bool) {
        self.task.abort();
        if killed {
            store::leave_leases_behind(&self.key);
        }
        // What it cannot do in time is lost with it, and counted at the server.
        tokio::task::spawn_local(async move { drop(self.source.settle().await) });
    }
}
