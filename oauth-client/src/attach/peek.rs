//! The first look at a response's body: a bounded one, after which the body is as whole as before.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};

use crate::dialect::MAX_PEEKED;

/// A body whose start has been read.
pub(super) struct Peek<B: http_body::Body> {
    body: Pin<Box<B>>,
    pub(super) read: VecDeque<Bytes>,
    length: usize,
    /// What followed the data: trailers, or why there is no more.
    last: Option<Result<Frame<B::Data>, B::Error>>,
    ended: bool,
}

/// Whether a body is worth a look: one that calls itself JSON, plain text (as JSON does in many a server's mouth) or
/// nothing at all, and is not known to be too long.
pub(super) fn is_inspectable(headers: &HeaderMap, size: &SizeHint) -> bool {
    let is_json = headers.get(CONTENT_TYPE).is_none_or(|value| {
        let media_type = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let ends_with = |end: &[u8]| {
            let start = media_type.len().checked_sub(end.len());
            start.is_some_and(|start| media_type[start..].eq_ignore_ascii_case(end))
        };
        let named = |name: &[u8]| media_type.eq_ignore_ascii_case(name);
        named(b"application/json") || named(b"text/plain") || ends_with(b"+json")
    });
    is_json && size.lower() <= MAX_PEEKED as u64
}

impl<B: http_body::Body<Data = Bytes>> Peek<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body: Box::pin(body), read: VecDeque::new(), length: 0, last: None, ended: false }
    }

    /// Reads on until the body has ended, or is known to be longer than the limit. Then, if it has ended, all
    /// of it in one piece.
    pub(super) fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.ended && self.length <= MAX_PEEKED {
            match ready!(self.body.as_mut().poll_frame(cx)) {
                None => self.ended = true,
                Some(Ok(frame)) if frame.is_data() => {
                    let Ok(piece) = frame.into_data() else { continue };
                    self.length = self.length.saturating_add(piece.len());
                    if !piece.is_empty() {
                        self.read.push_back(piece);
                    }
                    if self.is_no_object() {
                        return Poll::Ready(None);
                    }
                }
                Some(other) => {
                    let is_trailers = other.is_ok();
                    self.last = Some(other);
                    if !is_trailers {
                        return Poll::Ready(None);
                    }
                    self.ended = true;
                }
            }
            self.ended |= self.last.is_none() && self.body.is_end_stream();
        }
        Poll::Ready((self.ended && self.length <= MAX_PEEKED).then(|| self.in_one_piece()))
    }

    /// Whether the first piece shows that this is no JSON object, so that there is no need to wait for the rest.
    fn is_no_object(&self) -> bool {
        let first = self.read.iter().flatten().find(|byte| !byte.is_ascii_whitespace());
        // A byte order mark is forgiven.
        first.is_some_and(|byte| !matches!(byte, b'{' | 0xef))
    }

    fn in_one_piece(&self) -> Bytes {
        match self.read.front() {
            Some(only) if self.read.len() == 1 => only.clone(),
            _ => self.read.iter().flatten().copied().collect(),
        }
    }

    /// What comes after the pieces that were read.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.last.take() {
            Some(last) => Poll::Ready(Some(last)),
            None if self.ended => Poll::Ready(None),
            None => self.body.as_mut().poll_frame(cx),
        }
    }
}

impl<B: http_body::Body> Peek<B> {
    pub(super) fn is_at_end(&self) -> bool {
        self.last.is_none() && (self.ended || self.body.is_end_stream())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if self.ended { SizeHint::with_exact(0) } else { self.body.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};

    use super::super::body::Body;
    use super::*;

    type Piece = Result<Frame<Bytes>, std::io::Error>;

    fn data(text: &str) -> Piece {
        Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
    }

    async fn peeked(pieces: Vec<Piece>) -> (Option<Bytes>, Body<impl http_body::Body<Data = Bytes>>) {
        let mut peek = Box::new(Peek::new(StreamBody::new(stream::iter(pieces))));
        let whole = std::future::poll_fn(|cx| peek.poll_whole(cx)).await;
        (whole, Body::peeked(peek))
    }

    #[tokio::test]
    async fn a_short_body_is_seen_whole_and_handed_on_whole_with_its_trailers() {
        let trailers = HeaderMap::from_iter([(CONTENT_TYPE, "x".parse().unwrap())]);
        let (whole, body) =
            peeked(vec![data("{\"a\""), data(""), data(":1}"), Ok(Frame::trailers(trailers))]).await;
        assert_eq!(whole.unwrap(), "{\"a\":1}");
        assert!(!http_body::Body::is_end_stream(&body));
        let collected = body.collect().await.ok().unwrap();
        assert_eq!(collected.trailers().unwrap()[CONTENT_TYPE], "x");
        assert_eq!(collected.to_bytes(), "{\"a\":1}");
    }

    #[tokio::test]
    async fn a_long_body_is_not_read_further_than_it_takes_to_know_and_handed_on_whole() {
        let long = format!("{{{}", "x".repeat(MAX_PEEKED - 1));
        let (whole, _) = peeked(vec![data(&long)]).await;
        assert_eq!(whole.unwrap().len(), MAX_PEEKED);
        let (whole, body) = peeked(vec![data(&long), data("y"), data("never peeked at")]).await;
        assert!(whole.is_none());
        let all = body.collect().await.ok().unwrap().to_bytes();
        assert_eq!(all, format!("{long}ynever peeked at"));
    }

    #[tokio::test]
    async fn what_does_not_begin_like_an_object_is_not_waited_for() {
        let pieces = stream::iter([data(" \n"), data("line 1")]).chain(stream::pending());
        let mut peek = Box::new(Peek::new(StreamBody::new(pieces)));
        assert!(std::future::poll_fn(|cx| peek.poll_whole(cx)).await.is_none());
        let mut body = Body::peeked(peek);
        for piece in [" \n", "line 1"] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_still_breaks_off_where_it_did() {
        let (whole, mut body) =
            peeked(vec![data("{"), Err(std::io::ErrorKind::ConnectionReset.into())]).await;
        assert!(whole.is_none());
        assert_eq!(body.frame().await.unwrap().ok().unwrap().into_data().unwrap(), "{");
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn only_json_that_may_be_short_is_inspectable() {
        let worth = |media_type: Option<&str>, least: u64| {
            let headers = media_type.map(|text| (CONTENT_TYPE, text.parse().unwrap()));
            let mut size = SizeHint::new();
            size.set_lower(least);
            is_inspectable(&headers.into_iter().collect(), &size)
        };
        assert!(worth(None, 0) && worth(Some("Application/JSON; charset=utf-8"), 4096));
        assert!(worth(Some("application/problem+json"), 0) && worth(Some("text/plain"), 0));
        assert!(!worth(Some("application/json"), 4097) && !worth(Some("text/html"), 0));
        assert!(!worth(Some("application/grpc"), 0) && !worth(Some("application/jsonl"), 0));
    }
}
