//! What revocations cost: `cargo bench -p tower-oauth-guard --bench revocation`.
//!
//! The figures are medians of many rounds in which both sides take turns, except for the memory, which is counted.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[expect(dead_code, reason = "this bench needs a part of it")]
#[path = "../../oauth-client/benches/measure/paired.rs"]
mod paired;
mod setting;
#[expect(dead_code, reason = "this bench needs a part of it")]
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use oauth_guard::Guard;
use oauth_guard::revocation::{Batch, FeedError, Position, Revocation, RevocationFeed, RevocationSettings};
use oauth_mock::Alg;
use tower::Layer;

use self::paired::{REQUESTS, each, now, paired};
use self::setting::{Bare, ISSUER, Setting, request, run};
use self::summary::{Summary, is_measuring};

const HUNDRED_THOUSAND: usize = 100_000;

fn main() {
    let rounds = if is_measuring() { 400 } else { 2 };
    let mut summary = Summary::new();
    added(&mut summary, rounds);
    memory(&mut summary);
    stream(&mut summary);
    two_threads(&mut summary, rounds);
    summary.finish();
}

fn revocations(count: usize) -> Vec<Revocation> {
    let one = |number: usize| match number % 4 {
        0 => Revocation::token(ISSUER, format!("token-{number}")),
        1 => Revocation::session(ISSUER, format!("session-{number}")),
        2 => Revocation::subject(ISSUER, format!("subject-{number}"), 1_700_000_001),
        _ => Revocation::client(ISSUER, format!("client-{number}"), 1_700_000_001),
    };
    (0..count).map(one).collect()
}

fn guard(setting: &Setting, entries: usize) -> Guard {
    let guard = setting.builder().build().expect("a guard");
    guard.revocations().revoke_here(&revocations(entries)).expect("room");
    guard
}

/// A known token, with a list that is empty or not, beside a guard whose list never had an entry.
fn added(summary: &mut Summary, rounds: usize) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.mint().claim("sid", "mine").claim("jti", "mine").build();
    let make = || request(&token);
    let fresh = guard(&setting, 0).layer().layer(Bare);
    for (name, entries) in [("guard_revocation_empty_ns", 0), ("guard_revocation_100k_ns", HUNDRED_THOUSAND)]
    {
        let guard = guard(&setting, entries);
        if entries == 0 {
            // One that was there, and is gone.
            let gone = Revocation::token(ISSUER, "gone").until(1);
            guard.revocations().revoke_here(&[gone]).expect("room");
        }
        let service = guard.layer().layer(Bare);
        assert_eq!((run(service.clone(), make()), run(fresh.clone(), make())), (200, 200));
        let found = paired(
            rounds,
            || each(REQUESTS, make, |request| run(service.clone(), request)),
            || each(REQUESTS, make, |request| run(fresh.clone(), request)),
        );
        println!("{entries} entries: {:.0} ns, without any {:.0} ns", found.ours, found.theirs);
        summary.tell(name, found.added);
    }
}

fn memory(summary: &mut Summary) {
    let setting = Setting::new(Alg::Rs256);
    let guard = guard(&setting, 0);
    let all = revocations(HUNDRED_THOUSAND);
    let used = allocation_counter::measure(|| guard.revocations().revoke_here(&all).expect("room"));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let bytes = used.bytes_current as f64 / HUNDRED_THOUSAND as f64;
    summary.tell("guard_revocation_bytes_per_entry", bytes);
}

/// A million, in batches.
#[derive(Debug)]
struct Million(Vec<Revocation>);

impl RevocationFeed for Million {
    async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        let from =
            after.map_or(Ok(0), |at| at.as_str().parse::<usize>()).map_err(|_| FeedError::position_lost())?;
        let to = self.0.len().min(from + 4096);
        if from == to {
            std::future::pending::<()>().await;
        }
        let (some, at) = (self.0[from..to].to_vec(), Position::new(to.to_string()));
        Ok(if to == self.0.len() { Batch::new(some, at) } else { Batch::partial(some, at) })
    }

    async fn publish(&self, _: &[Revocation]) -> Result<(), FeedError> {
        Err(FeedError::read_only())
    }

    fn interval(&self) -> Option<Duration> {
        None
    }
}

/// Streamed in on the one thread that serves requests.
fn stream(summary: &mut Summary) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let count = if is_measuring() { 1_000_000 } else { 10_000 };
    let settings = RevocationSettings::new()
        .feed(Million(revocations(count)))
        .on_outage(oauth_guard::revocation::OnOutage::Serve);
    let guard = setting.builder().revocation(settings).build().expect("a guard");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (took, slowest) = runtime.block_on(async {
        let began = now();
        let mut slowest = Duration::ZERO;
        let _ = guard.health();
        loop {
            let asked = now();
            // A request that arrives waits for its turn.
            tokio::task::yield_now().await;
            let request = request(&token);
            let outcome = guard.check(&request);
            black_box(&outcome);
            drop(outcome);
            slowest = slowest.max(asked.elapsed());
            let received = format!("{:?}", guard.revocations());
            if received.contains(&format!("entries: {count} "))
                || received.contains(&format!("entries: {count}"))
            {
                break;
            }
        }
        (began.elapsed(), slowest)
    });
    println!(
        "slowest request while {count} revocations stream in: {:.1} ms; a thread that only reads the clock for as long is away for up to {:.1} ms",
        slowest.as_secs_f64() * 1e3,
        longest_absence(took).as_secs_f64() * 1e3
    );
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = count as f64 / took.as_secs_f64();
    summary.tell("guard_revocation_stream_per_second", rate);
    summary.tell("guard_revocation_stream_slowest_ms", slowest.as_secs_f64() * 1e3);
}

/// What the scheduler takes from a thread that does nothing else: no request can be quicker than that.
fn longest_absence(time: Duration) -> Duration {
    let began = now();
    let (mut last, mut longest) = (began, Duration::ZERO);
    while last.duration_since(began) < time {
        let next = now();
        longest = longest.max(next.duration_since(last));
        last = next;
    }
    longest
}

/// Two threads on one guard with 100,000 entries, beside two threads with a guard each.
fn two_threads(summary: &mut Summary, rounds: usize) {
    let setting = Setting::new(Alg::Rs256);
    let (shared, own) = (guard(&setting, HUNDRED_THOUSAND), guard(&setting, HUNDRED_THOUSAND));
    let tokens = [setting.token(), setting.mint().claim("jti", "another").build()];
    for guard in [&shared, &own] {
        for token in &tokens {
            assert_eq!(run(guard.layer().layer(Bare), request(token)), 200);
        }
    }
    let both = |guards: [&Guard; 2]| {
        let began = now();
        thread::scope(|scope| {
            for (guard, token) in guards.into_iter().zip(&tokens) {
                let service = guard.layer().layer(Bare);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        black_box(run(service.clone(), request(token)));
                    }
                });
            }
        });
        began.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<_> =
        (0..rounds.min(20)).map(|_| both([&shared, &own]) / both([&shared, &shared])).collect();
    ratios.sort_by(f64::total_cmp);
    summary.tell("guard_revocation_two_threads_of_unshared", ratios[ratios.len() / 2]);
}
