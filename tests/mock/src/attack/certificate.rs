//! A chain of certificates that an attacker makes (RFC 5280 section 4.1): valid in itself, and signed by no authority that an API knows.

use super::der::{ec_spki, element, integer, rsa_spki, sequence};
use crate::keys::{Alg, TestKey};

/// ecdsa-with-SHA256 (RFC 5758 section 3.2).
const ECDSA_SHA256: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// 2000 to 2099.
const VALIDITY: [&[u8]; 2] = [b"\x17\x0d000101000000Z", b"\x18\x0f20991231235959Z"];

/// The certificates of an RSA key and of the authority that vouches for it, each in DER, the key's first; `None` if
/// `key` is of another kind.
pub(super) fn chain(key: &TestKey) -> Option<[Vec<u8>; 2]> {
    let [n, e, _] = key.rsa_numbers()?;
    let authority = TestKey::generate(Alg::Es256);
    let of_authority = ec_spki(&authority.public_point()?);
    let leaf = signed(&authority, "api.test", &rsa_spki(n, e), &[])?;
    // Basic constraints (RFC 5280 section 4.2.1.9): it may sign others.
    let may_sign = element(
        0xa3,
        &sequence(&[&sequence(&[&[6, 3, 0x55, 0x1d, 19, 1, 1, 0xff, 4, 5], &[0x30, 3, 1, 1, 0xff]])]),
    );
    let root = signed(&authority, "root.test", &of_authority, &may_sign)?;
    Some([leaf, root])
}

/// The certificate of a client with a key of its own, which an unknown authority vouches for.
pub(super) fn client(common_name: &str) -> Option<Vec<u8>> {
    let [authority, key] = [(); 2].map(|()| TestKey::generate(Alg::Es256));
    signed(&authority, common_name, &ec_spki(&key.public_point()?), &[])
}

fn signed(authority: &TestKey, subject: &str, spki: &[u8], extensions: &[u8]) -> Option<Vec<u8>> {
    let to_be_signed = sequence(&[
        &[0xa0, 3, 2, 1, 2],
        &integer(&crate::encode::random::<8>()),
        &ECDSA_SHA256,
        &name("root.test"),
        &sequence(&VALIDITY),
        &name(subject),
        spki,
        extensions,
    ]);
    let signature = authority.sign(&to_be_signed).ok()?;
    let (r, s) = signature.split_at(signature.len() / 2);
    let signature = [&[0][..], &sequence(&[&integer(r), &integer(s)])].concat();
    Some(sequence(&[&to_be_signed, &ECDSA_SHA256, &element(3, &signature)]))
}

/// A common name alone (RFC 5280 section 4.1.2.4).
fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&[6, 3, 0x55, 4, 3], &element(0x0c, common_name.as_bytes())]);
    sequence(&[&element(0x31, &attribute)])
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};

    use super::*;

    /// What a reader of certificates makes of them.
    #[cfg(feature = "tls")]
    #[test]
    fn the_chain_holds() {
        use x509_parser::prelude::{FromDer as _, X509Certificate};

        let key = TestKey::generate(Alg::Rs256);
        let [leaf, root] = chain(&key).unwrap();
        let (rest, leaf) = X509Certificate::from_der(&leaf).unwrap();
        assert!(rest.is_empty() && leaf.subject().to_string() == "CN=api.test");
        let (rest, root) = X509Certificate::from_der(&root).unwrap();
        assert!(rest.is_empty() && root.is_ca() && leaf.issuer() == root.subject());
        let authority =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, root.public_key().subject_public_key.data.as_ref())
                .unwrap();
        for certificate in [&leaf, &root] {
            let signature = certificate.signature_value.data.as_ref();
            authority.verify_sig(certificate.tbs_certificate.as_ref(), signature).unwrap();
        }
        let [n, e, _] = key.rsa_numbers().unwrap();
        assert_eq!(leaf.public_key().raw, rsa_spki(n, e));
    }

    #[test]
    fn only_an_rsa_key_gets_one() {
        assert!(chain(&TestKey::generate(Alg::Es256)).is_none());
    }
}
