//! Signed JSON that others made (RFC 7515, RFC 7519): read strictly, verified with the keys the reader chooses.

use aws_lc_rs::hmac;
use serde_json::{Map, Value};

use crate::encode::from_b64url;
use crate::json;
use crate::keys::{Alg, verifies};

/// A compact JWS with a JSON object inside; nothing about it is verified yet.
pub(crate) struct Jws<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) alg: Alg,
    input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Reads the three parts; the error says what is wrong with them.
    pub(crate) fn read(text: &'a str) -> Result<Self, &'static str> {
        let (input, signature) = text.rsplit_once('.').ok_or("not three parts with dots between")?;
        let (header, payload) = input.split_once('.').ok_or("not three parts with dots between")?;
        let object = |part: &str| json::object(&from_b64url(part)?).ok();
        let header = object(header).ok_or("the header is no JSON object in base64url")?;
        let claims = object(payload).ok_or("the payload is no JSON object in base64url")?;
        let signature = from_b64url(signature).ok_or("the signature is not in base64url")?;
        let alg = header.get("alg").and_then(Value::as_str).and_then(Alg::parse);
        let alg = alg.ok_or("alg: missing or unknown")?;
        if header.contains_key("crit") {
            // RFC 7515 section 4.1.11: a recipient that does not understand an extension rejects; this server
            // understands none.
            return Err("crit: no extension is understood here");
        }
        Ok(Self { header, claims, alg, input, signature })
    }

    /// Verifies with one public key, whatever the JWK says about itself besides its numbers.
    pub(crate) fn verifies_with(&self, jwk: &Value) -> bool {
        verifies(jwk, self.alg, self.input.as_bytes(), &self.signature)
    }

    /// Verifies with the keys of a JWK set that may be meant: of this `kid` if one is named, for this `alg`, to sign.
    pub(crate) fn verifies_with_any(&self, jwks: &[Value]) -> bool {
        let kid = self.header.get("kid");
        let meant = |jwk: &&Value| {
            let fits = |name, wanted: &str| jwk.get(name).is_none_or(|value| value == wanted);
            let is_named = kid.is_none() || jwk.get("kid") == kid;
            is_named && fits("alg", self.alg.as_str()) && fits("use", "sig")
        };
        jwks.iter().filter(meant).any(|jwk| self.verifies_with(jwk))
    }

    /// Verifies an HMAC (RFC 7518 section 3.2); false for other algorithms.
    pub(crate) fn verifies_with_secret(&self, secret: &[u8]) -> bool {
        let algorithm = match self.alg {
            Alg::Hs256 => hmac::HMAC_SHA256,
            Alg::Hs384 => hmac::HMAC_SHA384,
            Alg::Hs512 => hmac::HMAC_SHA512,
            _ => return false,
        };
        hmac::verify(&hmac::Key::new(algorithm, secret), self.input.as_bytes(), &self.signature).is_ok()
    }

    /// The header's `typ` in lower case, without the `application/` it may have (RFC 7515 section 4.1.9).
    pub(crate) fn typ(&self) -> Option<String> {
        let typ = self.header.get("typ")?.as_str()?.to_ascii_lowercase();
        Some(typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ))
    }

    /// A claim that is a string and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A claim that is a time (RFC 7519 section 2: seconds, which may have a fraction).
    pub(crate) fn time(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
        value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
    }

    /// The members of `aud`; none when it is missing or neither a string nor a list of strings.
    pub(crate) fn audience(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => {
                several.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::{Keys, TestKey};
    use crate::mint::TokenBuilder;

    fn mint() -> TokenBuilder {
        TokenBuilder::new(&Keys::new(&[Alg::Es256]), "https://client", "https://as", 1_000)
    }

    #[test]
    fn only_the_key_that_is_meant_verifies() {
        let (key, other) = (TestKey::generate(Alg::Es256), TestKey::generate(Alg::Es256));
        let text = mint().signed_with(&key).build();
        let jws = Jws::read(&text).unwrap();
        let jwk = key.public_jwk();
        let with = |name: &str, value: &str| {
            let mut jwk = jwk.clone();
            jwk[name] = json!(value);
            [jwk]
        };
        assert!(jws.verifies_with_any(&[other.public_jwk(), jwk.clone()]));
        assert!(!jws.verifies_with_any(&[other.public_jwk()]));
        assert!(!jws.verifies_with_any(&[other.with_kid(key.kid()).public_jwk()]));
        for (name, value) in
            [("kid", "else"), ("alg", "ES384"), ("use", "enc"), ("crv", "P-384"), ("kty", "RSA")]
        {
            assert!(!jws.verifies_with_any(&with(name, value)), "{name}");
        }
    }

    #[test]
    fn what_is_malformed_is_not_read() {
        let crit = mint().header("crit", json!(["exp"])).build();
        let good = mint().build();
        let padded = format!("{good}==");
        let twice = mint().raw_payload(r#"{"sub":"a","sub":"b"}"#).build();
        let list = mint().raw_payload("[]").build();
        let odd = mint().header("alg", "XS256").build();
        for bad in ["", "a.b", "a.b.c", &crit, &padded, &twice, &list, &odd, &format!("{good}.x")] {
            assert!(Jws::read(bad).is_err(), "{bad}");
        }
        let unsigned = mint().unsigned().build();
        assert!(!Jws::read(&unsigned).unwrap().verifies_with_secret(b""));
    }

    #[test]
    fn claims_are_read_by_their_type() {
        let text = mint().claim("aud", json!(["a", 7])).claim("exp", json!(12.9)).claim("jti", "").build();
        let jws = Jws::read(&text).unwrap();
        assert!(jws.audience().is_empty());
        assert_eq!((jws.time("exp"), jws.text("jti"), jws.text("sub")), (Some(12), None, Some("svc")));
        assert_eq!(jws.typ().as_deref(), Some("at+jwt"));
    }
}
