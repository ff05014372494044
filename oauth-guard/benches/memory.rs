//! What the guard allocates, and what it keeps: `cargo bench -p tower-oauth-guard --bench memory`.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[path = "setting/opaque.rs"]
mod opaque;
mod setting;
#[path = "setting/shared_secret.rs"]
mod shared_secret;
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;

use std::sync::Arc;

use allocation_counter::measure;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use oauth_mock::Alg;
use tower::Layer;

use self::opaque::Opaque;
use self::setting::{Bare, Setting, request, run};
use self::shared_secret::Many;
use self::summary::{Summary, is_measuring, is_wanted};

fn main() {
    let mut summary = Summary::new();
    if is_wanted("request") {
        requests(&mut summary);
    }
    if is_wanted("opaque") {
        opaque_tokens(&mut summary);
    }
    if is_wanted("million") {
        million(&mut summary);
    }
    summary.finish();
}

/// Allocations of a guarded request beyond those of the same request unguarded.
fn requests(summary: &mut Summary) {
    let setting = Setting::new(Alg::Rs256);
    let service = setting.builder().build().expect("a guard").layer().layer(Bare);
    let tokens: Vec<String> = (0..100).map(|_| setting.token()).collect();
    let bare = request(&tokens[0]);
    let bare = measure(|| assert_eq!(run(Bare, bare), 200)).count_total;
    let count = |token: &String| {
        let (service, request) = (service.clone(), request(token));
        measure(|| assert_eq!(run(service, request), 200)).count_total.saturating_sub(bare)
    };
    // The first thread-local and the cache's first rooms are made once.
    tokens.iter().take(50).for_each(|token| _ = count(token));
    let mut new: Vec<u64> = tokens.iter().skip(50).map(count).collect();
    new.sort_unstable();
    let mut known: Vec<u64> = tokens.iter().map(count).collect();
    known.sort_unstable();
    // From time to time the cache does its housekeeping within a request.
    println!("allocations for a new token: {} to {}", new[0], new[new.len() - 1]);
    println!("allocations for a known token: {} to {}", known[0], known[known.len() - 1]);
    summary.tell("guard_new_allocs", new[new.len() / 2] as f64);
    summary.tell("guard_cached_allocs_added", known[known.len() / 2] as f64);
}

/// A known opaque token, and what a million invented ones leave behind.
fn opaque_tokens(summary: &mut Summary) {
    let count = if is_measuring() { 1_000_000 } else { 1_000 };
    let setting = Opaque::new();
    let good: Vec<String> = (0..100).map(opaque::known).collect();
    for token in &good {
        assert_eq!(setting.status(request(token)), 200);
    }
    let service = setting.guard.layer().layer(Bare);
    let bare = request(&good[0]);
    let bare = measure(|| assert_eq!(run(Bare, bare), 200)).count_total;
    let mut known: Vec<u64> = (good.iter().chain(&good))
        .map(|token| {
            let (service, request) = (service.clone(), request(token));
            measure(|| assert_eq!(run(service, request), 200)).count_total.saturating_sub(bare)
        })
        .collect();
    known.sort_unstable();
    println!("allocations for a known opaque token: {} to {}", known[0], known[known.len() - 1]);
    summary.tell("guard_opaque_known_allocs", known[known.len() / 2] as f64);

    let held = measure(|| {
        for number in 0..count {
            assert_eq!(setting.status(request(&format!("invented_{number}"))), 401);
        }
    });
    let questions = setting.questions();
    for token in &good {
        assert_eq!(run(service.clone(), request(token)), 200, "known without a question");
    }
    assert_eq!(setting.questions(), questions);
    println!("{count} invented tokens left {} bytes behind, and pushed none of 100 out", held.bytes_current);
    summary.tell("guard_opaque_invented_bytes", held.bytes_current as f64);
}

/// The heap that a guard holds for a million tokens of 9 claims each, divided by a million. The bytes asked of the
/// allocator; what it adds of its own is not seen.
fn million(summary: &mut Summary) {
    let count = if is_measuring() { 1_000_000 } else { 1_000 };
    let sample = Setting::new(Alg::Rs256).token();
    let payload = sample.split('.').nth(1).expect("three parts").len() * 3 / 4;
    let many = Many::like(&sample);
    let guard = Many::guard().build().expect("a guard");
    let service = guard.layer().layer(Bare);
    let held = measure(|| {
        for number in 0..count {
            assert_eq!(run(service.clone(), request(&many.token(number))), 200);
        }
        assert_eq!(guard.health().cache.entries, count as u64);
    });
    let each = held.bytes_current as f64 / count as f64;
    let counted = guard.health().cache.bytes as f64 / count as f64;
    println!(
        "each of {count} tokens holds {each:.0} bytes, {payload} of them its claims; the cache counts it as {counted:.0}"
    );
    let (moka, other) = (library(count), another_library(count));
    println!(
        "the cache library by itself takes {moka:.0} for a pointer by a digest, and quick_cache {other:.0}"
    );
    summary.tell("guard_million_entry_bytes", each);
}

/// The floor under it: what the cache library holds for an entry that has nothing in it but a pointer to nothing much.
fn library(count: usize) -> f64 {
    let held = measure(|| {
        let cache = Cache::builder()
            .max_capacity(8 << 30)
            .weigher(|_, _| 1)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let nothing = Arc::new(());
        for number in 0..count as u64 {
            cache.insert([number, !number, number << 7, number >> 3], Arc::clone(&nothing));
        }
        cache.run_pending_tasks();
        assert_eq!(cache.entry_count(), count as u64);
        std::mem::forget(cache);
    });
    held.bytes_current as f64 / count as f64
}

/// The same of another library.
fn another_library(count: usize) -> f64 {
    let held = measure(|| {
        let cache = quick_cache::sync::Cache::new(count);
        let nothing = Arc::new(());
        for number in 0..count as u64 {
            cache.insert([number, !number, number << 7, number >> 3], Arc::clone(&nothing));
        }
        // It is divided into parts, some of which are full before the others.
        assert!(cache.len() * 10 > count * 9, "{} of {count}", cache.len());
        std::mem::forget(cache);
    });
    held.bytes_current as f64 / count as f64
}
