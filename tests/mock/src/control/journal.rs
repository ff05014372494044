//! What arrived, and what was expected to.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::routes::{Order, Reply, done, ok};
use crate::endpoint::Endpoint;
use crate::journal::RecordedRequest;
use crate::settings::{Mistakes, endpoints};

/// The longest wait: proxies and test runners give up at about that time, too.
const LONGEST: u64 = 60;

/// Waits as a request for the journal asks (`wait`, in seconds): until there is news after `since`, or until there are
/// `count` requests. Other routes do not wait.
pub(super) async fn wait(order: &Order<'_>, path: &str) -> Result<(), Mistakes> {
    if path != "/v1/journal" {
        return Ok(());
    }
    let (since, count) = (order.number("since")?, order.number("count")?);
    let endpoint = endpoint(order)?;
    let Some(seconds) = order.number("wait")? else { return Ok(()) };
    let journal = &order.shared.journal;
    let arrived = async {
        match (count, since) {
            (Some(count), _) => {
                let mut seen = 0;
                while (shown(order.shared.journal.requests(), endpoint).len() as u64) < count {
                    journal.changed_since(seen).await;
                    seen = journal.since(u64::MAX).1;
                }
            }
            (None, since) => journal.changed_since(since.unwrap_or(0)).await,
        }
    };
    // Too late is no error: the response carries what there is.
    let _ = tokio::time::timeout(Duration::from_secs(seconds.min(LONGEST)), arrived).await;
    Ok(())
}

pub(super) fn list(order: &Order<'_>) -> Reply {
    let (news, revision, oldest) = order.shared.journal.since(order.number("since")?.unwrap_or(0));
    let requests: Vec<_> = shown(news, endpoint(order)?).iter().map(show).collect();
    ok(json!({"revision": revision, "oldest": oldest, "requests": requests}))
}

fn shown(requests: Vec<RecordedRequest>, endpoint: Option<Endpoint>) -> Vec<RecordedRequest> {
    requests.into_iter().filter(|request| endpoint.is_none_or(|wanted| request.endpoint == wanted)).collect()
}

fn show(request: &RecordedRequest) -> Value {
    // Lists of pairs: order and repetition are often what a test is about.
    json!({
        "number": request.number(),
        "endpoint": request.endpoint.as_str(),
        "issuer": request.issuer,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "params": request.params,
        "certificate": request.certificate,
        "at": request.at_unix,
        "fault": request.fault,
        "status": request.status.map(|status| status.as_u16()),
    })
}

fn endpoint(order: &Order<'_>) -> Result<Option<Endpoint>, Mistakes> {
    let Some(name) = order.query("endpoint") else { return Ok(None) };
    let known = endpoints();
    match known.iter().find(|(known, _)| *known == name) {
        Some((_, endpoint)) => Ok(Some(*endpoint)),
        None => {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            Err(Mistakes::one("endpoint", format!("{name:?} is unknown; use one of: {}", names.join(", "))))
        }
    }
}

pub(super) fn clear(order: &Order<'_>) -> Reply {
    order.shared.journal.clear();
    done()
}

pub(super) fn fingerprint(order: &Order<'_>) -> Reply {
    let secret = order.read(|fields| fields.required("secret"))?;
    ok(json!({"fingerprint": order.shared.journal.fingerprint(&secret)}))
}

pub(super) fn expectations(order: &Order<'_>) -> Reply {
    let unmet = order.shared.expectations.unmet(&order.shared.journal);
    ok(json!({"met": unmet.is_none(), "report": unmet.unwrap_or_default()}))
}

pub(super) fn expect(order: &Order<'_>) -> Reply {
    let (endpoint, min, max) = order.read(|fields| {
        let endpoint = fields.required_choice("endpoint", &endpoints());
        let (exactly, at_least, at_most) =
            (fields.size("exactly"), fields.size("at_least"), fields.size("at_most"));
        if exactly.is_some() == (at_least.is_some() || at_most.is_some()) {
            fields.mistake("", "either `exactly`, or one or both of `at_least` and `at_most` are needed");
        }
        (endpoint.unwrap_or(Endpoint::Other), exactly.or(at_least).unwrap_or(0), exactly.or(at_most))
    })?;
    order.shared.expectations.expect(endpoint, min, max);
    Ok((StatusCode::CREATED, json!({})))
}

pub(super) fn clear_expectations(order: &Order<'_>) -> Reply {
    order.shared.expectations.clear();
    done()
}
