//! Members of a token endpoint's response that a set of tokens has in another form. To read past them would lose how long
//! the token lives, or that it needs a proof.

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};

/// `expires_in` counts from a moment that only who received the response knows.
pub(crate) fn no_expires_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match Option::<IgnoredAny>::deserialize(deserializer)? {
        None => Ok(()),
        Some(_) => Err(D::Error::custom(
            "expires_in is of a token endpoint's response, and does not say from when it counts; write issued_at_ms and \
             lifetime_ms instead, or make the set by TokenSet::new(..).with_issued_at(..).with_lifetime(..)",
        )),
    }
}

/// A `token_type` that is not that of every set without `jkt`.
pub(crate) fn bearer_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(name) if !name.eq_ignore_ascii_case("bearer") => Err(D::Error::custom(
            "token_type is of a token endpoint's response, and is not Bearer; a token that is bound to a key is written \
             with jkt instead, the key's thumbprint",
        )),
        _ => Ok(()),
    }
}
