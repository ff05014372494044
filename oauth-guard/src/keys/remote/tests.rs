use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use http::Response;
use http_body_util::Full;
use oauth_client::clock::TestClock;

use super::*;

/// Keys of a server that counts the requests.
fn remote() -> (Arc<Remote>, Arc<AtomicUsize>) {
    let requests = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&requests);
    let http = HttpClient::from_service(tower::service_fn(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(r#"{"keys":[]}"#))) }
    }));
    let location = JwksLocation::Uri("https://auth.example.com/jwks".parse().unwrap());
    let (policy, clock) = (KeyPolicy::default(), Arc::new(TestClock::new()));
    let algorithms = [Algorithm::Es256];
    let issuer = "https://auth.example.com";
    let remote = Remote::new(issuer, location, &algorithms, &policy, false, http, clock);
    (Arc::new(remote), requests)
}

/// One request finds that keys are due; before it goes on, another one's fetch starts and ends.
#[tokio::test(start_paused = true)]
async fn a_request_that_comes_late_to_a_fetch_starts_no_second_one() {
    let (remote, requests) = remote();
    let max_age = KeyPolicy::default().max_age;
    for (found, count) in [(Freshness::Missing, 1), (Freshness::Overdue, 2)] {
        let now = remote.clock.now();
        assert_eq!(remote.freshness(now), found);
        remote.fetch_if_due(now).unwrap().landed().await.unwrap();
        assert_eq!(requests.load(Ordering::SeqCst), count);
        remote.fetch(now).unwrap().landed().await.unwrap();
        assert_eq!(requests.load(Ordering::SeqCst), count, "{found:?}");
        assert_eq!(remote.freshness(now), Freshness::Fresh);
        tokio::time::advance(max_age).await;
    }
}

/// Who made the connection safe that brought the keys may be trusted no longer.
#[test]
fn keys_go_to_a_successor_that_trusts_as_much() {
    let remote = || Arc::into_inner(remote().0).unwrap();
    let trusting = |authority: &str| {
        remote().fetching(Fetching { authorities: Some(authority.into()), ..Fetching::default() })
    };
    let plain = remote();
    let limits = Limits { allow_http: true, ..plain.limits };
    let over_http = Remote { limits, ..remote() };
    let private = remote().allow_private(true);
    let (one, other) = (trusting("one"), trusting("other"));
    for (before, after, is_taken) in [
        (&plain, &plain, true),
        (&plain, &over_http, true),
        (&over_http, &plain, false),
        (&private, &plain, true),
        (&one, &one, true),
        (&one, &other, false),
        (&one, &plain, false),
        (&plain, &one, false),
    ] {
        assert_eq!(after.may_take_over(before), is_taken, "{before:?} {after:?}");
    }
}
