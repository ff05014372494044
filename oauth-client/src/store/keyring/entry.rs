//! What an entry looks like in the keychain, and how it is read and replaced. The caller holds the lock.
//!
//! The head of an entry has its revision and, where they fit, the tokens. Otherwise they are in parts, which are written
//! before the head that counts them and under other names than the parts of the head before, so that a crash leaves the old
//! tokens or the new ones.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use keyring_core::{Entry, Error};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::access::{Abilities, Chain, Failure};
use crate::store::file::encode;
use crate::store::{Revision, StoreError, StoreKey, Stored, Swap};
use crate::token::TokenSet;

const FORMAT: &str = "oauth-client tokens";
const VERSION: u32 = 1;
/// The most parts of one entry: on Windows, 80 KB.
const MOST_PARTS: usize = 32;
/// At the beginning of a part: the revision that it belongs to.
const MARK: usize = size_of::<u64>();

/// The entries of one service.
pub(super) struct Entries<'a> {
    pub(super) chain: &'a Chain,
    pub(super) service: &'a str,
    pub(super) can: Abilities,
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    format: Cow<'a, str>,
    version: u32,
    revision: u64,
    /// Where the tokens are in parts: which names the parts have, and how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<Cow<'a, TokenSet>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Parts {
    /// 0 or 1: those of the next head have the other number.
    set: u8,
    count: usize,
}

impl Entries<'_> {
    pub(super) fn load(&self, key: &StoreKey) -> Result<Option<Stored>, Failure> {
        let name = name_of(key);
        let Some(mut head) = self.head(&name)? else { return Ok(None) };
        let tokens = match (head.tokens.take(), head.parts) {
            (Some(tokens), None) => tokens.into_owned(),
            (None, Some(parts)) => self.joined(&name, &head, parts)?,
            _ => return Err(self.damaged(&name)),
        };
        Ok(Some(Stored { tokens, revision: Revision(head.revision) }))
    }

    pub(super) fn swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, Failure> {
        let name = name_of(key);
        let before = self.head(&name)?;
        if before.as_ref().map(|head| Revision(head.revision)) != expected {
            return Ok(Swap::Conflict);
        }
        let revision = match &before {
            Some(head) => head.revision.saturating_add(1),
            // One that was removed and made anew has another revision. Exact in every JSON library.
            None => getrandom::u64().unwrap_or(0) >> 12,
        };
        let used = before.and_then(|head| head.parts).map(|parts| parts.set);
        let free = if used == Some(0) { 1 } else { 0 };
        let kept = match tokens {
            Some(tokens) => self.write(&name, key, revision, free, tokens)?,
            None => {
                self.remove(&name)?;
                0
            }
        };
        // What is left of the tokens before, and of a writer that crashed.
        self.remove_parts(&name, free, kept)?;
        self.remove_parts(&name, 1 - free, 0)?;
        Ok(Swap::Done(Revision(revision)))
    }

    /// Writes an entry and removes it.
    pub(super) fn probe(&self) -> Result<(), Failure> {
        let entry = self.entry("probe", "A test of oauth-client")?;
        entry.set_secret(b"it can be written to").map_err(Failure::of)?;
        entry.delete_credential().map_err(Failure::of)
    }

    /// Returns how many parts there are.
    fn write(
        &self,
        name: &str,
        key: &StoreKey,
        revision: u64,
        set: u8,
        tokens: &TokenSet,
    ) -> Result<usize, Failure> {
        let head = |parts, tokens| Head { format: FORMAT.into(), version: VERSION, revision, parts, tokens };
        let whole = encode(&head(None, Some(Cow::Borrowed(tokens))))?;
        let label = label(key);
        if whole.len() <= self.can.most {
            self.entry(name, &label)?.set_secret(&whole).map_err(Failure::of)?;
            return Ok(0);
        }
        let tokens = encode(tokens)?;
        let pieces = tokens.chunks(self.can.most.saturating_sub(MARK).max(1));
        let count = pieces.len();
        if count > MOST_PARTS {
            return Err(StoreError::permanent(format!(
                "the tokens are {} bytes long, and the keychain takes {}; ask for fewer scopes, or use a store in a file",
                tokens.len(),
                MOST_PARTS * (self.can.most - MARK)
            ))
            .into());
        }
        for (n, piece) in pieces.enumerate() {
            let mut part = Zeroizing::new(Vec::with_capacity(MARK + piece.len()));
            part.extend_from_slice(&revision.to_be_bytes());
            part.extend_from_slice(piece);
            self.entry(&name_of_part(name, set, n), &label)?.set_secret(&part).map_err(Failure::of)?;
        }
        let head = encode(&head(Some(Parts { set, count }), None))?;
        self.entry(name, &label)?.set_secret(&head).map_err(Failure::of)?;
        Ok(count)
    }

    fn head(&self, name: &str) -> Result<Option<Head<'static>>, Failure> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        // serde_json's own message may quote a token.
        let head: Head<'static> = serde_json::from_slice(&bytes).map_err(|_| self.damaged(name))?;
        if head.format != FORMAT {
            return Err(self.damaged(name));
        }
        if head.version != VERSION {
            return Err(StoreError::permanent(format!(
                "the entry {name:?} of the keychain is of version {}, and only version {VERSION} is understood; update this \
                 program, or give another name with KeyringStore::service",
                head.version
            ))
            .into());
        }
        Ok(Some(head))
    }

    fn joined(&self, name: &str, head: &Head<'_>, parts: Parts) -> Result<TokenSet, Failure> {
        if parts.count > MOST_PARTS {
            return Err(self.damaged(name));
        }
        let mut whole = Zeroizing::new(Vec::with_capacity(parts.count * self.can.most));
        for n in 0..parts.count {
            let part = self.read(&name_of_part(name, parts.set, n))?.ok_or_else(|| self.damaged(name))?;
            match part.split_at_checked(MARK) {
                Some((mark, piece)) if mark == head.revision.to_be_bytes() => whole.extend_from_slice(piece),
                _ => return Err(self.damaged(name)),
            }
        }
        serde_json::from_slice(&whole).map_err(|_| self.damaged(name))
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        match self.entry(name, "")?.get_secret() {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(Failure::of(error)),
        }
    }

    /// Whether there was one.
    fn remove(&self, name: &str) -> Result<bool, Failure> {
        match self.entry(name, "")?.delete_credential() {
            Ok(()) => Ok(true),
            Err(Error::NoEntry) => Ok(false),
            Err(error) => Err(Failure::of(error)),
        }
    }

    fn remove_parts(&self, name: &str, set: u8, from: usize) -> Result<(), Failure> {
        for n in from..MOST_PARTS {
            if !self.remove(&name_of_part(name, set, n))? {
                break;
            }
        }
        Ok(())
    }

    /// An empty label is none.
    fn entry(&self, name: &str, label: &str) -> Result<Entry, Failure> {
        let labelled = [("label", label)].into();
        let modifiers = (self.can.labels && !label.is_empty()).then_some(&labelled);
        self.chain.build(self.service, name, modifiers).map_err(Failure::of)
    }

    fn damaged(&self, name: &str) -> Failure {
        let service = self.service;
        StoreError::permanent(format!(
            "the entry {name:?} of {service:?} in the keychain is damaged or of another program, and is left as it is; remove \
             it with the keychain's own program to start anew"
        ))
        .into()
    }
}

/// A name of fixed length for an entry, whatever its key is.
pub(super) fn name_of(key: &StoreKey) -> String {
    let digest = digest(&SHA256, key.as_str().as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn name_of_part(name: &str, set: u8, n: usize) -> String {
    format!("{name}.{set}.{n}")
}

/// Client and server, for those who look into the keychain.
fn label(key: &StoreKey) -> String {
    let parts: Vec<serde_json::Value> = serde_json::from_str(key.as_str()).unwrap_or_default();
    let text = |n: usize| parts.get(n).and_then(serde_json::Value::as_str).unwrap_or("?");
    format!("Tokens of {} at {}", text(1), text(0))
}
