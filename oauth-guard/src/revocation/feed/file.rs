//! Revocations in a file.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Batch, FeedError, Position, Revocation, RevocationFeed};

/// Revocations in a file: one in its [serialized form](Revocation) on each line. Lines are appended, by this feed and by other
/// programs; a line counts once its line feed is written, which [`publish`](RevocationFeed::publish) adds where it is missing. Blank lines and those that begin with `#` are skipped.
///
/// The file is looked at twice a second. One that was replaced, truncated or rewritten is read from the beginning; what
/// it revoked before stays revoked. A file that is missing, or has a line that cannot be read, counts as an outage: the
/// lines after that one are not read until it is corrected.
#[derive(Clone, Debug)]
pub struct FileFeed {
    path: PathBuf,
}

/// How often the file is looked at.
const LOOKS: Duration = Duration::from_millis(500);
/// How much of it one read takes, in bytes.
const PAGE: usize = 512 * 1024;
/// How much of what was read is looked at again, in bytes.
const BEFORE: u64 = 4096;

impl FileFeed {
    /// Follows this file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    async fn look(&self, from: Option<Place>) -> Result<Batch, FeedError> {
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || look(&path, from)).await {
            Ok(looked) => looked,
            Err(error) => Err(FeedError::unavailable("reading was interrupted").with_source(error)),
        }
    }
}

impl RevocationFeed for FileFeed {
    async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        let Some(position) = after else { return self.look(None).await };
        let from = parse(position).ok_or_else(FeedError::position_lost)?;
        let batch = self.look(Some(from)).await?;
        if !batch.revocations.is_empty() || !batch.complete || batch.position != *position {
            return Ok(batch);
        }
        tokio::time::sleep(LOOKS).await;
        self.look(Some(from)).await
    }

    async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
        let mut lines = Vec::new();
        for revocation in revocations {
            serde_json::to_writer(&mut lines, revocation).map_err(|error| {
                FeedError::unavailable("a revocation cannot be written").with_source(error)
            })?;
            lines.push(b'\n');
        }
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || append(&path, &lines)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(cannot("be written", &self.path, &error)),
            Err(error) => Err(FeedError::unavailable("writing was interrupted").with_source(error)),
        }
    }

    fn identity(&self) -> Option<String> {
        Some(self.name())
    }

    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }
}

/// A position: the file, an offset, and what stands in front of it, by which a file is recognized that was rewritten
/// under the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: u64,
    offset: u64,
    before: u64,
}

fn parse(position: &Position) -> Option<Place> {
    let mut parts = position.as_str().split(':').map(str::parse);
    let mut next = || parts.next()?.ok();
    let place = Place { file: next()?, offset: next()?, before: next()? };
    parts.next().is_none().then_some(place)
}

/// What stands in front of an offset, so far back at most, as a hash.
fn hash_before(file: &mut std::fs::File, offset: u64) -> io::Result<u64> {
    let length = offset.min(BEFORE);
    file.seek(SeekFrom::Start(offset - length))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    Ok(hasher.finish())
}

fn look(path: &Path, from: Option<Place>) -> Result<Batch, FeedError> {
    let failed = |error: io::Error| cannot("be read", path, &error);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let identity = identity(&metadata);
    let offset = match from {
        None => 0,
        Some(Place { file: known, offset, before })
            if known == identity
                && offset <= metadata.len()
                && hash_before(&mut file, offset).map_err(failed)? == before =>
        {
            offset
        }
        Some(_) => return Err(FeedError::position_lost()),
    };
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut page = Vec::new();
    (&mut file).take(PAGE as u64).read_to_end(&mut page).map_err(failed)?;
    let whole = page.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole == 0 && page.len() == PAGE {
        return Err(FeedError::unavailable(format!("{}: a line is longer than 512 KiB", path.display())));
    }
    let (mut revocations, mut at) = (Vec::new(), offset);
    for line in page.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii();
        if !text.is_empty() && !text.starts_with(b"#") {
            match serde_json::from_slice(text) {
                Ok(revocation) => revocations.push(revocation),
                // What stands in front of it is taken first; the next read ends here.
                Err(_) if at > offset => break,
                Err(error) => {
                    let message = format!("{}: the line at byte {at} is no revocation", path.display());
                    return Err(FeedError::unavailable(message).with_source(error));
                }
            }
        }
        at += line.len() as u64;
    }
    let is_complete = page.len() < PAGE && at == offset + whole as u64;
    let before = hash_before(&mut file, at).map_err(failed)?;
    let position = Position::new(format!("{identity}:{at}:{before}"));
    Ok(if is_complete { Batch::new(revocations, position) } else { Batch::partial(revocations, position) })
}

/// One write, so that lines of several writers do not mix, and on the disk before it counts.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().create(true).read(true).append(true).open(path)?;
    // A line that was edited by hand may have no end. Two that are glued together would be none.
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == [b'\n'] {
        file.write_all(lines)?;
    } else {
        file.write_all(&[b"\n", lines].concat())?;
    }
    file.sync_data()
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> u64 {
    0
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> FeedError {
    FeedError::unavailable(format!("{} cannot {what}: {}", path.display(), error.kind()))
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str, text: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("oauth-guard-revoked-{}-{name}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[tokio::test]
    async fn it_keeps_the_contract_of_feeds() {
        let file = Temporary::new("conformance", "");
        conformance::check(async || FileFeed::new(&file.0)).await.unwrap();
    }

    /// Somebody edits the file by hand, and leaves the last line without an end.
    #[tokio::test]
    async fn what_is_published_behind_a_line_without_an_end_stands_on_a_line_of_its_own() {
        let by_hand = r#"{"issuer":"https://as.example","session":"by hand"}"#;
        let file = Temporary::new("unterminated", by_hand);
        let feed = FileFeed::new(&file.0);
        let before = feed.read(None).await.unwrap();
        assert!(before.revocations.is_empty());
        for _ in 0..2 {
            feed.publish(&[Revocation::session("https://as.example", "published")]).await.unwrap();
        }
        let batch = feed.read(Some(&before.position)).await.unwrap();
        let sessions = [
            Revocation::session("https://as.example", "by hand"),
            Revocation::session("https://as.example", "published"),
            Revocation::session("https://as.example", "published"),
        ];
        assert_eq!((batch.revocations.as_slice(), batch.complete), (sessions.as_slice(), true));
        assert_eq!(std::fs::read_to_string(&file.0).unwrap().lines().count(), 3, "no empty lines");
    }

    #[tokio::test]
    async fn a_bad_line_is_named_and_what_stands_in_front_of_it_counts() {
        let good = r#"{"issuer":"https://as.example","session":"s"}"#;
        let file = Temporary::new("bad", &format!("# revoked by hand\n{good}\n\n{{\"issuer\":1}}\n{good}\n"));
        let feed = FileFeed::new(&file.0);
        let batch = feed.read(None).await.unwrap();
        assert_eq!((batch.revocations.len(), batch.complete), (1, false));
        let error = feed.read(Some(&batch.position)).await.unwrap_err();
        assert!(error.to_string().contains("byte"), "{error}");
        assert!(!error.is_position_lost());
    }

    #[tokio::test]
    async fn a_line_counts_once_it_is_whole_and_a_file_that_is_cut_is_read_anew() {
        let good = r#"{"issuer":"https://as.example","session":"s"}"#;
        let file = Temporary::new("whole", good);
        let feed = FileFeed::new(&file.0);
        let batch = feed.read(None).await.unwrap();
        assert_eq!((batch.revocations.len(), batch.complete), (0, true));
        append(&file.0, b"\n").unwrap();
        let batch = feed.read(Some(&batch.position)).await.unwrap();
        assert_eq!(batch.revocations.len(), 1);
        std::fs::write(&file.0, "").unwrap();
        assert!(feed.read(Some(&batch.position)).await.unwrap_err().is_position_lost());
        // Written anew in place, and no shorter than before.
        let of = |sid: &str| format!("{{\"issuer\":\"https://as.example\",\"session\":\"{sid}\"}}\n");
        std::fs::write(&file.0, of("s1")).unwrap();
        let batch = feed.read(None).await.unwrap();
        std::fs::write(&file.0, of("s2") + &of("s3")).unwrap();
        assert!(feed.read(Some(&batch.position)).await.unwrap_err().is_position_lost());
        std::fs::remove_file(&file.0).unwrap();
        let error = feed.read(None).await.unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}
