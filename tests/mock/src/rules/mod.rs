//! What a test lays down for a running server: faults, tampered responses, claims, expectations, and for which requests.

pub(crate) mod expect;
pub(crate) mod faults;
pub(crate) mod matching;
pub(crate) mod tampers;
pub(crate) mod token_rules;
