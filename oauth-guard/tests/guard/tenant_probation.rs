//! What invented tenants cost where a resolver decides by a rule, and where a tenant's keys may be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use oauth_client::transport::PublicOnly;
use oauth_guard::clock::TestClock;
use oauth_guard::{Guard, GuardBuilder, HttpClient, Issuer};
use oauth_mock::{Alg, MockServer};
use serde_json::json;
use tokio::time::advance;
use tower::service_fn;

use crate::support::call;

const AUTH: &str = "https://auth.example.com";

/// Many issuers below one origin that share their keys: those below `/real/` exist.
#[derive(Clone)]
struct World {
    server: Arc<MockServer>,
    clock: TestClock,
    /// Where their metadata says the keys are.
    jwks_uri: Arc<str>,
    /// The URLs that were requested, and whether only public addresses were allowed.
    requests: Arc<Mutex<Vec<(String, bool)>>>,
}

impl World {
    fn new() -> Self {
        Self::with_keys_at("https://auth.example.com/keys")
    }

    fn with_keys_at(jwks_uri: &str) -> Self {
        let server = MockServer::builder().algorithms([Alg::EdDsa]).audience("orders-api").in_process();
        // In the notation that requests have.
        let jwks_uri = url::Url::parse(jwks_uri).unwrap().as_str().into();
        let requests = Arc::default();
        Self { server: Arc::new(server), clock: TestClock::new(), jwks_uri, requests }
    }

    fn builder(&self) -> GuardBuilder {
        let this = self.clone();
        let http = HttpClient::from_service(service_fn(move |request: Request<_>| {
            let response = this.respond(&request);
            async move { Ok::<_, std::io::Error>(response) }
        }));
        Guard::builder().http(http).clock(self.clock.clone())
    }

    /// A resolver that accepts every name.
    fn by_rule(&self, issuer: impl Fn(Issuer) -> Issuer + Send + Sync + 'static) -> GuardBuilder {
        let issuer = Arc::new(issuer);
        self.builder().resolve_issuers(move |name: String| {
            let issuer = Arc::clone(&issuer);
            async move { Ok::<_, std::io::Error>(Some(issuer(Issuer::new(name).audience("orders-api")))) }
        })
    }

    fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let url = request.uri().to_string();
        let public_only = request.extensions().get::<PublicOnly>().is_some();
        self.requests.lock().unwrap().push((url.clone(), public_only));
        let metadata = url.split_once("/.well-known/oauth-authorization-server");
        let body = match metadata {
            _ if url == *self.jwks_uri => self.server.keys().jwks_json(),
            Some((origin, path)) if path.is_empty() || path.starts_with("/real/") => {
                json!({"issuer": format!("{origin}{path}"), "jwks_uri": &*self.jwks_uri}).to_string()
            }
            _ => return Response::builder().status(404).body(Full::default()).unwrap(),
        };
        Response::builder().header("content-type", "application/json").body(Full::from(body)).unwrap()
    }

    fn token(&self, issuer: &str) -> String {
        self.server.mint().issuer(issuer).build()
    }

    fn requests(&self) -> Vec<(String, bool)> {
        self.requests.lock().unwrap().clone()
    }
}

fn real(number: usize) -> String {
    format!("{AUTH}/real/{number}")
}

/// An unsigned token that names an issuer.
fn invented(good: &str, number: usize) -> String {
    let payload: Vec<_> = good.split('.').map(str::to_owned).collect();
    let claims = URL_SAFE_NO_PAD.decode(&payload[1]).unwrap();
    let mut claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["iss"] = format!("{AUTH}/invented/{number}").into();
    format!("{}.{}.AAAA", payload[0], URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[tokio::test(start_paused = true)]
async fn invented_tenants_cost_a_bounded_number_of_requests_and_displace_no_real_one() {
    let world = World::new();
    let guard = world.by_rule(|issuer| issuer).build().unwrap();
    let good = world.token(&real(0));
    assert_eq!(call(&guard, &good).await.status, 200);
    let before = world.requests().len();
    for number in 0..1_200 {
        let reply = call(&guard, &invented(&good, number)).await;
        assert_eq!((reply.status, reply.challenge), (503, None), "{number}");
    }
    // Each asks for two documents, of which there is none.
    let cost = world.requests().len() - before;
    assert!(cost <= 2 * 32, "{cost} requests");
    let tenants = guard.health().tenants.unwrap();
    assert_eq!((tenants.known, tenants.on_probation), (1, 32));

    // The real one is served as ever, with tokens seen before and new ones.
    assert_eq!(call(&guard, &good).await.status, 200);
    assert_eq!(call(&guard, &world.token(&real(0))).await.status, 200);
    assert_eq!(world.requests().len() - before, cost);

    // A real one that comes during the flood waits for the budget, which comes back by the second.
    let late = call(&guard, &world.token(&real(1))).await;
    assert_eq!((late.status, late.retry_after.as_deref()), (503, Some("1")));
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&guard, &world.token(&real(1))).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_lasting_flood_costs_one_fetch_a_second() {
    let world = World::new();
    let guard = world.by_rule(|issuer| issuer).build().unwrap();
    let good = world.token(&real(0));
    let mut before = 0;
    for second in 0..60 {
        for number in 0..40 {
            assert_eq!(call(&guard, &invented(&good, 40 * second + number)).await.status, 503);
        }
        let cost = world.requests().len() - before;
        assert!(cost <= if second == 0 { 2 * 32 } else { 2 }, "{cost} requests in second {second}");
        before += cost;
        advance(Duration::from_secs(1)).await;
    }
    let health = guard.health();
    let tenants = health.tenants.unwrap();
    assert!(tenants.on_probation <= 64 && tenants.known == 0, "{tenants:?}");
    assert_eq!((tenants.without_keys, health.issuers.len()), (tenants.on_probation, 10));
}

#[tokio::test(start_paused = true)]
async fn many_real_tenants_at_a_start_do_not_wait_for_each_other() {
    let world = World::new();
    let guard = world.by_rule(|issuer| issuer).build().unwrap();
    for number in 0..200 {
        assert_eq!(call(&guard, &world.token(&real(number))).await.status, 200, "{number}");
    }
    let health = guard.health();
    let tenants = health.tenants.unwrap();
    assert_eq!((tenants.known, tenants.on_probation, tenants.without_keys), (200, 0, 0));
    assert_eq!(health.issuers.len(), 10, "no list of all customers");
    assert_eq!(exported(&guard), 200);
}

/// Until its first verified token, each further fetch of a tenant is taken from the budget too.
#[tokio::test(start_paused = true)]
async fn a_tenant_whose_tokens_never_verify_stays_on_probation() {
    let world = World::new();
    let guard = world.by_rule(|issuer| issuer).build().unwrap();
    let forged = || world.server.mint().issuer(real(0)).signature([7; 64]).build();
    assert_eq!(call(&guard, &forged()).await.status, 401);
    assert_eq!(guard.health().tenants.unwrap().on_probation, 1);
    assert_eq!(exported(&guard), 0);
    assert_eq!(call(&guard, &world.token(&real(0))).await.status, 200);
    assert_eq!(guard.health().tenants.unwrap().known, 1);
}

#[tokio::test(start_paused = true)]
async fn preloaded_tenants_need_no_budget() {
    let world = World::new();
    let first = world.by_rule(|issuer| issuer).build().unwrap();
    for number in 0..40 {
        assert_eq!(call(&first, &world.token(&real(number))).await.status, 200);
    }
    let next = world.by_rule(|issuer| issuer).build().unwrap();
    assert_eq!(next.preload_keys(&first.export_keys()), 40);
    let good = world.token(&real(0));
    for number in 0..100 {
        assert_eq!(call(&next, &invented(&good, number)).await.status, 503);
    }
    for number in 0..40 {
        assert_eq!(call(&next, &world.token(&real(number))).await.status, 200, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn known_tenants_stay_known_over_a_reload() {
    let world = World::new();
    let guard = world.by_rule(|issuer| issuer).build().unwrap();
    let good = world.token(&real(0));
    assert_eq!(call(&guard, &good).await.status, 200);
    for number in 0..100 {
        call(&guard, &invented(&good, number)).await;
    }
    // Keys at another location have to be fetched anew, and the budget is used up.
    guard.reload(world.by_rule(|issuer| issuer.jwks_uri("https://auth.example.com/keys"))).unwrap();
    assert_eq!(call(&guard, &good).await.status, 200, "a known one needs none");
    assert_eq!(call(&guard, &world.token(&real(1))).await.status, 503, "the budget is that of the guard");
}

fn exported(guard: &Guard) -> usize {
    serde_json::to_value(guard.export_keys()).unwrap().as_array().unwrap().len()
}

/// Addresses of one's own network, in several notations.
const PRIVATE: [&str; 7] = [
    "https://10.0.0.5/keys",
    "https://169.254.169.254/latest/meta-data",
    "https://localhost/keys",
    "https://2130706433/keys",
    "https://[fd00::1]/keys",
    "https://vault.internal/keys",
    "https://keys/keys",
];

#[tokio::test(start_paused = true)]
async fn a_tenants_metadata_leads_to_no_private_address() {
    for jwks_uri in PRIVATE {
        let world = World::with_keys_at(jwks_uri);
        let guard = world.by_rule(|issuer| issuer).build().unwrap();
        assert_eq!(call(&guard, &world.token(&real(0))).await.status, 503, "{jwks_uri}");
        assert_eq!(world.requests().len(), 1, "{jwks_uri}: the metadata alone");
        assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("discovery"), "{jwks_uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_configured_issuers_metadata_leads_to_no_private_address() {
    let world = World::with_keys_at("https://10.0.0.5/keys");
    let issuer = || Issuer::new(real(0)).audience("orders-api");
    let guard = world.builder().issuer(issuer()).build().unwrap();
    assert_eq!(call(&guard, &world.token(&real(0))).await.status, 503);
    assert_eq!(world.requests().len(), 1);
    for allowed in [
        world.builder().issuer(issuer().allow_private_jwks()),
        world.builder().issuer(issuer()).allow_private_jwks(),
        // The configuration itself may name any address.
        world.builder().issuer(issuer().jwks_uri("https://10.0.0.5/keys")),
    ] {
        let guard = allowed.build().unwrap();
        assert_eq!(call(&guard, &world.token(&real(0))).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_leads_to_no_private_address() {
    for jwks_uri in PRIVATE {
        let world = World::with_keys_at(jwks_uri);
        let guard = world.by_rule(move |issuer| issuer.jwks_uri(jwks_uri)).build().unwrap();
        assert_eq!(call(&guard, &world.token(&real(0))).await.status, 503, "{jwks_uri}");
        assert_eq!(world.requests().len(), 0, "{jwks_uri}");
        let allowed = world.by_rule(move |issuer| issuer.jwks_uri(jwks_uri)).allow_private_jwks();
        assert_eq!(call(&allowed.build().unwrap(), &world.token(&real(0))).await.status, 200, "{jwks_uri}");
    }
    let world = World::with_keys_at(PRIVATE[0]);
    let guard = world.by_rule(|issuer| issuer.jwks_uri(PRIVATE[0]).allow_private_jwks()).build().unwrap();
    assert_eq!(call(&guard, &world.token(&real(0))).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_private_issuer_may_have_its_keys_on_its_network() {
    for issuer in ["https://10.0.0.9", "https://auth.internal"] {
        let world = World::with_keys_at("https://10.0.0.5/keys");
        let guard = world.by_rule(|issuer| issuer).build().unwrap();
        assert_eq!(call(&guard, &world.token(issuer)).await.status, 200, "{issuer}");
    }
}

/// A public name may resolve to a private address: the transport learns where it must check that.
#[tokio::test(start_paused = true)]
async fn the_transport_learns_which_requests_must_stay_public() {
    let must_be_public = |world: &World| world.requests().last().unwrap().1;
    let elsewhere = World::with_keys_at("https://keys.example.net/keys");
    let guard = elsewhere.by_rule(|issuer| issuer).build().unwrap();
    assert_eq!(call(&guard, &elsewhere.token(&real(0))).await.status, 200);
    assert!(must_be_public(&elsewhere) && !elsewhere.requests()[0].1);

    let allowed = elsewhere.by_rule(Issuer::allow_private_jwks).build().unwrap();
    assert_eq!(call(&allowed, &elsewhere.token(&real(0))).await.status, 200);
    assert!(!must_be_public(&elsewhere));

    let resolved = elsewhere.by_rule(|issuer| issuer.jwks_uri("https://keys.example.net/keys"));
    assert_eq!(call(&resolved.build().unwrap(), &elsewhere.token(&real(0))).await.status, 200);
    assert!(must_be_public(&elsewhere));

    let configured = Issuer::new(real(0)).audience("orders-api").jwks_uri("https://keys.example.net/keys");
    let guard = elsewhere.builder().issuer(configured).build().unwrap();
    assert_eq!(call(&guard, &elsewhere.token(&real(0))).await.status, 200);
    assert!(!must_be_public(&elsewhere));

    // Where the issuer itself is: its metadata is requested there anyway.
    let same = World::new();
    let guard = same.by_rule(|issuer| issuer).build().unwrap();
    assert_eq!(call(&guard, &same.token(&real(0))).await.status, 200);
    assert!(!must_be_public(&same));
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_allows_private_addresses_no_longer_is_obeyed_by_the_next_fetch() {
    let world = World::with_keys_at("https://10.0.0.5/keys");
    let issuer = || Issuer::new(real(0)).audience("orders-api");
    let guard = world.builder().issuer(issuer()).allow_private_jwks().build().unwrap();
    assert_eq!(call(&guard, &world.token(&real(0))).await.status, 200);
    guard.reload(Guard::builder().issuer(issuer())).unwrap();
    advance(Duration::from_secs(601)).await;
    assert_eq!(call(&guard, &world.token(&real(0))).await.status, 200, "with the keys at hand");
    assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("discovery"));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_file_allows_private_addresses() {
    let world = World::with_keys_at("https://10.0.0.5/keys");
    let read = |top: bool, issuer: bool| {
        let config: oauth_guard::config::GuardConfig = serde_json::from_value(json!({
            "allow_private_jwks": top,
            "issuer": [{"issuer": real(0), "audience": ["orders-api"], "allow_private_jwks": issuer}],
        }))
        .unwrap();
        let http = world.builder();
        let guard = http.issuer(Issuer::new("https://x.example").audience("a")).build().unwrap();
        guard.reload(config).unwrap();
        guard
    };
    for (top, issuer, status) in [(false, false, 503), (true, false, 200), (false, true, 200)] {
        assert_eq!(call(&read(top, issuer), &world.token(&real(0))).await.status, status);
    }
}
