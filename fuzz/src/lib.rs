//! What the fuzz targets check. Each module is one target: a function that takes bytes and panics when a statement
//! about the crates does not hold, and the seeds that fuzzing starts from. `README.md` lists the statements.

pub mod bearer;
pub mod certificates;
pub mod challenge;
pub mod claims;
pub mod client_config;
pub mod cookies;
pub mod dpop;
pub mod guard_config;
pub mod introspection;
pub mod jwk;
pub mod jws;
pub mod metadata;
pub mod rules;
pub mod statements;
pub mod store;
pub mod token_response;

mod config;
// Elliptic curves by their equations.
mod curve;
// A guard and its tokens.
mod fixture;
// JSON once more, by serde_json and a finder of duplicates.
mod json;
mod secrets;
// Choices out of bytes, for what is generated.
mod support;
mod target;
mod wycheproof;

pub use self::target::{LONGEST, Target};
