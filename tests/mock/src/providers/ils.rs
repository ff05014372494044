//! ILS, page "Authentication", operation generateToken.

use http::StatusCode;
use serde_json::json;

use super::request::{Params, Problem, json_object, no_authorization};
use super::{JSON, Personality, ProviderFailure, Route, Tokens, client, issue, object, resource, text};
use crate::clients::MockClient;
use crate::endpoint::Endpoint;
use crate::routes::{Call, jwks};
use crate::wire::response::MockResponse;

pub(super) const PERSONALITY: Personality = Personality {
    routes: &[
        Route { endpoint: Endpoint::Token, method: "POST", path: "/api/oauth/token", serve: generate_token },
        Route { endpoint: Endpoint::Jwks, method: "GET", path: "/jwks", serve: jwks::serve },
        Route { endpoint: Endpoint::Api, method: "GET", path: "/api/resource", serve: resource },
    ],
    tokens: Tokens::Standard,
    lifetime: 3600,
    audience: "api.ils.live",
    issuer: None,
    client: || MockClient::new("svc").secret("s3cr3t"),
    user: None,
    failures,
};

/// The schema "OAuth Request" has these two members and no grant type.
const MEMBERS: [&str; 2] = ["clientId", "clientSecret"];

fn generate_token(call: Call<'_>) -> MockResponse {
    let params = match read(call) {
        Ok(params) => params,
        Err(problem) => {
            let info = Info::failure("invalid data", "The request is not as documented.");
            return response(StatusCode::BAD_REQUEST, &problem, &info);
        }
    };
    let [id, secret] = MEMBERS.map(|name| params.get(name).unwrap_or_default());
    let Some(client) = client(call, id, secret) else {
        let problem = Problem::new("clientSecret", "The client identifier or its secret is wrong.");
        return response(StatusCode::UNAUTHORIZED, &problem, &UNAUTHORIZED);
    };
    let tokens = issue(call, &client, None, false);
    // The order of the schema "OAuth Response", which prints the token type's value in lower case.
    let body = object(&[
        ("access_token", json!(tokens.access_token)),
        ("expires_in", json!(tokens.expires_in)),
        ("token_type", json!("bearer")),
    ]);
    MockResponse::new(StatusCode::OK, JSON, body).never_stored()
}

fn read(call: Call<'_>) -> Result<Params, Problem> {
    no_authorization(call.request)?;
    Params::query(call.request)?.only(&[])?;
    // Named before the members' types are looked at: an object that is not this request says so first.
    let unknown = json_object(call.request)?.into_iter().find(|(name, _)| !MEMBERS.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        return Err(Problem::new(name, "The request has no such field."));
    }
    let params = Params::json(call.request)?;
    for name in MEMBERS {
        params.required(name)?;
    }
    Ok(params)
}

/// The schema "Error Status Info", without the list of errors.
struct Info {
    major: &'static str,
    minor: &'static str,
    severity: &'static str,
    description: &'static str,
}

const UNAUTHORIZED: Info = Info::failure("unauthorized", "The client is not authorized.");

impl Info {
    const fn failure(minor: &'static str, description: &'static str) -> Self {
        Self { major: "failure", minor, severity: "error", description }
    }
}

fn response(status: StatusCode, problem: &Problem, info: &Info) -> MockResponse {
    MockResponse::new(status, JSON, body(status, problem, info))
}

/// `statusCode` is a string; the backslash of the page's field names stands for nesting.
fn body(status: StatusCode, problem: &Problem, info: &Info) -> String {
    format!(
        r#"{{"errors":[{{"location":{},"reason":{},"message":{}}}],"statusCode":"{}","statusInfoSet":{}}}"#,
        text(&problem.parameter),
        text(info.minor),
        text(problem.why),
        status.as_u16(),
        object(&[
            ("ils_codeMajor", json!(info.major)),
            ("ils_codeMinor", json!(info.minor)),
            ("ils_codeSeverity", json!(info.severity)),
            ("ils_description", json!(info.description)),
        ])
    )
}

/// Each status of the page, and each value its three codes can have.
///
/// The page does not say which code comes with which status: two of the minor codes, and the major code "success",
/// speak of no failure at all, and come with 500 because some error has to carry them.
fn failures() -> Vec<ProviderFailure> {
    let by_severity = |severity, info: Info| Info { severity, ..info };
    let success = Info { major: "success", ..Info::failure("full success", "All of it was done.") };
    let rows = [
        ("bad_request", 400, Info::failure("invalid data", "The request is not as documented.")),
        ("unknown_object", 400, Info::failure("unknown object", "There is no such object.")),
        ("unauthorized", 401, UNAUTHORIZED),
        // The page has the code and no status 403.
        ("forbidden", 401, Info::failure("forbidden", "The client may not do this.")),
        ("too_many_requests", 429, Info::failure("server_busy", "The server is busy.")),
        ("internal_server_error", 500, Info::failure("server_busy", "The server could not do this.")),
        (
            "partial_success",
            500,
            by_severity("warning", Info::failure("partial success", "Some of it was done.")),
        ),
        ("full_success", 500, by_severity("status", success)),
    ];
    rows.into_iter()
        .map(|(name, status, info)| {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let problem = Problem::new("clientId", info.description);
            ProviderFailure::new(name, Endpoint::Token, status, body(status, &problem, &info))
        })
        .collect()
}
