//! The body we send, wiped when it is dropped, and the capped reading of the body we get.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use zeroize::Zeroizing;

use crate::error::{BoxError, Error, Kind};

/// The body of the requests that an [`HttpClient`](super::HttpClient) sends: one piece of bytes, redacted in `Debug`.
#[derive(Clone, Default)]
pub struct RequestBody(Full<Bytes>);

impl RequestBody {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(Full::new(bytes))
    }
}

/// Bytes whose buffer is wiped when the last of their clones is dropped.
pub(crate) fn wiped(text: String) -> Bytes {
    Bytes::from_owner(Zeroizing::new(text.into_bytes()))
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({} bytes)", self.0.size_hint().lower())
    }
}

/// Reads a body to its end, but never more than `most` bytes of it.
pub(super) async fn read_capped<B>(body: B, most: usize) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > most as u64 {
        return Err(Error::new(Kind::TooLarge(most)));
    }
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame =
            frame.map_err(|source| Error::new(Kind::Transport { sent: true, source: source.into() }))?;
        // Trailers carry nothing that is read here.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most - read.len() {
            return Err(Error::new(Kind::TooLarge(most)));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
