//! Rules, against an axum router: whichever handler responds, the rule for its own route was applied.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ::axum::body::Body;
use http::{Method, Request, header};
use tower::ServiceExt;

use self::plan::{Plan, SCOPES};
use crate::fixture::{builder, claims, issuer, run, token, within};
use crate::support::Random;
use crate::target::Target;

// Routers, rules and requests of the guard's own tests.
#[path = "../../oauth-guard/tests/guard/routing_fuzz/plan.rs"]
mod plan;

pub const TARGET: Target = Target { check, seeds };

/// A token for each set of scopes.
static TOKENS: LazyLock<Vec<(BTreeSet<&str>, String)>> = LazyLock::new(|| {
    (0..16_u32)
        .map(|set| {
            let scopes = SCOPES.into_iter().enumerate().filter(|(n, _)| set >> n & 1 == 1);
            let scopes: BTreeSet<&str> = scopes.map(|(_, scope)| scope).collect();
            let mut claims = claims();
            claims["scope"] = scopes.iter().copied().collect::<Vec<_>>().join(" ").into();
            (scopes, token(&claims))
        })
        .collect()
});

/// The bytes are choices; the last request has what is left of them as its path.
fn check(data: &[u8]) {
    let mut random = Random::new(data);
    let plan = Plan::random(&mut random);
    let guard = within(|| plan.guard(builder().issuer(issuer())));
    let router = plan.router(&guard, random.below(3));
    for _ in 0..4 {
        let (method, path) = plan.request(&mut random);
        let token = random.chance(80).then(|| random.pick(&TOKENS));
        send(&plan, &router, &method, &path, token);
        if random.is_empty() {
            return;
        }
    }
    let token = random.chance(50).then(|| random.pick(&TOKENS));
    if let Ok(path) = std::str::from_utf8(random.rest()) {
        send(&plan, &router, &Method::GET, &format!("/{path}"), token);
    }
}

fn send(
    plan: &Plan,
    router: &::axum::Router,
    method: &Method,
    path: &str,
    token: Option<&(BTreeSet<&str>, String)>,
) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some((_, token)) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    // What the `http` crate does not take arrives at no handler.
    let Ok(request) = request.body(Body::empty()) else { return };
    let response = run(router.clone().oneshot(request)).expect("a response");
    let Some(handler) = response.headers().get("x-handler") else { return };
    let number: usize = handler.to_str().ok().and_then(|text| text.parse().ok()).expect("a number");
    plan.assert_applied(&plan.handlers[number], method, path, token.map(|(scopes, _)| scopes));
}

/// Choices at random.
fn seeds() -> Vec<Vec<u8>> {
    let mut state = 0x6f61_7574_685f_3230_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..64).map(|_| (0..160).map(|_| byte()).collect()).collect()
}
