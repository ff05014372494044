//! Step 5: is it enough? Rules by route and requirements, checked on every request, cached token or not.

mod alternatives;
mod authorization;
mod missing;
mod path;
mod requirement;
mod routes;
mod rule;

pub(crate) use self::alternatives::Alternatives;
#[cfg(feature = "axum")]
pub(crate) use self::authorization::log_dry_run;
pub(crate) use self::authorization::{Authorization, DryRun, OfLayer, Preflight};
pub use self::requirement::{ClaimValue, Requirement};
pub use self::rule::Rule;
pub(crate) use self::rule::{Defaults, Need, RouteRules};
