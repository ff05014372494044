//! The control port on its socket.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
    ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::guard::Guard;
use super::routes;
use crate::response::MockResponse;
use crate::settings::Mistakes;
use crate::shared::Shared;
use crate::transport::gather;

/// Accepts until the task is aborted; that ends every connection too.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, guard: Guard) {
    let guard = Arc::new(guard);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (shared, guard) = (Arc::clone(&shared), Arc::clone(&guard));
                    let service = service_fn(move |request| {
                        let (shared, guard) = (Arc::clone(&shared), Arc::clone(&guard));
                        async move { Ok::<_, Infallible>(respond(&shared, &guard, request).await) }
                    });
                    let connection = http1::Builder::new()
                        .header_read_timeout(None)
                        .serve_connection(TokioIo::new(stream), service);
                    connections.spawn(async move {
                        // A client that breaks the protocol ends its own connection and nothing else.
                        let _ = connection.await;
                    });
                }
                // Out of file descriptors, most likely: others must get a chance to close theirs.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn respond(shared: &Arc<Shared>, guard: &Guard, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let response = match gather(request).await {
        Ok(request) => response(shared, guard, &request).await,
        Err(_) => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, &Mistakes::one("", "the body is longer than one MiB"))
        }
    };
    // Secrets are shown here, and nothing of it stays true for long.
    let response = response.with(CACHE_CONTROL, "no-store").with(VARY, ORIGIN.as_str());
    let body = Full::new(response.body.clone());
    response.into_http(body)
}

async fn response(shared: &Arc<Shared>, guard: &Guard, request: &Request<Bytes>) -> MockResponse {
    let page = match guard.admit(request) {
        Ok(page) => page,
        Err((header, problem)) => return refuse(StatusCode::FORBIDDEN, &Mistakes::one(header, problem)),
    };
    let response = if request.method() == Method::OPTIONS {
        MockResponse::empty(StatusCode::NO_CONTENT)
            .with(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE")
            .with(ACCESS_CONTROL_ALLOW_HEADERS, "content-type")
    } else {
        routes::serve(shared, request).await
    };
    match page {
        Some(origin) => response.with(ACCESS_CONTROL_ALLOW_ORIGIN, &origin),
        None => response,
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
