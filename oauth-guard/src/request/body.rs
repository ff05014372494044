//! Request bodies that the guard may read and hand on: MCP rules compare them with the headers.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use crate::defaults::MCP_BODY_TIMEOUT;
use crate::sync::within;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request, of whatever type it was.
///
/// A guard with [MCP rules](crate::Rule::mcp) reads the bodies of the requests that they are for, and hands on the same
/// bytes. It can do so with this type and, with the feature `axum`, with axum's, so axum needs nothing of this. In other
/// stacks, map the body in front of the guard:
///
/// ```
/// use http::{Request, Response};
/// use oauth_guard::{Guard, Issuer, RequestBody, Requirement, Rule};
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("https://api.example.com/mcp"))
///     .rule(Rule::new("/mcp").mcp("tools/call").require(Requirement::scope("tools")))
///     .build()?;
/// let service = guard.layer().layer(service_fn(async |request: Request<RequestBody>| {
///     # let _ = request;
///     Ok::<_, std::convert::Infallible>(Response::new(String::new()))
/// }));
/// // What hyper gives you.
/// let mut service = service.map_request(|request: Request<hyper::body::Incoming>| request.map(RequestBody::new));
/// # fn is_service<S: Service<Request<hyper::body::Incoming>>>(_: &mut S) {}
/// # is_service(&mut service);
/// # Ok(()) }
/// ```
///
/// With any other type the guard rejects the requests of such rules with 500, and says so in the log.
#[derive(Default)]
pub struct RequestBody {
    /// What was read of it, to be read again.
    data: Bytes,
    trailers: Option<HeaderMap>,
    /// What was not read.
    rest: Option<UnsyncBoxBody<Bytes, Error>>,
}

impl RequestBody {
    /// A body of another type.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        Self { rest: Some(body.map_err(Into::into).boxed_unsync()), ..Self::default() }
    }

    /// Reads it to its end.
    async fn read(self, limit: usize) -> Read {
        // Everything else would be a loss of bytes: it was put together by the guard, or not read yet.
        let Self { data, trailers, rest: Some(mut rest) } = self else {
            let whole = self.data.clone();
            let outcome = if whole.len() > limit { Err(Unread::TooLong) } else { Ok(whole) };
            return Read { body: self, outcome };
        };
        let mut read = Self { data, trailers, rest: None };
        let mut more = Vec::new();
        let outcome = within(MCP_BODY_TIMEOUT, read.gather(&mut rest, &mut more, limit)).await;
        let outcome = outcome.unwrap_or(Err(Unread::TooSlow));
        if !more.is_empty() {
            read.data = more.into();
        }
        if !matches!(outcome, Ok(())) {
            read.rest = Some(rest);
        }
        let whole = read.data.clone();
        Read { outcome: outcome.map(|()| whole), body: read }
    }

    /// A body of one part is not copied. `more` is the whole, as soon as there are several.
    async fn gather(
        &mut self,
        rest: &mut UnsyncBoxBody<Bytes, Error>,
        more: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Unread> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let held = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        // A length that is announced is refused before it is read.
        if rest.size_hint().lower() > limit {
            return Err(Unread::TooLong);
        }
        while let Some(frame) = rest.frame().await {
            match frame.map_err(|_| Unread::Broken)?.into_data() {
                Ok(data) if more.is_empty() && self.data.is_empty() => self.data = data,
                Ok(data) => {
                    if more.is_empty() {
                        more.extend_from_slice(&self.data);
                    }
                    more.extend_from_slice(&data);
                }
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
            if held(self.data.len().max(more.len())) > limit {
                return Err(Unread::TooLong);
            }
        }
        Ok(())
    }
}

/// A body that was read, as it has to be handed on.
pub(crate) struct Read {
    pub(crate) body: RequestBody,
    /// All of it.
    pub(crate) outcome: Result<Bytes, Unread>,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLong,
    TooSlow,
    /// The connection failed: there is nothing to hand on.
    Broken,
}

impl Unread {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::TooLong => "the body is longer than mcp_body_bytes",
            Self::TooSlow => "the body did not arrive in time",
            Self::Broken => "the body ended early",
        }
    }
}

/// The reading of one body.
pub(crate) type Reading = Pin<Box<dyn Future<Output = Read> + Send>>;

/// Begins to read a body, if its type is one that can be made again from what was read.
pub(crate) fn read<B: 'static>(body: &mut B, limit: usize) -> Option<Reading> {
    let body: &mut dyn Any = body;
    if let Some(body) = body.downcast_mut::<RequestBody>() {
        return Some(Box::pin(std::mem::take(body).read(limit)));
    }
    #[cfg(feature = "axum")]
    if let Some(body) = body.downcast_mut::<::axum::body::Body>() {
        return Some(Box::pin(RequestBody::new(std::mem::take(body)).read(limit)));
    }
    None
}

/// Puts a body back from where [`read`] took it.
pub(crate) fn put_back<B: 'static>(place: &mut B, body: RequestBody) {
    let place: &mut dyn Any = place;
    #[cfg(feature = "axum")]
    if let Some(place) = place.downcast_mut::<::axum::body::Body>() {
        *place = ::axum::body::Body::new(body);
        return;
    }
    if let Some(place) = place.downcast_mut::<RequestBody>() {
        *place = body;
    }
}

impl From<Bytes> for RequestBody {
    fn from(data: Bytes) -> Self {
        Self { data, ..Self::default() }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if !this.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.data)))));
        }
        if let Some(rest) = &mut this.rest {
            return Pin::new(rest).poll_frame(context);
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read = u64::try_from(self.data.len()).unwrap_or(u64::MAX);
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(rest.lower().saturating_add(read));
        hint
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
