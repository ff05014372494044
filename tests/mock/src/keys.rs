//! Signing keys: what they are ([`TestKey`]) and which of them a server publishes ([`Keys`]).

mod alg;
mod pool;
mod ring;
mod test_key;
pub(crate) mod weak;

pub use self::{
    alg::Alg,
    ring::Keys,
    test_key::{KeyError, TestKey},
};

#[cfg(test)]
pub(crate) mod tests;
