use std::error::Error;

use axum07::{Router, routing::get}; // axum 0.7: the one that jwt-authorizer is for
use jwt_authorizer::{Authorizer, IntoLayer, JwtAuthorizer, JwtClaims, Validation};
use serde::Deserialize;

#[derive(Clone, Deserialize)]
struct User {
    sub: String,
    #[serde(default)]
    scope: String,
}

async fn orders(JwtClaims(user): JwtClaims<User>) -> String {
    format!("orders of {}", user.sub)
}

pub async fn app() -> Result<Router, Box<dyn Error>> {
    let authorizer: Authorizer<User> = JwtAuthorizer::from_oidc("https://auth.example.com")
        .validation(Validation::new().iss(&["https://auth.example.com"]).aud(&["orders-api"]))
        .check(|user: &User| user.scope.split(' ').any(|scope| scope == "orders:read"))
        .build()
        .await?;
    Ok(Router::new().route("/orders", get(orders)).layer(authorizer.into_layer()))
}
