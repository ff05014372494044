//! What happens when the API refuses the token.

use crate::support::{Api, get, post, server, source, token_requests, unauthorized};
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use oauth_client::TokenSource;
use oauth_client::attach::{AttachError, Attached, ReplayPolicy, TokenLayer};
use oauth_mock::{Endpoint, Fault};
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt};

type Pieces = Vec<Result<Frame<Bytes>, std::convert::Infallible>>;

fn streamed(pieces: impl IntoIterator<Item = &'static str>) -> Pieces {
    pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect()
}

fn upload(pieces: Pieces) -> Request<impl http_body::Body<Data = Bytes, Error = std::convert::Infallible>> {
    Request::post("https://api.example.com/upload")
        .body(StreamBody::new(futures_util::stream::iter(pieces)))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_and_the_very_same_request_sent_once_more() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    let revoked = source.token().await.unwrap();
    api.refuse(&revoked);

    let response = TokenLayer::new(source.clone()).layer(api.clone()).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!((api.count(), token_requests(&server)), (2, 2));

    let [first, second] = &api.seen()[..] else { panic!("two requests") };
    assert_eq!((first.method(), first.uri()), (second.method(), second.uri()));
    assert_eq!(first.headers()["x-trace"], second.headers()["x-trace"]);
    assert_eq!(first.headers()[AUTHORIZATION], revoked.authorization());
    assert_eq!(second.headers()[AUTHORIZATION], source.current().unwrap().authorization());
    assert!(second.headers()[AUTHORIZATION].is_sensitive());
}

/// A server that caches tokens gives the refused one again.
#[tokio::test(start_paused = true)]
async fn the_same_token_given_again_causes_no_second_request() {
    let same = r#"{"access_token":"always-the-same","token_type":"Bearer","expires_in":300}"#;
    let (server, api) = (server(), Api::new());
    server.fault(Endpoint::Token, Fault::body(200, "application/json", same)).always();
    let source = source(&server);
    api.refuse(&source.token().await.unwrap());
    let response = TokenLayer::new(source).layer(api.clone()).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((api.count(), token_requests(&server)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_response_reports_the_token_used_if_requested() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    let first = source.token().await.unwrap();
    let report_of = |layer: TokenLayer| {
        let call = layer.layer(api.clone()).oneshot(get());
        async move { call.await.unwrap().extensions().get::<Attached>().copied() }
    };
    let layer = TokenLayer::new(source.clone());
    let attached = report_of(layer.clone().report()).await.unwrap();
    assert_eq!((attached.generation, attached.replayed), (first.generation(), false));
    api.refuse(&first);
    let attached = report_of(layer.clone().report()).await.unwrap();
    assert_eq!((attached.generation, attached.replayed), (source.current().unwrap().generation(), true));
    assert_eq!(report_of(layer).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_in_flight_with_one_revoked_token_cost_two_token_requests() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    let client = TokenLayer::new(source.clone()).layer(api.clone());
    api.refuse(&source.token().await.unwrap());

    let calls = (0..1000).map(|n| tokio::spawn(client.clone().oneshot(post(n.to_string()))));
    for (n, response) in join_all(calls).await.into_iter().enumerate() {
        let body = response.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, n.to_string(), "each caller gets the response to its own request");
    }
    assert_eq!(token_requests(&server), 2, "the one that got it and the one that replaces it");
    assert_eq!(api.count(), 2000);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_always_says_401_costs_two_requests_and_one_token_request_a_call() {
    let (server, api) = (server(), Api::with(|_| Some(unauthorized())));
    let source = source(&server);
    let client = TokenLayer::new(source.clone()).layer(api.clone());
    source.token().await.unwrap();
    for _ in 0..100 {
        let before = (api.count(), token_requests(&server));
        let response = client.clone().oneshot(get()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(api.count() - before.0 <= 2 && token_requests(&server) - before.1 <= 1);
    }
    // Ten at once, and one more each ten seconds: a hundred calls take some twenty seconds here.
    assert!(token_requests(&server) <= 1 + 10 + 3, "{}", token_requests(&server));
    assert!(api.count() < 120, "a request is not repeated for a token that will not come: {}", api.count());
}

#[tokio::test(start_paused = true)]
async fn a_403_is_not_about_the_token() {
    let (server, api) = (
        server(),
        Api::with(|_| {
            let challenge = "Bearer error=\"insufficient_scope\", scope=\"write\"";
            Some(
                Response::builder()
                    .status(403)
                    .header("www-authenticate", challenge)
                    .body(Full::default())
                    .unwrap(),
            )
        }),
    );
    let source = source(&server);
    let response = TokenLayer::new(source.clone()).layer(api.clone()).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!((api.count(), token_requests(&server)), (1, 1));
    assert!(source.current().is_some(), "the token stays");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_wants_another_login_costs_no_token_and_no_second_request() {
    let step_up = |error: &str| {
        let challenge = format!("Bearer error=\"{error}\", acr_values=\"gold\", max_age=\"60\"");
        let head = Response::builder().status(401).header("www-authenticate", challenge);
        head.body(Full::default()).unwrap()
    };
    for (error, requests) in [("insufficient_user_authentication", 1), ("invalid_token", 2)] {
        let (server, api) = (server(), Api::with(move |_| Some(step_up(error))));
        let source = source(&server);
        let first = source.token().await.unwrap().generation();
        let response =
            TokenLayer::new(source.clone()).layer(api.clone()).oneshot(post("an order")).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "the caller sees it");
        assert_eq!((api.count(), token_requests(&server)), (requests, requests), "{error}");
        let kept = source.current().map(|token| token.generation()) == Some(first);
        assert_eq!(kept, requests == 1, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_status_in_the_trailers_drops_the_token_for_the_next_request() {
    type Frames = Vec<Result<Frame<Bytes>, std::convert::Infallible>>;
    let step_up = "Bearer error=\"insufficient_user_authentication\"";
    for (media_type, trailers, is_dropped) in [
        ("application/grpc", vec![("grpc-status", "16")], true),
        ("application/grpc+proto", vec![("grpc-status", "16"), ("grpc-message", "expired")], true),
        ("application/grpc", vec![("grpc-status", "7")], false),
        ("application/grpc", vec![("grpc-status", "16"), ("www-authenticate", step_up)], false),
        ("application/octet-stream", vec![("grpc-status", "16")], false),
    ] {
        let server = server();
        let source = source(&server);
        let first = source.token().await.unwrap().generation();
        let shown = trailers.clone();
        let api = tower::service_fn(move |_: Request<oauth_client::attach::Body<Full<Bytes>>>| {
            let trailers = trailers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect();
            let frames: Frames =
                vec![Ok(Frame::data(Bytes::from_static(b"a message"))), Ok(Frame::trailers(trailers))];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let response = Response::builder().header("content-type", media_type).body(body).unwrap();
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        let client = TokenLayer::new(source.clone()).layer(api);
        let response = client.oneshot(post("a message")).await.unwrap();
        assert_eq!(source.current().unwrap().generation(), first, "nothing is known yet");
        let collected = response.into_body().collect().await.unwrap();
        assert!(collected.trailers().unwrap().contains_key("grpc-status"), "they reach the caller");
        assert_eq!(source.current().is_none(), is_dropped, "{media_type} {shown:?}");
        assert_eq!(source.token().await.unwrap().generation(), first + u64::from(is_dropped));
    }
}

#[tokio::test(start_paused = true)]
async fn the_trailers_of_a_replay_do_not_count_against_the_new_token() {
    let server = server();
    let source = source(&server);
    let first = source.token().await.unwrap().generation();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = calls.clone();
    let api = tower::service_fn(move |_: Request<oauth_client::attach::Body<Full<Bytes>>>| {
        let is_first = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let status =
            || HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("16"))]);
        let mut response = Response::new(());
        if is_first {
            *response.headers_mut() = status();
        }
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        let mut frames = streamed(if is_first { vec![] } else { vec!["a message"] });
        if !is_first {
            frames.push(Ok(Frame::trailers(status())));
        }
        let response = response.map(|()| StreamBody::new(futures_util::stream::iter(frames)));
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let response = TokenLayer::new(source.clone()).layer(api).oneshot(get()).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 2);
    assert_eq!(source.current().unwrap().generation(), first + 1);
}

#[tokio::test(start_paused = true)]
async fn the_apis_own_response_stands_when_no_other_token_is_available() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    api.refuse(&source.token().await.unwrap());
    server.pause();
    let response = TokenLayer::new(source).layer(api.clone()).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.headers().contains_key("www-authenticate"));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "this token is no good");
    assert_eq!(api.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_request_is_not_sent_and_the_error_says_why() {
    let (server, api) = (server(), Api::new());
    server.pause();
    let error = TokenLayer::new(source(&server)).layer(api.clone()).oneshot(get()).await.unwrap_err();
    assert_eq!(api.count(), 0);
    assert_eq!(error.token_error().unwrap().code(), "transport");
    assert!(matches!(&error, AttachError::Token(cause) if cause.is_transient()));
    let shown = error.to_string();
    assert!(shown.contains("not sent") && shown.contains("the connection failed"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_fixed_token_that_is_refused_is_refused() {
    let api = Api::with(|_| Some(unauthorized()));
    let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap();
    let response = TokenLayer::new(source).layer(api.clone()).oneshot(get()).await.unwrap();
    assert_eq!((response.status(), api.count()), (StatusCode::UNAUTHORIZED, 1));
}

#[tokio::test(start_paused = true)]
async fn an_authorization_that_is_there_already_gives_way_to_ours() {
    let api = Api::new();
    let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap();
    let mut request = get();
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("Bearer old"));
    TokenLayer::new(source).layer(api.clone()).oneshot(request).await.unwrap();
    let sent: Vec<_> = api.seen()[0].headers().get_all(AUTHORIZATION).iter().cloned().collect();
    assert_eq!(sent, ["Bearer 2YotnFZFEjr1zCsicMWpAA"]);
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_within_the_limit_is_sent_whole_both_times() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    api.refuse(&source.token().await.unwrap());
    let client = TokenLayer::new(source).replay(ReplayPolicy::default().with_max_body(11)).layer(api.clone());
    let response = client.oneshot(upload(streamed(["hello", "", " ", "world"]))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let bodies: Vec<_> = api.seen().into_iter().map(Request::into_body).collect();
    assert_eq!(bodies, ["hello world", "hello world"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_reaches_the_api_once_and_whole() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    let revoked = source.token().await.unwrap();
    api.refuse(&revoked);
    let policy = ReplayPolicy::default().with_max_body(10);
    let client = TokenLayer::new(source.clone()).replay(policy).layer(api.clone());

    // Whether or not its length is known beforehand.
    let response = client.clone().oneshot(upload(streamed(["hello", " ", "world"]))).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((api.count(), api.seen()[0].body()), (1, &Bytes::from_static(b"hello world")));

    // The token was dropped all the same, so the next one fares better.
    assert!(source.current().is_none());
    assert_eq!(client.clone().oneshot(post("hello world")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(token_requests(&server), 2);

    api.refuse(&source.token().await.unwrap());
    assert_eq!(client.oneshot(post("hello world")).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(api.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_trailers_is_not_repeated_without_them() {
    let (server, api) = (server(), Api::new());
    let source = source(&server);
    api.refuse(&source.token().await.unwrap());
    let mut pieces = streamed(["hello"]);
    pieces.push(Ok(Frame::trailers(HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("x"))]))));
    let response = TokenLayer::new(source).layer(api.clone()).oneshot(upload(pieces)).await.unwrap();
    assert_eq!((response.status(), api.count()), (StatusCode::UNAUTHORIZED, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_held_back_and_not_repeated_while_it_runs() {
    let server = server();
    let source = source(&server);
    source.token().await.unwrap();
    let (heard, mut hears) = mpsc::unbounded_channel();
    // Responds after the first piece, while the request is still being sent.
    let api = tower::service_fn(move |request: Request<oauth_client::attach::Body<_>>| {
        let heard = heard.clone();
        async move {
            let mut body = Box::pin(request.into_body());
            let first: Bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
            heard.send(first).unwrap();
            tokio::spawn(async move { while body.frame().await.is_some() {} });
            Ok::<_, std::convert::Infallible>(unauthorized())
        }
    });
    let (say, mut said) = mpsc::unbounded_channel::<Result<Frame<Bytes>, std::convert::Infallible>>();
    let request = Request::post("https://api.example.com/feed")
        .body(StreamBody::new(futures_util::stream::poll_fn(move |cx| said.poll_recv(cx))))
        .unwrap();
    let call = tokio::spawn(TokenLayer::new(source).layer(api).oneshot(request));
    say.send(Ok(Frame::data(Bytes::from_static(b"one")))).unwrap();
    assert_eq!(hears.recv().await.unwrap(), "one", "it arrives before the stream has ended");
    assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(hears.try_recv().is_err(), "and there was one request");
}

#[tokio::test(start_paused = true)]
async fn the_policy_has_the_last_word() {
    let (server, api) = (server(), Api::with(|_| Some(unauthorized())));
    let source = source(&server);
    let count = |policy: ReplayPolicy, request| {
        let client = TokenLayer::new(source.clone()).replay(policy).layer(api.clone());
        let api = api.clone();
        async move {
            let before = api.count();
            client.oneshot(request).await.unwrap();
            api.count() - before
        }
    };
    assert_eq!(count(ReplayPolicy::default(), get()).await, 2);
    assert_eq!(count(ReplayPolicy::never(), get()).await, 1);
    let safe = ReplayPolicy::when(|request| request.method().is_safe());
    assert_eq!(count(safe.clone(), get()).await, 2);
    assert_eq!(count(safe, post("hello")).await, 1);
    let small = ReplayPolicy::when(|request| {
        request.body_size() == Some(5)
            && request.uri().path() == "/orders"
            && !request.headers().contains_key(AUTHORIZATION)
    });
    assert_eq!(count(small.clone(), post("hello")).await, 2);
    assert_eq!(count(small, post("good-bye")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_response_without_a_message_and_with_status_16_counts_as_401() {
    let grpc = |status: &'static str| {
        let head = Response::builder().header("content-type", "application/grpc+proto");
        head.header("grpc-status", status).body(Full::default()).unwrap()
    };
    let unary = || {
        Request::builder()
            .method("POST")
            .uri("https://api.example.com/pets.Pets/List")
            .body(Full::from("\0\0\0\0\x02hi"))
    };
    for (status, requests) in [("16", 2), ("7", 1), ("0", 1)] {
        let server = server();
        let api = Api::with(move |_| Some(grpc(status)));
        let client = TokenLayer::new(source(&server)).layer(api.clone());
        let response = client.oneshot(unary().unwrap()).await.unwrap();
        assert_eq!((response.headers()["grpc-status"].to_str().unwrap(), api.count()), (status, requests));
        assert!(api.seen().iter().all(|seen| seen.body() == "\0\0\0\0\x02hi"), "whole, each time");
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_goes_to_the_named_origins_only() {
    let api = Api::new();
    let source = TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA").unwrap();
    let layer = TokenLayer::new(source)
        .allowed_origins(["https://api.example.com", "http://localhost:8080"])
        .unwrap();
    let send = |uri: &str| {
        let request = Request::get(uri).body(Full::<Bytes>::default()).unwrap();
        layer.layer(api.clone()).oneshot(request)
    };
    assert!(send("https://api.example.com/orders").await.is_ok());
    assert!(send("http://localhost:8080/").await.is_ok());
    for elsewhere in ["https://evil.example/?secret=s3cr3t", "http://api.example.com/", "/orders"] {
        let error = send(elsewhere).await.unwrap_err();
        let error = error.token_error().unwrap();
        assert_eq!((error.code(), error.problems()[0].field.as_str()), ("config", "allowed_origins"));
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    assert_eq!(api.count(), 2);
}
