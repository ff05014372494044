//! The little DER that attacks need (X.690 section 8).

/// A SEQUENCE of what is already encoded.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// A non-negative INTEGER from big-endian bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut value = bytes[first..].to_vec();
    if value.first().is_none_or(|byte| *byte >= 0x80) {
        value.insert(0, 0);
    }
    element(2, &value)
}

/// The SubjectPublicKeyInfo of an RSA key (RFC 3279 section 2.3.1).
pub(super) fn rsa_spki(n: &[u8], e: &[u8]) -> Vec<u8> {
    const RSA: [u8; 15] = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let key = [&[0][..], &sequence(&[&integer(n), &integer(e)])].concat();
    sequence(&[&RSA, &element(3, &key)])
}

/// The SubjectPublicKeyInfo of a P-256 key (RFC 5480 section 2) from its point, compressed or not.
pub(super) fn ec_spki(point: &[u8]) -> Vec<u8> {
    const P256: [u8; 21] =
        [0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    sequence(&[&P256, &element(3, &[&[0], point].concat())])
}

/// The SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 section 4).
pub(super) fn ed25519_spki(key: &[u8]) -> Vec<u8> {
    sequence(&[&[0x30, 5, 6, 3, 0x2b, 0x65, 0x70], &element(3, &[&[0], key].concat())])
}

/// Any element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        // At most eight, so it fits.
        out.push(0x80 | significant.len() as u8);
    }
    out.extend(significant);
    out.extend(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_signs_are_minimal() {
        assert_eq!(integer(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
        assert_eq!(element(4, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }
}
