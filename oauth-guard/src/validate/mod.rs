//! Step 4: is the token valid? Its parts, its claims, its signature; checks that need no key come first, and the caller
//! gets the same response for all of them.

mod claims;
mod introspected;
mod member;
mod outcome;
mod token;

pub(crate) use self::claims::{ClaimSet, FailFast, Lifetime, Visitor};
pub(crate) use self::member::Kind;
pub(crate) use self::outcome::{IssuerLookup, PendingFetch, Validation, unavailable};
pub(crate) use self::token::{Buffers, ParsedToken, check_size, is_jws};
