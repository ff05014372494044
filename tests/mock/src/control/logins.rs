//! What users and their clients meet: devices, questions at the backchannel, and tampered responses.

use super::routes::{Order, Refusal, Reply, done};
use crate::settings::{Mistakes, read_tamper};

pub(super) fn decide_device(order: &Order<'_>) -> Reply {
    let (code, user) = order.read(|fields| (fields.required("user_code"), fields.text("user")))?;
    match order.shared.decide_device(&code, user.as_deref()) {
        Ok(()) => done(),
        Err(problem) => Err(Refusal::Bad(Mistakes::one("user_code", problem))),
    }
}

/// What a user says who is asked by a client at the backchannel (OpenID CIBA 1.0).
pub(super) fn decide_backchannel(order: &Order<'_>) -> Reply {
    let (user, allowed) = order.read(|fields| {
        if !fields.has("allowed") {
            fields.mistake("allowed", "missing: true or false is needed");
        }
        (fields.required("user"), fields.is_set("allowed"))
    })?;
    match order.shared.decide_backchannel(&user, allowed) {
        Ok(()) => done(),
        Err(problem) => Err(Refusal::Bad(Mistakes::one("user", problem))),
    }
}

pub(super) fn add_tamper(order: &Order<'_>) -> Reply {
    let (tamper, times) = order.read(read_tamper)?;
    order.shared.tampers.add(tamper, times);
    done()
}

pub(super) fn clear_tampers(order: &Order<'_>) -> Reply {
    order.shared.tampers.clear();
    done()
}
