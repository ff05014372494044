//! The keys `dpop` and `dpop_key`.

use super::problem;
use super::tree::Table;
use crate::authenticate::ClientAuth;
use crate::dpop::Dpop;
use crate::error::Problem;
use crate::sign::SigningKey;

/// The key that tokens are bound to, if they are.
pub(super) fn dpop(table: Table<'_>, auth: Option<&ClientAuth>, problems: &mut Vec<Problem>) -> Option<Dpop> {
    if !table.flag("dpop") {
        if table.has("dpop_key") {
            problems
                .push(problem("dpop_key", "is given, but dpop is not true; set dpop = true, or remove it"));
        }
        return None;
    }
    let dpop = match table.secret("dpop_key", problems) {
        Some(text) => SigningKey::from_text(text.expose()).map(Dpop::with_key),
        // What cannot be read has been reported.
        None if table.has("dpop_key") => return None,
        None => {
            outlives(table, auth, problems);
            Dpop::generate()
        }
    };
    dpop.map_err(|error| {
        problems.extend(error.problems().iter().map(|found| problem("dpop_key", &found.message)));
    })
    .ok()
}

/// Tokens in a store outlive a key that is made at each start.
fn outlives(table: Table<'_>, auth: Option<&ClientAuth>, problems: &mut Vec<Problem>) {
    if !matches!(
        table.table("store").and_then(|store| store.text("kind")),
        Some("file" | "keyring" | "redis")
    ) {
        return;
    }
    if auth.is_some_and(|auth| auth.method_name() == "none") {
        problems.push(problem(
            "dpop_key",
            "is missing; without a secret the refresh token in the store is bound to the key, and a key made at each start would lose the login: give dpop_key = { file = \"dpop.pem\" }",
        ));
    } else {
        tracing::warn!(
            target: "oauth_client",
            "tokens are kept and bound to a key that is made at each start, so that each start gets new ones; give dpop_key to keep both"
        );
    }
}
