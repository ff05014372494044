//! Random schedules against a strict server; see [`simulation`].
//!
//! A failure prints its seed. `OAUTH_CLIENT_SCHEDULES=100000 OAUTH_CLIENT_SCHEDULE_SEED=7 cargo test -p tower-oauth-client
//! --test engine schedule` runs others; `cargo run --example refresh_schedules -- --minutes 60` runs them for a time.

mod simulation;

use self::simulation::{Counts, one_schedule};

/// How many schedules the usual test run has.
const SCHEDULES: u64 = 2000;
/// The first one. The usual run has the same schedules each time, so that a change is judged and not chance.
const SEED: u64 = 1_000_000;

#[test]
fn no_schedule_sends_a_refresh_token_twice_or_loses_a_login() {
    let given = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let count = given("OAUTH_CLIENT_SCHEDULES").unwrap_or(SCHEDULES);
    let base = given("OAUTH_CLIENT_SCHEDULE_SEED").unwrap_or(SEED);
    println!("{count} schedules from OAUTH_CLIENT_SCHEDULE_SEED={base}");
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let run = &|thread: u64| {
        let seeds = (base..base.saturating_add(count)).skip(usize::try_from(thread).unwrap());
        seeds
            .step_by(usize::try_from(threads).unwrap())
            .map(|seed| {
                one_schedule(seed).unwrap_or_else(|fault| {
                    panic!("OAUTH_CLIENT_SCHEDULE_SEED={seed} OAUTH_CLIENT_SCHEDULES=1: {fault}")
                })
            })
            .fold(Counts::default(), Counts::plus)
    };
    let total = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)))
            .fold(Counts::default(), Counts::plus)
    });
    println!("{total:?}");
    let often = [total.rotations, total.late, total.hung, total.store_faults, total.derived, total.malformed];
    let rarer = [total.logins, total.log_outs];
    assert!(
        often.iter().all(|n| *n >= count / 2) && rarer.iter().all(|n| *n >= count / 10),
        "the schedules meet what they are for: {total:?}"
    );
}
