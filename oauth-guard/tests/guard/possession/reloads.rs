//! Reloads: what a guard no longer checks is not accepted unchecked.

use oauth_guard::revocation::{MemoryFeed, RevocationSettings};
use oauth_guard::{Dpop, Guard};

use super::{Bound, ask, request};

#[tokio::test(start_paused = true)]
async fn a_cached_bound_token_is_no_bearer_token_while_revocations_are_read() {
    let bound = Bound::new();
    // Transport and clock are kept, and with them the keys and the cached token.
    let config = || Guard::builder().issuer(bound.fixture.issuer()).public_url("https://api.example.com");
    let feed = || RevocationSettings::new().feed(MemoryFeed::new());
    for n in 0..2 {
        let guard = bound.guard(Dpop::new());
        assert_eq!(bound.call(&guard, &bound.proof()).await.status, 200);
        // Without DPoP; then also with a source of revocations that the next request waits for.
        guard.reload(if n == 0 { config() } else { config().revocation(feed()) }).unwrap();
        for _ in 0..2 {
            let answer = ask(&guard.layer(), request("Bearer", &bound.token, &[])).await;
            assert_eq!(answer.summary(), (401, "Bearer invalid_token".to_owned()), "{n}");
        }
    }
}
