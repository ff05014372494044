//! ILS, page "Authentication".

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use oauth_client::dialect::ils::{CodeMajor, CodeMinor, CodeSeverity, StatusInfo};
use oauth_client::{Error, dialect, grant};
use serde_json::json;

use crate::rows;
use crate::support::{Wire, json, post, read_as, refused};

rows! { "ILS":
    request "POST https://api.ils.live/api/oauth/token, JSON {clientId, clientSecret}" => generate_token,
    response "access_token, expires_in as number, token_type bearer" => token,
    error "400 with Error Status Info" => bad_request,
    error "401 with Error Status Info" => unauthorized,
    error "429 with Error Status Info" => too_many_requests,
    error "500 with Error Status Info" => internal_server_error,
    error "a list of errors with location, reason and message" => every_error_of_the_list,
    error "statusCode is a string" => status_code_is_a_string,
    error "ils_codeMajor: success, failure" => code_major,
    error "ils_codeMinor: its seven values" => code_minor,
    error "ils_codeSeverity: status, error, warning" => code_severity,
    error "server_busy means later, whatever the status" => server_busy,
    error "a value that is not listed is kept" => unknown_values,
    error "a Retry-After that comes is used" => retry_after,
    error "what is not of this schema is kept as text" => something_else,
}

fn body(status: u16, minor: &str) -> String {
    json!({
        "errors": [{"location": "clientId", "reason": "unknown", "message": "No such client."}],
        "statusCode": status.to_string(),
        "statusInfoSet": {
            "ils_codeMajor": "failure", "ils_codeMinor": minor, "ils_codeSeverity": "error",
            "ils_description": "It did not work."
        }
    })
    .to_string()
}

async fn error(status: u16, minor: &str) -> Error {
    let error = refused(dialect::ils(), status, &body(status, minor)).await;
    assert_eq!(error.provider_code(), Some(minor));
    assert_eq!(error.description(), Some("It did not work."));
    error
}

fn minor(error: &Error) -> CodeMinor {
    error.provider::<StatusInfo>().unwrap().status_info_set.clone().unwrap().code_minor.unwrap()
}

async fn generate_token() {
    let wire = Wire::with(200, r#"{"access_token":"a.b.c","expires_in":60,"token_type":"bearer"}"#);
    let client = wire.client(dialect::ils(), post());
    client.request(&grant::client_credentials()).await.unwrap();
    let sent = wire.request(0);
    assert_eq!(
        (sent.method().as_str(), sent.uri().to_string().as_str()),
        ("POST", "https://api.ils.live/api/oauth/token")
    );
    assert_eq!(json(&sent), json!({"clientId": "id-1", "clientSecret": "s3cr3t-1"}));
    assert!(!sent.headers().contains_key("authorization"));
}

async fn token() {
    let body = r#"{"access_token":"a.b.c","expires_in":3600,"token_type":"bearer"}"#;
    let tokens = read_as(dialect::ils(), 200, body).await.unwrap();
    assert_eq!(tokens.access_token().expose(), "a.b.c");
    assert_eq!(tokens.lifetime(), Some(Duration::from_secs(3600)));
    assert!(tokens.refresh_token().is_none());
}

async fn bad_request() {
    let error = error(400, "invalid data").await;
    assert_eq!((error.code(), minor(&error)), ("invalid_request", CodeMinor::InvalidData));
    assert!(!error.is_transient());
}

async fn unauthorized() {
    let error = error(401, "unauthorized").await;
    assert_eq!((error.code(), minor(&error)), ("invalid_client", CodeMinor::Unauthorized));
}

async fn too_many_requests() {
    let error = error(429, "server_busy").await;
    assert_eq!((error.code(), minor(&error)), ("rate_limited", CodeMinor::ServerBusy));
    assert!(error.is_transient());
}

async fn internal_server_error() {
    let error = error(500, "unknown object").await;
    assert_eq!((error.code(), minor(&error)), ("server_error", CodeMinor::UnknownObject));
    assert!(error.is_transient());
}

async fn every_error_of_the_list() {
    let body = r#"{"errors":[{"location":"clientId","reason":"missing","message":"m1"},{"reason":null}],"statusCode":"400"}"#;
    let error = refused(dialect::ils(), 400, body).await;
    let info = error.provider::<StatusInfo>().unwrap();
    assert_eq!(info.errors.len(), 2);
    assert_eq!(info.errors[0].location.as_deref(), Some("clientId"));
    assert_eq!(info.errors[0].reason.as_deref(), Some("missing"));
    assert_eq!(error.description(), Some("m1"), "the first message, without a description of the whole");
}

async fn status_code_is_a_string() {
    let info = error(401, "unauthorized").await.provider::<StatusInfo>().unwrap().clone();
    assert_eq!(info.status_code.as_deref(), Some("401"));
    let number = refused(dialect::ils(), 400, &body(400, "forbidden").replace("\"400\"", "400")).await;
    assert_eq!(number.provider::<StatusInfo>().unwrap().status_code.as_deref(), Some("400"));
}

async fn code_major() {
    for (text, code) in [("success", CodeMajor::Success), ("failure", CodeMajor::Failure)] {
        let body = body(500, "full success").replace("\"failure\"", &format!("{text:?}"));
        let error = refused(dialect::ils(), 500, &body).await;
        let set = error.provider::<StatusInfo>().unwrap().status_info_set.clone().unwrap();
        assert_eq!((set.code_major.as_ref(), code.as_str()), (Some(&code), text));
    }
}

async fn code_minor() {
    for (text, code) in [
        ("full success", CodeMinor::FullSuccess),
        ("partial success", CodeMinor::PartialSuccess),
        ("unknown object", CodeMinor::UnknownObject),
        ("invalid data", CodeMinor::InvalidData),
        ("unauthorized", CodeMinor::Unauthorized),
        ("forbidden", CodeMinor::Forbidden),
        ("server_busy", CodeMinor::ServerBusy),
    ] {
        assert_eq!(minor(&error(400, text).await), code);
    }
}

async fn code_severity() {
    for (text, code) in
        [("status", CodeSeverity::Status), ("error", CodeSeverity::Error), ("warning", CodeSeverity::Warning)]
    {
        let body = body(400, "forbidden").replace("\"error\"", &format!("{text:?}"));
        let error = refused(dialect::ils(), 400, &body).await;
        let set = error.provider::<StatusInfo>().unwrap().status_info_set.clone().unwrap();
        assert_eq!(set.code_severity, Some(code));
    }
}

async fn server_busy() {
    for status in [400, 401, 429, 500] {
        assert!(error(status, "server_busy").await.is_transient(), "{status}");
    }
    assert!(!error(401, "forbidden").await.is_transient());
}

async fn unknown_values() {
    let error = error(400, "on holiday").await;
    assert_eq!(minor(&error), CodeMinor::Other("on holiday".to_owned()));
    assert_eq!(error.code(), "invalid_request");
}

async fn retry_after() {
    let response = Response::builder().status(429).header("retry-after", "7");
    let response = response.body(Bytes::from(body(429, "server_busy"))).unwrap();
    let client = Wire::default().then_response(response).client(dialect::ils(), post());
    let error = client.request(&grant::client_credentials()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

async fn something_else() {
    let error = refused(dialect::ils(), 502, "<html>Bad gateway for s3cr3t-1\u{1b}</html>").await;
    assert_eq!((error.code(), error.provider_code()), ("server_error", None));
    assert_eq!(error.unrecognized(), Some("<html>Bad gateway for [redacted]\\u{1b}</html>"));
    assert!(!format!("{error} {error:?}").contains("gateway"));
    let echo =
        r#"{"errors":[{"message":"who is s3cr3t-1?"}],"statusInfoSet":{"ils_codeMinor":"unauthorized"}}"#;
    let error = refused(dialect::ils(), 401, echo).await;
    let info = error.provider::<StatusInfo>().unwrap();
    assert_eq!(info.errors[0].message.as_deref(), Some("who is [redacted]?"));
    let error = refused(dialect::ils(), 400, r#"{"fault":{"id":7}}"#).await;
    assert_eq!(error.unrecognized(), Some(r#"{"fault":{"id":7}}"#));
}
