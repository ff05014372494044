//! Each preset over sockets: reqwest's front, and `call_api` as other programs would drive it, expiry included.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/example.rs"]
mod example;
#[path = "support/file.rs"]
mod file;

use std::time::Duration;

use oauth_client::attach::Attached;
use oauth_client::attach::reqwest::AuthorizedClient;
use oauth_client::config::ClientConfig;
use oauth_mock::{Endpoint, MockClient, MockServer, Provider};
use serde_json::{Value, json};

use self::example::example;
use self::file::File;

const JOB: &str = r#"{"appId":"170","isAsync":false,"responseFormat":"text","operation":{"opName":"RunScenario","opParams":{"scenario":"LoadData","parameters":{},"data":null}}}"#;
const INFOLINK: (&str, &str) =
    ("9605c5d5-2a1b-49cc-8aaa-b350ee9d86b6", "eebb17b2-9ce4-4c73-a23f-d23739bf99b4");

fn infolink_toml(server: &MockServer) -> String {
    let (id, secret) = INFOLINK;
    format!(
        "provider = \"infolink\"\nbase_url = \"{}\"\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\n",
        server.url()
    )
}

#[tokio::test]
async fn under_reqwest_an_expired_response_is_replaced_and_any_other_is_returned_unchanged() {
    for status in [200, 400, 401] {
        let server =
            MockServer::builder().personality(Provider::InfoLink).undocumented_status(status).start().await;
        let source = ClientConfig::from_toml(&infolink_toml(&server)).unwrap().build().unwrap();
        let http = AuthorizedClient::new(reqwest::Client::new(), source.clone()).report();
        let url = server.endpoint(Endpoint::Api);
        let job = || http.post(&url).header("content-type", "application/json").body(JOB).send();
        assert_eq!(job().await.unwrap().status(), 200);

        server.revoke_token(source.token().await.unwrap().secret().expose());
        let response = job().await.unwrap();
        assert_eq!((response.status().as_u16(), response.url().as_str()), (200, url.as_str()));
        assert!(response.extensions().get::<Attached>().unwrap().replayed);
        let body = response.text().await.unwrap();
        assert_eq!(body, r#"{"result":{"opName":"RunScenario"},"status":"success"}"#);
        assert_eq!(server.journal().count(Endpoint::Token), 2, "one refresh");
        assert_eq!(server.journal().count(Endpoint::Api), 3, "one replay");

        // Another error of the API, with the same shape and another code: once, and whole.
        let response =
            http.post(&url).header("content-type", "application/json").body("{}").send().await.unwrap();
        assert_eq!(
            (response.url().as_str(), response.headers()["content-type"].to_str().unwrap()),
            (&*url, "application/json")
        );
        let attached = *response.extensions().get::<Attached>().unwrap();
        assert!(!attached.replayed || status == 401);
        let whole: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(
            (&whole["status"], &whole["result"]["code"]),
            (&json!("error"), &json!("invalid_request"))
        );
    }
}

async fn call_api(name: &str, toml: &str, args: &[&str]) -> Vec<Value> {
    let config = File::new(&format!("{name}.toml"), toml);
    let output = example("call_api").arg("--config").arg(&config.0).args(args).output().await;
    let output = output.expect("the example call_api, built beside this test");
    assert!(output.status.success(), "{name}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A preset, what else its configuration says, and the API to call: with a job it is a POST.
struct Preset {
    provider: Provider,
    name: &'static str,
    client: MockClient,
    more: String,
    path: &'static str,
    job: Option<&'static str>,
}

fn presets() -> Vec<Preset> {
    let secret = |id: &str, secret: &str| format!("client_id = \"{id}\"\nclient_secret = \"{secret}\"\n");
    let svc = || MockClient::new("svc").secret("s3cr3t");
    let (comm100, (infolink, infolink_secret)) = ("1d29e6d7-18cf-407d-a064-e4f8c4baefab", INFOLINK);
    vec![
        Preset {
            provider: Provider::Ils,
            name: "ils",
            client: svc(),
            more: secret("svc", "s3cr3t"),
            path: "/api/resource",
            job: None,
        },
        Preset {
            provider: Provider::InfoLink,
            name: "infolink",
            client: MockClient::new(infolink).secret(infolink_secret),
            more: secret(infolink, infolink_secret),
            path: "/api/v1/executeJob",
            job: Some(JOB),
        },
        Preset {
            provider: Provider::SailPoint,
            name: "sailpoint",
            client: svc().scopes(["sp:scopes:all"]),
            more: secret("svc", "s3cr3t"),
            path: "/oauth-clients",
            job: Some(r#"{"name":"x"}"#),
        },
        Preset {
            provider: Provider::Comm100,
            name: "comm100",
            client: MockClient::new(comm100).scopes(["ids.scope", "openid", "profile", "offline_access"]),
            more: format!(
                "client_id = \"{comm100}\"\nusername = \"client1@company.com\"\npassword = \"******\"\nparams = {{ partnerId = \"10000\" }}\n"
            ),
            path: "/oauth/userinfo",
            job: None,
        },
        Preset {
            provider: Provider::TeenQuotes,
            name: "teen-quotes",
            client: MockClient::new("42").secret("s3cr3t-2").scopes([""; 0]),
            more: secret("42", "s3cr3t-2"),
            path: "/resource",
            job: None,
        },
    ]
}

/// Tokens live two seconds, and the run takes longer than that.
async fn run(preset: Preset) {
    let Preset { provider, name, client, more, path, job } = preset;
    let client = client.token_lifetime(Duration::from_secs(2));
    let server = MockServer::builder().personality(provider).client(client).start().await;
    let base_url = server.url();
    let toml =
        format!("provider = \"{name}\"\nbase_url = \"{base_url}\"\nrefresh_margin_seconds = 0\n{more}");
    let url = format!("{base_url}{path}");
    let mut args = vec!["--url", &url, "--count", "4", "--interval-ms", "800"];
    args.extend(job.into_iter().flat_map(|job| ["--method", "POST", "--json", job]));
    let lines = call_api(name, &toml, &args).await;
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!((&summary["calls"], &summary["ok"]), (&json!(4), &json!(4)), "{name}: {lines:?}");
    let tokens = summary["token_requests"].as_u64().unwrap();
    assert!((2..=3).contains(&tokens), "{name}: an expiry or two on the way, {lines:?}");
    assert!(
        lines.iter().all(|line| !line["body"].to_string().contains("invalid_grant")),
        "{name}: {lines:?}"
    );
}

#[tokio::test]
async fn call_api_works_with_each_preset_and_through_an_expiry() {
    let runs: Vec<_> = presets().into_iter().map(|preset| tokio::spawn(run(preset))).collect();
    for run in runs {
        run.await.unwrap();
    }
}
