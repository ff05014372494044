//! Signing keys: what they are ([`TestKey`]) and which of them a server publishes ([`Keys`]).

mod alg;
mod pool;
mod ring;
mod test_key;
mod verify;
pub(crate) mod weak;

pub(crate) use self::ring::Published;
pub(crate) use self::verify::{thumbprint, verifies};
pub use self::{
    alg::Alg,
    ring::Keys,
    test_key::{KeyError, TestKey},
};

#[cfg(test)]
mod tests;
