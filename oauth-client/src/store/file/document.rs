//! The content of the file: a format name, a version, and the entries.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::{KEPT_LOG_OUT, Revision, StoreError, StoreKey, Stored};
use crate::token::TokenSet;

const FORMAT: &str = "oauth-client tokens";
const VERSION: u32 = 1;

/// How long an expired access token stays in the file: some clocks are wrong by a time zone.
const KEPT_EXPIRED: Duration = Duration::from_secs(24 * 3600);
/// How long one is taken to live of which the server has not said it.
const LONGEST_UNKNOWN: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    format: String,
    version: u32,
    /// The last revision given out. It grows, so an entry that was removed and made again gets another one; at the end of the
    /// numbers, where only an edited file can be, it begins at random again.
    revision: u64,
    pub(super) entries: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    revision: u64,
    tokens: TokenSet,
}

/// What can be read of any version.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

impl Document {
    pub(super) fn revision_of(&self, key: &StoreKey) -> Option<Revision> {
        self.entries.get(key.as_str()).map(|entry| Revision(entry.revision))
    }

    pub(super) fn set(&mut self, key: &StoreKey, tokens: Option<TokenSet>) -> Revision {
        self.revision = self.revision.checked_add(1).unwrap_or_else(first_revision);
        let revision = self.revision;
        match tokens {
            Some(tokens) => self.entries.insert(key.as_str().to_owned(), Entry { revision, tokens }),
            None => self.entries.remove(key.as_str()),
        };
        Revision(revision)
    }

    /// Removes the entries that can be of no use to any source: without a refresh token, and expired for long; and old
    /// log-outs.
    pub(super) fn prune(&mut self, now: Duration) {
        self.entries.retain(|_, entry| {
            let tokens = &entry.tokens;
            let kept = match tokens.is_ended() {
                true => KEPT_LOG_OUT,
                false => tokens.lifetime().unwrap_or(LONGEST_UNKNOWN).saturating_add(KEPT_EXPIRED),
            };
            tokens.refresh_token().is_some() || now < tokens.issued_at().saturating_add(kept)
        });
    }
}

impl Default for Document {
    fn default() -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            revision: first_revision(),
            entries: BTreeMap::new(),
        }
    }
}

/// Random, so that the entries of a file that was replaced get other revisions, too. Exact in every JSON library, and far
/// from the end; without randomness it is zero.
fn first_revision() -> u64 {
    getrandom::u64().unwrap_or(0) >> 12
}

impl From<Entry> for Stored {
    fn from(entry: Entry) -> Self {
        Self { tokens: entry.tokens, revision: Revision(entry.revision) }
    }
}

pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Document, StoreError> {
    let path = path.display();
    match serde_json::from_slice::<Head>(bytes) {
        Ok(head) if head.format == FORMAT && head.version == VERSION => {}
        Ok(head) if head.format == FORMAT => {
            return Err(StoreError::permanent(format!(
                "{path} is of version {}, and only version {VERSION} is understood; update this program, or give \
                 another path",
                head.version
            )));
        }
        _ if !looks_like_ours(bytes) => {
            return Err(StoreError::permanent(format!(
                "{path} is not a file of this token store, and is left as it is; give another path"
            )));
        }
        _ => {}
    }
    // serde_json's own message may quote the value it stumbled over, which may be a token.
    let damaged = |line: usize, column: usize| {
        StoreError::permanent(format!(
            "{path} is damaged (line {line}, column {column}), and is left as it is; restore it, or move it away to start anew"
        ))
    };
    // In a member it does not know, serde_json takes any bytes, and writing would drop them.
    let text = str::from_utf8(bytes).map_err(|error| {
        let read = &bytes[..error.valid_up_to()];
        let line = read.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = read.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        damaged(line, column)
    })?;
    let mut document: Document =
        serde_json::from_str(text).map_err(|error| damaged(error.line(), error.column()))?;
    // In a file that was edited or merged by hand an entry may be ahead of it, whose revision would be given out again.
    let highest = document.entries.values().map(|entry| entry.revision).max();
    document.revision = document.revision.max(highest.unwrap_or(0));
    Ok(document)
}

/// Whether this is a file of this store, of whatever version, also where it is damaged.
pub(super) fn is_ours(bytes: &[u8]) -> bool {
    looks_like_ours(bytes) || serde_json::from_slice::<Head>(bytes).is_ok_and(|head| head.format == FORMAT)
}

/// A file of ours that was cut off is reported as damaged and not as foreign.
fn looks_like_ours(bytes: &[u8]) -> bool {
    bytes.starts_with(format!(r#"{{"format":"{FORMAT}""#).as_bytes())
}

pub(in crate::store) fn encode(document: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    // Counted first, so that the buffer does not grow: growing leaves copies of the tokens behind.
    let mut length = Length(0);
    let failed = |_| StoreError::new("the tokens cannot be written as JSON");
    serde_json::to_writer(&mut length, document).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, document).map_err(failed)?;
    Ok(bytes)
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
