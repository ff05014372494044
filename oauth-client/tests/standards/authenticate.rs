//! Who the client is: RFC 6749 section 2.3 and its extensions.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full};
use oauth_client::clock::TestClock;
use oauth_client::sign::{Algorithm, SigningKey};
use oauth_client::transport::{HttpClient, RequestBody};
use oauth_client::{Client, ClientAuth, ClientBuilder, Error, grant, secret};
use oauth_mock::{Alg, AuthMethod, Endpoint, MockClient, MockServer};
use serde_json::{Value, json};
use tower::ServiceExt;

crate::rows! {
    "RFC 6749" "2.3.1" "id and secret are form-encoded in the Authorization header" => basic_is_form_encoded,
    "RFC 6749" "2.3.1" "a server that repeats the Authorization header puts it into no error" => an_echo_of_the_header_is_hidden,
    "RFC 6749" "2.3" "each method proves the client in one place only" => one_proof_in_one_place,
    "RFC 7523" "2.2" "private_key_jwt with every RSA, PSS, ECDSA and EdDSA algorithm" => private_key_jwt_in_every_algorithm,
    "RFC 7523" "3" "iss and sub are the client, aud the issuer, exp is near, jti never repeats" => assertions_say_what_they_must,
    "RFC 7523" "3" "without an issuer, the audience is the endpoint that is asked" => the_audience_is_the_endpoint_without_an_issuer,
    "RFC 7523" "3" "the audience is what a server wants to be called" => the_audience_can_be_set,
    "RFC 7517" "4.5" "kid names the key that signed, out of several of one client" => kid_names_the_key,
    "RFC 7638" "3" "the thumbprint of a key, as the server computes it" => thumbprints_agree,
    "OpenID Connect Core" "9" "client_secret_jwt with HS256, HS384 and HS512; the secret is not sent" => client_secret_jwt_in_every_algorithm,
    "RFC 8414" "2" "a refusal names the method or algorithm that the server's metadata asks for" => a_refusal_hints_at_the_metadata,
    "RFC 6749" "5.2" "after invalid_client a rotated secret or key is read again and the request repeated once" => a_rotated_secret_and_key_are_picked_up,
}

const ODD_ID: &str = "a:b c/ü";
const ODD_SECRET: &str = "p%q: r+ß, which is longer than the thirty-two bytes that HS256 needs";

/// The forms that were sent; the mock's journal has no secrets in it.
#[derive(Clone, Debug, Default)]
struct Sent(Arc<Mutex<Vec<String>>>);

impl Sent {
    /// Header and claims of the last assertion.
    fn assertion(&self) -> (Value, Value) {
        let form = self.0.lock().unwrap().pop().unwrap();
        let (_, rest) = form.split_once("client_assertion=").unwrap();
        let text = rest.split('&').next().unwrap();
        let mut parts = text.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap());
        let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
        (json(), json())
    }
}

fn builder(server: &MockServer, auth: ClientAuth) -> (ClientBuilder, Sent) {
    let (sent, transport) = (Sent::default(), server.transport());
    let forms = sent.clone();
    let recording = tower::service_fn(move |request: http::Request<RequestBody>| {
        let (forms, transport) = (forms.clone(), transport.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            forms.0.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
            transport.oneshot(http::Request::from_parts(head, Full::new(body))).await
        }
    });
    let http = HttpClient::from_service(recording);
    (Client::builder().auth(auth).http(http).clock(TestClock::new()), sent)
}

fn client(server: &MockServer, auth: ClientAuth) -> (Client, Sent) {
    let (builder, sent) = builder(server, auth);
    (builder.issuer(server.issuer()).build().unwrap(), sent)
}

async fn ask(server: &MockServer, auth: ClientAuth) -> Result<Sent, Error> {
    let (client, sent) = client(server, auth);
    client.request(&grant::client_credentials()).await.map(|_| sent)
}

fn with_key(key: &SigningKey) -> MockServer {
    let jwks = json!({"keys": [key.public_jwk()]});
    MockServer::builder().client(MockClient::new(ODD_ID).jwks(&jwks)).in_process()
}

fn with_secret(methods: &[AuthMethod]) -> MockServer {
    let mock = MockClient::new(ODD_ID).secret(ODD_SECRET).auth_methods(methods.iter().copied());
    MockServer::builder().client(mock).in_process()
}

async fn basic_is_form_encoded() {
    // The mock decodes as RFC 6749 says and compares; it gives no token for anything else.
    let server = with_secret(&[AuthMethod::Basic]);
    ask(&server, ClientAuth::basic(ODD_ID, ODD_SECRET)).await.unwrap();
}

async fn an_echo_of_the_header_is_hidden() {
    let echo = tower::service_fn(|request: http::Request<RequestBody>| async move {
        let header = request.headers()["authorization"].to_str().unwrap().to_owned();
        let body = match request.uri().path() {
            "/odd" => json!({"headers": {"authorization": header}}),
            _ => json!({"error": "invalid_request", "error_description": format!("odd header: {header}")}),
        };
        let response = http::Response::builder().status(400).body(Full::from(body.to_string()));
        Ok::<_, std::convert::Infallible>(response.unwrap())
    });
    let known = BASE64_STANDARD.encode("svc:s3cr3t");
    for path in ["token", "odd"] {
        let client = Client::builder()
            .token_endpoint(format!("https://as.test/{path}"))
            .endpoint(oauth_client::discover::Endpoint::Introspection, format!("https://as.test/{path}"))
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(HttpClient::from_service(echo))
            .build()
            .unwrap();
        for error in [
            client.request(&grant::client_credentials()).await.unwrap_err(),
            client.introspect(&"t".into(), None).await.unwrap_err(),
        ] {
            let shown = format!("{} {error:?} {:?}", error.with_causes(), error.unrecognized());
            assert!(shown.contains("Basic [redacted]") && !shown.contains(&known), "{shown}");
        }
    }
}

async fn one_proof_in_one_place() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let secret = with_secret(&[AuthMethod::Basic, AuthMethod::Post, AuthMethod::ClientSecretJwt]);
    let public = MockServer::builder().client(MockClient::new(ODD_ID)).in_process();
    for (server, auth, place) in [
        (&secret, ClientAuth::basic(ODD_ID, ODD_SECRET), "authorization"),
        (&secret, ClientAuth::post(ODD_ID, ODD_SECRET), "client_secret"),
        (&secret, ClientAuth::client_secret_jwt(ODD_ID, ODD_SECRET), "client_assertion"),
        (&with_key(&key), ClientAuth::private_key_jwt(ODD_ID, key.clone()), "client_assertion"),
        (&public, ClientAuth::none(ODD_ID), "nowhere"),
    ] {
        let response = ask(server, auth).await;
        // A public client is known, but has nothing to get a token with here.
        assert!(response.is_ok() || place == "nowhere", "{response:?}");
        let request = server.journal().of(Endpoint::Token).pop().unwrap();
        assert_eq!(request.header("authorization").is_some(), place == "authorization");
        for name in ["client_secret", "client_assertion"] {
            assert_eq!(request.param(name).is_some(), place == name, "{name}, {place}");
        }
    }
}

async fn private_key_jwt_in_every_algorithm() {
    let rsa = SigningKey::generate(Algorithm::Rs256).unwrap();
    for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        let algorithm: Algorithm = name.parse().unwrap();
        let key = match rsa.clone().with_algorithm(algorithm) {
            Ok(key) => key,
            Err(_) => SigningKey::generate(algorithm).unwrap(),
        };
        let server = with_key(&key);
        // As read from a file, too.
        let read = SigningKey::from_pem(key.to_pem().unwrap().expose()).unwrap();
        for auth in [
            ClientAuth::private_key_jwt(ODD_ID, key),
            ClientAuth::private_key_jwt(ODD_ID, read).algorithm(algorithm),
        ] {
            assert_eq!(ask(&server, auth).await.unwrap().assertion().0["alg"], name);
        }
    }
}

async fn client_secret_jwt_in_every_algorithm() {
    let server = with_secret(&[AuthMethod::ClientSecretJwt]);
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let auth = ClientAuth::client_secret_jwt(ODD_ID, ODD_SECRET).algorithm(algorithm);
        assert_eq!(ask(&server, auth).await.unwrap().assertion().0["alg"], algorithm.name());
    }
}

async fn assertions_say_what_they_must() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let server = with_key(&key);
    let (client, sent) = client(&server, ClientAuth::private_key_jwt(ODD_ID, key));
    let mut seen = HashSet::new();
    for _ in 0..20 {
        // The mock refuses an assertion that it has seen.
        client.request(&grant::client_credentials()).await.unwrap();
        let (_, claims) = sent.assertion();
        assert_eq!((&claims["iss"], &claims["sub"]), (&ODD_ID.into(), &ODD_ID.into()));
        assert_eq!(claims["aud"], server.issuer());
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert!(seen.insert(claims["jti"].to_string()));
    }
}

async fn the_audience_is_the_endpoint_without_an_issuer() {
    let server = with_secret(&[AuthMethod::ClientSecretJwt]);
    let (builder, sent) = builder(&server, ClientAuth::client_secret_jwt(ODD_ID, ODD_SECRET));
    let client = builder.token_endpoint(server.endpoint(Endpoint::Token)).build().unwrap();
    client.request(&grant::client_credentials()).await.unwrap();
    assert_eq!(sent.assertion().1["aud"], server.endpoint(Endpoint::Token));
}

async fn the_audience_can_be_set() {
    let server = with_secret(&[AuthMethod::ClientSecretJwt]);
    let auth = ClientAuth::client_secret_jwt(ODD_ID, ODD_SECRET);
    let elsewhere = ask(&server, auth.clone().audience("https://other.example")).await.unwrap_err();
    assert_eq!(elsewhere.code(), "invalid_client");
    let both = auth.audience("https://other.example").audience(server.endpoint(Endpoint::Token));
    let (_, claims) = ask(&server, both).await.unwrap().assertion();
    assert_eq!(claims["aud"].as_array().unwrap().len(), 2);
}

async fn kid_names_the_key() {
    let [old, new] =
        ["old", "new"].map(|kid| SigningKey::generate(Algorithm::Es256).unwrap().with_key_id(kid));
    let jwks = json!({"keys": [old.public_jwk(), new.public_jwk()]});
    let server = MockServer::builder().client(MockClient::new("svc").jwks(&jwks)).in_process();
    for key in [old, new] {
        let kid = key.key_id().unwrap().to_owned();
        let sent = ask(&server, ClientAuth::private_key_jwt("svc", key)).await.unwrap();
        assert_eq!(sent.assertion().0["kid"], kid);
    }
}

async fn thumbprints_agree() {
    // RFC 8037 appendix A.3.
    let key = SigningKey::from_jwk(
        r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    );
    assert_eq!(key.unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

async fn a_refusal_hints_at_the_metadata() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwks = json!({"keys": [key.public_jwk()]});
    let mock = MockClient::new("svc").jwks(&jwks).assertion_algs([Alg::Rs256]);
    let server = MockServer::builder().client(mock).in_process();
    let metadata = json!({
        "issuer": server.issuer(), "token_endpoint": server.endpoint(Endpoint::Token),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
    });
    let body = oauth_mock::Fault::body(200, "application/json", metadata.to_string());
    server.fault(Endpoint::OauthMetadata, body).always();

    let error = ask(&server, ClientAuth::basic("svc", "s3cr3t")).await.unwrap_err();
    let says = "this client uses client_secret_basic, and the server's metadata names private_key_jwt";
    assert!(error.code() == "invalid_client" && error.with_causes().to_string().contains(says), "{error}");

    let error = ask(&server, ClientAuth::private_key_jwt("svc", key)).await.unwrap_err();
    let says = "the assertion was signed with ES256, and the server's metadata names RS256";
    assert!(error.code() == "invalid_client" && error.with_causes().to_string().contains(says), "{error}");
}

async fn a_rotated_secret_and_key_are_picked_up() {
    tokio::time::pause();
    let path = std::env::temp_dir().join(format!("oauth-client-rotated-{}", std::process::id()));
    let write = |text: &str| std::fs::write(&path, text).unwrap();

    write("first secret\n");
    let known = |secret: &str| MockClient::new("svc").secret(secret);
    let server = MockServer::builder().client(known("first secret")).in_process();
    let (client_of, _) = client(&server, ClientAuth::basic("svc", secret::from_file(&path)));
    let grant = grant::client_credentials();
    client_of.request(&grant).await.unwrap();
    server.set_client(known("second secret"));
    write("second secret\n");
    client_of.request(&grant).await.unwrap();
    assert_eq!(server.journal().count(Endpoint::Token), 3, "one of them was refused");

    let keys = ["one", "two"].map(|kid| SigningKey::generate(Algorithm::Es256).unwrap().with_key_id(kid));
    let known = |key: &SigningKey| MockClient::new("svc").jwks(&json!({"keys": [key.public_jwk()]}));
    write(keys[0].to_pem().unwrap().expose());
    let server = MockServer::builder().client(known(&keys[0])).in_process();
    let (client_of, _) = client(&server, ClientAuth::private_key_jwt("svc", secret::from_file(&path)));
    client_of.request(&grant).await.unwrap();
    server.set_client(known(&keys[1]));
    write(keys[1].to_pem().unwrap().expose());
    client_of.request(&grant).await.unwrap();
    assert_eq!(server.journal().count(Endpoint::Token), 3, "one of them was refused");
    std::fs::remove_file(&path).unwrap();
}
