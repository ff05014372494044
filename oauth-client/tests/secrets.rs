//! Nothing secret gets out: not into the log at its most talkative, not into an error or its causes, not into `Debug`.
//!
//! It has a process of its own, because it listens to everything that any crate in it logs.

#![cfg(feature = "reqwest")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::error::Error as StdError;
use std::fmt::{Debug, Display, Write as _};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_client::attach::{ReplayPolicy, TokenLayer};
use oauth_client::clock::TestClock;
use oauth_client::sign::{Algorithm, SigningKey};
use oauth_client::source::Pool;
use oauth_client::store::{FileStore, MemoryStore, TokenStore as _};
use oauth_client::token_endpoint::Parameters;
use oauth_client::transport::HttpClient;
use oauth_client::{AccessToken, Client, ClientAuth, Secret, TokenSource, grant, secret};
use oauth_mock::{AuthMethod, Endpoint, Fault, MockClient, MockServer};

const CLIENT_SECRET: &str = "the-client-s3cr3t+/%-long-enough-to-sign-with";
const PASSWORD: &str = "the-p4ssw0rd of alice";

#[tokio::test]
async fn a_whole_run_shows_no_secret() {
    let log = Log::listen();
    let server = MockServer::builder()
        .client(
            MockClient::new("svc")
                .secret(CLIENT_SECRET)
                .token_lifetime(Duration::from_secs(300))
                .with_refresh_token()
                .opaque_tokens(),
        )
        .start()
        .await;
    let clock = TestClock::new();
    let directory = std::env::temp_dir().join(format!("oauth-client-secrets-{}", std::process::id()));
    let file = FileStore::new(directory.join("tokens.json"));
    let memory = MemoryStore::new();
    let mut shown = Shown::default();
    let mut tokens = Vec::new();

    for auth in [ClientAuth::basic("svc", CLIENT_SECRET), ClientAuth::post("svc", CLIENT_SECRET)] {
        let builder = Client::builder()
            .issuer(server.issuer())
            .auth(auth.clone())
            .http(HttpClient::new().unwrap())
            .timeout(Duration::from_millis(400))
            .clock(clock.clone());
        shown.debug(&(&builder, &auth));
        let client = builder.build().unwrap();
        let login = server.issue("svc", "alice", "read").unwrap().refresh_token.unwrap();
        tokens.push(login.clone());
        let requests = [
            grant::client_credentials().scope(["read"]),
            grant::refresh_token(login).subject("alice"),
            grant::password("alice", PASSWORD),
        ];
        for request in requests {
            shown.debug(&request);
            // What the server says back is theirs to choose, and some of them repeat what they were sent.
            let password = format!("{request:?}").contains("Password");
            for fault in faults(if password { PASSWORD } else { "" }) {
                server.fault(Endpoint::Token, fault).times(1);
                match client.request(&request).await {
                    Ok(set) => tokens.extend(shown.set(&set)),
                    Err(error) => shown.error(&error),
                }
            }
            let events = Arc::new(Mutex::new(String::new()));
            let log = Arc::clone(&events);
            let builder = client
                .source(request)
                .store(file.clone())
                .on_event(move |event| write!(log.lock().unwrap(), "{event:?}").unwrap());
            let key = builder.store_key();
            shown.debug(&(&builder, &key));
            let source = builder.build().unwrap();
            for _ in 0..3 {
                match source.token().await {
                    Ok(token) => tokens.extend(shown.token(&token)),
                    Err(error) => shown.error(&error),
                }
                shown.debug(&(&source, source.status()));
                server.fault(Endpoint::Token, Fault::status(400)).times(1);
                clock.suspend(Duration::from_secs(301));
                match source.token().await {
                    Ok(token) => tokens.extend(shown.token(&token)),
                    Err(error) => shown.error(&error),
                }
                clock.suspend(Duration::from_secs(61));
                source.reject(1);
            }
            // No other outcome is possible: a source that is held back requests nothing.
            server.clear_faults();
            let stored = file.load(&key).await.unwrap();
            shown.debug(&stored);
            if let Some(stored) = stored {
                tokens.extend(shown.set(&stored.tokens));
                memory.compare_and_swap(&key, None, Some(&stored.tokens)).await.unwrap();
            }
            shown.debug(&TokenLayer::new(source).replay(ReplayPolicy::default()));
            shown.0.push_str(&events.lock().unwrap());
        }
        let pool = Pool::new(move |(): &()| client.source(grant::client_credentials()).build());
        tokens.extend(shown.token(&pool.get(&()).unwrap().token().await.unwrap()));
        shown.debug(&pool);
    }
    let pem = by_assertion(&mut shown, &mut tokens).await;
    tokens.push("a-token-given-by-hand".to_owned());
    shown.debug(&TokenSource::fixed("a-token-given-by-hand").unwrap());
    shown.error(&TokenSource::fixed("a-token-given-by-hand\n").unwrap_err());
    let mut parameters = Parameters::default();
    parameters.set_secret("password", PASSWORD);
    shown.debug(&(parameters, Secret::from(PASSWORD), &file, &memory));

    // The file that holds them says what is wrong with it, and quotes nothing.
    let path = directory.join("tokens.json");
    let content = std::fs::read_to_string(&path).unwrap();
    assert!(tokens.iter().any(|token| content.contains(token)), "there was something to quote");
    std::fs::write(&path, &content[..content.len() - 20]).unwrap();
    let key = Client::builder().issuer(server.issuer()).auth(ClientAuth::none("svc")).build().unwrap();
    let damaged = file.load(&key.source(grant::client_credentials()).store_key()).await.unwrap_err();
    shown.error(&damaged);
    std::fs::remove_dir_all(directory).unwrap();

    let log = log.take();
    for (place, text) in [("the log", &log), ("an error or Debug", &shown.0)] {
        assert!(!text.contains("eyJ"), "{place} shows an assertion; no other JWT was sent");
        let line = pem.lines().find(|line| !line.starts_with('-') && text.contains(*line));
        assert!(line.is_none(), "{place} shows {line:?} of the private key");
    }
    for ours in ["oauth_client.refresh", "token refreshed", "token refresh failed"] {
        assert!(log.contains(ours), "our own log is in it, {ours:?} too");
    }
    assert!(tokens.len() > 10, "{} tokens were seen", tokens.len());
    let basic =
        base64(format!("svc:{}", CLIENT_SECRET.replace('%', "%25").replace('+', "%2B").replace('/', "%2F")));
    let encoded = CLIENT_SECRET.replace('%', "%25").replace('+', "%2B").replace('/', "%2F");
    for secret in [
        CLIENT_SECRET,
        &encoded,
        &basic,
        PASSWORD,
        &PASSWORD.replace(' ', "+"),
        &PASSWORD.replace(' ', "%20"),
    ]
    .into_iter()
    .chain(tokens.iter().map(String::as_str))
    {
        for (place, text) in [("the log", &log), ("an error or Debug", &shown.0)] {
            if let Some(at) = text.find(secret) {
                let before: String = text[..at].chars().rev().take(300).collect();
                panic!("{place} shows {secret:?} after {:?}", before.chars().rev().collect::<String>());
            }
        }
    }
    println!(
        "{} secrets looked for in {} bytes of log and {} of errors",
        tokens.len() + 6,
        log.len(),
        shown.0.len()
    );
}

/// Clients that sign with their secret or a key, given and from files; returns the key.
async fn by_assertion(shown: &mut Shown, tokens: &mut Vec<String>) -> String {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let pem = key.to_pem().unwrap();
    let file = std::env::temp_dir().join(format!("oauth-client-signed-{}", std::process::id()));
    let by_secret =
        || MockClient::new("svc").secret(CLIENT_SECRET).auth_methods([AuthMethod::ClientSecretJwt]);
    let jwks = serde_json::json!({"keys": [key.public_jwk()]});
    let by_key = || MockClient::new("svc").jwks(&jwks);
    shown.debug(&(&key, &pem));
    for (mock, auth, content) in [
        (by_secret(), ClientAuth::client_secret_jwt("svc", CLIENT_SECRET), ""),
        (by_secret(), ClientAuth::client_secret_jwt("svc", secret::from_file(&file)), CLIENT_SECRET),
        (by_key(), ClientAuth::private_key_jwt("svc", key.clone()), ""),
        (by_key(), ClientAuth::private_key_jwt("svc", secret::from_file(&file)), pem.expose()),
    ] {
        std::fs::write(&file, content).unwrap();
        let server = MockServer::builder().client(mock.opaque_tokens()).start().await;
        let builder =
            Client::builder().issuer(server.issuer()).auth(auth).timeout(Duration::from_millis(400));
        shown.debug(&builder);
        let client = builder.build().unwrap();
        let request = grant::client_credentials();
        tokens.extend(shown.set(&client.request(&request).await.unwrap()));
        // The first of them repeat the secret, which only those who have it can take out.
        let knows_none = format!("{client:?}").contains("private_key_jwt");
        for fault in faults("").into_iter().skip(if knows_none { 4 } else { 0 }) {
            server.fault(Endpoint::Token, fault).times(1);
            match client.request(&request).await {
                Ok(set) => tokens.extend(shown.set(&set)),
                Err(error) => shown.error(&error),
            }
        }
        server.clear_faults();
        // Refused, and its file of no use meanwhile.
        std::fs::write(&file, "half of a ").unwrap();
        server.set_client(MockClient::new("svc").secret("another secret"));
        shown.error(&client.request(&request).await.unwrap_err());
        shown.debug(&client);
    }
    std::fs::remove_file(&file).unwrap();
    pem.expose().to_owned()
}

/// Responses that repeat what was sent, decoded and as it was on the wire.
fn faults(password: &str) -> Vec<Fault> {
    let (secret, on_the_wire) = (encoded(CLIENT_SECRET), password.replace(' ', "+"));
    let echo = format!(
        r#"{{"error":"invalid_grant","error_description":"refused: {CLIENT_SECRET} and {password} and {secret} and {on_the_wire}","error_uri":"https://as/?s={secret}"}}"#
    );
    let odd = format!(r#"{{"access_token":"to\nken","token_type":"Bearer","x":"{password}"}}"#);
    vec![
        Fault::delay(Duration::ZERO),
        Fault::body(400, "application/json", echo),
        Fault::body(200, "application/json", odd),
        Fault::body(200, "application/json", format!("{{\"access_token\":\"{CLIENT_SECRET}")),
        Fault::body(200, "application/json", r#"{"access_token":"x","token_type":"mac"}"#),
        Fault::html_ok(),
        Fault::redirect("https://evil.example/token"),
        Fault::status(500),
        Fault::reset(),
        Fault::truncated(),
        Fault::hang(),
        Fault::oversized(2 << 20),
    ]
}

/// The texts of errors and of `Debug`.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, value: &dyn Debug) {
        write!(self.0, "{value:?}\n{value:#?}\n").unwrap();
    }

    fn error<E: StdError + 'static>(&mut self, error: &E) {
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = next {
            let display: &dyn Display = &error;
            write!(self.0, "{display}\n{error:?}\n").unwrap();
            next = error.source();
        }
    }

    /// Shows a token set, and hands out what must not be seen of it.
    fn set(&mut self, set: &oauth_client::TokenSet) -> Vec<String> {
        self.debug(set);
        let secrets = [Some(set.access_token()), set.refresh_token(), set.id_token()];
        secrets.into_iter().flatten().map(|secret| secret.expose().to_owned()).collect()
    }

    fn token(&mut self, token: &AccessToken) -> Vec<String> {
        self.debug(&(token, token.authorization()));
        self.set(token.tokens())
    }
}

/// Everything that is logged in this process, by `tracing` or by `log`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || writer.clone())
            .finish();
        // Not `init`, which may make itself the logger of the crate `log` as well.
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log::set_boxed_logger(Box::new(log.clone())).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        log
    }

    fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().unwrap())).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}\n", record.target(), record.args());
        self.0.lock().unwrap().extend_from_slice(line.as_bytes());
    }

    fn flush(&self) {}
}

/// RFC 6749 appendix B, for the characters that are in it.
fn encoded(secret: &str) -> String {
    secret.replace('%', "%25").replace('+', "%2B").replace('/', "%2F")
}

fn base64(text: String) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}
