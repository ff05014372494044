use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use http::header::CONTENT_ENCODING;

use super::{respond, whole};
use crate::wire::body::{MockBody, Step};
use crate::wire::response::MockResponse;
use crate::wire::transport::TransportError;

/// What happens to the bytes of a good response.
#[derive(Clone, Copy, Debug)]
pub(super) enum Corruption {
    Drip(Duration),
    HangMidBody,
    ResetMidBody,
    Truncate,
    MalformedJson,
    Oversize(usize),
    GzipBomb(usize),
}

impl Corruption {
    pub(super) fn apply(self, mut response: MockResponse) -> Response<MockBody> {
        let body = response.body.clone();
        let half = body.slice(..body.len() / 2);
        let steps: Vec<Step> = match self {
            Self::MalformedJson => {
                response.body = half;
                return whole(response);
            }
            Self::GzipBomb(bytes) => {
                response.body = gzip(&body, bytes).into();
                return whole(response.with(CONTENT_ENCODING, "gzip"));
            }
            Self::Oversize(bytes) => padded(&body, bytes).map(Step::Send).collect(),
            Self::Drip(pause) => {
                (0..body.len()).flat_map(|at| [Step::Wait(pause), Step::Send(body.slice(at..=at))]).collect()
            }
            Self::HangMidBody => vec![Step::Send(half), Step::Stall],
            Self::ResetMidBody => vec![Step::Send(half), Step::Flush, Step::Fail(TransportError::Reset)],
            Self::Truncate => vec![Step::Send(half), Step::Flush, Step::Fail(TransportError::Incomplete)],
        };
        let length = if let Self::Oversize(bytes) = self { bytes.max(body.len()) } else { body.len() };
        respond(response, length, MockBody::script(steps))
    }
}

/// `body`, then spaces up to `length` bytes, in pieces that share one buffer.
fn padded(body: &Bytes, length: usize) -> impl Iterator<Item = Bytes> {
    static SPACES: [u8; 1 << 16] = [b' '; 1 << 16];
    let missing = length.saturating_sub(body.len());
    let piece = move |at: usize| Bytes::from_static(&SPACES[..SPACES.len().min(missing - at)]);
    std::iter::once(body.clone()).chain((0..missing).step_by(SPACES.len()).map(piece))
}

fn gzip(body: &Bytes, length: usize) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for piece in padded(body, length) {
        // Writing into memory cannot fail.
        let _ = packed.write_all(&piece);
    }
    packed.finish().unwrap_or_default()
}
