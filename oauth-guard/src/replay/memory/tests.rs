use std::collections::HashSet;
use std::sync::Barrier;

use oauth_client::clock::TestClock;

use super::*;

const WINDOW: Duration = Duration::from_secs(65);

fn store(capacity: usize) -> MemoryReplayStore {
    MemoryReplayStore::new(capacity, TestClock::new()).unwrap()
}

fn key(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    key
}

/// One proof; `None` when there is no room.
fn insert(store: &MemoryReplayStore, of: u64, jti: &str, keep: Duration) -> Option<Insertion> {
    store.insert_now(ProofId::new(&key(of), jti), keep).ok()
}

async fn advance(time: Duration) {
    tokio::time::advance(time).await;
}

#[test]
fn a_capacity_has_its_limits() {
    for bad in [0, 63, 1_000_000_001] {
        let error = MemoryReplayStore::new(bad, TestClock::new()).unwrap_err();
        assert_eq!(error.problems()[0].field, "dpop.replay_capacity", "{bad}");
    }
    assert!(!format!("{:?}", store(64)).contains("key"));
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_neither_panics_nor_ends_at_once() {
    let store = store(64 * 64);
    assert_eq!(insert(&store, 1, "a", Duration::MAX), Some(Insertion::Inserted));
    advance(Duration::from_secs(86_400)).await;
    assert_eq!(insert(&store, 1, "a", Duration::MAX), Some(Insertion::Present));
}

#[tokio::test(start_paused = true)]
async fn no_live_entry_leaves_for_another() {
    let store = store(20_000);
    let mut noted = HashSet::new();
    // Four times as many as there is room for, of as many keys.
    for n in 0..80_000_u64 {
        if insert(&store, n, "a", WINDOW).is_some() {
            noted.insert(n);
        }
    }
    assert!((19_000..=20_000).contains(&noted.len()), "{} of 20,000", noted.len());
    assert_eq!(store.health().entries, Some(noted.len() as u64));
    assert!(!store.health().ok, "{:?}", store.health());
    assert_eq!(store.health().full, 80_000 - noted.len() as u64);
    advance(WINDOW - Duration::from_secs(1)).await;
    for n in &noted {
        assert_eq!(insert(&store, *n, "a", WINDOW), Some(Insertion::Present), "{n}");
    }
    // Then all of them end, and there is room again.
    advance(Duration::from_secs(2)).await;
    assert_eq!(
        store.health(),
        ReplayHealth {
            full: store.health().full,
            entries: Some(0),
            capacity: Some(20_000),
            ..ReplayHealth::default()
        }
    );
    for n in 0..19_000 {
        assert_eq!(insert(&store, n, "a", WINDOW), Some(Insertion::Inserted), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_has_a_64th_to_itself_and_locks_out_no_other() {
    for capacity in [64, 640, 64 * 4096] {
        let store = store(capacity);
        let share = capacity / 64;
        for n in 0..share {
            assert_eq!(
                insert(&store, 1, &n.to_string(), WINDOW),
                Some(Insertion::Inserted),
                "{n} of {share}"
            );
        }
        assert_eq!(insert(&store, 1, "one more", WINDOW), None, "{capacity}");
        assert_eq!(insert(&store, 1, "0", WINDOW), Some(Insertion::Present), "a replay is still one");
        assert_eq!(insert(&store, 2, "0", WINDOW), Some(Insertion::Inserted), "another key");
        assert!(store.health().ok, "the store is not full");
        advance(WINDOW + Duration::from_secs(1)).await;
        // What has ended is cleared away four at a time, so the share comes back with the requests.
        let _ = store.health();
        assert_eq!(insert(&store, 1, "one more", WINDOW), Some(Insertion::Inserted), "{capacity}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_key_comes_back_by_itself() {
    let store = store(64 * 4096);
    for n in 0..4096 {
        assert_eq!(insert(&store, 1, &n.to_string(), WINDOW), Some(Insertion::Inserted));
    }
    advance(WINDOW + Duration::from_secs(1)).await;
    let refused = (0..4096).filter(|n| insert(&store, 1, &format!("b{n}"), WINDOW).is_none()).count();
    assert_eq!(refused, 0);
}

#[tokio::test(start_paused = true)]
async fn entries_end_one_by_one_and_not_before_their_time() {
    let store = store(100_000);
    for n in 1..=600 {
        assert_eq!(insert(&store, n, "a", Duration::from_secs(n)), Some(Insertion::Inserted));
    }
    for second in 1..=601 {
        advance(Duration::from_secs(1)).await;
        // Of whole seconds, the one that ends now is gone, and the next one is there.
        assert!(insert(&store, second + 1, "a", WINDOW).is_some());
        let expected = 600_u64.saturating_sub(second);
        let live = (second + 1..=600)
            .filter(|n| insert(&store, *n, "a", WINDOW) == Some(Insertion::Present))
            .count();
        assert_eq!(live as u64, expected, "after {second} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_second_counts_as_a_whole_one() {
    let store = store(64);
    advance(Duration::from_millis(900)).await;
    assert_eq!(insert(&store, 1, "a", Duration::from_millis(200)), Some(Insertion::Inserted));
    advance(Duration::from_millis(199)).await;
    assert_eq!(insert(&store, 1, "a", Duration::from_millis(200)), Some(Insertion::Present));
    advance(Duration::from_secs(1)).await;
    assert_eq!(
        insert(&store, 1, "a", Duration::ZERO),
        Some(Insertion::Inserted),
        "and at least to the next one"
    );
}

#[tokio::test(start_paused = true)]
async fn memory_of_a_busy_hour_is_given_back() {
    let store = store(64 * 4096);
    for n in 0..100_000_u64 {
        assert_eq!(insert(&store, n, "a", WINDOW), Some(Insertion::Inserted));
    }
    assert!(store.shards.iter().any(|shard| shard.lock().capacity() > 256));
    advance(WINDOW + Duration::from_secs(1)).await;
    let _ = store.health();
    assert!(store.shards.iter().all(|shard| shard.lock().capacity() == 0));
}

/// Threads, so that they really race.
#[test]
fn of_any_number_of_callers_with_one_proof_exactly_one_is_first() {
    let store = store(64 * 4096);
    let barrier = Barrier::new(8);
    let first: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let inserted = |n: &u64| insert(&store, *n, "a", WINDOW) == Some(Insertion::Inserted);
                    (0..2_000).filter(inserted).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(first, 2_000);
    assert_eq!(store.health().entries, Some(2_000));
}

/// The same as a list of proofs with their ends, under many random orders of insertions and times.
#[tokio::test(start_paused = true)]
async fn it_agrees_with_a_list() {
    let store = store(640);
    let mut list: Vec<(u64, u64, u64)> = Vec::new();
    let (mut now, mut seed) = (0_u64, 1_u64);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for step in 0..20_000 {
        if random(4) == 0 {
            let seconds = if random(50) == 0 { random(700) } else { random(3) };
            now += seconds;
            advance(Duration::from_secs(seconds)).await;
        }
        let longest = if random(20) == 0 { 600 } else { 70 };
        let (of, jti, keep) = (random(80), random(30), 1 + random(longest));
        list.retain(|(.., end)| *end > now);
        let is_there = list.iter().any(|(a, b, _)| (*a, *b) == (of, jti));
        let is_full = list.len() >= 640 || list.iter().filter(|(a, ..)| *a == of).count() >= 10;
        let found = insert(&store, of, &jti.to_string(), Duration::from_secs(keep));
        if is_there {
            assert_eq!(found, Some(Insertion::Present), "step {step}");
        } else if found == Some(Insertion::Inserted) {
            assert!(!is_full, "step {step}");
            list.push((of, jti, now + keep));
        } else {
            assert!(found.is_none() && is_full, "step {step}: {found:?}");
        }
    }
}

#[cfg(feature = "testing")]
#[tokio::test(start_paused = true)]
async fn it_passes_the_conformance_suite() {
    let store = Arc::new(store(100_000));
    let report = super::super::conformance::check(async || Arc::clone(&store)).await.unwrap();
    assert_eq!((report.passed().len(), report.skipped().len()), (9, 0), "{report:?}");
}

/// Stores that break one rule each.
#[cfg(feature = "testing")]
mod broken {
    use super::super::super::conformance::check;
    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Fault {
        Forgets,
        IgnoresTheKey,
        FoldsCase,
        LooksThenInserts,
        ProlongsOnReplay,
        EndsEarly,
        NeverEnds,
        ReportsTrouble,
    }

    #[derive(Clone, Debug)]
    struct Broken(Arc<MemoryReplayStore>, Fault, Arc<Mutex<HashSet<[u8; 32]>>>);

    impl ReplayStore for Broken {
        async fn insert(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
            let (store, key, jti) = (&self.0, proof.thumbprint(), proof.jti());
            match self.1 {
                Fault::Forgets => Ok(Insertion::Inserted),
                Fault::IgnoresTheKey => store.insert_now(ProofId::new(&[0; 32], jti), keep),
                Fault::FoldsCase => store.insert_now(ProofId::new(key, &jti.to_lowercase()), keep),
                Fault::LooksThenInserts => {
                    let is_there = self.2.lock().unwrap().contains(&proof.digest());
                    tokio::task::yield_now().await;
                    self.2.lock().unwrap().insert(proof.digest());
                    Ok(if is_there { Insertion::Present } else { Insertion::Inserted })
                }
                Fault::ProlongsOnReplay => store.insert_now(ProofId::new(key, jti), keep * 20),
                Fault::EndsEarly => store.insert_now(ProofId::new(key, jti), keep / 2),
                Fault::NeverEnds => store.insert_now(ProofId::new(key, jti), keep * 1000),
                Fault::ReportsTrouble => store.insert_now(proof, keep),
            }
        }

        fn health(&self) -> ReplayHealth {
            match self.1 {
                Fault::ReportsTrouble => ReplayHealth::away("no connection"),
                _ => self.0.health(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_suite_finds_each_fault() {
        for (fault, rule) in [
            (Fault::Forgets, "a proof is inserted once"),
            (Fault::IgnoresTheKey, "key and identifier both count, to the letter"),
            (Fault::FoldsCase, "key and identifier both count, to the letter"),
            (Fault::LooksThenInserts, "of many callers at a time exactly one is first"),
            (
                Fault::ProlongsOnReplay,
                "a replay does not prolong it, and its identifier is free again after its end",
            ),
            (Fault::EndsEarly, "an entry lives as long as it was asked to"),
            (
                Fault::NeverEnds,
                "a replay does not prolong it, and its identifier is free again after its end",
            ),
            (Fault::ReportsTrouble, "a store that works says so"),
        ] {
            let store = Broken(Arc::new(store(500_000)), fault, Arc::default());
            let violation = check(async || store.clone()).await.unwrap_err();
            assert_eq!(violation.rule(), rule, "{fault:?}: {violation}");
        }
    }
}
