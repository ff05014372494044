//! What the guard reads of a request: its head, and its body where a rule asks for it.

pub(crate) mod body;
mod head;

pub use self::body::RequestBody;
pub(crate) use self::body::{Reading, Unread};
pub use self::head::RequestHead;
pub(crate) use self::head::is_preflight;
