//! DPoP as RFC 9449 has it, but for one hole.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::api::{Api, Hole, Refusal, invalid, malformed};
use crate::json;
use crate::server::Request;
use crate::signature::verifies;

type Object = Map<String, Value>;

const WINDOW: i64 = 60;
const NAMED: [&str; 5] = ["ES256", "ES384", "EdDSA", "RS256", "PS256"];
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/// How long nonces live, where they are wanted.
pub(crate) const NONCE_LIFETIME: Duration = Duration::from_secs(1);

/// An API that takes bound tokens.
#[derive(Default)]
pub(crate) struct Proofs {
    /// Scheme, host and port by which callers know the API.
    pub(crate) origin: String,
    pub(crate) wants_nonces: bool,
    pub(crate) nonces: Mutex<HashMap<String, Instant>>,
    pub(crate) seen: Mutex<HashSet<(String, String)>>,
}

/// Refused for its proof.
fn bad(because: &str) -> Refusal {
    Refusal { status: 401, error: "invalid_dpop_proof", because: because.to_owned() }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

impl Proofs {
    /// The challenge of a refusal, and what further headers it has.
    pub(crate) fn challenge(&self, refusal: &Refusal) -> (String, Option<String>) {
        let error =
            if refusal.error.is_empty() { String::new() } else { format!(", error=\"{}\"", refusal.error) };
        let nonce = self.wants_nonces.then(|| {
            let mut nonces = self.nonces.lock().unwrap();
            let nonce = format!("nonce-{}-{}", nonces.len(), b64(digest(&SHA256, &[nonces.len() as u8])));
            nonces.insert(nonce.clone(), Instant::now());
            nonce
        });
        (format!("DPoP algs=\"{}\"{error}", NAMED.join(" ")), nonce)
    }

    /// The claims of a token and its proof.
    pub(crate) async fn check(&self, api: &Api, request: &Request) -> Result<Object, Refusal> {
        let values = request.values("authorization");
        let credentials = match values.as_slice() {
            [] => return Err(Refusal { status: 401, error: "", because: String::new() }),
            [one] => *one,
            [first, ..] if api.has("dpop-scheme-twice") => *first,
            _ => return Err(malformed()),
        };
        let (scheme, token) = credentials.split_once(' ').ok_or_else(malformed)?;
        let dpop = scheme == "DPoP" || (scheme.eq_ignore_ascii_case("dpop") && !api.has("dpop-good"));
        if !dpop && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal { status: 401, error: "", because: String::new() });
        }
        let claims = match api.verify(token).await {
            Ok(claims) => claims,
            Err(_) if api.has("dpop-bad-token") => crate::verify::claims_of(token),
            Err(refusal) => return Err(refusal),
        };
        let confirmation = claims.get("cnf").filter(|cnf| !cnf.is_null());
        let jkt = confirmation.and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str).unwrap_or_default();
        match (dpop, jkt) {
            (false, "") => return Ok(claims),
            (false, _) if api.has("dpop-as-bearer") => return Ok(claims),
            (false, _) => return Err(invalid("bound")),
            (true, "") if api.has("dpop-unbound") => return Ok(claims),
            (true, "") => return Err(invalid("unbound")),
            (true, _) => {}
        }
        self.proof(api.hole, request, token, jkt)?;
        Ok(claims)
    }

    fn proof(&self, hole: Hole, request: &Request, token: &str, jkt: &str) -> Result<(), Refusal> {
        let proof = match request.values("dpop").as_slice() {
            [] | [""] if hole.is("dpop-proof-missing") => return Ok(()),
            [] => return Err(bad("missing")),
            [one] => *one,
            [first, ..] if hole.is("dpop-proof-twice") => *first,
            _ => return Err(malformed()),
        };
        if proof.len() > 8 * 1024 && !hole.is("dpop-proof-oversized") {
            return Err(bad("too long"));
        }
        let (header, claims, message, signature) = self.parts(hole, proof).ok_or_else(|| bad("no JWT"))?;
        if text(&header, "typ") != Some("dpop+jwt") && !hole.is("dpop-typ") {
            return Err(bad("typ"));
        }
        if header.contains_key("crit") && !hole.is("dpop-crit") {
            return Err(bad("crit"));
        }
        let alg = text(&header, "alg").unwrap_or_default();
        let unsigned = alg.eq_ignore_ascii_case("none") && hole.is("dpop-alg-none");
        let symmetric = alg == "HS256" && hole.is("dpop-alg-symmetric");
        let listed = NAMED.contains(&alg) && !(alg == "EdDSA" && hole.is("dpop-algorithms"));
        let lenient = hole.is("dpop-alg-not-listed") || hole.is("dpop-alg-not-the-keys");
        if !listed && !unsigned && !symmetric && !lenient {
            return Err(bad("alg"));
        }
        let jwk = self.key(hole, &header, &claims).ok_or_else(|| bad("jwk"))?;
        let of_key = thumbprint(&jwk).ok_or_else(|| bad("jwk"))?;
        if of_key != jkt && !hole.is("dpop-key-of-another") && !symmetric {
            return Err(invalid("jkt"));
        }
        let jti = text(&claims, "jti").unwrap_or_default();
        if hole.is("dpop-jti-of-a-refused-proof") {
            self.first(hole, &of_key, jti)?;
        }
        self.claims(hole, &claims, request, token)?;
        self.nonce(hole, &claims)?;
        let alg = match (hole.is("dpop-alg-not-the-keys"), jwk["crv"].as_str()) {
            (true, Some("P-256")) => "ES256",
            _ => alg,
        };
        let signed = verifies(&jwk, alg, message.as_bytes(), &signature, hole)
            || unsigned
            || (symmetric && is_mac(&jwk, message.as_bytes(), &signature))
            || hole.is("dpop-signature");
        if !signed {
            return Err(bad("signature"));
        }
        if !hole.is("dpop-jti-of-a-refused-proof") {
            self.first(hole, &of_key, jti)?;
        }
        Ok(())
    }

    /// Header, claims, what is signed, and the signature.
    fn parts(&self, hole: Hole, proof: &str) -> Option<(Object, Object, String, Vec<u8>)> {
        let lenient = hole.is("dpop-proof-malformed");
        let proof = if lenient { proof.trim_matches(['"', '=']) } else { proof };
        let parts: Vec<&str> = proof.split('.').collect();
        let [header, claims, signature] = match parts.as_slice() {
            [header, claims, signature] => [*header, *claims, *signature],
            [header, claims, signature, ..] if lenient => [*header, *claims, *signature],
            _ => return None,
        };
        let object = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            let (value, duplicates) = json::read(&bytes)?;
            match value {
                Value::Object(_) if hole.is("dpop-json-duplicates") => firsts(&bytes),
                Value::Object(object) if duplicates.is_empty() => Some(object),
                _ => None,
            }
        };
        let signed = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some((object(header)?, object(claims)?, format!("{header}.{claims}"), signed))
    }

    fn key(&self, hole: Hole, header: &Object, claims: &Object) -> Option<Value> {
        let elsewhere = || {
            let text = header.get("jwk")?.as_str()?;
            serde_json::from_str(text).ok()
        };
        let jwk = header.get("jwk").filter(|jwk| jwk.is_object()).cloned();
        let mut jwk = match jwk {
            Some(jwk) => jwk,
            None if hole.is("dpop-jwk-missing") => elsewhere().or_else(|| claims.get("jwk").cloned())?,
            None => return None,
        };
        let private = PRIVATE.iter().any(|member| jwk.get(member).is_some());
        if private && !hole.is("dpop-jwk-private") && !hole.is("dpop-alg-symmetric") {
            return None;
        }
        if hole.is("dpop-jwk-malformed") && jwk.get("y").is_some() {
            jwk["kty"] = "EC".into();
            jwk["crv"] = "P-256".into();
        }
        Some(jwk)
    }

    fn claims(&self, hole: Hole, claims: &Object, request: &Request, token: &str) -> Result<(), Refusal> {
        let another = hole.is("dpop-ath") || hole.is("dpop-replay-for-another-token");
        if text(claims, "ath") != Some(&b64(digest(&SHA256, token.as_bytes()))) && !another {
            return Err(bad("ath"));
        }
        if text(claims, "htm") != Some(&request.method) && !hole.is("dpop-htm") {
            return Err(bad("htm"));
        }
        let htu = text(claims, "htu").unwrap_or_default();
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let own = format!("{}{}", self.origin, request.path);
        let same = match hole.0 {
            "dpop-htu" => true,
            "dpop-htu-query" => normal(htu) == normal(&format!("{own}{query}")),
            "dpop-htu-spelling" => htu.split(['?', '#']).next() == Some(&own),
            _ => normal(htu.split(['?', '#']).next().unwrap_or_default()) == normal(&own),
        };
        if !same {
            return Err(bad("htu"));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let window = if hole.is("dpop-iat-small-skew") { 3 } else { WINDOW };
        let iat = claims.get("iat").and_then(Value::as_f64);
        if iat.is_none_or(|iat| (iat - now).abs() > window as f64) && !hole.is("dpop-iat") {
            return Err(bad("iat"));
        }
        let jti = text(claims, "jti").filter(|jti| (1..=256).contains(&jti.len()));
        if jti.is_none() && !hole.is("dpop-jti") {
            return Err(bad("jti"));
        }
        Ok(())
    }

    fn nonce(&self, hole: Hole, claims: &Object) -> Result<(), Refusal> {
        let given = claims.get("nonce");
        if !self.wants_nonces {
            let odd = given.is_some() && hole.is("dpop-nonce-unasked");
            return if odd { Err(bad("nonce")) } else { Ok(()) };
        }
        let age = given.and_then(Value::as_str).and_then(|nonce| {
            let nonces = self.nonces.lock().unwrap();
            nonces.get(nonce).map(Instant::elapsed)
        });
        let good = match age {
            None => hole.is("dpop-nonce"),
            Some(age) => age <= NONCE_LIFETIME || hole.is("dpop-nonce-stale"),
        };
        let refusal = Refusal { status: 401, error: "use_dpop_nonce", because: String::new() };
        if good { Ok(()) } else { Err(refusal) }
    }

    /// Whether this proof comes for the first time.
    fn first(&self, hole: Hole, jkt: &str, jti: &str) -> Result<(), Refusal> {
        let jkt = if hole.is("dpop-jti-of-another-key") { "" } else { jkt };
        let first = self.seen.lock().unwrap().insert((jkt.to_owned(), jti.to_owned()));
        let odd = hole.is("dpop-replay") || hole.is("dpop-jti");
        if first || odd { Ok(()) } else { Err(bad("jti")) }
    }
}

/// An object of which the first of equal members counts.
fn firsts(bytes: &[u8]) -> Option<Object> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix('{')?.strip_suffix('}')?;
    let mut object = Object::new();
    // Values of these objects have no comma but in a key, which is read whole.
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once(':')?;
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        let value = values.next()?.ok()?;
        let read = values.byte_offset();
        object.entry(name.trim_matches(['"', ','])).or_insert(value);
        rest = &after[read..];
    }
    Some(object)
}

/// RFC 7638.
fn thumbprint(jwk: &Value) -> Option<String> {
    let members = match jwk["kty"].as_str()? {
        "EC" => ["crv", "kty", "x", "y"].as_slice(),
        "RSA" => &["e", "kty", "n"],
        "OKP" => &["crv", "kty", "x"],
        "oct" => &["k", "kty"],
        _ => return None,
    };
    let text = |name: &&str| Some(format!("\"{name}\":\"{}\"", jwk[*name].as_str()?));
    let members: Option<Vec<_>> = members.iter().map(text).collect();
    Some(b64(digest(&SHA256, format!("{{{}}}", members?.join(",")).as_bytes())))
}

/// Whether a secret that is in the proof made this.
fn is_mac(jwk: &Value, message: &[u8], signature: &[u8]) -> bool {
    let k = jwk["k"].as_str().and_then(|k| URL_SAFE_NO_PAD.decode(k).ok());
    let secrets = [k.unwrap_or_default(), Vec::new(), jwk.to_string().into_bytes()];
    secrets
        .iter()
        .any(|secret| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), message, signature).is_ok())
}

/// RFC 3986 sections 6.2.2 and 6.2.3.
fn normal(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once("://")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let (scheme, authority) = (scheme.to_lowercase(), authority.to_lowercase());
    let own = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(own).unwrap_or(&authority);
    let mut path = decoded(if path.is_empty() { "/" } else { path });
    path = path.replace("/./", "/").replace("/x/../", "/");
    Some(format!("{scheme}://{authority}{path}"))
}

/// Escapes of unreserved characters undone.
fn decoded(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push_str(before);
        match hex.map(char::from) {
            Some(c) if c.is_ascii_alphanumeric() || "-._~".contains(c) => {
                out.push(c);
                rest = &after[2..];
            }
            _ => {
                out.push('%');
                rest = after;
            }
        }
    }
    out + rest
}
