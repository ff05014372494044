//! One document that may be in several places: the first that serves it.

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::error::{Error, Kind, printable};
use crate::transport::{HttpClient, Limits};

/// Asks one place after the other, and the next one as well when one is slow, until one serves what `read` accepts and
/// `suits`. What is accepted without suiting is the second best. `limits.timeout` is for all of them together.
pub(super) async fn first_usable<T>(
    http: &HttpClient,
    places: &[Url],
    limits: &Limits,
    read: impl Fn(&[u8]) -> Result<T, Error>,
    suits: impl Fn(&T) -> bool,
    none_found: &str,
) -> Result<T, Failed> {
    let mut failures = Failures::default();
    let mut second_best = None;
    let asking = ask(http, places, limits, |place, response| {
        match response.and_then(|body| read(&body).map_err(Failure::Served)) {
            Ok(found) if suits(&found) => Some(Ok(found)),
            Ok(found) => {
                second_best.get_or_insert(found);
                None
            }
            // The other places are on the same host.
            Err(Failure::Unreachable(error)) => Some(Err(error)),
            Err(failure) => {
                failures.add(place, failure);
                None
            }
        }
    });
    let not_served = |error| Failed { error, served: false, outage: None };
    match timeout(limits.timeout, asking).await {
        Ok(Some(done)) => done.map_err(not_served),
        Ok(None) => second_best.ok_or_else(|| failures.into_failed(places, none_found)),
        Err(_) => second_best.ok_or_else(|| not_served(Error::new(Kind::Timeout(limits.timeout)))),
    }
}

/// Why no place was of use.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Whether a document was there, and not what was asked for.
    pub(crate) served: bool,
    /// Why another place, which may have the right document in a minute, has none now.
    pub(crate) outage: Option<Error>,
}

/// Gives each place's response to `take`, until that returns something or there are no more.
async fn ask<T>(
    http: &HttpClient,
    places: &[Url],
    limits: &Limits,
    mut take: impl FnMut(&Url, Result<bytes::Bytes, Failure>) -> Option<T>,
) -> Option<T> {
    // A place that hangs leaves time for the others.
    let patience = limits.timeout / 3;
    let mut left = places.iter();
    let mut asked = JoinSet::new();
    let mut last_at = Instant::now();
    loop {
        let waiting = left.as_slice().first();
        if let Some(place) = waiting.filter(|_| asked.is_empty() || last_at.elapsed() >= patience) {
            let (http, place, limits) = (http.clone(), place.clone(), limits.clone());
            asked.spawn(async move {
                let response = http.get_json(&place, &limits).await;
                (place, response.map(http::Response::into_body).map_err(Failure::of))
            });
            left.next();
            last_at = Instant::now();
        }
        let has_more = !left.as_slice().is_empty();
        tokio::select! {
            joined = asked.join_next() => match joined {
                Some(Ok((place, response))) => {
                    if let Some(done) = take(&place, response) {
                        return Some(done);
                    }
                }
                // A transport that panics has not served anything.
                Some(Err(_)) => {}
                None if has_more => {}
                None => return None,
            },
            () = sleep(patience.saturating_sub(last_at.elapsed())), if has_more => {}
        }
    }
}

/// Why a place was of no use.
enum Failure {
    /// No server listens there, nor at the other places.
    Unreachable(Error),
    /// It did not respond, or not with a document.
    NotServed(Error),
    /// It served something that is not the document that was asked for.
    Served(Error),
}

impl Failure {
    fn of(error: Error) -> Self {
        let never_sent = error.code() == "transport" && !error.is_outcome_unknown();
        // So are an address that must not be asked, and a header that cannot be sent.
        if never_sent || matches!(error.code(), "config" | "discovery" | "secret") {
            Self::Unreachable(error)
        } else {
            Self::NotServed(error)
        }
    }
}

#[derive(Default)]
struct Failures {
    served: Option<Error>,
    transient: Option<Error>,
    each: Vec<String>,
}

impl Failures {
    fn add(&mut self, place: &Url, failure: Failure) {
        let (error, served) = match failure {
            Failure::Served(error) => (error, true),
            Failure::NotServed(error) | Failure::Unreachable(error) => (error, false),
        };
        let status = error.status().map(|status| format!("HTTP {}", status.as_u16()));
        let why = status.unwrap_or_else(|| error.code().replace('_', " "));
        self.each.push(format!("{} ({why})", printable(place.as_str(), 256)));
        if error.is_transient() {
            self.transient.get_or_insert(error);
        } else if served && error.code() != "malformed_response" {
            self.served.get_or_insert(error);
        }
    }

    /// A document that was served and cannot be used says most; then what may be better in a minute.
    fn into_failed(self, places: &[Url], none_found: &str) -> Failed {
        let (served, outage) = (self.served.is_some(), self.transient.clone());
        let error = self.served.or(self.transient).unwrap_or_else(|| {
            let each =
                if self.each.is_empty() { places.iter().map(Url::to_string).collect() } else { self.each };
            Error::discovery(format!("found none at {}; {none_found}", each.join(", nor at ")))
        });
        Failed { error, served, outage }
    }
}
