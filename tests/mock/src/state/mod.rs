//! What a server knows and remembers: its users, the issuers it trusts, and the codes, tokens, sessions and consents it
//! has given out. Its clients have a folder of their own.

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
