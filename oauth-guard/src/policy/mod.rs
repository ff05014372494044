//! Step 7: is it enough? What a verified caller may do, asked on every request, remembered or not.

mod demand;
mod missing;
mod path;
mod requirement;
mod routes;
mod rule;

pub(crate) use self::demand::Demand;
#[cfg(feature = "axum")]
pub(crate) use self::demand::would_refuse;
pub use self::requirement::{ClaimValue, Requirement};
pub use self::rule::Rule;
pub(crate) use self::rule::Rules;
