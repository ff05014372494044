//! `iss`, `aud` and `sub`: from whom, for whom, about whom.

use serde_json::{Value, json};

use super::request::{bearer, bearers, others, with_level};
use super::{Area, Attack, AttackContext, AttackRequest, RequirementLevel, Setup};
use crate::keys::TestKey;

const AREA: Area = Area::Claims;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "iss-missing",
        "G084",
        "RFC 9068 section 4",
        "a token without an issuer is refused",
        "Nothing says that the token is by the issuer this API trusts.",
        iss_missing,
    ),
    Attack::refused(
        AREA,
        "iss-list",
        "G085",
        "RFC 7519 section 4.1.1",
        "a list that holds the right issuer is no issuer",
        "A reader that looks for its issuer anywhere in the list accepts tokens made for another.",
        iss_list,
    ),
    Attack::refused(
        AREA,
        "iss-of-wrong-type",
        "G086",
        "RFC 7519 section 4.1.1",
        "the issuer is a string",
        "An issuer that cannot be compared has not been checked.",
        iss_of_wrong_type,
    ),
    Attack::refused(
        AREA,
        "iss-nearly",
        "G087",
        "RFC 8414 section 3.3",
        "the issuer is compared code point by code point",
        "Issuers that share keys, such as tenants, differ in exactly these characters.",
        iss_nearly,
    ),
    Attack::refused(
        AREA,
        "iss-lookalike",
        "G088",
        "RFC 8414 section 3.3",
        "an issuer that only looks the same is another",
        "An attacker who registers a name that only looks the same would be taken for the issuer.",
        iss_lookalike,
    ),
    Attack::refused(
        AREA,
        "iss-with-the-key-of-another",
        "G089",
        "RFC 8725 section 3.8",
        "an issuer's key signs for that issuer only, whatever its key id",
        "Any trusted issuer, or who steals its key, could speak for every other.",
        iss_with_the_key_of_another,
    )
    .with(Setup { two_issuers: true, ..Setup::NONE }),
    Attack::refused(
        AREA,
        "aud-missing",
        "G091",
        "RFC 9068 section 4",
        "a token for no audience is refused",
        "A token that names no audience was not made for this API: others that got it can use it here.",
        aud_missing,
    ),
    Attack::refused(
        AREA,
        "aud-of-wrong-type",
        "G092",
        "RFC 7519 section 4.1.3",
        "the audience is a string or a list of strings",
        "An audience that cannot be compared has not been checked.",
        aud_of_wrong_type,
    ),
    Attack::refused(
        AREA,
        "aud-empty",
        "G093",
        "RFC 7519 section 4.1.3",
        "an empty audience names no API",
        "An empty audience matches an empty setting: the check is then none.",
        aud_empty,
    ),
    Attack::accepted(
        AREA,
        "aud-list",
        "G094",
        "RFC 7519 section 4.1.3",
        "an audience list that holds the API is good",
        "Issuers write the audience as a list as soon as there are two.",
        aud_list,
    ),
    Attack::refused(
        AREA,
        "aud-nearly",
        "G095",
        "RFC 7519 section 4.1.3",
        "the audience is compared whole",
        "Every API that gets a token for itself could use it here.",
        aud_nearly,
    ),
    Attack::refused(
        AREA,
        "aud-a-part",
        "G095",
        "RFC 7519 section 4.1.3",
        "a part of the API's name is the name of another API",
        "A comparison with its sides exchanged takes tokens that were made for another, shorter-named API.",
        aud_a_part,
    ),
    Attack::refused(
        AREA,
        "cnf-as-bearer",
        "G184",
        "RFC 9449 section 7.2",
        "a token that is bound to a key or certificate is refused without the proof",
        "The issuer bound the token so that a thief has no use for it; taken as a bearer token, it is as good as any.",
        cnf_as_bearer,
    ),
    Attack::refused(
        AREA,
        "sub-missing",
        "G099",
        "RFC 9068 section 2.2",
        "an access token says whom it is about",
        "RFC 9068 has the issuer set it; an API that tells its callers apart by it needs it.",
        sub_missing,
    )
    .by_choice(),
];

fn iss_missing(context: &AttackContext) -> Vec<AttackRequest> {
    bearer(&context.good().without("iss").build())
}

fn iss_list(context: &AttackContext) -> Vec<AttackRequest> {
    let issuer = context.issuer();
    bearers([
        ("beside another", context.good().claim("iss", json!(["https://evil.example", issuer])).build()),
        ("alone", context.good().claim("iss", json!([issuer])).build()),
    ])
}

fn iss_of_wrong_type(context: &AttackContext) -> Vec<AttackRequest> {
    let issuer = context.issuer();
    bearers(
        [json!(5), json!({"iss": issuer}), Value::Null, json!([{"iss": issuer}]), json!(""), json!(true)]
            .map(|iss| (format!("iss: {iss}"), context.good().claim("iss", iss).build())),
    )
}

fn iss_nearly(context: &AttackContext) -> Vec<AttackRequest> {
    let issuer = context.issuer();
    let (scheme, rest) = issuer.split_once("://").unwrap_or(("https", issuer));
    let variants = [
        ("a slash behind", format!("{issuer}/")),
        ("scheme in upper case", format!("{}://{rest}", scheme.to_uppercase())),
        ("a port behind", format!("{issuer}:443")),
        ("longer", format!("{issuer}.evil.example")),
        ("shorter", super::context::without_last(issuer).to_owned()),
        ("user before", format!("{scheme}://evil@{rest}")),
        ("a query behind", format!("{issuer}?")),
        ("a blank before", format!(" {issuer}")),
    ];
    bearers(others(issuer, variants).map(|(name, iss)| (name, context.good().issuer(iss).build())))
}

fn iss_lookalike(context: &AttackContext) -> Vec<AttackRequest> {
    let issuer = context.issuer();
    let variants = [
        ("percent-encoded", issuer.replacen('.', "%2E", 1)),
        ("full-width dot", issuer.replacen('.', "\u{ff0e}", 1)),
        ("zero-width space behind", format!("{issuer}\u{200b}")),
        // A Cyrillic letter that looks like the `t` of the scheme in italics.
        ("Cyrillic letter", issuer.replacen('t', "\u{442}", 1)),
        ("NUL behind", format!("{issuer}\0")),
    ];
    bearers(others(issuer, variants).map(|(name, iss)| (name, context.good().issuer(iss).build())))
}

/// The second issuer publishes a key under the first one's key id, and signs in its name.
fn iss_with_the_key_of_another(context: &AttackContext) -> Vec<AttackRequest> {
    let Some(second) = context.second() else { return Vec::new() };
    let own = second.current();
    let namesake = context.keys().foreign(own.alg()).with_kid(&context.keys().current_kid());
    second.add(&namesake);
    bearers([
        ("the same kid", context.good().signed_with(&namesake).build()),
        ("its own kid", context.good().signed_with(&own).build()),
    ])
}

fn aud_missing(context: &AttackContext) -> Vec<AttackRequest> {
    bearer(&context.good().without("aud").build())
}

fn aud_of_wrong_type(context: &AttackContext) -> Vec<AttackRequest> {
    let audience = context.the_audience();
    let odd = [
        json!(5),
        Value::Null,
        json!({}),
        json!([[audience]]),
        json!([audience, 5]),
        json!({"aud": audience}),
    ];
    let named = [format!("aud: {}", json!([[audience]])), format!("aud: {}", json!([audience, 5]))];
    let requests = bearers(odd.map(|aud| (format!("aud: {aud}"), context.good().claim("aud", aud).build())));
    // These do name the API, only not as the standard has it.
    with_level(RequirementLevel::Strict, &named.each_ref().map(String::as_str), requests)
}

fn aud_empty(context: &AttackContext) -> Vec<AttackRequest> {
    bearers(
        [json!(""), json!([]), json!([""])]
            .map(|aud| (format!("aud: {aud}"), context.good().claim("aud", aud).build())),
    )
}

fn aud_list(context: &AttackContext) -> Vec<AttackRequest> {
    let audience = context.the_audience();
    bearers(
        [json!(["other", audience]), json!([audience])]
            .map(|aud| (format!("aud: {aud}"), context.good().claim("aud", aud).build())),
    )
}

fn aud_nearly(context: &AttackContext) -> Vec<AttackRequest> {
    let audience = context.the_audience();
    let variants = [
        ("with another behind", format!("{audience} other")),
        ("a letter before", format!("x{audience}")),
        ("a letter behind", format!("{audience}x")),
        ("upper case", audience.to_uppercase()),
        ("another one", context.other_audience().to_owned()),
    ];
    bearers(others(audience, variants).map(|(name, aud)| (name, context.good().audience(aud).build())))
}

fn aud_a_part(context: &AttackContext) -> Vec<AttackRequest> {
    let audience = context.the_audience();
    let letters: Vec<char> = audience.chars().collect();
    if letters.len() < 3 {
        return Vec::new();
    }
    let part = |from: usize, to: usize| letters[from..to].iter().collect::<String>();
    let half = letters.len().div_ceil(2);
    let variants = [
        ("all but the last letter", part(0, letters.len() - 1)),
        ("all but the first letter", part(1, letters.len())),
        ("the first half", part(0, half)),
        ("the middle", part(1, letters.len() - 1)),
        ("the first letter", part(0, 1)),
    ];
    bearers(variants.map(|(name, aud)| (name, context.good().audience(aud).build())))
}

/// Good in everything, and bound: by DPoP, by a certificate, by a whole key, and by what no API understands.
fn cnf_as_bearer(context: &AttackContext) -> Vec<AttackRequest> {
    let key = TestKey::generate(crate::keys::Alg::Es256);
    let bound = |cnf: Value| context.good().claim("cnf", cnf).build();
    let requests = bearers([
        ("jkt, for DPoP", bound(json!({"jkt": key.thumbprint()}))),
        ("x5t#S256, for a certificate", bound(json!({"x5t#S256": key.thumbprint()}))),
        ("jkt and x5t#S256", bound(json!({"jkt": key.thumbprint(), "x5t#S256": key.thumbprint()}))),
        ("a key", bound(json!({"jwk": key.public_jwk()}))),
        ("an unknown member", bound(json!({"unknown": "x"}))),
        ("a string", bound(json!(key.thumbprint()))),
        ("jkt, a number", bound(json!({"jkt": 7}))),
    ]);
    // RFC 7800 section 3.1 leaves methods that an API does not know to the application.
    let odd = ["a key", "an unknown member", "a string", "jkt, a number"];
    with_level(RequirementLevel::Choice, &odd, requests)
}

fn sub_missing(context: &AttackContext) -> Vec<AttackRequest> {
    let mut requests = bearers(
        [json!(5), Value::Null, json!(["svc"]), json!({})]
            .map(|sub| (format!("sub: {sub}"), context.good().claim("sub", sub).build())),
    );
    requests.push(AttackRequest::bearer("missing", &context.good().without("sub").build()));
    requests
}
