//! What the guard costs, in the figures that this project promises: `cargo bench -p tower-oauth-guard --bench speed`, with the name of
//! a part behind `--` for that part alone.
//!
//! Each is the median of many rounds, in which the guarded request and what it is compared with take turns.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[path = "setting/libraries.rs"]
mod libraries;
#[path = "setting/opaque.rs"]
mod opaque;
#[path = "../../oauth-client/benches/measure/paired.rs"]
mod paired;
mod setting;
#[path = "setting/shared_secret.rs"]
mod shared_secret;
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;
#[path = "../../oauth-client/benches/measure/yardstick.rs"]
mod yardstick;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use highway::{HighwayHash, HighwayHasher, Key};
use http::{Extensions, HeaderValue, Request, Response, header};
use http_body_util::Empty;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use oauth_guard::{ClientAuth, Guard, GuardService, HttpClient, Issuer, KeyPolicy, Requirement};
use oauth_mock::Alg;
use tower::Layer;

use self::libraries::{Shares, digest};
use self::opaque::Opaque;
use self::paired::{REQUESTS, each, median, now, paired};
use self::setting::{AUDIENCE, Bare, Setting, TENANT, request, run};
use self::shared_secret::Many;
use self::summary::{Summary, is_measuring, is_wanted};
use self::yardstick::Yardstick;

fn main() {
    let rounds = if is_measuring() { 600 } else { 2 };
    let (mut summary, mut yardstick) = (Summary::new(), Yardstick::new());
    let parts: [(&str, Part); 10] = [
        ("known", known_token),
        ("opaque", opaque_token),
        ("pieces", |_, rounds| pieces(rounds)),
        ("rs256", |summary, rounds| new_token(summary, "guard_new_rs256_over_raw", Alg::Rs256, rounds)),
        ("es256", |summary, rounds| new_token(summary, "guard_new_es256_over_raw", Alg::Es256, rounds)),
        ("eddsa", |summary, rounds| new_token(summary, "guard_new_eddsa_over_raw", Alg::EdDsa, rounds)),
        ("refused", |summary, rounds| {
            forged(summary, rounds);
            unknown_key(summary, rounds);
        }),
        ("policy", policy),
        ("threads", two_threads),
        ("million", million),
    ];
    for (name, part) in parts {
        if is_wanted(name) {
            yardstick.measure();
            part(&mut summary, rounds);
        }
    }
    yardstick.measure();
    yardstick.finish(&mut summary);
    summary.finish();
}

type Part = fn(&mut Summary, usize);

fn known_token(summary: &mut Summary, rounds: usize) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    assert_eq!(token.len(), 905, "the promise is about a token of this size");
    let service = setting.builder().build().expect("a guard").layer().layer(Bare);
    assert_eq!(run(service.clone(), request(&token)), 200);
    let make = || request(&token);
    let found = paired(
        rounds,
        || each(REQUESTS, make, |request| run(service.clone(), request)),
        || each(REQUESTS, make, |request| run(Bare, request)),
    );
    println!("known token: {:.0} ns guarded, {:.0} ns bare", found.ours, found.theirs);
    summary.tell("guard_cached_added_ns", found.added);
}

/// A token that its server is asked about: known by now, and new, beside the question itself.
fn opaque_token(summary: &mut Summary, rounds: usize) {
    let setting = Opaque::new();
    let token = opaque::known(0);
    assert_eq!(setting.status(request(&token)), 200);
    let service = setting.guard.layer().layer(Bare);
    let make = || request(&token);
    let found = paired(
        rounds,
        || each(REQUESTS, make, |request| run(service.clone(), request)),
        || each(REQUESTS, make, |request| run(Bare, request)),
    );
    assert_eq!(setting.questions(), 1);
    println!("known opaque token: {:.0} ns guarded, {:.0} ns bare", found.ours, found.theirs);
    summary.tell("guard_opaque_known_added_ns", found.added);

    // The same questions without a guard.
    let client = oauth_client::Client::builder()
        .auth(ClientAuth::basic("orders-api", "s3cr3t"))
        .http(opaque::endpoint(Arc::default()))
        .token_endpoint(opaque::ENDPOINT)
        .endpoint(oauth_client::discover::Endpoint::Introspection, opaque::ENDPOINT)
        .build()
        .expect("a client");
    let (next, time) = (Cell::new(1), Duration::from_secs(5));
    let new = || {
        next.set(next.get() + 1);
        opaque::known(next.get())
    };
    let found = paired(
        rounds,
        || each(8, || request(&new()), |request| assert_eq!(setting.status(request), 200)),
        || {
            let ask = |token: String| {
                let token = oauth_client::Secret::from(token.as_str());
                let asked = client.introspection_response(&token, time);
                setting.runtime.block_on(asked).expect("a response").len()
            };
            each(8, new, ask)
        },
    );
    println!(
        "new opaque token: {:.2} us guarded, {:.2} us the question alone",
        found.ours / 1e3,
        found.theirs / 1e3
    );
    summary.tell("guard_opaque_new_own_ns", found.added);
}

/// Beside the signature check alone: parsing, validating, caching, and the call through the layer.
fn new_token(summary: &mut Summary, name: &str, algorithm: Alg, rounds: usize) {
    const BATCH: usize = 8;
    let setting = Setting::new(algorithm);
    let tokens: Vec<String> = (0..1024).map(|_| setting.token()).collect();
    let signatures: Vec<Vec<u8>> = tokens
        .iter()
        .map(|token| {
            URL_SAFE_NO_PAD.decode(token.rsplit('.').next().expect("a signature")).expect("base64url")
        })
        .collect();
    let key = raw_key(&setting, algorithm);
    let fresh = || setting.builder().build().expect("a guard").layer().layer(Bare);
    let (mut service, mut next) = (fresh(), 0);
    let raw_next = Cell::new(0);
    let found = paired(
        rounds,
        || {
            if next == tokens.len() {
                // All are cached by now; a guard with an empty cache takes over.
                (service, next) = (fresh(), 0);
            }
            let some = &tokens[next..next + BATCH];
            next += BATCH;
            let mut some = some.iter().map(|token| request(token));
            each(
                BATCH,
                || some.next().expect("a batch"),
                |request| assert_eq!(run(service.clone(), request), 200),
            )
        },
        || {
            let start = raw_next.replace((raw_next.get() + BATCH) % tokens.len());
            let mut some = tokens[start..].iter().zip(&signatures[start..]);
            each(
                BATCH,
                || some.next().expect("a batch"),
                |(token, signature)| {
                    let signed = token.rsplit_once('.').expect("a signature").0;
                    key.verify_sig(signed.as_bytes(), signature).expect("a good signature");
                },
            )
        },
    );
    println!(
        "new token, {algorithm:?}: {:.2} us through the layer, {:.2} us raw, {:.0} ns added",
        found.ours / 1e3,
        found.theirs / 1e3,
        found.added
    );
    summary.tell(name, found.ratio);
}

/// Including the response: a 401 with its challenge.
fn forged(summary: &mut Summary, rounds: usize) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let signed = token.rsplit_once('.').expect("a signature").0;
    let forgery = [7; 256];
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(forgery));
    let key = raw_key(&setting, Alg::Rs256);
    let service = setting.builder().build().expect("a guard").layer().layer(Bare);
    assert_eq!(run(service.clone(), request(&forged)), 401);
    let found = paired(
        rounds,
        || each(8, || request(&forged), |request| run(service.clone(), request)),
        || each(8, || (), |()| key.verify_sig(signed.as_bytes(), &forgery).is_err()),
    );
    println!(
        "forged: {:.2} us rejected, {:.2} us raw, {:.0} ns added",
        found.ours / 1e3,
        found.theirs / 1e3,
        found.added
    );
    summary.tell("guard_forged_over_raw", found.ratio);
}

/// Within the cool-down, when the keys were just fetched for another unknown key.
fn unknown_key(summary: &mut Summary, rounds: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let setting = Setting::new(Alg::Rs256);
    let issuer = Issuer::new(setting.server.issuer()).audience(AUDIENCE);
    let long = Duration::from_secs(3600);
    let guard = Guard::builder()
        .issuer(issuer)
        .http(HttpClient::from_service(setting.server.transport()))
        .keys(KeyPolicy { cooldown: long, max_age: long, ..KeyPolicy::default() })
        .build()
        .expect("a guard");
    let token = setting.mint().issuer(setting.server.issuer()).kid("a-key-id-that-is-in-no-set").build();
    let rejected = runtime.block_on(async { guard.check(&request(&token)).resolve().await });
    let rejected = rejected.expect_err("the key is unknown");
    assert_eq!(rejected.reason(), "key_unknown", "{:?}", guard.health());
    let service = guard.layer().layer(Bare);
    assert_eq!(run(service.clone(), request(&token)), 401);
    let found = paired(
        rounds,
        || each(REQUESTS, || request(&token), |request| run(service.clone(), request)),
        || each(REQUESTS, || request(&token), |request| run(Bare, request)),
    );
    summary.tell("guard_unknown_kid_ns", found.ours);
}

/// A cached token through a layer with eight requirements, and through one with none.
fn policy(summary: &mut Summary, rounds: usize) {
    let setting = Setting::new(Alg::Es256);
    let guard = setting.builder().build().expect("a guard");
    // All eight are checked.
    let requirement = Requirement::all([
        Requirement::scope("orders:read"),
        Requirement::scope("orders:write"),
        Requirement::scope("customers:read"),
        Requirement::client("orders-frontend-production"),
        Requirement::claim("tenant", TENANT),
        !Requirement::role("robot"),
        Requirement::role("admin") | Requirement::scope("email"),
    ]);
    let token = setting.token();
    let asking = guard.layer().require(requirement).layer(Bare);
    let plain = guard.layer().layer(Bare);
    assert_eq!(run(asking.clone(), request(&token)), 200);
    let found = paired(
        rounds,
        || each(REQUESTS, || request(&token), |request| run(asking.clone(), request)),
        || each(REQUESTS, || request(&token), |request| run(plain.clone(), request)),
    );
    summary.tell("policy_eval_ns", found.added);
}

/// How much more two threads get done than one, in the same time; and how much of what they would get done with nothing in
/// common.
fn two_threads(summary: &mut Summary, rounds: usize) {
    const BATCH: usize = 256;
    let setting = Setting::new(Alg::Es256);
    let tokens: Vec<String> = (0..64).map(|_| setting.token()).collect();
    let guarded = || setting.builder().build().expect("a guard").layer().layer(Bare);
    let service = guarded();
    let work = |first: usize| {
        let mut turns = tokens.iter().cycle().skip(first);
        each(BATCH, || request(turns.next().expect("a cycle")), |request| run(service.clone(), request))
    };
    work(0);
    let arithmetic = |_| each(BATCH, || 0_u64, |start| (0..200).fold(start, |sum, n| black_box(sum ^ n)));
    println!(
        "two threads that share nothing get {:.2} times as much done as one",
        together(rounds, &arithmetic)
    );
    summary.tell("guard_two_threads_speedup", together(rounds, &work));

    // One token of one client, at one guard and at one for each thread.
    let (hot, apart) = (&tokens[0], [guarded(), guarded()]);
    let one =
        |service: &GuardService<Bare>| each(BATCH, || request(hot), |request| run(service.clone(), request));
    let shared = |_| one(&service);
    let unshared = |thread: usize| one(&apart[thread]);
    for threads in if is_measuring() { &[2, 4, 16][..] } else { &[2] } {
        // More threads than cores show that waiting threads delay no other.
        println!("{threads} threads, one hot token: {:.2} of what they get done with a guard each", {
            let apart: Vec<_> = (0..*threads).map(|_| guarded()).collect();
            compared(rounds.min(200), *threads, [&shared, &|thread| one(&apart[thread])])
        });
    }
    summary.tell("guard_hot_token_two_threads_of_unshared", compared(rounds, 2, [&shared, &unshared]));
}

/// What some threads get done of the first work, in the same time as of the second: both in turns.
fn compared(rounds: usize, threads: usize, works: [&(dyn Fn(usize) -> f64 + Sync); 2]) -> f64 {
    let meeting = Meeting::of(threads);
    let run = |thread: usize| -> Vec<[f64; 2]> {
        let mut turn = 0;
        let mut measured = |which: usize| {
            turn += 1;
            meeting.meet(turn);
            works[which](thread)
        };
        let rounds = (0..rounds).map(|round| {
            // Each goes first in turn.
            let first = measured(round % 2);
            let second = measured(1 - round % 2);
            if round % 2 == 0 { [first, second] } else { [second, first] }
        });
        rounds.collect()
    };
    let run = &run;
    let times: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        all.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let rate = |round: usize, which: usize| times.iter().map(|times| 1.0 / times[round][which]).sum::<f64>();
    median((0..rounds).map(|round| rate(round, 0) / rate(round, 1)))
}

/// Where threads wait for each other in a loop: to be woken takes longer than the work.
struct Meeting {
    arrived: AtomicUsize,
    threads: usize,
}

impl Meeting {
    fn of(threads: usize) -> Self {
        Self { arrived: AtomicUsize::new(0), threads }
    }

    fn meet(&self, turn: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let since = now();
        while self.arrived.load(Ordering::Acquire) < turn * self.threads {
            if since.elapsed() > Duration::from_micros(50) {
                thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

fn together(rounds: usize, work: &(impl Fn(usize) -> f64 + Sync)) -> f64 {
    let meeting = Meeting::of(2);
    let meet = |turn: usize| meeting.meet(turn);
    let (alone, both) = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let times = (0..rounds).map(|round| {
                meet(3 * round + 1);
                let time = work(32);
                meet(3 * round + 2);
                meet(3 * round + 3);
                time
            });
            times.collect::<Vec<_>>()
        });
        let mine = (0..rounds).map(|round| {
            meet(3 * round + 1);
            let both = work(0);
            meet(3 * round + 2);
            let alone = work(0);
            meet(3 * round + 3);
            (alone, both)
        });
        let mine: Vec<_> = mine.collect();
        let others = other.join().expect("the other thread");
        let alone: Vec<f64> = mine.iter().map(|(alone, _)| *alone).collect();
        let both: Vec<f64> =
            mine.iter().zip(others).map(|((_, mine), other)| 1.0 / mine + 1.0 / other).collect();
        (alone, both)
    });
    median(alone.iter().zip(&both).map(|(alone, both)| alone * both))
}

/// The known token again, when it is one of a million.
fn million(summary: &mut Summary, rounds: usize) {
    let count = if is_measuring() { 1_000_000 } else { 1_000 };
    let many = Many::like(&Setting::new(Alg::Rs256).token());
    let guard = Many::guard().build().expect("a guard");
    let service = guard.layer().layer(Bare);
    for number in 0..count {
        assert_eq!(run(service.clone(), request(&many.token(number))), 200);
    }
    assert_eq!(guard.health().cache.entries, count as u64);
    let mut shares = Shares::new();
    let mut make = || request(&many.token(shares.rank(count)));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(each(REQUESTS, &mut make, |request| run(service.clone(), request)));
        theirs.push(each(REQUESTS, &mut make, |request| run(Bare, request)));
    }
    let (ours, theirs) = (median(ours.into_iter()), median(theirs.into_iter()));
    println!("one of {count}: {ours:.0} ns guarded, {theirs:.0} ns bare");
    let moka = libraries::moka(count, rounds);
    println!("the cache library's part of it, by itself: {moka:.0} ns");
    println!("another one's, quick_cache's: {:.0} ns", libraries::quick_cache(count, rounds));
    summary.tell("guard_million_get_ns", ours - theirs);
}

/// What libraries take for their part of a request, each by itself: the floor under what is ours.
fn pieces(rounds: usize) {
    let setting = Setting::new(Alg::Rs256);
    let token = setting.token();
    let of = |run: &mut dyn FnMut()| median((0..rounds).map(|_| each(32, || (), |()| run())));
    let digest =
        of(&mut || _ = black_box(HighwayHasher::new(Key([1, 2, 3, 4])).hash256(black_box(token.as_bytes()))));
    let mut room = [0; 1024];
    let decoding = of(&mut || {
        for part in black_box(&token).split('.') {
            black_box(URL_SAFE_NO_PAD.decode_slice(part, &mut room).expect("base64url"));
        }
    });
    let map = of(&mut || {
        let mut extensions = Extensions::new();
        extensions.insert(black_box([1_u64, 2]));
        black_box(extensions);
    });
    let response = of(&mut || {
        let mut response = Response::new(Empty::<Bytes>::new());
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        black_box(response);
    });
    let (bare, insertion) = (of(&mut || _ = run(Bare, Request::new(Empty::new()))), insertion(rounds));
    println!("by themselves, in ns: digest {digest:.0}, base64 of all three parts {decoding:.0}");
    println!("  insertion into the cache {insertion:.0}, into a request's extensions {map:.0}");
    println!("  a response with three headers {response:.0}, a bare call {bare:.0}");
    println!(
        "  in all: new token {:.0}, forged {:.0}",
        digest + decoding + insertion + map + bare,
        digest + decoding + response + bare
    );
}

/// The floor under a new token beside its signature: an insertion into the cache library, of a value and by a digest
/// that are ready made.
fn insertion(rounds: usize) -> f64 {
    let times = (0..rounds / 8 + 1).flat_map(|_| {
        let cache = Cache::builder().max_capacity(1 << 20).eviction_policy(EvictionPolicy::lru()).build();
        let mut next = 0;
        let mut make = move || {
            next += 1;
            (digest(next), Arc::new([next; 4]))
        };
        (0..32).map(|_| each(8, &mut make, |(digest, value)| cache.insert(digest, value))).collect::<Vec<_>>()
    });
    median(times.collect::<Vec<_>>().into_iter())
}

/// The issuer's key as aws-lc-rs has it, parsed once.
fn raw_key(setting: &Setting, algorithm: Alg) -> ParsedPublicKey {
    let jwk = setting.server.keys().current().public_jwk();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a text")).expect("base64url");
    let parsed = match algorithm {
        Alg::Rs256 => RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256),
        Alg::Es256 => {
            let point = [vec![4], part("x"), part("y")].concat();
            ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
        }
        _ => ParsedPublicKey::new(&signature::ED25519, part("x")),
    };
    parsed.expect("a key")
}
