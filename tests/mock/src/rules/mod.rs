//! What a test asks of a running server: faults, tampered responses, other claims, expectations; and which requests
//! each is about.

pub(crate) mod expect;
pub(crate) mod faults;
pub(crate) mod matching;
pub(crate) mod tampers;
pub(crate) mod token_rules;
