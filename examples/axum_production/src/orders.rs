//! The handlers. Who may call them is in guard.toml; here is what they do, for the tenant that the token names.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use oauth_guard::Claims;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::service::{Caller, Service};

/// An order.
#[derive(Clone, Debug, Serialize)]
pub struct Order {
    id: u64,
    item: String,
    /// Who ordered: the token's subject.
    by: Option<String>,
}

/// What a caller sends.
#[derive(Debug, Deserialize)]
struct NewOrder {
    item: String,
}

/// The orders of all tenants. In place of a database.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<RwLock<BTreeMap<String, Vec<Order>>>>);

impl Orders {
    fn of(&self, tenant: &str) -> Vec<Order> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned().unwrap_or_default()
    }

    fn change<T>(&self, tenant: &str, change: impl FnOnce(&mut Vec<Order>) -> T) -> T {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(tenant.to_owned()).or_default())
    }
}

pub(crate) fn routes() -> Router<Service> {
    Router::new().route("/orders", get(list).post(create)).route("/orders/{id}", delete(cancel))
}

async fn list(State(service): State<Service>, claims: Claims<Caller>) -> Json<Vec<Order>> {
    Json(service.orders().of(&claims.custom().tenant))
}

async fn create(
    State(service): State<Service>,
    claims: Claims<Caller>,
    Json(new): Json<NewOrder>,
) -> (StatusCode, Json<Order>) {
    let order = service.orders().change(&claims.custom().tenant, |orders| {
        let id = orders.last().map_or(1, |last| last.id + 1);
        let order = Order { id, item: new.item, by: claims.subject().map(str::to_owned) };
        orders.push(order.clone());
        order
    });
    (StatusCode::CREATED, Json(order))
}

async fn cancel(
    State(service): State<Service>,
    claims: Claims<Caller>,
    Path(id): Path<u64>,
) -> Result<StatusCode, Problem> {
    let is_found = service.orders().change(&claims.custom().tenant, |orders| {
        let before = orders.len();
        orders.retain(|order| order.id != id);
        orders.len() < before
    });
    let missing =
        Problem { status: StatusCode::NOT_FOUND, code: "not_found", title: "There is no such order." };
    if is_found { Ok(StatusCode::NO_CONTENT) } else { Err(missing) }
}
