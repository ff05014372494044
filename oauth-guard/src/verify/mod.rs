//! Step 5: is it true? The signature, then what the claims say; cheap checks first, the same answer for all.

mod claims;

pub(crate) use self::claims::{ClaimSet, Strict, Witness};
pub(crate) use crate::jose::signed_by;
