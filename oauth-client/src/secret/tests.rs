use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::{Clock, TestClock};

struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("oauth-client-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn file(&self, name: &str, content: &[u8]) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn get(source: &SecretSource, clock: &TestClock) -> Result<String, Error> {
    source.get("client_secret", clock.now()).await.map(|secret| secret.expose().to_owned())
}

/// Seconds on the clock of the test, which a blocking read does not move.
async fn advance(seconds: u64) {
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_when_it_was_replaced_and_looked_at_once_a_second_at_most() {
    let (scratch, clock) = (Scratch::new("rotation"), TestClock::new());
    let path = scratch.file("secret", b"old\r\n");
    let source = from_file(&path);
    assert_eq!(get(&source, &clock).await.unwrap(), "old");

    // Kubernetes swaps a link; others rename.
    std::fs::rename(scratch.file("next", b"new\n"), &path).unwrap();
    assert_eq!(get(&source, &clock).await.unwrap(), "old", "within the second");
    assert_eq!(source.clone().read("f", clock.now()).await.unwrap().expose(), "new", "after a rejection");
    assert_eq!(get(&source, &clock).await.unwrap(), "new", "and from then on");

    std::fs::rename(scratch.file("next", b"newest"), &path).unwrap();
    advance(1).await;
    assert_eq!(get(&source, &clock).await.unwrap(), "newest");
}

#[tokio::test(start_paused = true)]
async fn the_last_secret_is_kept_while_the_file_is_of_no_use() {
    let (scratch, clock) = (Scratch::new("kept"), TestClock::new());
    let path = scratch.file("secret", b"good");
    let source = from_file(&path);
    assert_eq!(get(&source, &clock).await.unwrap(), "good");
    for useless in [Some(&b""[..]), Some(b"\n"), Some(b"\xff\xfe"), Some(&[b'x'; 70_000]), None] {
        match useless {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        advance(2).await;
        assert_eq!(get(&source, &clock).await.unwrap(), "good");
    }
    std::fs::write(&path, "again").unwrap();
    advance(2).await;
    assert_eq!(get(&source, &clock).await.unwrap(), "again");
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_file_that_never_was_of_use_is_an_error_that_names_it_and_quotes_nothing() {
    let (scratch, clock) = (Scratch::new("never"), TestClock::new());
    let fifo = scratch.0.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (path, says) in [
        (scratch.0.join("none"), "cannot be read"),
        (scratch.0.clone(), "is not a file"),
        (fifo, "is not a file"),
        (std::path::PathBuf::from("/dev/zero"), "is not a file"),
        (scratch.file("empty", b"\n"), "is empty"),
        (scratch.file("binary", b"s3cr3t\xff"), "is not UTF-8"),
        (scratch.file("large", &[b'x'; 70_000]), "64 KiB"),
    ] {
        let source = from_file(&path);
        let error = get(&source, &clock).await.unwrap_err();
        assert_eq!((error.code(), error.problems()[0].field.as_str()), ("config", "client_secret"));
        let shown = format!("{error} {error:?} {source:?}");
        assert!(shown.contains(says) && shown.contains(&*path.to_string_lossy()), "{shown}");
        assert!(!shown.contains("s3cr3t"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_environment_variable_is_read_when_it_is_needed_and_missed_by_name() {
    let clock = TestClock::new();
    // Set for every test that cargo runs.
    assert_eq!(get(&from_env("CARGO_PKG_NAME"), &clock).await.unwrap(), "tower-oauth-client");
    let error = get(&from_env("NO_SUCH_VARIABLE_IS_SET"), &clock).await.unwrap_err();
    assert!(error.to_string().contains("NO_SUCH_VARIABLE_IS_SET"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_asked_each_time_and_its_failure_is_the_cause_and_worth_another_try() {
    let clock = TestClock::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let source = from_fn(move || {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match call {
                2 => Err(std::io::Error::other("the vault is sealed")),
                _ => Ok(format!("s3cr3t-{call}")),
            }
        }
    });
    assert_eq!(get(&source, &clock).await.unwrap(), "s3cr3t-0");
    assert_eq!(get(&source, &clock).await.unwrap(), "s3cr3t-1");
    let error = get(&source, &clock).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("secret", true));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("sealed"));
    assert!(error.to_string().contains("client_secret") && !error.to_string().contains("sealed"), "{error}");
    assert!(!format!("{source:?}").contains("s3cr3t"));
}
