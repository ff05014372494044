//! Parts, base64url and size: one token has one spelling.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use serde_json::json;

use super::request::{bearer, bearers, with_level};
use super::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel, der};
use crate::encode::{b64url, random};
use crate::keys::Alg;

const AREA: Area = Area::Structure;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "structure-signature-part-missing",
        "G019",
        "RFC 7515 section 7.1",
        "two parts are no signed token",
        "Any client can leave the signature out.",
        structure_signature_part_missing,
    ),
    Attack::refused(
        AREA,
        "structure-too-many-parts",
        "G028",
        "RFC 7515 section 7.1",
        "four and more parts are no signed token",
        "What is skipped was not verified; another reader may take it for the token.",
        structure_too_many_parts,
    )
    .strict(),
    Attack::refused(
        AREA,
        "structure-encrypted",
        "G029",
        "RFC 8725 section 2.3",
        "a token that any client can encrypt to the public key proves nothing",
        "Any client can encrypt to a public key; it proves nothing about who did.",
        structure_encrypted,
    ),
    Attack::refused(
        AREA,
        "structure-json-serialization",
        "G030",
        "RFC 6750 section 2.1",
        "JSON is no bearer token",
        "JWTs have one form; a second reader of tokens is a second set of mistakes.",
        structure_json_serialization,
    )
    .strict()
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    Attack::refused(
        AREA,
        "structure-polyglot",
        "G031",
        "RFC 6750 section 2.1",
        "a text that is JSON and a compact token at once is no bearer token",
        "One parser verifies the one half, another reads the other: the claims are the attacker's.",
        structure_polyglot,
    )
    .expecting(Expected::INVALID_REQUEST.or(&[401])),
    Attack::refused(
        AREA,
        "structure-padding",
        "G032",
        "RFC 7515 section 2",
        "base64url has no padding",
        "One token then has many spellings, which lists of tokens do not know.",
        structure_padding,
    )
    .strict()
    .expecting(Expected::INVALID_TOKEN.or(&[400])),
    Attack::refused(
        AREA,
        "structure-trailing-bits",
        "G033",
        "RFC 4648 section 3.5",
        "unused bits at the end are zero",
        "One token then has many spellings, which lists of tokens do not know.",
        structure_trailing_bits,
    )
    .strict(),
    Attack::refused(
        AREA,
        "structure-standard-alphabet",
        "G034",
        "RFC 7515 section 2",
        "`+` and `/` are not base64url",
        "One token then has many spellings, which lists of tokens do not know.",
        structure_standard_alphabet,
    )
    .strict(),
    Attack::refused(
        AREA,
        "structure-signed-unusual-spelling",
        "G036",
        "RFC 4648 section 3.5",
        "unused bits are zero although the signature covers them",
        "Readers that differ about a spelling differ about the claims.",
        structure_signed_unusual_spelling,
    )
    .strict(),
    Attack::refused(
        AREA,
        "structure-foreign-characters",
        "G037",
        "RFC 4648 section 3.3",
        "characters outside the alphabet are not skipped",
        "What is skipped was signed or was not, depending on the reader.",
        structure_foreign_characters,
    )
    .strict()
    .expecting(Expected::INVALID_TOKEN.or(&[400])),
    Attack::refused(
        AREA,
        "structure-empty-parts",
        "G038",
        "RFC 7515 section 7.1",
        "empty parts and floods of dots are refused without splitting them all",
        "There is nothing to verify, and a flood of dots costs memory.",
        structure_empty_parts,
    ),
    Attack::refused(
        AREA,
        "structure-oversized",
        "G039",
        "RFC 8725 section 3.11",
        "a token beyond 8 KiB is refused unread",
        "Work on each request is the caller's choice without a limit; which limit is the API's.",
        structure_oversized,
    )
    .by_choice()
    .expecting(Expected::INVALID_TOKEN.or(&[400, 431])),
    Attack::refused(
        AREA,
        "structure-unencoded-payload",
        "G040",
        "RFC 7797 section 6",
        "`b64: false` is refused, critical or not",
        "A reader that ignores it reads another payload than was signed.",
        structure_unencoded_payload,
    ),
    Attack::refused(
        AREA,
        "structure-nested",
        "G042",
        "RFC 7519 section 5.2",
        "a token within a token is not unpacked",
        "The claims are those of another token, whose signature was never checked.",
        structure_nested,
    ),
];

fn structure_signature_part_missing(context: &AttackContext) -> Vec<AttackRequest> {
    bearers([("two parts", context.good().signing_input()), ("one part", b64url("{}"))])
}

fn structure_too_many_parts(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    bearers([
        ("four", format!("{good}.x")),
        ("five", format!("{good}.x.x")),
        ("six", format!("{good}.x.x.x")),
        ("a dot behind", format!("{good}.")),
        ("a dot before", format!(".{good}")),
    ])
}

/// A JWE (RFC 7516 section 7.1) of good claims, encrypted to the issuer's public signing key.
fn structure_encrypted(context: &AttackContext) -> Vec<AttackRequest> {
    jwe(context).map(|token| bearer(&token)).unwrap_or_default()
}

fn jwe(context: &AttackContext) -> Option<String> {
    let key = context.key(Alg::Rs256);
    let [n, e, _] = key.rsa_numbers()?;
    let header =
        b64url(json!({"alg": "RSA-OAEP", "enc": "A256GCM", "typ": "at+jwt", "kid": key.kid()}).to_string());

    let (content_key, iv) = (random::<32>(), random::<12>());
    let public = PublicEncryptingKey::from_der(&der::rsa_spki(n, e)).ok()?;
    let public = OaepPublicEncryptingKey::new(public).ok()?;
    let mut wrapped = vec![0; public.ciphertext_size()];
    let wrapped = public.encrypt(&OAEP_SHA1_MGF1SHA1, &content_key, &mut wrapped, None).ok()?;

    let mut text = super::context::text_of(context.good().claims()).into_bytes();
    let content = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key).ok()?);
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = content.seal_in_place_separate_tag(nonce, Aad::from(header.as_bytes()), &mut text).ok()?;
    Some([header, b64url(wrapped), b64url(iv), b64url(text), b64url(tag)].join("."))
}

fn structure_json_serialization(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let mut parts = good.split('.');
    let (protected, payload, signature) = (parts.next(), parts.next(), parts.next());
    let flattened = json!({"payload": payload, "protected": protected, "signature": signature}).to_string();
    let signatures = json!([{"protected": protected, "signature": signature}]);
    let general = json!({"payload": payload, "signatures": signatures}).to_string();
    bearers([("flattened", flattened), ("general", general)])
}

fn structure_polyglot(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let forged = b64url(super::context::text_of(context.good().subject("admin").claims()));
    bearer(&format!(r#"{{" {good}":"","payload":"{forged}","protected":"{{}}","signature":""}}"#))
}

fn structure_padding(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    bearers([
        ("header", good.replacen('.', "=.", 1)),
        ("claims", good.rsplit_once('.').map_or(String::new(), |(input, rest)| format!("{input}=.{rest}"))),
        ("signature", format!("{good}=")),
        ("signature, twice", format!("{good}==")),
    ])
}

fn structure_trailing_bits(context: &AttackContext) -> Vec<AttackRequest> {
    // 256 and 64 bytes leave unused bits in the last character, which is therefore never the last of the alphabet.
    bearers(
        [Alg::Rs256, Alg::Es256]
            .map(|alg| (alg.as_str(), next_last_character(context.good().alg(alg).build()))),
    )
}

/// Raises the last character by one in the order of the base64url alphabet.
fn next_last_character(mut token: String) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if let Some(next) =
        token.pop().and_then(|last| ALPHABET.split(last).nth(1)).and_then(|rest| rest.chars().next())
    {
        token.push(next);
    }
    token
}

fn structure_standard_alphabet(context: &AttackContext) -> Vec<AttackRequest> {
    // A signature without `-` and `_` would be spelled the same in both alphabets: take the next one.
    let signature = (0..64)
        .map(|n| context.good().claim("n", n).build())
        .find(|token| token.rsplit('.').next().is_some_and(|signature| signature.contains(['-', '_'])));
    let respelled = signature.and_then(|token| {
        let (input, signature) = token.rsplit_once('.')?;
        Some(format!("{input}.{}", signature.replace('-', "+").replace('_', "/")))
    });
    respelled.map(|token| bearer(&token)).unwrap_or_default()
}

fn structure_signed_unusual_spelling(context: &AttackContext) -> Vec<AttackRequest> {
    // Pad the claims with a blank until their last character has unused bits.
    let mut claims = super::context::text_of(context.good().claims());
    if claims.len().is_multiple_of(3) {
        claims.push(' ');
    }
    let input = next_last_character(context.good().raw_payload(claims).signing_input());
    bearer(&context.sign(&input))
}

/// `?` inside header and claims, under the signature of the text without it.
fn structure_foreign_characters(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let dot = good.find('.').unwrap_or_default();
    let with = |at: usize| format!("{}?{}", &good[..at], &good[at..]);
    bearers([("in the header", with(dot / 2)), ("in the claims", with(dot + 9))])
}

fn structure_empty_parts(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good().build();
    let mut parts = good.split('.');
    let mut next = || parts.next().unwrap_or_default();
    let (header, claims, signature) = (next(), next(), next());
    bearers([
        ("two dots", "..".to_owned()),
        ("no claims", format!("{header}..{signature}")),
        ("no header", format!(".{claims}.{signature}")),
        ("8,000 dots", ".".repeat(8_000)),
    ])
}

/// Validly signed tokens of just over 8 KiB and of 64 KiB.
fn structure_oversized(context: &AttackContext) -> Vec<AttackRequest> {
    // Base64url grows the filling by a third.
    bearers(
        [("9 KiB", 6_400), ("64 KiB", 48_000)]
            .map(|(size, fill)| (size, context.good().claim("filling", "x".repeat(fill)).build())),
    )
}

fn structure_unencoded_payload(context: &AttackContext) -> Vec<AttackRequest> {
    let uncritical = context.good().header("b64", false);
    let requests = bearers([
        ("not critical", uncritical.clone().build()),
        ("critical", uncritical.header("crit", json!(["b64"])).build()),
        ("b64 true, critical", context.good().header("b64", true).header("crit", json!(["b64"])).build()),
    ]);
    // A member that is not critical may be ignored, and an API that knows this one may read it.
    with_level(RequirementLevel::Choice, &["not critical", "b64 true, critical"], requests)
}

fn structure_nested(context: &AttackContext) -> Vec<AttackRequest> {
    let inner = context.good().build();
    let requests = bearers([
        ("the claims are a token", context.good().header("cty", "JWT").raw_payload(inner).build()),
        ("cty alone", context.good().header("cty", "JWT").build()),
    ]);
    with_level(RequirementLevel::Choice, &["cty alone"], requests)
}
