//! SailPoint, page "Create OAuth Client".

mod client;

use http::StatusCode;
use serde_json::json;

use super::request::{Params, Problem, json_object, no_authorization};
use super::{JSON, Personality, ProviderFailure, Route, Tokens, access, issue, object, text};
use crate::clients::MockClient;
use crate::endpoint::Endpoint;
use crate::routes::{Call, jwks};
use crate::wire::response::{MockResponse, OAuthError};

pub(super) const PERSONALITY: Personality = Personality {
    routes: &[
        Route { endpoint: Endpoint::Token, method: "POST", path: "/oauth/token", serve: token },
        Route { endpoint: Endpoint::Api, method: "POST", path: "/oauth-clients", serve: create },
        Route { endpoint: Endpoint::Jwks, method: "GET", path: "/jwks", serve: jwks::serve },
    ],
    tokens: Tokens::Standard,
    // `accessTokenValiditySeconds` of the printed client.
    lifetime: 750,
    audience: "sailpoint",
    issuer: None,
    client: || MockClient::new("svc").secret("s3cr3t").scopes([client::DEFAULT_SCOPE]),
    user: None,
    failures,
};

/// 401: the printed text, which is prose and no code of OAuth.
const UNAUTHORIZED: &str = r#"{"error":"JWT validation failed: JWT is expired"}"#;
/// 429: the printed text, spaces included.
const TOO_MANY: &str = r#"{"message":" Rate Limit Exceeded "}"#;
/// What `Retry-After` says with it, in seconds; the page names no number.
const RETRY_AFTER: u64 = 10;

const INVALID: &str = "The request was syntactically correct but its content is semantically invalid.";
const INVALID_CODE: &str = "400.1 Bad Request Content";
const INVALID_ID: &str = "e7eab60924f64aa284175b9fa3309599";
/// The id of the two printed examples that are not made from the schema.
const EXAMPLE_ID: &str = "b21b1f7ce4da4d639f2c62a57171b427";

/// The page names no token endpoint; this one is RFC 6749 section 4.4 with the credentials in the form.
fn token(call: Call<'_>) -> MockResponse {
    let refused = |problem: Problem| match problem.parameter.as_str() {
        "grant_type" => OAuthError::bad_request("unsupported_grant_type", problem.sentence()).into(),
        _ => OAuthError::invalid_request(problem.sentence()).into(),
    };
    client_credentials(call).unwrap_or_else(refused)
}

fn client_credentials(call: Call<'_>) -> Result<MockResponse, Problem> {
    no_authorization(call.request)?;
    Params::query(call.request)?.only(&[])?;
    let params = Params::form(call.request)?;
    if params.required("grant_type")? != "client_credentials" {
        return Err(Problem::new("grant_type", "must be client_credentials"));
    }
    params.only(&["grant_type", "client_id", "client_secret"])?;
    let (id, secret) = (params.required("client_id")?, params.required("client_secret")?);
    let Some(client) = super::client(call, id, secret) else {
        return Ok(OAuthError::invalid_client("the client or its secret is wrong", false).into());
    };
    let tokens = issue(call, &client, None, false);
    let body = object(&[
        ("access_token", json!(tokens.access_token)),
        ("token_type", json!("Bearer")),
        ("expires_in", json!(tokens.expires_in)),
        ("scope", json!(client.scopes.join(" "))),
    ]);
    Ok(MockResponse::new(StatusCode::OK, JSON, body).never_stored())
}

/// `POST /oauth-clients`: 401 "if there is no authorization header, or if the JWT token is expired".
fn create(call: Call<'_>) -> MockResponse {
    if access(call).is_err() {
        return MockResponse::new(StatusCode::UNAUTHORIZED, JSON, UNAUTHORIZED);
    }
    match json_object(call.request).and_then(|members| client::create(call.shared, &members)) {
        Ok(created) => MockResponse::new(StatusCode::OK, JSON, created).never_stored(),
        Err(problem) => {
            let cause = message(EN_US, DEFAULT, &problem.sentence());
            let body = body(INVALID_CODE, INVALID_ID, &message(EN_US, DEFAULT, INVALID), Some(&cause));
            MockResponse::new(StatusCode::BAD_REQUEST, JSON, body)
        }
    }
}

const EN_US: &str = r#""en-US""#;
const DEFAULT: &str = r#""DEFAULT""#;

fn body(code: &str, tracking_id: &str, message: &str, cause: Option<&str>) -> String {
    let causes = cause.map(|cause| format!(r#","causes":[{cause}]"#)).unwrap_or_default();
    let (code, tracking_id) = (text(code), text(tracking_id));
    format!(r#"{{"detailCode":{code},"trackingId":{tracking_id},"messages":[{message}]{causes}}}"#)
}

/// One of `messages` or `causes`; locale and origin are JSON already.
fn message(locale: &str, origin: &str, plain: &str) -> String {
    format!(r#"{{"locale":{locale},"localeOrigin":{origin},"text":{}}}"#, text(plain))
}

/// Each printed body, and each value that `localeOrigin` may have, one of the future included.
fn failures() -> Vec<ProviderFailure> {
    let invalid = |locale: &str, origin: &str| {
        let same = message(locale, origin, INVALID);
        body(INVALID_CODE, INVALID_ID, &same, Some(&same))
    };
    let example = |code: &str, plain: &str| body(code, EXAMPLE_ID, &message(EN_US, DEFAULT, plain), None);
    let forbidden =
        example("403 Forbidden", "The server understood the request but refuses to authorize it.");
    let internal = example("500.0 Internal Fault", "An internal fault occurred.");
    let printed = || invalid(EN_US, DEFAULT);
    let (bad, internal_error) = (StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR);
    let rows = [
        ("bad_request", bad, printed()),
        ("bad_request_in_the_requested_locale", bad, invalid(r#""de-DE""#, r#""REQUEST""#)),
        ("bad_request_without_locale_origin", bad, invalid(EN_US, "null")),
        ("bad_request_with_future_locale_origin", bad, invalid(EN_US, r#""TENANT""#)),
        ("expired_token", StatusCode::UNAUTHORIZED, UNAUTHORIZED.to_owned()),
        ("forbidden", StatusCode::FORBIDDEN, forbidden),
        // The page's "example (from schema)" for 403 and 500 repeats the body of 400.
        ("forbidden_from_schema", StatusCode::FORBIDDEN, printed()),
        ("internal_fault", internal_error, internal),
        ("internal_fault_from_schema", internal_error, printed()),
    ];
    let limited =
        ProviderFailure::new("rate_limited", Endpoint::Api, StatusCode::TOO_MANY_REQUESTS, TOO_MANY);
    rows.into_iter()
        .map(|(name, status, body)| ProviderFailure::new(name, Endpoint::Api, status, body))
        .chain([limited.retry_after(RETRY_AFTER)])
        .collect()
}
