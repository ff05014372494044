//! The body we send, wiped when it is dropped, and the capped reading of the body we get.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use zeroize::{Zeroize, Zeroizing};

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

/// Reads a body to its end, but never more than `most` bytes of it. The bytes are wiped when the last of their clones is
/// dropped: a response may hold tokens, or a secret that is shown this once.
pub(super) async fn read_capped<B>(body: B, most: usize) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let too_large = || Error::new(Kind::TooLarge(most));
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > most {
        return Err(too_large());
    }
    let mut bytes = Wiped::default();
    match read(body, most, &mut bytes).await {
        Ok(End::Whole) => Ok(bytes.into()),
        Ok(End::Cut) => Err(too_large()),
        Err(source) => Err(Error::new(Kind::Transport { sent: true, source })),
    }
}

/// The start of a body, of which `most` bytes are enough. The head that it belongs to is there already, and has to be
/// neither lost nor kept waiting for it: `left` is what is left of the exchange's time. Of a body that breaks off nothing
/// is kept: a secret in it may be cut, and where JSON is, its tokens are not found to be hidden.
pub(super) async fn read_start<B>(body: B, most: usize, left: Duration) -> Bytes
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut bytes = Wiped::default();
    let reading = read(body, most, &mut bytes);
    match tokio::time::timeout(START_WITHIN.min(left / 2), reading).await {
        Ok(Ok(End::Whole | End::Cut)) => bytes.into(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    }
}

/// How long the body of an error is waited for at most. It comes with the head as a rule; where it does not come at all,
/// enough of the exchange's time is left to say what the head said.
const START_WITHIN: Duration = Duration::from_secs(5);

enum End {
    Whole,
    /// There is more than was asked for.
    Cut,
}

/// At most so many bytes of a body.
async fn read<B>(body: B, most: usize, bytes: &mut Wiped) -> Result<End, BoxError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut body = pin!(body);
    // It is empty: no copy of anything is left behind.
    bytes.0.reserve_exact(least.min(most));
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        // Trailers carry nothing that is read here.
        let Ok(data) = frame.map_err(Into::into)?.into_data() else { continue };
        let room = most - bytes.len();
        if data.len() > room {
            bytes.extend(&data[..room]);
            return Ok(End::Cut);
        }
        bytes.extend(&data);
    }
    Ok(End::Whole)
}

/// A buffer that is wiped when it is dropped, and whenever it outgrows its place.
#[derive(Default)]
pub(super) struct Wiped(Vec<u8>);

impl Wiped {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn extend(&mut self, data: &[u8]) {
        let length = self.0.len().saturating_add(data.len());
        if length > self.0.capacity() {
            // A vector that grows by itself leaves what it held behind.
            let mut larger = Vec::with_capacity(length.max(self.0.capacity().saturating_mul(2)));
            larger.extend_from_slice(&self.0);
            drop(Self(std::mem::replace(&mut self.0, larger)));
        }
        self.0.extend_from_slice(data);
    }
}

impl From<Wiped> for Bytes {
    fn from(buffer: Wiped) -> Self {
        Self::from_owner(buffer)
    }
}

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        // Nothing is ever taken out of it: what lies behind its end was never written.
        self.0.as_mut_slice().zeroize();
        #[cfg(test)]
        tests::DROPPED.with_borrow_mut(|dropped| dropped.push(std::mem::take(&mut self.0)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;

    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    thread_local! {
        /// The buffers that were dropped, as they were then.
        pub(in super::super) static DROPPED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    fn dropped() -> Vec<Vec<u8>> {
        DROPPED.take()
    }

    #[tokio::test]
    async fn a_response_is_wiped_with_its_last_clone_and_each_buffer_it_outgrew() {
        let pieces = ["{\"access_token\":", "\"s3cr3t\"", "}"]
            .map(|text| Ok::<_, BoxError>(Frame::data(Bytes::from(text))));
        let streamed = StreamBody::new(futures_util::stream::iter(pieces));
        dropped();
        let read = read_capped(streamed, 100).await.unwrap();
        assert_eq!(read, "{\"access_token\":\"s3cr3t\"}");
        let outgrown = dropped();
        assert!(!outgrown.is_empty() && outgrown.concat().iter().all(|byte| *byte == 0), "{outgrown:?}");
        let clone = read.slice(3..);
        drop(read);
        assert!(dropped().is_empty(), "still in use");
        drop(clone);
        assert_eq!(dropped(), [vec![0; 25]]);

        let whole = Full::new(Bytes::from("s3cr3t")).map_err(|never| -> BoxError { match never {} });
        drop(read_capped(whole, 6).await.unwrap());
        assert_eq!(dropped(), [vec![0; 6]], "one buffer, of the size that was announced");

        let broken = [Ok(Frame::data(Bytes::from("s3cr3t"))), Err(BoxError::from("reset"))];
        read_capped(StreamBody::new(futures_util::stream::iter(broken)), 100).await.unwrap_err();
        let buffers = dropped();
        assert!(buffers.contains(&vec![0; 6]), "also when the rest does not come: {buffers:?}");
    }
}
