//! As many tokens as one likes: signed with a secret, which takes a microsecond and no randomness.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_guard::{Algorithm, Guard, GuardBuilder, Issuer};

use super::setting::{AUDIENCE, ISSUER};

/// What they are signed with.
pub(crate) const SECRET: [u8; 32] = [7; 32];

/// Mints tokens by number.
pub(crate) struct Many {
    key: hmac::Key,
    header: String,
    payload: String,
}

impl Many {
    /// Tokens with the header and claims of this one, whose `jti` takes the number.
    pub(crate) fn like(token: &str) -> Self {
        let payload = token.split('.').nth(1).expect("three parts");
        let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("text");
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"at+jwt"}"#);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &SECRET), header, payload }
    }

    pub(crate) fn token(&self, number: usize) -> String {
        const NAME: &str = "\"jti\":\"";
        let start = self.payload.find(NAME).expect("a jti") + NAME.len();
        let mut payload = self.payload.clone();
        payload.replace_range(start..start + 8, &format!("{number:08}"));
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(payload));
        let signature = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// A guard that accepts them, with room for all.
    pub(crate) fn guard() -> GuardBuilder {
        let issuer = Issuer::new(ISSUER).audience(AUDIENCE).hmac_secret(Algorithm::Hs256, SECRET);
        Guard::builder().issuer(issuer).cache_bytes(8 << 30)
    }
}
