//! Step 6: what the token says, once it has been found true.

use std::fmt;
use std::sync::Arc;

use oauth_client::clock::Now;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::issuer::IssuerState;
use crate::keys::VerifyingKey;

/// The claims of a verified token. Cheap to clone: a pointer.
///
/// The guard puts one into the extensions of each request it lets through; with the `axum` feature it is an
/// extractor as well. `T` is what else you want out of your tokens: a type of your own, read once when the token
/// is first seen ([`Guard::builder`](crate::Guard::builder) then [`claims`](crate::GuardBuilder::claims)).
/// Without one, [`get`](Self::get) reads any claim by name.
///
/// ```
/// use oauth_guard::Claims;
///
/// fn greet(request: &http::Request<()>) -> String {
///     match request.extensions().get::<Claims>() {
///         Some(claims) => format!("hello {}", claims.subject().unwrap_or("nobody")),
///         None => "who are you?".to_owned(),
///     }
/// }
/// # assert_eq!(greet(&http::Request::new(())), "who are you?");
/// ```
pub struct Claims<T = Untyped>(Arc<Verified<T>>);

impl<T> Claims<T> {
    pub(crate) fn new(verified: Arc<Verified<T>>) -> Self {
        Self(verified)
    }

    /// `iss`: who issued the token, exactly as configured.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.0.issuer.name()
    }

    /// `sub`: whom the token speaks for. RFC 9068 tokens always have one. For a client without a user it is often
    /// the client's own id: compare with [`client_id`](Self::client_id) before taking it for a person.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.text(self.0.parts.subject)
    }

    /// `client_id`, or `azp` where the issuer uses that: the application that asked for the token.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.text(self.0.parts.client_id)
    }

    /// `jti`: the token's own id.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.0.text(self.0.parts.token_id)
    }

    /// `aud`: every audience the token names, ours among them.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.0.list(self.0.parts.audience)
    }

    /// The scopes the token grants, from `scope`, `scp` or what [`Issuer::scope_claim`](crate::Issuer::scope_claim)
    /// names.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.list(self.0.parts.scopes)
    }

    /// Whether the token grants exactly this scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|one| one == scope)
    }

    /// The roles the token carries, from where [`Issuer::roles_claim`](crate::Issuer::roles_claim) points.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.list(self.0.parts.roles)
    }

    /// Whether the token carries exactly this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().any(|one| one == role)
    }

    /// `exp`: when the token stops being good, in seconds since the Unix epoch. The guard's leeway comes on top.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.0.parts.expires_at
    }

    /// `iat`: when the token was issued, in seconds since the Unix epoch.
    #[must_use]
    pub fn issued_at(&self) -> Option<u64> {
        self.0.parts.issued_at
    }

    /// Any claim by name, read as the type you ask for. `None` when the token has no such claim or it is of
    /// another type.
    ///
    /// It is read anew each time; what every request needs is better part of your own type.
    #[must_use]
    pub fn get<V: DeserializeOwned>(&self, name: &str) -> Option<V> {
        serde_json::from_str(self.0.member(name)?).ok()
    }

    /// The claims as the JSON object the issuer signed.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.text(self.0.parts.payload).unwrap_or("{}")
    }

    /// Your own type, as read from the token.
    #[must_use]
    pub fn custom(&self) -> &T {
        &self.0.custom
    }
}

impl<T> Clone for Claims<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Claims<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("client_id", &self.client_id())
            .field("scopes", &self.scopes().collect::<Vec<_>>())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

/// Stands where a type of your own could: claims are then read by name, with [`Claims::get`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Untyped;

impl<'de> Deserialize<'de> for Untyped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A token found true: what the cache holds. One text, and where in it things are.
pub(crate) struct Verified<T> {
    pub(crate) issuer: Arc<IssuerState>,
    pub(crate) key: Arc<VerifyingKey>,
    pub(crate) parts: Parts,
    pub(crate) custom: T,
}

/// The claims that are read by name, as places in one text: the payload, then whatever of it had escapes to be
/// resolved.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) text: Box<str>,
    /// Names and values of all members, names first.
    pub(crate) members: Box<[(Span, Span)]>,
    /// The items of the lists below.
    pub(crate) items: Box<[Span]>,
    pub(crate) payload: Span,
    pub(crate) subject: Span,
    pub(crate) client_id: Span,
    pub(crate) token_id: Span,
    pub(crate) audience: Span,
    pub(crate) scopes: Span,
    pub(crate) roles: Span,
    pub(crate) expires_at: u64,
    pub(crate) issued_at: Option<u64>,
    /// The whole seconds within which the token is good, leeway and maximum age included: from, until (excluded).
    pub(crate) good_from: u64,
    pub(crate) good_until: u64,
}

/// A place in a text or in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) const NONE: Self = Self { start: 1, end: 0 };

    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Tokens are capped far below 4 GiB; beyond, nothing is found rather than something else.
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self::NONE,
        }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl<T> Verified<T> {
    /// Whether the token is within its time, to the second and on the wall clock as it stands now.
    pub(crate) fn is_timely(&self, now: Now) -> bool {
        (self.parts.good_from..self.parts.good_until).contains(&now.wall.as_secs())
    }

    /// What the entry takes in memory, roughly: the cache's own bookkeeping is about 250 bytes.
    pub(crate) fn weight(&self) -> u32 {
        let parts = &self.parts;
        let bytes = 250
            + size_of::<Self>()
            + parts.text.len()
            + size_of_val(&*parts.members)
            + size_of_val(&*parts.items)
            // A custom type keeps copies of some claims; how much, it cannot be asked.
            + if size_of::<T>() == 0 { 0 } else { parts.text.len() };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    pub(crate) fn text(&self, span: Span) -> Option<&str> {
        self.parts.text.get(span.range())
    }

    fn list(&self, span: Span) -> impl Iterator<Item = &str> {
        let items = self.parts.items.get(span.range()).unwrap_or_default();
        items.iter().filter_map(|item| self.text(*item))
    }

    /// The JSON of one member.
    pub(crate) fn member(&self, wanted: &str) -> Option<&str> {
        let found = self.parts.members.iter().find(|(name, _)| self.text(*name) == Some(wanted))?;
        self.text(found.1)
    }
}
