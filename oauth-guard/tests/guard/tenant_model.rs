//! A model of tenants: threads resolve, delete, create, forget, evict and reload at random, and each response must be the
//! one that the model has.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use oauth_guard::{Guard, GuardBuilder, Issuer};
use oauth_mock::{Alg, MockServer};

use crate::support::call;

/// More than are kept, so that tenants are evicted all the time.
const TENANTS: usize = 1_200;
/// These are deleted and created again; they are used more often than the others.
const BUSY: usize = 40;
const THREADS: u64 = 4;
const ROUNDS: usize = 8_000;
const AUDIENCES: [&str; 2] = ["orders-api", "another-api"];

/// One tenant of the model. Its version is odd while it is deleted or created, and a response counts only if the version
/// was even and the same before and after the request.
#[derive(Default)]
struct Tenant {
    version: AtomicU64,
    is_deleted: AtomicBool,
    changing: Mutex<()>,
}

struct Model {
    tenants: Vec<Tenant>,
    /// The same for the configuration: its audience is that number in `AUDIENCES`.
    generation: AtomicU64,
    audience: AtomicUsize,
    reloading: RwLock<()>,
    /// For each tenant a token of each audience.
    tokens: Vec<[String; 2]>,
    keys: Arc<str>,
}

impl Model {
    fn builder(self: &Arc<Self>, audience: usize) -> GuardBuilder {
        let this = Arc::clone(self);
        Guard::builder().resolve_issuers(move |name: String| {
            let number: usize = name.rsplit('/').next().unwrap().parse().unwrap();
            let is_deleted = this.tenants[number].is_deleted.load(Ordering::SeqCst);
            let keys = this.keys.to_string();
            async move {
                tokio::task::yield_now().await;
                let issuer = || Issuer::new(name).audience(AUDIENCES[audience]).jwks_json(keys);
                Ok::<_, String>((!is_deleted).then(issuer))
            }
        })
    }

    /// Sends a token, and compares the response if nothing changed meanwhile. Returns whether it counted.
    async fn request(&self, guard: &Guard, number: usize, audience: usize) -> bool {
        let tenant = &self.tenants[number];
        let versions = || (tenant.version.load(Ordering::SeqCst), self.generation.load(Ordering::SeqCst));
        let before = versions();
        let expected =
            !tenant.is_deleted.load(Ordering::SeqCst) && self.audience.load(Ordering::SeqCst) == audience;
        let status = call(guard, &self.tokens[number][audience]).await.status;
        let counts = before == versions() && before.0.is_multiple_of(2) && before.1.is_multiple_of(2);
        if counts {
            assert_eq!(status, if expected { 200 } else { 401 }, "tenant {number} at {before:?}");
        }
        counts
    }

    /// Deletes a tenant, or creates it again; either way the guard is to forget what it knows.
    fn change(&self, guard: &Guard, number: usize) {
        let tenant = &self.tenants[number];
        let _changing = tenant.changing.lock().unwrap();
        tenant.version.fetch_add(1, Ordering::SeqCst);
        tenant.is_deleted.fetch_xor(true, Ordering::SeqCst);
        guard.forget_issuer(&name(number));
        tenant.version.fetch_add(1, Ordering::SeqCst);
    }

    fn reload(self: &Arc<Self>, guard: &Guard) {
        let _reloading = self.reloading.write().unwrap();
        let next = 1 - self.audience.load(Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst);
        guard.reload(self.builder(next)).unwrap();
        self.audience.store(next, Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

fn name(number: usize) -> String {
    format!("https://auth.example.com/tenants/{number}")
}

/// SplitMix64: enough for choices, and one number makes a run repeatable as far as threads are.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }
}

#[test]
fn tenants_follow_their_model() {
    let seed = match std::env::var("TENANT_MODEL_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RandomState::new().build_hasher().finish(),
    };
    println!("seed {seed}; TENANT_MODEL_SEED={seed} repeats it");
    let server = MockServer::builder().algorithms([Alg::EdDsa]).in_process();
    let token = |number: usize, audience: &str| {
        let mint = server.mint().issuer(name(number)).audience(audience);
        mint.issued_at(1_700_000_000).expires_at(9_000_000_000).build()
    };
    let model = Arc::new(Model {
        tenants: (0..TENANTS).map(|_| Tenant::default()).collect(),
        generation: AtomicU64::new(0),
        audience: AtomicUsize::new(0),
        reloading: RwLock::default(),
        tokens: (0..TENANTS).map(|number| AUDIENCES.map(|audience| token(number, audience))).collect(),
        keys: server.keys().jwks_json().into(),
    });
    let threads = usize::try_from(THREADS).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.unwrap();
    let guard = runtime.block_on(async { model.builder(0).build().unwrap() });
    let workers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (model, guard, mut random) = (Arc::clone(&model), guard.clone(), Random(seed ^ thread));
            runtime.spawn(async move {
                let mut done = Done::default();
                // So few that tenants are evicted in between.
                let reload_at = random.below(ROUNDS);
                for round in 0..ROUNDS {
                    // While one goes and another comes there is one less: one look may miss the most.
                    if round % 100 == 0 || round == reload_at {
                        done.most = done.most.max(guard.health().tenants.unwrap().known);
                    }
                    if round == reload_at {
                        model.reload(&guard);
                        done.reloads += 1;
                    }
                    let number = match random.below(10_000) {
                        0..500 => {
                            model.change(&guard, random.below(BUSY));
                            done.changes += 1;
                            continue;
                        }
                        500..5_000 => random.below(BUSY),
                        _ => random.below(TENANTS),
                    };
                    // Mostly tokens of the audience in force: only they make a tenant known.
                    let in_force = model.audience.load(Ordering::SeqCst);
                    let audience = if random.below(8) == 0 { 1 - in_force } else { in_force };
                    done.counted += usize::from(model.request(&guard, number, audience).await);
                }
                done.most = done.most.max(guard.health().tenants.unwrap().known);
                done
            })
        })
        .collect();
    let mut all = Done::default();
    for worker in workers {
        let done = runtime.block_on(worker).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        all.counted += done.counted;
        all.changes += done.changes;
        all.reloads += done.reloads;
        all.most = all.most.max(done.most);
    }
    let tenants = guard.health().tenants.unwrap();
    println!("{all:?}; at the end {tenants:?}");
    assert!(tenants.known <= 1_000 && tenants.on_probation <= 64, "{tenants:?}");
    assert_eq!(all.most, 1_000, "seed {seed}: none was evicted");
    assert!(all.counted > ROUNDS && all.changes > 100, "seed {seed}: {all:?}");
}

/// What a thread did.
#[derive(Debug, Default)]
struct Done {
    /// Responses that were as the model has them.
    counted: usize,
    changes: usize,
    reloads: usize,
    /// The most tenants that were known at a time.
    most: usize,
}
