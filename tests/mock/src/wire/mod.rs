//! How requests come in and responses go out, on a socket or in process; and the names by which a server is reached.

pub(crate) mod body;
pub(crate) mod http1;
pub(crate) mod names;
pub(crate) mod peer;
pub(crate) mod response;
pub(crate) mod socket;
pub(crate) mod transport;
