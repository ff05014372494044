//! Keys that are no keys of the issuer: brought by the token, named by it, or no secret.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::api::{Api, Refusal, invalid};
use crate::signature::{by_certificate, bytes, mac, pem, verifies};
use crate::verify::Object;

const WEAK: [&str; 4] = ["", "secret", "password", "changeme"];

impl Api {
    /// A key that the token brings or names.
    pub(crate) async fn foreign_key(&self, header: &Object, message: &[u8], signature: &[u8]) -> bool {
        match self.hole.0 {
            "header-jwk" => {
                header.get("jwk").is_some_and(|jwk| verifies(jwk, "RS256", message, signature, self.hole))
            }
            "header-jku" => match header.get("jku").and_then(Value::as_str) {
                Some(url) => {
                    let set = crate::keys::get(url).await.map(|(_, body)| body).unwrap_or_default();
                    let set: Value = serde_json::from_slice(&set).unwrap_or_default();
                    let keys = set["keys"].as_array().cloned().unwrap_or_default();
                    keys.iter().any(|jwk| verifies(jwk, "RS256", message, signature, self.hole))
                }
                None => false,
            },
            "header-x5" => {
                let first = header.get("x5c").and_then(|chain| chain.get(0)).and_then(Value::as_str);
                let certificate = first.and_then(|text| STANDARD.decode(text).ok());
                certificate.is_some_and(|certificate| by_certificate(&certificate, message, signature))
            }
            _ => false,
        }
    }

    /// An HMAC under what is no secret.
    pub(crate) fn secret(
        &self,
        alg: &str,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
        issuer: usize,
    ) -> bool {
        if !alg.starts_with("HS") {
            return false;
        }
        let keys = self.issuers[issuer].1.all();
        let named = || keys.iter().find(|key| kid.is_some_and(|kid| key["kid"] == kid));
        let by_pem = |kty: &str| {
            let key = named().filter(|key| key["kty"] == kty);
            key.and_then(pem).is_some_and(|pem| mac(pem.as_bytes(), message, signature))
        };
        match self.hole.0 {
            "hmac-with-the-rsa-key" => by_pem("RSA"),
            "hmac-with-the-ec-point" => by_pem("EC"),
            "hmac-with-the-ed25519-key" => by_pem("OKP"),
            "hmac-with-the-key-set" => {
                let set = serde_json::json!({ "keys": keys }).to_string();
                mac(set.as_bytes(), message, signature)
            }
            "hmac-with-a-weak-secret" => WEAK.iter().any(|secret| mac(secret.as_bytes(), message, signature)),
            "header-kid-injection" => kid.is_some_and(|kid| {
                // The name is a part of a path, and of a query.
                let file = std::fs::read(kid).ok().filter(|_| kid.starts_with('/'));
                let row = kid.split_once("UNION SELECT '").and_then(|(_, rest)| rest.split('\'').next());
                file.is_some_and(|secret| mac(&secret, message, signature))
                    || row.is_some_and(|secret| mac(secret.as_bytes(), message, signature))
            }),
            _ => false,
        }
    }

    /// A token that any client can make with the public key (an API in one process with its issuer has the private one).
    pub(crate) fn decrypted(&self, parts: &[&str]) -> Result<Object, Refusal> {
        let header = self.object(parts[0], "header")?;
        let kid = header.get("kid").and_then(Value::as_str).unwrap_or_default();
        let keys = self.issuers[0].1.all();
        let modulus =
            keys.iter().find(|key| key["kid"] == kid).and_then(|key| bytes(key, "n")).unwrap_or_default();
        let part = |index: usize| URL_SAFE_NO_PAD.decode(parts[index]).unwrap_or_default();
        let claims = private_key(&modulus).and_then(|key| {
            let key = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(&key).ok()?).ok()?;
            let mut out = vec![0; key.min_output_size()];
            let content_key = key.decrypt(&OAEP_SHA1_MGF1SHA1, &part(1), &mut out, None).ok()?;
            let content = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, content_key).ok()?);
            let mut text = [part(3), part(4)].concat();
            let nonce = Nonce::try_assume_unique_for_key(&part(2)).ok()?;
            let text = content.open_in_place(nonce, Aad::from(parts[0].as_bytes()), &mut text).ok()?;
            serde_json::from_slice(text).ok()
        });
        claims.ok_or_else(|| invalid("cannot be decrypted"))
    }
}

/// The private key of this modulus as PKCS#8 (RFC 5208 section 5), out of the keys that test servers sign with.
fn private_key(modulus: &[u8]) -> Option<Vec<u8>> {
    let keys = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/keys")).ok()?;
    let ders = keys.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
    let der =
        ders.into_iter().find(|der| der.windows(modulus.len().max(1)).any(|window| window == modulus))?;
    const RSA: [u8; 18] = [2, 1, 0, 0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let long = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], content].concat()
    };
    Some(long(0x30, &[&RSA[..], &long(4, &der)].concat()))
}
