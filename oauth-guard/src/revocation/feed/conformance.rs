//! The contract of [`RevocationFeed`], as a suite that every implementation runs.
//!
//! [`check`] opens handles of one source with the function it gets, and uses them as the guards of several processes would.
//! It names its issuers at random, so the source may be one that others use as well.
//!
//! ```
//! use oauth_guard::revocation::{MemoryFeed, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shared = MemoryFeed::new();
//! let report = conformance::check(async || shared.clone()).await?;
//! assert!(report.passed().contains(&"a late reader gets a snapshot"));
//! # Ok(()) }
//! ```
//!
//! With a source that takes no revocations, such as a list that someone else writes, there is nothing to check: the first
//! publication is an error.

use std::collections::HashMap;
use std::time::Duration;

pub use crate::conformance::{Report, Violation};

use super::{Batch, FeedError, Position, Revocation, RevocationFeed};

/// How long a check waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many reads may return nothing of the check's own before it gives up.
const READS: usize = 10_000;
/// How many revocations the large checks publish.
const MANY: usize = 3_000;
/// 2100-01-01: every revocation of the suite is in force.
const END: u64 = 4_102_444_800;

/// Checks a source that takes revocations. `open` opens one more handle of it, as another process would; a source that is
/// shared within one process gives a clone.
///
/// # Errors
/// The first rule that is broken.
pub async fn check<F: RevocationFeed>(open: impl AsyncFn() -> F) -> Result<Report, Violation> {
    let mut report = Report::of("feed");
    every_kind_comes_back_as_published(&open, &mut report).await?;
    a_late_reader_gets_a_snapshot(&open, &mut report).await?;
    a_reader_that_is_up_to_date_gets_changes(&open, &mut report).await?;
    nothing_is_missed_while_a_snapshot_is_read(&open, &mut report).await?;
    a_position_outlives_its_handle(&open, &mut report).await?;
    each_reader_gets_everything(&open, &mut report).await?;
    a_later_time_is_not_undone_by_an_earlier_one(&open, &mut report).await?;
    a_read_that_was_dropped_loses_nothing(&open, &mut report).await?;
    an_unknown_position_is_an_error_or_a_beginning(&open, &mut report).await?;
    an_idle_read_returns(&open, &mut report).await?;
    publishing_nothing_is_no_error(&open, &mut report).await?;
    Ok(report)
}

/// The whole of a revocation comes back, whatever is in its names.
async fn every_kind_comes_back_as_published<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("every kind comes back as published", report);
    let issuer = run.issuer();
    let odd = "a:b c\"\\\n\u{0}{}*?[]|é\u{1f511}".to_owned();
    let long = "x".repeat(super::super::entry::NAME_BYTES);
    let all = [
        Revocation::token(&*issuer, "same").until(END),
        Revocation::session(&*issuer, "same").until(END),
        Revocation::subject(&*issuer, "same", 1_900_000_000).until(END),
        Revocation::subject_without_session(&*issuer, "same", 1_900_000_001).until(END),
        Revocation::client(&*issuer, "same", 1_900_000_002).until(END),
        Revocation::issuer(&*issuer, 0).until(END),
        Revocation::token(&*issuer, odd.clone()).until(END),
        Revocation::subject(&*issuer, odd, u64::from(u32::MAX) + 1).until(END + 1),
        Revocation::session(&*issuer, long).until(END),
    ];
    let feed = open().await;
    run.publish(&feed, &all).await?;
    let mut reader = Reader::new(open().await);
    reader.read_to_end(&run).await?;
    run.expect_all(&reader, &all)
}

async fn a_late_reader_gets_a_snapshot<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("a late reader gets a snapshot", report);
    let all = run.many();
    let feed = open().await;
    for some in all.chunks(500) {
        run.publish(&feed, some).await?;
    }
    drop(feed);
    let mut reader = Reader::new(open().await);
    reader.read_to_end(&run).await?;
    run.expect_all(&reader, &all)
}

async fn a_reader_that_is_up_to_date_gets_changes<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("a reader that is up to date gets changes", report);
    let (feed, mut reader) = (open().await, Reader::new(open().await));
    reader.read_to_end(&run).await?;
    for number in 0..5 {
        let one = [Revocation::token(run.issuer(), format!("t{number}")).until(END)];
        run.publish(&feed, &one).await?;
        reader.read_until(&run, &one).await?;
    }
    // A read that waits already is woken, long before it would end by itself.
    let one = [Revocation::token(run.issuer(), "woken").until(END)];
    let publishing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        feed.publish(&one).await
    };
    let (read, published) = tokio::join!(reader.read_until(&run, &one), publishing);
    published.map_err(|error| run.failed("publish", error))?;
    read
}

async fn nothing_is_missed_while_a_snapshot_is_read<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("nothing is missed while a snapshot is read", report);
    let all = run.many();
    let (feed, mut reader) = (open().await, Reader::new(open().await));
    let (before, during) = all.split_at(MANY / 2);
    run.publish(&feed, before).await?;
    let publishing = async {
        for some in during.chunks(7) {
            feed.publish(some).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let (read, published) = tokio::join!(reader.read_until(&run, &all), publishing);
    published.map_err(|error: FeedError| run.failed("publish", error))?;
    read
}

async fn a_position_outlives_its_handle<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("a position outlives its handle", report);
    let mut reader = Reader::new(open().await);
    reader.read_to_end(&run).await?;
    let Reader { position, feed, .. } = reader;
    drop(feed);
    let one = [Revocation::session(run.issuer(), "while-away").until(END)];
    run.publish(&open().await, &one).await?;
    // As a store would keep it.
    let position = position.map(|position| Position::new(position.as_str()));
    let mut reader = Reader { position, ..Reader::new(open().await) };
    reader.read_until(&run, &one).await
}

async fn each_reader_gets_everything<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("each reader gets everything", report);
    let feed = open().await;
    let mut readers = [Reader::new(open().await), Reader::new(open().await)];
    for reader in &mut readers {
        reader.read_to_end(&run).await?;
    }
    let all: Vec<_> =
        (0..50).map(|number| Revocation::token(run.issuer(), format!("t{number}")).until(END)).collect();
    run.publish(&feed, &all).await?;
    for reader in &mut readers {
        reader.read_until(&run, &all).await?;
    }
    Ok(())
}

async fn a_later_time_is_not_undone_by_an_earlier_one<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("a later time is not undone by an earlier one", report);
    let issuer = run.issuer();
    let late = Revocation::subject(&*issuer, "ada", 1_900_000_100).until(END + 100);
    let early = Revocation::subject(&*issuer, "ada", 1_900_000_000).until(END);
    let feed = open().await;
    run.publish(&feed, std::slice::from_ref(&late)).await?;
    run.publish(&feed, &[early]).await?;
    let mut reader = Reader::new(open().await);
    reader.read_to_end(&run).await?;
    run.expect_all(&reader, &[late])
}

async fn a_read_that_was_dropped_loses_nothing<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("a read that was dropped loses nothing", report);
    let (feed, mut reader) = (open().await, Reader::new(open().await));
    reader.read_to_end(&run).await?;
    let dropped = reader.feed.read(reader.position.as_ref());
    let _ = tokio::time::timeout(Duration::from_millis(20), dropped).await;
    let one = [Revocation::token(run.issuer(), "after").until(END)];
    run.publish(&feed, &one).await?;
    reader.read_until(&run, &one).await
}

async fn an_unknown_position_is_an_error_or_a_beginning<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("an unknown position is an error or a beginning", report);
    let one = [Revocation::token(run.issuer(), "t").until(END)];
    let feed = open().await;
    run.publish(&feed, &one).await?;
    let unknown = Position::new("no position of this feed");
    match tokio::time::timeout(PATIENCE, feed.read(Some(&unknown))).await {
        Err(_) => Err(run.violation("a read from an unknown position does not end")),
        Ok(Err(error)) if error.is_position_lost() => Ok(()),
        Ok(Err(error)) => Err(run.failed("expected position_lost", error)),
        Ok(Ok(first)) => {
            let mut reader = Reader::new(feed);
            reader.take(first);
            reader.read_until(&run, &one).await
        }
    }
}

async fn an_idle_read_returns<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    const RULE: &str = "an idle read returns";
    if open().await.interval().is_none() {
        report.skip(RULE);
        return Ok(());
    }
    let run = Run::new(RULE, report);
    let mut reader = Reader::new(open().await);
    reader.read_to_end(&run).await?;
    let Some(interval) = reader.feed.interval() else { return Ok(()) };
    let wait = interval + Duration::from_secs(1);
    match tokio::time::timeout(wait, reader.feed.read(reader.position.as_ref())).await {
        Err(_) => Err(run.violation("a read without news does not end within the feed's interval")),
        Ok(Err(error)) => Err(run.failed("read", error)),
        Ok(Ok(_)) => Ok(()),
    }
}

async fn publishing_nothing_is_no_error<F: RevocationFeed>(
    open: &impl AsyncFn() -> F,
    report: &mut Report,
) -> Result<(), Violation> {
    let run = Run::new("publishing nothing is no error", report);
    run.publish(&open().await, &[]).await
}

/// One check, and the issuer that is its own.
struct Run<'r> {
    report: &'r Report,
    issuer: Box<str>,
}

impl<'r> Run<'r> {
    fn new(rule: &'static str, report: &'r mut Report) -> Self {
        report.begin(rule);
        let random = getrandom::u64().unwrap_or_default();
        Self { report, issuer: format!("https://{random:016x}.example").into() }
    }

    fn issuer(&self) -> Box<str> {
        self.issuer.clone()
    }

    fn many(&self) -> Vec<Revocation> {
        let one = |number: usize| match number % 3 {
            0 => Revocation::token(self.issuer(), format!("t{number}")),
            1 => Revocation::session(self.issuer(), format!("s{number}")),
            _ => Revocation::subject(self.issuer(), format!("u{number}"), 1_900_000_000),
        };
        (0..MANY).map(|number| one(number).until(END)).collect()
    }

    async fn publish<F: RevocationFeed>(&self, feed: &F, all: &[Revocation]) -> Result<(), Violation> {
        match tokio::time::timeout(PATIENCE, feed.publish(all)).await {
            Ok(published) => published.map_err(|error| self.failed("publish", error)),
            Err(_) => Err(self.violation("a publication does not end")),
        }
    }

    /// Whether the reader has every one of them, or one that meets more.
    fn expect_all<F>(&self, reader: &Reader<F>, all: &[Revocation]) -> Result<(), Violation> {
        match all.iter().find(|one| !reader.has(one)) {
            None => Ok(()),
            Some(missing) => {
                let found = all.iter().filter(|one| reader.has(one)).count();
                let what = format!(
                    "{found} of {} came, and not {missing:?}; came: {:?}",
                    all.len(),
                    reader.seen.get(&missing.key())
                );
                Err(self.violation(what))
            }
        }
    }

    fn violation(&self, what: impl Into<String>) -> Violation {
        self.report.violation(what)
    }

    fn failed(&self, what: &str, error: FeedError) -> Violation {
        self.violation(format!("{what}: an error")).with_source(error)
    }
}

/// What a guard does with a feed.
struct Reader<F> {
    feed: F,
    position: Option<Position>,
    complete: bool,
    seen: HashMap<String, Revocation>,
}

impl<F> Reader<F> {
    fn new(feed: F) -> Self {
        Self { feed, position: None, complete: false, seen: HashMap::new() }
    }

    fn take(&mut self, batch: Batch) {
        for one in batch.revocations {
            let merged = self.seen.get(&one.key()).and_then(|before| before.merge(&one));
            self.seen.insert(one.key(), merged.unwrap_or(one));
        }
        self.position = Some(batch.position);
        self.complete = batch.complete;
    }

    /// Whether that revocation came, exactly as it is.
    fn has(&self, one: &Revocation) -> bool {
        self.seen.get(&one.key()) == Some(one)
    }
}

impl<F: RevocationFeed> Reader<F> {
    async fn read(&mut self, run: &Run<'_>) -> Result<(), Violation> {
        match tokio::time::timeout(PATIENCE, self.feed.read(self.position.as_ref())).await {
            Err(_) => Err(run.violation("a read does not end")),
            Ok(Err(error)) if error.is_position_lost() && self.position.is_some() => {
                self.position = None;
                Ok(())
            }
            Ok(Err(error)) => Err(run.failed("read", error)),
            Ok(Ok(batch)) => {
                self.take(batch);
                Ok(())
            }
        }
    }

    /// Reads until all that was there when it began is read.
    async fn read_to_end(&mut self, run: &Run<'_>) -> Result<(), Violation> {
        for _ in 0..READS {
            self.read(run).await?;
            if self.complete {
                return Ok(());
            }
        }
        Err(run.violation("the snapshot does not end"))
    }

    /// Reads until these came.
    async fn read_until(&mut self, run: &Run<'_>, all: &[Revocation]) -> Result<(), Violation> {
        let reading = async {
            while !all.iter().all(|one| self.has(one)) {
                self.read(run).await?;
            }
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(read) => read,
            Err(_) => run.expect_all(self, all),
        }
    }
}
