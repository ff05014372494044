//! Claims at random, against two other readers. A payload is accepted exactly when `serde_json` reads it, no object in it
//! has a member twice, and the rules hold for what `serde_json` found. And whatever the guard accepts, `jsonwebtoken`
//! accepts with the same settings. A seed is printed, and always the same.

mod payload;

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, Validation};
use oauth_guard::clock::{Clock, SystemClock, TestClock};
use oauth_guard::{Algorithm, Check, Claims, Guard, Issuer, Profile};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use self::payload::Payload;
use crate::support::Random;

const SEED: u64 = 0x006f_6175_7468_3237;
const ROUNDS: usize = 12_000;
const SECRET: [u8; 32] = [7; 32];
const LEEWAY: u64 = 60;

fn guard(now: u64) -> Guard {
    let issuer = Issuer::new("https://as").audience("api").profile(Profile::Jwt);
    let issuer = issuer.hmac_secret(Algorithm::Hs256, SECRET);
    // Without a cache: each token is read.
    Guard::builder().issuer(issuer).cache_bytes(0).clock(TestClock::at(now)).build().unwrap()
}

fn sign(payload: &[u8]) -> String {
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn check(guard: &Guard, token: &str) -> Option<Claims> {
    let request =
        http::Request::get("/").header("authorization", format!("Bearer {token}")).body(()).unwrap();
    let Check::Ready(outcome) = guard.check(&request) else { panic!("nothing to fetch") };
    outcome.ok().flatten()
}

#[tokio::test(start_paused = true)]
async fn claims_are_accepted_exactly_when_two_other_readers_agree() {
    println!("seed {SEED:#018x}");
    // jsonwebtoken reads the machine's clock, so the guard's stands at that time; no time below is near a limit.
    let now = SystemClock.now().wall.as_secs();
    let guard = guard(now);
    let mut random = Random::new(SEED);
    let mut settings = Validation::new(JwtAlgorithm::HS256);
    settings.set_audience(&["api"]);
    settings.set_issuer(&["https://as"]);
    settings.set_required_spec_claims(&["exp", "iss", "aud"]);
    settings.validate_nbf = true;
    settings.leeway = LEEWAY;
    let key = DecodingKey::from_secret(&SECRET);
    let (mut accepted, mut invalid_json, mut duplicates) = (0, 0, 0);
    for round in 0..ROUNDS {
        let payload = Payload { random: &mut random, now }.write();
        let token = sign(&payload);
        let shown = String::from_utf8_lossy(&payload);
        let read = read(&payload);
        let expected = read.as_ref().ok().filter(|claims| is_valid(claims, now));
        let found = check(&guard, &token);
        assert_eq!(found.is_some(), expected.is_some(), "round {round}: {read:?} of {shown}");
        match &read {
            Err(Unreadable::Duplicate) => duplicates += 1,
            Err(Unreadable::Json) => invalid_json += 1,
            Ok(_) => {}
        }
        let (Some(found), Some(expected)) = (found, expected) else { continue };
        accepted += 1;
        assert_same(&found, expected, &format!("round {round}: {shown}"));
        // It takes a `null` for a malformed time.
        let dated = expected.get("nbf").is_none_or(|nbf| !nbf.is_null());
        let token = if dated {
            token
        } else {
            let mut claims = expected.clone();
            claims.remove("nbf");
            sign(&serde_json::to_vec(&claims).unwrap())
        };
        let oracle = jsonwebtoken::decode::<Value>(&token, &key, &settings);
        assert!(oracle.is_ok(), "round {round}: jsonwebtoken says {:?} to {shown}", oracle.err());
    }
    println!(
        "{ROUNDS} payloads: {accepted} accepted, {invalid_json} are no JSON object, {duplicates} have a member twice"
    );
    // It proves nothing if little is accepted, or everything.
    assert!(accepted > ROUNDS / 5 && invalid_json > ROUNDS / 20 && duplicates > ROUNDS / 50);
}

#[tokio::test(start_paused = true)]
async fn a_control_character_makes_no_valid_string_wherever_it_stands() {
    let guard = guard(1_000_000_000);
    let payload = |text: &str| {
        format!(r#"{{"iss":"https://as","aud":"api","exp":2000000000,"note":"{text}","sub":"ada"}}"#)
    };
    assert!(check(&guard, &sign(payload("as long as two words").as_bytes())).is_some());
    // Strings are read eight bytes at a time: each place of a word, of the next, and of the rest.
    for length in [1, 7, 8, 9, 15, 16, 17, 24, 31] {
        for at in 0..length {
            for control in ['\0', '\u{1}', '\t', '\n', '\r', '\u{1f}'] {
                let text: String = (0..length).map(|n| if n == at { control } else { 'x' }).collect();
                let token = sign(payload(&text).as_bytes());
                assert!(check(&guard, &token).is_none(), "{control:?} at {at} of {length}");
            }
            // Neighbours of the range, and the quote's and backslash's.
            for fine in [' ', '!', '#', '[', ']', '\u{7f}', '\u{80}', '\u{20ac}'] {
                let text: String = (0..length).map(|n| if n == at { fine } else { 'x' }).collect();
                let token = sign(payload(&text).as_bytes());
                assert!(check(&guard, &token).is_some(), "{fine:?} at {at} of {length}");
            }
        }
    }
}

/// The rules for claims, written down once more, over what `serde_json` read. `null` stands for a member that is not there,
/// except for `aud`.
fn is_valid(claims: &Map<String, Value>, now: u64) -> bool {
    let seconds = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(seconds) => Some(Some(seconds)),
            // RFC 7519 section 2: a NumericDate may have a fraction. It may not be negative or beyond what has seconds.
            None => number
                .as_f64()
                .filter(|float| float.is_sign_positive() && *float <= 9_007_199_254_740_992.0)
                .map(
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it was checked to fit"
                    )]
                    |float| Some(float.floor() as u64),
                ),
        },
        Some(_) => None,
    };
    let names_us = match claims.get("aud") {
        Some(Value::String(one)) => one == "api",
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(|one| one == "api"),
        _ => false,
    };
    let (Some(Some(exp)), Some(nbf), Some(iat)) = (seconds("exp"), seconds("nbf"), seconds("iat")) else {
        return false;
    };
    claims.get("iss").is_some_and(|iss| iss == "https://as")
        && names_us
        && now < exp.saturating_add(LEEWAY)
        && [nbf, iat].into_iter().flatten().all(|from| now >= from.saturating_sub(LEEWAY))
        && ["sub", "client_id", "jti", "azp"]
            .iter()
            .all(|name| claims.get(*name).is_none_or(|value| value.is_string() || value.is_null()))
        && claims.get("cnf").is_none_or(Value::is_null)
}

/// The guard hands on what `serde_json` reads.
fn assert_same(found: &Claims, expected: &Map<String, Value>, what: &str) {
    let text = |name: &str| expected.get(name).and_then(Value::as_str);
    assert_eq!(found.subject(), text("sub"), "{what}");
    assert_eq!(found.client_id(), text("client_id").or(text("azp")), "{what}");
    assert_eq!(found.token_id(), text("jti"), "{what}");
    let words = |value: Option<&Value>, split: bool| -> Vec<String> {
        match value {
            Some(Value::String(text)) if split => {
                text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
            }
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => {
                let all: Option<Vec<_>> = list.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                all.unwrap_or_default()
            }
            _ => Vec::new(),
        }
    };
    let scopes =
        ["scope", "scp"].into_iter().filter_map(|name| expected.get(name)).find(|scopes| !scopes.is_null());
    assert_eq!(found.scopes().collect::<Vec<_>>(), words(scopes, true), "{what}");
    assert_eq!(found.roles().collect::<Vec<_>>(), words(expected.get("roles"), false), "{what}");
    assert_eq!(found.audience().collect::<Vec<_>>(), words(expected.get("aud"), false), "{what}");
    for (name, value) in expected {
        assert_eq!(found.get::<Value>(name).as_ref(), Some(value), "{name} of {what}");
    }
}

#[derive(Debug)]
enum Unreadable {
    Json,
    Duplicate,
}

fn read(payload: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let Ok(Value::Object(claims)) = serde_json::from_slice::<Value>(payload) else {
        return Err(Unreadable::Json);
    };
    let mut reader = serde_json::Deserializer::from_slice(payload);
    if NoDuplicates.deserialize(&mut reader).is_err() {
        return Err(Unreadable::Duplicate);
    }
    // Deeper than a guard reads.
    if depth(&Value::Object(claims.clone())) > 32 { Err(Unreadable::Json) } else { Ok(claims) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Finds a member that an object has twice, at any depth.
#[derive(Clone, Copy)]
struct NoDuplicates;

impl<'de> DeserializeSeed<'de> for NoDuplicates {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member twice"));
            }
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
