//! What arrived, and what was expected to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::routes::{Order, Reply, done, ok};
use crate::endpoint::Endpoint;
use crate::journal::RecordedRequest;
use crate::settings::{Mistakes, endpoints, read_match};

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
                while (journal.total(endpoint) as u64) < count {
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

/// The journal as it was when it was asked for, written piece by piece: all of it as one text would be several times
/// what the journal itself takes.
#[derive(Clone)]
pub(super) struct Pieces {
    requests: VecDeque<Arc<RecordedRequest>>,
    revision: u64,
    oldest: u64,
    total: usize,
    began: bool,
    ended: bool,
}

impl Pieces {
    /// How many bytes all of them have. They are made twice for it, and let go: a client learns beforehand how much
    /// comes, and whether it has all.
    pub(super) fn length(&self) -> u64 {
        self.clone().map(|piece| u64::try_from(piece.len()).unwrap_or(u64::MAX)).sum()
    }
}

/// Bytes of a piece, about.
const PIECE: usize = 64 << 10;

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut text = String::new();
        if !self.began {
            let Self { revision, oldest, total, .. } = self;
            text = format!(r#"{{"revision":{revision},"oldest":{oldest},"total":{total},"requests":["#);
        }
        while text.len() < PIECE
            && let Some(request) = self.requests.pop_front()
        {
            if self.began {
                text.push(',');
            }
            self.began = true;
            text.push_str(&show(&request).to_string());
        }
        if self.requests.is_empty() {
            self.ended = true;
            text.push_str("]}");
        }
        Some(text.into())
    }
}

/// Nothing calls it: [`pieces`] is what this route says.
pub(super) fn never(_: &Order<'_>) -> Reply {
    done()
}

pub(super) fn pieces(order: &Order<'_>) -> Result<Pieces, Mistakes> {
    let journal = &order.shared.journal;
    let (since, limit) = (order.number("since")?.unwrap_or(0), order.number("limit")?);
    let endpoint = endpoint(order)?;
    let (news, revision, oldest) = journal.since(since);
    let wanted =
        |request: &Arc<RecordedRequest>| endpoint.is_none_or(|endpoint| request.endpoint == endpoint);
    let mut requests: VecDeque<_> = news.into_iter().filter(wanted).collect();
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) {
        // The newest ones.
        requests.drain(..requests.len().saturating_sub(limit));
    }
    let total = journal.total(endpoint);
    Ok(Pieces { requests, revision, oldest, total, began: false, ended: false })
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
        "client": request.client,
        "scope": request.scope,
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
    let (endpoint, matching, min, max) = order.read(|fields| {
        let endpoint = fields.required_choice("endpoint", &endpoints());
        let (exactly, at_least, at_most) =
            (fields.size("exactly"), fields.size("at_least"), fields.size("at_most"));
        if exactly.is_some() == (at_least.is_some() || at_most.is_some()) {
            fields.mistake("", "either `exactly`, or one or both of `at_least` and `at_most` are needed");
        }
        let matching = read_match(fields);
        let (min, max) = (exactly.or(at_least).unwrap_or(0), exactly.or(at_most));
        (endpoint.unwrap_or(Endpoint::Other), matching, min, max)
    })?;
    order.shared.expectations.expect(&order.shared.journal, endpoint, matching, min, max);
    Ok((StatusCode::CREATED, json!({})))
}

pub(super) fn clear_expectations(order: &Order<'_>) -> Reply {
    order.shared.expectations.clear();
    done()
}
