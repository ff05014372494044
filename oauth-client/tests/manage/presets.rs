//! Providers that many users have, from a preset: where requests go, and what the providers' own words mean. The bodies
//! are those of the providers' public pages.

use bytes::Bytes;
use http::Response;
use oauth_client::discover::Endpoint;
use oauth_client::{Client, ClientAuth, Dialect, Error, TokenSet, dialect, grant};
use serde_json::json;

use crate::site::Site;

const ENTRA: &str = "https://login.microsoftonline.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/v2.0";
const COGNITO: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI";

/// The response of a provider without metadata, or with metadata at this issuer, to a refresh.
async fn refreshed(
    dialect: Dialect,
    issuer: Option<&str>,
    status: u16,
    body: &str,
) -> (Site, Result<TokenSet, Error>) {
    let site = Site::default();
    let reply = || Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap();
    for place in [
        "https://github.com/login/oauth/access_token",
        "https://slack.com/api/oauth.v2.access",
        "https://oauth2.googleapis.com/token",
        "https://login.test/token",
    ] {
        site.response(&format!("POST {place}"), reply());
    }
    let mut client = Client::builder().provider(dialect.clone()).auth(ClientAuth::post("app", "s3cr3t"));
    if let Some(issuer) = issuer {
        client = client.issuer(issuer);
    }
    let (issuer, endpoint) = match issuer {
        Some(issuer) => (issuer, "https://login.test/token"),
        None => ("https://accounts.google.com", "https://oauth2.googleapis.com/token"),
    };
    let metadata = json!({"issuer": issuer, "token_endpoint": endpoint}).to_string();
    let site = site.with(&format!("GET {issuer}/.well-known/openid-configuration"), &metadata);
    let client = client.http(site.http()).build().unwrap();
    let result = client.request(&grant::refresh_token("r1")).await;
    (site, result)
}

#[tokio::test]
async fn github_is_understood() {
    let github = |body: &'static str| refreshed(dialect::github(), None, 200, body);
    let good = r#"{"access_token":"ghu_1","expires_in":28800,"refresh_token":"ghr_2","refresh_token_expires_in":15811200,"scope":"repo,gist","token_type":"bearer"}"#;
    let (site, tokens) = github(good).await;
    assert_eq!(site.lines(), ["POST https://github.com/login/oauth/access_token"]);
    assert_eq!(tokens.unwrap().scope().unwrap(), ["repo", "gist"]);
    let (_, tokens) = github("access_token=gho_1&scope=repo%2Cgist&token_type=bearer").await;
    assert_eq!(tokens.unwrap().access_token().expose(), "gho_1");
    for (theirs, code) in [
        ("bad_refresh_token", "invalid_grant"),
        ("bad_verification_code", "invalid_grant"),
        ("incorrect_client_credentials", "invalid_client"),
        ("unverified_user_email", "access_denied"),
    ] {
        let body =
            json!({"error": theirs, "error_description": "no", "error_uri": "https://docs.github.com"});
        let (_, result) = refreshed(dialect::github(), None, 200, &body.to_string()).await;
        let error = result.unwrap_err();
        assert_eq!((error.code(), error.provider_code()), (code, Some(theirs)));
    }
}

#[tokio::test]
async fn a_provider_without_metadata_has_its_endpoints_in_the_preset_and_below_another_base() {
    for (base, host) in [(None, "https://github.com"), (Some("https://ghe.test/"), "https://ghe.test")] {
        let mut client = Client::builder().provider(dialect::github()).auth(ClientAuth::none("app"));
        if let Some(base) = base {
            client = client.base_url(base);
        }
        let site = Site::default().with(
            &format!("POST {host}/login/device/code"),
            "device_code=d1&user_code=AB-12&verification_uri=https%3A%2F%2Fgithub.com%2Flogin%2Fdevice&expires_in=900&interval=5",
        );
        let client = client.http(site.http()).build().unwrap();
        let device = client.device(&oauth_client::login::DeviceRequest::new()).await.unwrap();
        assert_eq!(device.user_code(), "AB-12");
        let request = oauth_client::login::AuthorizationRequest::new("http://127.0.0.1/cb");
        let url = client.authorize(&request).await.unwrap().url().clone();
        assert!(url.as_str().starts_with(&format!("{host}/login/oauth/authorize?")), "{url}");
    }
    // What is given by hand counts first.
    let client = Client::builder().provider(dialect::slack()).auth(ClientAuth::post("app", "s3cr3t"));
    let client = client.endpoint(Endpoint::Authorization, "https://team.test/authorize");
    let client = client.http(Site::default().http()).build().unwrap();
    let request = oauth_client::login::AuthorizationRequest::new("http://127.0.0.1/cb");
    assert_eq!(client.authorize(&request).await.unwrap().url().host_str(), Some("team.test"));
}

#[tokio::test]
async fn slack_is_understood() {
    let good = r#"{"ok":true,"access_token":"xoxe.xoxb-1","token_type":"bot","scope":"commands,incoming-webhook","expires_in":43200,"refresh_token":"xoxe-2","team":{"name":"T","id":"T9"},"authed_user":{"id":"U1"}}"#;
    let (site, tokens) = refreshed(dialect::slack(), None, 200, good).await;
    assert_eq!(site.lines(), ["POST https://slack.com/api/oauth.v2.access"]);
    let tokens = tokens.unwrap();
    assert_eq!(tokens.scope().unwrap(), ["commands", "incoming-webhook"]);
    assert_eq!(tokens.scheme().name(), "Bearer");
    let plain = refreshed(dialect::standard(), Some(COGNITO), 200, good).await.1;
    assert_eq!(plain.unwrap_err().code(), "unsupported_token_type", "no other provider has such tokens");
    for (theirs, code, transient) in [
        ("invalid_refresh_token", "invalid_grant", false),
        ("token_revoked", "invalid_grant", false),
        ("code_already_used", "invalid_grant", false),
        ("bad_client_secret", "invalid_client", false),
        ("ratelimited", "invalid_request", true),
        ("something_new", "invalid_request", false),
    ] {
        let body = json!({"ok": false, "error": theirs}).to_string();
        let error = refreshed(dialect::slack(), None, 200, &body).await.1.unwrap_err();
        assert_eq!((error.code(), error.provider_code()), (code, Some(theirs)));
        assert_eq!(error.is_transient(), transient, "{theirs}");
    }
}

#[tokio::test]
async fn google_needs_nothing_but_the_client() {
    let good = r#"{"access_token":"ya29.1","expires_in":3599,"scope":"openid https://www.googleapis.com/auth/drive.file","token_type":"Bearer"}"#;
    let (site, tokens) = refreshed(dialect::google(), None, 200, good).await;
    assert_eq!(site.lines().last().unwrap(), "POST https://oauth2.googleapis.com/token");
    assert_eq!(tokens.unwrap().scope().unwrap().len(), 2);
    let gone = r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#;
    assert_eq!(refreshed(dialect::google(), None, 400, gone).await.1.unwrap_err().code(), "invalid_grant");
}

#[tokio::test]
async fn entra_and_cognito_are_understood_at_their_issuers() {
    let body = r#"{"error":"interaction_required","error_description":"AADSTS50076: Due to a configuration change …","error_codes":[50076],"timestamp":"2030-01-01 00:00:00Z","trace_id":"t","correlation_id":"c","suberror":"basic_action"}"#;
    let error = refreshed(dialect::entra(), Some(ENTRA), 400, body).await.1.unwrap_err();
    assert_eq!((error.code(), error.provider_code()), ("invalid_grant", Some("interaction_required")));
    let whole = error.provider::<dialect::entra::ErrorBody>().unwrap();
    assert_eq!((&*whole.error_codes, whole.suberror.as_deref()), (&[50076][..], Some("basic_action")));

    let good = r#"{"id_token":"e30.e30.AA","access_token":"eyJ","expires_in":3600,"token_type":"Bearer"}"#;
    let tokens = refreshed(dialect::cognito(), Some(COGNITO), 200, good).await.1.unwrap();
    assert!(tokens.refresh_token().is_none(), "the one before stays in force");
    let gone = r#"{"error":"invalid_grant","error_description":"Invalid Refresh Token"}"#;
    assert_eq!(
        refreshed(dialect::cognito(), Some(COGNITO), 400, gone).await.1.unwrap_err().code(),
        "invalid_grant"
    );
}

/// The error of a source and of a request by hand, which are the same.
async fn no_grant_of(dialect: Dialect, request: grant::TokenRequest) -> String {
    let site = Site::default();
    let auth = match dialect.name() {
        "comm100" => ClientAuth::none("app"),
        _ => ClientAuth::post("app", "s3cr3t"),
    };
    let client = Client::builder().provider(dialect).auth(auth).http(site.http()).build().unwrap();
    let error = client.source(request.clone()).build().unwrap_err();
    assert_eq!((error.code(), &*error.problems()[0].field), ("config", "grant"));
    assert_eq!(client.request(&request).await.unwrap_err().to_string(), error.to_string());
    assert!(site.asked().is_empty(), "nothing is sent, no password either");
    error.problems()[0].to_string()
}

#[tokio::test]
async fn a_grant_that_a_provider_does_not_have_is_never_sent_to_it() {
    let error = no_grant_of(dialect::ils(), grant::password("alice", "w0nderland")).await;
    assert_eq!(error, "grant: password is not a grant of provider ils; expected client_credentials");
    let error = no_grant_of(dialect::comm100(), grant::client_credentials()).await;
    assert!(
        error.ends_with("client_credentials is not a grant of provider comm100; expected password"),
        "{error}"
    );
    let error = no_grant_of(dialect::google(), grant::token_exchange("t")).await;
    assert!(error.contains("grant-type:token-exchange is not a grant of provider google"), "{error}");
    no_grant_of(dialect::ils(), grant::login()).await;
    no_grant_of(dialect::ils(), grant::refresh_token("r")).await;

    let builds = |grants: &[&str], request: grant::TokenRequest| {
        let dialect =
            Dialect::new("acme").base_url("https://acme.test").token_path("/t").grants(grants.to_vec());
        let client = Client::builder().provider(dialect).auth(ClientAuth::post("app", "s3cr3t"));
        let client = client.http(Site::default().http()).build().unwrap();
        assert!(client.source(request).build().is_ok(), "{grants:?}");
    };
    // By the names of a configuration, by what is sent, and without a list.
    builds(&["jwt_bearer"], grant::jwt_bearer("a.b.c"));
    builds(&["token_exchange"], grant::token_exchange("t"));
    builds(&["urn:ietf:params:oauth:grant-type:jwt-bearer"], grant::jwt_bearer("a.b.c"));
    for login in ["authorization_code", "device_code", "ciba", "urn:ietf:params:oauth:grant-type:device_code"]
    {
        builds(&[login], grant::login());
    }
    builds(&[], grant::password("alice", "w0nderland"));
}

#[tokio::test]
async fn no_person_is_asked_for_a_grant_that_a_provider_does_not_have() {
    use oauth_client::login::{AuthorizationRequest, BackchannelRequest, DeviceRequest};

    let site = Site::default();
    let acme = Dialect::new("acme").grants(["password"]);
    let client = Client::builder().provider(acme).issuer("https://acme.test").http(site.http());
    let client = client.auth(ClientAuth::post("app", "s3cr3t")).build().unwrap();
    let grants = [
        client.authorize(&AuthorizationRequest::new("http://127.0.0.1/cb")).await.map(drop),
        client.device(&DeviceRequest::new()).await.map(drop),
        client.backchannel(&BackchannelRequest::login_hint("alice")).await.map(drop),
    ];
    for grant in grants {
        let error = grant.unwrap_err();
        assert_eq!((error.code(), &*error.problems()[0].field), ("config", "grant"), "{error}");
    }
    assert!(site.asked().is_empty());
}

#[tokio::test]
async fn a_refresh_is_no_grant_that_a_provider_has_to_list() {
    let site = Site::default().with(
        "POST https://acme.test/t",
        r#"{"access_token":"a1","token_type":"Bearer","expires_in":60,"refresh_token":"r1"}"#,
    );
    let dialect = Dialect::new("acme").base_url("https://acme.test").token_path("/t").grants(["password"]);
    let client = Client::builder().provider(dialect).auth(ClientAuth::post("app", "s3cr3t"));
    let client = client.http(site.http()).build().unwrap();
    let source = client.source(grant::password("alice", "w0nderland")).build().unwrap();
    let first = source.token().await.unwrap();
    site.asked();
    source.reject(first.generation());
    source.token().await.unwrap();
    assert!(site.asked()[0].body.contains("grant_type=refresh_token"));
}

#[test]
fn an_api_has_a_url_that_requests_can_go_to() {
    use oauth_client::TokenSource;
    use oauth_client::manage::{Api, sailpoint::OAuthClients};

    let source = TokenSource::fixed("t").unwrap();
    let new = |url: &str| Api::new(Site::default().http(), source.clone(), url).map(drop);
    for good in ["https://api.test", "http://127.0.0.1:8080/base", "HTTPS://api.test/"] {
        new(good).unwrap();
    }
    for (bad, says) in [
        ("ftp://api.test", "is no http or https URL"),
        ("api.test", "is no http or https URL"),
        ("https://api.test/?a=b", "has a query"),
        ("https://api.test/#top", "has a fragment"),
    ] {
        let both = [
            new(bad).unwrap_err(),
            OAuthClients::new(Site::default().http(), source.clone(), bad).map(drop).unwrap_err(),
        ];
        for error in both {
            assert_eq!((error.code(), &*error.problems()[0].field), ("config", "base_url"), "{bad}");
            assert!(error.to_string().contains(says), "{bad}: {error}");
        }
    }
}
