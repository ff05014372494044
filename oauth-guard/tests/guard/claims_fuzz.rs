//! Claims at random, against two other readers. A payload is accepted exactly when `serde_json` reads it, no object in it
//! has a member twice, and the rules hold for what `serde_json` found. And whatever the guard accepts, `jsonwebtoken`
//! accepts with the same settings. A seed is printed, and always the same.

mod oracle;
mod payload;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, Validation};
use oauth_guard::clock::{Clock, SystemClock, TestClock};
use oauth_guard::{Algorithm, Check, Claims, Guard, Issuer, Profile};
use serde_json::Value;

use self::oracle::{LEEWAY, Unreadable, assert_same, is_valid, read};
use self::payload::Payload;
use crate::support::Random;

const SEED: u64 = 0x006f_6175_7468_3237;
const ROUNDS: usize = 12_000;
const SECRET: [u8; 32] = [7; 32];

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
