//! What a caller has to bring.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::sync::Arc;

use serde_json::Value;

use crate::claims::Claims;
use crate::refuse::Refusal;

/// Something a verified token has to grant. Cheap to clone; combined with `&`, `|` and `!`, or
/// [`all`](Self::all) and [`any`](Self::any).
///
/// ```
/// use oauth_guard::Requirement;
///
/// let editors = Requirement::scope("write") & (Requirement::role("editor") | Requirement::role("admin"));
/// let not_the_robot = editors & !Requirement::client("nightly-job");
/// ```
#[derive(Clone)]
#[must_use]
pub struct Requirement(Arc<Term>);

enum Term {
    Scope(Box<str>),
    Role(Box<str>),
    Client(Box<str>),
    ClaimIs(Box<str>, Value),
    ClaimHas(Box<str>, Value),
    All(Vec<Requirement>),
    Any(Vec<Requirement>),
    Not(Requirement),
}

impl Requirement {
    /// The token grants exactly this scope. A refusal names it in its challenge.
    pub fn scope(scope: impl Into<String>) -> Self {
        Self::of(Term::Scope(scope.into().into()))
    }

    /// The token carries exactly this role, see [`Issuer::roles_claim`](crate::Issuer::roles_claim).
    pub fn role(role: impl Into<String>) -> Self {
        Self::of(Term::Role(role.into().into()))
    }

    /// The token was given to this client (`client_id`, else `azp`).
    pub fn client(client_id: impl Into<String>) -> Self {
        Self::of(Term::Client(client_id.into().into()))
    }

    /// The claim has exactly this value: a string, a number or a boolean.
    pub fn claim(name: impl Into<String>, value: impl Into<ClaimValue>) -> Self {
        Self::of(Term::ClaimIs(name.into().into(), value.into().0))
    }

    /// The claim is a list that holds this value.
    pub fn claim_contains(name: impl Into<String>, value: impl Into<ClaimValue>) -> Self {
        Self::of(Term::ClaimHas(name.into().into(), value.into().0))
    }

    /// All of them. Of none, this is always met.
    pub fn all(requirements: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Term::All(requirements.into_iter().collect()))
    }

    /// At least one of them. Of none, this is never met.
    pub fn any(requirements: impl IntoIterator<Item = Self>) -> Self {
        Self::of(Term::Any(requirements.into_iter().collect()))
    }

    /// Whether the claims meet it.
    #[must_use]
    pub fn is_met_by<T>(&self, claims: &Claims<T>) -> bool {
        match &*self.0 {
            Term::Scope(scope) => claims.has_scope(scope),
            Term::Role(role) => claims.has_role(role),
            Term::Client(client) => claims.client_id() == Some(client),
            Term::ClaimIs(name, wanted) => claims.get::<Value>(name).is_some_and(|value| value == *wanted),
            Term::ClaimHas(name, wanted) => {
                claims.get::<Vec<Value>>(name).is_some_and(|list| list.contains(wanted))
            }
            Term::All(terms) => terms.iter().all(|term| term.is_met_by(claims)),
            Term::Any(terms) => terms.iter().any(|term| term.is_met_by(claims)),
            Term::Not(term) => !term.is_met_by(claims),
        }
    }

    pub(crate) fn check<T>(&self, claims: &Claims<T>) -> Result<(), Refusal> {
        if self.is_met_by(claims) {
            return Ok(());
        }
        let mut needed = Vec::new();
        self.needed(claims, &mut needed);
        Err(Refusal::InsufficientScope { needed: needed.join(" ").into() })
    }

    /// The scopes that would be enough, as far as scopes are what is missing (RFC 6750 §3: the scope "necessary to
    /// access the protected resource"). Of alternatives, the first that is not about anything else.
    fn needed<'a, T>(&'a self, claims: &Claims<T>, scopes: &mut Vec<&'a str>) {
        match &*self.0 {
            Term::Scope(scope) if !scopes.contains(&&**scope) => scopes.push(scope),
            Term::All(terms) => terms.iter().for_each(|term| term.needed(claims, scopes)),
            Term::Any(terms) => {
                // Already met, or the cheapest way to meet it.
                let way = terms
                    .iter()
                    .find(|term| term.is_met_by(claims))
                    .or(terms.iter().find(|term| term.names_scope()));
                if let Some(term) = way {
                    term.needed(claims, scopes);
                }
            }
            _ => {}
        }
    }

    fn names_scope(&self) -> bool {
        match &*self.0 {
            Term::Scope(_) => true,
            Term::All(terms) | Term::Any(terms) => terms.iter().any(Self::names_scope),
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
        Self::all([self, other])
    }
}

impl BitOr for Requirement {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self::any([self, other])
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
            Term::ClaimIs(name, value) => write!(f, "claim({name:?} = {value})"),
            Term::ClaimHas(name, value) => write!(f, "claim({name:?} contains {value})"),
            Term::All(terms) => f.debug_tuple("all").field(terms).finish(),
            Term::Any(terms) => f.debug_tuple("any").field(terms).finish(),
            Term::Not(term) => write!(f, "!{term:?}"),
        }
    }
}

/// What a claim is compared with: a string, an integer or a boolean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimValue(Value);

impl From<&str> for ClaimValue {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for ClaimValue {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<i64> for ClaimValue {
    fn from(number: i64) -> Self {
        Self(number.into())
    }
}

impl From<bool> for ClaimValue {
    fn from(truth: bool) -> Self {
        Self(truth.into())
    }
}

#[cfg(test)]
mod tests;
