//! Unguessable values, and the challenge of RFC 7636.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::token::Secret;

/// 256 bits from the operating system, as 43 characters: a state, a nonce, or a `code_verifier` (RFC 7636 section 4.1
/// asks for 43 to 128 characters and recommends exactly this).
pub(super) fn unguessable() -> Result<Secret, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)
        .map_err(|_| Error::config("random", "the operating system gives no random numbers"))?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
}

/// The `S256` challenge of a verifier (RFC 7636 section 4.2).
pub(super) fn s256(verifier: &Secret) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = Secret::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(s256(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_hundred_thousand_values_are_unique_and_well_formed() {
        let values: HashSet<_> = (0..100_000).map(|_| unguessable().unwrap().expose().to_owned()).collect();
        assert_eq!(values.len(), 100_000);
        assert!(values.iter().all(|value| value.len() == 43));
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        assert!(values.iter().all(|value| value.bytes().all(unreserved)));
        // 256 bits each: over so many, every bit is set about half the time.
        let bytes = values.iter().map(|value| BASE64_URL_SAFE_NO_PAD.decode(value).unwrap());
        let mut ones = [0_u32; 256];
        for bytes in bytes {
            (0..256).for_each(|bit| ones[bit] += u32::from(bytes[bit / 8] >> (bit % 8) & 1));
        }
        assert!(ones.iter().all(|count| (48_000..52_000).contains(count)), "{ones:?}");
    }
}
