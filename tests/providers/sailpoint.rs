//! SailPoint, page "Create OAuth Client".

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use oauth_client::dialect::sailpoint::{ErrorBody, LocaleOrigin};
use oauth_client::manage::Api;
use oauth_client::manage::sailpoint::{
    AccessType, ClientType, DEFAULT_SCOPE, GrantType, NewOAuthClient, OAuthClient, OAuthClients,
};
use oauth_client::transport::Limits;
use oauth_client::{Error, TokenSource, dialect, grant};
use serde_json::{Value, json};

use crate::rows;
use crate::support::{Wire, form, pairs, post, refused};

rows! { "SailPoint":
    request "a token, from an endpoint that the page does not name" => token_request,
    request "POST /oauth-clients, every field" => every_field,
    request "over https, or where plain http was allowed" => plain_http,
    request "redirectUris, scope and the rest may be left out" => only_a_name,
    response "200: the printed client, every field" => printed_client,
    response "the secret comes this once, and is not shown" => secret_is_redacted,
    response "a response that is not quite as printed still gives the secret" => liberal,
    response "values that are not on the page are kept" => unknown_values,
    error "400 with detailCode, trackingId, messages and causes" => bad_request,
    error "localeOrigin DEFAULT, REQUEST, null or a future value" => locale_origin,
    error "401 with a sentence: invalid_token, one new token, one replay" => unauthorized,
    error "401 with a sentence at the token endpoint is no code" => prose_at_the_token_endpoint,
    error "403 as printed, and from the schema" => forbidden,
    error "429 with a message, Retry-After honoured" => too_many_requests,
    error "500 as printed, and from the schema" => internal_server_error,
}

const CREATED: &str = r#"{
"id": "2c9180835d2e5168015d32f890ca1581",
"secret": "5c32dd9b21adb51c77794d46e71de117a1d0ddb36a7ff941fa28014ab7de2cf3",
"businessName": "Acme-Solar",
"homepageUrl": "http://localhost:12345",
"name": "Demo API Client",
"description": "An API client used for the authorization_code, refresh_token, and client_credentials flows",
"accessTokenValiditySeconds": 750,
"refreshTokenValiditySeconds": 86400,
"redirectUris": ["http://localhost:12345"],
"grantTypes": ["AUTHORIZATION_CODE", "CLIENT_CREDENTIALS", "REFRESH_TOKEN"],
"accessType": "OFFLINE",
"type": "CONFIDENTIAL",
"internal": false,
"enabled": true,
"strongAuthSupported": false,
"claimsSupported": false,
"created": "2017-07-11T18:45:37.098Z",
"modified": "2018-06-25T20:22:28.104Z",
"scope": ["demo:api-client-scope:first", "demo:api-client-scope:second"]
}"#;
const SEMANTIC: &str = "The request was syntactically correct but its content is semantically invalid.";
const FROM_SCHEMA: &str = r#"{
"detailCode": "400.1 Bad Request Content",
"trackingId": "e7eab60924f64aa284175b9fa3309599",
"messages": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": "The request was syntactically correct but its content is semantically invalid."}],
"causes": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": "The request was syntactically correct but its content is semantically invalid."}]
}"#;
const FORBIDDEN: &str = r#"{"detailCode": "403 Forbidden", "trackingId": "b21b1f7ce4da4d639f2c62a57171b427",
"messages": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": "The server understood the request but refuses to authorize it."}]}"#;
const INTERNAL: &str = r#"{"detailCode": "500.0 Internal Fault", "trackingId": "b21b1f7ce4da4d639f2c62a57171b427",
"messages": [{"locale": "en-US", "localeOrigin": "DEFAULT", "text": "An internal fault occurred."}]}"#;
const UNAUTHORIZED: &str = r#"{"error": "JWT validation failed: JWT is expired"}"#;

fn clients(wire: &Wire) -> OAuthClients {
    OAuthClients::new(wire.http(), TokenSource::fixed("t0ken-1").unwrap(), "https://acme.api.example")
        .unwrap()
}

async fn created(body: &str) -> Result<OAuthClient, Error> {
    clients(&Wire::with(200, body)).create(&NewOAuthClient::new("Demo API Client")).await
}

async fn api_error(status: u16, body: &str) -> Error {
    let error = clients(&Wire::with(status, body)).create(&NewOAuthClient::new("x")).await.unwrap_err();
    assert_eq!(error.status().unwrap(), status);
    assert!(!format!("{error} {error:?}").contains("t0ken-1"));
    error
}

async fn token_request() {
    let wire = Wire::with(200, r#"{"access_token":"a.b.c","token_type":"Bearer","expires_in":749}"#);
    wire.client(dialect::sailpoint(), post()).request(&grant::client_credentials()).await.unwrap();
    let sent = wire.request(0);
    assert_eq!(sent.uri().path(), "/oauth/token");
    let expected =
        pairs([("grant_type", "client_credentials"), ("client_id", "id-1"), ("client_secret", "s3cr3t-1")]);
    assert_eq!(form(&sent), expected);
    let elsewhere = Wire::with(200, r#"{"access_token":"a.b.c"}"#);
    let dialect = dialect::sailpoint().token_path("/v2/token");
    elsewhere.client(dialect, post()).request(&grant::client_credentials()).await.unwrap();
    assert_eq!(elsewhere.request(0).uri().path(), "/v2/token");
}

async fn every_field() {
    let wire = Wire::with(200, CREATED);
    let client = NewOAuthClient::new("Demo API Client")
        .business_name("Acme-Solar")
        .homepage_url("http://localhost:12345")
        .description("what for")
        .access_token_validity(Duration::from_secs(750))
        .refresh_token_validity(Duration::from_secs(86_400))
        .redirect_uris(["http://localhost:12345"])
        .grant_types([GrantType::AuthorizationCode, GrantType::ClientCredentials, GrantType::RefreshToken])
        .access_type(AccessType::Offline)
        .client_type(ClientType::Confidential)
        .internal(false)
        .enabled(true)
        .strong_auth_supported(false)
        .claims_supported(false)
        .scope(["demo:api-client-scope:first"]);
    clients(&wire).create(&client).await.unwrap();
    let sent = wire.request(0);
    assert_eq!(
        (sent.method().as_str(), sent.uri().to_string().as_str()),
        ("POST", "https://acme.api.example/oauth-clients")
    );
    assert_eq!(sent.headers()["authorization"], "Bearer t0ken-1");
    assert_eq!(sent.headers()["content-type"], "application/json");
    let expected = json!({
        "name": "Demo API Client", "businessName": "Acme-Solar", "homepageUrl": "http://localhost:12345",
        "description": "what for", "accessTokenValiditySeconds": 750, "refreshTokenValiditySeconds": 86400,
        "redirectUris": ["http://localhost:12345"],
        "grantTypes": ["AUTHORIZATION_CODE", "CLIENT_CREDENTIALS", "REFRESH_TOKEN"], "accessType": "OFFLINE",
        "type": "CONFIDENTIAL", "internal": false, "enabled": true, "strongAuthSupported": false,
        "claimsSupported": false, "scope": ["demo:api-client-scope:first"]
    });
    assert_eq!(serde_json::from_slice::<Value>(sent.body()).unwrap(), expected);
}

async fn only_a_name() {
    let wire = Wire::with(200, CREATED);
    clients(&wire).create(&NewOAuthClient::new("x")).await.unwrap();
    assert_eq!(wire.request(0).body(), r#"{"name":"x"}"#, "without a scope it becomes {DEFAULT_SCOPE}");
    assert_eq!(DEFAULT_SCOPE, "sp:scopes:all");
}

async fn printed_client() {
    let client = created(CREATED).await.unwrap();
    assert_eq!(client.id, "2c9180835d2e5168015d32f890ca1581");
    let secret = client.secret.unwrap();
    assert_eq!(secret.expose(), "5c32dd9b21adb51c77794d46e71de117a1d0ddb36a7ff941fa28014ab7de2cf3");
    assert_eq!(client.business_name.as_deref(), Some("Acme-Solar"));
    assert_eq!(client.homepage_url.as_deref(), Some("http://localhost:12345"));
    assert_eq!(client.name.as_deref(), Some("Demo API Client"));
    assert!(client.description.unwrap().starts_with("An API client used for the authorization_code"));
    assert_eq!(client.access_token_validity, Some(Duration::from_secs(750)));
    assert_eq!(client.refresh_token_validity, Some(Duration::from_secs(86_400)));
    assert_eq!(client.redirect_uris, ["http://localhost:12345"]);
    let grants = [GrantType::AuthorizationCode, GrantType::ClientCredentials, GrantType::RefreshToken];
    assert_eq!(client.grant_types, grants);
    assert_eq!(client.access_type, Some(AccessType::Offline));
    assert_eq!(client.client_type, Some(ClientType::Confidential));
    assert_eq!((client.internal, client.enabled), (Some(false), Some(true)));
    assert_eq!((client.strong_auth_supported, client.claims_supported), (Some(false), Some(false)));
    assert_eq!(client.created, Some(Duration::from_millis(1_499_798_737_098)));
    assert_eq!(client.modified, Some(Duration::from_millis(1_529_958_148_104)));
    assert_eq!(client.scope, ["demo:api-client-scope:first", "demo:api-client-scope:second"]);
}

/// Plain http carries no token to other machines, unless that was allowed.
async fn plain_http() {
    let wire = Wire::with(200, CREATED);
    let source = || TokenSource::fixed("t0ken-1").unwrap();
    let api = Api::new(wire.http(), source(), "http://acme.api.example").unwrap();
    let refused = OAuthClients::from_api(api.clone()).create(&NewOAuthClient::new("x")).await.unwrap_err();
    assert_eq!((refused.code(), wire.requests()), ("config", 0));
    let limits = Limits { allow_http: true, ..Limits::token() };
    OAuthClients::from_api(api.limits(limits)).create(&NewOAuthClient::new("x")).await.unwrap();
    assert_eq!(Api::new(wire.http(), source(), "acme").unwrap_err().code(), "config");
}

async fn secret_is_redacted() {
    let client = created(CREATED).await.unwrap();
    assert!(!format!("{client:?}").contains("5c32dd9b"));
    let later = CREATED.replace("\"secret\"", "\"other\"");
    assert!(created(&later).await.unwrap().secret.is_none());
}

async fn liberal() {
    let body = r#"{"id":7,"secret":"x","grantTypes":null,"created":"yesterday","enabled":"yes","scope":"all","accessTokenValiditySeconds":"750"}"#;
    let client = created(body).await.unwrap();
    assert_eq!((client.id.as_str(), client.secret.unwrap().expose()), ("7", "x"));
    assert_eq!((client.created, client.enabled), (None, None));
    assert_eq!(client.access_token_validity, Some(Duration::from_secs(750)));
    assert_eq!(created("<html>").await.unwrap_err().code(), "malformed_response");
}

async fn unknown_values() {
    let body = CREATED
        .replace("OFFLINE", "SOMETIMES")
        .replace("CONFIDENTIAL", "SEMI")
        .replace("REFRESH_TOKEN", "MAGIC");
    let client = created(&body).await.unwrap();
    assert_eq!(client.access_type, Some(AccessType::Other("SOMETIMES".to_owned())));
    assert_eq!(client.client_type, Some(ClientType::Other("SEMI".to_owned())));
    assert_eq!(client.grant_types[2], GrantType::Other("MAGIC".to_owned()));
    let pairs = [
        (AccessType::Online.as_str(), "ONLINE"),
        (AccessType::Offline.as_str(), "OFFLINE"),
        (ClientType::Public.as_str(), "PUBLIC"),
    ];
    assert!(pairs.iter().all(|(ours, theirs)| ours == theirs));
}

async fn bad_request() {
    let error = api_error(400, FROM_SCHEMA).await;
    assert_eq!((error.code(), error.provider_code()), ("invalid_request", Some("400.1 Bad Request Content")));
    assert_eq!(error.description(), Some(SEMANTIC));
    let body = error.provider::<ErrorBody>().unwrap();
    assert_eq!(body.tracking_id.as_deref(), Some("e7eab60924f64aa284175b9fa3309599"));
    for message in [&body.messages[0], &body.causes[0]] {
        assert_eq!(message.locale.as_deref(), Some("en-US"));
        assert_eq!(message.locale_origin, Some(LocaleOrigin::Default));
        assert_eq!(message.text.as_deref(), Some(SEMANTIC));
    }
}

async fn locale_origin() {
    let origin = async |value: &str| {
        let error = api_error(400, &FROM_SCHEMA.replace("\"DEFAULT\"", value)).await;
        error.provider::<ErrorBody>().unwrap().causes[0].locale_origin.clone()
    };
    assert_eq!(origin("\"REQUEST\"").await, Some(LocaleOrigin::Request));
    assert_eq!(origin("null").await, None);
    assert_eq!(origin("\"TENANT\"").await, Some(LocaleOrigin::Other("TENANT".to_owned())));
}

async fn unauthorized() {
    let error = api_error(401, UNAUTHORIZED).await;
    assert_eq!((error.code(), error.provider_code()), ("invalid_token", None));
    assert_eq!(error.description(), Some("JWT validation failed: JWT is expired"));
    let body = error.provider::<ErrorBody>().unwrap();
    assert_eq!(body.error.as_deref(), Some("JWT validation failed: JWT is expired"));

    // With a source that can get another token, one is got and the request is sent once more.
    let token = r#"{"access_token":"a.b.c","token_type":"Bearer","expires_in":749}"#;
    let tokens = Wire::with(200, token).then(200, &token.replace("a.b.c", "d.e.f"));
    let client = tokens.client(dialect::sailpoint(), post());
    let source = client.source(grant::client_credentials()).build().unwrap();
    let wire = Wire::with(401, UNAUTHORIZED).then(200, CREATED);
    let clients = OAuthClients::new(wire.http(), source, "https://acme.api.example/v3/").unwrap();
    clients.create(&NewOAuthClient::new("x")).await.unwrap();
    let sent: Vec<Request<Bytes>> = (0..2).map(|n| wire.request(n)).collect();
    assert_eq!(sent[1].headers()["authorization"], "Bearer d.e.f");
    assert_eq!(sent[1].uri().path(), "/v3/oauth-clients");
    assert_eq!((sent[0].body(), tokens.requests()), (sent[1].body(), 2));
}

async fn prose_at_the_token_endpoint() {
    let error = refused(dialect::sailpoint(), 401, UNAUTHORIZED).await;
    assert_eq!((error.code(), error.provider_code()), ("invalid_client", None));
    assert_eq!(error.description(), Some("JWT validation failed: JWT is expired"));
    let standard =
        refused(dialect::sailpoint(), 400, r#"{"error":"unauthorized_client","error_description":"no"}"#)
            .await;
    assert_eq!((standard.code(), standard.description()), ("unauthorized_client", Some("no")));
}

async fn forbidden() {
    let printed = api_error(403, FORBIDDEN).await;
    assert_eq!((printed.code(), printed.provider_code()), ("access_denied", Some("403 Forbidden")));
    let text = "The server understood the request but refuses to authorize it.";
    assert_eq!(printed.description(), Some(text));
    assert!(printed.provider::<ErrorBody>().unwrap().causes.is_empty());
    assert_eq!(api_error(403, FROM_SCHEMA).await.code(), "access_denied");
}

async fn too_many_requests() {
    let response = Response::builder().status(429).header("retry-after", "12");
    let response = response.body(Bytes::from_static(br#"{"message": " Rate Limit Exceeded "}"#)).unwrap();
    let error = clients(&Wire::default().then_response(response))
        .create(&NewOAuthClient::new("x"))
        .await
        .unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("rate_limited", true));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(12)));
    assert_eq!(error.description(), Some(" Rate Limit Exceeded "));
    assert_eq!(error.provider::<ErrorBody>().unwrap().message.as_deref(), Some(" Rate Limit Exceeded "));
}

async fn internal_server_error() {
    let printed = api_error(500, INTERNAL).await;
    assert_eq!((printed.code(), printed.provider_code()), ("server_error", Some("500.0 Internal Fault")));
    assert_eq!(printed.description(), Some("An internal fault occurred."));
    assert!(printed.is_transient());
    let schema = api_error(500, FROM_SCHEMA).await;
    assert_eq!((schema.code(), schema.description()), ("server_error", Some(SEMANTIC)));
}
