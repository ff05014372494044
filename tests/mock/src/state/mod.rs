//! What a server holds: the users it knows, the issuers it trusts, and all that it has given out and seen.

pub(crate) mod codes;
pub(crate) mod consents;
pub(crate) mod details;
pub(crate) mod devices;
mod kept;
pub(crate) mod pushed;
pub(crate) mod replays;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod trust;
pub(crate) mod users;
