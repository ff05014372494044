//! Whole runs: each preset against a server that plays its provider and takes nothing looser than the page says.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use oauth_client::attach::TokenLayer;
use oauth_client::clock::TestClock;
use oauth_client::config::ClientConfig;
use oauth_client::manage::sailpoint::{GrantType, NewOAuthClient, OAuthClients};
use oauth_client::manage::{Api, comm100};
use oauth_client::transport::HttpClient;
use oauth_client::{Error, TokenSource};
use oauth_mock::{Endpoint, MockClient, MockServer, MockServerBuilder, Provider};
use tower::{Layer, ServiceExt};

use crate::rows;

rows! { "a run of each":
    request "ILS: from configuration to API, and a new token when the old one expires" => ils,
    request "InfoLink: the same, with a refresh token that rotates" => infolink,
    request "InfoLink by password" => infolink_by_password,
    request "SailPoint: the same" => sailpoint,
    request "Comm100: the same, the password sent again" => comm100_run,
    request "Teen Quotes: the same, with a refresh token, as JSON and as a form" => teen_quotes,
    error "InfoLink: a token that the API says has expired is replaced once, the call repeated once" => infolink_revoked,
    error "InfoLink: an expired refresh token costs a new grant, nothing else" => infolink_refresh_expired,
    error "Teen Quotes: invalid_refresh costs a new grant, nothing else" => teen_quotes_refresh_expired,
    error "every documented failure of every provider has a code and is typed" => every_failure,
    response "SailPoint: a client that was created gets tokens itself" => created_client,
}

const PRESETS: [(Provider, &str, &str); 5] = [
    (Provider::Ils, "ils", "client_id = \"svc\"\nclient_secret = \"s3cr3t\"\n"),
    (
        Provider::InfoLink,
        "infolink",
        "client_id = \"9605c5d5-2a1b-49cc-8aaa-b350ee9d86b6\"\nclient_secret = \"eebb17b2-9ce4-4c73-a23f-d23739bf99b4\"\n",
    ),
    (Provider::SailPoint, "sailpoint", "client_id = \"svc\"\nclient_secret = \"s3cr3t\"\n"),
    (
        Provider::Comm100,
        "comm100",
        "client_id = \"1d29e6d7-18cf-407d-a064-e4f8c4baefab\"\nusername = \"client1@company.com\"\npassword = \"******\"\nparams = { partnerId = \"10000\" }\n",
    ),
    (
        Provider::TeenQuotes,
        "teen-quotes",
        "client_id = \"42\"\nclient_secret = \"IZgwaBTZ2EdtT3hT7UzG2rLQ8S0Vmu9GDxeHwcPz\"\n",
    ),
];

struct Run {
    server: MockServer,
    source: TokenSource,
    method: Method,
    api: Endpoint,
}

impl Run {
    fn of(provider: Provider, more: &str) -> Self {
        Self::with(MockServer::builder(), provider, more)
    }

    fn with(builder: MockServerBuilder, provider: Provider, more: &str) -> Self {
        let (_, name, credentials) = PRESETS.into_iter().find(|(known, ..)| *known == provider).unwrap();
        let server = builder.personality(provider).in_process();
        let toml = format!("provider = \"{name}\"\nbase_url = \"{}\"\n{credentials}{more}", server.url());
        let config = ClientConfig::from_toml(&toml).unwrap();
        let http = HttpClient::from_service(server.transport());
        let source = config.http(http).clock(TestClock::new()).build().unwrap();
        let (method, api) = match provider {
            Provider::InfoLink | Provider::SailPoint => (Method::POST, Endpoint::Api),
            Provider::Comm100 => (Method::GET, Endpoint::Userinfo),
            _ => (Method::GET, Endpoint::Api),
        };
        Self { server, source, method, api }
    }

    async fn call(&self, body: &'static str) -> (u16, String) {
        let service = TokenLayer::new(self.source.clone()).layer(self.server.transport());
        let request = Request::builder().method(&self.method).uri(self.server.endpoint(self.api));
        let request =
            request.header("content-type", "application/json").body(Full::<Bytes>::from(body)).unwrap();
        let response = service.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn tokens(&self) -> usize {
        self.server.journal().count(Endpoint::Token)
    }

    /// Two calls, expiry, two calls, expiry, two calls: three token requests, no refused call.
    async fn through_two_expiries(&self, lifetime: u64, body: &'static str) {
        for expiries in 0..3 {
            for _ in 0..2 {
                let (status, body) = self.call(body).await;
                assert!(status == 200 && !body.contains("invalid_grant"), "{status} {body}");
            }
            assert_eq!(self.tokens(), expiries + 1);
            tokio::time::advance(Duration::from_secs(lifetime + 1)).await;
        }
        assert_eq!(self.server.journal().count(self.api), 6, "no call was made twice");
    }

    fn grants(&self) -> Vec<String> {
        let requests = self.server.journal().of(Endpoint::Token);
        requests.iter().map(|request| request.param("grant_type").unwrap_or("none").to_owned()).collect()
    }
}

const JOB: &str = r#"{"appId":"170","isAsync":false,"responseFormat":"text","operation":{"opName":"RunScenario","opParams":{"scenario":"LoadData","parameters":{},"data":null}}}"#;

async fn ils() {
    let run = Run::of(Provider::Ils, "");
    run.through_two_expiries(3600, "").await;
}

async fn infolink() {
    let run = Run::of(Provider::InfoLink, "");
    run.through_two_expiries(1800, JOB).await;
    assert_eq!(run.grants(), ["client_credentials", "refresh_token", "refresh_token"]);
}

async fn infolink_by_password() {
    let run = Run::of(
        Provider::InfoLink,
        "grant = \"password\"\nusername = \"john@company.com\"\npassword = \"mypassword\"\n",
    );
    run.through_two_expiries(1800, JOB).await;
    assert_eq!(run.grants(), ["password", "refresh_token", "refresh_token"]);
}

async fn sailpoint() {
    let run = Run::of(Provider::SailPoint, "");
    run.through_two_expiries(750, r#"{"name":"Demo API Client"}"#).await;
}

async fn comm100_run() {
    let run = Run::of(Provider::Comm100, "");
    run.through_two_expiries(43_200, "").await;
    assert_eq!(run.grants(), ["password"; 3]);
    let http = HttpClient::from_service(run.server.transport());
    let user =
        comm100::userinfo(&Api::new(http, run.source.clone(), run.server.url()).unwrap()).await.unwrap();
    assert_eq!(user.role, Some(comm100::Role::Agent));
    assert!(user.site_id.is_some() && user.agent_id.is_some());
}

async fn teen_quotes() {
    for encoding in ["json", "form"] {
        // Its refresh token outlives its access token here; the page does not say.
        let client = MockClient::new("42").secret("IZgwaBTZ2EdtT3hT7UzG2rLQ8S0Vmu9GDxeHwcPz").scopes([""; 0]);
        let server = MockServer::builder().client(client.refresh_lifetime(Duration::from_secs(30 * 86_400)));
        let more = format!("custom = {{ encoding = \"{encoding}\" }}");
        let run = Run::with(server, Provider::TeenQuotes, &more);
        run.through_two_expiries(604_800, "").await;
        let refreshed = run.server.journal().of(Endpoint::Token);
        assert!(refreshed[0].header("content-type").unwrap().contains(encoding));
        assert_eq!(run.grants(), ["client_credentials", "refresh_token", "refresh_token"]);
        assert!(run.source.token().await.unwrap().tokens().refresh_token().is_some());
    }
}

async fn infolink_revoked() {
    for status in [200, 400, 401, 500] {
        let server = MockServer::builder().undocumented_status(status);
        let run = Run::with(server, Provider::InfoLink, "");
        run.call(JOB).await;
        // The server forgets the token, while the client takes it for fresh.
        run.server.revoke_token(run.source.token().await.unwrap().secret().expose());
        let (status, body) = run.call(JOB).await;
        assert_eq!(
            (status, body.as_str()),
            (200, r#"{"result":{"opName":"RunScenario"},"status":"success"}"#)
        );
        assert_eq!(run.tokens(), 2, "one refresh");
        assert_eq!(run.server.journal().count(Endpoint::Api), 3, "one replay");
    }
}

async fn infolink_refresh_expired() {
    let run = Run::of(Provider::InfoLink, "");
    run.call(JOB).await;
    run.server.provider_failure("expired_refresh_token").times(1);
    tokio::time::advance(Duration::from_secs(1801)).await;
    assert_eq!(run.call(JOB).await.0, 200);
    assert_eq!(run.grants(), ["client_credentials", "refresh_token", "client_credentials"]);
}

async fn teen_quotes_refresh_expired() {
    let run = Run::of(Provider::TeenQuotes, "");
    run.call("").await;
    run.server.provider_failure("invalid_refresh").times(1);
    tokio::time::advance(Duration::from_secs(604_801)).await;
    assert_eq!(run.call("").await.0, 200);
    assert_eq!(run.tokens(), 3);
}

async fn every_failure() {
    let mut seen = 0;
    for (provider, ..) in PRESETS {
        for failure in provider.failures().into_iter().filter(|failure| failure.endpoint() == Endpoint::Token)
        {
            let run = Run::of(provider, "timeout_seconds = 1");
            run.server.provider_failure(failure.name()).always();
            let error = run.source.token().await.unwrap_err();
            let typed = match provider {
                Provider::Ils => error.provider::<oauth_client::dialect::ils::StatusInfo>().is_some(),
                Provider::InfoLink => {
                    error.provider::<oauth_client::dialect::infolink::ErrorBody>().is_some()
                }
                _ => error.provider::<oauth_client::dialect::teen_quotes::ErrorBody>().is_some(),
            };
            assert!(typed && error.unrecognized().is_none(), "{provider} {}: {error:?}", failure.name());
            assert_eq!(error.status().unwrap(), failure.status());
            seen += 1;
        }
    }
    for failure in Provider::SailPoint.failures() {
        let run = Run::of(Provider::SailPoint, "");
        run.server.provider_failure(failure.name()).always();
        let error = create(&run).await.unwrap_err();
        let code = match failure.status().as_u16() {
            400 => "invalid_request",
            401 => "invalid_token",
            403 => "access_denied",
            429 => "rate_limited",
            _ => "server_error",
        };
        assert_eq!(error.code(), code, "{}", failure.name());
        assert_eq!(error.retry_after().is_some(), code == "rate_limited");
        assert!(error.provider::<oauth_client::dialect::sailpoint::ErrorBody>().is_some());
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

fn clients(run: &Run) -> OAuthClients {
    let http = HttpClient::from_service(run.server.transport());
    OAuthClients::new(http, run.source.clone(), run.server.url()).unwrap()
}

async fn create(run: &Run) -> Result<oauth_client::manage::sailpoint::OAuthClient, Error> {
    clients(run).create(&NewOAuthClient::new("Demo").grant_types([GrantType::ClientCredentials])).await
}

async fn created_client() {
    let run = Run::of(Provider::SailPoint, "");
    let client = create(&run).await.unwrap();
    assert_eq!(client.scope, ["sp:scopes:all"]);
    let secret = client.secret.unwrap();
    let toml = format!(
        "provider = \"sailpoint\"\nbase_url = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"",
        run.server.url(),
        client.id,
        secret.expose()
    );
    let http = HttpClient::from_service(run.server.transport());
    let config = ClientConfig::from_toml(&toml).unwrap().http(http).clock(TestClock::new());
    assert!(config.build().unwrap().token().await.is_ok());
}
