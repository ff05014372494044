//! What proofs of possession cost, and the store of used proofs: `cargo bench -p tower-oauth-guard --bench possession`, with the
//! name of a part behind `--` for that part alone.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[path = "../../oauth-client/benches/measure/paired.rs"]
mod paired;
mod setting;
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;
#[path = "../../oauth-client/benches/measure/yardstick.rs"]
mod yardstick;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use http::{HeaderValue, Request};
use oauth_guard::clock::{Clock, SystemClock};
use oauth_guard::replay::{Insertion, MemoryReplayStore, ProofId, ReplayStore};
use oauth_guard::{CertificateSource, Certificates, Dpop, TlsPeer};
use oauth_mock::{Alg, TestKey};
use tower::Layer;

use self::paired::{REQUESTS, each, median, now, paired};
use self::setting::{Bare, Body, Setting, request, run};
use self::summary::{Summary, is_measuring, is_wanted};
use self::yardstick::Yardstick;

const URL: &str = "https://api.example.com/orders";
const KEEP: Duration = Duration::from_secs(65);

fn main() {
    let rounds = if is_measuring() { 600 } else { 2 };
    let (mut summary, mut yardstick) = (Summary::new(), Yardstick::new());
    type Part = fn(&mut Summary, usize);
    let parts: [(&str, Part); 3] =
        [("dpop", dpop), ("certificate", certificate), ("replay", |summary, _| replay(summary))];
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

/// A known token with a fresh ES256 proof, through the layer, beside a bare verification of the proof.
fn dpop(summary: &mut Summary, rounds: usize) {
    const BATCH: usize = 8;
    let setting = Setting::new(Alg::Es256);
    let key = TestKey::generate(Alg::Es256);
    let token = setting.mint().bound_to(&key).build();
    // The mock has a clock of its own, the guard the machine's.
    let iat = i64::try_from(SystemClock.now().wall.as_secs()).expect("a time before the end of days");
    let proof =
        || setting.server.dpop_proof(&key, "GET", URL).access_token_hash(&token).issued_at(iat).build();
    let proofs: Vec<String> = (0..1024).map(|_| proof()).collect();
    let signatures: Vec<Vec<u8>> = proofs
        .iter()
        .map(|proof| {
            URL_SAFE_NO_PAD.decode(proof.rsplit('.').next().expect("a signature")).expect("base64url")
        })
        .collect();
    let jwk = key.public_jwk();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a text")).expect("base64url");
    let point = [vec![4], part("x"), part("y")].concat();
    let raw = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).expect("a key");
    let with = |proof: &str| {
        let mut sent = request(&token);
        let authorization = format!("DPoP {token}");
        sent.headers_mut().insert("authorization", HeaderValue::try_from(authorization).expect("a header"));
        sent.headers_mut().insert("dpop", HeaderValue::try_from(proof).expect("a header"));
        sent
    };
    let fresh = || {
        // The proofs are made beforehand, and used over and over: each once by each guard.
        let dpop = Dpop::new().max_age(Duration::from_secs(24 * 3600));
        let guard =
            setting.builder().public_url("https://api.example.com").dpop(dpop).build().expect("a guard");
        let service = guard.layer().layer(Bare);
        assert_eq!(run(service.clone(), with(&proof())), 200);
        service
    };
    let (mut service, mut next) = (fresh(), 0);
    let raw_next = Cell::new(0);
    let found = paired(
        rounds,
        || {
            if next == proofs.len() {
                (service, next) = (fresh(), 0);
            }
            let some = &proofs[next..next + BATCH];
            next += BATCH;
            let mut some = some.iter().map(|proof| with(proof));
            each(
                BATCH,
                || some.next().expect("a batch"),
                |request| assert_eq!(run(service.clone(), request), 200),
            )
        },
        || {
            let start = raw_next.replace((raw_next.get() + BATCH) % proofs.len());
            let mut some = proofs[start..].iter().zip(&signatures[start..]);
            each(
                BATCH,
                || some.next().expect("a batch"),
                |(proof, signature)| {
                    let signed = proof.rsplit_once('.').expect("a signature").0;
                    raw.verify_sig(signed.as_bytes(), signature).expect("a good signature");
                },
            )
        },
    );
    println!(
        "known token with a fresh proof: {:.2} us through the layer, {:.2} us raw, {:.0} ns added",
        found.ours / 1e3,
        found.theirs / 1e3,
        found.added
    );
    summary.tell("guard_dpop_known_over_raw", found.ratio);
}

/// A known token that is bound to the connection's certificate, beside the same token unbound.
fn certificate(summary: &mut Summary, rounds: usize) {
    let setting = Setting::new(Alg::Es256);
    let der = [7; 900];
    let print = URL_SAFE_NO_PAD.encode(digest(&SHA256, &der).as_ref());
    let cnf: serde_json::Value =
        [("x5t#S256".to_owned(), serde_json::Value::from(print))].into_iter().collect();
    let (bound, plain) = (setting.mint().claim("cnf", cnf).build(), setting.token());
    let certificates = Certificates::from(CertificateSource::Connection);
    let checking = setting.builder().certificates(certificates).build().expect("a guard").layer().layer(Bare);
    let bare = setting.builder().build().expect("a guard").layer().layer(Bare);
    let peer = TlsPeer::with_certificate(der);
    let with = |token: &str| -> Request<Body> {
        let mut sent = request(token);
        sent.extensions_mut().insert(peer);
        sent
    };
    assert_eq!(run(checking.clone(), request(&bound)), 401, "without the certificate");
    for _ in 0..64 {
        assert_eq!(run(checking.clone(), with(&bound)), 200);
        assert_eq!(run(bare.clone(), with(&plain)), 200);
    }
    let found = paired(
        rounds,
        || each(REQUESTS, || with(&bound), |request| run(checking.clone(), request)),
        || each(REQUESTS, || with(&plain), |request| run(bare.clone(), request)),
    );
    println!("known token: {:.0} ns bound to a certificate, {:.0} ns unbound", found.ours, found.theirs);
    summary.tell("guard_certificate_added_ns", found.added);
}

/// A million proofs of as many keys, which is the most that can be held of each entry.
fn replay(summary: &mut Summary) {
    let count: u64 = if is_measuring() { 1_000_000 } else { 10_000 };
    let held = measure(|| std::mem::forget(filled(count)));
    let bytes = held.bytes_current as f64 / count as f64;
    println!("each of {count} used proofs of as many keys holds {bytes:.0} bytes");
    summary.tell("guard_replay_entry_bytes", bytes);

    let store = filled(count);
    let mut number = count;
    let rounds = if is_measuring() { 3_000 } else { 2 };
    let insertion = median((0..rounds).map(|_| {
        let next = || {
            number += 1;
            proof(number)
        };
        each(64, next, |(key, jti)| insert(&store, &key, &jti))
    }));
    println!("an insertion beside them: {insertion:.0} ns");
    summary.tell("guard_replay_insert_ns", insertion);

    // Two threads on one store, and on one each, in turns. All of them are as full as the one above, as a busy service's is.
    let (per_round, turns) = if is_measuring() { (20_000, 41) } else { (100, 1) };
    let (one, two) = (filled(count), filled(count));
    let ratios = (0..turns).map(|turn| {
        let from = (turn + 1) << 40;
        let apart = pair_of([&one, &two], from, per_round);
        let together = pair_of([&store, &store], from, per_round);
        apart / together
    });
    let ratio = median(ratios);
    println!("two threads on one store: {ratio:.2} of two that share nothing");
    summary.tell("guard_replay_two_threads", ratio);
}

/// How long two threads take for so many insertions each.
fn pair_of([one, two]: [&MemoryReplayStore; 2], from: u64, count: u64) -> f64 {
    let barrier = Barrier::new(2);
    let work = |store: &MemoryReplayStore, from: u64| {
        let proofs: Vec<_> = (from..from + count).map(proof).collect();
        barrier.wait();
        let began = now();
        for (key, jti) in &proofs {
            insert(store, key, jti);
        }
        began.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| work(two, from));
        let ours = work(one, from + (1 << 32));
        other.join().expect("a thread").max(ours)
    })
}

fn filled(count: u64) -> MemoryReplayStore {
    let store = MemoryReplayStore::new(4 << 20, SystemClock).expect("a store");
    for number in 0..count {
        let (key, jti) = proof(number);
        insert(&store, &key, &jti);
    }
    store
}

fn insert(store: &MemoryReplayStore, key: &[u8; 32], jti: &str) {
    let inserted = store.insert(ProofId::new(key, jti), KEEP).now_or_never();
    assert!(
        matches!(black_box(inserted), Some(Ok(Insertion::Inserted))),
        "the proof is new, and there is room"
    );
}

fn proof(number: u64) -> ([u8; 32], String) {
    let mut key = [0; 32];
    for (index, part) in key.chunks_mut(8).enumerate() {
        part.copy_from_slice(
            &(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(index as u32 * 16)).to_le_bytes(),
        );
    }
    (key, format!("{number:022x}"))
}
