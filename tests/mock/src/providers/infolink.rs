//! InfoLink, page "OAuth 2.0 Authentication".

use http::StatusCode;
use serde_json::{Value, json};

use super::request::{Params, Problem, json_object, no_authorization};
use super::{JSON, Personality, ProviderFailure, Route, Tokens, access, client, issue, object, text};
use crate::clients::MockClient;
use crate::encode::{hex, random};
use crate::endpoint::Endpoint;
use crate::routes::Call;
use crate::state::tokens::{IssuedTokens, Wish};
use crate::state::users::User;
use crate::wire::response::MockResponse;

pub(super) const PERSONALITY: Personality = Personality {
    routes: &[
        Route { endpoint: Endpoint::Token, method: "POST", path: "/api/v1/oauth2/token", serve: token },
        Route { endpoint: Endpoint::Api, method: "POST", path: "/api/v1/executeJob", serve: execute_job },
    ],
    tokens: Tokens::Text(uuid),
    lifetime: 1800,
    audience: "infolink",
    issuer: None,
    // The credentials the page's examples use.
    client: || {
        MockClient::new("9605c5d5-2a1b-49cc-8aaa-b350ee9d86b6").secret("eebb17b2-9ce4-4c73-a23f-d23739bf99b4")
    },
    user: Some(|| User::new("john@company.com", "mypassword")),
    failures,
};

/// "Refresh access token": an API operation that was called with an expired token.
const EXPIRED: &str = r#"{"result":{"code":"invalid_grant","message":"Credentials or token is invalid or expired"},"status":"error"}"#;

/// "Refresh access token": the refresh token itself is expired.
const REFUSED: &str =
    r#"{"error_description":"Credentials or token is invalid or expired","error":"invalid_grant"}"#;

fn token(call: Call<'_>) -> MockResponse {
    exchange(call).unwrap_or_else(|problem| {
        // The members in the order of the documented error.
        let body = object(&[
            ("error_description", json!(problem.sentence())),
            (
                "error",
                json!(if problem.parameter == "grant_type" {
                    "unsupported_grant_type"
                } else {
                    "invalid_request"
                }),
            ),
        ]);
        error(call, body)
    })
}

fn exchange(call: Call<'_>) -> Result<MockResponse, Problem> {
    no_authorization(call.request)?;
    Params::query(call.request)?.only(&[])?;
    let params = Params::form(call.request)?;
    let tokens = match params.required("grant_type")? {
        "client_credentials" => {
            params.only(&["grant_type", "client_id", "client_secret"])?;
            let client = client(call, params.required("client_id")?, params.required("client_secret")?);
            client.map(|client| issue(call, &client, None, true))
        }
        "password" => {
            params.only(&["grant_type", "client_id", "client_secret", "username", "password"])?;
            let client = client(call, params.required("client_id")?, params.required("client_secret")?);
            let user = call.shared.user(params.required("username")?, params.required("password")?);
            client.zip(user).map(|(client, user)| issue(call, &client, Some(&user), true))
        }
        "refresh_token" => {
            params.only(&["grant_type", "refresh_token"])?;
            refresh(call, params.required("refresh_token")?)
        }
        _ => return Err(Problem::new("grant_type", "not one of this server's")),
    };
    let Some(tokens) = tokens else { return Ok(error(call, REFUSED)) };
    let body = object(&[
        ("access_token", json!(tokens.access_token)),
        ("refresh_token", json!(tokens.refresh_token.as_deref().or(params.get("refresh_token")))),
        ("token_type", json!("Bearer")),
        ("expires_in", json!(tokens.expires_in)),
    ]);
    Ok(MockResponse::new(StatusCode::OK, JSON, body).never_stored())
}

/// The refresh token says by itself whose it is; it is replaced, and the old one is dead.
fn refresh(call: Call<'_>, token: &str) -> Option<IssuedTokens> {
    let records = &call.issuer.records;
    let client = call.shared.client(&records.owner(token)?)?;
    records.refresh(call.shared, call.issuer, &client, token, Wish::default()).ok().map(|(tokens, _)| tokens)
}

fn error(call: Call<'_>, body: impl Into<bytes::Bytes>) -> MockResponse {
    MockResponse::new(call.shared.undocumented(StatusCode::BAD_REQUEST), JSON, body).never_stored()
}

/// "Use access token": the one operation the page shows.
fn execute_job(call: Call<'_>) -> MockResponse {
    let status = call.shared.undocumented(StatusCode::OK);
    if access(call).is_err() {
        return MockResponse::new(status, JSON, EXPIRED);
    }
    match operation(call) {
        Ok(name) => {
            let body = format!(r#"{{"result":{{"opName":{}}},"status":"success"}}"#, text(&name));
            MockResponse::new(StatusCode::OK, JSON, body)
        }
        Err(problem) => {
            // The shape of the documented error; the page knows no other code.
            let message = text(&problem.sentence());
            let body =
                format!(r#"{{"result":{{"code":"invalid_request","message":{message}}},"status":"error"}}"#);
            MockResponse::new(status, JSON, body)
        }
    }
}

/// The name of the operation asked for. The page prints the body in single quotes, so that works too.
fn operation(call: Call<'_>) -> Result<String, Problem> {
    let job = match json_object(call.request) {
        Ok(members) => Value::Object(members),
        Err(problem) if problem.parameter != "body" => return Err(problem),
        Err(problem) => {
            let body = String::from_utf8_lossy(call.request.body()).replace('\'', "\"");
            serde_json::from_str(&body).map_err(|_| problem)?
        }
    };
    job["appId"].as_str().ok_or_else(|| Problem::new("appId", "must be a string"))?;
    let name = job["operation"]["opName"].as_str();
    name.map(str::to_owned).ok_or_else(|| Problem::new("operation.opName", "must be a string"))
}

/// Opaque text in the form of the printed tokens: a version 4 UUID (RFC 9562 section 5.4).
fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn failures() -> Vec<ProviderFailure> {
    vec![
        ProviderFailure::new("expired_access_token", Endpoint::Api, StatusCode::OK, EXPIRED).status_assumed(),
        ProviderFailure::new("expired_refresh_token", Endpoint::Token, StatusCode::BAD_REQUEST, REFUSED)
            .status_assumed(),
    ]
}
