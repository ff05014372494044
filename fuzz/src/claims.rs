//! Claims, against `serde_json` and `jsonwebtoken`.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as OtherAlgorithm, DecodingKey, Validation};
use oauth_guard::clock::{Clock, SystemClock};
use oauth_guard::{Algorithm, Check, Guard, Issuer, Profile};
use serde_json::Value;

use self::payload::Payload;
use crate::fixture::{SECRET, bearer, sign};
use crate::json::{self, LEEWAY, Read};
use crate::jws::attacks;
use crate::secrets::assert_hidden;
use crate::support::Random;
use crate::target::{Target, bounded};

// The generator of the guard's own tests.
#[path = "../../oauth-guard/tests/guard/claims_fuzz/payload.rs"]
mod payload;

pub const TARGET: Target = Target { check, seeds };

/// jsonwebtoken reads the machine's clock, and so does this guard.
static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    let issuer = Issuer::new("https://as").audience("api").profile(Profile::Jwt);
    let issuer = issuer.hmac_secret(Algorithm::Hs256, SECRET).max_token_bytes(1 << 20);
    Guard::builder().issuer(issuer).cache_bytes(0).build().expect("a guard")
});

static SETTINGS: LazyLock<Validation> = LazyLock::new(|| {
    let mut settings = Validation::new(OtherAlgorithm::HS256);
    settings.set_audience(&["api"]);
    settings.set_issuer(&["https://as"]);
    settings.set_required_spec_claims(&["exp", "iss", "aud"]);
    settings.validate_nbf = true;
    settings.leeway = LEEWAY;
    settings
});

/// Either a payload as it is, or choices of what to put into one.
fn check(data: &[u8]) {
    let now = SystemClock.now().wall.as_secs();
    match data.split_first() {
        Some((b'G', choices)) => {
            let mut random = Random::new(choices);
            payload(&Payload { random: &mut random, now }.write(), now);
        }
        Some((_, text)) => payload(text, now),
        None => {}
    }
}

fn payload(text: &[u8], now: u64) {
    let token = sign(br#"{"alg":"HS256"}"#, text);
    let request = bearer(&token);
    let checked = bounded(token.len(), || GUARD.check(&request));
    let Check::Ready(outcome) = checked else { panic!("there is nothing to fetch") };
    let explained = GUARD.explain(&token);
    assert_eq!(explained.code, outcome.as_ref().err().map(|rejection| rejection.code()));
    let signature = token.rsplit('.').next().unwrap_or_default().to_owned();
    assert_hidden(&format!("{explained}{explained:?}"), &[signature]);

    let shown = String::from_utf8_lossy(text);
    let expected = match json::read(text) {
        Read::HugeNumber => return,
        Read::Invalid => None,
        Read::Object(claims) => Some(claims).filter(|claims| json::is_valid(claims, now)),
    };
    // A second may pass between the two looks at the clock.
    let found = outcome.ok().flatten();
    if found.is_some() != expected.is_some() && SystemClock.now().wall.as_secs() != now {
        return;
    }
    assert_eq!(found.is_some(), expected.is_some(), "{shown}");
    let (Some(found), Some(mut expected)) = (found, expected) else { return };
    json::assert_same(&found, &expected, &shown);
    // It takes a `null` for a malformed time.
    let token = match expected.get("nbf") {
        Some(Value::Null) => {
            expected.remove("nbf");
            sign(br#"{"alg":"HS256"}"#, Value::Object(expected).to_string().as_bytes())
        }
        _ => token,
    };
    let other = jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_secret(&SECRET), &SETTINGS);
    if SystemClock.now().wall.as_secs() == now {
        assert!(other.is_ok(), "jsonwebtoken says {:?} to {shown}", other.err());
    }
}

/// Payloads of the attack table for this issuer, and choices.
fn seeds() -> Vec<Vec<u8>> {
    let good = r#"{"iss":"https://as","aud":"api","exp":9000000000,"nbf":1,"iat":1,"sub":"ada","scope":"read write"}"#;
    let mut seeds = vec![format!("R{good}").into_bytes()];
    for (_, token) in attacks() {
        let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let Some(Ok(text)) = payload.map(String::from_utf8) else { continue };
        seeds.push(format!("R{text}").into_bytes());
    }
    seeds.extend((0..32_u8).map(|n| [&b"G"[..], &[n.wrapping_mul(37); 40].map(|byte| byte ^ n)].concat()));
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}
