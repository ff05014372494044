//! Teen Quotes, page "OAuth - Client credentials".

use std::time::Duration;

use oauth_client::dialect::teen_quotes::{ErrorBody, ErrorKey};
use oauth_client::{dialect, grant};
use serde_json::json;

use crate::rows;
use crate::support::{Wire, form, json, pairs, post, read_as, refused};

rows! { "Teen Quotes":
    request "POST https://api.teen-quotes.com/oauth, JSON, grant_type, client_id, client_secret" => client_credentials,
    request "the same as a form" => client_credentials_as_a_form,
    request "the refresh token is used (how, is not said)" => refreshing,
    response "access_token, token_type bearer, expires, expires_in, refresh_token" => token,
    response "expires counts where expires_in is missing" => expires_alone,
    error "400 invalid_request, with its parameter" => invalid_request,
    error "400 unauthorized_client" => unauthorized_client,
    error "401 access_denied" => access_denied,
    error "400 unsupported_response_type" => unsupported_response_type,
    error "400 invalid_scope, with its scope" => invalid_scope,
    error "server_error, without a status" => server_error,
    error "400 temporarily_unavailable" => temporarily_unavailable,
    error "501 unsupported_grant_type, with the grant type" => unsupported_grant_type,
    error "401 invalid_client" => invalid_client,
    error "400 invalid_grant, with its parameter" => invalid_grant,
    error "400 invalid_credentials" => invalid_credentials,
    error "400 invalid_refresh, which is invalid_grant" => invalid_refresh,
    error "the printed example: invalid_request with the text of another" => printed_example,
    error "a key that is not in the table is kept" => another_key,
}

/// Status, key and text of one error, and what they are read as.
async fn error(status: u16, key: ErrorKey, code: &str, text: &str, parameter: Option<&str>) {
    let body = json!({"error": key.as_str(), "error_description": text}).to_string();
    let error = refused(dialect::teen_quotes(), status, &body).await;
    assert_eq!((error.code(), error.provider_code()), (code, Some(key.as_str())));
    assert_eq!(error.description(), Some(text));
    let refusal = error.provider::<ErrorBody>().unwrap();
    assert_eq!((&refusal.error, refusal.parameter.as_deref()), (&key, parameter));
    assert_eq!(refusal.error_description.as_deref(), Some(text));
    let later = matches!(key, ErrorKey::ServerError | ErrorKey::TemporarilyUnavailable);
    assert_eq!(error.is_transient(), later);
}

const PRINTED: &str = r#"{
   "access_token":"IZgwaBTZ2EdtT3hT7UzG2rLQ8S0Vmu9GDxeHwcPz",
   "token_type":"bearer",
   "expires":1401437772,
   "expires_in":604800,
   "refresh_token":"x5Oewf7PUw38J07lwEnJXSyXolwZ1KMdxxH2bxFJ"
}"#;

async fn client_credentials() {
    let wire = Wire::with(200, PRINTED);
    wire.client(dialect::teen_quotes(), post()).request(&grant::client_credentials()).await.unwrap();
    let sent = wire.request(0);
    assert_eq!(sent.uri().to_string(), "https://api.teen-quotes.com/oauth");
    let expected =
        json!({"grant_type": "client_credentials", "client_id": "id-1", "client_secret": "s3cr3t-1"});
    assert_eq!(json(&sent), expected);
}

async fn client_credentials_as_a_form() {
    let wire = Wire::with(200, PRINTED);
    wire.client(dialect::teen_quotes().form(), post()).request(&grant::client_credentials()).await.unwrap();
    let expected =
        pairs([("grant_type", "client_credentials"), ("client_id", "id-1"), ("client_secret", "s3cr3t-1")]);
    assert_eq!(form(&wire.request(0)), expected);
}

async fn refreshing() {
    let wire = Wire::with(200, PRINTED);
    wire.client(dialect::teen_quotes(), post()).request(&grant::refresh_token("x5Oewf7P")).await.unwrap();
    let expected = json!({
        "grant_type": "refresh_token", "refresh_token": "x5Oewf7P", "client_id": "id-1", "client_secret": "s3cr3t-1"
    });
    assert_eq!(json(&wire.request(0)), expected);
}

async fn token() {
    let tokens = read_as(dialect::teen_quotes(), 200, PRINTED).await.unwrap();
    assert_eq!(tokens.access_token().expose(), "IZgwaBTZ2EdtT3hT7UzG2rLQ8S0Vmu9GDxeHwcPz");
    assert_eq!(tokens.refresh_token().unwrap().expose(), "x5Oewf7PUw38J07lwEnJXSyXolwZ1KMdxxH2bxFJ");
    assert_eq!(
        tokens.lifetime(),
        Some(Duration::from_secs(604_800)),
        "expires_in wins: expires is long past"
    );
    assert_eq!(tokens.extra()["expires"], 1_401_437_772);
}

async fn expires_alone() {
    let at = |tokens: &oauth_client::TokenSet| (tokens.issued_at() + tokens.lifetime().unwrap()).as_secs();
    for form in ["4102444800", "\"4102444800\"", "4102444800.5"] {
        let body = format!(r#"{{"access_token":"t","token_type":"bearer","expires":{form}}}"#);
        let tokens = read_as(dialect::teen_quotes(), 200, &body).await.unwrap();
        assert_eq!(at(&tokens), 4_102_444_800, "{form}");
    }
    let past =
        read_as(dialect::teen_quotes(), 200, r#"{"access_token":"t","expires":1401437772}"#).await.unwrap();
    assert_eq!(past.lifetime(), Some(Duration::ZERO), "born expired");
    let odd =
        read_as(dialect::teen_quotes(), 200, r#"{"access_token":"t","expires":"soon"}"#).await.unwrap_err();
    assert!(odd.code() == "malformed_response" && odd.to_string().contains("expires"));
}

async fn invalid_request() {
    let text = "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed. Check the \"client_id\" parameter.";
    error(400, ErrorKey::InvalidRequest, "invalid_request", text, Some("client_id")).await;
}

async fn unauthorized_client() {
    let text = "The client is not authorized to request an access token using this method.";
    error(400, ErrorKey::UnauthorizedClient, "unauthorized_client", text, None).await;
}

async fn access_denied() {
    let text = "The resource owner or authorization server denied the request.";
    error(401, ErrorKey::AccessDenied, "access_denied", text, None).await;
}

async fn unsupported_response_type() {
    let text = "The authorization server does not support obtaining an access token using this method.";
    error(400, ErrorKey::UnsupportedResponseType, "unsupported_response_type", text, None).await;
}

async fn invalid_scope() {
    let text = "The requested scope is invalid, unknown, or malformed. Check the \"admin\" scope.";
    error(400, ErrorKey::InvalidScope, "invalid_scope", text, Some("admin")).await;
}

async fn server_error() {
    let text = "The authorization server encountered an unexpected condition which prevented it from fulfilling the request.";
    for status in [400, 500, 503] {
        error(status, ErrorKey::ServerError, "server_error", text, None).await;
    }
}

async fn temporarily_unavailable() {
    let text = "The authorization server is currently unable to handle the request due to a temporary overloading or maintenance of the server.";
    error(400, ErrorKey::TemporarilyUnavailable, "temporarily_unavailable", text, None).await;
}

async fn unsupported_grant_type() {
    let text = "The authorization grant type \"password\" is not supported by the authorization server";
    error(501, ErrorKey::UnsupportedGrantType, "unsupported_grant_type", text, Some("password")).await;
}

async fn invalid_client() {
    error(401, ErrorKey::InvalidClient, "invalid_client", "Client authentication failed", None).await;
}

async fn invalid_grant() {
    let text = "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client. Check the \"code\" parameter.";
    error(400, ErrorKey::InvalidGrant, "invalid_grant", text, Some("code")).await;
}

async fn invalid_credentials() {
    let text = "The user credentials were incorrect.";
    error(400, ErrorKey::InvalidCredentials, "invalid_credentials", text, None).await;
}

async fn invalid_refresh() {
    error(400, ErrorKey::InvalidRefresh, "invalid_grant", "The refresh token is invalid.", None).await;
}

async fn printed_example() {
    let text = "The user credentials were incorrect.";
    error(400, ErrorKey::InvalidRequest, "invalid_request", text, None).await;
}

async fn another_key() {
    let error = refused(dialect::teen_quotes(), 400, r#"{"error":"gone_fishing"}"#).await;
    assert_eq!(error.code(), "gone_fishing");
    let refusal = error.provider::<ErrorBody>().unwrap();
    assert_eq!(refusal.error, ErrorKey::Other("gone_fishing".to_owned()));
}
