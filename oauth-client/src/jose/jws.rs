//! The token's outer form and its header, and nothing that a signature would have to vouch for.
//!
//! The header is the attacker's to write. It may name the algorithm and the key id to look for; it never brings a key
//! (`jwk`, `jku`, `x5c`, `x5u` are not used) and it never changes how the token is read (`crit`, `b64`, `zip` and `enc`
//! are rejected, since none of them is understood here).

use std::borrow::Cow;
use std::fmt;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::sync::LazyLock;

use base64::Engine;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json::{self, Text, Value};
use super::{Algorithm, Error, KEY_ID_BYTES, SIGNATURE_BYTES};

/// A compact JWS (RFC 7515 section 7.1) in its three parts.
#[derive(Clone, Copy)]
pub struct CompactJws<'a> {
    /// The header, encoded.
    pub header: &'a str,
    /// The payload, encoded.
    pub payload: &'a str,
    /// The signature, encoded.
    pub signature: &'a str,
    /// What the signature covers: header, dot, payload, as sent.
    pub signed: &'a str,
}

impl<'a> CompactJws<'a> {
    /// Takes a token apart, whose header may have `max_header_bytes` as it is encoded.
    ///
    /// # Errors
    /// [`Error::NotCompact`], [`Error::HeaderTooLong`].
    #[inline]
    pub fn split(token: &'a str, max_header_bytes: usize) -> Result<Self, Error> {
        let cut = |text: &'a str| text.split_at_checked(memchr::memchr(b'.', text.as_bytes())?);
        let (header, rest) = cut(token).ok_or(Error::NotCompact)?;
        let (payload, signature) = rest.get(1..).and_then(cut).ok_or(Error::NotCompact)?;
        let signature = signature.get(1..).unwrap_or_default();
        if memchr::memchr(b'.', signature.as_bytes()).is_some() {
            return Err(Error::NotCompact);
        }
        // An empty payload is a payload (it is no claims set, which shows later); an empty signature is none.
        if header.is_empty() || signature.is_empty() {
            return Err(Error::NotCompact);
        }
        if header.len() > max_header_bytes {
            return Err(Error::HeaderTooLong);
        }
        let signed = token.get(..header.len() + 1 + payload.len()).ok_or(Error::NotCompact)?;
        Ok(Self { header, payload, signature, signed })
    }

    /// The payload as text.
    ///
    /// # Errors
    /// [`Error::Base64`], [`Error::NotUtf8`].
    #[inline]
    pub fn payload<'b>(&self, scratch: &'b mut Scratch) -> Result<&'b str, Error> {
        let bytes = scratch.decode(self.payload)?;
        std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8)
    }

    /// The signature's bytes. One longer than any key makes is no signature.
    ///
    /// # Errors
    /// [`Error::Base64`].
    #[inline]
    pub fn signature<'b>(&self, scratch: &'b mut Scratch) -> Result<&'b [u8], Error> {
        if self.signature.len() > SIGNATURE_BYTES.div_ceil(3) * 4 {
            return Err(Error::Base64);
        }
        scratch.decode(self.signature)
    }
}

/// A token is a credential: only its lengths are shown.
impl fmt::Debug for CompactJws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactJws")
            .field("header_bytes", &self.header.len())
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Where a part is decoded to be looked at once: on the stack, as long as it is of a usual size.
pub struct Scratch {
    near: [u8; NEAR],
    far: Vec<u8>,
}

/// What nearly all headers, payloads and signatures fit in. It is zeroed each time, so no more than that.
const NEAR: usize = 512;

impl Scratch {
    /// An empty one.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self { near: [0; NEAR], far: Vec::new() }
    }

    fn decode(&mut self, encoded: &str) -> Result<&[u8], Error> {
        // What three quarters are, rounded up.
        let most = encoded.len().div_ceil(4) * 3;
        let room = match self.near.get_mut(..most) {
            Some(room) => room,
            None => {
                self.far.resize(most, 0);
                &mut self.far
            }
        };
        let length = base64().decode_slice(encoded, room).map_err(|_| Error::Base64)?;
        room.get(..length).ok_or(Error::Base64)
    }
}

impl Default for Scratch {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

/// What it holds may be a credential.
impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// The members of a header that count.
#[derive(Debug)]
pub struct Header<'a> {
    /// `alg`.
    pub algorithm: Algorithm,
    /// `kid`.
    pub key_id: Option<Cow<'a, str>>,
    /// `typ`.
    pub typ: Typ,
}

/// The `typ` of a token, with or without `application/` in front. One kind is never accepted in another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typ {
    /// None.
    Absent,
    /// `JWT`.
    Jwt,
    /// `at+jwt` (RFC 9068 section 2.1).
    AccessToken,
    /// `logout+jwt` (OpenID Connect Back-Channel Logout section 2.4).
    LogoutToken,
    /// `secevent+jwt` (RFC 8417 section 2.3).
    SecurityEvent,
    /// `dpop+jwt` (RFC 9449 section 4.2).
    DpopProof,
    /// `token-introspection+jwt` (RFC 9701 section 5).
    Introspection,
    /// Any other.
    Other,
}

impl<'a> Header<'a> {
    /// Reads a header out of its encoded form.
    ///
    /// # Errors
    /// Whatever [`Error`] says about headers.
    pub fn read(encoded: &str, scratch: &'a mut Scratch) -> Result<Self, Error> {
        let bytes = scratch.decode(encoded)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8)?;
        let mut read = Members::default();
        json::read_object(text, &mut |name, value, _| read.member(name, value)).map_err(Error::Header)?;
        if let Some(error) = read.error {
            return Err(error);
        }
        let algorithm = read.algorithm.ok_or(Error::HeaderMember("alg"))?;
        Ok(Self { algorithm, key_id: read.key_id, typ: read.typ.unwrap_or(Typ::Absent) })
    }
}

#[derive(Default)]
struct Members<'a> {
    algorithm: Option<Algorithm>,
    key_id: Option<Cow<'a, str>>,
    typ: Option<Typ>,
    error: Option<Error>,
}

impl<'a> Members<'a> {
    fn member(&mut self, name: Text<'a>, value: Value<'a>) {
        let result = self.read(&name.decode(), value);
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }

    fn read(&mut self, name: &str, value: Value<'a>) -> Result<(), Error> {
        match name {
            "alg" => {
                let text = value.as_text().ok_or(Error::HeaderMember("alg"))?;
                self.algorithm =
                    Some(Algorithm::from_name(&text.decode()).ok_or(Error::UnsupportedAlgorithm)?);
            }
            "kid" => {
                let text = value.as_text().filter(|text| text.raw.len() <= KEY_ID_BYTES);
                self.key_id = Some(text.ok_or(Error::HeaderMember("kid"))?.decode());
            }
            "typ" => {
                let text = value.as_text().ok_or(Error::HeaderMember("typ"))?;
                self.typ = Some(Typ::of(&text.decode()));
            }
            "cty" => {
                let text = value.as_text().ok_or(Error::HeaderMember("cty"))?.decode();
                // RFC 7519 section 5.2: the payload is a JWT again, whose claims no one here has checked.
                if media_type(&text).eq_ignore_ascii_case("jwt") {
                    return Err(Error::HeaderMember("cty"));
                }
            }
            // RFC 7515 section 4.1.11: what must be understood, and is not, makes the token invalid.
            "crit" => return Err(Error::HeaderMember("crit")),
            "b64" => return Err(Error::HeaderMember("b64")),
            "enc" => return Err(Error::HeaderMember("enc")),
            "zip" => return Err(Error::HeaderMember("zip")),
            // Never used, but a header that is malformed in what it has to do with keys is not let pass.
            "jwk" if !matches!(value, Value::Object(_)) => return Err(Error::HeaderMember("jwk")),
            "x5c" => match value {
                Value::Array(list) if list.items().all(|item| matches!(item, Value::String(_))) => {}
                _ => return Err(Error::HeaderMember("x5c")),
            },
            "jku" | "x5u" | "x5t" | "x5t#S256" if value.as_text().is_none() => {
                return Err(Error::HeaderMember("jku, x5u or x5t"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Typ {
    fn of(text: &str) -> Self {
        const KNOWN: [(&str, Typ); 6] = [
            ("at+jwt", Typ::AccessToken),
            ("jwt", Typ::Jwt),
            ("logout+jwt", Typ::LogoutToken),
            ("secevent+jwt", Typ::SecurityEvent),
            ("dpop+jwt", Typ::DpopProof),
            ("token-introspection+jwt", Typ::Introspection),
        ];
        let name = media_type(text);
        let found = KNOWN.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map_or(Self::Other, |(_, typ)| *typ)
    }
}

/// RFC 7515 section 4.1.9: `application/` may be left out of a media type without another slash.
fn media_type(text: &str) -> &str {
    match text.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => text,
    }
}

/// base64url without padding, in its one canonical spelling (RFC 7515 section 2).
///
/// # Errors
/// [`Error::Base64`].
pub fn decode_base64url(encoded: &str) -> Result<Vec<u8>, Error> {
    base64().decode(encoded).map_err(|_| Error::Base64)
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
            assert_eq!(decode_base64url(&good), Ok(bytes));
            assert_eq!(decode_base64url(&format!("{good}=")), Err(Error::Base64), "padding, {length}");
            // Every other last character decodes to the same bytes where decoders do not look at the bits left over.
            if length % 3 != 0 {
                let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let spellings = alphabet.iter().filter(|last| {
                    let (start, _) = good.split_at(good.len() - 1);
                    decode_base64url(&format!("{start}{}", **last as char)).is_ok()
                });
                assert_eq!(spellings.count(), if length % 3 == 1 { 4 } else { 16 }, "{length}");
            }
            for foreign in ["+", "/", "=", " ", "\n", "\0", "\u{e9}"] {
                for at in [0, good.len() / 2, good.len()] {
                    let bad = [&good[..at], foreign, good.get(at + 1..).unwrap_or_default()].concat();
                    assert_eq!(decode_base64url(&bad), Err(Error::Base64), "{bad:?}");
                }
            }
        }
    }

    #[test]
    fn a_typ_is_told_by_its_media_type_in_any_case() {
        let typ = |text: &str| {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"RS256","typ":"{text}"}}"#));
            Header::read(&header, &mut Scratch::new()).map(|header| header.typ)
        };
        for (text, expected) in [
            ("JWT", Typ::Jwt),
            ("application/jwt", Typ::Jwt),
            ("at+JWT", Typ::AccessToken),
            ("application/at+jwt", Typ::AccessToken),
            ("logout+jwt", Typ::LogoutToken),
            ("secevent+jwt", Typ::SecurityEvent),
            ("dpop+jwt", Typ::DpopProof),
            ("Application/token-introspection+jwt", Typ::Introspection),
            ("text/jwt", Typ::Other),
            ("", Typ::Other),
        ] {
            assert_eq!(typ(text), Ok(expected), "{text}");
        }
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        assert_eq!(Header::read(&none, &mut Scratch::new()).map(|header| header.typ), Ok(Typ::Absent));
    }

    #[test]
    fn a_header_may_be_as_long_as_its_reader_accepts() {
        assert_eq!(CompactJws::split("abcd.e.f", 3).unwrap_err(), Error::HeaderTooLong);
        assert_eq!(CompactJws::split("abcd.e.f", 4).unwrap().signed, "abcd.e");
        for text in ["", ".", "..", "a.b", "a.b.", ".b.c", "a.b.c.d", "...."] {
            assert_eq!(CompactJws::split(text, 4).err(), Some(Error::NotCompact), "{text:?}");
        }
    }
}
