//! What a request costs as the work grows, and what the first one costs: `cargo bench -p tower-oauth-guard --bench growth`.
//!
//! Every row sends the same requests; only the number of keys, issuers or rules differs. Lookups are to stay flat.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[expect(dead_code, reason = "this bench needs a part of it")]
#[path = "../../oauth-client/benches/measure/paired.rs"]
mod paired;
mod setting;
#[path = "setting/shared_secret.rs"]
mod shared_secret;
#[expect(dead_code, reason = "this bench needs a part of it")]
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;

use http::Method;
use oauth_guard::{Algorithm, Guard, GuardBuilder, Issuer, Requirement, Rule};
use oauth_mock::{Alg, TestKey};
use serde_json::{Value, json};
use tower::Layer;

use self::paired::{each, median, now};
use self::setting::{AUDIENCE, Bare, ISSUER, Setting, TENANT, request, run};
use self::shared_secret::{Many, SECRET};
use self::summary::{is_measuring, is_wanted};

const SIZES: [usize; 3] = [1, 10, 1_000];

fn main() {
    let parts: [(&str, fn()); 4] =
        [("keys", keys), ("issuers", issuers), ("rules", rules), ("cold", cold_start)];
    for (name, part) in parts {
        if is_wanted(name) {
            part();
        }
    }
}

/// A set of so many keys, the one that signs the tokens in the middle.
fn keys() {
    table("keys in a set, given with the configuration");
    for size in SIZES {
        let signer = TestKey::generate(Alg::EdDsa);
        let mut set: Vec<Value> = (1..size).map(|_| TestKey::generate(Alg::EdDsa).public_jwk()).collect();
        set.insert(size / 2, signer.public_jwk());
        let jwks = json!({ "keys": set }).to_string();
        let setting = Setting::new(Alg::EdDsa);
        let tokens: Vec<_> = (0..512).map(|_| setting.mint().signed_with(&signer).build()).collect();
        let guard =
            || Guard::builder().issuer(Issuer::new(ISSUER).audience(AUDIENCE).jwks_json(jwks.clone()));
        row(size, &tokens, guard);
    }
}

/// So many issuers in one guard.
fn issuers() {
    table("issuers");
    let many = Many::like(&Setting::new(Alg::Rs256).token());
    let tokens: Vec<_> = (0..512).map(|number| many.token(number)).collect();
    for size in SIZES {
        let one = |name: String| Issuer::new(name).audience(AUDIENCE).hmac_secret(Algorithm::Hs256, SECRET);
        let names = (1..size).map(|number| format!("{ISSUER}/{number}")).chain([ISSUER.to_owned()]);
        let all: Vec<_> = names.map(one).collect();
        row(size, &tokens, || all.iter().cloned().fold(Guard::builder(), GuardBuilder::issuer));
    }
}

/// So many rules, the last of which requires a scope and a claim of these requests.
fn rules() {
    table("rules");
    let many = Many::like(&Setting::new(Alg::Rs256).token());
    let tokens: Vec<_> = (0..512).map(|number| many.token(number)).collect();
    for size in SIZES {
        let others =
            (1..size).map(|n| Rule::new(format!("/things{n}/{{id}}")).require(Requirement::scope("other")));
        let asked = Requirement::scope("orders:read") & Requirement::claim("tenant", TENANT);
        let rule = Rule::new("/orders").methods([Method::GET]).require(asked);
        let all: Vec<_> = others.chain([rule]).collect();
        row(size, &tokens, || all.iter().cloned().fold(Many::guard(), GuardBuilder::rule));
    }
}

/// From the builder to the first response, and how long the second one took.
fn cold_start() {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let (mut build, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let (description, requests) = (setting.builder(), [request(&token), request(&token)]);
        let began = now();
        let service = description.build().expect("a guard").layer().layer(Bare);
        build.push(began.elapsed().as_secs_f64() * 1e6);
        for (request, times) in requests.into_iter().zip([&mut first, &mut second]) {
            let began = now();
            assert_eq!(run(service.clone(), request), 200);
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    let [build, first, second] = [build, first, second].map(|times| median(times.into_iter()));
    println!(
        "\ncold start, one key: build {build:.1} us, first request {first:.1} us, the same again {second:.1} us"
    );
}

fn table(of: &str) {
    println!("\n{of:<44} {:>10} {:>10} {:>10}", "build, us", "new, ns", "known, ns");
}

/// Median times: to build the guard, for a token that is new to it, and for one that is not.
fn row(size: usize, tokens: &[String], guard: impl Fn() -> GuardBuilder) {
    const BATCH: usize = 32;
    let (mut build, mut new, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds().div_ceil(10) {
        let description = guard();
        let began = now();
        let service = description.build().expect("a guard").layer().layer(Bare);
        build.push(began.elapsed().as_secs_f64() * 1e6);
        for batch in tokens.chunks(BATCH) {
            // Sent twice, each token is new once and known once.
            for times in [&mut new, &mut known] {
                let mut some = batch.iter().map(|token| request(token));
                let take = || some.next().expect("a batch");
                times.push(each(BATCH, take, |request| assert_eq!(run(service.clone(), request), 200)));
            }
        }
    }
    let [build, new, known] = [build, new, known].map(|times| median(times.into_iter()));
    println!("{size:<44} {build:>10.0} {new:>10.0} {known:>10.0}");
}

fn rounds() -> usize {
    if is_measuring() { 200 } else { 1 }
}
