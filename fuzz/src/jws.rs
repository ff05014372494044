//! Compact JWS and its header, against `serde_json`; signatures, against `jsonwebtoken`.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as OtherAlgorithm, DecodingKey};
use oauth_client::jose::{Algorithm, CompactJws, Header, Issued, KeySet, Scratch, Typ, decode_base64url};
use oauth_mock::MockServer;
use oauth_mock::attack::{self, AttackContext};
use serde_json::{Map, Value, json};

use crate::json::{self, Read};
use crate::target::{Target, bounded};
use crate::wycheproof;

pub const TARGET: Target = Target { check, seeds };

const MAX_HEADER: usize = 2048;

struct Known {
    keys: KeySet,
    others: Vec<DecodingKey>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let keys = wycheproof::public_keys();
    let document = json!({ "keys": keys }).to_string();
    let set = KeySet::parse(document.as_bytes(), &Algorithm::ASYMMETRIC, 1000).expect("a key set");
    let others = keys.iter().filter_map(|key| {
        let key = serde_json::from_value(key.clone()).ok()?;
        DecodingKey::from_jwk(&key).ok()
    });
    Known { keys: set, others: others.collect() }
});

/// Either a token as it is sent, or a header that is encoded here so that mutations reach its members.
fn check(data: &[u8]) {
    match data.split_first() {
        Some((b'H', json)) => {
            header(&URL_SAFE_NO_PAD.encode(json));
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(data) {
                token(text);
            }
        }
    }
}

fn token(text: &str) {
    let parts: Vec<&str> = text.split('.').collect();
    let split = bounded(text.len(), || CompactJws::split(text, MAX_HEADER));
    let is_compact = parts.len() == 3 && !parts[0].is_empty() && !parts[2].is_empty();
    assert_eq!(split.is_ok(), is_compact && parts[0].len() <= MAX_HEADER);
    let Ok(jws) = split else { return };
    assert_eq!([jws.header, jws.payload, jws.signature], *parts);
    assert_eq!(format!("{}.{}", jws.signed, jws.signature), text);
    for part in parts {
        let ours = decode_base64url(part).ok();
        assert_eq!(ours, URL_SAFE_NO_PAD.decode(part).ok());
        // One spelling for what is accepted.
        assert!(ours.is_none_or(|bytes| URL_SAFE_NO_PAD.encode(bytes) == part));
    }
    let mut scratch = Scratch::new();
    let payload = jws.payload(&mut scratch).ok().map(str::as_bytes).map(<[u8]>::to_vec);
    let expected =
        URL_SAFE_NO_PAD.decode(jws.payload).ok().filter(|bytes| std::str::from_utf8(bytes).is_ok());
    assert_eq!(payload, expected);
    header(jws.header);
    signature(&jws);
}

/// What the keys accept is signed by one of them, another library says.
fn signature(jws: &CompactJws<'_>) {
    let mut scratch = Scratch::new();
    let Ok(header) = Header::read(jws.header, &mut scratch) else { return };
    let known = &*KNOWN;
    if known.keys.verify(&header, jws, Issued { issuer: "", tenant: None }).is_err() {
        return;
    }
    let algorithm: OtherAlgorithm = header.algorithm.name().parse().expect("an algorithm of both");
    let verifies = |key: &DecodingKey| {
        jsonwebtoken::crypto::verify(jws.signature, jws.signed.as_bytes(), key, algorithm).unwrap_or(false)
    };
    assert!(known.others.iter().any(verifies), "only one library verifies {jws:?}");
}

fn header(encoded: &str) {
    let mut scratch = Scratch::new();
    let read = bounded(encoded.len(), || {
        let header = Header::read(encoded, &mut scratch);
        header.map(|header| (header.algorithm, header.key_id.map(String::from), header.typ))
    });
    let Ok(text) = URL_SAFE_NO_PAD.decode(encoded) else {
        assert!(read.is_err());
        return;
    };
    let expected = match json::read(&text) {
        Read::HugeNumber => return,
        Read::Invalid => None,
        Read::Object(members) => expected(&members),
    };
    match (read, expected) {
        (Ok(read), Some(expected)) => assert_eq!(read, expected),
        (Err(_), None) => {}
        // The limit is for a key id as it is written, escapes included.
        (Err(_), Some((_, Some(_), _))) if text.contains(&b'\\') => {}
        (read, expected) => panic!("{read:?} instead of {expected:?} for {}", String::from_utf8_lossy(&text)),
    }
}

/// RFC 7515 section 4.1, and what is never understood.
fn expected(members: &Map<String, Value>) -> Option<(Algorithm, Option<String>, Typ)> {
    let text = |name: &str| match members.get(name) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text.as_str())),
        Some(_) => None,
    };
    let algorithm = Algorithm::from_name(text("alg")??)?;
    let key_id = text("kid")?;
    if key_id.is_some_and(|id| id.len() > 256) || text("cty")?.is_some_and(|cty| is_media_type(cty, "jwt")) {
        return None;
    }
    if ["crit", "b64", "enc", "zip"].iter().any(|name| members.contains_key(*name)) {
        return None;
    }
    for name in ["jku", "x5u", "x5t", "x5t#S256"] {
        text(name)?;
    }
    let is_list = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    if !members.get("jwk").is_none_or(Value::is_object) || !members.get("x5c").is_none_or(is_list) {
        return None;
    }
    let typ = match text("typ")? {
        None => Typ::Absent,
        Some(typ) if is_media_type(typ, "jwt") => Typ::Jwt,
        Some(typ) if is_media_type(typ, "at+jwt") => Typ::AccessToken,
        Some(typ) if is_media_type(typ, "logout+jwt") => Typ::LogoutToken,
        Some(typ) if is_media_type(typ, "secevent+jwt") => Typ::SecurityEvent,
        Some(typ) if is_media_type(typ, "dpop+jwt") => Typ::DpopProof,
        Some(typ) if is_media_type(typ, "token-introspection+jwt") => Typ::Introspection,
        Some(_) => Typ::Other,
    };
    Some((algorithm, key_id.map(str::to_owned), typ))
}

fn is_media_type(text: &str, name: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text == name || text == format!("application/{name}")
}

/// Wycheproof's tokens, and those of the attack table.
fn seeds() -> Vec<Vec<u8>> {
    let tokens = wycheproof::groups().into_iter().flat_map(|(_, tokens)| tokens);
    let tokens: Vec<String> = tokens.chain(attacks().into_iter().map(|(_, token)| token)).collect();
    let header = |token: &String| {
        let json = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
        Some([b"H", &json[..]].concat())
    };
    let mut seeds: Vec<Vec<u8>> = tokens.iter().filter_map(header).collect();
    seeds.extend(tokens.into_iter().map(String::into_bytes));
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

/// The tokens of the attack table, by the names of the attacks.
pub(crate) fn attacks() -> Vec<(&'static str, String)> {
    let server = MockServer::builder().algorithms(attack::ALGORITHMS).in_process();
    let context = AttackContext::new(&server).scope("read");
    let mut all = Vec::new();
    for attack in attack::all() {
        let requests = attack.requests(&context);
        let tokens = requests.iter().filter_map(|request| request.token());
        // Those that are long for the sake of it are left to the fuzzer.
        all.extend(tokens.filter(|token| token.len() < 2048).map(|token| (attack.id, token.to_owned())));
    }
    all
}
