use std::convert::Infallible;

use futures_util::stream;
use http_body_util::{Full, StreamBody};

use super::*;

fn frames(parts: Vec<Result<Frame<Bytes>, std::io::Error>>) -> RequestBody {
    RequestBody::new(StreamBody::new(stream::iter(parts)))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// The bytes and the trailers.
async fn again(body: RequestBody) -> (Vec<u8>, Option<HeaderMap>) {
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes().to_vec(), trailers)
}

#[tokio::test]
async fn what_was_read_is_handed_on_with_its_trailers() {
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", "7".parse().unwrap());
    for parts in [vec![], vec!["one"], vec!["", "one", "", "two", "three"]] {
        let mut all: Vec<_> = parts.iter().map(|part| data(part)).collect();
        all.push(Ok(Frame::trailers(trailers.clone())));
        let Read { body, outcome } = frames(all).read(11).await;
        let whole = parts.concat();
        assert_eq!(outcome.unwrap(), whole);
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));
        assert_eq!(again(body).await, (whole.into_bytes(), Some(trailers.clone())));
    }
}

#[tokio::test]
async fn a_body_that_is_read_twice_is_the_same() {
    let Read { body, .. } = frames(vec![data("one"), data("two")]).read(64).await;
    let Read { body, outcome } = body.read(6).await;
    assert_eq!(outcome.unwrap(), "onetwo");
    let Read { body, outcome } = body.read(5).await;
    assert_eq!(outcome, Err(Unread::TooLong));
    assert_eq!(again(body).await.0, b"onetwo");
}

#[tokio::test]
async fn the_limit_is_exact_and_nothing_is_lost_beyond_it() {
    for (parts, limit, fits) in [
        (vec!["12345"], 5, true),
        (vec!["12345"], 4, false),
        (vec!["123", "45"], 5, true),
        (vec!["123", "45", "6"], 4, false),
        (vec!["123", "45", "6"], 5, false),
    ] {
        let Read { body, outcome } = frames(parts.iter().map(|part| data(part)).collect()).read(limit).await;
        assert_eq!(outcome.is_ok(), fits, "{parts:?}");
        assert_eq!(again(body).await.0, parts.concat().into_bytes(), "{parts:?}");
    }
}

#[tokio::test]
async fn an_announced_length_is_refused_before_it_is_read() {
    let Read { body, outcome } = RequestBody::new(Full::new(Bytes::from_static(b"123456"))).read(5).await;
    assert_eq!(outcome, Err(Unread::TooLong));
    assert!(body.data.is_empty(), "not read");
    assert_eq!(again(body).await.0, b"123456");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_ends_after_its_time() {
    let never = stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let begun =
        futures_util::StreamExt::chain(stream::iter([Ok(Frame::data(Bytes::from_static(b"a")))]), never);
    let started = tokio::time::Instant::now();
    let Read { body, outcome } = RequestBody::new(StreamBody::new(begun)).read(5).await;
    assert_eq!(outcome, Err(Unread::TooSlow));
    assert_eq!(started.elapsed(), MCP_BODY_TIMEOUT);
    assert_eq!(body.data, "a");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
    let broken = frames(vec![data("{}"), Err(std::io::Error::other("reset"))]);
    assert_eq!(broken.read(64).await.outcome, Err(Unread::Broken));
}

#[tokio::test]
async fn only_bodies_that_can_be_made_again_are_taken() {
    assert!(read(&mut Full::new(Bytes::from_static(b"{}")), 5).is_none());
    assert!(read(&mut "text", 5).is_none());
    let mut body = RequestBody::from(Bytes::from_static(b"{}"));
    let reading = read(&mut body, 5).unwrap().await;
    assert!(body.is_end_stream(), "taken");
    put_back(&mut body, reading.body);
    assert_eq!(again(body).await.0, b"{}");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn the_body_of_axum_is_one_of_them() {
    let mut body = ::axum::body::Body::from("{}");
    let reading = read(&mut body, 5).unwrap().await;
    put_back(&mut body, reading.body);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
}
