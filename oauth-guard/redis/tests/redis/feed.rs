//! Revocations.

use std::collections::HashSet;
use std::time::Duration;

use oauth_guard::revocation::{Position, Revocation, RevocationFeed, conformance};
use oauth_guard_redis::{Redis, RedisFeed};
use tokio::time::Instant;

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;

const ISSUER: &str = "https://auth.example.com";

fn feed(url: &str) -> RedisFeed {
    Redis::new(url, None, "test:").unwrap().feed()
}

fn one(n: usize) -> Revocation {
    Revocation::token(ISSUER, format!("jti-{n}")).until(4_102_444_800)
}

/// What a guard does with a feed.
struct Reader {
    feed: RedisFeed,
    position: Option<Position>,
    complete: bool,
    seen: HashSet<String>,
    restarts: usize,
}

impl Reader {
    fn new(feed: RedisFeed) -> Self {
        Self { feed, position: None, complete: false, seen: HashSet::new(), restarts: 0 }
    }

    /// One read; false when it failed.
    async fn read(&mut self) -> bool {
        match self.feed.read(self.position.as_ref()).await {
            Ok(batch) => {
                self.seen.extend(batch.revocations.iter().map(Revocation::key));
                self.position = Some(batch.position);
                self.complete |= batch.complete;
                true
            }
            Err(error) if error.is_position_lost() => {
                (self.position, self.complete) = (None, false);
                self.restarts += 1;
                true
            }
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                false
            }
        }
    }

    async fn until(&mut self, what: &Revocation, limit: Duration) -> Duration {
        let began = Instant::now();
        while !self.seen.contains(&what.key()) {
            assert!(began.elapsed() < limit, "{what:?} does not come within {limit:?}");
            let _ = tokio::time::timeout(limit, self.read()).await;
        }
        began.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_feed_keeps_the_contract_over_many_connections() {
    let Some(server) = RedisServer::start().await else { return };
    let report = conformance::check(async || feed(&server.url())).await.unwrap();
    assert!(report.skipped().is_empty(), "it has an interval: {report:?}");
}

/// A user with nothing but what the documentation says, for revocations and proofs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_permissions_in_the_documentation_are_enough() {
    let Some(server) = RedisServer::start().await else { return };
    server.permit(include_str!("../../src/lib.rs")).await;
    let of = |prefix: &str| Redis::new(server.url_of("orders"), Some("password".into()), prefix).unwrap();
    conformance::check(async || of("orders:").feed()).await.unwrap();
    oauth_guard::replay::conformance::check(async || of("orders:").replay_store()).await.unwrap();
    // More than the stream keeps, so that it is trimmed.
    let all: Vec<_> = (0..12_000).map(one).collect();
    of("orders:").feed().publish(&all).await.unwrap();
    let error = of("other:").feed().publish(&[one(0)]).await.unwrap_err();
    assert!(error.to_string().contains("Permissions"), "{error}");
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn every_key_ends_and_ended_revocations_are_taken_out() {
    let Some(server) = RedisServer::start().await else { return };
    let feed = feed(&server.url());
    let ended: Vec<_> =
        (0..250).map(|n| Revocation::token(ISSUER, format!("old {n}")).until(1_700_000_000)).collect();
    feed.publish(&ended).await.unwrap();
    feed.publish(&[one(1), Revocation::session(ISSUER, "no end")]).await.unwrap();
    let left: usize = server.ask(&["HLEN", "test:{revocations}:now"]).await;
    assert_eq!(left, 2);
    for (key, _) in server.contents().await {
        let ends: i64 = server.ask(&["PTTL", &key]).await;
        assert!(ends > 0, "{key}");
    }
}

/// Two revocations of one name, in any order, end as the one that meets every token of either.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn the_later_time_and_the_later_end_stay() {
    let Some(server) = RedisServer::start().await else { return };
    let feed = feed(&server.url());
    let of = |time, until: Option<u64>| {
        let one = Revocation::subject(ISSUER, "J\u{f6}rg \"x\" \\ / \u{1f600}", time);
        until.map_or(one.clone(), |until| one.until(until))
    };
    for pair in [
        [of(1_900_000_100, Some(4_102_444_801)), of(1_900_000_000, Some(4_102_444_900))],
        [of(1_900_000_200, None), of(1_900_000_150, Some(4_102_444_900))],
    ] {
        feed.publish(&pair[..1]).await.unwrap();
        feed.publish(&pair[1..]).await.unwrap();
        let snapshot = feed.read(None).await.unwrap().revocations;
        let merged = pair[0].merge(&pair[1]).unwrap();
        let stored: Vec<_> = snapshot.iter().filter(|found| found.key() == merged.key()).collect();
        assert!(
            stored.iter().any(|found| found.merge(&merged).as_ref() == Some(*found)),
            "{stored:?} of {merged:?}"
        );
        let _: i64 = server.ask(&["DEL", "test:{revocations}:now"]).await;
    }
}

/// "Whatever their time", said twice: a merged entry that guards cannot read would stop all of them.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn times_at_the_end_of_the_numbers_are_merged_like_others() {
    let Some(server) = RedisServer::start().await else { return };
    let feed = feed(&server.url());
    let subject = |time| Revocation::subject(ISSUER, "ada", time);
    for pair in [
        [subject(u64::MAX), subject(1_900_000_000)],
        [subject(u64::MAX).until(u64::MAX), subject(1_900_000_000).until(4_102_444_800)],
        [one(1).until(u64::MAX), one(1)],
    ] {
        feed.publish(&pair[..1]).await.unwrap();
        feed.publish(&pair[1..]).await.unwrap();
        let snapshot = feed.read(None).await.unwrap().revocations;
        let found = snapshot.iter().find(|found| found.key() == pair[0].key()).unwrap();
        assert!(found.target().issued_before().is_none_or(|time| time > 10_000_000_000), "{found:?}");
        assert!(found.ends_at().is_none_or(|time| time > 10_000_000_000), "{found:?}");
    }
}

/// A guard that stands still keeps its connection, while more revocations come than the stream keeps.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn a_reader_that_is_overtaken_on_its_connection_reads_the_snapshot() {
    let Some(server) = RedisServer::start().await else { return };
    let writer = feed(&server.url());
    let mut reader = Reader::new(feed(&server.url()));
    writer.publish(&[one(0)]).await.unwrap();
    reader.until(&one(0), Duration::from_secs(2)).await;
    // Its position is known by now.
    assert!(reader.read().await);
    assert!(reader.read().await);
    let all: Vec<_> = (1..=12_000).map(one).collect();
    writer.publish(&all).await.unwrap();
    reader.until(&one(12_000), Duration::from_secs(10)).await;
    for _ in 0..40 {
        if reader.seen.len() >= 12_001 {
            break;
        }
        reader.read().await;
    }
    assert_eq!((reader.seen.len(), reader.restarts), (12_001, 1));
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn news_come_within_a_second_and_after_a_cut_of_three_seconds_within_three() {
    let Some(server) = RedisServer::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let mut reader = Reader::new(feed(&proxy.url()));
    while !reader.complete {
        reader.read().await;
    }
    let publisher = feed(&server.url());
    publisher.publish(&[one(0)]).await.unwrap();
    let took = reader.until(&one(0), Duration::from_secs(5)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    for (n, mode) in [Mode::Cut, Mode::BlackHole].into_iter().enumerate() {
        proxy.set(mode);
        let end = Instant::now() + Duration::from_secs(3);
        publisher.publish(&[one(2 * n + 1)]).await.unwrap();
        while Instant::now() < end {
            let _ = tokio::time::timeout_at(end, reader.read()).await;
        }
        proxy.set(Mode::Pass);
        let took = reader.until(&one(2 * n + 1), Duration::from_secs(10)).await;
        assert!(took < Duration::from_secs(3), "{mode:?}: {took:?}");
        publisher.publish(&[one(2 * n + 2)]).await.unwrap();
        let took = reader.until(&one(2 * n + 2), Duration::from_secs(5)).await;
        assert!(took < Duration::from_secs(1), "{mode:?}: {took:?}");
    }
}

/// A reader that is away while the stream is trimmed, and while the server loses everything.
#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn what_the_stream_has_lost_comes_from_the_snapshot_and_a_new_server_is_noticed() {
    let Some(mut server) = RedisServer::start().await else { return };
    let publisher = feed(&server.url());
    let mut reader = Reader::new(feed(&server.url()));
    while !reader.complete {
        reader.read().await;
    }
    let many: Vec<_> = (0..500).map(one).collect();
    publisher.publish(&many).await.unwrap();
    let _: i64 = server.ask(&["XTRIM", "test:{revocations}:news", "MAXLEN", "3"]).await;
    reader.until(&one(0), Duration::from_secs(5)).await;
    reader.until(&one(499), Duration::from_secs(5)).await;
    assert_eq!(reader.restarts, 1, "the position was lost, and that was seen");
    // Empty: what is published from then on comes.
    server.stop();
    server.run().await;
    publisher.publish(&[one(1000)]).await.unwrap();
    reader.until(&one(1000), Duration::from_secs(5)).await;
    assert!(reader.restarts >= 2);
}

#[tokio::test]
#[ignore = "needs redis-server; see tests/README.md"]
async fn an_entry_that_is_not_understood_is_an_error_that_names_the_keys() {
    let Some(server) = RedisServer::start().await else { return };
    let feed = feed(&server.url());
    feed.publish(&[one(1)]).await.unwrap();
    let _: i64 =
        server.ask(&["HSET", "test:{revocations}:now", "x", "{\"issuer\":\"a\",\"galaxy\":1}"]).await;
    let error = feed.read(None).await.unwrap_err();
    assert!(!error.is_position_lost() && error.to_string().contains("test:{revocations}:now"), "{error}");
}
