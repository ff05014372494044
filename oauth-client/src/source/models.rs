//! Concurrency models of a source: threads call, refuse, log in and give up in every order that random schedules find. The
//! source is the one that ships; see [`modelled`](crate::sync::modelled) for what is opaque.
//!
//! Each model says which protection was taken out to see it fail.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use super::{FetchRequest, TokenFetcher, TokenSource};
use crate::client::Client;
use crate::clock::TestClock;
use crate::error::BoxError;
use crate::grant;
use crate::sync::modelled::model;
use crate::token::{AccessToken, TokenSet};

const HOUR: Duration = Duration::from_secs(3600);

/// Gives each request another token, after others had their turn.
#[derive(Clone, Default)]
struct Server(Arc<AtomicU64>);

impl Server {
    fn requests(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl TokenFetcher for Server {
    async fn fetch(&self, _: FetchRequest) -> Result<TokenSet, BoxError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        shuttle::future::yield_now().await;
        Ok(TokenSet::new(format!("fetched-{number}")).with_lifetime(HOUR))
    }
}

fn source() -> (TokenSource, Server, TestClock) {
    let (server, clock) = (Server::default(), TestClock::new());
    let client = Client::fetching("server", server.clone()).clock(clock.clone()).build().unwrap();
    (client.source(grant::client_credentials()).build().unwrap(), server, clock)
}

fn name(token: &AccessToken) -> String {
    token.secret().expose().to_owned()
}

fn call(source: &TokenSource) -> thread::JoinHandle<String> {
    let source = source.clone();
    thread::spawn(move || name(&block_on(source.token()).unwrap()))
}

/// Fails when `Engine::start` does not set `state.flight`, and when `Engine::join` does not look for a token again under
/// the lock.
#[test]
fn callers_who_find_no_token_share_one_request() {
    model(|| {
        let (source, server, _) = source();
        let callers: Vec<_> = (0..3).map(|_| call(&source)).collect();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), "fetched-1");
        }
        assert_eq!(server.requests(), 1);
    });
}

/// Fails when `Engine::start_early` does not look for a flight under the lock.
#[test]
fn callers_of_an_aging_token_get_it_at_once_and_cause_one_request() {
    model(|| {
        let (source, server, clock) = source();
        block_on(source.token()).unwrap();
        clock.suspend(HOUR - Duration::from_secs(30));
        let callers: Vec<_> = (0..3).map(|_| call(&source)).collect();
        for caller in callers {
            assert!(["fetched-1", "fetched-2"].contains(&&*caller.join().unwrap()));
        }
        block_on(source.settle()).unwrap();
        assert_eq!((name(&source.current().unwrap()), server.requests()), ("fetched-2".to_owned(), 2));
    });
}

/// Fails when `Engine::finish` puts the new token into `hot` after it has unlocked the state, and when `Engine::reject` does
/// not take the token out of `hot`.
#[test]
fn a_token_that_was_rejected_is_not_handed_out_again() {
    model(|| {
        let (source, _, _) = source();
        let rejecting = |source: &TokenSource| {
            let source = source.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let token = block_on(source.token()).unwrap();
                    assert!(source.reject(token.generation()));
                    let next = source.current();
                    assert!(next.is_none_or(|next| next.generation() > token.generation()));
                }
            })
        };
        let threads = [rejecting(&source), rejecting(&source)];
        threads.into_iter().for_each(|one| one.join().unwrap());
    });
}

/// Fails when `Engine::finish` stores into `hot` without looking at `state.login`, and when `Engine::wait` takes what a
/// flight of the previous login has brought.
#[test]
fn from_a_login_on_no_caller_gets_a_token_that_was_asked_for_before() {
    model(|| {
        let (source, server, _) = source();
        let before = call(&source);
        let refreshing = source.clone();
        let refreshing = thread::spawn(move || drop(block_on(refreshing.refresh_now())));
        // Its first step makes it known.
        let mut logging_in = Box::pin(source.log_in(TokenSet::new("login").with_lifetime(HOUR)));
        let first = block_on(poll_fn(|cx| Poll::Ready(logging_in.as_mut().poll(cx))));
        let asked_before = server.requests();
        let is_new = |token: &str| {
            let number = token.strip_prefix("fetched-").map(|number| number.parse::<u64>().unwrap());
            number.is_none_or(|number| number > asked_before)
        };
        assert!(source.current().is_none_or(|token| is_new(&name(&token))));
        let after = call(&source);
        let own = match first {
            Poll::Ready(token) => token,
            Poll::Pending => block_on(logging_in),
        };
        assert!(is_new(&name(&own.unwrap())));
        assert!(source.current().is_some_and(|token| is_new(&name(&token))));
        assert!(is_new(&after.join().unwrap()));
        before.join().unwrap();
        refreshing.join().unwrap();
    });
}

/// Fails when the refresh runs in the caller's own future instead of a task: then it ends with the caller.
#[test]
fn a_caller_who_gives_up_ends_nothing_for_the_others() {
    model(|| {
        let (source, server, _) = source();
        let giving_up = source.clone();
        let giving_up = thread::spawn(move || {
            let mut calling = Box::pin(giving_up.token());
            // One step, and then it is dropped.
            drop(block_on(poll_fn(|cx| Poll::Ready(calling.as_mut().poll(cx)))));
        });
        let waiting = call(&source);
        giving_up.join().unwrap();
        assert_eq!((waiting.join().unwrap(), server.requests()), ("fetched-1".to_owned(), 1));
    });
}
