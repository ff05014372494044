//! Callers whose turn comes late: what they wait for, or hold, may be out of date by then.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_client::clock::{Clock, Now};
use oauth_client::grant;
use oauth_client::transport::HttpClient;
use oauth_client::{AccessToken, Error, TokenSet, TokenSource};
use oauth_mock::{Endpoint, Fault};
use tokio::runtime::{Builder, Runtime};

use crate::support::{LIFETIME, client_builder, fixture, poll, poll_once, settle};

const HOUR: Duration = Duration::from_secs(3600);

fn login(token: &str) -> TokenSet {
    TokenSet::new(token).with_lifetime(HOUR)
}

/// The token of a caller who does not have to wait.
fn text(token: Option<Result<AccessToken, Error>>) -> String {
    token.unwrap().unwrap().secret().expose().to_owned()
}

/// Neither one who waited before the login, nor one who came after it while the request was still under way.
#[tokio::test(start_paused = true)]
async fn after_a_login_no_caller_gets_what_was_asked_for_before() {
    let fixture = fixture();
    let source = fixture.source();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(1))).times(1);
    let (mut before, mut refreshing) = (pin!(source.token()), pin!(source.refresh_now()));
    assert!(poll(before.as_mut()).is_none() && poll(refreshing.as_mut()).is_none());
    settle().await;
    let mut logging_in = pin!(source.log_in(login("login")));
    assert!(poll(logging_in.as_mut()).is_none());
    let (mut after, mut refreshing_after) = (pin!(source.token()), pin!(source.refresh_now()));
    assert!(poll(after.as_mut()).is_none() && poll(refreshing_after.as_mut()).is_none());

    assert_eq!(text(Some(logging_in.await)), "login");
    assert_eq!(fixture.count(Endpoint::Token), 1);
    assert_eq!(text(poll(before)), "login");
    assert_eq!(text(poll(after)), "login");
    for refreshing in [refreshing, refreshing_after] {
        let token = refreshing.await.unwrap();
        assert!(token.generation() > 2, "asked for after the login");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_login_reported_twice_is_one() {
    let fixture = fixture();
    let source = fixture.source();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(1))).times(1);
    let mut before = pin!(source.token());
    assert!(poll(before.as_mut()).is_none());
    settle().await;
    let (one, two) = tokio::join!(source.log_in(login("login")), source.log_in(login("login")));
    assert_eq!((text(Some(one)), text(Some(two))), ("login".to_owned(), "login".to_owned()));
    assert_eq!(source.current().unwrap().secret().expose(), "login");
    assert_eq!(text(poll(before)), "login");
}

#[tokio::test(start_paused = true)]
async fn after_a_log_out_no_caller_gets_what_was_asked_for_before() {
    let fixture = fixture();
    let source = fixture.client.source(fixture.person()).build().unwrap();
    fixture.server.fault(Endpoint::Token, Fault::delay(Duration::from_secs(1))).times(1);
    let mut waiting = pin!(source.token());
    assert!(poll(waiting.as_mut()).is_none());
    settle().await;
    source.log_out().await.unwrap();
    assert!(waiting.await.is_err_and(|error| error.is_reauthorization_required()));
}

/// A runtime that stood still goes on when another one has long taken its place.
#[test]
fn a_refresh_that_ends_after_a_login_has_taken_its_place_changes_nothing() {
    let stalled = Builder::new_current_thread().enable_all().build().unwrap();
    let (fixture, source) = stalled.block_on(async {
        let fixture = fixture();
        let source = fixture.source();
        assert!(poll_once(source.token()).is_none(), "the refresh is spawned here, and gets no turn");
        (fixture, source)
    });
    let other = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let token = other.block_on(source.log_in(login("login")));
    assert_eq!((text(Some(token)), fixture.count(Endpoint::Token)), ("login".to_owned(), 0));
    stalled.block_on(settle());
    assert_eq!(fixture.count(Endpoint::Token), 1, "it has had its turn");
    assert_eq!(source.current().unwrap().secret().expose(), "login");
    assert_eq!(text(poll_once(source.token())), "login");
    assert_eq!(source.status().failures, 0);
}

/// A clock at which others get a turn: in the middle of a call, that is.
#[derive(Clone, Default)]
struct Turn {
    seconds: Arc<AtomicU64>,
    next: Arc<Mutex<Option<Step>>>,
}

type Step = Box<dyn FnOnce() + Send>;

impl Clock for Turn {
    fn now(&self) -> Now {
        let seconds = self.seconds.load(Ordering::SeqCst);
        let next = self.next.lock().unwrap().take();
        next.into_iter().for_each(|next| next());
        Now { wall: Duration::from_secs(1_893_456_000 + seconds), monotonic: Duration::from_secs(seconds) }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

/// The caller has taken the old token, and before it goes on another caller's refresh starts and ends.
#[test]
fn a_caller_with_a_token_that_was_just_replaced_starts_no_second_refresh() {
    let runtime: Arc<Runtime> =
        Arc::new(Builder::new_current_thread().enable_all().start_paused(true).build().unwrap());
    let clock = Turn::default();
    let (fixture, source) = runtime.block_on(async {
        let fixture = fixture();
        let http = HttpClient::from_service(fixture.server.transport());
        let client = client_builder(&fixture.server).http(http).clock(clock.clone()).build().unwrap();
        let source = client.source(grant::client_credentials()).build().unwrap();
        source.token().await.unwrap();
        (fixture, source)
    });
    clock.seconds.store(LIFETIME - 30, Ordering::SeqCst);
    let (inner, other): (Arc<Runtime>, TokenSource) = (Arc::clone(&runtime), source.clone());
    *clock.next.lock().unwrap() = Some(Box::new(move || {
        assert_eq!(inner.block_on(other.refresh_now()).unwrap().generation(), 2);
    }));
    let entered = runtime.enter();
    assert_eq!(source.current().unwrap().generation(), 1, "it is still good");
    drop(entered);
    runtime.block_on(settle());
    assert_eq!((fixture.count(Endpoint::Token), source.current().unwrap().generation()), (2, 2));
}
