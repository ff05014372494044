//! What is revoked: some tokens of one issuer.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest issuer, token id, subject, session or client id, in bytes.
pub const NAME_BYTES: usize = 1024;

/// Some tokens of one issuer that are no longer accepted.
///
/// Times are whole seconds since the Unix epoch. A revocation by time meets tokens issued in that second and before, and
/// tokens without `iat`.
///
/// # Serialized form
///
/// One flat JSON object: `issuer`, and exactly one of `token`, `subject`, `session` or `client`, or none of them for the whole
/// issuer. `issued_before` is required for `subject`, `client` and the whole issuer, and not allowed for `token` and `session`.
/// `without_session` (`true`) stands beside `subject` only. `until` is optional. Unknown members are errors, so that a
/// revocation is never read as one of more or fewer tokens.
///
/// ```json
/// {"issuer":"https://auth.example.com","token":"jti-1","until":1900003600}
/// {"issuer":"https://auth.example.com","subject":"ada","issued_before":1900000000}
/// {"issuer":"https://auth.example.com","subject":"ada","issued_before":1900000000,"without_session":true}
/// {"issuer":"https://auth.example.com","session":"sid-1"}
/// {"issuer":"https://auth.example.com","client":"shop","issued_before":1900000000}
/// {"issuer":"https://auth.example.com","issued_before":1900000000}
/// ```
///
/// ```
/// use oauth_guard::revocation::Revocation;
///
/// let one = Revocation::subject("https://auth.example.com", "ada", 1_900_000_000).until(1_900_086_400);
/// let text = serde_json::to_string(&one)?;
/// assert_eq!(
///     text,
///     r#"{"issuer":"https://auth.example.com","subject":"ada","issued_before":1900000000,"until":1900086400}"#
/// );
/// assert_eq!(serde_json::from_str::<Revocation>(&text)?, one);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use = "a revocation has no effect until it is given to a guard or a feed"]
pub struct Revocation {
    issuer: Box<str>,
    target: Target,
    until: Option<u64>,
}

/// Which of an issuer's tokens a [`Revocation`] meets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// The token with this `jti`.
    Token(Box<str>),
    /// The tokens with this `sub` that were issued at this time or before.
    Subject {
        /// `sub`.
        subject: Box<str>,
        /// The last second in which a token that it meets was issued.
        issued_before: u64,
        /// Whether tokens that name a session (`sid`) are left out: those end with their session.
        without_session: bool,
    },
    /// The tokens of the session with this `sid`.
    Session(Box<str>),
    /// The tokens issued to this client (`client_id`, or `azp`) at this time or before.
    Client {
        /// `client_id`.
        client: Box<str>,
        /// The last second in which a token that it meets was issued.
        issued_before: u64,
    },
    /// All tokens of the issuer that were issued at this time or before.
    Issuer {
        /// The last second in which a token that it meets was issued.
        issued_before: u64,
    },
}

impl Revocation {
    /// One token, by its `jti`.
    pub fn token(issuer: impl Into<Box<str>>, jti: impl Into<Box<str>>) -> Self {
        Self::new(issuer.into(), Target::Token(jti.into()))
    }

    /// The tokens of one subject that were issued at `issued_before` or earlier: a user whose password changed, an account
    /// that was disabled.
    pub fn subject(issuer: impl Into<Box<str>>, subject: impl Into<Box<str>>, issued_before: u64) -> Self {
        let target = Target::Subject { subject: subject.into(), issued_before, without_session: false };
        Self::new(issuer.into(), target)
    }

    /// As [`subject`](Self::subject), without the tokens that name a session (`sid`). Beside
    /// [`session`](Self::session) it ends one login and leaves the user's other sessions alone.
    pub fn subject_without_session(
        issuer: impl Into<Box<str>>,
        subject: impl Into<Box<str>>,
        issued_before: u64,
    ) -> Self {
        let target = Target::Subject { subject: subject.into(), issued_before, without_session: true };
        Self::new(issuer.into(), target)
    }

    /// The tokens of one session, by their `sid`, whenever they were issued.
    pub fn session(issuer: impl Into<Box<str>>, sid: impl Into<Box<str>>) -> Self {
        Self::new(issuer.into(), Target::Session(sid.into()))
    }

    /// The tokens issued to one client at `issued_before` or earlier: a client whose secret leaked.
    pub fn client(issuer: impl Into<Box<str>>, client: impl Into<Box<str>>, issued_before: u64) -> Self {
        Self::new(issuer.into(), Target::Client { client: client.into(), issued_before })
    }

    /// All tokens of one issuer that were issued at `issued_before` or earlier.
    pub fn issuer(issuer: impl Into<Box<str>>, issued_before: u64) -> Self {
        Self::new(issuer.into(), Target::Issuer { issued_before })
    }

    /// When no token that it meets can be alive any more, and the entry may end. Without it, the guard keeps the entry for as
    /// long as a token issued now can live, see
    /// [`RevocationSettings::longest_token`](super::RevocationSettings::longest_token).
    pub fn until(mut self, unix_seconds: u64) -> Self {
        self.until = Some(unix_seconds);
        self
    }

    /// Whose tokens: the exact `iss`.
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.issuer
    }

    /// Which of them.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// When the entry may end, in seconds since the Unix epoch.
    #[must_use]
    pub fn ends_at(&self) -> Option<u64> {
        self.until
    }

    /// Equal for two revocations of which the [merged](Self::merge) one replaces both: the same kind of target with the same
    /// name at the same issuer. A store can use it as a key. It holds the names as they are, with their lengths in front, so
    /// different targets never have the same key.
    #[must_use]
    pub fn key(&self) -> String {
        let (kind, name) = self.target.kind_and_name();
        format!("{}:{}:{kind}:{name}", self.issuer.len(), self.issuer)
    }

    /// One revocation that meets every token that either of them meets. `None` when their [keys](Self::key) differ.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Option<Self> {
        if self.issuer != other.issuer || self.target.kind_and_name() != other.target.kind_and_name() {
            return None;
        }
        let mut merged = self.clone();
        if let (
            Target::Subject { issued_before, .. }
            | Target::Client { issued_before, .. }
            | Target::Issuer { issued_before },
            Some(others),
        ) = (&mut merged.target, other.target.issued_before())
        {
            *issued_before = others.max(*issued_before);
        }
        // Without an end, the guard decides; that is never earlier than needed.
        merged.until = self.until.zip(other.until).map(|(one, other)| one.max(other));
        Some(merged)
    }

    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let is_bad = |name: &str| name.is_empty() || name.len() > NAME_BYTES;
        if is_bad(&self.issuer) {
            return Some("issuer: expected the exact `iss`, of 1 to 1,024 bytes");
        }
        let (kind, name) = self.target.kind_and_name();
        match kind {
            Kind::Issuer => None,
            Kind::Token if is_bad(name) => Some("token: expected a `jti` of 1 to 1,024 bytes"),
            Kind::Session if is_bad(name) => Some("session: expected a `sid` of 1 to 1,024 bytes"),
            Kind::Client if is_bad(name) => Some("client: expected a `client_id` of 1 to 1,024 bytes"),
            Kind::Subject | Kind::SubjectWithoutSession if is_bad(name) => {
                Some("subject: expected a `sub` of 1 to 1,024 bytes")
            }
            _ => None,
        }
    }

    fn new(issuer: Box<str>, target: Target) -> Self {
        Self { issuer, target, until: None }
    }
}

impl Target {
    pub(crate) fn kind_and_name(&self) -> (Kind, &str) {
        match self {
            Self::Token(jti) => (Kind::Token, jti),
            Self::Subject { subject, without_session: false, .. } => (Kind::Subject, subject),
            Self::Subject { subject, without_session: true, .. } => (Kind::SubjectWithoutSession, subject),
            Self::Session(sid) => (Kind::Session, sid),
            Self::Client { client, .. } => (Kind::Client, client),
            Self::Issuer { .. } => (Kind::Issuer, ""),
        }
    }

    /// The last second in which a token that it meets was issued. `None` when the time does not matter.
    #[must_use]
    pub fn issued_before(&self) -> Option<u64> {
        match self {
            Self::Token(_) | Self::Session(_) => None,
            Self::Subject { issued_before, .. }
            | Self::Client { issued_before, .. }
            | Self::Issuer { issued_before } => Some(*issued_before),
        }
    }
}

/// The kinds of target, each with a space of names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Issuer,
    Token,
    Subject,
    SubjectWithoutSession,
    Session,
    Client,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issuer => "issuer",
            Self::Token => "token",
            Self::Subject => "subject",
            Self::SubjectWithoutSession => "subject-without-session",
            Self::Session => "session",
            Self::Client => "client",
        })
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Revocation");
        debug.field("issuer", &self.issuer).field("target", &self.target);
        if let Some(until) = self.until {
            debug.field("until", &until);
        }
        debug.finish()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    issuer: std::borrow::Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    token: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    subject: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    session: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    client: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    without_session: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Serialize for Revocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, name) = self.target.kind_and_name();
        let named = |kinds: &[Kind]| kinds.contains(&kind).then_some(name.into());
        Wire {
            issuer: (&*self.issuer).into(),
            token: named(&[Kind::Token]),
            subject: named(&[Kind::Subject, Kind::SubjectWithoutSession]),
            session: named(&[Kind::Session]),
            client: named(&[Kind::Client]),
            issued_before: self.target.issued_before(),
            without_session: kind == Kind::SubjectWithoutSession,
            until: self.until,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Revocation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let issued_before =
            || wire.issued_before.ok_or_else(|| D::Error::custom("issued_before: is missing"));
        let target = match (&wire.token, &wire.subject, &wire.session, &wire.client) {
            (Some(jti), None, None, None) => Target::Token((&**jti).into()),
            (None, Some(subject), None, None) => Target::Subject {
                subject: (&**subject).into(),
                issued_before: issued_before()?,
                without_session: wire.without_session,
            },
            (None, None, Some(sid), None) => Target::Session((&**sid).into()),
            (None, None, None, Some(client)) => {
                Target::Client { client: (&**client).into(), issued_before: issued_before()? }
            }
            (None, None, None, None) => Target::Issuer { issued_before: issued_before()? },
            _ => return Err(D::Error::custom("expected one of token, subject, session and client")),
        };
        if wire.issued_before.is_some() && target.issued_before().is_none() {
            return Err(D::Error::custom("issued_before: a token or a session is revoked whatever its time"));
        }
        if wire.without_session && wire.subject.is_none() {
            return Err(D::Error::custom("without_session: stands beside subject only"));
        }
        let revocation = Self { issuer: (&*wire.issuer).into(), target, until: wire.until };
        match revocation.problem() {
            Some(problem) => Err(D::Error::custom(problem)),
            None => Ok(revocation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.example";

    #[test]
    fn every_kind_has_one_serialized_form_and_comes_back_from_it() {
        for (one, text) in [
            (Revocation::token(ISSUER, "t"), r#"{"issuer":"https://as.example","token":"t"}"#),
            (
                Revocation::subject(ISSUER, "ada", 7).until(9),
                r#"{"issuer":"https://as.example","subject":"ada","issued_before":7,"until":9}"#,
            ),
            (
                Revocation::subject_without_session(ISSUER, "a\"b", 7),
                r#"{"issuer":"https://as.example","subject":"a\"b","issued_before":7,"without_session":true}"#,
            ),
            (Revocation::session(ISSUER, "s"), r#"{"issuer":"https://as.example","session":"s"}"#),
            (
                Revocation::client(ISSUER, "shop", 0),
                r#"{"issuer":"https://as.example","client":"shop","issued_before":0}"#,
            ),
            (Revocation::issuer(ISSUER, 7), r#"{"issuer":"https://as.example","issued_before":7}"#),
        ] {
            assert_eq!(serde_json::to_string(&one).unwrap(), text);
            assert_eq!(serde_json::from_str::<Revocation>(text).unwrap(), one);
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_value::<Revocation>(value).unwrap(), one, "from owned values");
        }
    }

    #[test]
    fn a_form_that_could_be_read_in_two_ways_is_an_error() {
        let long = format!(r#"{{"issuer":"i","token":"{}"}}"#, "x".repeat(NAME_BYTES + 1));
        for (text, expected) in [
            (r#"{"token":"t"}"#, "issuer"),
            (r#"{"issuer":"","token":"t"}"#, "issuer"),
            (r#"{"issuer":"i"}"#, "issued_before"),
            (r#"{"issuer":"i","subject":"s"}"#, "issued_before"),
            (r#"{"issuer":"i","client":"c"}"#, "issued_before"),
            (r#"{"issuer":"i","token":"t","issued_before":1}"#, "issued_before"),
            (r#"{"issuer":"i","session":"t","issued_before":1}"#, "issued_before"),
            (r#"{"issuer":"i","token":"t","session":"s"}"#, "one of"),
            (r#"{"issuer":"i","token":""}"#, "token"),
            (r#"{"issuer":"i","token":"t","without_session":true}"#, "without_session"),
            (r#"{"issuer":"i","issued_before":1,"without_session":true}"#, "without_session"),
            (r#"{"issuer":"i","issued_before":-1}"#, "-1"),
            (r#"{"issuer":"i","issued_before":1,"role":"admin"}"#, "role"),
            (&long, "token"),
        ] {
            let error = serde_json::from_str::<Revocation>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_merged_revocation_meets_what_both_meet() {
        let (early, late) = (Revocation::subject(ISSUER, "ada", 7), Revocation::subject(ISSUER, "ada", 9));
        assert_eq!(early.merge(&late), Some(late.clone()));
        assert_eq!(late.merge(&early), Some(late.clone()));
        assert_eq!(early.clone().until(100).merge(&late.clone().until(50)), Some(late.clone().until(100)));
        assert_eq!(early.clone().until(100).merge(&late).and_then(|merged| merged.ends_at()), None);
        assert_eq!(early.key(), late.key());
        for other in [
            Revocation::subject_without_session(ISSUER, "ada", 9),
            Revocation::client(ISSUER, "ada", 9),
            Revocation::subject("https://as.exampl", "eada", 9),
            Revocation::issuer(ISSUER, 9),
        ] {
            assert_eq!(early.merge(&other), None);
            assert_ne!(early.key(), other.key());
        }
    }
}
