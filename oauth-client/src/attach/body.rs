use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use super::head::TrailersWatch;
use super::peek::Peek;

pin_project! {
    /// A request's or a response's body on its way through the layer: the body inside, as it is.
    ///
    /// Nothing is held back. A request's body may be recorded while it passes, up to
    /// [`ReplayPolicy::max_body`](super::ReplayPolicy::max_body); pieces that were read ahead come first.
    pub struct Body<B>
    where
        B: http_body::Body,
    {
        #[pin]
        inner: Inner<B>,
        // One word on the way of most bodies, which have neither.
        extra: Option<Box<Extra>>,
        watch: Option<TrailersWatch>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<B>
    where
        B: http_body::Body,
    {
        Nothing,
        Whole { #[pin] body: B },
        /// The rest of a body that was peeked at.
        Rest { rest: Box<Peek<B>> },
    }
}

impl<B: http_body::Body> Body<B> {
    pub(super) fn plain(inner: B) -> Self {
        Self::new(inner, None)
    }

    pub(super) fn new(inner: B, extra: Option<Box<Extra>>) -> Self {
        Self { inner: Inner::Whole { body: inner }, extra, watch: None }
    }

    /// The body of a response that no server sent.
    pub(super) fn nothing() -> Self {
        Self { inner: Inner::Nothing, extra: None, watch: None }
    }

    /// The body of a response whose trailers are yet to come.
    pub(super) fn watched(inner: B, watch: Option<TrailersWatch>) -> Self {
        Self { watch, ..Self::plain(inner) }
    }

    /// The body that was peeked at, whole.
    pub(super) fn peeked(mut peek: Box<Peek<B>>) -> Self {
        let ahead = std::mem::take(&mut peek.read);
        Self { inner: Inner::Rest { rest: peek }, extra: Some(Box::new(Extra::Ahead(ahead))), watch: None }
    }

    fn ahead(&self) -> Option<&VecDeque<Bytes>> {
        match self.extra.as_deref() {
            Some(Extra::Ahead(ahead)) => Some(ahead),
            _ => None,
        }
    }
}

pub(super) enum Extra {
    /// Comes before what is inside.
    Ahead(VecDeque<Bytes>),
    /// Listens to what is inside.
    Recorder(Recorder),
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        if let Some(Extra::Ahead(ahead)) = this.extra.as_deref_mut() {
            match ahead.pop_front() {
                Some(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => *this.extra = None,
            }
        }
        let mut inner = match this.inner.as_mut().project() {
            InnerProj::Nothing => return Poll::Ready(None),
            InnerProj::Rest { rest } => return rest.poll_rest(cx),
            InnerProj::Whole { body } => body,
        };
        let frame = ready!(inner.as_mut().poll_frame(cx));
        if let Some(Extra::Recorder(recorder)) = this.extra.as_deref_mut()
            && !recorder.observe(frame.as_ref(), inner.is_end_stream())
        {
            *this.extra = None;
        }
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Some(watch) = this.watch.take()
        {
            watch.observe(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead().is_none_or(VecDeque::is_empty)
            && match &self.inner {
                Inner::Nothing => true,
                Inner::Whole { body } => body.is_end_stream(),
                Inner::Rest { rest } => rest.is_at_end(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let inner = match &self.inner {
            Inner::Nothing => SizeHint::with_exact(0),
            Inner::Whole { body } => body.size_hint(),
            Inner::Rest { rest } => rest.size_hint(),
        };
        let Some(ahead) = self.ahead() else { return inner };
        let ahead = ahead.iter().map(|piece| piece.len() as u64).fold(0, u64::saturating_add);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint.set_lower(inner.lower().saturating_add(ahead));
        hint
    }
}

impl<B: http_body::Body + Default> Default for Body<B> {
    fn default() -> Self {
        Self::plain(B::default())
    }
}

impl<B: http_body::Body> fmt::Debug for Body<B> {
    /// Shows nothing of the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recorded = matches!(self.extra.as_deref(), Some(Extra::Recorder(_)));
        f.debug_struct("Body").field("recorded", &recorded).finish_non_exhaustive()
    }
}

/// What has gone past so far. Thrown away as soon as the body turns out not to be repeatable.
pub(super) struct Recorder {
    chunks: VecDeque<Bytes>,
    /// How many bytes more may be recorded.
    room: usize,
    whole: Arc<OnceLock<VecDeque<Bytes>>>,
}

impl Recorder {
    /// Takes in the next frame; false when there is no more to observe: the body has ended and is handed over, or it
    /// cannot be repeated.
    fn observe<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>, ended: bool) -> bool {
        let piece = match frame {
            None => return self.hand_over(),
            Some(Err(_)) => return false,
            Some(Ok(frame)) => frame.data_ref(),
        };
        let Some(piece) = piece else { return false }; // trailers
        let Some(room) = self.room.checked_sub(piece.len()) else { return false };
        self.room = room;
        if !piece.is_empty() {
            self.chunks.push_back(piece.clone());
        }
        if ended { self.hand_over() } else { true }
    }

    fn hand_over(&mut self) -> bool {
        // Only this sets it.
        let _ = self.whole.set(std::mem::take(&mut self.chunks));
        false
    }
}

/// What a replay would send, filled by the [`Recorder`].
#[derive(Clone)]
pub(super) enum Recording {
    Empty,
    Recorder { room: usize, whole: Arc<OnceLock<VecDeque<Bytes>>> },
}

impl Recording {
    /// An empty recorder of `room` bytes for this body, if it needs one.
    pub(super) fn of(body: &impl http_body::Body, room: usize) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Recorder { room, whole: Arc::default() } }
    }

    pub(super) fn recorder(&self) -> Option<Box<Extra>> {
        match self {
            Self::Empty => None,
            Self::Recorder { room, whole } => {
                let recorder = Recorder { chunks: VecDeque::new(), room: *room, whole: Arc::clone(whole) };
                Some(Box::new(Extra::Recorder(recorder)))
            }
        }
    }

    /// Whether the body has been read to its end, within the limit.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Recorder { whole, .. } => whole.get().is_some(),
        }
    }

    /// The same body again. Empty where it is not [whole](Self::is_whole).
    pub(super) fn into_body<B: http_body::Body>(self) -> Body<B> {
        let ahead = match self {
            Self::Empty => VecDeque::new(),
            Self::Recorder { whole, .. } => Arc::try_unwrap(whole)
                .map_or_else(|shared| shared.get().cloned(), OnceLock::into_inner)
                .unwrap_or_default(),
        };
        Body { inner: Inner::Nothing, extra: Some(Box::new(Extra::Ahead(ahead))), watch: None }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::HeaderMap;
    use http_body::Body as _;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    type Piece = Result<Frame<Bytes>, std::io::Error>;

    fn data(text: &'static str) -> Piece {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    /// Reads so many frames of a recorded body; what was recorded of it, if that is all.
    async fn recorded(pieces: Vec<Piece>, room: usize, frames: usize) -> Option<Bytes> {
        let inner = StreamBody::new(stream::iter(pieces));
        let recording = Recording::of(&inner, room);
        let mut body = Body::new(inner, recording.recorder());
        for _ in 0..frames {
            let _ = body.frame().await;
        }
        let whole = recording.is_whole();
        let again = recording.into_body::<Full<Bytes>>().collect().await.unwrap().to_bytes();
        whole.then_some(again)
    }

    #[tokio::test]
    async fn only_what_was_read_to_its_end_within_the_limit_can_be_repeated() {
        let hello = || vec![data("hel"), data(""), data("lo")];
        assert_eq!(recorded(hello(), 5, 4).await.unwrap(), "hello");
        assert_eq!(recorded(hello(), 5, 3).await, None, "the end is not known yet");
        assert_eq!(recorded(hello(), 4, 4).await, None, "too long");
        assert_eq!(recorded(vec![], 0, 1).await.unwrap(), "");
        assert_eq!(recorded(vec![data("x"), Err(std::io::ErrorKind::Other.into())], 9, 3).await, None);
        assert_eq!(recorded(vec![data("x"), Ok(Frame::trailers(HeaderMap::new()))], 9, 3).await, None);
    }

    #[tokio::test]
    async fn the_end_is_noticed_when_the_reader_stops_at_the_last_frame() {
        let inner = Full::new(Bytes::from_static(b"hello"));
        let recording = Recording::of(&inner, 5);
        let mut body = Body::new(inner, recording.recorder());
        assert!(!recording.is_whole());
        body.frame().await.unwrap().unwrap();
        assert!(body.is_end_stream() && recording.is_whole(), "hyper asks no further");
    }

    #[tokio::test]
    async fn a_body_passes_as_it_is() {
        let pieces = vec![
            data("hello"),
            Ok(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]))),
        ];
        let body = Body::plain(StreamBody::new(stream::iter(pieces)));
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["etag"], "x");
        assert_eq!(collected.to_bytes(), "hello");

        let body = Body::plain(Full::new(Bytes::from_static(b"hello")));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
        let empty = Body::<Full<Bytes>>::default();
        assert_eq!((empty.size_hint().exact(), empty.is_end_stream()), (Some(0), true));
    }

    #[tokio::test]
    async fn pieces_read_ahead_come_first_and_count() {
        let ahead = VecDeque::from([Bytes::from_static(b"hel"), Bytes::from_static(b"lo ")]);
        let inner = Full::new(Bytes::from_static(b"world"));
        let mut body = Body::new(inner, Some(Box::new(Extra::Ahead(ahead))));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(11), false));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hel");
        assert_eq!(body.size_hint().exact(), Some(8));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "lo world");
    }
}
