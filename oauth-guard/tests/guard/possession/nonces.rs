//! Nonces: missing, stale, foreign, renewed in time, shared by a fleet.

use std::time::Duration;

use http::header;
use oauth_guard::{Dpop, Guard, Requirement, Rule};

use super::{Answer, Bound, ask, request};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA";

fn strict() -> Dpop {
    Dpop::new().require_nonce()
}

async fn nonce_of(guard: &Guard) -> String {
    let mut bare = request("DPoP", "a", &[]);
    bare.headers_mut().clear();
    ask(&guard.layer(), bare).await.nonce().unwrap().to_owned()
}

fn asks_for_one(answer: &Answer) -> String {
    assert_eq!(answer.summary(), (401, "DPoP use_dpop_nonce".to_owned()));
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    answer.nonce().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_state_of_a_nonce_has_its_answer() {
    let bound = Bound::new();
    let guard = bound.guard(strict().nonce_key(KEY));
    let send = |nonce: Option<String>| {
        let proof = match nonce {
            Some(nonce) => bound.proof().nonce(&nonce),
            None => bound.proof(),
        };
        let (bound, guard) = (&bound, &guard);
        async move { bound.call(guard, &proof).await }
    };
    // Missing: rejected with one, which is then good.
    let nonce = asks_for_one(&send(None).await);
    let good = send(Some(nonce.clone())).await;
    assert_eq!((good.status, good.nonce()), (200, None), "fresh: nothing to say");
    // Tampered, foreign, of a wrong type.
    let tampered = format!("{}A", &nonce[..31]);
    let foreign = nonce_of(&bound.guard(strict().nonce_key(OTHER))).await;
    for bad in [tampered, foreign, String::new(), nonce.to_lowercase(), "x".repeat(5000)] {
        asks_for_one(&send(Some(bad)).await);
    }
    asks_for_one(&bound.call(&guard, &bound.proof().claim("nonce", 7)).await);
    asks_for_one(&bound.call(&guard, &bound.proof().claim("nonce", [nonce.clone()].to_vec())).await);
    // Aging: good still, and the response brings the next.
    tokio::time::advance(Duration::from_secs(149)).await;
    assert_eq!(send(Some(nonce.clone())).await.nonce(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    let aging = send(Some(nonce.clone())).await;
    assert_eq!(aging.status, 200);
    let next = aging.nonce().unwrap().to_owned();
    assert_ne!(next, nonce);
    assert_eq!(send(Some(next.clone())).await.nonce(), None);
    // The last second, and over.
    tokio::time::advance(Duration::from_secs(149)).await;
    assert_eq!(send(Some(nonce.clone())).await.status, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    asks_for_one(&send(Some(nonce)).await);
    assert_eq!(send(Some(next)).await.status, 200);
}

/// A client that follows the responses is asked for a nonce once, however long it goes on.
#[tokio::test(start_paused = true)]
async fn a_client_that_follows_is_never_asked_again() {
    let bound = Bound::new();
    let guard = bound.guard(strict());
    let token = bound.fixture.server.mint().bound_to(&bound.key).expires_in(100_000).build();
    let (mut nonce, mut asked, mut renewed) = (String::new(), 0, 0);
    for _ in 0..200 {
        let proof = bound.proof_for(&token).nonce(&nonce).build();
        let answer = ask(&guard.layer(), request("DPoP", &token, &[&proof])).await;
        if let Some(next) = answer.nonce() {
            nonce = next.to_owned();
            if answer.status == 401 { asked += 1 } else { renewed += 1 }
        }
        tokio::time::advance(Duration::from_secs(40)).await;
    }
    assert_eq!(asked, 1);
    assert!((40..=60).contains(&renewed), "{renewed} in 8,000 s");
}

#[tokio::test(start_paused = true)]
async fn every_401_brings_a_nonce_so_that_none_is_lost_on_the_way() {
    let bound = Bound::new();
    let guard = bound.guard(strict());
    let plain = bound.fixture.server.mint().build();
    for (sent, status) in [
        (request("DPoP", "a.b.c", &[]), 401),
        (request("Bearer", "a.b.c", &[]), 401),
        (request("Bearer", &bound.token, &[]), 401),
        (request("DPoP", &plain, &[]), 401),
        (request("DPoP", &bound.token, &[]), 401),
        (request("DPoP", &bound.token, &["a.b.c"]), 401),
    ] {
        let answer = ask(&guard.layer(), sent).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.nonce().unwrap().len(), 32);
    }
    // None where nothing is asked for.
    let off = bound.guard(Dpop::new());
    assert_eq!(ask(&off.layer(), request("DPoP", &bound.token, &[])).await.nonce(), None);
    assert_eq!(bound.call(&off, &bound.proof()).await.nonce(), None);
    let forbidden = guard.layer().require(Requirement::scope("write"));
    let nonce = nonce_of(&guard).await;
    let proof = bound.proof().nonce(&nonce).build();
    assert_eq!(ask(&forbidden, request("DPoP", &bound.token, &[&proof])).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_shares_them_through_a_key() {
    let bound = Bound::new();
    let one = bound.guard(strict().nonce_key(KEY));
    // The same key in the other alphabet.
    let two = bound.guard(strict().nonce_key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"));
    let nonce = nonce_of(&one).await;
    assert_eq!(bound.call(&two, &bound.proof().nonce(&nonce)).await.status, 200);
    // Without one, each makes its own.
    let (three, four) = (bound.guard(strict()), bound.guard(strict()));
    let nonce = nonce_of(&three).await;
    assert_eq!(bound.call(&three, &bound.proof().nonce(&nonce)).await.status, 200);
    assert_eq!(bound.call(&four, &bound.proof().nonce(&nonce)).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn nonces_survive_a_reload_whatever_their_key() {
    let bound = Bound::new();
    let guard = bound.guard(strict());
    let nonce = nonce_of(&guard).await;
    guard.reload(bound.builder().dpop(strict().nonce_lifetime(Duration::from_secs(200)))).unwrap();
    assert_eq!(bound.call(&guard, &bound.proof().nonce(&nonce)).await.status, 200, "the key made at start");
    guard.reload(bound.builder().dpop(strict().nonce_key(KEY))).unwrap();
    assert_eq!(bound.call(&guard, &bound.proof().nonce(&nonce)).await.status, 200, "the one before");
    let nonce = nonce_of(&guard).await;
    guard.reload(bound.builder().dpop(strict().nonce_key(OTHER))).unwrap();
    assert_eq!(bound.call(&guard, &bound.proof().nonce(&nonce)).await.status, 200, "the one before");
    guard.reload(bound.builder().dpop(strict().nonce_key(OTHER))).unwrap();
    assert_eq!(bound.call(&guard, &bound.proof().nonce(&nonce)).await.status, 200, "the key did not change");
    let third = "A".repeat(43);
    guard.reload(bound.builder().dpop(strict().nonce_key(third))).unwrap();
    assert_eq!(bound.call(&guard, &bound.proof().nonce(&nonce)).await.status, 200, "two before");
    guard.reload(bound.builder().dpop(strict().nonce_key(KEY))).unwrap();
    assert_eq!(bound.call(&guard, &bound.proof().nonce(&nonce)).await.status, 200, "in force again");
}

/// A key is replaced because it leaked: from then on it makes no nonces, and those it made end in their time.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_replaced_makes_no_new_nonces() {
    let bound = Bound::new();
    let guard = bound.guard(strict().nonce_key(KEY));
    let thief = bound.guard(strict().nonce_key(KEY));
    let before = nonce_of(&guard).await;
    guard.reload(bound.builder().dpop(strict().nonce_key(OTHER))).unwrap();
    let status = |nonce: String| {
        let (bound, guard) = (&bound, &guard);
        async move { bound.call(guard, &bound.proof().nonce(&nonce)).await.status }
    };
    // For a minute: another guard of the fleet may be reloaded a little later, and its clock may be ahead.
    tokio::time::advance(Duration::from_secs(60)).await;
    let last = nonce_of(&thief).await;
    assert_eq!((status(before.clone()).await, status(last.clone()).await), (200, 200));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(status(nonce_of(&thief).await).await, 401);
    assert_eq!(status(nonce_of(&guard).await).await, 200);
    // Reloads that have nothing to do with it change neither.
    guard.reload(bound.builder().dpop(strict().nonce_key(OTHER))).unwrap();
    assert_eq!(status(nonce_of(&thief).await).await, 401);
    tokio::time::advance(Duration::from_secs(238)).await;
    assert_eq!((status(before.clone()).await, status(last.clone()).await), (200, 200));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((status(before).await, status(last.clone()).await), (401, 200));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(status(last).await, 401);
}

/// Without a layer: claims bring the next nonce, and the guard gives one for a rejection.
#[tokio::test(start_paused = true)]
async fn code_without_a_layer_gets_the_nonces_too() {
    let bound = Bound::new();
    let guard = bound.guard(strict());
    let sent = request("DPoP", &bound.token, &[&bound.proof().build()]);
    let rejection = guard.check(&sent).resolve().await.unwrap_err();
    assert_eq!(rejection.code(), "use_dpop_nonce");
    let response = guard.rejection_response(&rejection, &sent);
    assert_eq!(response.status(), 401);
    assert!(response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("DPoP "));
    let nonce = response.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    assert_eq!(
        &response.body()[..],
        br#"{"error":"use_dpop_nonce","error_description":"the DPoP proof needs the nonce in DPoP-Nonce"}"#
    );
    let good = |nonce: &str| request("DPoP", &bound.token, &[&bound.proof().nonce(nonce).build()]);
    let claims = guard.check(&good(&nonce)).resolve().await.unwrap().unwrap();
    assert_eq!(claims.dpop_nonce(), None);
    tokio::time::advance(Duration::from_secs(200)).await;
    let claims = guard.check(&good(&nonce)).resolve().await.unwrap().unwrap();
    let next = claims.dpop_nonce().unwrap().to_str().unwrap().to_owned();
    assert_ne!(next, nonce);
    assert!(guard.check(&good(&next)).resolve().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_sets_its_own_nonce_is_left_alone() {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use tower::{Layer, ServiceExt, service_fn};

    let bound = Bound::new();
    let guard = bound.builder().dpop(strict()).rule(Rule::new("/orders")).build().unwrap();
    let nonce = nonce_of(&guard).await;
    tokio::time::advance(Duration::from_secs(200)).await;
    let service = guard.layer().layer(service_fn(|_: Request<Full<Bytes>>| async {
        let response = Response::builder().header("dpop-nonce", "mine").body(Full::<Bytes>::default());
        Ok::<_, Infallible>(response.unwrap())
    }));
    let proof = bound.proof().nonce(&nonce).build();
    let response = service.oneshot(request("DPoP", &bound.token, &[&proof])).await.unwrap();
    let nonces: Vec<_> = response.headers().get_all("dpop-nonce").iter().collect();
    assert_eq!(nonces, ["mine"]);
}
