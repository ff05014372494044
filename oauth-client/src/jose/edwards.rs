//! Whether 32 bytes encode a point of edwards25519 (RFC 8032 section 5.1.3). aws-lc-rs asks that only when it verifies, so a
//! damaged key would be taken into a key set and then verify nothing.
//!
//! It is about public keys, so nothing here has to hide how long it takes. It can only refuse: signatures are aws-lc-rs's.

/// A number modulo p = 2^255 - 19, lowest digit first, in digits of 51 bits. Digits may be a little too large.
type Number = [u64; 5];

const BITS: u32 = 51;
const DIGIT: u64 = (1 << BITS) - 1;
const P: Number = [DIGIT - 18, DIGIT, DIGIT, DIGIT, DIGIT];
const ONE: Number = [1, 0, 0, 0, 0];

/// Whether `encoded` is a coordinate y, as RFC 8032 spells it, to which the curve has an x. The sign of x is in the highest
/// bit; it does not matter here, since x is zero only for points of small order.
pub(super) fn is_point(encoded: &[u8; 32]) -> bool {
    let y = read(encoded);
    if y[1..] == P[1..] && y[0] >= P[0] {
        return false;
    }
    // x^2 = u / v with u = y^2 - 1 and v = 1 + (121665 / 121666) * -y^2. With both times 121666, u / v is a square
    // exactly when u * v is one; v is never zero.
    let square = times(&y, &y);
    let b = [121_666, 0, 0, 0, 0];
    let u = times(&minus(&square, &ONE), &b);
    let v = minus(&b, &times(&square, &[121_665, 0, 0, 0, 0]));
    is_square(&times(&u, &v))
}

fn read(encoded: &[u8; 32]) -> Number {
    let mut digits = [0; 5];
    let mut bits = encoded.iter().flat_map(|byte| (0..8).map(move |bit| u64::from(byte >> bit & 1)));
    for digit in &mut digits {
        *digit = bits.by_ref().take(BITS as usize).enumerate().map(|(n, bit)| bit << n).sum();
    }
    digits
}

/// Euler's criterion: a square to the power of (p - 1) / 2 = 2^254 - 10 is one, or zero.
fn is_square(number: &Number) -> bool {
    let mut power = ONE;
    for bit in (0..254).rev() {
        power = times(&power, &power);
        // The exponent has ones everywhere but here.
        if bit != 3 && bit != 0 {
            power = times(&power, number);
        }
    }
    is_zero(power) || is_zero(minus(&power, &ONE))
}

fn times(a: &Number, b: &Number) -> Number {
    let mut columns = [0_u128; 5];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            let product = u128::from(*x) * u128::from(*y);
            // 2^255 is 19.
            columns[(i + j) % 5] += if i + j < 5 { product } else { 19 * product };
        }
    }
    carried(columns)
}

fn minus(a: &Number, b: &Number) -> Number {
    // 2p keeps every digit from becoming negative.
    carried(std::array::from_fn(|n| u128::from(a[n] + 2 * P[n] - b[n])))
}

fn carried(columns: [u128; 5]) -> Number {
    let mut digits = [0; 5];
    let mut carry = 0;
    for (digit, column) in digits.iter_mut().zip(columns) {
        let sum = column + carry;
        *digit = (sum & u128::from(DIGIT)) as u64;
        carry = sum >> BITS;
    }
    let sum = u128::from(digits[0]) + 19 * carry;
    digits[0] = (sum & u128::from(DIGIT)) as u64;
    digits[1] += (sum >> BITS) as u64;
    digits
}

fn is_zero(mut number: Number) -> bool {
    // Each turn makes the digits smaller, until none is too large.
    for _ in 0..3 {
        number = carried(number.map(u128::from));
    }
    number == [0; 5] || number == P
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn small(y: u8, sign: u8) -> [u8; 32] {
        let mut encoded = [0; 32];
        (encoded[0], encoded[31]) = (y, sign);
        encoded
    }

    #[test]
    fn every_public_key_is_a_point_and_its_negative_is_one() {
        for _ in 0..200 {
            let pair = Ed25519KeyPair::generate().unwrap();
            let mut key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert!(is_point(&key), "{key:?}");
            key[31] ^= 0x80;
            assert!(is_point(&key), "{key:?}");
        }
    }

    /// Computed with whole numbers, by a program of another language.
    #[test]
    fn of_the_smallest_coordinates_these_are_points() {
        let points = [
            0, 1, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 19, 21, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 35, 37,
            39, 40, 42, 43, 44, 48, 51, 52, 54, 55, 56, 57, 58, 60, 61, 62, 63,
        ];
        for sign in [0, 0x80] {
            let found: Vec<u8> = (0..64).filter(|y| is_point(&small(*y, sign))).collect();
            assert_eq!(found, points);
        }
    }

    #[test]
    fn a_coordinate_of_p_or_more_is_none() {
        let mut encoded = [0xff; 32];
        for (low, is_one) in [(0xec, true), (0xed, false), (0xee, false), (0xf0, false), (0xff, false)] {
            for high in [0x7f, 0xff] {
                (encoded[0], encoded[31]) = (low, high);
                assert_eq!(is_point(&encoded), is_one, "{encoded:?}");
            }
        }
    }
}
