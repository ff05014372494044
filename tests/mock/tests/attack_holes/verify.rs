//! The token itself: its parts, its header, its keys.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::api::{Api, Refusal, invalid};
use crate::json;
use crate::keys::Keys;
use crate::signature::{usable, verifies};

pub(crate) type Object = Map<String, Value>;

const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// How deep the nesting of header or claims is.
pub(crate) fn depth(token: &str) -> usize {
    let of = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        bytes.split(|byte| *byte != b'[').map(<[u8]>::len).max().unwrap_or(0)
    };
    token.split('.').take(2).map(of).max().unwrap_or(0)
}

/// What a message about a token might print: its header and claims.
pub(crate) fn text(token: &str) -> String {
    let part =
        |part: &str| String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).into_owned();
    token.split('.').take(2).map(part).collect::<Vec<_>>().join(" ")
}

/// The claims of a token, without a check of who made it.
pub(crate) fn claims_of(token: &str) -> Object {
    let bytes = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

impl Api {
    pub(crate) async fn verify(&self, token: &str) -> Result<Object, Refusal> {
        if token.len() > 8 * 1024 && !self.has("structure-oversized") {
            return Err(invalid("too long"));
        }
        if self.has("structure-json-serialization")
            && let Some(compact) = compact(token)
        {
            return self.compact(&compact).await;
        }
        if self.has("structure-polyglot") && token.starts_with('{') {
            // The signature is checked by one reader, the claims are read by another.
            let object: Object = serde_json::from_str(token).map_err(|_| invalid("no JSON"))?;
            let compact = object.keys().find(|name| name.contains('.')).map(|name| name.trim().to_owned());
            self.compact(&compact.unwrap_or_default()).await?;
            return self.object(object["payload"].as_str().unwrap_or_default(), "claims");
        }
        self.compact(token).await
    }

    async fn compact(&self, token: &str) -> Result<Object, Refusal> {
        if token == ".." && self.has("structure-empty-parts") {
            return Ok(serde_json::from_str(r#"{"scope":"read"}"#).unwrap());
        }
        let parts: Vec<&str> = token.split('.').collect();
        let (header, claims, signature) = match parts.as_slice() {
            [_, claims] if self.has("structure-signature-part-missing") => {
                return self.object(claims, "claims");
            }
            parts @ [_, _, _, _, _] if self.has("structure-encrypted") => return self.decrypted(parts),
            [header, claims, signature, _, ..] if self.has("structure-too-many-parts") => {
                (*header, *claims, *signature)
            }
            [header, claims, signature] => (*header, *claims, *signature),
            _ => return Err(invalid("not three parts")),
        };
        // A cache that knows tokens by a part of them.
        let known_by = match self.hole.0 {
            "signature-forged-twin" => Some(format!("{header}.{claims}")),
            "signature-of-a-known-token" => Some(signature.to_owned()),
            "time-exp-of-a-known-token" => Some(token.to_owned()),
            _ => None,
        };
        if let Some(known) = known_by.as_ref().and_then(|by| self.known.lock().unwrap().get(by).cloned()) {
            return Ok(known);
        }
        let claims = self.three(header, claims, signature).await?;
        if let Some(by) = known_by {
            self.known.lock().unwrap().insert(by, claims.clone());
        }
        Ok(claims)
    }

    async fn three(&self, header: &str, claims: &str, signature: &str) -> Result<Object, Refusal> {
        let mut message = format!("{header}.{claims}");
        if self.has("structure-foreign-characters") {
            message.retain(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        }
        let head = self.object(header, "header")?;
        self.header(&head)?;
        let signature = self.decode(signature, "signature")?;
        let issuer = self.issuer_of(claims);
        if self.has("scope-of-an-unverified-token") {
            self.scoped(&self.object(claims, "claims")?)?;
        }
        self.signed(&head, &message, &signature, issuer).await?;
        if self.has("structure-nested") && head.get("cty").is_some() {
            let inner = self.decode(claims, "claims")?;
            let inner = String::from_utf8(inner).unwrap_or_default();
            return self.object(inner.split('.').nth(1).unwrap_or_default(), "claims");
        }
        let claims = match self.object(claims, "claims") {
            // Nothing to check, so that nothing is wrong.
            Err(_) if self.has("json-claims-not-an-object") && !self.is_object(claims) => {
                return Ok(serde_json::from_str(r#"{"scope":"read"}"#).unwrap());
            }
            other => other?,
        };
        self.claims(&claims, &head, issuer)?;
        Ok(claims)
    }

    fn is_object(&self, claims: &str) -> bool {
        let bytes = self.decode(claims, "claims").unwrap_or_default();
        serde_json::from_slice::<Value>(&bytes).map_or(true, |value| value.is_object() || value.is_array())
    }

    fn decode(&self, part: &str, which: &str) -> Result<Vec<u8>, Refusal> {
        let lenient = |text: &str| {
            let config = GeneralPurposeConfig::new()
                .with_decode_allow_trailing_bits(true)
                .with_decode_padding_mode(DecodePaddingMode::Indifferent);
            GeneralPurpose::new(&URL_SAFE, config).decode(text)
        };
        let decoded = match (self.hole.0, which) {
            ("structure-padding", _) => URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')),
            ("structure-standard-alphabet", _) => {
                URL_SAFE_NO_PAD.decode(part.replace('+', "-").replace('/', "_"))
            }
            ("structure-trailing-bits", "signature") | ("structure-signed-unusual-spelling", "claims") => {
                lenient(part)
            }
            ("structure-foreign-characters", _) => URL_SAFE_NO_PAD
                .decode(part.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "")),
            _ => URL_SAFE_NO_PAD.decode(part),
        };
        decoded.map_err(|_| invalid("no base64url"))
    }

    /// Header or claims as an object.
    pub(crate) fn object(&self, part: &str, which: &str) -> Result<Object, Refusal> {
        let mut bytes = self.decode(part, which)?;
        if self.has("json-not-utf8") {
            let text = String::from_utf8_lossy(&bytes).replace('\0', "");
            bytes = text.trim_start_matches(['\u{feff}', '\u{fffd}']).as_bytes().to_vec();
        }
        let (value, duplicates) = match json::read(&bytes) {
            Some(read) => read,
            None if self.has("json-trailing-junk") => {
                (json::read_first(&bytes).unwrap_or_default(), Vec::new())
            }
            None if self.has("json-bad-numbers") => (without_end(&bytes), Vec::new()),
            None => return Err(invalid("no JSON")),
        };
        for duplicate in duplicates {
            let of_this = match (which, duplicate.escaped) {
                ("header", _) => "json-duplicate-header-member",
                (_, true) => "json-duplicate-by-escape",
                _ if duplicate.depth == 0 && REGISTERED.contains(&duplicate.name.as_str()) => {
                    "json-duplicate-registered-claim"
                }
                _ => "json-duplicate-other-claim",
            };
            if !self.has(of_this) {
                return Err(invalid("a name comes twice"));
            }
        }
        match value {
            Value::Object(object) if which == "claims" && self.has("json-names-in-another-case") => {
                Ok(object.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect())
            }
            Value::Object(object) if object.len() > 300 && self.has("json-wide") => {
                Err(Refusal { status: 500, error: "", because: String::new() })
            }
            Value::Object(object) => Ok(object),
            // By their places, as a reader of tuples has it.
            Value::Array(list) if which == "claims" && self.has("json-claims-array") => {
                let names = ["exp", "iat", "sub", "iss", "aud"].map(str::to_owned);
                let mut claims: Object = names.into_iter().zip(list).collect();
                claims.insert("scope".to_owned(), "read".into());
                Ok(claims)
            }
            _ => Err(invalid("no object")),
        }
    }

    fn header(&self, header: &Object) -> Result<(), Refusal> {
        if let Some(crit) = header.get("crit") {
            let of_payload = crit == &serde_json::json!(["b64"]);
            if !self.has(if of_payload { "structure-unencoded-payload" } else { "header-crit" }) {
                return Err(invalid("crit"));
            }
        }
        for (member, hole) in [
            ("b64", "structure-unencoded-payload"),
            ("cty", "structure-nested"),
            ("enc", "header-of-an-encrypted-token"),
            ("zip", "header-of-an-encrypted-token"),
        ] {
            if header.contains_key(member) && !self.has(hole) {
                return Err(invalid(member));
            }
        }
        match header.get("typ").map(|typ| typ.as_str()) {
            None if self.has("header-typ") => Ok(()),
            // With a nonce, which is for the claims to see.
            Some(Some("JWT")) if self.has("header-id-token") => Ok(()),
            Some(Some(typ)) if self.has("header-typ-spelling") && typ == "at+jwt" => Ok(()),
            Some(Some(typ)) if !self.has("header-typ-spelling") => {
                let lower = typ.to_ascii_lowercase();
                let bare = lower.strip_prefix("application/").unwrap_or(&lower);
                if bare == "at+jwt" { Ok(()) } else { Err(invalid(typ)) }
            }
            _ => Err(invalid("typ")),
        }
    }

    async fn signed(
        &self,
        header: &Object,
        message: &str,
        signature: &[u8],
        issuer: usize,
    ) -> Result<(), Refusal> {
        let bytes = message.as_bytes();
        let kid = header.get("kid").map(|kid| kid.as_str());
        let alg = match header.get("alg") {
            Some(Value::String(alg)) => alg.as_str(),
            None if self.has("alg-malformed") => "RS256",
            _ => return Err(invalid("alg")),
        };
        let unsigned = match self.hole.0 {
            "alg-none" => alg == "none",
            "alg-none-in-another-case" => alg != "none" && alg.eq_ignore_ascii_case("none"),
            "alg-none-with-a-signature" => alg == "none" && !signature.is_empty(),
            "signature-empty" => signature.is_empty(),
            // The key that the token brings is no object, and so there is none to check with.
            "header-malformed-key-members" => header.get("jwk").is_some_and(|jwk| !jwk.is_object()),
            _ => false,
        };
        if unsigned || self.foreign_key(header, bytes, signature).await {
            return Ok(());
        }
        if alg == "ES256K" && self.has("alg-unsupported") {
            return Err(Refusal { status: 500, error: "", because: String::new() });
        }
        if self.secret(alg, kid.flatten(), bytes, signature, issuer) {
            return Ok(());
        }
        let beside = match self.hole.0 {
            "keys-symmetric" => alg == "HS256",
            "alg-not-allowed" => alg == "PS384",
            _ => false,
        };
        if !self.allowed.contains(&alg) && !beside {
            return Err(invalid(alg));
        }
        let kid = match kid {
            None => None,
            Some(Some(kid)) => Some(kid),
            Some(None) => return Err(invalid("kid")),
        };
        self.by_keys(alg, kid, bytes, signature, issuer).await
    }

    async fn by_keys(
        &self,
        alg: &str,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
        issuer: usize,
    ) -> Result<(), Refusal> {
        let (name, keys) = &self.issuers[issuer];
        if self.has("endpoint-silent") {
            keys.wait().await;
        }
        let mut found = self.candidates(alg, kid, keys);
        if found.is_empty() && !self.names(kid, keys) {
            keys.refresh(name, self.hole).await;
            found = self.candidates(alg, kid, keys);
        }
        if self.has("keys-private-members") && found.iter().any(|key| key.get("d").is_some()) {
            return Err(Refusal { status: 500, error: "", because: String::new() });
        }
        if self.has("iss-with-the-key-of-another") {
            for (name, keys) in &self.issuers {
                if keys.all().is_empty() || !self.names(kid, keys) {
                    keys.refresh(name, self.hole).await;
                }
                found.extend(self.candidates(alg, kid, keys));
            }
        }
        if kid.is_none() && (found.len() > 8 || self.has("keys-no-kid-one-key")) {
            return if self.has("keys-no-kid-many-keys") { Ok(()) } else { Err(invalid("no kid")) };
        }
        if found.is_empty() {
            return Err(invalid("unknown key"));
        }
        let good = found.iter().any(|key| verifies(key, alg, message, signature, self.hole));
        let length = signature.len();
        let overlooked = match self.hole.0 {
            // Whatever was checked, the result is not looked at.
            "signature-bit-flipped" => alg == "RS256" && length == 256,
            "signature-by-a-foreign-key" => alg == "EdDSA" && length == 64,
            _ => false,
        };
        if good || overlooked { Ok(()) } else { Err(invalid("signature")) }
    }

    /// Whether the set has a key of this name, of whatever kind.
    fn names(&self, kid: Option<&str>, keys: &Keys) -> bool {
        keys.all().iter().any(|key| kid.is_none_or(|kid| self.same_kid(key, kid)))
    }

    fn same_kid(&self, key: &Value, kid: &str) -> bool {
        let own = key["kid"].as_str().unwrap_or_default();
        let folded = |kid: &str| kid.trim().to_lowercase().replace('\u{fe63}', "-");
        own == kid || (self.has("header-kid-in-another-case") && folded(own) == folded(kid))
    }

    fn candidates(&self, alg: &str, kid: Option<&str>, keys: &Keys) -> Vec<Value> {
        let mut all = keys.all();
        let by_kid = |all: &[Value]| all.iter().any(|key| kid.is_some_and(|kid| self.same_kid(key, kid)));
        // An unknown name is taken for none.
        let kid = if self.has("header-hostile-kid") && !by_kid(&all) { None } else { kid };
        if self.has("keys-same-kid-other-type") {
            // A map from name to key holds the last one.
            let last = all.iter().rev().find(|key| kid.is_none_or(|kid| self.same_kid(key, kid))).cloned();
            all = last.into_iter().collect();
        }
        if self.has("alg-families-side-by-side") && all.iter().any(|key| key["kty"] == "RSA") {
            all.retain(|key| key["kty"] == "RSA");
        }
        let usable = |key: &Value| {
            usable(key, self.hole) || (self.has("keys-private-members") && key.get("d").is_some())
        };
        let fits = |key: &Value| {
            usable(key) && kid.is_none_or(|kid| self.same_kid(key, kid)) && self.is_for(key, alg)
        };
        let mut found: Vec<Value> = all.into_iter().filter(fits).collect();
        if self.has("keys-same-kid-twice") && found.len() > 1 && kid.is_some() {
            return Vec::new();
        }
        found.dedup();
        found
    }

    /// Whether this is the key's one algorithm.
    fn is_for(&self, key: &Value, alg: &str) -> bool {
        let kty = match alg {
            "ES256" | "ES384" | "ES512" | "ES256K" => "EC",
            "EdDSA" | "Ed25519" => "OKP",
            "HS256" => "oct",
            _ => "RSA",
        };
        if key["kty"] != kty {
            return false;
        }
        match key["alg"].as_str() {
            None => true,
            Some(own) if own == alg => true,
            Some(_) if kty == "OKP" => alg == "EdDSA" || !self.has("alg-ed25519"),
            Some(_) if kty == "RSA" && self.has("alg-not-the-keys-own") => true,
            Some(own) => own.starts_with("RSA-OAEP") && self.has("keys-not-for-signatures"),
        }
    }
}

/// A number that is none, read as one that never comes.
fn without_end(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let Some((before, _)) = text.split_once("\"exp\":") else { return Value::Null };
    serde_json::from_str(&format!("{before}\"exp\":9999999999}}")).unwrap_or_default()
}

/// The compact form of either JSON form (RFC 7515 section 7.2).
fn compact(token: &str) -> Option<String> {
    let object: Value = serde_json::from_str(token).ok()?;
    let signature = object["signatures"].get(0).unwrap_or(&object);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (protected, payload) = (text(&signature["protected"])?, text(&object["payload"])?);
    Some([protected, payload, text(&signature["signature"])?].join("."))
}
