//! The published key set: one bad key among good ones. Making these requests changes the server's keys.

use serde_json::{Value, json};

use super::request::bearers;
use super::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::{b64url, hex, random};
use crate::keys::weak::emsa_pkcs1_sha256;
use crate::keys::{Alg, TestKey};

const AREA: Area = Area::Keys;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::accepted(
        AREA,
        "keys-rotated",
        "G129",
        "OpenID Connect Core section 10.1.1",
        "a new key is found, and the old one goes on",
        "Issuers change keys without notice; until the new one is found, all new tokens fail.",
        keys_rotated,
    ),
    Attack::accepted(
        AREA,
        "keys-rotated-abruptly",
        "G130",
        "OpenID Connect Core section 10.1.1",
        "a new key is found although the old one is gone",
        "After a key is stolen, the issuer changes it at once; until the new one is found, all tokens fail.",
        keys_rotated_abruptly,
    ),
    Attack::refused(
        AREA,
        "keys-withdrawn",
        "G159",
        "RFC 7517 section 5",
        "a key that is no longer published is no longer trusted",
        "A key is withdrawn when it is stolen: the thief can go on signing.",
        keys_withdrawn,
    ),
    Attack::refused(
        AREA,
        "keys-none",
        "G138",
        "RFC 7517 section 5",
        "an empty key set trusts no signature",
        "An issuer that publishes no key vouches for nothing; or it made a mistake: some keep the old keys.",
        keys_none,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "keys-symmetric",
        "G143",
        "RFC 8725 section 2.1",
        "a symmetric key that came from a URL is no secret",
        "The secret is published with the set: any client can sign with it.",
        keys_symmetric,
    )
    .strict(),
    Attack::refused(
        AREA,
        "keys-not-for-signatures",
        "G144",
        "RFC 7517 section 4.2",
        "a key for something else verifies nothing",
        "The issuer says that this key signs nothing; its private half may be in other hands.",
        keys_not_for_signatures,
    )
    .strict(),
    Attack::refused(
        AREA,
        "keys-wrong-curve",
        "G145",
        "RFC 7518 section 6.2.1.1",
        "a key whose curve is not what it says is not used",
        "A key that is not what it says is a mistake or an attack; curves must not be guessed.",
        keys_wrong_curve,
    )
    .strict(),
    Attack::refused(
        AREA,
        "keys-short-rsa",
        "G146",
        "RFC 7518 section 3.3",
        "RSA keys have 2048 bits or more",
        "Moduli of 1024 bits can be factored by those with the means; then they can sign.",
        keys_short_rsa,
    )
    .strict(),
    Attack::refused(
        AREA,
        "keys-rsa-exponent-one",
        "G025",
        "RFC 8017 section 3.1",
        "an RSA key with exponent 1 is not used",
        "With exponent 1 the message is its own signature: any client can sign.",
        keys_rsa_exponent_one,
    )
    .strict(),
    Attack::refused(
        AREA,
        "keys-ed25519-wrong-length",
        "G149",
        "RFC 8037 section 2",
        "an Ed25519 key has 32 bytes, neither fewer nor more",
        "A key cut or padded to fit is another key than was published.",
        keys_ed25519_wrong_length,
    )
    .strict(),
    Attack::refused(
        AREA,
        "keys-ed25519-small-order",
        "G150",
        "RFC 8032 section 5.1.7",
        "an Ed25519 key of small order, under which one signature fits every message, is not used",
        "One signature fits every message: any client can sign.",
        keys_ed25519_small_order,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "keys-ec-invalid-point",
        "G151",
        "RFC 7518 section 6.2.1",
        "a point that is not on the curve is not used",
        "On a point off the curve the mathematics does not hold, and signatures can be made up.",
        keys_ec_invalid_point,
    )
    .strict(),
    Attack::refused(
        AREA,
        "keys-private-members",
        "G152",
        "RFC 7517 section 9.2",
        "a key whose private half is public is not used",
        "The private half is public: any client can sign. Refusing the key tells the issuer.",
        keys_private_members,
    )
    .by_choice()
    .expecting(Expected::INVALID_TOKEN.or(&[200])),
    Attack::accepted(
        AREA,
        "keys-same-kid-other-type",
        "G153",
        "RFC 7517 section 4.5",
        "two types of key may share an id",
        "The standard allows keys of two types to share an id.",
        keys_same_kid_other_type,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "keys-same-kid-twice",
        "G153",
        "RFC 7517 section 4.5",
        "of two different keys with one id and algorithm neither is sure; one key listed twice is one key",
        "Which of the two was meant is a guess.",
        keys_same_kid_twice,
    )
    .by_choice(),
    Attack::accepted(
        AREA,
        "keys-no-kid-one-key",
        "G155",
        "RFC 7515 section 4.1.4",
        "without a key id the only key is meant",
        "The key id is optional; some issuers leave it out.",
        keys_no_kid_one_key,
    )
    .by_choice(),
    Attack::accepted(
        AREA,
        "keys-no-kid-many-keys",
        "G156",
        "RFC 7515 section 4.1.4",
        "without a key id only keys that fit are tried, and not many",
        "The key id is optional; each key that is tried costs a verification.",
        keys_no_kid_many_keys,
    )
    .by_choice()
    .expecting(Expected::ACCEPTED.or(&[401])),
    Attack::accepted(
        AREA,
        "keys-malformed",
        "G062",
        "RFC 7517 section 5",
        "malformed members of the key set do not corrupt the others",
        "The standard says to ignore keys that cannot be read: one odd key must not lock all callers out.",
        keys_malformed,
    ),
    Attack::accepted(
        AREA,
        "keys-not-objects",
        "G062",
        "RFC 7517 section 5.1",
        "members of the key set that are no keys at all do not corrupt the others",
        "Such a set is malformed; refusing it whole is allowed, and locks all callers out.",
        keys_not_objects,
    )
    .by_choice(),
];

fn keys_rotated(context: &AttackContext) -> Vec<AttackRequest> {
    let old = context.good().build();
    context.keys().rotate();
    bearers([("the new key", context.good().build()), ("the old key", old)])
}

fn keys_rotated_abruptly(context: &AttackContext) -> Vec<AttackRequest> {
    context.keys().rotate_abruptly();
    bearers([("the new key", context.good().build())])
}

fn keys_withdrawn(context: &AttackContext) -> Vec<AttackRequest> {
    let old = context.good().build();
    context.keys().rotate_abruptly();
    vec![AttackRequest::bearer("the old key", &old), context.control()]
}

fn keys_none(context: &AttackContext) -> Vec<AttackRequest> {
    let token = context.good().build();
    context.keys().clear();
    bearers([("a token that was good", token)])
}

fn keys_symmetric(context: &AttackContext) -> Vec<AttackRequest> {
    let (kid, secret) = (new_kid(), random::<32>());
    context
        .keys()
        .add_raw(json!({"kty": "oct", "kid": kid, "alg": "HS256", "use": "sig", "k": b64url(secret)}));
    let token = context.good().signed_with_secret(Alg::Hs256, secret).kid(&kid).build();
    vec![AttackRequest::bearer("HS256", &token), context.control()]
}

fn keys_not_for_signatures(context: &AttackContext) -> Vec<AttackRequest> {
    let changes: [(&str, &str, Value); 4] = [
        ("use enc", "use", json!("enc")),
        ("key_ops without verify", "key_ops", json!(["encrypt"])),
        ("key_ops to derive", "key_ops", json!(["deriveKey", "deriveBits"])),
        ("an algorithm to encrypt with", "alg", json!("RSA-OAEP")),
    ];
    let mut requests: Vec<_> = changes
        .into_iter()
        .map(|(variant, member, value)| {
            let key = TestKey::generate(Alg::Rs256);
            let mut jwk = key.public_jwk();
            if member == "key_ops" {
                without(&mut jwk, "use");
            }
            jwk[member] = value;
            published(context, variant, &key, jwk)
        })
        .collect();
    requests.push(context.control());
    requests
}

fn keys_wrong_curve(context: &AttackContext) -> Vec<AttackRequest> {
    let relabelled = |variant: &str, alg: Alg, crv: &str| {
        let key = TestKey::generate(alg);
        let mut jwk = key.public_jwk();
        jwk["crv"] = json!(crv);
        published(context, variant, &key, jwk)
    };
    let mut unnamed = TestKey::generate(Alg::Es256).public_jwk();
    without(&mut unnamed, "crv");
    context.keys().add_raw(unnamed);
    vec![
        relabelled("P-256 called P-384", Alg::Es256, "P-384"),
        relabelled("P-256 called Ed25519", Alg::Es256, "Ed25519"),
        relabelled("Ed25519 called P-256", Alg::EdDsa, "P-256"),
        relabelled("Ed25519 called X25519", Alg::EdDsa, "X25519"),
        context.control(),
    ]
}

fn keys_short_rsa(context: &AttackContext) -> Vec<AttackRequest> {
    let key = TestKey::rsa_1024();
    context.keys().add(&key);
    vec![AttackRequest::bearer("1024 bits", &context.good().signed_with(&key).build()), context.control()]
}

/// With e = 1 the padded hash is its own signature: any client can sign.
fn keys_rsa_exponent_one(context: &AttackContext) -> Vec<AttackRequest> {
    let key = TestKey::generate(Alg::Rs256);
    let mut jwk = key.public_jwk();
    jwk["e"] = json!("AQ");
    context.keys().add_raw(jwk);
    let token = context.good().signed_with(&key);
    let length = key.rsa_numbers().map_or(0, |[n, ..]| n.len());
    let signature = emsa_pkcs1_sha256(token.signing_input().as_bytes(), length);
    vec![AttackRequest::bearer("e = 1", &token.signature(signature).build()), context.control()]
}

fn keys_ed25519_wrong_length(context: &AttackContext) -> Vec<AttackRequest> {
    let resized = |variant: &str, resize: fn(Vec<u8>) -> Vec<u8>| {
        let key = TestKey::generate(Alg::EdDsa);
        let mut jwk = key.public_jwk();
        jwk["x"] = json!(b64url(resize(key.public_point().unwrap_or_default())));
        published(context, variant, &key, jwk)
    };
    vec![
        resized("3 bytes", |x| x[..3].to_vec()),
        resized("31 bytes", |x| x[..31].to_vec()),
        resized("none", |_| Vec::new()),
        resized("36 bytes", |x| [&x[..], &[0; 4]].concat()),
        context.control(),
    ]
}

/// Under the neutral element as key, R = the neutral element and s = 0 sign every message.
fn keys_ed25519_small_order(context: &AttackContext) -> Vec<AttackRequest> {
    let kid = new_kid();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let x = b64url(neutral);
    context
        .keys()
        .add_raw(json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "use": "sig", "x": x}));
    let signature = [neutral, [0; 32]].concat();
    let token = context.good().header("alg", "EdDSA").kid(&kid).signature(signature).build();
    vec![AttackRequest::bearer("the neutral element", &token), context.control()]
}

fn keys_ec_invalid_point(context: &AttackContext) -> Vec<AttackRequest> {
    let corrupted = |variant: &str, corrupt: fn(&mut Value)| {
        let key = TestKey::generate(Alg::Es256);
        let mut jwk = key.public_jwk();
        corrupt(&mut jwk);
        published(context, variant, &key, jwk)
    };
    vec![
        corrupted("off the curve", |jwk| jwk["y"] = jwk["x"].clone()),
        corrupted("zero", |jwk| (jwk["x"], jwk["y"]) = (json!(b64url([0; 32])), json!(b64url([0; 32])))),
        corrupted("short coordinates", |jwk| (jwk["x"], jwk["y"]) = (json!("AQ"), json!("AQ"))),
        corrupted("beyond the field", |jwk| jwk["x"] = json!(b64url([0xff; 32]))),
        corrupted("no y", |jwk| without(jwk, "y")),
        context.control(),
    ]
}

fn keys_private_members(context: &AttackContext) -> Vec<AttackRequest> {
    let key = TestKey::generate(Alg::Rs256);
    let mut jwk = key.public_jwk();
    jwk["d"] = json!(b64url(key.rsa_numbers().map_or(&[][..], |[_, _, d]| d)));
    vec![published(context, "RSA with d", &key, jwk), context.control()]
}

fn keys_same_kid_other_type(context: &AttackContext) -> Vec<AttackRequest> {
    let kid = new_kid();
    let keys = [Alg::Rs256, Alg::Es256].map(|alg| TestKey::generate(alg).with_kid(&kid));
    keys.iter().for_each(|key| context.keys().add(key));
    bearers(keys.map(|key| (key.alg().as_str(), context.good().signed_with(&key).build())))
}

fn keys_same_kid_twice(context: &AttackContext) -> Vec<AttackRequest> {
    let kid = new_kid();
    let [first, second] = [0, 1].map(|_| TestKey::generate(Alg::Es256).with_kid(&kid));
    let once = TestKey::generate(Alg::Es256);
    for key in [&first, &second, &once, &once] {
        context.keys().add(key);
    }
    // Trying both is no fault either: each signature is by a key that the issuer published.
    let expected = Expected::INVALID_TOKEN.or(&[200]);
    let token = |variant: &str, key| AttackRequest::bearer(variant, &context.good().signed_with(key).build());
    vec![
        token("the first", &first).expecting(expected),
        token("the second", &second).expecting(expected),
        token("one key listed twice", &once).expecting(Expected::ACCEPTED),
        context.control(),
    ]
}

fn keys_no_kid_one_key(context: &AttackContext) -> Vec<AttackRequest> {
    let keys = context.keys();
    keys.clear();
    keys.add(&keys.current());
    bearers([("no kid", context.good().no_kid().build())])
}

fn keys_no_kid_many_keys(context: &AttackContext) -> Vec<AttackRequest> {
    let keys = context.keys();
    (0..49).for_each(|_| keys.add(&TestKey::generate(Alg::Es256)));
    let forged = context.good().signed_with(&TestKey::generate(Alg::Es256)).no_kid().build();
    vec![
        AttackRequest::bearer("the only key of its type", &context.good().alg(Alg::EdDsa).no_kid().build()),
        AttackRequest::bearer("a foreign key", &forged)
            .expecting(Expected::INVALID_TOKEN)
            .with_level(RequirementLevel::Must),
        context.control().expecting(Expected::ACCEPTED),
    ]
}

fn keys_malformed(context: &AttackContext) -> Vec<AttackRequest> {
    let malformed = [
        json!({}),
        json!({"kty": 5}),
        json!({"kty": "RSA", "kid": "a", "n": "***", "e": "AQAB"}),
        json!({"kty": "RSA", "kid": "b"}),
        json!({"kty": "lattice", "kid": "c"}),
        json!({"kty": "EC", "crv": "P-256", "kid": ["d"], "x": "", "y": ""}),
        json!({"kty": "RSA", "kid": "e", "alg": 7, "n": "AQ", "e": "AQAB"}),
    ];
    malformed.into_iter().for_each(|jwk| context.keys().add_raw(jwk));
    vec![context.control()]
}

fn keys_not_objects(context: &AttackContext) -> Vec<AttackRequest> {
    [json!("a string"), Value::Null, json!(7), json!([])]
        .into_iter()
        .for_each(|jwk| context.keys().add_raw(jwk));
    vec![context.control().with_level(RequirementLevel::Choice)]
}

/// Publishes `jwk` and makes a token that `key` truly signed, so that only the key set can be the reason to refuse it.
fn published(context: &AttackContext, variant: &str, key: &TestKey, jwk: Value) -> AttackRequest {
    context.keys().add_raw(jwk);
    AttackRequest::bearer(variant, &context.good().signed_with(key).build())
}

fn without(jwk: &mut Value, member: &str) {
    if let Some(members) = jwk.as_object_mut() {
        members.remove(member);
    }
}

fn new_kid() -> String {
    format!("shared-{}", hex(&random::<6>()))
}
