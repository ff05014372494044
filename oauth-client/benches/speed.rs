//! What the client costs, in the figures that this project promises: `cargo bench -p tower-oauth-client --bench speed`.
//!
//! The finer picture is `cargo bench -p tower-oauth-client --bench attach`.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[path = "measure/paired.rs"]
mod paired;
mod setting;
#[path = "measure/summary.rs"]
mod summary;
#[path = "measure/yardstick.rs"]
mod yardstick;

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use oauth_client::attach::{ReplayPolicy, TokenLayer};
use oauth_client::clock::TestClock;
use tower_layer::Layer;

use self::paired::{REQUESTS, each, paired};
use self::setting::{Server, Sink, call, request};
use self::summary::{Summary, is_measuring, is_wanted};
use self::yardstick::Yardstick;

fn main() {
    let rounds = if is_measuring() { 2_000 } else { 2 };
    let (mut summary, mut yardstick) = (Summary::new(), Yardstick::new());
    yardstick.measure();
    if is_wanted("attach") {
        attach(&mut summary, rounds);
        yardstick.measure();
    }
    if is_wanted("herd") {
        herd(&mut summary);
        yardstick.measure();
    }
    yardstick.finish(&mut summary);
    summary.finish();
}

fn attach(summary: &mut Summary, rounds: usize) {
    let source = Server::default().source_with_token();
    let mut layered = TokenLayer::new(source.clone()).replay(ReplayPolicy::never()).layer(Sink);
    let mut replaying = TokenLayer::new(source.clone()).layer(Sink);
    let value: HeaderValue = source.current().expect("a token").authorization().clone();
    let bare = || each(REQUESTS, request, |request| call(&mut Sink, request));
    let never = paired(rounds, || each(REQUESTS, request, |request| call(&mut layered, request)), bare);
    let default = paired(rounds, || each(REQUESTS, request, |request| call(&mut replaying, request)), bare);
    let by_hand = || {
        each(REQUESTS, request, |mut request| {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
            call(&mut Sink, request)
        })
    };
    let by_hand = paired(rounds, by_hand, bare);
    for (what, found) in
        [("a token", &never), ("a token and a copy", &default), ("a header by hand", &by_hand)]
    {
        let (with, without, added, ratio) = (found.ours, found.theirs, found.added, found.ratio);
        println!("{what}: {with:.0} ns, {without:.0} without, {added:.0} added, {ratio:.2} times");
    }
    summary.tell("client_attach_added_ns", never.added);
    summary.tell("client_attach_replayable_added_ns", default.added);
}

/// Ten thousand callers at the moment the token expires.
fn herd(summary: &mut Summary) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let requests = runtime.block_on(async {
        let server = Server::default();
        let source = server.source(Some(TestClock::new()));
        source.token().await.expect("a token");
        tokio::time::advance(Duration::from_secs(3601)).await;
        assert!(source.current().is_none(), "it has expired");
        let before = server.requests.load(Ordering::Relaxed);
        let callers: Vec<_> = (0..10_000)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move { source.token().await.is_ok() })
            })
            .collect();
        for caller in callers {
            assert!(caller.await.expect("a caller"), "everybody gets a token");
        }
        server.requests.load(Ordering::Relaxed) - before
    });
    summary.tell("client_herd_requests", f64::from(requests));
}
