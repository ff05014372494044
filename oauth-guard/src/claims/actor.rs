//! Who acts on the subject's behalf (RFC 8693 section 4.1).

use std::borrow::Cow;
use std::fmt;

use super::Claims;
use crate::json::{self, Object, Value};

/// A party that acts on behalf of a token's subject, or of the actor after it: one `act` object of a delegation chain
/// (RFC 8693 section 4.1).
///
/// ```
/// use oauth_guard::Claims;
///
/// fn who(claims: &Claims) -> String {
///     let chain: Vec<_> = claims.actors().filter_map(|actor| actor.subject()).collect();
///     format!("{} by {}", claims.subject().unwrap_or("?"), chain.join(" for "))
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Actor<'a>(Object<'a>);

impl<'a> Actor<'a> {
    pub(crate) fn read(raw: &'a str) -> Option<Self> {
        Self::of(json::read_value(raw)?)
    }

    fn of(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self(object)),
            _ => None,
        }
    }

    /// `sub`: the actor's identifier, unique at its issuer.
    #[must_use]
    pub fn subject(self) -> Option<Cow<'a, str>> {
        self.text("sub")
    }

    /// `iss`: who named the actor, where that is not the token's own issuer.
    #[must_use]
    pub fn issuer(self) -> Option<Cow<'a, str>> {
        self.text("iss")
    }

    /// `client_id`: the actor's identifier as a client, where the issuer names it.
    #[must_use]
    pub fn client_id(self) -> Option<Cow<'a, str>> {
        self.text("client_id")
    }

    /// The actor before this one, which acted through it. It is for the log only: the current actor alone counts for
    /// access (RFC 8693 section 4.1).
    #[must_use]
    pub fn actor(self) -> Option<Self> {
        Self::of(self.0.get("act")?)
    }

    fn text(self, name: &str) -> Option<Cow<'a, str>> {
        Some(self.0.get(name)?.as_text()?.decode())
    }

    /// Whether it is this one. Without an issuer of its own, an actor is the token's issuer's.
    pub(crate) fn is(self, subject: &str, issuer: &str, token_issuer: &str) -> bool {
        let has = |name: &str, wanted: &str| {
            let found = self.0.get(name)?;
            Some(found.as_text().is_some_and(|text| text.is(wanted)))
        };
        has("sub", subject) == Some(true) && has("iss", issuer).unwrap_or(issuer == token_issuer)
    }
}

impl fmt::Debug for Actor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actor")
            .field("subject", &self.subject())
            .field("issuer", &self.issuer())
            .field("actor", &self.actor())
            .finish()
    }
}

impl<T> Claims<T> {
    /// `act`: the party that acts on the subject's behalf, the current one of a chain (RFC 8693 section 4.1). `None`
    /// when the subject acts itself, or the token does not say.
    #[must_use]
    pub fn actor(&self) -> Option<Actor<'_>> {
        Actor::read(self.raw("act")?)
    }

    /// The current actor, and those before it.
    pub fn actors(&self) -> impl Iterator<Item = Actor<'_>> {
        std::iter::successors(self.actor(), |actor| actor.actor())
    }

    /// Whether this is the current actor.
    pub(crate) fn is_acted_by(&self, subject: &str, issuer: Option<&str>) -> bool {
        let own = self.issuer();
        self.actor().is_some_and(|actor| actor.is(subject, issuer.unwrap_or(own), own))
    }
}
