//! Rules against a real axum router, at random: whichever handler responds, the rule for its own route was applied.
//!
//! Routers have nested routers, fallbacks, placeholders, catch-alls, and routes with a slash at the end. Each request is
//! a path of a route, often changed: slashes, dots, encodings, parameters. A seed is printed, and always the same.

mod plan;

use std::collections::BTreeSet;

use ::axum::body::Body;
use http::{Request, StatusCode, header};
use tower::ServiceExt;

use self::plan::{Plan, SCOPES};
use crate::support::{Fixture, Random};

const SEED: u64 = 0x006f_6175_7468_3230;
const ROUTERS: usize = 250;
const REQUESTS: usize = 40;

#[tokio::test(start_paused = true)]
async fn whichever_handler_responds_its_own_rule_was_applied() {
    println!("seed {SEED:#018x}");
    let mut random = Random::new(SEED);
    let fixture = Fixture::new();
    let tokens: Vec<(BTreeSet<&str>, String)> = (0..16_u32)
        .map(|set| {
            let scopes: BTreeSet<_> =
                SCOPES.into_iter().enumerate().filter(|(n, _)| set >> n & 1 == 1).collect();
            let scopes: BTreeSet<&str> = scopes.into_iter().map(|(_, scope)| scope).collect();
            let words = scopes.iter().copied().collect::<Vec<_>>().join(" ");
            (scopes, fixture.server.mint().scope(words).build())
        })
        .collect();
    let (mut responses, mut rejections, mut by_fallback, mut by_nested, mut slashed) = (0, 0, 0, 0, 0);
    for _ in 0..ROUTERS {
        let plan = Plan::random(&mut random);
        let issuer = fixture.issuer().jwks_json(fixture.server.keys().jwks_json());
        let guard = plan.guard(fixture.builder().issuer(issuer));
        let router = plan.router(&guard, random.below(3));
        for _ in 0..REQUESTS {
            let (method, path) = plan.request(&mut random);
            let token = random.chance(80).then(|| random.pick(&tokens));
            let mut request = Request::builder().method(&method).uri(&path);
            if let Some((_, token)) = token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            // What the `http` crate does not take arrives at no handler.
            let Ok(request) = request.body(Body::empty()) else { continue };
            let response = router.clone().oneshot(request).await.unwrap();
            let Some(handler) = response.headers().get("x-handler") else {
                rejections += usize::from(response.status() != StatusCode::NOT_FOUND);
                continue;
            };
            let handler = &plan.handlers[handler.to_str().unwrap().parse::<usize>().unwrap()];
            let scopes = token.map(|(scopes, _)| scopes);
            plan.assert_applied(handler, &method, &path, scopes);
            responses += 1;
            by_fallback += usize::from(handler.pattern.ends_with("{*fallback}"));
            by_nested += usize::from(handler.pattern.starts_with("/api"));
            slashed += usize::from(path.len() > 1 && path.split('?').next().unwrap().ends_with('/'));
        }
    }
    let requests = ROUTERS * REQUESTS;
    println!(
        "{requests} requests, {responses} responses of handlers ({by_fallback} of fallbacks, {by_nested} nested, {slashed} with a slash at the end), {rejections} rejections"
    );
    // It proves nothing if little gets through, or everything.
    assert!(responses > requests / 5 && rejections > requests / 5, "{responses} {rejections}");
    assert!(by_fallback > 100 && by_nested > 100 && slashed > 100, "{by_fallback} {by_nested} {slashed}");
}
