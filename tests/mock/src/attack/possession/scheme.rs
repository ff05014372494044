//! Which scheme a token is shown by, and which token a proof is good for (RFC 9449 sections 7.1 and 7.2).

use serde_json::json;

use super::proofs::{DPOP, bound, shots};
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::b64url;
use crate::keys::{Alg, TestKey};

const AREA: Area = Area::Dpop;

/// Refused for its proof.
pub(super) const BAD_PROOF: Expected = Expected::new(401, Some("invalid_dpop_proof"));
/// Refused as a malformed request.
pub(super) const MALFORMED: Expected = Expected::INVALID_REQUEST;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::accepted(
        AREA,
        "dpop-good",
        "G200",
        "RFC 9449 section 7.1",
        "a bound token with its proof is accepted",
        "An API that refuses everything is of no use.",
        good,
    ),
    Attack::accepted(
        AREA,
        "dpop-algorithms",
        "G200",
        "RFC 9449 section 7.1",
        "each algorithm that the challenge names is taken",
        "Clients choose their key by what the challenge says.",
        algorithms,
    ),
    Attack::refused(
        AREA,
        "dpop-as-bearer",
        "G205",
        "RFC 9449 section 7.2",
        "a token that is bound to a key is no bearer token",
        "Whoever finds the token would leave the proof out, and be let in.",
        as_bearer,
    ),
    Attack::refused(
        AREA,
        "dpop-unbound",
        "G206",
        "RFC 9449 section 7.1",
        "a token that is bound to nothing is none for the scheme DPoP",
        "The proof of any key would do: the API believes that the token cannot be stolen, and it can.",
        unbound,
    )
    .expecting(Expected::INVALID_TOKEN.or(&[400])),
    Attack::refused(
        AREA,
        "dpop-scheme-twice",
        "G207",
        "RFC 9110 section 11.6.2",
        "a request has one set of credentials",
        "One of two layers may judge the bound token, and the other take the one that is not.",
        scheme_twice,
    )
    .expecting(MALFORMED.or(&[401])),
    Attack::refused(
        AREA,
        "dpop-key-of-another",
        "G208",
        "RFC 9449 section 7.1",
        "the proof is of the key that the token is bound to",
        "A thief has keys of their own: with one of those, a stolen token would be as good as at home.",
        key_of_another,
    )
    .expecting(Expected::INVALID_TOKEN),
    Attack::refused(
        AREA,
        "dpop-bad-token",
        "G209",
        "RFC 9449 section 7.1",
        "a good proof makes no bad token good",
        "A proof shows who holds a key; anybody can bind a forged token to a key of their own.",
        bad_token,
    ),
];

fn good(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let lower = |scheme: &str| AttackRequest::plain(format!("scheme {scheme}"));
        let requests = ["dpop", "DPOP"].map(|scheme| {
            let request = lower(scheme).authorization(format!("{scheme} {}", shots.token));
            request.with_header(DPOP, shots.proof().build())
        });
        shots
            .with("a good proof", |proof| proof)
            .with("further claims", |proof| proof.claim("exp", 4_102_444_800_i64).claim("x", json!({"y": 1})))
            .with("kid and alg in the key", |proof| {
                let mut jwk = proof.header_members()["jwk"].clone();
                jwk["kid"] = json!("k");
                proof.header("jwk", jwk)
            })
            .each(requests, |shots, request| shots.push(request))
    })
}

/// A proof by a key of each algorithm, for a token that is bound to that key.
fn algorithms(context: &AttackContext) -> Vec<AttackRequest> {
    let named = context.challenge_algorithms().iter().filter_map(|name| Alg::parse(name));
    let named: Vec<_> = named.filter(|alg| alg.is_asymmetric()).collect();
    shots(context, |shots| {
        shots.each(named, |shots, alg| {
            let key = TestKey::generate(alg);
            let token = context.good().bound_to(&key).build();
            let proof = shots.proof_of(&key, &token).build();
            shots.push(bound(alg.as_str(), &token).with_header(DPOP, proof))
        })
    })
}

fn as_bearer(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let bearer = |variant: &str| AttackRequest::bearer(variant, &shots.token);
        let requests =
            [bearer("without a proof"), bearer("with its proof").with_header(DPOP, shots.proof().build())];
        shots.each(requests, |shots, request| shots.push(request))
    })
}

fn unbound(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let key = &shots.dpop.key;
        let tokens = [
            ("no cnf", context.good().build()),
            ("an empty cnf", context.good().claim("cnf", json!({})).build()),
            ("cnf.jkt: null", context.good().claim("cnf", json!({"jkt": null})).build()),
            ("cnf.jkt: empty", context.good().claim("cnf", json!({"jkt": ""})).build()),
            ("jkt beside cnf", context.good().claim("jkt", key.thumbprint()).build()),
        ];
        let mut requests: Vec<_> = tokens
            .into_iter()
            .map(|(variant, token)| {
                let proof = shots.proof_of(key, &token).build();
                bound(variant, &token).with_header(DPOP, proof)
            })
            .collect();
        requests.push(bound("no cnf and no proof", &context.good().build()));
        shots.each(requests, |shots, request| shots.push(request))
    })
}

fn scheme_twice(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let (bearer, dpop) = (format!("Bearer {}", shots.token), format!("DPoP {}", shots.token));
        let two = |variant: &str, first: &str, second: &str| {
            let request = AttackRequest::plain(variant).authorization(first).authorization(second);
            request.with_header(DPOP, shots.proof().build())
        };
        // Only the holder of the key can send these.
        let strict = |request: AttackRequest| request.with_level(RequirementLevel::Strict);
        let requests = [
            strict(two("DPoP, then Bearer", &dpop, &bearer)),
            two("Bearer, then DPoP", &bearer, &dpop),
            strict(two("DPoP twice", &dpop, &dpop)),
        ];
        shots.each(requests, |shots, request| shots.push(request))
    })
}

/// Proofs that are good in themselves, of keys that the token is not bound to.
fn key_of_another(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let own = &shots.dpop.key;
        let of_key = |variant: &str, key: &TestKey| {
            let proof = shots.proof_of(key, &shots.token).build();
            shots.request(variant).with_header(DPOP, proof)
        };
        let of_jkt = |variant: &str, jkt: String| {
            let token = context.good().claim("cnf", json!({ "jkt": jkt })).build();
            let proof = shots.proof_of(own, &token).build();
            // Only the issuer could make such a token.
            bound(variant, &token).with_header(DPOP, proof).with_level(RequirementLevel::Strict)
        };
        let named = |alg: &Alg| {
            let algorithms = &shots.dpop.algorithms;
            algorithms.is_empty() || algorithms.iter().any(|name| name == alg.as_str())
        };
        let jkt = own.thumbprint();
        let mut requests = vec![of_key("of the same kind", &shots.dpop.other)];
        for alg in [Alg::EdDsa, Alg::Es384, Alg::Rs256, Alg::Ps256].iter().filter(|alg| named(alg)) {
            requests.push(of_key(&format!("of another kind: {alg}"), &TestKey::generate(*alg)));
        }
        requests.extend([
            of_jkt("the first half of the thumbprint", jkt.get(..20).unwrap_or_default().to_owned()),
            of_jkt("the thumbprint with padding", format!("{jkt}=")),
            of_jkt("the thumbprint in small letters", jkt.to_ascii_lowercase()),
            of_jkt("the thumbprint of another", shots.dpop.other.thumbprint()),
            of_jkt("the thumbprint, encoded twice", b64url(&jkt)),
        ]);
        shots.each(requests, |shots, request| shots.push(request))
    })
}

fn bad_token(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let good = || context.good().bound_to(&shots.dpop.key);
        let tokens = [
            ("expired", good().expires_in(-7_200).build()),
            ("for another API", good().audience(context.other_audience()).build()),
            ("unsigned", good().unsigned().build()),
            (
                "signed by another key",
                good().signed_with(context.foreign()).kid(&context.keys().current_kid()).build(),
            ),
            // The key of the proof is the client's, and no issuer's.
            ("signed by the key of the proof", good().signed_with(&shots.dpop.key).build()),
            ("of another issuer", good().issuer("https://another.test").build()),
        ];
        let requests = tokens.map(|(variant, token)| {
            let proof = shots.proof_of(&shots.dpop.key, &token).build();
            bound(variant, &token).with_header(DPOP, proof)
        });
        shots.each(requests, |shots, request| shots.push(request))
    })
}
