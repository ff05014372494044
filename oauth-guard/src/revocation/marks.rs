//! What the list knows targets by: fixed-size keyed hashes of (kind, issuer, name).

use highway::{HighwayHash, HighwayHasher, Key};

use super::entry::{Kind, Revocation};
use super::statement::StatementKind;
use crate::claims::Verified;

/// A target, as HighwayHash with 128 bits under a key that is random for each guard: two targets with the same mark take
/// 2^64 tries, and without the key they cannot be searched for.
pub(crate) type Mark = [u64; 2];

/// The marks that a revocation of one token can have. A token without such a claim has [`NONE`] there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks(pub(super) [Mark; 5]);

/// No target.
pub(super) const NONE: Mark = [0; 2];

/// Makes marks.
pub(super) struct Marker(Key);

impl Marker {
    /// `None` when the system has no random bytes.
    pub(super) fn new() -> Option<Self> {
        let mut key = [0; 4];
        for word in &mut key {
            *word = getrandom::u64().ok()?;
        }
        Some(Self(Key(key)))
    }

    pub(super) fn of(&self, revocation: &Revocation) -> Mark {
        let (kind, name) = revocation.target().kind_and_name();
        self.mark(kind, revocation.issuer_name(), name)
    }

    pub(super) fn of_token<T>(&self, verified: &Verified<T>) -> Marks {
        let parts = &verified.parts;
        let issuer = verified.issuer_name();
        let session = parts.member("sid").and_then(|raw| serde_json::from_str::<String>(raw).ok());
        let mark = |kind, name: Option<&str>| name.map_or(NONE, |name| self.mark(kind, issuer, name));
        let subject = parts.text(parts.subject);
        Marks([
            self.mark(Kind::Issuer, issuer, ""),
            mark(Kind::Token, parts.text(parts.token_id)),
            mark(Kind::Subject, subject),
            match session.as_deref() {
                Some(sid) => self.mark(Kind::Session, issuer, sid),
                None => mark(Kind::SubjectWithoutSession, subject),
            },
            mark(Kind::Client, parts.text(parts.client_id)),
        ])
    }

    /// Of a statement that was received: once is enough. A server may number its logout tokens and its security events each
    /// for themselves.
    pub(super) fn of_statement(&self, kind: StatementKind, issuer: &str, jti: &str) -> Mark {
        let kind = match kind {
            StatementKind::LogoutToken => b'l',
            StatementKind::SecurityEvent => b's',
        };
        self.hash(kind, issuer, jti)
    }

    fn mark(&self, kind: Kind, issuer: &str, name: &str) -> Mark {
        let kind = match kind {
            Kind::Issuer => b'i',
            Kind::Token => b't',
            Kind::Subject => b'u',
            Kind::SubjectWithoutSession => b'w',
            Kind::Session => b'e',
            Kind::Client => b'c',
        };
        self.hash(kind, issuer, name)
    }

    fn hash(&self, kind: u8, issuer: &str, name: &str) -> Mark {
        let mut hasher = HighwayHasher::new(self.0);
        // The length keeps issuer and name apart.
        let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_le_bytes();
        hasher.append(&[kind]);
        hasher.append(&length);
        hasher.append(issuer.as_bytes());
        hasher.append(name.as_bytes());
        let [one, other] = hasher.finalize128();
        // Zero stands for no target.
        [one | 1, other]
    }
}

impl std::fmt::Debug for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Marker")
    }
}
