//! The router: the handlers behind the guard, and around both what every request needs.

use axum::extract::{DefaultBodyLimit, Request};
use axum::{Router, middleware};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, Method, StatusCode};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing::{Span, field};

use crate::measure;
use crate::orders;
use crate::problem::{self, Problem};
use crate::service::Service;
use crate::settings::{Settings, SettingsError};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest body that a handler reads.
const MAX_BODY: usize = 64 * 1024;

/// The API.
///
/// # Errors
/// An allowed origin is none.
pub fn app(service: Service, settings: &Settings) -> Result<Router, SettingsError> {
    // One layer for all routes. `default_access = "deny"` closes what has no rule, unknown paths included.
    let guarded = orders::routes().fallback(not_found).layer(service.guard().layer());
    let open = service.guard().metadata_router().merge(service.guard().revocation_routes());
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(settings.origins()?))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, REQUEST_ID])
        // So that a page can read why it was rejected, and say which request it was.
        .expose_headers([WWW_AUTHENTICATE, REQUEST_ID]);
    let timeout = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, settings.request_timeout());
    // From the outside in.
    let outermost = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(TraceLayer::new_for_http().make_span_with(span));
    // Each layer is around those before it. CORS answers preflight requests, which have no token, before the guard sees them.
    let app = guarded
        .merge(open)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(timeout)
        .layer(cors)
        .layer(CatchPanicLayer::new())
        .layer(middleware::map_response(problem::complete))
        .layer(middleware::from_fn(measure::requests))
        .layer(outermost);
    Ok(app.with_state(service))
}

/// The path alone: a query can hold what belongs in no log.
fn span(request: &Request) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        id = id.map(field::display)
    )
}

async fn not_found() -> Problem {
    Problem { status: StatusCode::NOT_FOUND, code: "not_found", title: "There is nothing at this path." }
}
