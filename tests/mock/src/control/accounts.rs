//! The registered clients and users.

use http::StatusCode;
use serde_json::{Value, json};

use super::routes::{Order, Refusal, Reply, done, ok};
use crate::settings::{Fields, read, read_client, read_user, show_client, show_user};

pub(super) fn clients(order: &Order<'_>) -> Reply {
    let clients = order.shared.clients();
    ok(json!({"clients": clients.iter().map(|client| show_client(client)).collect::<Vec<_>>()}))
}

pub(super) fn set_client(order: &Order<'_>) -> Reply {
    let client = named(order, "client_id", read_client)?;
    let (new, shown) = (order.shared.client(&client.id).is_none(), show_client(&client));
    order.shared.register(client);
    Ok((made(new), shown))
}

pub(super) fn remove_client(order: &Order<'_>) -> Reply {
    match order.shared.remove_client(&order.name) {
        true => done(),
        false => {
            Err(Refusal::NoSuch(format!("there is no client {:?}; GET /v1/clients lists them", order.name)))
        }
    }
}

pub(super) fn users(order: &Order<'_>) -> Reply {
    let users = order.shared.users();
    ok(json!({"users": users.iter().map(|user| show_user(user)).collect::<Vec<_>>()}))
}

pub(super) fn set_user(order: &Order<'_>) -> Reply {
    let user = named(order, "name", read_user)?;
    let (new, shown) = (order.shared.user_named(&user.name).is_none(), show_user(&user));
    order.shared.add_user(user);
    Ok((made(new), shown))
}

pub(super) fn remove_user(order: &Order<'_>) -> Reply {
    match order.shared.remove_user(&order.name) {
        true => done(),
        false => Err(Refusal::NoSuch(format!("there is no user {:?}; GET /v1/users lists them", order.name))),
    }
}

/// Reads the body with the name that the path has; the body may repeat it, and may not contradict it.
fn named<T>(order: &Order<'_>, field: &str, take: impl FnOnce(&Fields<'_>) -> T) -> Result<T, Refusal> {
    let mut body = order.body().clone();
    if let Value::Object(members) = &mut body {
        let name = members.entry(field).or_insert_with(|| order.name.clone().into());
        if *name != order.name {
            let problem = format!("the path says {:?}; leave it out of the body", order.name);
            return Err(Refusal::Bad(crate::settings::Mistakes::one(field, problem)));
        }
    }
    read(body, take).map_err(Refusal::Bad)
}

fn made(new: bool) -> StatusCode {
    if new { StatusCode::CREATED } else { StatusCode::OK }
}
