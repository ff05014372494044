//! Step 7: is it enough? What a verified caller may do, asked on every request, remembered or not.

mod requirement;

pub use self::requirement::{ClaimValue, Requirement};
