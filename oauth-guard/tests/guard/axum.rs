//! Claims as axum handlers ask for them.

use ::axum::Router;
use ::axum::body::Body;
use ::axum::routing::get;
use http::{Request, header};
use http_body_util::BodyExt;
use oauth_guard::{Claims, Requirement, Untyped};
use serde::Deserialize;
use tower::ServiceExt;

use crate::support::Stage;

#[derive(Deserialize)]
struct Mine {
    tenant: String,
}

async fn ask(router: &Router, path: &str, token: Option<&str>) -> (u16, String) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn subject(claims: Claims) -> String {
    claims.subject().unwrap_or_default().to_owned()
}

async fn perhaps(claims: Option<Claims>) -> String {
    claims.map_or("anonymous".to_owned(), |claims| claims.subject().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn handlers_get_claims_where_a_guard_is_and_500_where_none_is() {
    let stage = Stage::new();
    let guard = stage.guard();
    let router = Router::new()
        .route("/mine", get(subject))
        .route("/write", get(subject).layer(guard.layer().require(Requirement::scope("write"))))
        .layer(guard.layer())
        .route("/public", get(perhaps).layer(guard.layer().optional()))
        .route("/optional", get(subject).layer(guard.layer().optional()))
        .route("/forgotten", get(subject));
    let token = stage.server.mint().subject("ada").scope("read").build();
    let token = Some(token.as_str());
    assert_eq!(ask(&router, "/mine", token).await, (200, "ada".to_owned()));
    assert_eq!(ask(&router, "/mine", None).await.0, 401);
    assert_eq!(ask(&router, "/write", token).await.0, 403);
    assert_eq!(ask(&router, "/public", None).await, (200, "anonymous".to_owned()));
    assert_eq!(ask(&router, "/public", token).await, (200, "ada".to_owned()));
    assert_eq!(ask(&router, "/public", Some("a.b.c")).await.0, 401);
    // Never anonymous access for a handler that was written for somebody.
    assert_eq!(ask(&router, "/optional", None).await.0, 500);
    assert_eq!(ask(&router, "/forgotten", token).await, (500, r#"{"error":"not_guarded"}"#.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn typed_claims_come_with_their_own_guard() {
    let stage = Stage::new();
    let typed = stage.builder().claims::<Mine>().issuer(stage.issuer()).build().unwrap();
    let router = Router::new()
        .route("/", get(async |claims: Claims<Mine>| claims.custom().tenant.clone()))
        .route("/other", get(async |_: Claims<Untyped>| "never"))
        .layer(typed.layer());
    let token = stage.server.mint().claim("tenant", "t1").build();
    assert_eq!(ask(&router, "/", Some(&token)).await, (200, "t1".to_owned()));
    assert_eq!(ask(&router, "/other", Some(&token)).await.0, 500, "claims of another type are not there");
    let misfit = stage.server.mint().build();
    assert_eq!(ask(&router, "/", Some(&misfit)).await.0, 401);
}
