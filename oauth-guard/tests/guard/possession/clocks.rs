//! The wall clock is set back: a proof that was used is not good again, and new ones are for all but a moment.

use std::time::Duration;

use oauth_guard::Dpop;

use super::{Bound, reason, request};

const MAX_AGE: i64 = 60;

/// A token that is good whatever the clock says, and the time of the guard's clock.
fn bound() -> (Bound, i64) {
    let mut bound = Bound::new();
    let now = bound.fixture.server.clock().now_unix();
    let token = bound.fixture.server.mint().bound_to(&bound.key);
    bound.token = token.claim("iat", now - 10_000).claim("exp", now + 100_000).build();
    (bound, now)
}

async fn advance(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

async fn outcome(bound: &Bound, guard: &oauth_guard::Guard, iat: i64) -> String {
    let proof = bound.proof().claim("iat", iat).build();
    reason(guard, &request("DPoP", &bound.token, &[&proof])).await
}

#[tokio::test(start_paused = true)]
async fn a_used_proof_is_not_good_again_after_the_clock_was_set_back() {
    let (bound, now) = bound();
    let guard = bound.guard(Dpop::new());
    let proof = bound.proof().claim("iat", now).build();
    assert_eq!(bound.send(&guard, &proof).await.status, 200);
    // Nothing is sent meanwhile.
    advance(40).await;
    bound.fixture.clock.step_wall(-30);
    advance(27).await;
    // By the wall clock it is 37 seconds old, and what was noted has ended.
    assert_eq!(reason(&guard, &request("DPoP", &bound.token, &[&proof])).await, "proof_too_old");
    assert_eq!(outcome(&bound, &guard, now + 37).await, "accepted", "a new one");
}

#[tokio::test(start_paused = true)]
async fn no_step_back_within_the_window_makes_a_used_proof_good() {
    for step in [1, 2, 7, 30, 59, 60] {
        for (waited, ahead) in [(0, 5), (40, 0), (65, 5)] {
            for reloads in [false, true] {
                let (bound, now) = bound();
                let guard = bound.guard(Dpop::new());
                let proof = bound.proof().claim("iat", now + ahead).build();
                assert_eq!(bound.send(&guard, &proof).await.status, 200);
                advance(waited).await;
                bound.fixture.clock.step_wall(-step);
                if reloads {
                    guard.reload(bound.builder().dpop(Dpop::new())).unwrap();
                    guard.reload(bound.builder()).unwrap();
                    guard
                        .reload(bound.builder().dpop(Dpop::new().max_age(Duration::from_secs(600))))
                        .unwrap();
                }
                for second in 0..200 {
                    let why = reason(&guard, &request("DPoP", &bound.token, &[&proof])).await;
                    assert!(
                        ["proof_replayed", "proof_too_old", "proof_from_the_future"].contains(&&*why),
                        "{why} {second} s after a step back by {step} s, {waited} s after its use, {reloads}"
                    );
                    advance(1).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_refuses_new_proofs_for_their_window_at_most() {
    let (bound, now) = bound();
    let guard = bound.guard(Dpop::new());
    bound.fixture.clock.step_wall(3600);
    assert_eq!(outcome(&bound, &guard, now + 3600).await, "accepted");
    bound.fixture.clock.step_wall(-3600);
    assert_eq!(outcome(&bound, &guard, now).await, "proof_too_old");
    // What is refused does not make it longer.
    for second in 0..=MAX_AGE + 6 {
        outcome(&bound, &guard, now + second).await;
        advance(1).await;
    }
    assert_eq!(outcome(&bound, &guard, now + MAX_AGE + 7).await, "accepted");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_machine_changes_nothing() {
    let (bound, now) = bound();
    let guard = bound.guard(Dpop::new());
    assert_eq!(outcome(&bound, &guard, now).await, "accepted");
    bound.fixture.clock.suspend(Duration::from_secs(3600));
    assert_eq!(outcome(&bound, &guard, now + 3600).await, "accepted");
    assert_eq!(outcome(&bound, &guard, now + 3600 - MAX_AGE).await, "accepted");
    assert_eq!(outcome(&bound, &guard, now + 3600 - MAX_AGE - 1).await, "proof_too_old");
}
