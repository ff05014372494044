//! Several sources of revocations: one that fails keeps nothing from the others, and reloads.

use std::time::Duration;

use oauth_guard::Guard;
use oauth_guard::defaults::{REVOCATION_FIRST_READ, REVOCATION_PUBLISH_TIMEOUT};
use oauth_guard::revocation::{
    Batch, FeedError, MemoryFeed, OnOutage, Position, Revocation, RevocationError, RevocationFeed,
    RevocationSettings,
};
use tokio::time::{Instant, advance};

use crate::support::{Fixture, call, settle};

/// What a feed does besides what it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Good,
    RefusesToPublish,
    NeverPublishes,
    NeverReads,
    Panics,
}

/// A feed over one in memory.
#[derive(Clone, Debug)]
struct Feed {
    name: &'static str,
    place: Option<&'static str>,
    manner: Manner,
    inner: MemoryFeed,
}

impl Feed {
    fn new(name: &'static str, manner: Manner) -> Self {
        Self { name, place: None, manner, inner: MemoryFeed::new() }
    }
}

impl RevocationFeed for Feed {
    async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        match self.manner {
            Manner::NeverReads => std::future::pending().await,
            Manner::Panics => panic!("a feed that panics when it is read"),
            _ => self.inner.read(after).await,
        }
    }

    async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
        match self.manner {
            Manner::RefusesToPublish => Err(FeedError::unavailable("out of memory")),
            Manner::NeverPublishes => std::future::pending().await,
            _ => self.inner.publish(revocations).await,
        }
    }

    fn identity(&self) -> Option<String> {
        self.place.map(str::to_owned)
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }
}

fn guard(fixture: &Fixture, feeds: &[&Feed]) -> Guard {
    fixture.builder().issuer(fixture.issuer()).revocation(settings(feeds)).build().unwrap()
}

fn settings(feeds: &[&Feed]) -> RevocationSettings {
    feeds.iter().fold(RevocationSettings::new(), |settings, feed| settings.feed((*feed).clone()))
}

#[tokio::test(start_paused = true)]
async fn every_feed_gets_a_revocation_and_the_error_names_those_that_did_not_take_it() {
    let fixture = Fixture::new();
    let silent = Feed::new("the silent one", Manner::NeverPublishes);
    let refusing = Feed::new("the full one", Manner::RefusesToPublish);
    let good = Feed::new("the good one", Manner::Good);
    let guard = guard(&fixture, &[&silent, &refusing, &good]);
    let token = fixture.server.mint().claim("sid", "s1").build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let began = Instant::now();
    let revocation = Revocation::session(fixture.server.issuer(), "s1");
    let error = guard.revocations().revoke(revocation).await.unwrap_err();
    assert!(began.elapsed() >= REVOCATION_PUBLISH_TIMEOUT, "{:?}", began.elapsed());
    assert!(began.elapsed() < REVOCATION_PUBLISH_TIMEOUT + Duration::from_millis(10), "all at the same time");
    let text = error.to_string();
    assert!(text.contains("the silent one and the full one"), "{text}");
    let RevocationError::NotPublished(failed) = error else { unreachable!("{error:?}") };
    let failed: Vec<_> = failed.iter().map(|one| (one.feed.as_str(), one.error.to_string())).collect();
    assert_eq!(failed[0].0, "the silent one");
    assert!(failed[0].1.contains("5 seconds"), "{failed:?}");
    assert_eq!(failed[1..], [("the full one", "out of memory".to_owned())]);
    assert_eq!(good.inner.read(None).await.unwrap().revocations.len(), 1);
    assert_eq!(call(&guard, &token).await.status, 401, "in force here");
}

/// A browser closes its connection in the middle of a logout.
#[tokio::test(start_paused = true)]
async fn every_feed_gets_a_revocation_whose_caller_goes_away() {
    let fixture = Fixture::new();
    let silent = Feed::new("the silent one", Manner::NeverPublishes);
    let good = Feed::new("the good one", Manner::Good);
    let guard = guard(&fixture, &[&silent, &good]);
    let revocation = Revocation::session(fixture.server.issuer(), "s1");
    let revocations = guard.revocations();
    let revoking = revocations.revoke(revocation);
    assert!(tokio::time::timeout(Duration::from_millis(1), revoking).await.is_err());
    settle().await;
    assert_eq!(good.inner.read(None).await.unwrap().revocations.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_another_handle_to_the_same_feed_serves_on_and_reads_it_anew() {
    let fixture = Fixture::new();
    let first = Feed { place: Some("redis"), ..Feed::new("first", Manner::Good) };
    let guard = guard(&fixture, &[&first]);
    let token = fixture.server.mint().claim("sid", "s1").build();
    assert_eq!(call(&guard, &token).await.status, 200);
    let reload = |feed: &Feed| {
        guard.reload(Guard::builder().issuer(fixture.issuer()).revocation(settings(&[feed]))).unwrap();
    };
    let slow = Feed { manner: Manner::NeverReads, ..first.clone() };
    reload(&slow);
    let began = Instant::now();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(began.elapsed(), Duration::ZERO, "nothing was missed, so nothing is waited for");
    // What comes after the reload comes by the new handle, and it is an outage when it does not read.
    reload(&first);
    first.inner.publish(&[Revocation::session(fixture.server.issuer(), "s1")]).await.unwrap();
    settle().await;
    assert_eq!(call(&guard, &token).await.status, 401);
    reload(&slow);
    for _ in 0..40 {
        advance(Duration::from_secs(1)).await;
        settle().await;
    }
    assert!(!guard.health().revocations.ok);
    // Another place is read to its end first.
    reload(&first);
    settle().await;
    reload(&Feed::new("elsewhere", Manner::NeverReads));
    let other = fixture.server.mint().build();
    assert_eq!(call(&guard, &other).await.status, 503);
}

/// A feed that brings its revocations only when a gate is open.
#[derive(Clone, Debug)]
struct Slow(MemoryFeed, std::sync::Arc<tokio::sync::Semaphore>);

impl Slow {
    async fn with_session(fixture: &Fixture, session: &str) -> Self {
        let feed = MemoryFeed::new();
        feed.publish(&[Revocation::session(fixture.server.issuer(), session)]).await.unwrap();
        Self(feed, std::sync::Arc::new(tokio::sync::Semaphore::new(0)))
    }

    fn open(&self) {
        self.1.add_permits(1 << 20);
    }
}

impl RevocationFeed for Slow {
    async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        self.1.acquire().await.unwrap().forget();
        self.0.read(after).await
    }

    async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
        self.0.publish(revocations).await
    }
}

fn serving(fixture: &Fixture, feeds: &[&Slow]) -> oauth_guard::GuardBuilder {
    let settings = RevocationSettings::new().on_outage(OnOutage::Serve);
    let settings = feeds.iter().fold(settings, |settings, feed| settings.feed((*feed).clone()));
    fixture.builder().issuer(fixture.issuer()).revocation(settings)
}

/// Requests that come while the feeds are read for the first time.
fn requests(guard: &Guard, token: &str) -> Vec<tokio::task::JoinHandle<u16>> {
    let send = |_| {
        let (guard, token) = (guard.clone(), token.to_owned());
        tokio::spawn(async move { call(&guard, &token).await.status })
    };
    (0..3).map(send).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_before_a_reachable_feed_is_read_whatever_an_outage_means() {
    for probed in [false, true] {
        let fixture = Fixture::new();
        let feed = Slow::with_session(&fixture, "s1").await;
        let guard = serving(&fixture, &[&feed]).build().unwrap();
        let token = fixture.server.mint().claim("sid", "s1").build();
        if probed {
            // It starts the feeds, and no request has to.
            let _ = guard.health();
        }
        let waiting = requests(&guard, &token);
        settle().await;
        advance(Duration::from_secs(1)).await;
        settle().await;
        assert!(waiting.iter().all(|request| !request.is_finished()), "{probed}");
        feed.open();
        for request in waiting {
            assert_eq!(request.await.unwrap(), 401, "{probed}");
        }
        // A feed that a reload adds.
        let other = Slow::with_session(&fixture, "s2").await;
        guard.reload(serving(&fixture, &[&feed, &other])).unwrap();
        let token = fixture.server.mint().claim("sid", "s2").build();
        if probed {
            let _ = guard.health();
        }
        let waiting = requests(&guard, &token);
        settle().await;
        assert!(waiting.iter().all(|request| !request.is_finished()), "{probed}");
        other.open();
        for request in waiting {
            assert_eq!(request.await.unwrap(), 401, "{probed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_hangs_is_waited_for_once() {
    let fixture = Fixture::new();
    let feed = Slow::with_session(&fixture, "s1").await;
    let guard = serving(&fixture, &[&feed]).build().unwrap();
    let token = fixture.server.mint().build();
    let began = Instant::now();
    for request in requests(&guard, &token) {
        assert_eq!(request.await.unwrap(), 200, "an outage, which is served through");
    }
    assert!(began.elapsed() >= REVOCATION_FIRST_READ, "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert_eq!(began.elapsed(), Duration::ZERO, "not again");
    feed.open();
    settle().await;
    assert_eq!(call(&guard, &fixture.server.mint().claim("sid", "s1").build()).await.status, 401);
    // A reload that adds a feed has requests wait for that one in full.
    let other = Slow::with_session(&fixture, "s2").await;
    guard.reload(serving(&fixture, &[&feed, &other])).unwrap();
    let began = Instant::now();
    assert_eq!(call(&guard, &token).await.status, 200);
    assert!(began.elapsed() >= REVOCATION_FIRST_READ, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_panics_is_waited_for_once() {
    let fixture = Fixture::new();
    let settings = settings(&[&Feed::new("panics", Manner::Panics)]).on_outage(OnOutage::Serve);
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    let token = fixture.server.mint().build();
    for longest in [REVOCATION_FIRST_READ, Duration::ZERO] {
        let began = Instant::now();
        assert_eq!(call(&guard, &token).await.status, 200);
        assert!(began.elapsed() <= longest, "{:?}", began.elapsed());
    }
}

/// Such a runtime drops what is spawned on it at once, while the one that spawns it holds its locks.
#[test]
fn a_probe_on_a_runtime_that_shuts_down_returns() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let guard = {
        let _inside = handle.enter();
        guard(&Fixture::new(), &[&Feed::new("one", Manner::Good)])
    };
    runtime.shutdown_background();
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _inside = handle.enter();
        done.send(guard.health().ok)
    });
    let ok = is_done.recv_timeout(Duration::from_secs(30)).expect("it waits for itself");
    assert!(!ok, "no feed was read");
}

/// A source that is asked each second is asked again soon after a short outage, and one of thousands that is away for long
/// is left in peace.
#[tokio::test(start_paused = true)]
async fn a_short_outage_ends_within_half_a_second_and_a_long_one_is_not_hurried() {
    #[derive(Clone, Debug, Default)]
    struct Down(std::sync::Arc<std::sync::Mutex<Vec<Instant>>>);
    impl RevocationFeed for Down {
        async fn read(&self, _: Option<&Position>) -> Result<Batch, FeedError> {
            self.0.lock().unwrap().push(Instant::now());
            Err(FeedError::unavailable("connection refused"))
        }
        async fn publish(&self, _: &[Revocation]) -> Result<(), FeedError> {
            Err(FeedError::read_only())
        }
    }
    let fixture = Fixture::new();
    let down = Down::default();
    let settings = RevocationSettings::new().feed(down.clone());
    let guard = fixture.builder().issuer(fixture.issuer()).revocation(settings).build().unwrap();
    assert_eq!(call(&guard, &fixture.server.mint().build()).await.status, 503);
    for _ in 0..600 {
        advance(Duration::from_millis(100)).await;
        settle().await;
    }
    let reads = down.0.lock().unwrap().clone();
    let mut gaps = reads.windows(2).map(|two| (two[0] - reads[0], two[1] - two[0])).peekable();
    let tick = Duration::from_millis(100);
    let mut longest = Duration::ZERO;
    while let Some((since, gap)) = gaps.next_if(|(since, _)| *since < Duration::from_secs(15)) {
        assert!(gap <= Duration::from_millis(500) + tick, "{gap:?} after {since:?}");
        assert!(gap >= Duration::from_millis(50), "{gap:?} after {since:?}");
        longest = longest.max(gap);
    }
    assert!(longest >= Duration::from_millis(250), "it grows: {longest:?}");
    let late: Vec<_> = gaps.map(|(_, gap)| gap).collect();
    assert!(late.iter().all(|gap| *gap >= Duration::from_secs(1) - tick), "{late:?}");
    assert!(late.iter().all(|gap| *gap <= Duration::from_secs(2) + tick), "{late:?}");
    // Jitter: guards that lost the same store do not come back in step.
    let distinct: std::collections::BTreeSet<_> = late.iter().collect();
    assert!(distinct.len() > 3, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_feed_given_to_the_builder_stays_whatever_is_set_later() {
    for first in [true, false] {
        let fixture = Fixture::new();
        let (shared, own) = (Feed::new("shared", Manner::Good), Feed::new("own", Manner::Good));
        let builder = fixture.builder().issuer(fixture.issuer());
        let builder = match first {
            true => builder.revocation_feed(shared.clone()).revocation(settings(&[&own])),
            false => builder.revocation(settings(&[&own])).revocation_feed(shared.clone()),
        };
        let guard = builder.build().unwrap();
        for (feed, session) in [(&shared, "s1"), (&own, "s2")] {
            let token = fixture.server.mint().claim("sid", session).build();
            assert_eq!(call(&guard, &token).await.status, 200);
            feed.inner.publish(&[Revocation::session(fixture.server.issuer(), session)]).await.unwrap();
            settle().await;
            assert_eq!(call(&guard, &token).await.status, 401, "{}, shared first: {first}", feed.name);
        }
        // A reload without sources keeps both.
        guard.reload(Guard::builder().issuer(fixture.issuer())).unwrap();
        shared.inner.publish(&[Revocation::session(fixture.server.issuer(), "s3")]).await.unwrap();
        settle().await;
        let token = fixture.server.mint().claim("sid", "s3").build();
        assert_eq!(call(&guard, &token).await.status, 401);
    }
}
