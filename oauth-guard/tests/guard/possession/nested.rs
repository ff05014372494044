//! A layer on a route inside of a layer on the router: one request, one proof, one certificate.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use oauth_guard::clock::TestClock;
use oauth_guard::replay::{Insertion, MemoryReplayStore, ProofId, ReplayError, ReplayStore};
use oauth_guard::{CertificateSource, Certificates, Dpop, Guard, PeerAddr, Requirement};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

use super::{Bound, request};

/// Through the outer guard and then the inner one: status and nonce.
async fn through(outer: &Guard, inner: &Guard, sent: Request<Full<Bytes>>) -> (u16, Option<HeaderValue>) {
    let handler = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"served"))))
    });
    let layer = inner.layer().require(Requirement::scope("read"));
    let service = outer.layer().layer(layer.layer(handler));
    let response = service.oneshot(sent).await.unwrap();
    let (status, nonce) = (response.status().as_u16(), response.headers().get("dpop-nonce").cloned());
    let _ = response.into_body().collect().await.unwrap();
    (status, nonce)
}

#[tokio::test(start_paused = true)]
async fn one_proof_serves_all_layers_of_a_request_and_no_second_request() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new());
    for _ in 0..3 {
        let proof = bound.proof().build();
        let sent = || request("DPoP", &bound.token, &[&proof]);
        assert_eq!(through(&guard, &guard, sent()).await.0, 200);
        assert_eq!(through(&guard, &guard, sent()).await.0, 401, "a replay");
    }
    // Guards of their own note it each for itself; guards that share a store are one to a proof.
    let (one, two) = (bound.guard(Dpop::new()), bound.guard(Dpop::new()));
    let proof = bound.proof().build();
    assert_eq!(through(&one, &two, request("DPoP", &bound.token, &[&proof])).await.0, 200);
    assert_eq!(
        through(&bound.guard(Dpop::new()), &two, request("DPoP", &bound.token, &[&proof])).await.0,
        401
    );
    let store = Arc::new(MemoryReplayStore::new(1_000, TestClock::new()).unwrap());
    let shared = bound.guard(Dpop::new().replay_store(store));
    let proof = bound.proof().build();
    assert_eq!(through(&shared, &shared, request("DPoP", &bound.token, &[&proof])).await.0, 200);
    assert_eq!(through(&shared, &shared, request("DPoP", &bound.token, &[&proof])).await.0, 401);
    // A layer in between that puts another proof in its place gains nothing.
    let (one, two) = (bound.proof().build(), bound.proof().build());
    let guard = bound.guard(Dpop::new());
    assert_eq!(bound.send(&guard, &two).await.status, 200);
    let swap = service_fn(|mut request: Request<Full<Bytes>>| {
        request.headers_mut().insert("dpop", two.parse().unwrap());
        let inner = guard.layer().layer(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
        async move { Ok::<_, Infallible>(inner.oneshot(request).await.unwrap().map(|_| Full::<Bytes>::default())) }
    });
    let response = guard.layer().layer(swap).oneshot(request("DPoP", &bound.token, &[&one])).await.unwrap();
    assert_eq!(response.status(), 401);
}

/// One handle of several to a store, as each guard has one that reads the same configuration.
#[derive(Clone, Debug)]
struct Handle(Arc<MemoryReplayStore>, &'static str);

impl ReplayStore for Handle {
    async fn insert(&self, proof: ProofId<'_>, keep: Duration) -> Result<Insertion, ReplayError> {
        self.0.insert(proof, keep).await
    }

    fn identity(&self) -> Option<String> {
        Some(self.1.to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn guards_with_handles_of_their_own_to_one_store_refuse_no_request_of_each_other() {
    let bound = Bound::new();
    let store = Arc::new(MemoryReplayStore::new(1_000, TestClock::new()).unwrap());
    let named = |name| bound.guard(Dpop::new().replay_store(Handle(Arc::clone(&store), name)));
    let plain = || bound.guard(Dpop::new().replay_store(Arc::clone(&store)));
    for (outer, inner) in [(named("here"), named("here")), (plain(), plain())] {
        let proof = bound.proof().build();
        let sent = || request("DPoP", &bound.token, &[&proof]);
        assert_eq!(through(&outer, &inner, sent()).await.0, 200);
        // In any other request it is used.
        assert_eq!(through(&outer, &inner, sent()).await.0, 401);
        for guard in [&outer, &inner] {
            assert_eq!(bound.send(guard, &proof).await.status, 401);
        }
        let proof = bound.proof().build();
        assert_eq!(bound.send(&inner, &proof).await.status, 200);
        assert_eq!(
            through(&outer, &inner, request("DPoP", &bound.token, &[&proof])).await.0,
            401,
            "a replay of the request that reached the inner one alone"
        );
    }
    // Places of different names are different places, whatever is behind them.
    let proof = bound.proof().build();
    let sent = request("DPoP", &bound.token, &[&proof]);
    assert_eq!(through(&named("here"), &named("there"), sent).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn a_guard_further_in_knows_its_proof_past_a_guard_with_another_store() {
    let bound = Bound::new();
    let (one, other) = (bound.guard(Dpop::new()), bound.guard(Dpop::new()));
    let proof = bound.proof().build();
    for expected in [200, 401] {
        let handler = service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let inner = other.layer().layer(one.layer().layer(other.layer().layer(handler)));
        let response =
            one.layer().layer(inner).oneshot(request("DPoP", &bound.token, &[&proof])).await.unwrap();
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_nonce_that_ages_is_renewed_once() {
    let bound = Bound::new();
    let guard = bound.guard(Dpop::new().require_nonce());
    let asked = through(&guard, &guard, request("DPoP", &bound.token, &[])).await;
    let nonce = asked.1.unwrap();
    tokio::time::advance(Duration::from_secs(200)).await;
    let proof = bound.proof().nonce(nonce.to_str().unwrap()).build();
    let (status, next) = through(&guard, &guard, request("DPoP", &bound.token, &[&proof])).await;
    assert_eq!(status, 200);
    assert!(next.is_some_and(|next| next != nonce));
}

#[tokio::test(start_paused = true)]
async fn the_inner_layer_knows_the_certificate_that_the_outer_one_took_out() {
    let bound = Bound::new();
    let hash = "a".repeat(64);
    let print = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, [0xaa; 32]);
    let token = bound.fixture.server.mint().scope("read").claim("cnf", json!({"x5t#S256": print})).build();
    let guard = |proxies: &str| {
        let certificates = Certificates::from(CertificateSource::Xfcc);
        bound.builder().certificates(certificates).trusted_proxies([proxies]).build().unwrap()
    };
    let sent = |hash: &str| {
        let mut sent = request("Bearer", &token, &[]);
        sent.extensions_mut().insert(PeerAddr("10.0.0.1:1".parse().unwrap()));
        sent.headers_mut().insert("x-forwarded-client-cert", format!("Hash={hash}").parse().unwrap());
        sent
    };
    let (trusting, other) = (guard("10.0.0.0/8"), guard("192.168.0.0/16"));
    assert_eq!(through(&trusting, &trusting, sent(&hash)).await.0, 200);
    assert_eq!(through(&trusting, &trusting, sent(&"b".repeat(64))).await.0, 401);
    assert_eq!(through(&trusting, &other, sent(&hash)).await.0, 401, "it trusts another proxy");
}
