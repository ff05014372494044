//! What people and their clients meet: devices, and answers with a flaw.

use super::routes::{Order, Refusal, Reply, done};
use crate::settings::{Mistakes, read_flaw};

pub(super) fn decide_device(order: &Order<'_>) -> Reply {
    let (code, user) = order.read(|fields| (fields.required("user_code"), fields.text("user")))?;
    match order.shared.decide_device(&code, user.as_deref()) {
        Ok(()) => done(),
        Err(problem) => Err(Refusal::Bad(Mistakes::one("user_code", problem))),
    }
}

pub(super) fn add_flaw(order: &Order<'_>) -> Reply {
    let (flaw, times) = order.read(read_flaw)?;
    order.shared.flaws.add(flaw, times);
    done()
}

pub(super) fn clear_flaws(order: &Order<'_>) -> Reply {
    order.shared.flaws.clear();
    done()
}
