//! The issuer's keys: fetched when a key id is unknown, at most once a second, and kept while the endpoint fails.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::api::Hole;

const COOL_DOWN: Duration = Duration::from_secs(1);
const MOST: usize = 512 * 1024;

#[derive(Default)]
pub(crate) struct Keys {
    jwks: Mutex<Vec<Value>>,
    flight: tokio::sync::Mutex<Flight>,
}

#[derive(Default)]
struct Flight {
    last: Option<Instant>,
    failed: bool,
    misses: usize,
}

/// What came of a fetch.
enum Fetched {
    Set(Vec<Value>),
    /// The name of the row whose fault this is.
    Failed(&'static str),
}

impl Keys {
    pub(crate) fn all(&self) -> Vec<Value> {
        self.jwks.lock().unwrap().clone()
    }

    /// A key id is unknown: asks the issuer, unless it was asked a moment ago.
    pub(crate) async fn refresh(&self, issuer: &str, hole: Hole) {
        // With this hole, the lock that known tokens need as well is held meanwhile: see `Api::keys`.
        let mut flight = self.flight.lock().await;
        flight.misses += 1;
        let known = !self.all().is_empty();
        let resting = flight.last.is_some_and(|last| last.elapsed() < COOL_DOWN);
        let never = (hole.is("keys-rotated") && known)
            || (hole.is("endpoint-recovered") && flight.failed)
            || (hole.is("kid-flood-and-a-rotation") && flight.misses > 60);
        if never || (resting && !hole.is("kid-flood")) {
            return;
        }
        let patience = if hole.is("endpoint-silent") { 60 } else { 2 };
        let fetch = fetch(format!("{issuer}/jwks"), hole);
        let fetched = tokio::time::timeout(Duration::from_secs(patience), fetch).await;
        flight.last = Some(Instant::now());
        let mut jwks = self.jwks.lock().unwrap();
        match fetched.unwrap_or(Fetched::Failed("endpoint-silent")) {
            Fetched::Failed(fault) => {
                flight.failed = true;
                if hole.is(fault) {
                    jwks.clear();
                }
            }
            Fetched::Set(set) => {
                let lacks_one = jwks.iter().any(|known| !set.contains(known));
                match hole.0 {
                    "keys-withdrawn" => {
                        let new = set.into_iter().filter(|key| !jwks.contains(key)).collect::<Vec<_>>();
                        jwks.extend(new);
                    }
                    "keys-rotated-abruptly" if lacks_one => {}
                    "keys-none" if set.is_empty() => {}
                    _ => *jwks = set,
                }
            }
        }
    }

    /// Waits for a fetch under way, as a careless lock does.
    pub(crate) async fn wait(&self) {
        drop(self.flight.lock().await);
    }
}

async fn fetch(url: String, hole: Hole) -> Fetched {
    let Some((status, body)) = get(&url).await else { return Fetched::Failed("endpoint-reset") };
    match status {
        200 if body.len() > MOST => return Fetched::Failed("endpoint-huge"),
        200 if body.starts_with(b"<") => return Fetched::Failed("endpoint-html"),
        200 => {}
        300..400 => return Fetched::Failed("endpoint-redirect"),
        _ => return Fetched::Failed("endpoint-error"),
    }
    let set = serde_json::from_slice::<Value>(&body).ok();
    let Some(keys) = set.as_ref().and_then(|set| set["keys"].as_array()) else {
        return Fetched::Failed("endpoint-cut-json");
    };
    let malformed = |key: &Value| key.is_object() && !key["kty"].is_string();
    let spoiled = (hole.is("keys-malformed") && keys.iter().any(malformed))
        || (hole.is("keys-not-objects") && keys.iter().any(|key| !key.is_object()));
    if spoiled { Fetched::Failed("a bad key") } else { Fetched::Set(keys.clone()) }
}

/// Status and body, of which no more than the limit is read.
pub(crate) async fn get(url: &str) -> Option<(u16, Vec<u8>)> {
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let address = host.rsplit('@').next()?;
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        bytes.extend_from_slice(&chunk[..length]);
        if bytes.len() > MOST + 64 * 1024 {
            break;
        }
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, bytes.split_off(end + 4)))
}
