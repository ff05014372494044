//! Curves by their equations (SEC 1 section 2.3.4, RFC 8032 section 5.1), slow and plain.

use num_bigint::BigUint;

/// Modulus and `b` of `y^2 = x^3 - 3x + b`, in hexadecimal.
const CURVES: [(&str, usize, &str, &str); 3] = [
    (
        "P-256",
        32,
        "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    ),
    (
        "P-384",
        48,
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    ),
    (
        "P-521",
        66,
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
    ),
];

/// Whether these are the coordinates of a point, each at its full length and smaller than the modulus.
pub(crate) fn is_on(name: &str, x: &[u8], y: &[u8]) -> bool {
    let Some((_, length, p, b)) = CURVES.iter().find(|(known, ..)| *known == name) else { return false };
    let (p, b) = (hexadecimal(p), hexadecimal(b));
    let is_full = x.len() == *length && y.len() == *length;
    let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
    is_full && x < p && y < p && (&y * &y) % &p == (&x * &x * &x + (&p - 3_u8) * &x + b) % &p
}

/// Whether this is the encoding of a point (RFC 8032 section 5.1.3), and none of the eight points of small order: eight times
/// such a point is the neutral element.
pub(crate) fn is_safe_ed25519(encoded: &[u8]) -> bool {
    let Ok(mut bytes) = <[u8; 32]>::try_from(encoded) else { return false };
    bytes[31] &= 0x7f;
    let one = BigUint::from(1_u8);
    let p: BigUint = (&one << 255) - 19_u8;
    // Both signs of x have the same order. Where x is zero the order is small, so its sign needs no look.
    let y = BigUint::from_bytes_le(&bytes);
    if y >= p {
        return false;
    }
    let inverse = |number: &BigUint| number.modpow(&(&p - 2_u8), &p);
    let negative = |number: &BigUint| (&p - number % &p) % &p;
    // -121665 / 121666
    let d = negative(&BigUint::from(121_665_u32)) * inverse(&BigUint::from(121_666_u32)) % &p;
    let square = (&y * &y + &p - &one) % &p * inverse(&((&d * &y * &y + &one) % &p)) % &p;
    let Some(x) = root(&square, &p) else { return false };
    let mut point = (x, y);
    for _ in 0..3 {
        // (x, y) + (x, y) on -x^2 + y^2 = 1 + d x^2 y^2.
        let (x, y) = &point;
        let product = &d * x * x % &p * y % &p * y % &p;
        let doubled_x = (x * y * 2_u8) % &p * inverse(&((&one + &product) % &p)) % &p;
        let doubled_y = (y * y + x * x) % &p * inverse(&((&one + negative(&product)) % &p)) % &p;
        point = (doubled_x, doubled_y);
    }
    point != (BigUint::ZERO, one)
}

/// A square root, where p is 5 modulo 8.
fn root(square: &BigUint, p: &BigUint) -> Option<BigUint> {
    let candidate = square.modpow(&((p + 3_u8) >> 3), p);
    let is_root = |root: &BigUint| (root * root) % p == *square;
    let other = BigUint::from(2_u8).modpow(&((p - 1_u8) >> 2), p) * &candidate % p;
    [candidate, other].into_iter().find(is_root)
}

fn hexadecimal(digits: &str) -> BigUint {
    BigUint::parse_bytes(digits.as_bytes(), 16).expect("digits")
}
