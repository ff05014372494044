//! Step 5: is it true? The signature, then what the claims say; cheap checks first, the same answer for all.

mod claims;
mod jws;
#[cfg(test)]
mod wycheproof;

pub(crate) use self::claims::{ClaimSet, Strict, Witness};
pub(crate) use self::jws::signed_by;
