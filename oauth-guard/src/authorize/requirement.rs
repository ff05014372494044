//! Requirements: what a valid token must grant.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::sync::Arc;
use std::time::Duration;

use oauth_client::clock::Clock;

use super::compiled::VocabularyId;
use super::implied::Implied;
use super::missing::Missing;
use crate::claims::Claims;
use crate::json::{self, Value};
use crate::reject::Rejection;

/// Something that a valid token must grant. Cheap to clone; combined with `&`, `|` and `!`, or
/// [`all`](Self::all) and [`any`](Self::any).
///
/// It is checked on every request, for cached tokens too. The challenge of a rejection names exactly what the request
/// needs: the scopes (403 `insufficient_scope`, RFC 6750 section 3.1) or, if only the login is insufficient, its `acr`
/// values and maximum age (401 `insufficient_user_authentication`, RFC 9470).
///
/// ```
/// use std::time::Duration;
/// use oauth_guard::Requirement;
///
/// let editors = Requirement::scope("write") & (Requirement::role("editor") | Requirement::role("admin"));
/// let not_the_robot = editors & !Requirement::client("nightly-job");
/// let payments = Requirement::acr(["urn:example:mfa"]) & Requirement::max_login_age(Duration::from_secs(300));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Requirement(Arc<Term>);

/// What a requirement is checked by, beside the claims.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Read only for the age of a login.
    pub(super) clock: &'a dyn Clock,
    /// The scopes that other scopes include.
    pub(super) implied: &'a Implied,
    /// The rules in force, which those are a part of.
    pub(super) rules: VocabularyId,
}

pub(super) enum Term {
    Scope(Box<str>),
    Role(Box<str>),
    Client(Box<str>),
    /// The current actor, and its issuer where that is not the token's.
    Actor(Box<str>, Option<Box<str>>),
    ClaimIs(Box<str>, ClaimValue),
    ClaimHas(Box<str>, ClaimValue),
    Acr(Box<[Box<str>]>),
    /// In seconds.
    MaxLoginAge(u64),
    Bound,
    All(Box<[Requirement]>),
    Any(Box<[Requirement]>),
    Not(Requirement),
}

impl Requirement {
    /// The token grants exactly this scope, or one that [includes it](crate::GuardBuilder::implies). The challenge of a
    /// rejection names it.
    pub fn scope(scope: impl Into<String>) -> Self {
        Self::of(Term::Scope(scope.into().into()))
    }

    /// The token carries exactly this role, see [`Issuer::roles_claim`](crate::Issuer::roles_claim).
    pub fn role(role: impl Into<String>) -> Self {
        Self::of(Term::Role(role.into().into()))
    }

    /// The token was issued to this client (`client_id`, else `azp`).
    pub fn client(client_id: impl Into<String>) -> Self {
        Self::of(Term::Client(client_id.into().into()))
    }

    /// This party acts on the subject's behalf: the current actor (`act`, RFC 8693 section 4.1) has this `sub`, by the token's
    /// own issuer. Earlier actors in the chain do not count, and a token without an actor does not meet the
    /// requirement.
    pub fn actor(subject: impl Into<String>) -> Self {
        Self::of(Term::Actor(subject.into().into(), None))
    }

    /// The same, for an actor of another issuer (`act.iss`) than the token's.
    pub fn actor_of(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self::of(Term::Actor(subject.into().into(), Some(issuer.into().into())))
    }

    /// The claim has exactly this value: a string, a whole number or a boolean. A name with dots is looked up as it
    /// is, then as a path into objects.
    pub fn claim(name: impl Into<String>, value: impl Into<ClaimValue>) -> Self {
        Self::of(Term::ClaimIs(name.into().into(), value.into()))
    }

    /// The claim is a list that contains this value. The name is as for [`claim`](Self::claim).
    pub fn claim_contains(name: impl Into<String>, value: impl Into<ClaimValue>) -> Self {
        Self::of(Term::ClaimHas(name.into().into(), value.into()))
    }

    /// The user logged in in one of these ways: `acr` is one of them (RFC 9470). In order of preference, as the
    /// challenge names them.
    pub fn acr<V: Into<String>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::of(Term::Acr(values.into_iter().map(|value| value.into().into()).collect()))
    }

    /// The user logged in no longer ago than this, by `auth_time` (RFC 9470). Whole seconds; the issuer's
    /// [leeway](crate::Issuer::leeway) is added. A token without `auth_time` does not meet it.
    pub fn max_login_age(age: Duration) -> Self {
        Self::of(Term::MaxLoginAge(age.as_secs()))
    }

    /// The token is bound to a key, whose possession the caller has proven (RFC 9449, RFC 8705). For routes where a
    /// stolen token must be useless, while other routes accept bearer tokens. A token that is not bound gets 401, with
    /// a challenge for DPoP where the guard [accepts that](crate::GuardBuilder::dpop). A rule that needs it is an error
    /// when the guard is built with neither DPoP nor [certificates](crate::GuardBuilder::certificates); a
    /// [`GuardLayer::require`](crate::GuardLayer::require) is not checked for that, and rejects every request.
    pub fn bound() -> Self {
        Self::of(Term::Bound)
    }

    /// All of them. An empty list is a mistake: it is rejected when the guard is built, and a layer that requires it
    /// rejects every request.
    pub fn all(requirements: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Term::All(requirements.into_iter().collect()))
    }

    /// At least one of them. An empty list is a mistake, as for [`all`](Self::all).
    pub fn any(requirements: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Term::Any(requirements.into_iter().collect()))
    }

    /// Allocates nothing.
    pub(super) fn is_met_by<T>(&self, claims: &Claims<T>, facts: Facts<'_>) -> bool {
        match &*self.0 {
            Term::Scope(scope) => {
                claims.has_scope(scope) || facts.implied.grants(scope, |other| claims.has_scope(other))
            }
            Term::Role(role) => claims.has_role(role),
            Term::Client(client) => claims.client_id() == Some(client),
            Term::Actor(subject, issuer) => claims.is_acted_by(subject, issuer.as_deref()),
            Term::ClaimIs(name, wanted) => match claims.raw(name) {
                Some(raw) => wanted.is_raw(raw),
                None => claims.value(name).is_some_and(|value| wanted.is(value)),
            },
            Term::ClaimHas(name, wanted) => match claims.value(name) {
                Some(Value::Array(list)) => list.items().any(|item| wanted.is(item)),
                _ => false,
            },
            Term::Acr(values) => claims.acr().is_some_and(|acr| values.iter().any(|one| **one == *acr)),
            Term::MaxLoginAge(age) => claims.logged_in_within(*age, facts.clock.now().wall.as_secs()),
            Term::Bound => claims.is_bound(),
            Term::All(terms) => terms.iter().all(|term| term.is_met_by(claims, facts)),
            Term::Any(terms) => terms.iter().any(|term| term.is_met_by(claims, facts)),
            Term::Not(term) => !term.is_met_by(claims, facts),
        }
    }

    /// Checks several together, so that a rejection names all that they need.
    pub(super) fn check<'a, T>(
        requirements: impl Iterator<Item = &'a Self> + Clone,
        claims: &Claims<T>,
        facts: Facts<'_>,
    ) -> Result<(), Rejection> {
        if requirements.clone().all(|requirement| requirement.is_met_by(claims, facts)) {
            return Ok(());
        }
        let mut missing = Missing::default();
        requirements.for_each(|requirement| requirement.gather(claims, facts, &mut missing));
        Err(missing.into_rejection())
    }

    /// What it needs, met or not, and what of it is not met.
    fn gather<'a, T>(&'a self, claims: &Claims<T>, facts: Facts<'_>, missing: &mut Missing<'a>) {
        match &*self.0 {
            Term::All(terms) => return terms.iter().for_each(|term| term.gather(claims, facts, missing)),
            Term::Any(terms) => {
                // The alternative that is met already, else one that the caller can meet with another token.
                let alternatives = terms.iter().map(|term| {
                    let mut needs = Missing::default();
                    term.gather(claims, facts, &mut needs);
                    (!term.is_met_by(claims, facts), needs)
                });
                return match alternatives.min_by_key(|(unmet, needs)| (*unmet, needs.out_of_reach)) {
                    Some((_, needs)) => missing.merge(needs),
                    None => missing.out_of_reach = true,
                };
            }
            Term::Scope(scope) => missing.needs_scope(scope),
            Term::Acr(values) => missing.needs_acr(values),
            Term::MaxLoginAge(age) => missing.needs_login_within(*age),
            _ => {}
        }
        if !self.is_met_by(claims, facts) {
            match &*self.0 {
                Term::Scope(_) => missing.scope_lacks = true,
                Term::Acr(_) | Term::MaxLoginAge(_) => missing.login_lacks = true,
                Term::Bound => missing.binding_lacks = true,
                _ => missing.out_of_reach = true,
            }
        }
    }

    /// Every scope it requires, at any depth.
    pub(crate) fn scopes<'a>(&'a self, scopes: &mut BTreeSet<&'a str>) {
        match &*self.0 {
            Term::Scope(scope) => {
                scopes.insert(scope);
            }
            Term::All(terms) | Term::Any(terms) => terms.iter().for_each(|term| term.scopes(scopes)),
            // A scope under `not` is not one to request.
            _ => {}
        }
    }

    /// Finds what cannot be written into a challenge, or can never be met.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        match &*self.0 {
            Term::Scope(scope) if !is_word(scope) => Err(
                "a scope is one word of visible ASCII characters without quotes and backslashes; to require several, combine them with all",
            ),
            Term::Acr(values) if values.is_empty() => Err("acr names no value, so that it is never met"),
            Term::Acr(values) if !values.iter().all(|value| is_word(value)) => {
                Err("an acr value is one word of visible ASCII characters without quotes and backslashes")
            }
            Term::Role(name)
            | Term::Client(name)
            | Term::Actor(name, _)
            | Term::ClaimIs(name, _)
            | Term::ClaimHas(name, _)
                if name.is_empty() =>
            {
                Err("a role, a client, an actor or a claim needs a name")
            }
            Term::Any(terms) if terms.is_empty() => {
                Err("an empty any is never met; name at least one requirement")
            }
            Term::All(terms) if terms.is_empty() => {
                Err("an empty all is met by every token; name at least one requirement")
            }
            Term::All(terms) | Term::Any(terms) => terms.iter().try_for_each(Self::validate),
            Term::Not(term) => term.validate(),
            _ => Ok(()),
        }
    }

    /// Whether only a bound token can meet it.
    pub(super) fn needs_binding(&self) -> bool {
        match &*self.0 {
            Term::Bound => true,
            Term::All(terms) => terms.iter().any(Self::needs_binding),
            Term::Any(terms) => !terms.is_empty() && terms.iter().all(Self::needs_binding),
            _ => false,
        }
    }

    pub(super) fn term(&self) -> &Term {
        &self.0
    }

    /// Whether it is a single statement about the token that is true or false for as long as the token and the scopes that
    /// include others are the same.
    pub(super) fn is_fact(&self) -> bool {
        !matches!(&*self.0, Term::MaxLoginAge(_) | Term::All(_) | Term::Any(_) | Term::Not(_))
    }

    /// Whether both are the same fact.
    pub(super) fn is_same_fact(&self, other: &Self) -> bool {
        match (&*self.0, &*other.0) {
            (Term::Scope(one), Term::Scope(two))
            | (Term::Role(one), Term::Role(two))
            | (Term::Client(one), Term::Client(two)) => one == two,
            (Term::Actor(one, issuer), Term::Actor(two, other)) => (one, issuer) == (two, other),
            (Term::ClaimIs(one, value), Term::ClaimIs(two, other))
            | (Term::ClaimHas(one, value), Term::ClaimHas(two, other)) => (one, value) == (two, other),
            (Term::Acr(one), Term::Acr(two)) => one == two,
            (Term::Bound, Term::Bound) => true,
            _ => false,
        }
    }

    fn of(term: Term) -> Self {
        Self(Arc::new(term))
    }
}

impl BitAnd for Requirement {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        match &*self.0 {
            // One list instead of lists in lists: fewer pointers to follow.
            Term::All(terms) => Self::all(terms.iter().cloned().chain([other])),
            _ => Self::all([self, other]),
        }
    }
}

impl BitOr for Requirement {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        match &*self.0 {
            Term::Any(terms) => Self::any(terms.iter().cloned().chain([other])),
            _ => Self::any([self, other]),
        }
    }
}

impl Not for Requirement {
    type Output = Self;

    fn not(self) -> Self {
        Self::of(Term::Not(self))
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Term::Scope(scope) => write!(f, "scope({scope:?})"),
            Term::Role(role) => write!(f, "role({role:?})"),
            Term::Client(client) => write!(f, "client({client:?})"),
            Term::Actor(subject, None) => write!(f, "actor({subject:?})"),
            Term::Actor(subject, Some(issuer)) => write!(f, "actor({subject:?} of {issuer:?})"),
            Term::ClaimIs(name, value) => write!(f, "claim({name:?} = {value:?})"),
            Term::ClaimHas(name, value) => write!(f, "claim({name:?} contains {value:?})"),
            Term::Acr(values) => f.debug_tuple("acr").field(values).finish(),
            Term::Bound => f.write_str("bound"),
            Term::MaxLoginAge(age) => write!(f, "max_login_age({age} s)"),
            Term::All(terms) => f.debug_tuple("all").field(terms).finish(),
            Term::Any(terms) => f.debug_tuple("any").field(terms).finish(),
            Term::Not(term) => write!(f, "!{term:?}"),
        }
    }
}

/// RFC 6749 section 3.3 for scopes; OpenID Connect separates acr values in the same way.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

/// What a claim is compared with: a string, a whole number or a boolean.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimValue(Scalar);

#[derive(Clone, PartialEq, Eq)]
enum Scalar {
    Text(Box<str>),
    Number(i64),
    Truth(bool),
}

impl ClaimValue {
    /// The same as [`is`](Self::is), without decoding the value where it has no escapes.
    fn is_raw(&self, raw: &str) -> bool {
        match &self.0 {
            Scalar::Text(wanted) if raw.len() <= wanted.len() + 2 => {
                // An escape is longer than its character: an equal text of this length has none.
                let inside = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                inside == Some(&**wanted) && memchr::memchr(b'\\', wanted.as_bytes()).is_none()
            }
            _ => json::read_value(raw).is_some_and(|value| self.is(value)),
        }
    }

    pub(crate) fn is(&self, value: Value<'_>) -> bool {
        match (&self.0, value) {
            (Scalar::Text(wanted), Value::String(text)) => text.is(wanted),
            (Scalar::Number(wanted), Value::Number(digits)) => digits.parse() == Ok(*wanted),
            (Scalar::Truth(wanted), Value::Bool(truth)) => *wanted == truth,
            _ => false,
        }
    }
}

impl fmt::Debug for ClaimValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Scalar::Text(text) => text.fmt(f),
            Scalar::Number(number) => number.fmt(f),
            Scalar::Truth(truth) => truth.fmt(f),
        }
    }
}

impl From<&str> for ClaimValue {
    fn from(text: &str) -> Self {
        Self(Scalar::Text(text.into()))
    }
}

impl From<String> for ClaimValue {
    fn from(text: String) -> Self {
        Self(Scalar::Text(text.into()))
    }
}

impl From<i64> for ClaimValue {
    fn from(number: i64) -> Self {
        Self(Scalar::Number(number))
    }
}

impl From<bool> for ClaimValue {
    fn from(truth: bool) -> Self {
        Self(Scalar::Truth(truth))
    }
}

#[cfg(test)]
mod tests;
