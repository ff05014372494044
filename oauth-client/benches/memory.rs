//! What the client allocates on the way of a request: `cargo bench -p tower-oauth-client --bench memory`.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

mod setting;
#[path = "measure/summary.rs"]
mod summary;

use allocation_counter::measure;
use oauth_client::attach::{ReplayPolicy, TokenLayer};
use tower_layer::Layer;

use self::setting::{Server, Sink, call, request};
use self::summary::{Summary, is_wanted};

fn main() {
    let mut summary = Summary::new();
    if is_wanted("attach") {
        attach(&mut summary);
    }
    summary.finish();
}

/// Allocations of a request with a token beyond those of the same request without.
fn attach(summary: &mut Summary) {
    let source = Server::default().source_with_token();
    let mut layered = TokenLayer::new(source.clone()).replay(ReplayPolicy::never()).layer(Sink);
    let mut replaying = TokenLayer::new(source).layer(Sink);
    let bare = request();
    let bare = measure(|| assert!(call(&mut Sink, bare).is_some())).count_total;
    // The first of them makes what is made once.
    let (mut never, mut default) = (0, 0);
    for _ in 0..10 {
        let (one, other) = (request(), request());
        never = measure(|| assert!(call(&mut layered, one).is_some())).count_total - bare;
        default = measure(|| assert!(call(&mut replaying, other).is_some())).count_total - bare;
    }
    println!("allocations for a token: {never}, {default} with a copy for a replay");
    summary.tell("client_attach_allocs_added", never as f64);
}
