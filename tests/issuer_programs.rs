//! `protected_api` before issuers as they are found in the field: many tenants, no audience, a cluster's own authority, a
//! gateway, metadata in odd places.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "support/file.rs"]
mod file;

use std::process::Stdio;
use std::time::Duration;

use oauth_mock::{Endpoint, Fault, MockServer, TokenBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use self::example::example;
use self::file::File;

async fn ready(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().expect("the program printed nothing");
    let url =
        first.strip_prefix("READY ").unwrap_or_else(|| panic!("expected READY, got {first:?}")).to_owned();
    // Whatever it prints later must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, url)
}

fn program(config: &File) -> Command {
    let mut command = example("protected_api");
    command.arg("--config").arg(&config.0);
    command
}

/// The program behind a configuration; the file is gone once it runs.
async fn protected_api(name: &str, text: &str) -> (Child, String) {
    let config = File::new(name, text);
    ready(program(&config)).await
}

/// The lines that a program prints that does not start.
async fn mistakes(name: &str, text: &str) -> Vec<String> {
    let config = File::new(name, text);
    let output = program(&config).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

async fn whoami(url: &str, token: &TokenBuilder) -> (u16, Value) {
    let request = reqwest::Client::new().get(format!("{url}/whoami")).bearer_auth(token.clone().build());
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
}

async fn status(url: &str, token: &TokenBuilder) -> u16 {
    whoami(url, token).await.0
}

async fn server() -> MockServer {
    MockServer::builder().audience("orders-api").start().await
}

#[tokio::test]
async fn every_tenant_of_an_issuer_with_a_hole_is_accepted_under_its_own_name() {
    let server = server().await;
    let text = format!(
        "[[issuer]]\nissuer = \"https://login.example/{{tenantid}}/v2.0\"\njwks_uri = \"{}\"\n\
         audience = [\"orders-api\"]\nprofile = \"jwt\"\n",
        server.endpoint(Endpoint::Jwks)
    );
    let (_api, url) = protected_api("tenants.toml", &text).await;
    let of = |tenant: &str, tid: Value| {
        server.mint().issuer(format!("https://login.example/{tenant}/v2.0")).claim("tid", tid)
    };
    for tenant in ["a1", "b-2.example"] {
        let (status, body) = whoami(&url, &of(tenant, tenant.into())).await;
        assert_eq!((status, &body["iss"]), (200, &format!("https://login.example/{tenant}/v2.0").into()));
    }
    let others = [
        of("a1", "b2".into()),
        of("a1", "".into()),
        of("a1", Value::Null),
        of("a/b", "a/b".into()),
        of("{tenantid}", "{tenantid}".into()),
        of("a1", "a1".into()).without("tid"),
    ];
    for token in others {
        assert_eq!(status(&url, &token).await, 401, "{:?}", token.claims());
    }
    // A key of one tenant does not sign for another.
    let mut key = server.keys().current().public_jwk();
    key["issuer"] = "https://login.example/a1/v2.0".into();
    server.keys().clear();
    server.keys().add_raw(key);
    let (_api, url) = protected_api("tenants-keys.toml", &text).await;
    assert_eq!(status(&url, &of("a1", "a1".into())).await, 200);
    assert_eq!(status(&url, &of("b2", "b2".into())).await, 401);

    let without = "[[issuer]]\nissuer = \"https://login.example/{tenantid}/v2.0\"\naudience = [\"a\"]\n";
    let lines = mistakes("tenants-mistake.toml", without).await;
    assert!(lines.len() == 1 && lines[0].starts_with("error: config: issuer[0].jwks_uri: "), "{lines:?}");
}

#[tokio::test]
async fn tokens_without_an_audience_are_accepted_of_the_clients_named() {
    let server = server().await;
    let issuer = format!("[[issuer]]\nissuer = \"{}\"\nprofile = \"jwt\"\n", server.issuer());
    let text = format!(
        "{issuer}any_audience = true\nclients = [\"app1\"]\nrequire = {{ token_use = \"access\" }}\n"
    );
    let mut from_env = example("protected_api");
    from_env.envs([
        ("GUARD_ISSUER_0_ISSUER", server.issuer()),
        ("GUARD_ISSUER_0_PROFILE", "jwt"),
        ("GUARD_ISSUER_0_ANY_AUDIENCE", "true"),
        ("GUARD_ISSUER_0_CLIENTS", "app1"),
        ("GUARD_ISSUER_0_REQUIRE", r#"{"token_use":"access"}"#),
    ]);
    let token = || server.mint().without("aud").client_id("app1").claim("token_use", "access");
    for (_api, url) in [protected_api("cognito.toml", &text).await, ready(from_env).await] {
        assert_eq!(status(&url, &token()).await, 200);
        for other in [
            token().client_id("app2"),
            token().without("client_id"),
            token().claim("token_use", "id"),
            token().without("token_use"),
            token().claim("aud", 5),
        ] {
            assert_eq!(status(&url, &other).await, 401, "{:?}", other.claims());
        }
    }
    for (name, more, key) in [
        ("no-clients.toml", "any_audience = true\n", "any_audience"),
        ("and-audience.toml", "any_audience = true\nclients = [\"a\"]\naudience = [\"b\"]\n", "any_audience"),
        ("require.toml", "audience = [\"b\"]\nrequire = { token_use = [] }\n", "require.token_use"),
    ] {
        let lines = mistakes(name, &format!("{issuer}{more}")).await;
        let expected = format!("error: config: issuer[0].{key}: ");
        assert!(lines.len() == 1 && lines[0].starts_with(&expected), "{lines:?}");
    }
}

#[tokio::test]
async fn keys_are_fetched_inside_a_cluster_with_its_authority_and_a_token_that_is_replaced() {
    let cluster = MockServer::builder().audience("orders-api").tls().start().await;
    let ca = File::new("cluster-ca.crt", &cluster.ca_pem());
    let token_file = File::new("cluster-token", "one\n");
    let config = |ca: &File| {
        format!(
            "[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\ntoken_file = {:?}\ntls = {{ ca = {:?} }}\n\
             [keys]\ncooldown_seconds = 1\nmax_age_seconds = 1\n",
            cluster.issuer(),
            token_file.0.to_str().unwrap(),
            ca.0.to_str().unwrap()
        )
    };
    let (_api, url) = protected_api("cluster.toml", &config(&ca)).await;
    let journal = cluster.journal();
    for token in ["one", "two"] {
        std::fs::write(&token_file.0, format!("{token}\n")).unwrap();
        let expected = journal.fingerprint(&format!("Bearer {token}"));
        let sent = |endpoint| {
            journal.of(endpoint).last().and_then(|one| one.header("authorization").map(str::to_owned))
        };
        // A fetch is due every second.
        let sees_token = async {
            while sent(Endpoint::Jwks).as_deref() != Some(&*expected) {
                assert_eq!(status(&url, &cluster.mint()).await, 200);
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), sees_token).await;
        assert!(waited.is_ok(), "{token}: {:?}", sent(Endpoint::Jwks));
        let metadata = sent(Endpoint::OauthMetadata);
        assert!(metadata.is_some(), "the metadata get it as well");
    }
    // Another authority vouches for nothing.
    let stranger = File::new("other-ca.crt", &MockServer::builder().tls().start().await.ca_pem());
    let (_api, url) = protected_api("cluster-stranger.toml", &config(&stranger)).await;
    assert_eq!(status(&url, &cluster.mint()).await, 503);

    let lines = mistakes("cluster-mistake.toml", &config(&ca).replace("cluster-token", "no-token")).await;
    assert!(lines.len() == 1 && lines[0].starts_with("error: config: issuer[0].token_file: "), "{lines:?}");
}

#[tokio::test]
async fn a_gateway_gets_its_header_and_odd_metadata_are_got_over() {
    let server = server().await;
    server.fault(Endpoint::OauthMetadata, Fault::redirect("https://login.example/")).always();
    let mut key = server.keys().current().public_jwk();
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        key[member] = Value::Null;
    }
    key["oth"] = json!([]);
    server.keys().clear();
    server.keys().add_raw(key);
    // As editors of another system write files.
    let text = format!(
        "\u{feff}[[issuer]]\r\nissuer = \"{}\"\r\naudience = [\"orders-api\"]\r\nheaders = {{ x-api-key = \"k3y\" }}\r\n",
        server.issuer()
    );
    let mut from_env = example("protected_api");
    from_env.envs([
        ("GUARD_ISSUER_0_ISSUER", server.issuer()),
        ("GUARD_ISSUER_0_AUDIENCE", "orders-api"),
        ("GUARD_ISSUER_0_HEADERS_X_API_KEY", "k3y"),
    ]);
    for (_api, url) in [protected_api("gateway.toml", &text).await, ready(from_env).await] {
        server.journal().clear();
        assert_eq!(status(&url, &server.mint()).await, 200);
        for endpoint in [Endpoint::OauthMetadata, Endpoint::OpenidMetadata, Endpoint::Jwks] {
            let asked = server.journal().of(endpoint);
            assert_eq!(asked.len(), 1, "{endpoint:?}");
            // The journal keeps no key.
            let sent = server.journal().fingerprint("k3y");
            assert_eq!(asked[0].header("x-api-key"), Some(&*sent), "{endpoint:?}");
        }
    }
}

#[tokio::test]
async fn a_machine_without_authorities_serves_what_needs_none_and_says_what_is_missing_elsewhere() {
    let bare = |config: &File| {
        let mut command = program(config);
        command.envs([("SSL_CERT_FILE", "/none/ca.pem"), ("SSL_CERT_DIR", "/none")]);
        command
    };
    let server = server().await;
    let cluster = MockServer::builder().audience("orders-api").tls().start().await;
    let ca = File::new("bare-ca.crt", &cluster.ca_pem());
    let of = |server: &MockServer, more: &str| {
        format!("[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\n{more}", server.issuer())
    };
    let own = format!("tls = {{ ca = {:?} }}\n", ca.0.to_str().unwrap());
    let config = File::new("bare.toml", &[of(&server, ""), of(&cluster, &own)].concat());
    let (_api, url) = ready(bare(&config)).await;
    assert_eq!(status(&url, &server.mint()).await, 200);
    assert_eq!(status(&url, &cluster.mint()).await, 200);

    let config = File::new("bare-tls.toml", &of(&cluster, ""));
    let output = bare(&config).output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // Where records of the crate `log` are shown, the TLS library says what it did not find, too.
    let own: Vec<_> = stderr.lines().filter(|line| !line.contains("rustls_platform_verifier")).collect();
    assert_eq!((output.status.code(), own.len()), (Some(2), 1), "{stderr}");
    assert!(
        own[0].starts_with("error: config: http: this machine has no certificate authorities"),
        "{stderr}"
    );
}
