//! What the crates log during a test, down to TRACE.
//!
//! One subscriber for the whole run, with a buffer for each thread: subscribers that come and go on several threads
//! race for the global filter, and lines get lost.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt;

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Collects the log of this thread until it is dropped; tests have one thread each.
pub(crate) struct Log(());

impl Log {
    pub(crate) fn listen() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Here);
            let lines = lines.with_filter(dynamic_filter_fn(|_, _| LINES.with_borrow(Option::is_some)));
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines)).unwrap();
        });
        LINES.set(Some(Vec::new()));
        Self(())
    }

    /// The lines since the last call.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(LINES.replace(Some(Vec::new())).unwrap_or_default()).unwrap()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct Here;

impl io::Write for Here {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.iter_mut().for_each(|lines| lines.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
