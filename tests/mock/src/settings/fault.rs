//! A fault, as it is written: where, what, how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderName;
use http::header::LOCATION;
use serde_json::{Value, json};

use super::matching::{read_match, read_turn, show_condition};
use super::reader::Fields;
use crate::endpoint::Endpoint;
use crate::rules::faults::{Fault, Gate, Rule, When};
use crate::rules::tampers::Tamper;

/// Gates by name, for faults that are written down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gates(Arc<Mutex<BTreeMap<String, Gate>>>);

impl Gates {
    /// The gate of this name, closed if it is new.
    pub(crate) fn named(&self, name: &str) -> Gate {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(name.to_owned()).or_default().clone()
    }

    /// Opens a gate for good; the next one of this name is another. Whether there was one.
    pub(crate) fn open(&self, name: &str) -> bool {
        let gate = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        gate.inspect(Gate::open).is_some()
    }

    /// Opens every gate: what they hold back goes on, and the next ones of their names are others.
    pub(crate) fn open_all(&self) {
        let gates = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        gates.values().for_each(Gate::open);
    }

    /// The names of the closed gates.
    pub(crate) fn closed(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

type Make = fn(&Fields<'_>, &Gates) -> Fault;

const KINDS: &[(&str, Make)] = &[
    ("status", |fields, _| {
        if !fields.has("status") {
            fields.mistake("status", "missing: the HTTP status of the response, 503 for example");
        }
        let status = fields.status("status");
        Fault::status(status.unwrap_or(500))
    }),
    ("body", |fields, _| {
        let content_type = fields.text("content_type").unwrap_or_default();
        let body = match fields.value("body") {
            Some(Value::String(text)) => text,
            Some(json) => json.to_string(),
            None => String::new(),
        };
        Fault::body(fields.status("status").unwrap_or(200), &content_type, body)
    }),
    ("html_ok", |_, _| Fault::html_ok()),
    ("redirect", |fields, _| {
        let status = fields.status("status").unwrap_or(302);
        Fault::status(status).header(LOCATION, fields.required("location"))
    }),
    ("delay", |fields, _| Fault::delay(pause(fields))),
    ("hold", |fields, gates| {
        let name = fields.required("gate");
        Fault::hold(&gates.named(&name)).at_gate(name)
    }),
    ("hang", |_, _| Fault::hang()),
    ("reset", |_, _| Fault::reset()),
    ("lost_response", |_, _| Fault::lost_response()),
    ("drip", |fields, _| Fault::drip(pause(fields))),
    ("hang_mid_body", |_, _| Fault::hang_mid_body()),
    ("reset_mid_body", |_, _| Fault::reset_mid_body()),
    ("truncated", |_, _| Fault::truncated()),
    ("malformed_json", |_, _| Fault::malformed_json()),
    ("oversized", |fields, _| Fault::oversized(bytes(fields))),
    ("gzip_bomb", |fields, _| Fault::gzip_bomb(bytes(fields))),
    ("content_type", |fields, _| Fault::content_type(&fields.required("content_type"))),
    ("pass", |_, _| Fault::pass()),
    // Changes nothing by itself: for what may be added to any fault.
    ("headers", |_, _| Fault::delay(Duration::ZERO)),
];

/// Names from before, with today's: what is written with them goes on working.
const FORMER_NAMES: [(&str, &str); 1] = [("lost_answer", "lost_response")];

/// Those that only some kinds have.
const OWN_FIELDS: [&str; 7] = ["status", "body", "content_type", "location", "gate", "seconds", "bytes"];

/// More than a response may grow to here: the server builds it in memory.
const MOST_BYTES: usize = 256 << 20;

/// Reads a fault with its endpoint and how often it happens.
pub(crate) fn read_fault(fields: &Fields<'_>, gates: &Gates) -> Rule {
    let endpoint = fields.required_choice("endpoint", &endpoints());
    fields.rename("fault", &FORMER_NAMES);
    let make = fields.required_choice("fault", KINDS);
    let mut fault = make.map_or_else(
        || {
            // The fields of an unknown kind are unknown too; they are not reported as well.
            OWN_FIELDS.into_iter().for_each(|name| drop(fields.value(name)));
            Fault::reset()
        },
        |make| make(fields, gates),
    );
    if let Some(seconds) = fields.count("retry_after") {
        fault = fault.retry_after_secs(seconds);
    }
    if let Some(from_now) = fields.seconds("retry_after_date") {
        fault = fault.retry_after_date(from_now);
    }
    for (name, value) in fields.object("headers").unwrap_or_default() {
        match (HeaderName::try_from(&name), value.as_str()) {
            (Ok(header), Some(text)) => fault = fault.header(header, text),
            (Err(_), _) => fields.mistake("headers", format!("{name:?} is no name of a header")),
            (_, None) => fields.mistake("headers", format!("{name}: a string is needed")),
        }
    }
    if let Some(time) = fields.seconds("after") {
        fault = fault.after(time);
    }
    let rule = Rule::new(endpoint.unwrap_or(Endpoint::Other), fault, read_when(fields));
    Rule { matching: read_match(fields), turn: read_turn(fields), ..rule }
}

/// `times`, `on_call`, or neither of them: always.
pub(crate) fn read_when(fields: &Fields<'_>) -> When {
    match (positive(fields, "times", NEVER), positive(fields, "on_call", FIRST)) {
        (Some(times), None) => When::Times(times),
        (None, Some(call)) => When::OnCall(call),
        (None, None) => When::Always,
        (Some(_), Some(_)) => {
            fields.mistake("on_call", "`times` and `on_call` exclude each other; leave one of them out");
            When::Always
        }
    }
}

/// Reads a tamper and how often it applies; `None`: always.
pub(crate) fn read_tamper(fields: &Fields<'_>) -> (Tamper, Option<usize>) {
    let names: Vec<_> = Tamper::ALL.iter().map(|tamper| (tamper.as_str(), *tamper)).collect();
    let tamper = fields.required_choice("flaw", &names);
    (tamper.unwrap_or(Tamper::IssMissing), positive(fields, "times", NEVER))
}

const NEVER: &str = "at least 1: with 0 it would never happen; leave it out for always";
const FIRST: &str = "at least 1, which is the next request";

/// A number of requests. One of 0 would be accepted and then do nothing.
fn positive(fields: &Fields<'_>, name: &'static str, needed: &str) -> Option<usize> {
    let number = fields.size(name);
    if number == Some(0) {
        fields.mistake(name, needed);
    }
    number
}

/// A fault in force, in a readable form.
pub(crate) fn show_fault(rule: &Rule) -> Value {
    let mut shown = json!({
        "id": rule.id,
        "endpoint": rule.endpoint.as_str(),
        "fault": rule.fault.name(),
        "seen": rule.seen,
    });
    match rule.when {
        When::Times(left) => shown["left"] = json!(left),
        When::OnCall(call) => {
            shown["on_call"] = json!(call);
            shown["left"] = json!(usize::from(rule.seen < call));
        }
        When::Always => {}
    }
    show_condition(&mut shown, &rule.matching, rule.turn.as_ref());
    shown
}

pub(crate) fn endpoints() -> Vec<(&'static str, Endpoint)> {
    Endpoint::all().map(|endpoint| (endpoint.as_str(), endpoint)).collect()
}

fn pause(fields: &Fields<'_>) -> Duration {
    let there = fields.has("seconds");
    let pause = fields.seconds("seconds");
    if !there {
        fields.mistake("seconds", "missing: how long, 0.5 for half a second");
    }
    pause.unwrap_or_default()
}

fn bytes(fields: &Fields<'_>) -> usize {
    let there = fields.has("bytes");
    let bytes = fields.size("bytes");
    if !there {
        fields.mistake("bytes", "missing: how large, 10000000 for ten megabytes");
    }
    if bytes.is_some_and(|bytes| bytes > MOST_BYTES) {
        fields.mistake("bytes", format!("at most {MOST_BYTES}"));
    }
    bytes.unwrap_or_default().min(MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::reader::read;

    fn rule(document: Value) -> Result<Rule, String> {
        read(document, |fields| read_fault(fields, &Gates::default()))
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn every_kind_can_be_written() {
        for (kind, _) in KINDS {
            let mut document = json!({"endpoint": "token", "fault": kind, "times": 2, "after": 0.1});
            let own = match *kind {
                "status" => vec![("status", json!(503)), ("retry_after", json!(3))],
                "body" => vec![("body", json!({"error": "x"})), ("content_type", json!("application/json"))],
                "redirect" => vec![("location", json!("http://127.0.0.1/"))],
                "delay" | "drip" => vec![("seconds", json!(0.5))],
                "hold" => vec![("gate", json!("g"))],
                "oversized" | "gzip_bomb" => vec![("bytes", json!(1000))],
                "content_type" => vec![("content_type", json!("text/plain"))],
                "headers" => vec![("headers", json!({"x-test": "1"}))],
                _ => vec![],
            };
            for (name, value) in own {
                document[name] = value;
            }
            let rule = rule(document).unwrap();
            assert_eq!(
                (rule.endpoint, show_fault(&rule)["left"].as_u64()),
                (Endpoint::Token, Some(2)),
                "{kind}"
            );
        }
    }

    #[test]
    fn mistakes_name_the_field_and_the_way_out() {
        let reported =
            rule(json!({"endpoint": "tokn", "fault": "status", "times": 1, "on_call": 1})).unwrap_err();
        assert!(
            reported.contains("endpoint: \"tokn\" is unknown; use one of: oauth_metadata, "),
            "{reported}"
        );
        assert!(reported.contains("status: missing: the HTTP status"), "{reported}");
        assert!(reported.contains("on_call: `times` and `on_call` exclude each other"), "{reported}");
        let reported = rule(json!({"endpoint": "jwks", "fault": "stats", "status": 503})).unwrap_err();
        assert!(
            reported.starts_with("fault: \"stats\" is unknown; use one of: status, ")
                && !reported.contains('\n'),
            "{reported}"
        );
        let reported =
            rule(json!({"endpoint": "jwks", "fault": "oversized", "bytes": 1e18 as u64})).unwrap_err();
        assert_eq!(reported, format!("bytes: at most {MOST_BYTES}"));
        let reported = rule(json!({"fault": "delay", "headers": {"a b": "c", "d": 1}})).unwrap_err();
        assert_eq!(reported.lines().count(), 4, "{reported}");
    }

    #[test]
    fn a_former_name_is_read_as_todays() {
        for (former, name) in FORMER_NAMES {
            let [old, new] = [former, name].map(|kind| rule(json!({"endpoint": "token", "fault": kind})));
            assert_eq!(show_fault(&old.unwrap()), show_fault(&new.unwrap()), "{former}");
        }
        let reported = rule(json!({"endpoint": "token", "fault": "x"})).unwrap_err();
        assert!(reported.contains("lost_response") && !reported.contains("lost_answer"), "{reported}");
    }

    #[test]
    fn what_would_never_happen_is_a_mistake() {
        for (name, needed) in [("times", NEVER), ("on_call", FIRST)] {
            let mut document = json!({"endpoint": "token", "fault": "reset"});
            document[name] = json!(0);
            assert_eq!(rule(document).unwrap_err(), format!("{name}: {needed}"));
        }
        let flaw = read(json!({"flaw": "iss_wrong", "times": 0}), read_tamper);
        assert_eq!(flaw.unwrap_err().to_string(), format!("times: {NEVER}"));
    }

    #[test]
    fn null_is_as_if_the_field_were_left_out() {
        let reported = rule(json!({"endpoint": "token", "fault": "status", "status": null})).unwrap_err();
        assert!(reported.starts_with("status: missing"), "{reported}");
        assert!(
            rule(json!({"endpoint": null, "fault": "reset"})).unwrap_err().starts_with("endpoint: missing")
        );
    }

    #[test]
    fn an_opened_gate_is_gone_and_lets_through() {
        let gates = Gates::default();
        gates.named("a");
        assert_eq!(gates.closed(), ["a"]);
        assert!(gates.open("a") && !gates.open("a") && gates.closed().is_empty());
    }
}
