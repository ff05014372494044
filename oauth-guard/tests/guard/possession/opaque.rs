//! Opaque tokens: the response about one says what it is bound to (RFC 9449 section 6.2, RFC 8705 section 3.2).

use oauth_guard::{CertificateSource, Certificates, ClientAuth, Dpop, Introspection, TlsPeer};
use oauth_mock::{Endpoint, Fault};
use serde_json::{Value, json};

use super::{Bound, ask, reason, request};

const TOKEN: &str = "mF_9.B5f-4.1JqM";

fn respond(bound: &Bound, members: Value) {
    let now = bound.fixture.server.clock().now_unix();
    let mut body = json!({"active": true, "aud": "orders-api", "sub": "ada", "exp": now + 3600});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    bound.fixture.server.clear_faults();
    let fault = Fault::body(200, "application/json", body.to_string());
    bound.fixture.server.fault(Endpoint::Introspect, fault).always();
}

fn guard(bound: &Bound) -> oauth_guard::Guard {
    let introspection = Introspection::new(ClientAuth::basic("orders-api", "s3cr3t"));
    let introspection = introspection.endpoint(bound.fixture.server.endpoint(Endpoint::Introspect));
    bound
        .fixture
        .builder()
        .issuer(bound.fixture.issuer().introspection(introspection))
        .public_url("https://api.example.com")
        .dpop(Dpop::new())
        .certificates(Certificates::from(CertificateSource::Connection))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_response_says_what_an_opaque_token_is_bound_to() {
    let bound = Bound::new();
    let jkt = json!({"jkt": bound.key.thumbprint()});
    for (members, scheme, with_proof, expected) in [
        (json!({"cnf": jkt, "token_type": "DPoP"}), "DPoP", true, "accepted"),
        (json!({"cnf": jkt}), "DPoP", true, "accepted"),
        (json!({"cnf": jkt, "token_type": "DPoP"}), "DPoP", false, "proof_missing"),
        (json!({"cnf": jkt, "token_type": "DPoP"}), "Bearer", true, "scheme_mismatch"),
        (
            json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}),
            "DPoP",
            true,
            "proof_key_mismatch",
        ),
        (json!({"token_type": "DPoP"}), "DPoP", true, "bound_to_key"),
        (
            json!({"cnf": {"x5t#S256": bound.key.thumbprint()}, "token_type": "DPoP"}),
            "DPoP",
            true,
            "bound_to_key",
        ),
        (json!({"cnf": {"x5t#S256": bound.key.thumbprint()}}), "Bearer", false, "certificate_mismatch"),
        (json!({}), "Bearer", false, "accepted"),
        (json!({}), "DPoP", true, "scheme_mismatch"),
    ] {
        respond(&bound, members.clone());
        let guard = guard(&bound);
        // Asked, then remembered: the proof is checked each time.
        for _ in 0..2 {
            let proof = bound.proof_for(TOKEN).build();
            let proofs: &[&str] = if with_proof { &[&proof] } else { &[] };
            let mut sent = request(scheme, TOKEN, proofs);
            sent.extensions_mut().insert(TlsPeer::with_certificate(b"another"));
            assert_eq!(reason(&guard, &sent).await, expected, "{members} as {scheme}");
        }
        if expected == "accepted" && with_proof {
            let proof = bound.proof_for(TOKEN).build();
            assert_eq!(ask(&guard.layer(), request("DPoP", TOKEN, &[&proof])).await.status, 200);
            assert_eq!(ask(&guard.layer(), request("DPoP", TOKEN, &[&proof])).await.status, 401, "used");
        }
    }
}
