//! What is held: tokens and the secrets they are had with.

mod secret;

pub use self::secret::Secret;
