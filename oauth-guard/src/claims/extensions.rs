//! The claims in a request's extensions: inserted by the guard next to the handler, and never another guard's.

use std::any::TypeId;
use std::sync::Arc;

use http::Extensions;

use super::{Claims, SubjectToken, Untyped};

/// There are claims of a type of the user's own. Claims without one need no note: their type is known.
#[derive(Clone)]
struct Custom {
    remove: fn(&mut Extensions),
    /// Of a guard further out, whose type is another one.
    outer: Option<Arc<Self>>,
}

/// A guard forwarded the request without claims.
#[derive(Clone, Copy)]
struct WithoutClaims;

/// Inserts the claims that a guard found. Those of a guard further out stay if they are of another type.
pub(crate) fn insert<T: Send + Sync + 'static>(extensions: &mut Extensions, claims: Claims<T>) {
    let is_first = extensions.insert(claims).is_none();
    if is_first && TypeId::of::<T>() != TypeId::of::<Untyped>() {
        let outer = extensions.remove::<Custom>().map(Arc::new);
        let remove = |extensions: &mut Extensions| drop(extensions.remove::<Claims<T>>());
        extensions.insert(Custom { remove, outer });
    }
}

/// Removes the claims of guards further out, of whatever type: the guard next to the handler found none.
pub(crate) fn clear(extensions: &mut Extensions) {
    extensions.remove::<Claims>();
    let mut custom = extensions.remove::<Custom>().map(Arc::new);
    while let Some(one) = custom {
        (one.remove)(extensions);
        custom = one.outer.clone();
    }
    extensions.remove::<SubjectToken>();
    extensions.insert(WithoutClaims);
}

/// Why there are no claims of the type that a handler asks for.
#[cfg(feature = "axum")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No guard forwarded the request.
    NotGuarded,
    /// A guard forwarded it without claims.
    WithoutClaims,
    /// There are claims of another type.
    OtherType,
}

/// What the guard next to the handler found.
#[cfg(feature = "axum")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Claims, of whatever type.
    Claims,
    /// No token, or it did not look for one.
    Nothing,
}

/// `None`: no guard forwarded the request.
#[cfg(feature = "axum")]
pub(crate) fn found(extensions: &Extensions) -> Option<Found> {
    if extensions.get::<Claims>().is_some() || extensions.get::<Custom>().is_some() {
        return Some(Found::Claims);
    }
    extensions.get::<WithoutClaims>().map(|_| Found::Nothing)
}

#[cfg(feature = "axum")]
pub(crate) fn claims<T: Send + Sync + 'static>(extensions: &Extensions) -> Result<Claims<T>, Missing> {
    if let Some(claims) = extensions.get::<Claims<T>>() {
        return Ok(claims.clone());
    }
    Err(match found(extensions) {
        Some(Found::Claims) => Missing::OtherType,
        Some(Found::Nothing) => Missing::WithoutClaims,
        None => Missing::NotGuarded,
    })
}
