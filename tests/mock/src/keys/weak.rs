//! RS256 with a key too short for the cryptographic library, which rightly refuses to sign with it.

use aws_lc_rs::digest::{SHA256, digest};
use num_bigint::BigUint;

/// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.1) from modulus, public and private exponent.
pub(crate) fn sign_rs256([n, _, d]: [&[u8]; 3], message: &[u8]) -> Vec<u8> {
    let block = BigUint::from_bytes_be(&emsa_pkcs1_sha256(message, n.len()));
    let signature = block.modpow(&BigUint::from_bytes_be(d), &BigUint::from_bytes_be(n)).to_bytes_be();
    let mut out = vec![0; n.len() - signature.len()];
    out.extend(signature);
    out
}

/// EMSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 9.2): the block that a key with exponent 1 leaves as it is.
pub(crate) fn emsa_pkcs1_sha256(message: &[u8], length: usize) -> Vec<u8> {
    const SHA256_INFO: [u8; 19] =
        [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    let hash = digest(&SHA256, message);
    let padding = length.saturating_sub(3 + SHA256_INFO.len() + hash.as_ref().len());
    let mut block = vec![0, 1];
    block.extend(vec![0xff; padding]);
    block.push(0);
    block.extend(SHA256_INFO);
    block.extend(hash.as_ref());
    block
}
