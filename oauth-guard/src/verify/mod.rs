//! The signature check.

mod jws;
#[cfg(test)]
mod wycheproof;

pub(crate) use self::jws::signed_by;
