use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::*;
use crate::clock::{Clock, TestClock};
use crate::sign::SigningKey;
use crate::transport::{HttpClient, RequestBody};
use crate::{Client, grant, secret as secrets};

const LONG: &str = "0123456789abcdef0123456789abcdef";

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap().with_key_id("k1")
}

fn fields(auth: &ClientAuth) -> Vec<String> {
    auth.problems().into_iter().map(|problem| problem.field).collect()
}

/// Header and claims of the assertion that would go out.
async fn assertion(auth: &ClientAuth, issuer: Option<&str>) -> (Value, Value) {
    let endpoint = Url::parse("https://a.example/token").unwrap();
    let mut parameters = Parameters::default();
    let now = TestClock::at(1_900_000_000).now();
    auth.prove(&mut parameters, Recipient { issuer, endpoint: &endpoint, time: Duration::ZERO }, now)
        .await
        .unwrap();
    assert_eq!(
        parameters.plain("client_assertion_type"),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert!(!format!("{parameters:?}").contains("eyJ"), "an assertion is a secret for as long as it lasts");
    let text = parameters.secrets().next().unwrap().expose().to_owned();
    let mut parts = text.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

#[test]
fn a_secret_with_a_line_break_is_a_problem_that_names_the_field() {
    let problems = ClientAuth::basic("svc\r\nX: y", "s3cr3t\n").problems();
    assert_eq!(problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), ["client_id", "client_secret"]);
    assert!(!format!("{problems:?}").contains("s3cr3t"));
}

#[tokio::test(start_paused = true)]
async fn an_assertion_says_who_to_whom_and_for_how_long() {
    let id = "a:b/ü %";
    let auth = ClientAuth::private_key_jwt(id, key());
    let (header, claims) = assertion(&auth, Some("https://a.example")).await;
    assert_eq!(header, serde_json::json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}));
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&id.into(), &id.into(), &"https://a.example".into())
    );
    assert_eq!((claims["iat"].as_u64(), claims["exp"].as_u64()), (Some(1_900_000_000), Some(1_900_000_060)));
    assert!(claims.get("nbf").is_none());

    let (_, claims) = assertion(&auth, None).await;
    assert_eq!(claims["aud"], "https://a.example/token", "where there is no issuer");

    let auth = auth
        .audience("urn:a")
        .audience("urn:b")
        .lifetime(Duration::from_secs(5))
        .key_id("k2")
        .with_not_before();
    let (header, claims) = assertion(&auth, Some("https://a.example")).await;
    assert_eq!((&header["kid"], &claims["aud"]), (&"k2".into(), &serde_json::json!(["urn:a", "urn:b"])));
    assert_eq!((claims["nbf"].as_u64(), claims["exp"].as_u64()), (Some(1_900_000_000), Some(1_900_000_005)));

    let auth = ClientAuth::client_secret_jwt(id, LONG);
    let (header, claims) = assertion(&auth, None).await;
    assert_eq!((&header["alg"], header.get("kid"), &claims["sub"]), (&"HS256".into(), None, &id.into()));
}

#[tokio::test(start_paused = true)]
async fn no_two_assertions_have_the_same_jti() {
    let auth = ClientAuth::client_secret_jwt("svc", LONG);
    let mut seen = HashSet::new();
    for _ in 0..1000 {
        let (_, claims) = assertion(&auth, None).await;
        assert!(seen.insert(claims["jti"].as_str().unwrap().to_owned()));
    }
}

#[test]
fn an_invalid_configuration_is_reported_before_anything_is_sent() {
    let jwt = || ClientAuth::private_key_jwt("svc", key());
    assert!(fields(&jwt().algorithm(Algorithm::Es256)).is_empty());
    assert_eq!(fields(&jwt().algorithm(Algorithm::Rs256)), ["signing_alg"]);
    assert_eq!(fields(&jwt().algorithm(Algorithm::Hs256)), ["signing_alg"]);
    assert_eq!(fields(&jwt().lifetime(Duration::ZERO)), ["lifetime"]);
    let from_file = ClientAuth::private_key_jwt("svc", secrets::from_file("/none"));
    assert!(fields(&from_file).is_empty(), "nothing is read yet");
    assert_eq!(fields(&from_file.algorithm(Algorithm::Hs256)), ["signing_alg"]);

    let secret = |secret: &str| ClientAuth::client_secret_jwt("svc", secret);
    assert_eq!(fields(&secret("short")), ["client_secret"]);
    assert!(fields(&secret(LONG)).is_empty());
    assert_eq!(fields(&secret(LONG).algorithm(Algorithm::Hs512)), ["client_secret"]);
    assert_eq!(fields(&secret(LONG).algorithm(Algorithm::Es256)), ["signing_alg"]);

    for auth in [ClientAuth::basic("svc", "s"), ClientAuth::none("svc"), ClientAuth::tls("svc")] {
        assert!(fields(&auth).is_empty());
        assert_eq!(fields(&auth.audience("urn:a")), ["client_auth"]);
    }
}

#[test]
fn nothing_of_a_secret_or_key_is_printed() {
    let pem = key().to_pem().unwrap();
    let auths = [
        ClientAuth::client_secret_jwt("svc", LONG),
        ClientAuth::private_key_jwt("svc", key()),
        ClientAuth::private_key_jwt("svc", SecretSource::from(pem.clone())),
    ];
    let shown = format!("{auths:?} {:?}", KeySource::from(SecretSource::from(pem)));
    assert!(!shown.contains(LONG) && !shown.contains("PRIVATE KEY"), "{shown}");
}

/// A server that knows one thing a form may hold, and a record of what it was sent.
#[derive(Clone, Default)]
struct Server {
    knows: Arc<Mutex<String>>,
    forms: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn client(&self, auth: ClientAuth) -> Client {
        let server = self.clone();
        let service =
            tower::service_fn(move |request: Request<RequestBody>| server.clone().response(request));
        Client::builder()
            .token_endpoint("https://a.example/token")
            .auth(auth)
            .http(HttpClient::from_service(service))
            .clock(TestClock::new())
            .build()
            .unwrap()
    }

    async fn response(self, request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let form = String::from_utf8(body.to_vec()).unwrap();
        let known = form.contains(&*self.knows.lock().unwrap());
        self.forms.lock().unwrap().push(form);
        let (status, body) = match known {
            true => (200, r#"{"access_token":"t","token_type":"Bearer","expires_in":60}"#),
            false => (400, r#"{"error":"invalid_client"}"#),
        };
        Ok(Response::builder().status(status).body(Full::from(body)).unwrap())
    }

    fn knows(&self, what: &str) {
        *self.knows.lock().unwrap() = what.to_owned();
    }

    fn requests(&self) -> usize {
        self.forms.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_secret_is_read_again_and_the_request_repeated_once_if_it_changed() {
    let path = std::env::temp_dir().join(format!("oauth-client-refused-{}", std::process::id()));
    std::fs::write(&path, "old\n").unwrap();
    let server = Server::default();
    let client = server.client(ClientAuth::post("svc", secrets::from_file(&path)));
    let grant = grant::client_credentials();
    let ask = || client.request(&grant);
    server.knows("client_secret=old");
    ask().await.unwrap();

    // Rotated at both ends, within the second in which the file is not looked at.
    std::fs::write(&path, "new\n").unwrap();
    server.knows("client_secret=new");
    ask().await.unwrap();
    assert_eq!(server.requests(), 3, "the refused one, and its repetition");

    // Rotated at the server only: one request, one rejection.
    server.knows("client_secret=newest");
    assert_eq!(ask().await.unwrap_err().code(), "invalid_client");
    assert_eq!(server.requests(), 4);

    // Changed here, and still wrong: no third request.
    std::fs::write(&path, "wrong\n").unwrap();
    let error = ask().await.unwrap_err();
    assert_eq!(server.requests(), 6);
    assert!(!format!("{error} {error:?} {client:?}").contains("wrong"));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replaced_key_is_picked_up_with_its_name_and_a_broken_one_is_not() {
    let path = std::env::temp_dir().join(format!("oauth-client-key-{}", std::process::id()));
    let source = KeySource::from(secrets::from_file(&path));
    let clock = TestClock::new();
    let jwk = |kid: &str, d: &str, x: &str| {
        format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","d":"{d}","x":"{x}"}}"#)
    };
    let first = jwk(
        "one",
        "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    );
    std::fs::write(&path, &first).unwrap();
    let (key, used) = source.get(clock.now()).await.unwrap();
    assert_eq!(key.key_id(), Some("one"));
    let used = used.unwrap();
    assert!(!source.has_changed(&used, clock.now()).await);

    std::fs::write(&path, &first[..40]).unwrap();
    assert!(!source.has_changed(&used, clock.now()).await, "half a file is no new key");
    assert_eq!(source.get(clock.now()).await.unwrap().0.key_id(), Some("one"));

    std::fs::write(&path, SigningKey::generate(Algorithm::Es384).unwrap().to_pem().unwrap().expose())
        .unwrap();
    assert!(source.has_changed(&used, clock.now()).await);
    let (key, _) = source.get(clock.now()).await.unwrap();
    assert_eq!((key.algorithm(), key.key_id()), (Algorithm::Es384, None));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_brings_a_new_assertion() {
    let (server, source) = (Server::default(), Arc::new(Mutex::new(key())));
    let current = Arc::clone(&source);
    let pem = secrets::from_fn(move || {
        // Another key at each call, as from a vault that rotates.
        let pem = current.lock().unwrap().to_pem();
        *current.lock().unwrap() = key();
        async move { pem }
    });
    server.knows("none of it");
    let client = server.client(ClientAuth::private_key_jwt("svc", pem));
    assert_eq!(client.request(&grant::client_credentials()).await.unwrap_err().code(), "invalid_client");
    let forms = server.forms.lock().unwrap().clone();
    let assertions: HashSet<_> =
        forms.iter().filter_map(|form| form.split("client_assertion=").nth(1)).collect();
    assert_eq!((forms.len(), assertions.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_named_by_its_thumbprint_and_of_a_chain_the_first() {
    let own = oauth_mock::ClientCertificate::self_signed("svc");
    let other = oauth_mock::ClientCertificate::self_signed("authority");
    let chain = format!("{}{}{}", own.cert_pem(), other.cert_pem(), own.key_pem());
    let flat = own.cert_pem().replace('\n', "\\n");
    for pem in [own.cert_pem(), chain, flat] {
        let auth = ClientAuth::private_key_jwt("svc", key()).certificate(pem);
        assert!(auth.problems().is_empty());
        let (header, _) = assertion(&auth, None).await;
        assert_eq!(header["x5t#S256"], own.thumbprint());
        assert_eq!(header["kid"], "k1", "and the key keeps its own name");
    }
    let (header, _) = assertion(&ClientAuth::private_key_jwt("svc", key()), None).await;
    assert!(header.get("x5t#S256").is_none() && header.get("x5t").is_none());
    let both = ClientAuth::private_key_jwt("svc", key()).certificate(own.cert_pem()).with_sha1_thumbprint();
    let (header, _) = assertion(&both, None).await;
    assert_eq!(header["x5t#S256"], own.thumbprint());
    // SHA-1 has 20 bytes, which are 27 characters.
    assert_eq!(header["x5t"].as_str().unwrap().len(), 27);
    assert_eq!(fields(&ClientAuth::private_key_jwt("svc", key()).with_sha1_thumbprint()), ["certificate"]);

    // A file that is replaced by a new certificate counts from then on.
    let path = std::env::temp_dir().join(format!("oauth-client-certificate-{}", std::process::id()));
    std::fs::write(&path, own.cert_pem()).unwrap();
    let auth = ClientAuth::private_key_jwt("svc", key()).certificate(secrets::from_file(&path));
    assert_eq!(assertion(&auth, None).await.0["x5t#S256"], own.thumbprint());
    std::fs::write(&path, other.cert_pem()).unwrap();
    let later = TestClock::at(1_900_000_000).now().monotonic + Duration::from_secs(2);
    let endpoint = Url::parse("https://a.example/token").unwrap();
    let recipient = Recipient { issuer: None, endpoint: &endpoint, time: Duration::ZERO };
    let mut parameters = Parameters::default();
    let now = Now { wall: Duration::from_secs(1_900_000_002), monotonic: later };
    auth.prove(&mut parameters, recipient, now).await.unwrap();
    let text = parameters.secrets().next().unwrap().expose().to_owned();
    let header = BASE64_URL_SAFE_NO_PAD.decode(text.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["x5t#S256"], other.thumbprint());
    std::fs::remove_file(&path).unwrap();

    assert_eq!(fields(&ClientAuth::private_key_jwt("svc", key()).certificate("s3cr3t")), ["certificate"]);
    assert_eq!(fields(&ClientAuth::basic("svc", "s3cr3t").certificate(own.cert_pem())), ["certificate"]);
}

/// The parameters of a request that an assertion from elsewhere authenticates, with so much time for it.
async fn with_assertion(auth: &ClientAuth, time: Duration) -> Result<Parameters, Error> {
    let endpoint = Url::parse("https://a.example/token").unwrap();
    let mut parameters = Parameters::default();
    let recipient = Recipient { issuer: None, endpoint: &endpoint, time };
    let proof = auth.prove(&mut parameters, recipient, TestClock::new().now()).await?;
    assert!(proof.authorization.is_none());
    Ok(parameters)
}

fn sent(parameters: &Parameters) -> String {
    parameters.secrets().next().unwrap().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_assertion_from_a_file_is_sent_as_it_stands_and_read_for_each_request() {
    let folder = std::env::temp_dir().join(format!("oauth-client-projected-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (one, two, link) = (folder.join("one"), folder.join("two"), folder.join("token"));
    std::fs::write(&one, "e30.e30.MQ\r\n").unwrap();
    std::fs::write(&two, "\u{feff}e30.e30.Mg").unwrap();
    let point_at = |target: &std::path::Path| {
        // As a platform does it: the new link takes the old one's name in one step.
        let new = folder.join("token.new");
        std::os::unix::fs::symlink(target, &new).unwrap();
        std::fs::rename(&new, &link).unwrap();
    };
    point_at(&one);
    let auth = ClientAuth::assertion("svc", secrets::from_file(&link));
    let parameters = with_assertion(&auth, Duration::from_secs(10)).await.unwrap();
    assert_eq!(sent(&parameters), "e30.e30.MQ");
    let names: Vec<_> = parameters.pairs().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["client_id", "client_assertion_type", "client_assertion"]);
    let kind = parameters.plain("client_assertion_type");
    assert_eq!(kind, Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    point_at(&two);
    assert_eq!(sent(&with_assertion(&auth, Duration::from_secs(10)).await.unwrap()), "e30.e30.Mg");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_file_that_is_empty_missing_or_half_written_is_waited_for_within_the_time_limit() {
    let path = std::env::temp_dir().join(format!("oauth-client-half-{}", std::process::id()));
    for half in [Some(""), Some("\n"), Some("e30.e3"), Some("e30.e30."), None] {
        let _ = std::fs::remove_file(&path);
        half.iter().for_each(|half| std::fs::write(&path, half).unwrap());
        let auth = ClientAuth::assertion("svc", secrets::from_file(&path));
        let waiting = with_assertion(&auth, Duration::from_secs(10));
        let (whole, writing) = (path.clone(), path.clone());
        let (found, ()) = tokio::join!(waiting, async move {
            tokio::task::yield_now().await;
            std::fs::write(&writing, "e30.e30.MQ").unwrap();
        });
        assert_eq!(sent(&found.unwrap()), "e30.e30.MQ", "{half:?}");
        // What was good before is about to expire: it is not sent in place of what is not there yet.
        std::fs::write(&whole, "").unwrap();
        let error = with_assertion(&auth, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.problems()[0].field, "client_assertion");
        assert!(error.to_string().contains("is empty"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn an_assertion_that_is_none_is_a_problem() {
    for bad in ["", "s3cr3t", "e30.e30."] {
        let problems = ClientAuth::assertion("svc", bad).problems();
        assert_eq!(problems[0].field, "client_assertion");
        assert!(!format!("{problems:?}").contains("s3cr3t"));
    }
    let auth = ClientAuth::assertion("svc", "e30.e30.MQ");
    assert!(auth.problems().is_empty() && !format!("{auth:?}").contains("MQ"));
    assert_eq!(fields(&auth.key_id("k")), ["client_auth"]);
}
