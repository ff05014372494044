//! A time limit for callers outside any runtime, who have no timer of their own.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(50);

/// What its thread needs: it calls one function of a clock.
const STACK: usize = 128 * 1024;

/// Completes when so much time has passed. Its thread ends when the future is dropped.
pub(super) async fn after(clock: Arc<dyn Clock>, time: Duration) {
    let until = clock.now().monotonic.saturating_add(time);
    let (ring, rung) = oneshot::channel();
    // Dropped with this future.
    let (_waiting, gone) = mpsc::channel::<()>();
    let watching = move || {
        while gone.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            if clock.now().monotonic >= until {
                let _ = ring.send(());
                return;
            }
        }
    };
    // Without a thread there is no limit; what it waits for ends it all the same in most cases.
    match thread::Builder::new().name("oauth-client-timer".to_owned()).stack_size(STACK).spawn(watching) {
        Ok(_) => drop(rung.await),
        Err(_) => std::future::pending().await,
    }
}
