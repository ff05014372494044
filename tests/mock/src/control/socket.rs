//! The control port on its socket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
    ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::guard::Guard;
use super::journal::Pieces;
use super::routes::{self, Served};
use crate::settings::Mistakes;
use crate::shared::Shared;
use crate::wire::http1::{self, check_host};
use crate::wire::response::MockResponse;
use crate::wire::transport::{Gathered, gather};

/// Accepts until the task is aborted; that ends every connection too.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, guard: Guard) {
    let guard = Arc::new(guard);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = http1::accept(&listener) => {
                let (shared, guard) = (Arc::clone(&shared), Arc::clone(&guard));
                let service = service_fn(move |request| {
                    let (shared, guard) = (Arc::clone(&shared), Arc::clone(&guard));
                    async move { Ok::<_, Infallible>(respond(&shared, &guard, request).await) }
                });
                let connection = server::http1::Builder::new()
                    .header_read_timeout(None)
                    .serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move {
                    // A client that breaks the protocol ends its own connection and nothing else.
                    let _ = connection.await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A body that is whole, or made piece by piece as it is sent.
type ControlBody = Either<Full<Bytes>, PieceBody>;

async fn respond(shared: &Arc<Shared>, guard: &Guard, request: Request<Incoming>) -> Response<ControlBody> {
    let (response, pieces) = match (check_host(&request), gather(request).await) {
        (Err(why), _) => (refuse(StatusCode::BAD_REQUEST, &Mistakes::one("Host", why.trim_end())), None),
        (Ok(()), Ok(Gathered::Whole(request))) => response(shared, guard, &request).await,
        (Ok(()), Ok(Gathered::TooLarge(_)) | Err(_)) => {
            let mistake = Mistakes::one("", "the body is longer than one MiB");
            (refuse(StatusCode::PAYLOAD_TOO_LARGE, &mistake), None)
        }
    };
    // Secrets are shown here, and nothing of it stays true for long.
    let response = response.with(CACHE_CONTROL, "no-store").with(VARY, ORIGIN.as_str());
    let body = match pieces {
        None => Either::Left(Full::new(response.body.clone())),
        Some(pieces) => Either::Right(PieceBody { left: pieces.length(), pieces }),
    };
    response.into_http(body)
}

async fn response(shared: &Arc<Shared>, guard: &Guard, request: &Request<Bytes>) -> Served {
    let page = match guard.admit(request) {
        Ok(page) => page,
        Err((header, problem)) => {
            return (refuse(StatusCode::FORBIDDEN, &Mistakes::one(header, problem)), None);
        }
    };
    let (response, pieces) = if request.method() == Method::OPTIONS {
        let response = MockResponse::empty(StatusCode::NO_CONTENT)
            .with(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE")
            .with(ACCESS_CONTROL_ALLOW_HEADERS, "content-type");
        (response, None)
    } else {
        routes::serve(shared, request).await
    };
    match page {
        Some(origin) => (response.with(ACCESS_CONTROL_ALLOW_ORIGIN, &origin), pieces),
        None => (response, pieces),
    }
}

/// The journal, piece by piece.
struct PieceBody {
    pieces: Pieces,
    /// Bytes that are not sent yet.
    left: u64,
}

impl Body for PieceBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        let sent = piece.as_ref().map_or(0, |piece| u64::try_from(piece.len()).unwrap_or(u64::MAX));
        self.left = self.left.saturating_sub(sent);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The one shape of every refusal.
pub(super) fn refuse(status: StatusCode, mistakes: &Mistakes) -> MockResponse {
    let list: Vec<_> = mistakes
        .0
        .iter()
        .map(|mistake| serde_json::json!({"field": mistake.field, "problem": mistake.problem}))
        .collect();
    MockResponse::json(status, &serde_json::json!({"error": mistakes.to_string(), "mistakes": list}))
}
