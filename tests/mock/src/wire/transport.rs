//! The server without a socket: a tower service that runs each request in the caller's task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;
use tower_service::Service;

use crate::shared::Shared;
use crate::wire::body::MockBody;

/// Bytes of a request body that are taken; the response to a longer one is 413.
pub(crate) const MAX_REQUEST: usize = 1 << 20;

/// Bytes of a body that is too long which are read and dropped, so that its sender gets to read the response.
const MAX_DROPPED: usize = 64 << 20;

/// A client's way to a [`MockServer`](crate::MockServer) with no socket between: same responses, same faults.
///
/// All waiting is done with tokio's timers, so a test with paused time never really waits.
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::Full;
/// use oauth_mock::{Endpoint, MockServer};
/// use tower::ServiceExt as _;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = MockServer::builder().in_process();
/// let request = Request::get(server.endpoint(Endpoint::Jwks)).body(Full::<Bytes>::default())?;
/// assert_eq!(server.transport().oneshot(request).await?.status(), 200);
/// server.pause();
/// let request = Request::get(server.endpoint(Endpoint::Jwks)).body(Full::<Bytes>::default())?;
/// assert!(server.transport().oneshot(request).await.is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MockTransport(pub(crate) Arc<Shared>);

/// Why no response came, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Connection refused: the server is paused, or the address is of another host.
    #[error("connection refused")]
    Refused,
    /// The connection was reset, before the response or in the middle of it.
    #[error("connection reset by peer")]
    Reset,
    /// The response ended before its announced length.
    #[error("connection closed before the message was complete")]
    Incomplete,
    /// The request's own body failed.
    #[error("the request's body could not be read")]
    RequestBody,
}

impl<B> Service<Request<B>> for MockTransport
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<MockBody>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<MockBody>, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let mut gathered = gather(request).await?;
            show_certificate(&shared, gathered.request());
            if shared.is_elsewhere(gathered.request()) {
                return Err(shared.refuse_elsewhere(gathered.request()));
            }
            gathered.respond(&shared).await
        })
    }
}

impl fmt::Debug for MockTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MockTransport").field(&self.0.origin).finish()
    }
}

/// Makes the certificate that came along the one of the connection, if that has one.
#[cfg(feature = "tls")]
fn show_certificate(shared: &Shared, request: &mut Request<Bytes>) {
    let shown = request.extensions_mut().remove::<crate::ClientCertificate>();
    if let Some(certificate) = shown.filter(|_| shared.is_mtls(request.uri())) {
        request.extensions_mut().insert(certificate.peer());
    }
}

#[cfg(not(feature = "tls"))]
fn show_certificate(_: &Shared, _: &mut Request<Bytes>) {}

/// A request with its body, if that is not too long.
pub(crate) enum Gathered {
    Whole(Request<Bytes>),
    /// Without its body.
    TooLarge(Request<Bytes>),
}

impl Gathered {
    fn request(&mut self) -> &mut Request<Bytes> {
        match self {
            Self::Whole(request) | Self::TooLarge(request) => request,
        }
    }

    /// The response of the server.
    pub(crate) async fn respond(self, shared: &Arc<Shared>) -> Result<Response<MockBody>, TransportError> {
        match self {
            Self::Whole(request) => shared.response(request).await,
            Self::TooLarge(request) => {
                let why = "the body is longer than one MiB\n";
                shared.refused(request, StatusCode::PAYLOAD_TOO_LARGE, why).await
            }
        }
    }
}

/// Reads a request's body whole.
pub(crate) async fn gather<B>(request: Request<B>) -> Result<Gathered, TransportError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let mut body = std::pin::pin!(body);
    let (mut taken, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| TransportError::RequestBody)?;
        let Ok(bytes) = frame.into_data() else { continue };
        length = length.saturating_add(bytes.len());
        if length > MAX_REQUEST {
            taken = Vec::new();
        } else {
            taken.extend_from_slice(&bytes);
        }
        if length > MAX_DROPPED {
            break;
        }
    }
    Ok(if length > MAX_REQUEST {
        Gathered::TooLarge(Request::from_parts(parts, Bytes::new()))
    } else {
        Gathered::Whole(Request::from_parts(parts, taken.into()))
    })
}
