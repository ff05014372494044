//! The server as a whole: state, time, faults.

use http::StatusCode;
use serde_json::{Value, json};

use super::keys;
use super::routes::{Order, Refusal, Reply, done, ok};
use crate::dpop::DpopNonce;
use crate::endpoint::Endpoint;
use crate::providers::Provider;
use crate::rules::faults::Rule;
use crate::rules::tampers::Tamper;
use crate::settings::{Fields, read_fault, read_when, show_client, show_fault, show_token_rule, show_user};
use crate::shared::{Issuer, Shared};

pub(super) fn health(_: &Order<'_>) -> Reply {
    ok(json!({"status": "ok"}))
}

pub(super) fn state(order: &Order<'_>) -> Reply {
    let shared = order.shared;
    ok(json!({
        "version": 1,
        "program": concat!("oauth-mock ", env!("CARGO_PKG_VERSION")),
        "url": shared.origin,
        "provider": provider(shared),
        "provider_failures": provider_failures(shared),
        "paused": *shared.paused.borrow(),
        "clock": time(shared),
        "audiences": shared.audiences,
        "issuers": shared.issuers.iter().map(|issuer| show_issuer(shared, issuer)).collect::<Vec<_>>(),
        "clients": shared.clients().iter().map(|client| show_client(client)).collect::<Vec<_>>(),
        "users": shared.users().iter().map(|user| show_user(user)).collect::<Vec<_>>(),
        "faults": shared.faults.list().iter().map(show_fault).collect::<Vec<_>>(),
        "claims": shared.token_rules.all().iter().map(show_token_rule).collect::<Vec<_>>(),
        "scenarios": shared.scenarios.list(),
        "gates": shared.gates.closed(),
        "flaws": show_tampers(shared),
        "all_flaws": Tamper::ALL.iter().map(|tamper| tamper.as_str()).collect::<Vec<_>>(),
    }))
}

fn show_issuer(shared: &Shared, issuer: &Issuer) -> Value {
    let mut endpoints = serde_json::Map::new();
    let served = |endpoint: &Endpoint| match shared.personality {
        Some(_) => shared.routes().iter().any(|route| route.endpoint == *endpoint),
        None => endpoint.is_served(),
    };
    for endpoint in Endpoint::all().filter(served) {
        let url = format!("{}{}", shared.origin, endpoint.path(&issuer.name, shared.routes()));
        endpoints.insert(endpoint.as_str().to_owned(), url.into());
    }
    json!({"name": issuer.name, "issuer": issuer.url, "endpoints": endpoints, "keys": keys::show(&issuer.keys)})
}

fn provider(shared: &Shared) -> Option<&'static str> {
    let own = shared.personality?;
    let played = Provider::ALL.iter().find(|provider| std::ptr::eq(provider.personality(), own));
    played.map(|provider| provider.name())
}

fn provider_failures(shared: &Shared) -> Vec<&'static str> {
    let failures = shared.personality.map_or_else(Vec::new, |personality| (personality.failures)());
    failures.iter().map(|failure| failure.name()).collect()
}

pub(super) fn reset(order: &Order<'_>) -> Reply {
    order.read(|_| ())?;
    order.shared.reset();
    done()
}

pub(super) fn pause(order: &Order<'_>) -> Reply {
    order.read(|_| ())?;
    order.shared.paused.send_replace(true);
    done()
}

pub(super) fn resume(order: &Order<'_>) -> Reply {
    order.read(|_| ())?;
    order.shared.paused.send_replace(false);
    done()
}

pub(super) fn clock(order: &Order<'_>) -> Reply {
    ok(json!({"now": time(order.shared)}))
}

pub(super) fn set_clock(order: &Order<'_>) -> Reply {
    let (set, advance, step, stop) = order.read(|fields| {
        // Counted before they are read: a value of another kind is a mistake of its own, and not one that is missing.
        let mut orders = ["set", "advance", "step", "stop"].into_iter().filter(|name| fields.has(name)).count();
        let (set, advance, step) = (fields.count("set"), forward(fields), fields.integer("step"));
        let stop = fields.flag("stop");
        orders -= usize::from(stop == Some(false));
        if orders != 1 {
            let problem = "one of `set` (Unix seconds), `advance` (seconds), `step` (seconds, also negative) and `stop` (true) \
                           is needed";
            fields.mistake("", problem);
        }
        (set, advance, step, stop.unwrap_or(false))
    })?;
    let clock = &order.shared.clock;
    if let Some(unix) = set {
        clock.set(unix);
    }
    if let Some(seconds) = advance {
        clock.advance(std::time::Duration::from_secs(seconds));
    }
    if let Some(seconds) = step {
        clock.step(seconds);
    }
    if stop {
        clock.stop();
    }
    self::clock(order)
}

/// `advance` goes forward only; a caller who wants to go back is shown the way.
fn forward(fields: &Fields<'_>) -> Option<u64> {
    let seconds = u64::try_from(fields.integer("advance")?);
    if seconds.is_err() {
        fields.mistake("advance", "seconds, a number that is not negative is needed; use `step` to go back");
    }
    seconds.ok()
}

fn time(shared: &Shared) -> i64 {
    shared.clock.now_unix()
}

pub(super) fn faults(order: &Order<'_>) -> Reply {
    ok(json!({"faults": order.shared.faults.list().iter().map(show_fault).collect::<Vec<_>>()}))
}

pub(super) fn add_fault(order: &Order<'_>) -> Reply {
    let rule = order.read(|fields| read_fault(fields, &order.shared.gates))?;
    added(order.shared, rule)
}

fn added(shared: &Shared, rule: Rule) -> Reply {
    let id = shared.faults.add(rule.clone());
    Ok((StatusCode::CREATED, show_fault(&Rule { id, ..rule })))
}

pub(super) fn clear_faults(order: &Order<'_>) -> Reply {
    order.shared.faults.clear();
    order.shared.tampers.clear();
    done()
}

pub(super) fn remove_fault(order: &Order<'_>) -> Reply {
    match order.name.parse().is_ok_and(|id| order.shared.faults.remove(id)) {
        true => done(),
        false => Err(Refusal::NoSuch(format!("there is no fault {}; GET /v1/faults lists them", order.name))),
    }
}

pub(super) fn provider_failure(order: &Order<'_>) -> Reply {
    let shared = order.shared;
    let failures = shared.personality.map_or_else(Vec::new, |personality| (personality.failures)());
    let rule = order.read(|fields: &Fields<'_>| {
        let name = fields.required("name");
        let when = read_when(fields);
        let failure = failures.iter().find(|failure| failure.name() == name);
        if failure.is_none() && !name.is_empty() {
            fields.mistake("name", unknown_failure(shared, &name));
        }
        failure.map(|failure| {
            Rule::new(failure.endpoint(), failure.fault_with(shared.undocumented_status), when)
        })
    })?;
    match rule {
        Some(rule) => added(shared, rule),
        None => done(),
    }
}

/// Why there is no such failure, and what there is.
fn unknown_failure(shared: &Shared, name: &str) -> String {
    let names = provider_failures(shared);
    match shared.personality {
        None => format!(
            "{name:?} is unknown: this server plays no provider; start it with `provider` in the configuration"
        ),
        Some(_) if names.is_empty() => format!("{name:?} is unknown: the provider documents no failures"),
        Some(_) => {
            format!("{name:?} is unknown; the documented failures of this server are: {}", names.join(", "))
        }
    }
}

fn show_tampers(shared: &Shared) -> Vec<Value> {
    shared
        .tampers
        .list()
        .iter()
        .map(|(tamper, left)| json!({"flaw": tamper.as_str(), "left": left}))
        .collect()
}

pub(super) fn tampers(order: &Order<'_>) -> Reply {
    ok(json!({"flaws": show_tampers(order.shared)}))
}

pub(super) fn gates(order: &Order<'_>) -> Reply {
    ok(json!({"gates": order.shared.gates.closed()}))
}

pub(super) fn open_gate(order: &Order<'_>) -> Reply {
    match order.shared.gates.open(&order.name) {
        true => done(),
        false => Err(Refusal::NoSuch(format!(
            "there is no closed gate {:?}; GET /v1/gates lists them",
            order.name
        ))),
    }
}

pub(super) fn dpop_nonces(order: &Order<'_>) -> Reply {
    let (server, api) = order.read(|fields| {
        let nonce = |name| fields.choice(name, &DpopNonce::NAMES);
        (nonce("server"), nonce("api"))
    })?;
    let dpop = &order.shared.dpop;
    if let Some(wanted) = server {
        dpop.set_nonce(wanted);
    }
    if let Some(wanted) = api {
        dpop.set_api_nonce(wanted);
    }
    dpop.change_nonces();
    done()
}
