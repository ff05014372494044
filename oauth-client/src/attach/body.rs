use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A request's or an answer's body on its way through the layer: the body inside, as it is.
    ///
    /// Nothing is held back. A request's body may be recorded while it passes, up to
    /// [`ReplayPolicy::max_body`](super::ReplayPolicy::max_body); pieces that were read ahead come first.
    pub struct Body<B> {
        #[pin]
        inner: Option<B>,
        // One word on the way of most bodies, which have neither.
        extra: Option<Box<Extra>>,
    }
}

impl<B> Body<B> {
    pub(super) fn plain(inner: B) -> Self {
        Self::new(inner, None)
    }

    pub(super) fn new(inner: B, extra: Option<Box<Extra>>) -> Self {
        Self { inner: Some(inner), extra }
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
    Tape(Tape),
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
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let frame = ready!(inner.as_mut().poll_frame(cx));
        if let Some(Extra::Tape(tape)) = this.extra.as_deref_mut()
            && !tape.hear(frame.as_ref(), inner.is_end_stream())
        {
            *this.extra = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead().is_none_or(VecDeque::is_empty)
            && self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint);
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

impl<B: Default> Default for Body<B> {
    fn default() -> Self {
        Self::plain(B::default())
    }
}

impl<B> fmt::Debug for Body<B> {
    /// Tells nothing of the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recorded = matches!(self.extra.as_deref(), Some(Extra::Tape(_)));
        f.debug_struct("Body").field("recorded", &recorded).finish_non_exhaustive()
    }
}

/// What has gone past so far. Thrown away as soon as the body turns out not to be repeatable.
pub(super) struct Tape {
    heard: VecDeque<Bytes>,
    /// How many bytes more may be recorded.
    room: usize,
    whole: Arc<OnceLock<VecDeque<Bytes>>>,
}

impl Tape {
    /// Takes in the next frame; false when there is no more to hear: the body has ended and is handed over, or it
    /// cannot be repeated.
    fn hear<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>, ended: bool) -> bool {
        let piece = match frame {
            None => return self.hand_over(),
            Some(Err(_)) => return false,
            Some(Ok(frame)) => frame.data_ref(),
        };
        let Some(piece) = piece else { return false }; // trailers
        let Some(room) = self.room.checked_sub(piece.len()) else { return false };
        self.room = room;
        if !piece.is_empty() {
            self.heard.push_back(piece.clone());
        }
        if ended { self.hand_over() } else { true }
    }

    fn hand_over(&mut self) -> bool {
        // Nobody else sets it.
        let _ = self.whole.set(std::mem::take(&mut self.heard));
        false
    }
}

/// The other end of the tape: what a replay would send.
pub(super) enum Recording {
    Empty,
    Tape { room: usize, whole: Arc<OnceLock<VecDeque<Bytes>>> },
}

impl Recording {
    /// An empty tape of `room` bytes for this body, if it needs one.
    pub(super) fn of(body: &impl http_body::Body, room: usize) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Tape { room, whole: Arc::default() } }
    }

    pub(super) fn recorder(&self) -> Option<Box<Extra>> {
        match self {
            Self::Empty => None,
            Self::Tape { room, whole } => {
                let tape = Tape { heard: VecDeque::new(), room: *room, whole: Arc::clone(whole) };
                Some(Box::new(Extra::Tape(tape)))
            }
        }
    }

    /// Whether the body has been read to its end, within the limit.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Tape { whole, .. } => whole.get().is_some(),
        }
    }

    /// The same body again. Empty where it is not [whole](Self::is_whole).
    pub(super) fn into_body<B>(self) -> Body<B> {
        let ahead = match self {
            Self::Empty => VecDeque::new(),
            Self::Tape { whole, .. } => Arc::try_unwrap(whole)
                .map_or_else(|shared| shared.get().cloned(), OnceLock::into_inner)
                .unwrap_or_default(),
        };
        Body { inner: None, extra: Some(Box::new(Extra::Ahead(ahead))) }
    }
}
