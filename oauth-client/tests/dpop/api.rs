//! At an API (RFC 9449 sections 7 and 9).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use oauth_client::TokenSource;
use oauth_client::attach::{Attached, Body, ReplayPolicy, TokenLayer};
use oauth_mock::{DpopNonce, Endpoint};
use serde_json::json;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};

use crate::support::Recorded;

/// An API with a rule of its own, which counts its calls.
fn api(
    rule: impl Fn(usize, &HeaderMap) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> (Api, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    (Api { rule: Arc::new(rule), calls: Arc::clone(&calls) }, calls)
}

type Rule = dyn Fn(usize, &HeaderMap) -> Response<Full<Bytes>> + Send + Sync;

#[derive(Clone)]
struct Api {
    rule: Arc<Rule>,
    calls: Arc<AtomicUsize>,
}

impl Service<Request<Body<Full<Bytes>>>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body<Full<Bytes>>>) -> Self::Future {
        let response = (self.rule)(self.calls.fetch_add(1, Ordering::SeqCst), request.headers());
        // The body is read to its end, as a client that sends it does.
        Box::pin(async move {
            request.into_body().collect().await.unwrap();
            Ok(response)
        })
    }
}

fn response(status: u16, headers: &[(&str, &str)]) -> Response<Full<Bytes>> {
    let head = headers
        .iter()
        .fold(Response::builder().status(status), |head, (name, value)| head.header(*name, *value));
    head.body(Full::default()).unwrap()
}

fn wants(nonce: &str) -> Response<Full<Bytes>> {
    let challenge = r#"Bearer realm="a", DPoP algs="ES256", error="use_dpop_nonce""#;
    response(401, &[("www-authenticate", challenge), ("dpop-nonce", nonce)])
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_request_brings_the_token_and_a_proof_of_its_own() {
    let fixture = Recorded::new();
    let source = fixture.source();
    let client = fixture.api(&source);
    let uri = fixture.server.endpoint(Endpoint::Userinfo);
    for tail in ["", "?a=b", ""] {
        let mut request = get(&format!("{uri}{tail}"));
        request.headers_mut().append("dpop", HeaderValue::from_static("a.b.c"));
        request.headers_mut().append("dpop", HeaderValue::from_static("another"));
        assert_eq!(client.clone().oneshot(request).await.unwrap().status(), 200, "the mock has checked it");
    }
    let token = source.current().unwrap();
    let heard = fixture.api_requests();
    let mut seen = Vec::new();
    for heard in &heard {
        assert_eq!(heard.authorization, format!("DPoP {}", token.secret().expose()));
        let claims = heard.claims();
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("GET"), &json!(uri)), "no query");
        seen.push(claims["jti"].as_str().unwrap().to_owned());
        let digest = sha256(token.secret().expose());
        assert_eq!(claims["ath"], json!(digest), "bound to this very token");
    }
    seen.sort();
    seen.dedup();
    assert_eq!((heard.len(), seen.len()), (3, 3));
    assert!(token.authorization().is_sensitive());
}

fn sha256(text: &str) -> String {
    use base64::Engine;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(digest.as_ref())
}

#[tokio::test(start_paused = true)]
async fn the_apis_nonce_costs_one_more_request_and_no_token() {
    let fixture = Recorded::with(|server| server.dpop_api_nonce(DpopNonce::Required));
    let source = fixture.source();
    let client = fixture.api(&source);
    assert_eq!(client.clone().oneshot(fixture.userinfo()).await.unwrap().status(), 200);
    assert_eq!(fixture.api_requests().len(), 2);
    let before = source.current().unwrap().generation();

    for _ in 0..3 {
        assert_eq!(client.clone().oneshot(fixture.userinfo()).await.unwrap().status(), 200);
    }
    assert_eq!(fixture.api_requests().len(), 5, "it is remembered");

    fixture.server.dpop().change_nonces();
    let mut request = fixture.userinfo();
    *request.method_mut() = Method::POST;
    *request.body_mut() = Full::from("hello");
    assert_eq!(client.clone().oneshot(request).await.unwrap().status(), 200);
    let heard = fixture.api_requests();
    assert_eq!(heard.len(), 7);
    assert!(heard[5..].iter().all(|heard| heard.body == "hello"), "the body goes out again, whole");
    assert_ne!(heard[5].nonce(), heard[6].nonce());
    assert_eq!(source.current().unwrap().generation(), before);
    assert_eq!(fixture.count(Endpoint::Token), 1, "a nonce says nothing of the token");
}

#[tokio::test(start_paused = true)]
async fn nonces_of_server_and_api_are_kept_apart_although_they_share_an_origin() {
    let fixture =
        Recorded::with(|server| server.dpop_nonce(DpopNonce::Required).dpop_api_nonce(DpopNonce::SingleUse));
    let source = fixture.source();
    let client = fixture.api(&source);
    for _ in 0..3 {
        assert_eq!(client.clone().oneshot(fixture.userinfo()).await.unwrap().status(), 200);
    }
    assert_eq!((fixture.count(Endpoint::Token), fixture.api_requests().len()), (2, 4));
    assert_eq!(fixture.api_requests()[0].nonce(), None, "the token endpoint's is not for the API");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_never_content_gets_two_requests_and_the_token_stays() {
    let fixture = Recorded::new();
    let source = fixture.source();
    let generation = source.token().await.unwrap().generation();
    let (service, calls) = api(|call, _| wants(&format!("nonce-{call}")));
    let client = TokenLayer::new(source.clone()).report().layer(service);
    let response = client.clone().oneshot(get("https://api.example.com/orders")).await.unwrap();
    assert_eq!((response.status(), calls.load(Ordering::SeqCst)), (StatusCode::UNAUTHORIZED, 2));
    assert_eq!(response.headers()["dpop-nonce"], "nonce-1", "the response stands as it came");
    let attached = response.extensions().get::<Attached>().unwrap();
    assert_eq!((attached.generation, attached.replayed), (generation, false));
    assert_eq!(source.current().map(|token| token.generation()), Some(generation));
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_replay_the_response_stands_and_the_next_request_knows_the_nonce() {
    let fixture = Recorded::with(|server| server.dpop_api_nonce(DpopNonce::Required));
    let source = fixture.source();
    let layer = TokenLayer::new(source.clone()).replay(ReplayPolicy::never());
    let client = layer.layer(fixture.line.clone());
    assert_eq!(client.clone().oneshot(fixture.userinfo()).await.unwrap().status(), 401);
    assert_eq!(client.clone().oneshot(fixture.userinfo()).await.unwrap().status(), 200);
    assert_eq!((fixture.count(Endpoint::Token), fixture.api_requests().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_replaced_whether_the_nonce_is_asked_for_before_or_after() {
    for change_first in [true, false] {
        let fixture = Recorded::with(|server| server.dpop_api_nonce(DpopNonce::Required));
        let source = fixture.source();
        let client = fixture.api(&source);
        if !change_first {
            client.clone().oneshot(fixture.userinfo()).await.unwrap();
        }
        let before = fixture.api_requests().len();
        let revoked = source.token().await.unwrap();
        fixture.server.revoke_token(revoked.secret().expose());
        fixture.server.dpop().change_nonces();
        let response = client.oneshot(fixture.userinfo()).await.unwrap();
        // The mock looks at the token first; with a new one it asks for the nonce.
        assert_eq!(response.status(), StatusCode::OK);
        assert!(fixture.api_requests().len() - before <= 3);
        assert_ne!(source.current().unwrap().generation(), revoked.generation());
        assert_eq!(fixture.count(Endpoint::Token), 2);
    }
    // The other order: nonce first, then the token turns out to be revoked.
    let fixture = Recorded::new();
    let source = fixture.source();
    let revoked = source.token().await.unwrap();
    let value = revoked.authorization().clone();
    let (service, calls) = api(move |call, headers| match call {
        0 => wants("first"),
        _ if headers["authorization"] == value => {
            response(401, &[("www-authenticate", r#"DPoP error="invalid_token""#)])
        }
        _ => response(200, &[]),
    });
    let client = TokenLayer::new(source.clone()).layer(service);
    let response = client.oneshot(get("https://api.example.com/orders")).await.unwrap();
    assert_eq!((response.status(), calls.load(Ordering::SeqCst)), (StatusCode::OK, 3));
    assert_eq!(fixture.count(Endpoint::Token), 2);
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_is_refused_is_not_the_tokens_fault() {
    let fixture = Recorded::new();
    let source = fixture.source();
    let generation = source.token().await.unwrap().generation();
    let bad = |_: usize, _: &HeaderMap| {
        let challenge = r#"DPoP error="invalid_dpop_proof", error_description="iat""#;
        response(401, &[("www-authenticate", challenge), ("dpop-nonce", "x")])
    };
    let (service, calls) = api(bad);
    let client = TokenLayer::new(source.clone()).layer(service);
    let response = client.oneshot(get("https://api.example.com/orders")).await.unwrap();
    assert_eq!((response.status(), calls.load(Ordering::SeqCst)), (StatusCode::UNAUTHORIZED, 1));
    assert_eq!(source.current().unwrap().generation(), generation);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_in_flight_survive_a_change_of_nonces_at_a_bounded_cost() {
    for wanted in [DpopNonce::Required, DpopNonce::SingleUse] {
        let fixture = Recorded::with(|server| server.dpop_api_nonce(wanted));
        let source = fixture.source();
        let client = fixture.api(&source);
        client.clone().oneshot(fixture.userinfo()).await.unwrap();
        fixture.server.dpop().change_nonces();
        let before = fixture.api_requests().len();
        let mut tasks = JoinSet::new();
        for _ in 0..1000 {
            tasks.spawn(client.clone().oneshot(fixture.userinfo()));
        }
        for response in tasks.join_all().await {
            assert_eq!(response.unwrap().status(), StatusCode::OK);
        }
        assert!(fixture.api_requests().len() - before <= 2000);
        assert_eq!(fixture.count(Endpoint::Token), 1);
        client.oneshot(fixture.userinfo()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_asks_for_a_nonce_in_its_own_way() {
    let fixture = Recorded::new();
    let source = fixture.source();
    let (service, calls) = api(|call, _| match call {
        0 => response(
            200,
            &[
                ("content-type", "application/grpc"),
                ("grpc-status", "16"),
                ("www-authenticate", r#"DPoP error="use_dpop_nonce""#),
                ("dpop-nonce", "n-0S6"),
            ],
        ),
        _ => response(200, &[("content-type", "application/grpc"), ("grpc-status", "0")]),
    });
    let client = TokenLayer::new(source).layer(service);
    let request = Request::post("https://api.example.com/pets.Pets/List").body(Full::from("\0\0\0\0\x02hi"));
    let response = client.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(
        (&response.headers()["grpc-status"], calls.load(Ordering::SeqCst)),
        (&"0".parse().unwrap(), 2)
    );
    assert_eq!(fixture.count(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_proof_can_name_is_not_sent() {
    let fixture = Recorded::new();
    let source = fixture.source();
    for at_hand in [false, true] {
        assert_eq!(source.current().is_some(), at_hand);
        let (service, calls) = api(|_, _| response(200, &[]));
        let error = TokenLayer::new(source.clone()).layer(service).oneshot(get("/orders")).await.unwrap_err();
        let error = error.token_error().unwrap();
        assert_eq!((error.code(), error.problems()[0].field.as_str()), ("config", "uri"));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn bearer_tokens_go_out_as_they_did_with_no_proof() {
    let fixture = Recorded::new();
    let plain = fixture.login(&fixture.builder().build().unwrap());
    assert_eq!(fixture.api(&plain).oneshot(fixture.userinfo()).await.unwrap().status(), 200);
    let fixed = TokenSource::fixed(plain.current().unwrap().secret().clone()).unwrap();
    assert_eq!(fixture.api(&fixed).oneshot(fixture.userinfo()).await.unwrap().status(), 200);
    for heard in fixture.api_requests() {
        assert!(heard.authorization.starts_with("Bearer ") && heard.proof.is_none());
    }
    let uri = fixture.server.endpoint(Endpoint::Userinfo).parse().unwrap();
    let token = fixed.current().unwrap();
    assert!(token.proof(&Method::GET, &uri).unwrap().is_none());
    assert!(!token.wants_another_proof(&uri, wants("x").headers()));
}

#[tokio::test(start_paused = true)]
async fn a_request_can_be_put_together_by_hand() {
    let fixture = Recorded::with(|server| server.dpop_api_nonce(DpopNonce::Required));
    let token = fixture.source().token().await.unwrap();
    let uri: Uri = fixture.server.endpoint(Endpoint::Userinfo).parse().unwrap();
    let mut responses = Vec::new();
    loop {
        let request = Request::get(uri.clone())
            .header("authorization", token.authorization())
            .header("dpop", token.proof(&Method::GET, &uri).unwrap().unwrap());
        let response =
            fixture.line.clone().oneshot(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        responses.push(response.status().as_u16());
        if !token.wants_another_proof(&uri, response.headers()) || responses.len() > 2 {
            break;
        }
    }
    assert_eq!(responses, [401, 200]);
}

#[tokio::test(start_paused = true)]
async fn one_clients_sources_share_what_its_apis_said() {
    let fixture = Recorded::with(|server| server.dpop_api_nonce(DpopNonce::Required));
    let client = fixture.client.clone();
    for _ in 0..2 {
        let source = fixture.login(&client);
        assert_eq!(fixture.api(&source).oneshot(fixture.userinfo()).await.unwrap().status(), 200);
    }
    assert_eq!(fixture.api_requests().len(), 3);
}

/// A POST whose length is not known beforehand.
fn upload(
    pieces: impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>>,
) -> Request<impl http_body::Body<Data = Bytes, Error = Infallible>> {
    Request::post("https://api.example.com/upload").body(StreamBody::new(pieces)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_nonce_gets_no_second_request_whose_body_would_not_be_whole() {
    let fixture = Recorded::new();
    let source = fixture.source();
    let first = source.token().await.unwrap().generation();
    // Each piece is read before the response is there, and the end only where the body is short enough.
    for (limit, requests) in [(10, 1), (11, 2)] {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let api = tower::service_fn(move |request: Request<Body<_>>| {
            let call = count.fetch_add(1, Ordering::SeqCst);
            async move {
                let body = Box::pin(request.into_body()).collect().await.unwrap().to_bytes();
                assert_eq!(body, "hello world", "whole, each time");
                Ok::<_, Infallible>(if call == 0 {
                    wants(&format!("for-{limit}"))
                } else {
                    response(200, &[])
                })
            }
        });
        let pieces = ["hello", " ", "world"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
        let layer = TokenLayer::new(source.clone()).replay(ReplayPolicy::default().with_max_body(limit));
        let request = upload(futures_util::stream::iter(pieces));
        let status = layer.layer(api).oneshot(request).await.unwrap().status().as_u16();
        assert_eq!((status, calls.load(Ordering::SeqCst)), (if requests == 2 { 200 } else { 401 }, requests));
    }
    assert_eq!(source.current().unwrap().generation(), first, "the nonce says nothing of the token");
}

#[tokio::test(start_paused = true)]
async fn a_nonce_gets_no_second_request_while_the_body_is_still_streaming() {
    let fixture = Recorded::new();
    let source = fixture.source();
    let first = source.token().await.unwrap().generation();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    // Responds after the first piece, while the request is still being sent.
    let api = tower::service_fn(move |request: Request<Body<_>>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut body = Box::pin(request.into_body());
            body.frame().await.unwrap().unwrap();
            tokio::spawn(async move { while body.frame().await.is_some() {} });
            Ok::<_, Infallible>(wants("first"))
        }
    });
    let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
    let request = upload(futures_util::stream::poll_fn(move |cx| said.poll_recv(cx)));
    say.send(Ok(Frame::data(Bytes::from_static(b"one")))).unwrap();
    let response = TokenLayer::new(source.clone()).layer(api).oneshot(request).await.unwrap();
    assert_eq!((response.status(), calls.load(Ordering::SeqCst)), (StatusCode::UNAUTHORIZED, 1));
    assert_eq!(source.current().unwrap().generation(), first);
    drop(say);
}
