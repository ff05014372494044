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

/// The keys of a JWK set that a test gives.
///
/// # Panics
/// If it has no list `keys`.
#[expect(clippy::panic, reason = "a key set that is none is an error in the test itself")]
pub(crate) fn keys_of(jwks: &serde_json::Value) -> &[serde_json::Value] {
    let Some(keys) = jwks.get("keys").and_then(serde_json::Value::as_array) else {
        panic!("a JWK set has the member `keys`, a list (RFC 7517 section 5)")
    };
    keys
}

#[cfg(test)]
mod tests;
