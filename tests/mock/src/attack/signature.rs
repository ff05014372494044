//! The signature's value: flipped, missing, forged, in another form.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use num_bigint::BigUint;

use super::request::{bearer, bearers};
use super::{Area, Attack, AttackContext, AttackRequest, Expected, der};
use crate::encode::{hex, random};
use crate::keys::Alg;
use crate::keys::weak::emsa_pkcs1_sha256;

const AREA: Area = Area::Signature;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "signature-bit-flipped",
        "G017",
        "RFC 7515 section 5.2",
        "one changed bit in any part is noticed",
        "The claims are no longer those the issuer signed.",
        signature_bit_flipped,
    ),
    Attack::refused(
        AREA,
        "signature-empty",
        "G018",
        "RFC 7515 section 5.2",
        "an empty signature is refused",
        "Any client can leave the signature out.",
        signature_empty,
    ),
    Attack::refused(
        AREA,
        "signature-by-a-foreign-key",
        "G017",
        "RFC 7515 section 5.2",
        "another key's signature under the trusted key id is refused",
        "Any client can sign with a key of its own under the issuer's key id.",
        signature_by_a_foreign_key,
    ),
    Attack::refused(
        AREA,
        "signature-psychic",
        "G020",
        "FIPS 186-5 section 6.4.2",
        "ECDSA numbers outside 1..n are refused",
        "These numbers fit every message where zero is not refused (CVE-2022-21449).",
        signature_psychic,
    ),
    Attack::refused(
        AREA,
        "signature-in-der",
        "G021",
        "RFC 7518 section 3.4",
        "an ECDSA signature in DER is refused",
        "One signature then has many spellings.",
        signature_in_der,
    )
    .strict(),
    Attack::refused(
        AREA,
        "signature-of-wrong-length",
        "G022",
        "RFC 7518 section 3.4",
        "an ECDSA signature of another length is refused",
        "One signature then has many spellings; bytes are skipped or made up.",
        signature_of_wrong_length,
    )
    .strict(),
    Attack::refused(
        AREA,
        "signature-pkcs1-forged-padding",
        "G023",
        "RFC 8017 section 8.2.2",
        "PKCS#1 padding is compared whole, never parsed",
        "With a small exponent such a block can be computed without the private key.",
        signature_pkcs1_forged_padding,
    ),
    Attack::refused(
        AREA,
        "signature-pss-other-parameters",
        "G024",
        "RFC 7518 section 3.5",
        "PSS with another hash, salt length or scheme is refused",
        "The algorithm's name fixes hash and salt; a verifier that takes others verifies something else.",
        signature_pss_other_parameters,
    )
    .strict(),
    Attack::refused(
        AREA,
        "signature-forged-twin",
        "G163",
        "RFC 7515 section 5.2",
        "a token that differs from a known one in its signature only is not taken for it",
        "A cache that knows tokens by their claims lets forgeries in.",
        signature_forged_twin,
    ),
    Attack::refused(
        AREA,
        "signature-of-a-known-token",
        "G162",
        "RFC 7515 section 5.2",
        "a token that shares its signature or its id with a known one is not taken for it",
        "A cache that knows tokens by a part of them lets any client put its own claims there.",
        signature_of_a_known_token,
    ),
    Attack::accepted(
        AREA,
        "signature-high-s",
        "G026",
        "RFC 7518 section 3.4",
        "both ECDSA signatures of a twin pair are good, so token bytes are no identity",
        "Both are valid ECDSA; a list of revoked tokens by their bytes misses the twin.",
        signature_high_s,
    )
    .by_choice(),
];

/// The order of P-256 (SEC 2 section 2.4.2).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A bit of the header, of the claims and of the signature.
fn signature_bit_flipped(context: &AttackContext) -> Vec<AttackRequest> {
    // Inside a value, so that the JSON stays JSON and only the signature can notice; of a claim that no API asks for, so
    // that nothing else about the token is wrong.
    let name = new_name();
    let good = context.good().claim(name.clone(), 0);
    let signature = good.sign(good.signing_input().as_bytes());
    let header = super::context::text_of(good.header_members());
    let other_header = header.replacen('}', ",\"x\":0}", 1);
    let mut other_signature = signature.clone();
    if let Some(byte) = other_signature.get_mut(17) {
        *byte ^= 1;
    }
    bearers([
        ("header", good.clone().raw_header(other_header).signature(signature.clone()).build()),
        ("claims", good.clone().claim(name, 1).signature(signature).build()),
        ("signature", good.signature(other_signature).build()),
    ])
}

fn signature_empty(context: &AttackContext) -> Vec<AttackRequest> {
    bearers(
        [Alg::Rs256, Alg::Es256, Alg::EdDsa]
            .map(|alg| (alg.as_str(), context.good().alg(alg).signature(Vec::new()).build())),
    )
}

fn signature_by_a_foreign_key(context: &AttackContext) -> Vec<AttackRequest> {
    let foreign = |alg: Alg| {
        let key = if alg == Alg::Rs256 { context.foreign().clone() } else { context.keys().foreign(alg) };
        (alg.as_str(), context.good().signed_with(&key).kid(context.key(alg).kid()).build())
    };
    bearers([Alg::Rs256, Alg::Es256, Alg::EdDsa].map(foreign))
}

/// r and s out of 0, 1, n − 1 and n.
fn signature_psychic(context: &AttackContext) -> Vec<AttackRequest> {
    let mut one = [0; 32];
    one[31] = 1;
    let mut less = P256_ORDER;
    less[31] -= 1;
    let numbers = [("0", [0; 32]), ("1", one), ("n-1", less), ("n", P256_ORDER)];
    let pairs = numbers.iter().flat_map(|r| numbers.iter().map(move |s| (r, s)));
    bearers(pairs.map(|((r_name, r), (s_name, s))| {
        let token = context.good().alg(Alg::Es256).signature([*r, *s].concat()).build();
        (format!("r={r_name} s={s_name}"), token)
    }))
}

fn signature_in_der(context: &AttackContext) -> Vec<AttackRequest> {
    let token = context.good().alg(Alg::Es256);
    let (r, s) = es256(&token);
    bearer(&token.signature(der::sequence(&[&der::integer(&r), &der::integer(&s)])).build())
}

/// One byte less, one more, half more, and zeros behind.
fn signature_of_wrong_length(context: &AttackContext) -> Vec<AttackRequest> {
    let token = context.good().alg(Alg::Es256);
    let (r, s) = es256(&token);
    let whole = [r, s].concat();
    let variants = [
        ("63 bytes", whole[..63].to_vec()),
        ("65 bytes", [&whole[..], &[1]].concat()),
        ("96 bytes", [&whole[..], &whole[..32]].concat()),
        ("zeros behind", [&whole[..], &[0; 32]].concat()),
        ("zeros before", [&[0; 32], &whole[..]].concat()),
    ];
    bearers(variants.map(|(name, signature)| (name, token.clone().signature(signature).build())))
}

/// Blocks that a verifier accepts if it parses the padding instead of comparing it; each truly signed.
fn signature_pkcs1_forged_padding(context: &AttackContext) -> Vec<AttackRequest> {
    let key = context.key(Alg::Rs256);
    let token = context.good().signed_with(&key);
    let message = token.signing_input();
    let Some([n, _, d]) = key.rsa_numbers() else { return Vec::new() };
    let good = emsa_pkcs1_sha256(message.as_bytes(), n.len());
    let info = good[good.len() - 51..].to_vec();
    let hash = &info[19..];
    // AlgorithmIdentifier without its NULL (RFC 8017 section A.2.4 wants it).
    let without_null = [&[0x30, 0x2f, 0x30, 0x0b][..], &info[4..15], &[4, 0x20], hash].concat();
    let long_length = [&[0x30, 0x81, 0x31][..], &info[2..]].concat();
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, message.as_bytes());
    let sha1_info =
        [&[0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x14][..], sha1.as_ref()].concat();
    let mut short_padding = [&[0, 1][..], &[0xff; 8], &[0], &info].concat();
    short_padding.resize(n.len(), 0);
    let mut type_2 = good.clone();
    type_2[1] = 2;
    let mut hole = good;
    hole[20] = 0xfe;
    let variants = [
        ("garbage behind the hash", short_padding),
        ("block type 2", type_2),
        ("a byte of the padding is not FF", hole),
        ("no NULL in the algorithm", padded(&without_null, n.len())),
        ("a length in long form", padded(&long_length, n.len())),
        ("SHA-1 inside", padded(&sha1_info, n.len())),
        ("the hash alone", padded(hash, n.len())),
    ];
    bearers(variants.map(|(name, block)| (name, token.clone().signature(raw_rsa(&block, n, d)).build())))
}

/// PSS made with SHA-384, with no salt, with a short salt; PKCS#1 under the name of PSS, and the reverse.
fn signature_pss_other_parameters(context: &AttackContext) -> Vec<AttackRequest> {
    let key = context.key(Alg::Ps256);
    let token = context.good().signed_with(&key);
    let message = token.signing_input();
    let Some([n, _, d]) = key.rsa_numbers() else { return Vec::new() };
    let salted = |salt: &[u8]| raw_rsa(&emsa_pss(message.as_bytes(), salt, n.len()), n, d);
    let mut variants = vec![
        ("no salt".to_owned(), token.clone().signature(salted(&[])).build()),
        ("a salt of 20 bytes".to_owned(), token.signature(salted(&[7; 20])).build()),
    ];
    for (published, used) in [(Alg::Ps256, Alg::Ps384), (Alg::Ps256, Alg::Rs256), (Alg::Rs256, Alg::Ps256)] {
        let key = context.key(published);
        let token = context.good().signed_with(&key);
        if let Some(signature) =
            key.with_alg(used).ok().and_then(|key| key.sign(token.signing_input().as_bytes()).ok())
        {
            variants.push((
                format!("labelled {published}, made with {used}"),
                token.signature(signature).build(),
            ));
        }
    }
    bearers(variants)
}

/// A good token, so that the target knows it, and then its header and claims under another signature.
fn signature_forged_twin(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good();
    let mut signature = good.sign(good.signing_input().as_bytes());
    signature.reverse();
    vec![
        AttackRequest::bearer("the good one first", &good.clone().build()).expecting(Expected::ACCEPTED),
        AttackRequest::bearer("its twin", &good.signature(signature).build()),
    ]
}

/// A good token, so that the target knows it, and then parts of it in tokens that the issuer did not sign.
fn signature_of_a_known_token(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good();
    let signature = good.sign(good.signing_input().as_bytes());
    // Of a further claim, since the target may want the others as they are.
    let name = new_name();
    let swapped = good.clone().claim(name.clone(), 1).signature(signature.clone()).build();
    let of_header = good.clone().header("x", 1).signature(signature).build();
    let foreign = context.foreign();
    let its_id = good.clone().signed_with(foreign).kid(&context.keys().current_kid());
    vec![
        AttackRequest::bearer("the good one first", &good.build()).expecting(Expected::ACCEPTED),
        AttackRequest::bearer("other claims before its signature", &swapped),
        AttackRequest::bearer("another header, its claims and signature", &of_header),
        AttackRequest::bearer("its claims and jti, by a foreign key", &its_id.clone().build()),
        AttackRequest::bearer("its jti, other claims, by a foreign key", &its_id.claim(name, 1).build()),
    ]
}

/// The name of a claim that no good token has.
fn new_name() -> String {
    format!("x-{}", hex(&random::<8>()))
}

/// A good ES256 signature (r, s) and its twin (r, n − s).
fn signature_high_s(context: &AttackContext) -> Vec<AttackRequest> {
    let token = context.good().alg(Alg::Es256);
    let (r, s) = es256(&token);
    let twin = BigUint::from_bytes_be(&P256_ORDER) - BigUint::from_bytes_be(&s);
    let twin = left_padded(&twin.to_bytes_be(), 32);
    bearers([
        ("as signed", token.clone().signature([r.clone(), s].concat()).build()),
        ("its twin", token.signature([r, twin].concat()).build()),
    ])
}

/// r and s of a token signed with ES256.
fn es256(token: &crate::TokenBuilder) -> (Vec<u8>, Vec<u8>) {
    let signature = token.sign(token.signing_input().as_bytes());
    let (r, s) = signature.split_at(signature.len() / 2);
    (r.to_vec(), s.to_vec())
}

fn padded(info: &[u8], length: usize) -> Vec<u8> {
    let padding = vec![0xff; length.saturating_sub(info.len() + 3)];
    [&[0, 1][..], &padding, &[0], info].concat()
}

/// RSASP1 (RFC 8017 section 5.2.1): the private operation on any block.
fn raw_rsa(block: &[u8], n: &[u8], d: &[u8]) -> Vec<u8> {
    let [block, modulus, exponent] = [block, n, d].map(BigUint::from_bytes_be);
    left_padded(&block.modpow(&exponent, &modulus).to_bytes_be(), n.len())
}

fn left_padded(bytes: &[u8], length: usize) -> Vec<u8> {
    [&vec![0; length.saturating_sub(bytes.len())][..], bytes].concat()
}

/// EMSA-PSS with SHA-256 and any salt (RFC 8017 section 9.1.1), for a modulus of whole bytes.
fn emsa_pss(message: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let hash = digest(&SHA256, message);
    let h = digest(&SHA256, &[&[0; 8][..], hash.as_ref(), salt].concat());
    let mut block = vec![0; length - 32 - 1 - salt.len() - 1];
    block.push(1);
    block.extend(salt);
    let mask = mgf1(h.as_ref(), block.len());
    block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    block[0] &= 0x7f;
    block.extend(h.as_ref());
    block.push(0xbc);
    block
}

/// MGF1 with SHA-256 (RFC 8017 section B.2.1).
fn mgf1(seed: &[u8], length: usize) -> impl Iterator<Item = u8> {
    let block =
        move |counter: u32| digest(&SHA256, &[seed, &counter.to_be_bytes()].concat()).as_ref().to_vec();
    (0..).flat_map(block).take(length)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::PublicKeyComponents;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256};

    use super::*;
    use crate::keys::TestKey;

    #[test]
    fn the_forgeries_are_wrong_in_one_thing_only() {
        let key = TestKey::generate(Alg::Rs256);
        let [n, e, d] = key.rsa_numbers().unwrap();
        let public = || PublicKeyComponents { n, e };
        let pkcs1 = raw_rsa(&emsa_pkcs1_sha256(b"m", n.len()), n, d);
        public().verify(&RSA_PKCS1_2048_8192_SHA256, b"m", &pkcs1).unwrap();
        let pss = |salt: &[u8]| raw_rsa(&emsa_pss(b"m", salt, n.len()), n, d);
        public().verify(&RSA_PSS_2048_8192_SHA256, b"m", &pss(&[7; 32])).unwrap();
        public().verify(&RSA_PSS_2048_8192_SHA256, b"m", &pss(&[7; 20])).unwrap_err();
    }
}
