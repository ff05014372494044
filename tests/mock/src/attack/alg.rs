//! Algorithm and key confusion: the token chooses how it is checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::request::{bearer, bearers};
use super::{Area, Attack, AttackContext, AttackRequest, Expected, Setup, der};
use crate::keys::{Alg, TestKey};

const AREA: Area = Area::Alg;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "alg-none",
        "G001",
        "RFC 8725 section 3.1",
        "an unsigned token is refused",
        "Any client can write such a token: it holds nothing that only the issuer has.",
        alg_none,
    ),
    Attack::refused(
        AREA,
        "alg-none-in-another-case",
        "G002",
        "RFC 8725 section 2.12",
        "`none` is refused in every spelling",
        "A list of refused names that misses one spelling accepts every forged token.",
        alg_none_in_another_case,
    ),
    Attack::refused(
        AREA,
        "alg-none-with-a-signature",
        "G005",
        "RFC 8725 section 3.1",
        "`none` is refused although a good signature is left",
        "A leftover signature that the API does not check proves nothing; the claims are the attacker's.",
        alg_none_with_a_signature,
    ),
    Attack::refused(
        AREA,
        "hmac-with-the-rsa-key",
        "G006",
        "RFC 8725 section 2.1",
        "a public RSA key is never an HMAC secret",
        "The public key is public: any client that downloads it could sign as the issuer.",
        hmac_with_the_rsa_key,
    ),
    Attack::refused(
        AREA,
        "hmac-with-the-ec-point",
        "G007",
        "RFC 8725 section 2.1",
        "a public EC key is never an HMAC secret, in any form",
        "The public key is public: any client that downloads it could sign as the issuer.",
        hmac_with_the_ec_point,
    ),
    Attack::refused(
        AREA,
        "hmac-with-the-ed25519-key",
        "G007",
        "RFC 8725 section 2.1",
        "a public Ed25519 key is never an HMAC secret",
        "The public key is public: any client that downloads it could sign as the issuer.",
        hmac_with_the_ed25519_key,
    ),
    Attack::refused(
        AREA,
        "hmac-with-the-key-set",
        "G008",
        "RFC 8725 section 2.1",
        "the text of the key set is never an HMAC secret",
        "The key set is public: any client that downloads it could sign as the issuer.",
        hmac_with_the_key_set,
    ),
    Attack::refused(
        AREA,
        "hmac-with-a-weak-secret",
        "G148",
        "RFC 7518 section 3.2",
        "no secret that can be guessed verifies a token",
        "Secrets of examples and word lists are tried first; who finds it signs as the issuer.",
        hmac_with_a_weak_secret,
    ),
    Attack::refused(
        AREA,
        "alg-not-the-keys-own",
        "G009",
        "RFC 8725 section 3.1",
        "a key is used with its one algorithm only, within a family too",
        "A key used in two ways is open to attacks that mix them; the standard says to check.",
        alg_not_the_keys_own,
    )
    .strict(),
    Attack::refused(
        AREA,
        "alg-not-allowed",
        "G011",
        "RFC 8725 section 3.1",
        "an algorithm outside the allow-list is refused although the signature is good",
        "The allow-list is what protects the API when an algorithm turns out to be weak.",
        alg_not_allowed,
    )
    .with(Setup { only_algorithms: Some(&[Alg::Rs256]), ..Setup::NONE }),
    Attack::accepted(
        AREA,
        "alg-families-side-by-side",
        "G012",
        "RFC 8725 section 3.1",
        "RSA and EC keys work beside each other",
        "An issuer that changes its algorithm needs both for a while.",
        alg_families_side_by_side,
    ),
    Attack::refused(
        AREA,
        "alg-malformed",
        "G013",
        "RFC 7515 section 4.1.1",
        "an `alg` that is missing or no algorithm's name is refused",
        "The name is required and case-sensitive; a reader that guesses it guesses how to verify.",
        alg_malformed,
    )
    .strict(),
    Attack::accepted(
        AREA,
        "alg-ed25519",
        "G014",
        "RFC 9864 section 2.2",
        "Ed25519 is known under both of its names",
        "RFC 9864 renames EdDSA, so that issuers will move from one name to the other.",
        alg_ed25519,
    ),
    Attack::refused(
        AREA,
        "alg-unsupported",
        "G015",
        "RFC 7518 section 3.1",
        "a token of an unsupported algorithm is refused, and the other keys stay usable",
        "One key of an unknown kind must not take the others away.",
        alg_unsupported,
    ),
];

/// `"alg":"none"`, with an empty signature; with and without a key id.
fn alg_none(context: &AttackContext) -> Vec<AttackRequest> {
    bearers([
        ("with a kid", context.good().unsigned().build()),
        ("without a kid", context.good().unsigned().no_kid().build()),
    ])
}

/// `None`, `NONE`, `nOnE`.
fn alg_none_in_another_case(context: &AttackContext) -> Vec<AttackRequest> {
    bearers(["None", "NONE", "nOnE"].map(|alg| (alg, context.good().unsigned().header("alg", alg).build())))
}

/// `none`, and behind it the signature of the good token.
fn alg_none_with_a_signature(context: &AttackContext) -> Vec<AttackRequest> {
    let good = context.good();
    let signature = good.sign(good.signing_input().as_bytes());
    bearer(&good.header("alg", "none").signature(signature).build())
}

/// HS256 with the RSA public key as PEM, DER, JWK or modulus for a secret.
fn hmac_with_the_rsa_key(context: &AttackContext) -> Vec<AttackRequest> {
    let key = context.key(Alg::Rs256);
    let [n, e, _] = key.rsa_numbers().unwrap_or_default();
    let mut secrets = forms(&key, &der::rsa_spki(n, e));
    secrets.push(("PKCS#1", der::sequence(&[&der::integer(n), &der::integer(e)])));
    secrets.push(("modulus", n.to_vec()));
    with_secrets(context, &key, secrets)
}

/// HS256 with the EC key as PEM, DER, JWK or point for a secret.
fn hmac_with_the_ec_point(context: &AttackContext) -> Vec<AttackRequest> {
    let key = context.key(Alg::Es256);
    let point = key.public_point().unwrap_or_default();
    let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
    let compressed = [&[2 + (y.last().copied().unwrap_or_default() & 1)], x].concat();
    let mut secrets = forms(&key, &der::ec_spki(&point));
    secrets.push(("SubjectPublicKeyInfo, compressed", der::ec_spki(&compressed)));
    secrets.push(("compressed point", compressed));
    secrets.push(("x and y", point.get(1..).unwrap_or_default().to_vec()));
    secrets.push(("x", x.to_vec()));
    secrets.push(("point", point));
    with_secrets(context, &key, secrets)
}

/// HS256 with the Ed25519 key as PEM, DER, JWK or bare for a secret.
fn hmac_with_the_ed25519_key(context: &AttackContext) -> Vec<AttackRequest> {
    let key = context.key(Alg::EdDsa);
    let bare = key.public_point().unwrap_or_default();
    let mut secrets = forms(&key, &der::ed25519_spki(&bare));
    secrets.push(("bare", bare));
    with_secrets(context, &key, secrets)
}

/// The forms that every public key has.
fn forms(key: &TestKey, spki: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let pem = pem(spki);
    let mut bare = key.public_jwk();
    if let Some(members) = bare.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "kid" | "alg" | "use"));
    }
    vec![
        ("PEM", pem.clone().into()),
        ("PEM without its last newline", pem.trim_end().into()),
        ("PEM after a blank", format!(" {pem}").into()),
        ("PEM with CR LF", pem.replace('\n', "\r\n").into()),
        ("SubjectPublicKeyInfo", spki.to_vec()),
        ("SubjectPublicKeyInfo in base64", STANDARD.encode(spki).into()),
        ("JWK", key.public_jwk().to_string().into()),
        ("JWK of the required members", bare.to_string().into()),
        ("thumbprint", key.thumbprint().into()),
    ]
}

fn with_secrets(
    context: &AttackContext,
    key: &TestKey,
    secrets: Vec<(&'static str, Vec<u8>)>,
) -> Vec<AttackRequest> {
    bearers(secrets.into_iter().map(|(form, secret)| {
        (form, context.good().kid(key.kid()).signed_with_secret(Alg::Hs256, secret).build())
    }))
}

/// What stands in examples, in the settings of frameworks, and first in lists of passwords.
fn hmac_with_a_weak_secret(context: &AttackContext) -> Vec<AttackRequest> {
    let (issuer, audience) = (context.issuer(), context.the_audience());
    let secrets: [(&str, &[u8]); 18] = [
        ("empty", b""),
        ("secret", b"secret"),
        ("password", b"password"),
        ("changeme", b"changeme"),
        ("123456", b"123456"),
        ("test", b"test"),
        ("key", b"key"),
        ("jwt", b"jwt"),
        ("jwt_secret", b"jwt_secret"),
        ("secret-key", b"secret-key"),
        ("supersecret", b"supersecret"),
        ("your-256-bit-secret", b"your-256-bit-secret"),
        ("your_jwt_secret", b"your_jwt_secret"),
        ("null", b"null"),
        ("undefined", b"undefined"),
        ("32 zeros", &[0; 32]),
        ("the audience", audience.as_bytes()),
        ("the issuer", issuer.as_bytes()),
    ];
    let mut requests = bearers(
        secrets.map(|(name, secret)| (name, context.good().signed_with_secret(Alg::Hs256, secret).build())),
    );
    let without_kid = |secret: &str| context.good().no_kid().signed_with_secret(Alg::Hs256, secret).build();
    requests.push(AttackRequest::bearer("secret, no kid", &without_kid("secret")));
    requests.push(AttackRequest::bearer("empty, no kid", &without_kid("")));
    requests
}

/// HS256, HS384 and HS512 with the whole key set for a secret.
fn hmac_with_the_key_set(context: &AttackContext) -> Vec<AttackRequest> {
    let secret = context.keys().jwks_json();
    bearers(
        [Alg::Hs256, Alg::Hs384, Alg::Hs512]
            .map(|alg| (alg.as_str(), context.good().signed_with_secret(alg, secret.as_bytes()).build())),
    )
}

/// RS256 by a key published for PS256, and the reverse.
fn alg_not_the_keys_own(context: &AttackContext) -> Vec<AttackRequest> {
    let pairs = [(Alg::Ps256, Alg::Rs256), (Alg::Rs256, Alg::Ps256), (Alg::Rs256, Alg::Rs512)];
    let token = |(published, used): (Alg, Alg)| {
        let key = context.key(published).with_alg(used).ok()?;
        Some((format!("{published} key, {used} token"), context.good().signed_with(&key).build()))
    };
    bearers(pairs.into_iter().filter_map(token))
}

/// A good PS384 token for a target that allows RS256 only.
fn alg_not_allowed(context: &AttackContext) -> Vec<AttackRequest> {
    bearer(&context.good().alg(Alg::Ps384).build())
}

/// A good RS256 token and a good ES256 token.
fn alg_families_side_by_side(context: &AttackContext) -> Vec<AttackRequest> {
    bearers([Alg::Rs256, Alg::Es256].map(|alg| (alg.as_str(), context.good().alg(alg).build())))
}

/// `alg` missing, a number, a list, null, empty, with a blank, with NUL.
fn alg_malformed(context: &AttackContext) -> Vec<AttackRequest> {
    let odd = [
        json!(5),
        json!(["RS256"]),
        Value::Null,
        json!(""),
        json!("RS256 "),
        json!("RS256\0"),
        json!("rs256"),
    ];
    let mut requests = bearers(odd.map(|alg| (alg.to_string(), context.good().header("alg", alg).build())));
    requests.push(AttackRequest::bearer("missing", &context.good().without_header("alg").build()));
    requests
}

/// `Ed25519` by a key published as `Ed25519`, and as `EdDSA`.
fn alg_ed25519(context: &AttackContext) -> Vec<AttackRequest> {
    let mut requests = bearers([
        ("Ed25519", context.good().alg(Alg::Ed25519).build()),
        ("EdDSA", context.good().alg(Alg::EdDsa).build()),
    ]);
    if let Ok(renamed) = context.key(Alg::EdDsa).with_alg(Alg::Ed25519) {
        let token = context.good().signed_with(&renamed).build();
        // The two names mean one algorithm on this key, but a target may compare them as text.
        let expected = Expected::ACCEPTED.or(&[401]);
        requests.push(AttackRequest::bearer("EdDSA key, Ed25519 token", &token).expecting(expected));
    }
    requests
}

/// Good ES512 and ES256K tokens, and a good token of the current key.
fn alg_unsupported(context: &AttackContext) -> Vec<AttackRequest> {
    let expected = Expected::INVALID_TOKEN.or(&[200]);
    let token =
        |alg: Alg| AttackRequest::bearer(alg.as_str(), &context.good().alg(alg).build()).expecting(expected);
    vec![token(Alg::Es512), token(Alg::Es256k), context.control()]
}

/// As RFC 7468 section 13 has it.
pub(super) fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}
