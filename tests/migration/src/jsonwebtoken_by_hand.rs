use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router, routing::get};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

#[derive(Clone, Deserialize)]
struct User {
    sub: String,
    #[serde(default)]
    scope: String,
}

async fn guard(State(key): State<DecodingKey>, mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let header = request.headers().get(header::AUTHORIZATION).ok_or(StatusCode::UNAUTHORIZED)?;
    let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&["https://auth.example.com"]);
    validation.set_audience(&["orders-api"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let user = decode::<User>(token.ok_or(StatusCode::UNAUTHORIZED)?, &key, &validation)
        .map_err(|_| StatusCode::UNAUTHORIZED)?
        .claims;
    if !user.scope.split(' ').any(|scope| scope == "orders:read") {
        return Err(StatusCode::FORBIDDEN);
    }
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

async fn orders(Extension(user): Extension<User>) -> String {
    format!("orders of {}", user.sub)
}

// The key is fetched once, at start: after the issuer rotates it, every token is refused.
pub fn app(key: DecodingKey) -> Router {
    Router::new().route("/orders", get(orders)).layer(middleware::from_fn_with_state(key, guard))
}
