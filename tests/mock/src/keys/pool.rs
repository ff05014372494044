//! RSA keys made beforehand: making one takes up to a second, and a test suite starts hundreds of servers.
//!
//! The keys of issuers and the keys that tests make come from two halves, so that a test's forgery is never signed
//! with the key of a server, however many servers the process has started.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};

macro_rules! der {
    ($($name:literal)*) => { [$(include_bytes!(concat!("../../keys/", $name, ".der"))),*] };
}

static POOL: [&[u8]; 12] = der!(
    "rsa-2048-01" "rsa-2048-02" "rsa-2048-03" "rsa-2048-04" "rsa-2048-05" "rsa-2048-06"
    "rsa-2048-07" "rsa-2048-08" "rsa-2048-09" "rsa-2048-10" "rsa-2048-11" "rsa-2048-12"
);

/// A key whose modulus has 3072 bits.
pub(crate) const RSA_3072: &[u8] = include_bytes!("../../keys/rsa-3072.der");

/// A key that is too short for RFC 7518 section 3.3 (2048 bits at least).
pub(crate) const RSA_1024: &[u8] = include_bytes!("../../keys/rsa-1024.der");

/// Whom a key of the pool is for.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    /// The key ring of a mock issuer.
    Issuers,
    /// What a test makes itself: clients, attackers.
    Tests,
}

/// How many keys each half has.
pub(crate) const HALF: usize = POOL.len() / 2;

/// The next 2048-bit key of one half of the pool, parsed once per process, with its PKCS#1 form.
#[expect(clippy::expect_used, reason = "the keys are part of this crate, and a test parses every one")]
pub(crate) fn next_rsa(half: Half) -> (Arc<KeyPair>, &'static [u8]) {
    static NEXT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    static PARSED: [OnceLock<Arc<KeyPair>>; POOL.len()] = [const { OnceLock::new() }; POOL.len()];

    let half = half as usize;
    let slot = half * HALF + NEXT[half].fetch_add(1, Ordering::Relaxed) % HALF;
    let der = POOL[slot];
    let pair =
        PARSED[slot].get_or_init(|| Arc::new(KeyPair::from_der(der).expect("a key of the pool is valid")));
    (Arc::clone(pair), der)
}

/// A new key of 2048 bits, with its PKCS#1 form.
pub(crate) fn new_rsa() -> Option<(KeyPair, Vec<u8>)> {
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok()?;
    // PKCS#8 (RFC 5208 section 5) is the PKCS#1 form in an octet string, behind a version and the name of the
    // algorithm; for a key of this size all of that takes 26 bytes.
    let der = pkcs8.as_ref().get(26..)?.to_vec();
    KeyPair::from_der(&der).ok()?;
    Some((pair, der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_pool_parses_and_differs() {
        let mut keys = POOL;
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
        for der in POOL.into_iter().chain([RSA_3072]) {
            assert!(KeyPair::from_der(der).is_ok());
        }
    }

    #[test]
    fn the_keys_of_issuers_and_of_tests_are_never_the_same() {
        let keys = |half| (0..POOL.len()).map(move |_| next_rsa(half).1).collect::<Vec<_>>();
        let issuers = keys(Half::Issuers);
        assert!(keys(Half::Tests).iter().all(|key| !issuers.contains(key)));
    }
}
