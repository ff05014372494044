//! Claims by condition, and the states of scenarios.

use http::StatusCode;
use serde_json::json;

use super::routes::{Order, Reply, done, ok};
use crate::settings::{read_token_rule, show_token_rule};

pub(super) fn list(order: &Order<'_>) -> Reply {
    let rules: Vec<_> = order.shared.token_rules.all().iter().map(show_token_rule).collect();
    ok(json!({ "claims": rules }))
}

pub(super) fn add(order: &Order<'_>) -> Reply {
    let mut rule = order.read(read_token_rule)?;
    rule.id = order.shared.token_rules.add(rule.clone());
    Ok((StatusCode::CREATED, show_token_rule(&rule)))
}

pub(super) fn clear(order: &Order<'_>) -> Reply {
    order.shared.token_rules.clear();
    done()
}

pub(super) fn scenarios(order: &Order<'_>) -> Reply {
    ok(json!({"scenarios": order.shared.scenarios.list()}))
}

pub(super) fn set_scenario(order: &Order<'_>) -> Reply {
    let state = order.read(|fields| fields.required("state"))?;
    order.shared.scenarios.set(&order.name, &state);
    scenarios(order)
}

pub(super) fn reset_scenarios(order: &Order<'_>) -> Reply {
    order.shared.scenarios.clear();
    done()
}
