//! `exp`, `nbf` and `iat`.

use std::time::Duration;

use serde_json::{Value, json};

use super::request::{bearer, bearers, with_level};
use super::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel, Setup};

const AREA: Area = Area::Time;
const DAY: i64 = 86_400;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "time-exp-missing",
        "G070",
        "RFC 9068 section 2.2",
        "a token without end is refused",
        "A token that never expires is good for any thief, for ever.",
        time_exp_missing,
    )
    .of_the_profile(),
    Attack::refused(
        AREA,
        "time-exp-of-wrong-type",
        "G071",
        "RFC 7519 section 4.1.4",
        "an expiry that is no number is refused",
        "An end that cannot be read cannot be known not to be over.",
        time_exp_of_wrong_type,
    ),
    Attack::accepted(
        AREA,
        "time-exp-fraction",
        "G072",
        "RFC 7519 section 2",
        "a fraction of a second never lengthens a token's life",
        "The standard allows fractions of a second.",
        time_exp_fraction,
    ),
    Attack::refused(
        AREA,
        "time-exp-now",
        "G073",
        "RFC 7519 section 4.1.4",
        "on its expiry, leeway included, a token is over",
        "The standard says: on or after.",
        time_exp_now,
    )
    .strict(),
    Attack::refused(
        AREA,
        "time-exp-past",
        "G074",
        "RFC 7519 section 4.1.4",
        "a token is over after its expiry, and not before",
        "A stolen token is useful for as long as it is accepted.",
        time_exp_past,
    ),
    Attack::refused(
        AREA,
        "time-exp-too-big",
        "G076",
        "RFC 7519 section 2",
        "a number too big for the clock does no harm",
        "It is a number, far in the future; as an integer it may overflow to anything.",
        time_exp_too_big,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "time-nbf-future",
        "G077",
        "RFC 7519 section 4.1.5",
        "a token is refused before its time",
        "The issuer says that it must not be accepted yet.",
        time_nbf_future,
    ),
    Attack::refused(
        AREA,
        "time-nbf-of-wrong-type",
        "G078",
        "RFC 7519 section 4.1.5",
        "an `nbf` that is no time is refused",
        "A beginning that cannot be read cannot be known to be over.",
        time_nbf_of_wrong_type,
    )
    .strict(),
    Attack::refused(
        AREA,
        "time-iat-future",
        "G079",
        "RFC 7519 section 4.1.6",
        "a token from the future is refused",
        "A clock is wrong, or the token is prepared; the standard leaves it to the API.",
        time_iat_future,
    )
    .by_choice(),
    Attack::accepted(
        AREA,
        "time-small-skew",
        "G080",
        "FAPI 2.0 Security Profile section 5.3.2.1",
        "an issuer whose clock is eight seconds ahead is understood",
        "No two clocks agree to the second.",
        time_small_skew,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "time-iat-missing",
        "G081",
        "RFC 9068 section 2.2",
        "an access token says when it was issued",
        "RFC 9068 has the issuer set it; an API that limits the age of tokens needs it.",
        time_iat_missing,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "time-too-old",
        "G082",
        "RFC 9470 section 4",
        "a token older than the target's limit is refused",
        "The limit is what bounds the use of a stolen long-lived token.",
        time_too_old,
    )
    .with(Setup { max_token_age: Some(Duration::from_secs(86_400)), ..Setup::NONE }),
    Attack::refused(
        AREA,
        "time-exp-of-a-known-token",
        "G158",
        "RFC 7519 section 4.1.4",
        "a token that the target knows already is over at its expiry like any other",
        "A cache that asks for no expiry keeps a stolen token good for as long as it is used.",
        time_exp_of_a_known_token,
    ),
];

/// A token with two seconds to go, and the same once it is over.
fn time_exp_of_a_known_token(context: &AttackContext) -> Vec<AttackRequest> {
    let token = context.good().expires_in(2 - context.leeway_seconds()).build();
    vec![
        AttackRequest::bearer("while it is good", &token)
            .expecting(Expected::ACCEPTED)
            .with_level(RequirementLevel::Choice),
        AttackRequest::bearer("four seconds later", &token).after(Duration::from_secs(4)),
    ]
}

fn time_exp_missing(context: &AttackContext) -> Vec<AttackRequest> {
    bearer(&context.good().without("exp").build())
}

fn time_exp_of_wrong_type(context: &AttackContext) -> Vec<AttackRequest> {
    let text = (context.now() + 600).to_string();
    bearers(
        [json!(text), Value::Null, json!(true), json!([context.now() + 600]), json!({}), json!(-1)]
            .map(|exp| (format!("exp: {exp}"), context.good().claim("exp", exp).build())),
    )
}

fn time_exp_fraction(context: &AttackContext) -> Vec<AttackRequest> {
    let fraction = |second: i64| context.with_payload(replacing_exp(context, &format!("{second}.5")));
    vec![
        AttackRequest::bearer("half a second over", &fraction(context.now() + 100)),
        AttackRequest::bearer(
            "over, but for the fraction",
            &fraction(context.now() - context.leeway_seconds()),
        )
        .expecting(Expected::INVALID_TOKEN)
        .with_level(RequirementLevel::Choice),
    ]
}

fn time_exp_now(context: &AttackContext) -> Vec<AttackRequest> {
    bearer(&context.good().expires_in(-context.leeway_seconds()).build())
}

fn time_exp_past(context: &AttackContext) -> Vec<AttackRequest> {
    let at = |offset: i64| context.good().expires_in(offset - context.leeway_seconds()).build();
    vec![
        // Two seconds, so that a real clock may tick between making and sending.
        AttackRequest::bearer("within the leeway", &at(2))
            .expecting(Expected::ACCEPTED)
            .with_level(RequirementLevel::Choice),
        AttackRequest::bearer("one second beyond", &at(-1)),
        AttackRequest::bearer("an hour beyond", &at(-3_600)),
        AttackRequest::bearer("1970", &context.good().expires_at(0).build()),
    ]
}

fn time_exp_too_big(context: &AttackContext) -> Vec<AttackRequest> {
    bearers(
        ["18446744073709551616", "1e40", "99999999999999999999999999"]
            .map(|number| (number, context.with_payload(replacing_exp(context, number)))),
    )
}

fn time_nbf_future(context: &AttackContext) -> Vec<AttackRequest> {
    let beyond = context.now() + context.leeway_seconds() + 30;
    let requests = bearers([
        ("an hour", context.good().not_before(context.now() + 3_600).build()),
        ("just beyond the leeway", context.good().not_before(beyond).build()),
    ]);
    // An API may be more patient with a token's beginning than with its end.
    with_level(RequirementLevel::Choice, &["just beyond the leeway"], requests)
}

fn time_nbf_of_wrong_type(context: &AttackContext) -> Vec<AttackRequest> {
    let requests = bearers(
        // `null` is not among them: serializers write it for a claim that is absent, as this one may be.
        [json!("x"), json!(-1), json!({}), json!([1])]
            .map(|nbf| (format!("nbf: {nbf}"), context.good().claim("nbf", nbf).build())),
    );
    // A number before 1970 is a number.
    with_level(RequirementLevel::Choice, &["nbf: -1"], requests)
}

fn time_iat_future(context: &AttackContext) -> Vec<AttackRequest> {
    let issued =
        |offset: i64| context.good().issued_at(context.now() + offset).expires_in(offset + 600).build();
    bearers([("a day", issued(DAY)), ("just beyond the leeway", issued(context.leeway_seconds() + 30))])
}

fn time_small_skew(context: &AttackContext) -> Vec<AttackRequest> {
    if context.leeway_seconds() < 8 {
        return Vec::new();
    }
    let ahead = context.now() + 8;
    bearers([
        ("iat", context.good().issued_at(ahead).build()),
        ("iat and nbf", context.good().issued_at(ahead).not_before(ahead).build()),
    ])
}

fn time_iat_missing(context: &AttackContext) -> Vec<AttackRequest> {
    bearers([
        ("missing", context.good().without("iat").build()),
        ("a string", context.good().claim("iat", "x").build()),
        ("null", context.good().claim("iat", Value::Null).build()),
        ("negative", context.good().claim("iat", -1).build()),
    ])
}

fn time_too_old(context: &AttackContext) -> Vec<AttackRequest> {
    vec![
        AttackRequest::bearer(
            "twice the limit",
            &context
                .good()
                .issued_at(context.now().saturating_sub(context.oldest_token().saturating_mul(2)))
                .build(),
        ),
        context.control(),
    ]
}

/// The claims of a good token with this text for `exp`.
fn replacing_exp(context: &AttackContext, number: &str) -> String {
    let claims = super::context::text_of(context.good().without("exp").claims());
    format!("{},\"exp\":{number}}}", claims.strip_suffix('}').unwrap_or(&claims))
}
