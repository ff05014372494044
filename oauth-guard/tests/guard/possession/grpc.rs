//! The same over gRPC: codes, challenges and nonces as metadata.

use http::{Method, Version, header};
use oauth_guard::Dpop;

use super::{Answer, Bound, ask, request};

async fn call(bound: &Bound, dpop: Dpop, scheme: &str, token: &str, proofs: &[&str]) -> Answer {
    let mut sent = request(scheme, token, proofs);
    *sent.method_mut() = Method::POST;
    *sent.version_mut() = Version::HTTP_2;
    *sent.uri_mut() = "https://backend:50051/orders.Orders/List".parse().unwrap();
    sent.headers_mut().insert(header::CONTENT_TYPE, "application/grpc+proto".parse().unwrap());
    ask(&bound.guard(dpop).layer(), sent).await
}

#[tokio::test(start_paused = true)]
async fn rejections_have_their_status_and_metadata() {
    let bound = Bound::new();
    let proof = || {
        let url = "https://api.example.com/orders.Orders/List";
        let proof = bound.fixture.server.dpop_proof(&bound.key, "POST", url);
        proof.access_token_hash(&bound.token).build()
    };
    let good = call(&bound, Dpop::new(), "DPoP", &bound.token, &[&proof()]).await;
    assert_eq!((good.status, &*good.body), (200, "ada: authorization content-type dpop"));
    for (scheme, proofs, status, message, challenges) in [
        ("DPoP", vec![], "16", "the DPoP proof is missing or not valid", 1),
        ("DPoP", vec!["a.b.c".to_owned()], "16", "the DPoP proof is missing or not valid", 1),
        ("DPoP", vec![proof(), proof()], "3", "the request has more than one DPoP header", 1),
        ("Bearer", vec![proof()], "16", "the access token is not valid", 2),
        ("Basic", vec![], "16", "the request has no access token", 2),
    ] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let answer = call(&bound, Dpop::new(), scheme, &bound.token, &proofs).await;
        let found = (answer.status, &answer.headers["grpc-status"], &answer.headers["grpc-message"]);
        assert_eq!((found.0, found.1.to_str().unwrap(), found.2.to_str().unwrap()), (200, status, message));
        assert_eq!(answer.challenges().len(), challenges, "{answer:?}");
        assert!(answer.body.is_empty());
    }
    let asked = call(&bound, Dpop::new().require_nonce(), "DPoP", &bound.token, &[&proof()]).await;
    assert_eq!(asked.headers["grpc-message"], "the DPoP proof needs the nonce in DPoP-Nonce");
    assert_eq!(asked.nonce().unwrap().len(), 32);
    let full = Dpop::new().replay_store(Full);
    let answer = call(&bound, full, "DPoP", &bound.token, &[&proof()]).await;
    assert_eq!(
        (&answer.headers["grpc-status"], &answer.headers["grpc-message"]),
        (&"14".parse().unwrap(), &"the access token cannot be checked at the moment".parse().unwrap())
    );
}

#[derive(Debug)]
struct Full;

impl oauth_guard::replay::ReplayStore for Full {
    async fn insert(
        &self,
        _: oauth_guard::replay::ProofId<'_>,
        _: std::time::Duration,
    ) -> Result<oauth_guard::replay::Insertion, oauth_guard::replay::ReplayError> {
        Err(oauth_guard::replay::ReplayError::Full)
    }
}
