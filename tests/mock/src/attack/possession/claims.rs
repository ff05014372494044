//! What a proof says of the request, but for its address (RFC 9449 section 4.3, points 3, 8, 11 and 12).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use serde_json::{Value, json};

use super::proofs::shots;
use super::scheme::BAD_PROOF;
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::{b64url, hex, to_b64};

const AREA: Area = Area::Dpop;
const REFUSED: Expected = BAD_PROOF.or(&[400]);
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "dpop-ath",
        "G221",
        "RFC 9449 section 4.3 point 12",
        "the proof holds the hash of the token that it is shown with",
        "A proof that was made for a token of little use would be good for the one that was stolen.",
        ath,
    )
    .expecting(REFUSED),
    Attack::refused(
        AREA,
        "dpop-htm",
        "G222",
        "RFC 9449 section 4.3 point 8",
        "the proof is for the method of the request",
        "A proof of a request that reads would be good for one that deletes.",
        htm,
    )
    .expecting(REFUSED),
    Attack::refused(
        AREA,
        "dpop-iat",
        "G225",
        "RFC 9449 section 4.3 point 11",
        "a proof is fresh",
        "Old proofs are in logs; and who has the key for a minute makes proofs for next year.",
        iat,
    )
    .expecting(REFUSED),
    Attack::accepted(
        AREA,
        "dpop-iat-small-skew",
        "G226",
        "RFC 9449 section 11.1",
        "a clock that is a little off does not lock a client out",
        "Clocks of clients are off by seconds; nothing is gained by refusing them.",
        iat_small_skew,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "dpop-jti",
        "G227",
        "RFC 9449 section 4.3 point 3",
        "a proof has a jti that tells it from others",
        "What tells proofs apart keeps them from being used twice.",
        jti,
    )
    .expecting(REFUSED),
];

fn ath(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let token = shots.token.clone();
        let hash = digest(&SHA256, token.as_bytes());
        let other = context.good().bound_to(&shots.dpop.key).build();
        let right = b64url(hash);
        let (claims, signed) = (token.split('.').nth(1).unwrap_or_default(), token.rsplit_once('.'));
        let wrong = [
            ("of another token", json!(b64url(digest(&SHA256, other.as_bytes())))),
            ("of no token", json!(b64url(digest(&SHA256, b"")))),
            ("of the claims", json!(b64url(digest(&SHA256, claims.as_bytes())))),
            ("of the token without its signature", {
                json!(b64url(digest(&SHA256, signed.map_or("", |(input, _)| input).as_bytes())))
            }),
            ("by SHA-512", json!(b64url(digest(&SHA512, token.as_bytes())))),
            ("by SHA-1", json!(b64url(digest(&SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes())))),
            ("its first half", json!(right.get(..21))),
            ("the token itself", json!(token)),
            ("empty", json!("")),
            ("null", Value::Null),
            ("a list", json!([right])),
        ];
        let spelled = [
            ("in hexadecimal", json!(hex(hash.as_ref()))),
            ("with padding", json!(format!("{right}="))),
            ("in the standard alphabet with padding", json!(to_b64(hash))),
        ];
        let shots = shots.with("absent", |proof| proof.without("ath"));
        let shots =
            shots.each(wrong, |shots, (variant, ath)| shots.with(variant, |proof| proof.claim("ath", ath)));
        // The right hash, which no standard spells so.
        shots.each(spelled, |shots, (variant, ath)| {
            let shots = shots.with(variant, |proof| proof.claim("ath", ath));
            shots.last(|request| request.with_level(RequirementLevel::Strict))
        })
    })
}

fn htm(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let own = shots.dpop.method.clone();
        let others = ["GET", "HEAD", "POST", "DELETE", "*", ""].into_iter().filter(|other| *other != own);
        let shots = shots.with("absent", |proof| proof.without("htm"));
        let shots = shots.each(others, |shots, other| {
            shots.with(format!("htm: {other:?}"), |proof| proof.claim("htm", other))
        });
        let odd = [
            ("in small letters", json!(own.to_ascii_lowercase())),
            ("with a blank", json!(format!("{own} "))),
            ("a list", json!([own])),
            ("null", Value::Null),
        ];
        shots.each(odd, |shots, (variant, htm)| {
            let shots = shots.with(variant, |proof| proof.claim("htm", htm));
            shots.last(|request| request.with_level(RequirementLevel::Strict))
        })
    })
}

fn iat(context: &AttackContext) -> Vec<AttackRequest> {
    let now = context.now();
    shots(context, |shots| {
        let wrong = [
            ("an hour old", json!(now - HOUR)),
            ("a day old", json!(now - DAY)),
            ("of 1970", json!(0)),
            ("negative", json!(-now)),
            ("an hour ahead", json!(now + HOUR)),
            ("a day ahead", json!(now + DAY)),
            ("in milliseconds", json!(now * 1_000)),
            ("far beyond any date", json!(1e300)),
            ("null", Value::Null),
        ];
        let odd = [
            ("text", json!(now.to_string())),
            ("a date", json!("2026-11-29T12:00:00Z")),
            ("true", json!(true)),
            ("a list", json!([now])),
        ];
        let shots = shots.with("absent", |proof| proof.without("iat"));
        let shots =
            shots.each(wrong, |shots, (variant, iat)| shots.with(variant, |proof| proof.claim("iat", iat)));
        shots.each(odd, |shots, (variant, iat)| {
            let shots = shots.with(variant, |proof| proof.claim("iat", iat));
            shots.last(|request| request.with_level(RequirementLevel::Strict))
        })
    })
}

fn iat_small_skew(context: &AttackContext) -> Vec<AttackRequest> {
    let now = context.now();
    shots(context, |shots| {
        shots
            .with("a few seconds old", |proof| proof.issued_at(now - 5))
            .with("two seconds ahead", |proof| proof.issued_at(now + 2))
            .with("with a fraction", |proof| proof.claim("iat", now as f64 + 0.5))
    })
}

fn jti(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let shots = shots.with("absent", |proof| proof.without("jti"));
        let odd = [
            ("empty", json!("")),
            ("a number", json!(7)),
            ("null", Value::Null),
            ("a list", json!(["jti"])),
            ("an object", json!({"jti": "jti"})),
            ("true", json!(true)),
        ];
        let shots = shots.each(odd, |shots, (variant, jti)| {
            let shots = shots.with(variant, |proof| proof.claim("jti", jti));
            shots.last(|request| request.with_level(RequirementLevel::Strict))
        });
        // Each is kept for as long as a proof is good: a caller that may choose its length chooses how much.
        shots
            .with("of 2,000 characters", |proof| proof.claim("jti", "j".repeat(2_000)))
            .last(|request| request.with_level(RequirementLevel::Choice))
    })
}
