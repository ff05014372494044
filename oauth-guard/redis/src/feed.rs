//! Revocations: a snapshot of those in force, and a stream of the last ones.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use oauth_client_redis::link::{Fault, Link, RESPONSE_TIMEOUT};
use oauth_guard::revocation::{Batch, FeedError, Position, Revocation, RevocationFeed, Target};
use redis::Value;
use redis::streams::{StreamRangeReply, StreamReadReply};

/// How long one question waits for news.
const WAIT: Duration = Duration::from_secs(1);
/// How many entries of the stream one read returns, and about how many of the snapshot.
const PAGE: usize = 1000;
/// About how many entries the stream keeps. Who has been away for longer reads the snapshot.
const KEPT: usize = 10_000;
/// How many revocations one script puts in.
const CHUNK: usize = 100;
/// How long a revocation is kept that does not say when it ends.
const UNKNOWN_END: u64 = 30 * 24 * 3600;
/// The latest time that is written, in seconds. Redis merges entries with numbers of 14 digits, and writes longer ones in
/// another form; no token is of a later time.
const LATEST: u64 = 99_999_999_999_999;

/// Puts revocations into snapshot and stream. For each: its name in the snapshot, its text, when it ends (0: not said). Of
/// two with one name, the one that meets every token of either stays. Ended ones are taken out on the way.
const PUBLISH: &str = "\
local t = redis.call('TIME') \
local now = tonumber(t[1]) \
local last = now + 86400 \
for n = 4, #ARGV, 3 do \
local name, text, ends = ARGV[n], ARGV[n + 1], tonumber(ARGV[n + 2]) \
local before = redis.call('HGET', KEYS[1], name) \
if before then \
local old, new = cjson.decode(before), cjson.decode(text) \
local later = old.issued_before and new.issued_before and old.issued_before > new.issued_before \
local longer = new['until'] and (not old['until'] or old['until'] > new['until']) \
if later then new.issued_before = old.issued_before end \
if longer then new['until'] = old['until'] end \
if later or longer then text = cjson.encode(new) end \
ends = new['until'] or 0 \
end \
if ends == 0 then ends = now + tonumber(ARGV[1]) end \
redis.call('HSET', KEYS[1], name, text) \
redis.call('ZADD', KEYS[2], ends, name) \
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'r', text, 'm', ARGV[2] .. n) \
end \
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000) \
if #over > 0 then redis.call('HDEL', KEYS[1], unpack(over)) redis.call('ZREM', KEYS[2], unpack(over)) end \
local top = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES') \
if top[2] and tonumber(top[2]) > last then last = tonumber(top[2]) end \
for n = 1, 3 do redis.call('EXPIREAT', KEYS[n], string.format('%.0f', math.min(last, now + 315360000))) end \
return 1";

/// The end of the stream: the id of its last entry and its mark. An empty stream gets one that says nothing.
const END: &str = "\
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1) \
if #last == 0 then \
redis.call('XADD', KEYS[1], '*', 'm', ARGV[1]) \
redis.call('EXPIRE', KEYS[1], 86400) \
last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1) \
end \
for n = 1, #last[1][2], 2 do if last[1][2][n] == 'm' then return { last[1][1], last[1][2][n + 1] } end end \
return { last[1][1], '' }";

/// The revocations of a fleet. Clones share their connections.
#[derive(Clone)]
pub struct RedisFeed(Arc<Inner>);

struct Inner {
    link: Link,
    waiting: Link,
    /// The snapshot, the ends of its entries, the stream.
    names: [String; 3],
    /// Distinguishes positions in a snapshot: they are of one connection only.
    run: u64,
    /// The position that was read last, and the connection over which it is known to be there.
    checked: Mutex<(u64, String)>,
}

/// A position, taken apart.
enum Place {
    /// In the snapshot: where the stream ended when it began, and where it goes on.
    Snapshot { end: Mark, cursor: String, connection: u64 },
    /// In the stream.
    Stream(Mark),
}

/// An entry of the stream.
#[derive(Clone, PartialEq, Eq)]
struct Mark {
    id: String,
    mark: String,
}

impl RedisFeed {
    pub(crate) fn new(link: Link, waiting: Link, prefix: &str) -> Self {
        let names = ["now", "ends", "news"].map(|what| format!("{prefix}{{revocations}}:{what}"));
        let run = getrandom::u64().unwrap_or_default();
        Self(Arc::new(Inner { link, waiting, names, run, checked: Mutex::default() }))
    }

    /// A page of the snapshot.
    async fn snapshot(&self, end: Mark, cursor: &str, connection: u64) -> Result<Batch, FeedError> {
        let mut command = redis::cmd("HSCAN");
        command.arg(&self.0.names[0]).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, flat): (String, Vec<String>) = self.0.link.ask(&command).await.map_err(away)?;
        if self.0.link.generation() != connection {
            return Err(FeedError::position_lost());
        }
        let revocations: Result<Vec<_>, _> =
            flat.chunks_exact(2).map(|pair| self.understood(pair[1].as_bytes())).collect();
        let mut revocations = revocations?;
        if next != "0" {
            let position = self.position(&Place::Snapshot { end, cursor: next, connection });
            return Ok(Batch::partial(revocations, position));
        }
        // What came while the snapshot was read.
        let (news, end, is_all) = self.news(end, None).await?;
        revocations.extend(news);
        let position = self.position(&Place::Stream(end));
        Ok(if is_all { Batch::new(revocations, position) } else { Batch::partial(revocations, position) })
    }

    /// What came after an entry of the stream; the last entry of it, and whether it is all. With `wait`, it waits for some.
    async fn news(
        &self,
        after: Mark,
        wait: Option<Duration>,
    ) -> Result<(Vec<Revocation>, Mark, bool), FeedError> {
        let link = if wait.is_some() { &self.0.waiting } else { &self.0.link };
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(PAGE);
        if let Some(wait) = wait {
            command.arg("BLOCK").arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
        command.arg("STREAMS").arg(&self.0.names[2]).arg(&after.id);
        let limit = RESPONSE_TIMEOUT + wait.unwrap_or_default();
        let read: Result<Option<StreamReadReply>, _> = link.ask_within(&command, limit).await;
        let read = read.map_err(|fault| {
            // Such as that this server follows another one from now on.
            *self.checked() = (0, String::new());
            away(fault)
        })?;
        let connection = link.generation();
        let entries = read.into_iter().flat_map(|read| read.keys).flat_map(|key| key.ids).collect::<Vec<_>>();
        let known = *self.checked() == (connection, after.id.clone());
        // With news over the same connection too: so many may have come since that the stream was trimmed in between.
        if wait.is_none() || !known || !entries.is_empty() {
            self.check(link, &after).await?;
        }
        let (mut last, mut is_all) = (after, entries.len() < PAGE);
        if is_all && let Err(error) = self.check_primary(link).await {
            if entries.is_empty() && wait.is_some() {
                return Err(error);
            }
            // What a replica says holds; that it is all, it cannot know.
            is_all = false;
        }
        let mut revocations = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(text) = entry.map.get("r") {
                revocations.push(self.understood(bytes(text))?);
            }
            let mark = entry.map.get("m").map(|mark| String::from_utf8_lossy(bytes(mark)).into_owned());
            last = Mark { id: entry.id, mark: mark.unwrap_or_default() };
        }
        if wait.is_some() {
            *self.checked() = (connection, last.id.clone());
        }
        Ok((revocations, last, is_all))
    }

    fn checked(&self) -> MutexGuard<'_, (u64, String)> {
        self.0.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this entry still is in the stream, and still the same: then none after it is missing. Over the connection that
    /// is read: another may lead to a server that was the primary.
    async fn check(&self, link: &Link, at: &Mark) -> Result<(), FeedError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.0.names[2]).arg(&at.id).arg(&at.id);
        let found: StreamRangeReply = link.ask(&command).await.map_err(away)?;
        let mark = found.ids.first().map(|entry| entry.map.get("m").map(bytes).unwrap_or_default());
        if mark == Some(at.mark.as_bytes()) { Ok(()) } else { Err(FeedError::position_lost()) }
    }

    /// Whether the server that is read over this connection takes writes. One that has become a replica reads well, and
    /// may be behind for as long as it likes: a write that changes nothing finds it out.
    async fn check_primary(&self, link: &Link) -> Result<(), FeedError> {
        let mut command = redis::cmd("XTRIM");
        command.arg(&self.0.names[2]).arg("MAXLEN").arg("~").arg(KEPT);
        match link.ask::<u64>(&command).await {
            Ok(_) => Ok(()),
            // It may not be permitted, or the disk is full: the server is the one it was.
            Err(fault) if fault.only_this => Ok(()),
            Err(fault) => {
                *self.checked() = (0, String::new());
                Err(away(fault))
            }
        }
    }

    async fn end(&self) -> Result<Mark, FeedError> {
        let mut command = redis::cmd("EVAL");
        command.arg(END).arg(1).arg(&self.0.names[2]).arg(new_mark());
        let (id, mark): (String, String) = self.0.link.ask(&command).await.map_err(away)?;
        Ok(Mark { id, mark })
    }

    /// An entry that is not understood is not passed over: it may be a revocation of a later version.
    fn understood(&self, text: &[u8]) -> Result<Revocation, FeedError> {
        serde_json::from_slice(text).map_err(|_| {
            FeedError::unavailable(format!(
                "the keys {} and {} of Redis at {} hold an entry that is not understood, and are left as they are; remove it, or update this program",
                self.0.names[0],
                self.0.names[2],
                self.0.link.place()
            ))
        })
    }

    fn position(&self, place: &Place) -> Position {
        Position::new(match place {
            Place::Snapshot { end, cursor, connection } => {
                format!("now {:x} {connection} {cursor} {} {}", self.0.run, end.id, end.mark)
            }
            Place::Stream(Mark { id, mark }) => format!("news {id} {mark}"),
        })
    }

    fn place(&self, position: &Position) -> Option<Place> {
        let words: Vec<_> = position.as_str().split(' ').collect();
        let mark = |id: &str, mark: &str| {
            let is_id = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let (time, number) = id.split_once('-')?;
            (is_id(time) && is_id(number)).then(|| Mark { id: id.to_owned(), mark: mark.to_owned() })
        };
        match words.as_slice() {
            ["news", id, at] => mark(id, at).map(Place::Stream),
            ["now", run, connection, cursor, id, at] if *run == format!("{:x}", self.0.run) => {
                let (end, connection) = (mark(id, at)?, connection.parse().ok()?);
                Some(Place::Snapshot { end, cursor: (*cursor).to_owned(), connection })
            }
            _ => None,
        }
    }
}

impl RevocationFeed for RedisFeed {
    async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        let place = after.map(|position| self.place(position).ok_or_else(FeedError::position_lost));
        match place.transpose()? {
            None => {
                let end = self.end().await?;
                self.snapshot(end, "0", self.0.link.generation()).await
            }
            Some(Place::Snapshot { end, cursor, connection }) => {
                self.snapshot(end, &cursor, connection).await
            }
            Some(Place::Stream(after)) => {
                let (revocations, last, is_all) = self.news(after, Some(WAIT)).await?;
                let position = self.position(&Place::Stream(last));
                Ok(if is_all {
                    Batch::new(revocations, position)
                } else {
                    Batch::partial(revocations, position)
                })
            }
        }
    }

    async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
        for chunk in revocations.chunks(CHUNK) {
            let mut command = redis::cmd("EVAL");
            command.arg(PUBLISH).arg(3).arg(&self.0.names).arg(UNKNOWN_END).arg(new_mark()).arg(KEPT);
            for revocation in chunk {
                let revocation = &*within_latest(revocation);
                let text = serde_json::to_string(revocation)
                    .map_err(|_| FeedError::unavailable("the revocation cannot be written as JSON"))?;
                command.arg(name(revocation)).arg(text).arg(revocation.ends_at().unwrap_or(0));
            }
            let () = self.0.link.ask(&command).await.map_err(away)?;
        }
        Ok(())
    }

    fn interval(&self) -> Option<Duration> {
        Some(WAIT)
    }

    fn identity(&self) -> Option<String> {
        Some(format!("{} {}", self.0.link.identity(), self.0.names[0]))
    }

    fn name(&self) -> String {
        format!("Redis at {}", self.0.link.place())
    }
}

/// The same revocation with times that Redis can merge.
fn within_latest(one: &Revocation) -> Cow<'_, Revocation> {
    let late = |time: Option<u64>| time.is_some_and(|time| time > LATEST);
    if !late(one.ends_at()) && !late(one.target().issued_before()) {
        return Cow::Borrowed(one);
    }
    let issuer = one.issuer_name();
    let same = match one.target() {
        Target::Subject { subject, issued_before, without_session: false } => {
            Revocation::subject(issuer, &**subject, LATEST.min(*issued_before))
        }
        Target::Subject { subject, issued_before, without_session: true } => {
            Revocation::subject_without_session(issuer, &**subject, LATEST.min(*issued_before))
        }
        Target::Client { client, issued_before } => {
            Revocation::client(issuer, &**client, LATEST.min(*issued_before))
        }
        Target::Issuer { issued_before } => Revocation::issuer(issuer, LATEST.min(*issued_before)),
        _ => one.clone(),
    };
    Cow::Owned(match one.ends_at() {
        Some(until) => same.until(LATEST.min(until)),
        None => same,
    })
}

/// The name of a revocation in the snapshot.
fn name(revocation: &Revocation) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, revocation.key().as_bytes()))
}

/// What no other entry of any stream has.
fn new_mark() -> String {
    format!("{:016x}", getrandom::u64().unwrap_or_default())
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.as_bytes(),
        _ => &[],
    }
}

fn away(fault: Fault) -> FeedError {
    FeedError::unavailable(fault.to_string())
}

impl fmt::Debug for RedisFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisFeed").field("place", &self.0.link.place()).finish_non_exhaustive()
    }
}
