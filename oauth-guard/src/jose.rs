//! Step 3: the token's outer form and its header, and nothing that a signature would have to vouch for.
//!
//! The header is the attacker's to write. It may say which algorithm and key id to look for; it never brings a
//! key (`jwk`, `jku`, `x5c`, `x5u` are not looked at) and it never changes how the token is read (`crit`,
//! `b64`, `zip` and `enc` are refused, since none of them is understood here).

use std::borrow::Cow;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::sync::LazyLock;

use base64::Engine;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::algorithm::Algorithm;
use crate::defaults::{HEADER_BYTES, KEY_ID_BYTES, SIGNATURE_BYTES};
use crate::json::{self, Text, Value};
use crate::reject::TokenError;

/// A compact JWS (RFC 7515 §7.1) in its three parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compact<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// What the signature covers: header, dot, payload, as sent.
    pub(crate) signed: &'a str,
}

impl<'a> Compact<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, TokenError> {
        let cut = |text: &'a str| text.split_at_checked(memchr::memchr(b'.', text.as_bytes())?);
        let (header, rest) = cut(token).ok_or(TokenError::NotACompactJws)?;
        let (payload, signature) = rest.get(1..).and_then(cut).ok_or(TokenError::NotACompactJws)?;
        let signature = signature.get(1..).unwrap_or_default();
        if memchr::memchr(b'.', signature.as_bytes()).is_some() {
            return Err(TokenError::NotACompactJws);
        }
        // An empty payload is a payload (it is no claims set, which shows later); an empty signature is none.
        if header.is_empty() || signature.is_empty() {
            return Err(TokenError::NotACompactJws);
        }
        if header.len() > HEADER_BYTES {
            return Err(TokenError::HeaderTooLong);
        }
        let signed = token.get(..header.len() + 1 + payload.len()).ok_or(TokenError::NotACompactJws)?;
        Ok(Self { header, payload, signature, signed })
    }

    pub(crate) fn payload<'b>(&self, scratch: &'b mut Scratch) -> Result<&'b str, TokenError> {
        let bytes = scratch.decode(self.payload)?;
        std::str::from_utf8(bytes).map_err(|_| TokenError::NotUtf8)
    }

    /// One longer than any key makes is no signature.
    pub(crate) fn signature<'b>(&self, scratch: &'b mut Scratch) -> Result<&'b [u8], TokenError> {
        if self.signature.len() > SIGNATURE_BYTES.div_ceil(3) * 4 {
            return Err(TokenError::Base64);
        }
        scratch.decode(self.signature)
    }
}

/// Where a part is decoded to be looked at once: on the stack, as long as it is of a usual size.
pub(crate) struct Scratch {
    near: [u8; NEAR],
    far: Vec<u8>,
}

/// What nearly all headers, payloads and signatures fit in. It is zeroed each time, so no more than that.
const NEAR: usize = 512;

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { near: [0; NEAR], far: Vec::new() }
    }

    fn decode(&mut self, encoded: &str) -> Result<&[u8], TokenError> {
        // What three quarters are, rounded up.
        let most = encoded.len().div_ceil(4) * 3;
        let room = match self.near.get_mut(..most) {
            Some(room) => room,
            None => {
                self.far.resize(most, 0);
                &mut self.far
            }
        };
        let length = base64().decode_slice(encoded, room).map_err(|_| TokenError::Base64)?;
        room.get(..length).ok_or(TokenError::Base64)
    }
}

/// What the header says.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Cow<'a, str>>,
    pub(crate) typ: Typ,
}

/// The `typ` of a token, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typ {
    Absent,
    /// `JWT`.
    Jwt,
    /// `at+jwt` or `application/at+jwt` (RFC 9068 §2.1).
    AccessToken,
    Other,
}

impl<'a> Header<'a> {
    pub(crate) fn read(encoded: &str, scratch: &'a mut Scratch) -> Result<Self, TokenError> {
        let bytes = scratch.decode(encoded)?;
        let text = std::str::from_utf8(bytes).map_err(|_| TokenError::NotUtf8)?;
        let mut read = Members::default();
        json::read_object(text, &mut |name, value, _| read.member(name, value))
            .map_err(TokenError::Header)?;
        if let Some(flaw) = read.flaw {
            return Err(flaw);
        }
        let algorithm = read.algorithm.ok_or(TokenError::HeaderMember("alg"))?;
        Ok(Self { algorithm, key_id: read.key_id, typ: read.typ.unwrap_or(Typ::Absent) })
    }
}

#[derive(Default)]
struct Members<'a> {
    algorithm: Option<Algorithm>,
    key_id: Option<Cow<'a, str>>,
    typ: Option<Typ>,
    flaw: Option<TokenError>,
}

impl<'a> Members<'a> {
    fn member(&mut self, name: Text<'a>, value: Value<'a>) {
        let result = self.read(&name.decode(), value);
        if let Err(flaw) = result {
            self.flaw.get_or_insert(flaw);
        }
    }

    fn read(&mut self, name: &str, value: Value<'a>) -> Result<(), TokenError> {
        match name {
            "alg" => {
                let text = value.as_text().ok_or(TokenError::HeaderMember("alg"))?;
                self.algorithm =
                    Some(Algorithm::from_name(&text.decode()).ok_or(TokenError::UnknownAlgorithm)?);
            }
            "kid" => {
                let text = value.as_text().filter(|text| text.raw.len() <= KEY_ID_BYTES);
                self.key_id = Some(text.ok_or(TokenError::HeaderMember("kid"))?.decode());
            }
            "typ" => {
                let text = value.as_text().ok_or(TokenError::HeaderMember("typ"))?;
                self.typ = Some(Typ::of(&text.decode()));
            }
            "cty" => {
                let text = value.as_text().ok_or(TokenError::HeaderMember("cty"))?.decode();
                // RFC 7519 §5.2: the payload is a JWT again, whose claims nobody has looked at.
                if media_type(&text).eq_ignore_ascii_case("jwt") {
                    return Err(TokenError::HeaderMember("cty"));
                }
            }
            // RFC 7515 §4.1.11: what must be understood, and is not, makes the token invalid.
            "crit" => return Err(TokenError::HeaderMember("crit")),
            "b64" => return Err(TokenError::HeaderMember("b64")),
            "enc" => return Err(TokenError::HeaderMember("enc")),
            "zip" => return Err(TokenError::HeaderMember("zip")),
            // Never used, but a header that is malformed in what it has to do with keys is not let pass.
            "jwk" if !matches!(value, Value::Object(_)) => return Err(TokenError::HeaderMember("jwk")),
            "x5c" => match value {
                Value::Array(list) if list.items().all(|item| matches!(item, Value::String(_))) => {}
                _ => return Err(TokenError::HeaderMember("x5c")),
            },
            "jku" | "x5u" | "x5t" | "x5t#S256" if value.as_text().is_none() => {
                return Err(TokenError::HeaderMember("jku, x5u or x5t"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Typ {
    fn of(text: &str) -> Self {
        let name = media_type(text);
        if name.eq_ignore_ascii_case("at+jwt") {
            Self::AccessToken
        } else if name.eq_ignore_ascii_case("jwt") {
            Self::Jwt
        } else {
            Self::Other
        }
    }
}

/// RFC 7515 §4.1.9: `application/` may be left out of a media type without another slash.
fn media_type(text: &str) -> &str {
    match text.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => text,
    }
}

/// base64url without padding, in its one canonical spelling (RFC 7515 §2).
pub(crate) fn decode(encoded: &str) -> Result<Vec<u8>, TokenError> {
    base64().decode(encoded).map_err(|_| TokenError::Base64)
}

/// As strict as [`URL_SAFE_NO_PAD`](base64::engine::general_purpose::URL_SAFE_NO_PAD), and three times as fast on a
/// payload. Made once: it carries a table.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn base64() -> &'static impl Engine {
    use base64::engine::Simd;
    use base64::engine::general_purpose::NO_PAD;
    static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));
    &*ENGINE
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn base64() -> &'static impl Engine {
    &URL_SAFE_NO_PAD
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_part_has_one_spelling_whatever_its_length() {
        for length in 0..300_usize {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 37 + length) as u8).collect();
            let good = URL_SAFE_NO_PAD.encode(&bytes);
            assert_eq!(decode(&good), Ok(bytes));
            assert_eq!(decode(&format!("{good}=")), Err(TokenError::Base64), "padding, {length}");
            // Every other last character decodes to the same bytes where decoders do not look at the bits left over.
            if length % 3 != 0 {
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let spellings = alphabet.iter().filter(|last| {
                    let (start, _) = good.split_at(good.len() - 1);
                    decode(&format!("{start}{}", **last as char)).is_ok()
                });
                assert_eq!(spellings.count(), if length % 3 == 1 { 4 } else { 16 }, "{length}");
            }
            for foreign in ["+", "/", "=", " ", "\n", "\0", "\u{e9}"] {
                for at in [0, good.len() / 2, good.len()] {
                    let bad = [&good[..at], foreign, good.get(at + 1..).unwrap_or_default()].concat();
                    assert_eq!(decode(&bad), Err(TokenError::Base64), "{bad:?}");
                }
            }
        }
    }
}
