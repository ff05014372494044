//! The JSON of header and claims: one reading only.

use serde_json::{Map, Value, json};

use super::request::{bearer, bearers, with_level};
use super::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};

const AREA: Area = Area::Json;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "json-claims-array",
        "G043",
        "RFC 7519 section 7.2",
        "claims in a list are no claims set",
        "Claims read by their place in a list are chosen by the caller that orders the list.",
        json_claims_array,
    ),
    Attack::refused(
        AREA,
        "json-claims-not-an-object",
        "G044",
        "RFC 7519 section 7.2",
        "the claims set is an object",
        "There are no claims: none was checked.",
        json_claims_not_an_object,
    ),
    Attack::refused(
        AREA,
        "json-duplicate-registered-claim",
        "G045",
        "RFC 7519 section 4",
        "a registered claim comes once",
        "Two readers may see two values; taking the last one is allowed, refusing is safer.",
        json_duplicate_registered_claim,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "json-duplicate-other-claim",
        "G046",
        "RFC 7519 section 4",
        "any member comes once, at every depth",
        "Two readers may see two values; taking the last one is allowed, refusing is safer.",
        json_duplicate_other_claim,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "json-duplicate-by-escape",
        "G047",
        "RFC 8259 section 8.3",
        "two spellings of a name are one name",
        "Two readers may see two values; taking the last one is allowed, refusing is safer.",
        json_duplicate_by_escape,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "json-duplicate-header-member",
        "G048",
        "RFC 7515 section 4",
        "a header member comes once",
        "Two readers may see two values; taking the last one is allowed, refusing is safer.",
        json_duplicate_header_member,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "json-names-in-another-case",
        "G050",
        "RFC 7519 section 10.1.1",
        "claim names are case-sensitive",
        "The claim itself is missing: its check was left out.",
        json_names_in_another_case,
    ),
    Attack::refused(
        AREA,
        "json-deep",
        "G051",
        "RFC 8259 section 9",
        "deep nesting is refused without exhausting the stack",
        "Deep nesting is valid JSON; a reader that recurses without a limit falls over.",
        json_deep,
    )
    .by_choice()
    .expecting(Expected::INVALID_TOKEN.or(&[431])),
    Attack::accepted(
        AREA,
        "json-wide",
        "G052",
        "RFC 8259 section 9",
        "as many members as fit in 8 KiB cost bounded time",
        "Any caller with one token decides how much work each request is.",
        json_wide,
    )
    .by_choice()
    .expecting(Expected::ACCEPTED.or(&[401])),
    Attack::refused(
        AREA,
        "json-not-utf8",
        "G053",
        "RFC 8725 section 3.7",
        "claims are UTF-8 without a byte order mark",
        "Readers that guess the encoding may guess differently.",
        json_not_utf8,
    )
    .strict(),
    Attack::accepted(
        AREA,
        "json-control-characters",
        "G054",
        "RFC 8725 section 3.10",
        "control characters in `sub` reach no header and no log unescaped",
        "A subject is a user's text: unescaped in a header or log it forges lines.",
        json_control_characters,
    )
    .by_choice()
    .expecting(Expected::ACCEPTED.or(&[401])),
    Attack::refused(
        AREA,
        "json-trailing-junk",
        "G055",
        "RFC 8259 section 2",
        "nothing follows the claims",
        "What stands behind the end is read by one parser and skipped by another.",
        json_trailing_junk,
    )
    .strict(),
    Attack::refused(
        AREA,
        "json-bad-numbers",
        "G056",
        "RFC 8259 section 6",
        "what JSON does not call a number is none",
        "An expiry that is no number may compare as never over.",
        json_bad_numbers,
    )
    .strict(),
];

/// The five claims in the order in which a lenient deserializer would take them from a list.
fn json_claims_array(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good();
    let claim = |name: &str| good.claims().get(name).cloned().unwrap_or_default();
    let list = json!([claim("exp"), claim("iat"), claim("sub"), claim("iss"), claim("aud")]);
    let of_objects = json!([Value::Object(good.claims().clone())]);
    bearers([
        ("values", context.with_payload(list.to_string())),
        ("objects", context.with_payload(of_objects.to_string())),
        ("empty", context.with_payload("[]")),
    ])
}

fn json_claims_not_an_object(context: &AttackContext) -> Vec<AttackRequest> {
    bearers(["null", "\"claims\"", "7", "true"].map(|text| (text, context.with_payload(text))))
}

fn json_duplicate_registered_claim(context: &AttackContext) -> Vec<AttackRequest> {
    let (iss, aud) = (json!(context.issuer()), json!(context.the_audience()));
    let again = [
        ("exp", "9000000000".to_owned()),
        ("iss", iss.to_string()),
        ("aud", aud.to_string()),
        ("sub", "\"admin\"".to_owned()),
        ("iat", "1".to_owned()),
    ];
    let mut tokens: Vec<_> = again
        .into_iter()
        .map(|(name, value)| (name, context.with_payload(context.claims_and(&format!("\"{name}\":{value}")))))
        .collect();
    tokens.push(("nbf", context.with_payload(context.claims_and("\"nbf\":1,\"nbf\":2"))));
    bearers(tokens)
}

fn json_duplicate_other_claim(context: &AttackContext) -> Vec<AttackRequest> {
    let twice = [
        ("client_id", r#""client_id":"admin""#),
        ("jti", r#""jti":"other""#),
        ("scope", r#""x":0,"scope":"a","scope":"b""#),
        ("azp", r#""azp":"a","azp":"b""#),
        ("cnf", r#""cnf":{},"cnf":{"jkt":"x"}"#),
        ("a custom claim", r#""roles":["user"],"roles":["admin"]"#),
        ("equal values", r#""x":1,"x":1"#),
        ("one level down", r#""act":{"sub":"a","sub":"b"}"#),
        ("in a list", r#""list":[{"a":1},{"a":1,"a":2}]"#),
    ];
    bearers(twice.map(|(name, members)| (name, context.with_payload(context.claims_and(members)))))
}

fn json_duplicate_by_escape(context: &AttackContext) -> Vec<AttackRequest> {
    bearers([
        ("sub", context.with_payload(context.claims_and("\"s\\u0075b\":\"admin\""))),
        (
            "a custom claim",
            context.with_payload(context.claims_and("\"role\":\"user\",\"r\\u006fle\":\"admin\"")),
        ),
    ])
}

fn json_duplicate_header_member(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good();
    let member = |name: &str| good.header_members().get(name).cloned().unwrap_or_default();
    let again = [
        ("alg", format!("\"alg\":{}", member("alg"))),
        ("kid", format!("\"kid\":{}", member("kid"))),
        ("typ", "\"typ\":\"at+jwt\"".to_owned()),
        ("a custom member", "\"x\":1,\"x\":2".to_owned()),
    ];
    bearers(again.map(|(name, members)| (name, context.with_header_members(&members))))
}

fn json_names_in_another_case(context: &AttackContext) -> Vec<AttackRequest> {
    let renamed = |name: &str, other: &str| {
        let good = context.good();
        let value = good.claims().get(name).cloned().unwrap_or_default();
        good.without(name).claim(other, value).build()
    };
    let requests = bearers([
        ("Exp", renamed("exp", "Exp")),
        ("AUD", renamed("aud", "AUD")),
        ("Iss", renamed("iss", "Iss")),
    ]);
    with_level(RequirementLevel::Profile, &["Exp"], requests)
}

/// Lists in lists: 128, 2,500 and 10,000 deep, in claims and header.
fn json_deep(context: &AttackContext) -> Vec<AttackRequest> {
    let deep = |depth: usize| format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut tokens = Vec::new();
    for depth in [128, 2_500, 10_000] {
        tokens.push((format!("claims, {depth}"), context.with_payload(context.claims_and(&deep(depth)))));
        tokens.push((format!("header, {depth}"), context.with_header_members(&deep(depth))));
    }
    let unclosed = context.with_payload("[".repeat(5_000));
    tokens.push(("unclosed, 5000".to_owned(), unclosed));
    with_level(RequirementLevel::Must, &["unclosed, 5000"], bearers(tokens))
}

fn json_wide(context: &AttackContext) -> Vec<AttackRequest> {
    // A member takes nine bytes, and base64url a third more: this stays under 8 KiB.
    let members: Vec<_> = (0..550).map(|n| format!("\"{n:03}\":0")).collect();
    bearer(&context.with_payload(context.claims_and(&members.join(","))))
}

fn json_not_utf8(context: &AttackContext) -> Vec<AttackRequest> {
    let text = super::context::text_of(context.good().claims());
    let bom = format!("\u{feff}{text}").into_bytes();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let utf16_little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
    let invalid = [&text.as_bytes()[..text.len() - 1], b",\"x\":\"\xff\"}"].concat();
    let overlong = [&text.as_bytes()[..text.len() - 1], b",\"x\":\"\xc0\xaf\"}"].concat();
    let surrogate = context.claims_and("\"x\":\"\\ud800\"").into_bytes();
    let variants = [
        ("byte order mark", bom),
        ("UTF-16", utf16),
        ("UTF-16, little end first", utf16_little),
        ("UTF-32", utf32),
        ("invalid byte", invalid),
        ("overlong form", overlong),
        ("lone surrogate", surrogate),
    ];
    // An escape without its twin is valid JSON, though it is no text.
    let requests = bearers(variants.map(|(name, payload)| (name, context.with_payload(payload))));
    with_level(RequirementLevel::Choice, &["lone surrogate"], requests)
}

fn json_control_characters(context: &AttackContext) -> Vec<AttackRequest> {
    let subjects = [("NUL", "admin\0x"), ("CR LF", "u\r\nX-Injected: 1"), ("bidi", "u\u{202e}nimda")];
    bearers(subjects.map(|(name, subject)| (name, context.good().subject(subject).build())))
}

fn json_trailing_junk(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good();
    let claims = super::context::text_of(good.claims());
    let header = super::context::text_of(good.header_members());
    bearers([
        ("a letter", context.with_payload(format!("{claims}x"))),
        ("a second object", context.with_payload(format!("{claims}{{}}"))),
        ("NUL", context.with_payload(format!("{claims}\0"))),
        ("behind the header", good.raw_header(format!("{header}x")).build()),
    ])
}

fn json_bad_numbers(context: &AttackContext) -> Vec<AttackRequest> {
    let without = |name: &str| -> Map<String, Value> { context.good().without(name).claims().clone() };
    let claims = super::context::text_of(&without("exp"));
    let numbers = ["NaN", "Infinity", "01999999999", "1e400", "+1999999999", "0x7fffffff", "1999999999."];
    let requests = bearers(numbers.map(|number| {
        let payload = format!("{},\"exp\":{number}}}", &claims[..claims.len() - 1]);
        (number, context.with_payload(payload))
    }));
    // This one is a number to JSON, though to hardly any reader.
    with_level(RequirementLevel::Choice, &["1e400"], requests)
}
