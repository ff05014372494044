//! The JOSE header of a proof and its signature (RFC 9449 section 4.3, points 4 to 7).

use serde_json::{Value, json};

use super::proofs::{DPOP, Shots, beside, bound, parts, shots};
use super::scheme::BAD_PROOF;
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::{b64url, from_b64url};
use crate::keys::{Alg, TestKey, thumbprint};

const AREA: Area = Area::Dpop;
const REFUSED: Expected = BAD_PROOF.or(&[400]);

const fn row(
    id: &'static str,
    case: &'static str,
    clause: &'static str,
    rule: &'static str,
    why: &'static str,
    make: fn(&AttackContext) -> Vec<AttackRequest>,
) -> Attack {
    Attack::refused(AREA, id, case, clause, rule, why, make).expecting(REFUSED)
}

pub(super) const ATTACKS: &[Attack] = &[
    row(
        "dpop-typ",
        "G210",
        "RFC 9449 section 4.3 point 4",
        "the typ of a proof is dpop+jwt",
        "Other JWTs that a key signs, such as assertions, would be taken for proofs.",
        typ,
    ),
    row(
        "dpop-alg-none",
        "G211",
        "RFC 9449 section 4.3 point 5",
        "an unsigned proof is refused",
        "The public key of the proof is no secret: an attacker that has seen one writes the next.",
        alg_none,
    ),
    row(
        "dpop-alg-symmetric",
        "G212",
        "RFC 9449 section 4.3 point 5",
        "a proof with a symmetric algorithm is refused",
        "Its key is in the proof: an attacker that has seen one makes the next.",
        alg_symmetric,
    ),
    row(
        "dpop-alg-not-listed",
        "G213",
        "RFC 9449 section 4.3 point 5",
        "an algorithm that the challenge does not name is refused",
        "The list says what the operator trusts: what is not on it is not checked either.",
        alg_not_listed,
    ),
    row(
        "dpop-alg-not-the-keys",
        "G214",
        "RFC 8725 section 3.1",
        "the algorithm fits the key",
        "A library that chooses by the header alone checks with what the key was not made for.",
        alg_not_the_keys,
    ),
    row(
        "dpop-jwk-missing",
        "G215",
        "RFC 9449 section 4.2",
        "the key is in the proof's own `jwk`, and nowhere else",
        "A key from elsewhere has to be fetched from where the attacker says.",
        jwk_missing,
    ),
    row(
        "dpop-jwk-private",
        "G216",
        "RFC 9449 section 4.3 point 7",
        "a key with private members is refused",
        "A client that shows its private key has lost it, and should hear of that.",
        jwk_private,
    )
    .strict(),
    row(
        "dpop-jwk-malformed",
        "G217",
        "RFC 7518 section 6",
        "a key is one that a JWK can be",
        "Points beside the curve and odd encodings are where libraries err.",
        jwk_malformed,
    ),
    row(
        "dpop-crit",
        "G218",
        "RFC 7515 section 4.1.11",
        "a critical member that is not understood, or an odd `crit`, is refused",
        "The client says that an API that does not know this member must not use the proof.",
        crit,
    ),
    row(
        "dpop-json-duplicates",
        "G219",
        "RFC 7515 section 4",
        "a member that comes twice is refused, or its last value counts",
        "Two readers of one proof see different ones.",
        duplicates,
    )
    .strict(),
    row(
        "dpop-signature",
        "G220",
        "RFC 9449 section 4.3 point 6",
        "the signature is that of the key in the proof",
        "Whoever knows the public key of a client could write its proofs.",
        signature,
    ),
];

fn typ(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let wrong = [json!("JWT"), json!("at+jwt"), json!("dpop"), json!("dpop-jwt"), json!("")];
        let odd = [json!(["dpop+jwt"]), Value::Null, json!(1)];
        let shots = shots.with("absent", |proof| proof.without_header("typ"));
        let shots = shots.each(wrong.into_iter().chain(odd), |shots, typ| {
            shots.with(typ.to_string(), |proof| proof.header("typ", typ))
        });
        // RFC 7515 section 4.1.9: media types, whose case does not matter, and whose `application/` may be there.
        shots.each(["DPoP+JWT", "application/dpop+jwt"], |shots, typ| {
            shots.with(typ, |proof| proof.typ(typ)).last(|request| {
                request.expecting(BAD_PROOF.or(&[200, 400])).with_level(RequirementLevel::Choice)
            })
        })
    })
}

fn alg_none(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let shots = shots.with("without a signature", |proof| proof.unsigned());
        let shots = shots.with("with a good signature", |proof| proof.header("alg", "none"));
        shots.each(["None", "NONE", "nOnE", ""], |shots, name| {
            shots.with(format!("alg: {name:?}"), |proof| proof.unsigned().header("alg", name))
        })
    })
}

fn alg_symmetric(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let jwk = shots.proof().header_members()["jwk"].to_string();
        let point = shots.dpop.key.public_point().unwrap_or_default();
        let secret = b"a secret that is in the proof itself";
        let oct = json!({"kty": "oct", "k": b64url(secret)});
        shots
            .with("HS256 with the public key", |proof| proof.signed_with_secret(Alg::Hs256, point))
            .with("HS256 with the JWK", |proof| proof.signed_with_secret(Alg::Hs256, jwk.clone()))
            .with("HS256 with an empty secret", |proof| proof.signed_with_secret(Alg::Hs256, ""))
            .with("HS512 with a symmetric key", |proof| {
                proof.signed_with_secret(Alg::Hs512, secret.to_vec()).header("jwk", oct.clone())
            })
            .with("HS256 with a symmetric key", |proof| {
                proof.signed_with_secret(Alg::Hs256, secret.to_vec()).header("jwk", oct.clone())
            })
    })
}

/// Good in all else: the token is bound to the key of that algorithm.
fn alg_not_listed(context: &AttackContext) -> Vec<AttackRequest> {
    let listed = context.challenge_algorithms();
    if listed.is_empty() {
        return Vec::new();
    }
    let candidates = [Alg::Es256k, Alg::Es512, Alg::Ps384, Alg::Rs384, Alg::Rs512, Alg::Ps512];
    let unlisted = candidates.into_iter().filter(|alg| !listed.iter().any(|name| name == alg.as_str()));
    shots(context, |shots| {
        shots.each(unlisted, |shots, alg| {
            let key = TestKey::generate(alg);
            let token = context.good().bound_to(&key).build();
            let proof = shots.proof_of(&key, &token).build();
            shots.push(bound(alg.as_str(), &token).with_header(DPOP, proof))
        })
    })
}

fn alg_not_the_keys(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let own = shots.dpop.key.alg().as_str();
        let names = ["ES384", "ES256", "EdDSA", "RS256", "PS256", "es256", "ECDSA"];
        let shots = shots.each(names.into_iter().filter(|name| *name != own), |shots, name| {
            shots.with(name, |proof| proof.header("alg", name))
        });
        let shots = shots.with("a list", |proof| proof.header("alg", json!([own])));
        shots.with("absent", |proof| proof.without_header("alg"))
    })
}

fn jwk_missing(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let jwk = shots.proof().header_members()["jwk"].clone();
        let trap = context.trap().to_owned();
        let text = jwk.to_string();
        let jkt = shots.dpop.key.thumbprint();
        shots
            .with("absent", |proof| proof.without_header("jwk"))
            .with("null", |proof| proof.header("jwk", Value::Null))
            .with("text", |proof| proof.header("jwk", text))
            .with("a list", |proof| proof.header("jwk", json!([jwk.clone()])))
            .with("a set", |proof| proof.header("jwk", json!({"keys": [jwk.clone()]})))
            .with("an empty object", |proof| proof.header("jwk", json!({})))
            .with("kid instead", |proof| proof.without_header("jwk").kid(&jkt))
            .with("jku instead", |proof| proof.without_header("jwk").header("jku", trap.clone()))
            .with("in the claims", |proof| proof.without_header("jwk").claim("jwk", jwk.clone()))
            .with("in the claims as cnf", |proof| {
                proof.without_header("jwk").claim("cnf", json!({"jwk": jwk.clone()}))
            })
    })
}

fn jwk_private(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let is_rsa = shots.dpop.key.alg().is_rsa();
        let members = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        shots.each(members, |shots, member| {
            let shots = shots.with(member, |proof| {
                let mut jwk = proof.header_members()["jwk"].clone();
                jwk[member] = json!(b64url([7; 32]));
                proof.header("jwk", jwk)
            });
            // Members of keys of another kind say nothing (RFC 7517 section 4), though they are odd.
            let of_this_kind = member == "d" || is_rsa && member != "k";
            shots.last(
                |request| if of_this_kind { request } else { request.with_level(RequirementLevel::Choice) },
            )
        })
    })
}

fn jwk_malformed(context: &AttackContext) -> Vec<AttackRequest> {
    /// Changes a member. The token is bound to what then is the key, if that has a thumbprint at all.
    fn changed<'a>(shots: Shots<'a>, variant: &str, change: impl FnOnce(&mut Value)) -> Shots<'a> {
        let mut jwk = shots.proof().header_members()["jwk"].clone();
        change(&mut jwk);
        let jkt = thumbprint(&jwk).unwrap_or_else(|| shots.dpop.key.thumbprint());
        let token = shots.context.good().claim("cnf", json!({ "jkt": jkt })).build();
        let proof = shots.proof_of(&shots.dpop.key, &token).header("jwk", jwk).build();
        shots.push(bound(variant, &token).with_header(DPOP, proof))
    }
    shots(context, |shots| {
        let shots = changed(shots, "another kty", |jwk| jwk["kty"] = json!("RSA"));
        let shots = changed(shots, "an unknown kty", |jwk| jwk["kty"] = json!("XYZ"));
        let shots = changed(shots, "another crv", |jwk| jwk["crv"] = json!("P-521"));
        let shots = changed(shots, "no x", |jwk| drop(jwk.as_object_mut().and_then(|jwk| jwk.remove("x"))));
        let shots = changed(shots, "x of no bytes", |jwk| jwk["x"] = json!(""));
        let shots = changed(shots, "x, a number", |jwk| jwk["x"] = json!(5));
        let shots = changed(shots, "x of half its bytes", |jwk| {
            let x = jwk["x"].as_str().and_then(from_b64url).unwrap_or_default();
            jwk["x"] = json!(b64url(&x[..x.len() / 2]));
        });
        let shots = changed(shots, "a point beside the curve", |jwk| {
            let mut x = jwk["x"].as_str().and_then(from_b64url).unwrap_or_default();
            x.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
            jwk["x"] = json!(b64url(x));
        });
        changed(shots, "the point at infinity", |jwk| {
            jwk["x"] = json!(b64url([0; 32]));
            jwk["y"] = json!(b64url([0; 32]));
        })
    })
}

fn crit(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let values = [
            ("an unknown member", json!(["x"])),
            ("a registered member", json!(["jwk"])),
            ("an absent member", json!(["absent"])),
            ("an empty list", json!([])),
            ("text", json!("x")),
        ];
        let shots = shots.each(values, |shots, (variant, value)| {
            shots.with(variant, |proof| proof.header("x", 1).header("crit", value))
        });
        // RFC 7797 section 3: the claims unencoded, which only a library that knows it reads.
        shots.with("b64", |proof| proof.header("b64", false).header("crit", json!(["b64"])))
    })
}

/// The same member with two values, the good one last or first.
fn duplicates(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let other = shots.proof_of(&shots.dpop.other, &shots.token).header_members()["jwk"].to_string();
        let in_header = [
            ("typ", "\"typ\":\"JWT\"".to_owned()),
            ("alg", "\"alg\":\"none\"".to_owned()),
            ("jwk", format!("\"jwk\":{other}")),
        ];
        let in_claims = [
            ("htm", "\"htm\":\"DELETE\""),
            ("htu", "\"htu\":\"https://another.test/\""),
            ("iat", "\"iat\":1"),
            ("ath", "\"ath\":\"x\""),
            ("jti", "\"jti\":\"\""),
        ];
        let good_last = |request: AttackRequest| {
            request.expecting(REFUSED.or(&[200, 400])).with_level(RequirementLevel::Choice)
        };
        let shots = shots.each(in_header, |shots, (name, members)| {
            let text = |first| {
                let header = beside(shots.proof().header_members(), &members, first);
                shots.with_header_text(header)
            };
            let (bad_first, bad_last) = (text(true), text(false));
            let shots = shots.text(format!("{name}, the good one first"), bad_last);
            shots.text(format!("{name}, the good one last"), bad_first).last(good_last)
        });
        shots.each(in_claims, |shots, (name, members)| {
            let text = |first| {
                let claims = beside(shots.proof().claims(), members, first);
                shots.proof().raw_payload(claims).build()
            };
            let (bad_first, bad_last) = (text(true), text(false));
            let shots = shots.text(format!("{name}, the good one first"), bad_last);
            shots.text(format!("{name}, the good one last"), bad_first).last(good_last)
        })
    })
}

fn signature(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let good = shots.proof().build();
        let [header, claims, signature] = parts(&good);
        let bytes = from_b64url(signature).unwrap_or_default();
        let mut flipped = bytes.clone();
        flipped.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
        let another = shots.proof().build();
        let [_, other_claims, other_signature] = parts(&another);
        let by_another = {
            let builder = shots.proof();
            let jwk = builder.header_members()["jwk"].clone();
            builder.signed_with(&shots.dpop.other).no_kid().header("jwk", jwk).build()
        };
        let texts = [
            ("by another key", by_another),
            ("of another proof", format!("{header}.{claims}.{other_signature}")),
            ("claims exchanged", format!("{header}.{other_claims}.{signature}")),
            ("a bit flipped", format!("{header}.{claims}.{}", b64url(flipped))),
            ("empty", format!("{header}.{claims}.")),
            ("zeros", format!("{header}.{claims}.{}", b64url(vec![0; bytes.len()]))),
            ("ones", format!("{header}.{claims}.{}", b64url(vec![0xff; bytes.len()]))),
            ("half of it", format!("{header}.{claims}.{}", b64url(&bytes[..bytes.len() / 2]))),
            ("a byte longer", format!("{header}.{claims}.{}", b64url([&bytes[..], &[0]].concat()))),
        ];
        shots.each(texts, |shots, (variant, text)| shots.text(variant, text))
    })
}
