//! Step 5: is it enough? Rules by route and requirements, checked on every request, cached token or not.

mod alternatives;
mod authorization;
mod compiled;
mod implied;
mod mcp;
mod missing;
mod origin;
mod path;
mod requirement;
mod routes;
mod rule;
mod strength;

pub(crate) use self::alternatives::Alternatives;
pub(crate) use self::authorization::log_dry_run;
pub(crate) use self::authorization::{Authorization, BodyCheck, DryRun, OfLayer, Preflight, Surroundings};
pub(crate) use self::compiled::{Known, Vocabulary, VocabularyId};
pub(crate) use self::implied::Implied;
pub(crate) use self::mcp::compare;
pub use self::requirement::{ClaimValue, Requirement};
pub use self::rule::Rule;
pub(crate) use self::rule::{Bindings, Defaults, Extras, Need, RouteRules};
