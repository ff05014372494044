//! Concurrency models of the key fetch: requests that find no keys, in every order that random schedules find.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Response;
use http_body_util::Full;
use oauth_client::clock::TestClock;
use shuttle::future::block_on;
use shuttle::thread;

use super::*;
use crate::sync::modelled::model;

/// Keys of a server that counts the requests, and takes its time.
fn remote() -> (Arc<Remote>, Arc<AtomicU64>) {
    let requests = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&requests);
    let http = HttpClient::from_service(tower::service_fn(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            shuttle::future::yield_now().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(r#"{"keys":[]}"#)))
        }
    }));
    let location = JwksLocation::Uri("https://auth.example.com/jwks".parse().unwrap());
    let policy = KeyPolicy::default();
    let clock = Arc::new(TestClock::new());
    let remote =
        Remote::new("https://auth.example.com", location, &[Algorithm::Es256], &policy, false, http, clock);
    (Arc::new(remote), requests)
}

/// Fails when `Remote::launch` does not look for a flight under the lock, and when a flight is started before the lock is
/// taken.
#[test]
fn requests_that_find_no_keys_share_one_fetch() {
    model(|| {
        let (remote, requests) = remote();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let remote = Arc::clone(&remote);
                thread::spawn(move || {
                    let now = remote.clock.now();
                    if let Some(flight) = remote.fetch_if_due(now) {
                        block_on(flight.landed()).unwrap();
                    }
                    assert_eq!(remote.freshness(now), Freshness::Fresh);
                })
            })
            .collect();
        waiting.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    });
}
