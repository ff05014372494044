//! What the requests for metadata and keys bring, and where it goes.

use std::time::Duration;

use http::Response;
use http_body_util::Full;
use oauth_client::secret::from_fn;
use oauth_guard::{Guard, Issuer};
use oauth_mock::{Alg, MockServer};
use serde_json::json;
use tokio::time::advance;

use crate::site::Site;
use crate::support::{File, call, settle};

const ISSUER: &str = "https://as.example/x";
const METADATA: &str = "https://as.example/.well-known/oauth-authorization-server/x";
const KEYS: &str = "https://as.example/x/keys";
const ELSEWHERE: &str = "https://cdn.example/x/keys";

struct Scene {
    server: MockServer,
    site: Site,
}

impl Scene {
    /// Keys at that URL, which the metadata name.
    fn new(keys: &str) -> Self {
        let server = MockServer::builder().audience("orders-api").algorithms([Alg::Es256]).in_process();
        let site = Site::default();
        site.metadata(METADATA, ISSUER, keys);
        site.keys(keys, &server);
        Self { server, site }
    }

    fn issuer() -> Issuer {
        Issuer::new(ISSUER).audience("orders-api")
    }

    fn guard(&self, issuer: Issuer) -> Guard {
        self.site.builder().issuer(issuer).build().unwrap()
    }

    async fn status(&self, guard: &Guard) -> u16 {
        call(guard, &self.server.mint().issuer(ISSUER).build()).await.status
    }
}

#[tokio::test(start_paused = true)]
async fn every_request_has_a_name_and_takes_a_key_set_by_its_own_type() {
    let scene = Scene::new(KEYS);
    // A strict server: 406 for who does not take its type, 403 for who does not say its name.
    let keys = scene.server.keys().jwks_json();
    scene.site.serve_by(KEYS, move |headers| {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let status =
            match (text("accept").contains("application/jwk-set+json"), text("user-agent").is_empty()) {
                (true, false) => 200,
                (false, _) => 406,
                (true, true) => 403,
            };
        Response::builder().status(status).body(Full::from(keys.clone())).unwrap()
    });
    assert_eq!(scene.status(&scene.guard(Scene::issuer())).await, 200);
    for url in [METADATA, KEYS] {
        let header = |name| scene.site.header(url, name).remove(0).unwrap();
        assert!(header("user-agent").starts_with("oauth-"), "{url}");
        assert!(header("accept").starts_with("application/json"), "JSON stays the first wish");
        assert_eq!(header("accept-encoding"), "identity");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_may_come_compressed_and_the_limit_counts_what_they_decode_to() {
    use std::io::Write;

    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let scene = Scene::new(KEYS);
    let serve = |body: Vec<u8>| {
        scene.site.serve_by(KEYS, move |_| {
            Response::builder().header("content-encoding", "gzip").body(Full::from(body.clone())).unwrap()
        });
    };
    let mut keys = scene.server.keys().jwks_json().into_bytes();
    serve(gzip(&keys));
    assert_eq!(scene.status(&scene.guard(Scene::issuer())).await, 200);
    // 20 MB of blanks behind them, in 20 kB.
    keys.resize(20_000_000, b' ');
    serve(gzip(&keys));
    let guard = scene.guard(Scene::issuer());
    assert_eq!(scene.status(&guard).await, 503);
    assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("too_large"));
}

#[tokio::test(start_paused = true)]
async fn headers_and_token_go_to_the_issuer_and_to_no_origin_that_metadata_name() {
    let file = File::new("origin-token", "t0ken\n");
    let issuer = || Scene::issuer().header("x-api-key", "k3y").token_file(&file.0);
    let same = Scene::new(KEYS);
    assert_eq!(same.status(&same.guard(issuer())).await, 200);
    for url in [METADATA, KEYS] {
        assert_eq!(same.site.header(url, "x-api-key"), [Some("k3y".to_owned())], "{url}");
        assert_eq!(same.site.header(url, "authorization"), [Some("Bearer t0ken".to_owned())], "{url}");
    }
    for elsewhere in [ELSEWHERE, "https://as.example:8443/x/keys", "https://as.example.evil.example/keys"] {
        let other = Scene::new(elsewhere);
        assert_eq!(other.status(&other.guard(issuer())).await, 200);
        assert_eq!(other.site.header(METADATA, "x-api-key"), [Some("k3y".to_owned())]);
        for name in ["x-api-key", "authorization"] {
            assert_eq!(other.site.header(elsewhere, name), [None], "{elsewhere}");
        }
    }
    // One that the configuration names is meant.
    let given = Scene::new(ELSEWHERE);
    assert_eq!(given.status(&given.guard(issuer().jwks_uri(ELSEWHERE))).await, 200);
    assert_eq!(given.site.header(ELSEWHERE, "authorization"), [Some("Bearer t0ken".to_owned())]);
    assert_eq!(given.site.header(ELSEWHERE, "x-api-key"), [Some("k3y".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_takes_no_header_along() {
    let scene = Scene::new(KEYS);
    scene.site.serve(KEYS, 307, "text/plain", "");
    let guard = scene.guard(Scene::issuer().header("x-api-key", "k3y"));
    assert_eq!(scene.status(&guard).await, 503);
    assert!(scene.site.asked().iter().all(|url| url.starts_with("https://as.example/")));
}

#[tokio::test(start_paused = true)]
async fn the_token_file_is_read_for_each_fetch() {
    let scene = Scene::new(KEYS);
    let file = File::new("hourly-token", "one");
    // The issuer's server takes the current token only.
    let keys = scene.server.keys().jwks_json();
    let current = file.0.clone();
    scene.site.serve_by(KEYS, move |headers| {
        let expected = format!("Bearer {}", std::fs::read_to_string(&current).unwrap());
        let given = headers.get("authorization").is_some_and(|value| value == expected.as_str());
        Response::builder().status(if given { 200 } else { 401 }).body(Full::from(keys.clone())).unwrap()
    });
    let guard = scene.guard(Scene::issuer().token_file(&file.0));
    assert_eq!(scene.status(&guard).await, 200);
    for (round, token) in ["two", "six"].into_iter().enumerate() {
        // Of the same length and within one second: only reading shows the change.
        std::fs::write(&file.0, token).unwrap();
        advance(Duration::from_secs(601)).await;
        assert_eq!(scene.status(&guard).await, 200);
        settle().await;
        assert_eq!(
            scene.site.header(KEYS, "authorization").last().unwrap().as_deref(),
            Some(&*format!("Bearer {token}"))
        );
        assert_eq!(scene.site.header(KEYS, "authorization").len(), round + 2);
    }
    assert!(guard.health().ok, "{:?}", guard.health());
}

#[tokio::test(start_paused = true)]
async fn a_header_whose_value_is_unavailable_is_503_and_shows_no_secret() {
    let scene = Scene::new(KEYS);
    let value = from_fn(|| async { Err::<String, _>(std::io::Error::other("the vault is sealed")) });
    let guard = scene.guard(Scene::issuer().header("x-api-key", value));
    assert_eq!(scene.status(&guard).await, 503);
    assert!(scene.site.asked().is_empty(), "nothing is sent without it");
    let issuer = Scene::issuer().header("x-api-key", "k3y-of-the-gateway");
    assert!(!format!("{issuer:?}").contains("k3y-of"), "{issuer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_the_same_requests_keeps_keys_and_cache() {
    let file = File::new("reload-token", "t0ken");
    let config = |key: &'static str| Scene::issuer().header("x-api-key", key).token_file(&file.0);
    let scene = Scene::new(KEYS);
    let guard = scene.guard(config("one"));
    assert_eq!(scene.status(&guard).await, 200);
    let reload = |key| guard.reload(Guard::builder().issuer(config(key))).unwrap();
    reload("one");
    assert_eq!(scene.status(&guard).await, 200);
    assert_eq!(scene.site.asked().len(), 2, "nothing was fetched again");
    reload("two");
    assert_eq!(scene.status(&guard).await, 200, "the keys are taken over");
    advance(Duration::from_secs(601)).await;
    assert_eq!(scene.status(&guard).await, 200);
    settle().await;
    assert_eq!(scene.site.header(KEYS, "x-api-key").last().unwrap().as_deref(), Some("two"));
}

#[test]
fn errors_name_the_key() {
    let fields = |issuer: Issuer| match Site::default().builder().issuer(issuer).build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(|problem| problem.field.clone()).collect::<Vec<_>>(),
    };
    let (empty, keys) =
        (File::new("empty-token", " \n"), File::new("some-keys", &json!({"keys": []}).to_string()));
    assert_eq!(fields(Scene::issuer().token_file("/none/token")), ["issuer[0].token_file"]);
    assert_eq!(fields(Scene::issuer().token_file(&empty.0)), ["issuer[0].token_file"]);
    assert_eq!(fields(Scene::issuer().header("x api key", "k")), ["issuer[0].headers.x api key"]);
    assert_eq!(fields(Scene::issuer().header("host", "k")), ["issuer[0].headers.host"]);
    assert_eq!(fields(Scene::issuer().header("x-api-key", "a\nb")), ["issuer[0].headers.x-api-key"]);
    let twice = Scene::issuer().header("Authorization", "Basic eA==").token_file(&keys.0);
    assert_eq!(fields(twice), ["issuer[0].headers.Authorization"]);
    assert_eq!(fields(Scene::issuer().jwks_file(&keys.0).header("x-api-key", "k"))[0], "issuer[0].headers");
    #[cfg(feature = "reqwest")]
    {
        let missing = oauth_client::secret::from_file("/none/ca.crt");
        assert_eq!(fields(Scene::issuer().tls_ca(missing)), ["issuer[0].tls.ca"]);
        assert_eq!(fields(Scene::issuer().tls_ca("no certificate")), ["issuer[0].tls.ca"]);
    }
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_configured_and_nowhere_else() {
    use oauth_client::secret::from_file;

    let cluster = MockServer::builder().audience("orders-api").algorithms([Alg::Es256]).tls().start().await;
    let (own, other) = (cluster.ca_pem(), MockServer::builder().tls().start().await.ca_pem());
    let issuer = || Issuer::new(cluster.issuer()).audience("orders-api");
    let guard = |issuer: Issuer| Guard::builder().issuer(issuer).build().unwrap();
    let token = cluster.mint().build();
    assert_eq!(call(&guard(issuer().tls_ca(&*own)), &token).await.status, 200);
    for stranger in [issuer().tls_ca(&*other), issuer()] {
        let guard = guard(stranger);
        let reply = call(&guard, &token).await;
        assert_eq!((reply.status, reply.challenge, reply.retry_after.is_some()), (503, None, true));
        assert_eq!(guard.health().issuers[0].last_error.as_deref(), Some("transport"));
    }
    // It counts although the guard has another transport, and for keys that are given outright.
    let site = Site::default();
    let elsewhere = issuer().jwks_uri(cluster.endpoint(oauth_mock::Endpoint::Jwks)).tls_ca(&*own);
    let guard_with_site = Guard::builder().http(site.http()).issuer(elsewhere).build().unwrap();
    assert_eq!(call(&guard_with_site, &token).await.status, 200);
    assert!(site.asked().is_empty());
    // A file that is replaced is read again: what was refused is accepted without a restart.
    let file = File::new("authority", &other);
    let late = guard(issuer().tls_ca(from_file(&file.0)));
    assert_eq!(call(&late, &token).await.status, 503);
    std::fs::write(&file.0, format!("\u{feff}{}", own.replace('\n', "\r\n"))).unwrap();
    let accepted = async {
        while call(&late, &token).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), accepted).await.is_ok(), "{:?}", late.health());
}
