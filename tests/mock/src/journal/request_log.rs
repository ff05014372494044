//! A line for each request, on stderr, written by a thread of its own: a reader that is slow, or gone, holds no request
//! up.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use crate::journal::RecordedRequest;

/// How many lines wait at most; more are dropped, and counted.
const WAITING: usize = 1_000;

/// How long the end of the program waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct RequestLog(SyncSender<Item>);

enum Item {
    Line(String),
    /// Said back when all lines before it are written.
    Flush(SyncSender<()>),
}

impl RequestLog {
    pub(crate) fn new() -> Self {
        let (sender, lines) = mpsc::sync_channel(WAITING);
        // Without a thread there are no lines, and the server works all the same.
        let _ = thread::Builder::new().name("request log".to_owned()).spawn(move || write(&lines));
        Self(sender)
    }

    pub(crate) fn write(&self, line: String) {
        match self.0.try_send(Item::Line(line)) {
            // The journal has the request all the same.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Waits until all lines are written, as long as that is worth while.
    pub(crate) fn flush(&self) {
        let (done, written) = mpsc::sync_channel(1);
        if self.0.try_send(Item::Flush(done)).is_ok() {
            // Nothing can be done about lines that no process reads.
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

fn write(lines: &Receiver<Item>) {
    while let Ok(item) = lines.recv() {
        match item {
            // A closed stderr is no reason to stop serving.
            Item::Line(line) => drop(writeln!(std::io::stderr(), "{line}")),
            Item::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// What is written of a request that took so long: nothing that is secret, nothing that could be a second line.
pub(crate) fn line(request: &RecordedRequest, status: Option<u16>, took: Duration) -> String {
    let status = status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
    let mut line =
        format!("{} {} {status} {}", request.method, one_line(&request.path), request.endpoint.as_str());
    let parts = [
        ("client", request.client.as_deref()),
        ("grant", request.param("grant_type")),
        ("scope", request.scope.as_deref()),
        ("fault", request.fault.as_deref()),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            // Writing to a `String` cannot fail.
            let _ = write!(line, " {name}={:?}", one_line(value));
        }
    }
    let _ = write!(line, " {} ms", took.as_millis());
    line
}

fn one_line(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}
