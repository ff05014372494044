//! Teen Quotes, page "OAuth - Client credentials".

use http::StatusCode;
use serde_json::json;

use super::request::{Params, Problem, media_type, no_authorization};
use super::{JSON, Personality, ProviderFailure, Route, Tokens, client, issue, object, resource};
use crate::clients::{GrantType, MockClient};
use crate::encode::random;
use crate::endpoint::Endpoint;
use crate::routes::Call;
use crate::state::tokens::Wish;
use crate::wire::response::MockResponse;

pub(super) const PERSONALITY: Personality = Personality {
    routes: &[
        Route { endpoint: Endpoint::Token, method: "POST", path: "/oauth", serve: token },
        Route { endpoint: Endpoint::Api, method: "GET", path: "/resource", serve: resource },
    ],
    tokens: Tokens::Text(forty_letters),
    lifetime: 604_800,
    audience: "api.teen-quotes.com",
    issuer: None,
    // The credentials of the page's example request.
    client: || MockClient::new("42").secret("IZgwaBTZ2EdtT3hT7UzG2rLQ8S0Vmu9GDxeHwcPz").scopes([""; 0]),
    user: None,
    failures,
};

/// "HTTP codes and error keys" with "error_description": key, status (none for `server_error`), text.
const ERRORS: [(&str, Option<StatusCode>, &str); 12] = [
    (
        "invalid_request",
        Some(StatusCode::BAD_REQUEST),
        "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed. Check the \"%s\" parameter.",
    ),
    (
        "unauthorized_client",
        Some(StatusCode::BAD_REQUEST),
        "The client is not authorized to request an access token using this method.",
    ),
    (
        "access_denied",
        Some(StatusCode::UNAUTHORIZED),
        "The resource owner or authorization server denied the request.",
    ),
    (
        "unsupported_response_type",
        Some(StatusCode::BAD_REQUEST),
        "The authorization server does not support obtaining an access token using this method.",
    ),
    (
        "invalid_scope",
        Some(StatusCode::BAD_REQUEST),
        "The requested scope is invalid, unknown, or malformed. Check the \"%s\" scope.",
    ),
    (
        "server_error",
        None,
        "The authorization server encountered an unexpected condition which prevented it from fulfilling the request.",
    ),
    (
        "temporarily_unavailable",
        Some(StatusCode::BAD_REQUEST),
        "The authorization server is currently unable to handle the request due to a temporary overloading or maintenance of the server.",
    ),
    (
        "unsupported_grant_type",
        Some(StatusCode::NOT_IMPLEMENTED),
        "The authorization grant type \"%s\" is not supported by the authorization server",
    ),
    ("invalid_client", Some(StatusCode::UNAUTHORIZED), "Client authentication failed"),
    (
        "invalid_grant",
        Some(StatusCode::BAD_REQUEST),
        "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client. Check the \"%s\" parameter.",
    ),
    ("invalid_credentials", Some(StatusCode::BAD_REQUEST), "The user credentials were incorrect."),
    ("invalid_refresh", Some(StatusCode::BAD_REQUEST), "The refresh token is invalid."),
];

/// A key of the table, and what stands for its `%s`.
struct Refused<'a>(&'static str, &'a str);

fn token(call: Call<'_>) -> MockResponse {
    let outcome = read(call).map(|params| match exchange(call, &params) {
        Ok(response) => response,
        Err(Refused(key, parameter)) => error(call, key, parameter),
    });
    outcome.unwrap_or_else(|problem| error(call, "invalid_request", &problem.parameter))
}

/// The page posts JSON; a form is what OAuth 2.0 asks for.
fn read(call: Call<'_>) -> Result<Params, Problem> {
    no_authorization(call.request)?;
    Params::query(call.request)?.only(&[])?;
    if media_type(call.request) == JSON { Params::json(call.request) } else { Params::form(call.request) }
}

fn exchange<'a>(call: Call<'_>, params: &'a Params) -> Result<MockResponse, Refused<'a>> {
    let required = |name: &'static str| params.get(name).ok_or(Refused("invalid_request", name));
    let (grant, also) = match required("grant_type")? {
        "client_credentials" => (GrantType::ClientCredentials, "scope"),
        "refresh_token" => (GrantType::RefreshToken, "refresh_token"),
        other => return Err(Refused("unsupported_grant_type", other)),
    };
    if let Some(name) = params.unknown(&["grant_type", "client_id", "client_secret", also]) {
        return Err(Refused("invalid_request", name));
    }
    let client = client(call, required("client_id")?, required("client_secret")?);
    let client = client.ok_or(Refused("invalid_client", ""))?;
    if !client.grants.contains(&grant) {
        return Err(Refused("unauthorized_client", ""));
    }
    let tokens = match grant {
        GrantType::RefreshToken => {
            let (records, token) = (&call.issuer.records, required("refresh_token")?);
            let refreshed = records.refresh(call.shared, call.issuer, &client, token, Wish::default());
            refreshed.map_err(|_| Refused("invalid_refresh", ""))?.0
        }
        _ => {
            let mut scopes = params.get("scope").unwrap_or_default().split(' ');
            let known = |scope: &str| scope.is_empty() || client.scopes.iter().any(|one| one == scope);
            if let Some(scope) = scopes.find(|scope| !known(scope)) {
                return Err(Refused("invalid_scope", scope));
            }
            issue(call, &client, None, true)
        }
    };
    let body = object(&[
        ("access_token", json!(tokens.access_token)),
        ("token_type", json!("bearer")),
        ("expires", json!(call.shared.clock.now_unix().saturating_add(tokens.expires_in))),
        ("expires_in", json!(tokens.expires_in)),
        ("refresh_token", json!(tokens.refresh_token.as_deref().or(params.get("refresh_token")))),
    ]);
    Ok(MockResponse::new(StatusCode::OK, JSON, body).never_stored())
}

fn error(call: Call<'_>, key: &str, parameter: &str) -> MockResponse {
    let row = ERRORS.into_iter().find(|(known, ..)| *known == key);
    let (key, status, description) = row.unwrap_or(ERRORS[0]);
    let status = status.unwrap_or_else(|| call.shared.undocumented(StatusCode::INTERNAL_SERVER_ERROR));
    MockResponse::new(status, JSON, body(key, &description.replace("%s", parameter))).never_stored()
}

fn body(key: &str, description: &str) -> String {
    object(&[("error", json!(key)), ("error_description", json!(description))])
}

/// As long as the printed tokens, and of the same characters.
fn forty_letters() -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    // A little uneven, which a test does not mind: 256 is no multiple of 62.
    random::<40>().map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])).iter().collect()
}

/// Each row of the table by its key, and the page's own example of an error, which mixes two rows.
fn failures() -> Vec<ProviderFailure> {
    let failure = |(key, status, description): (&'static str, Option<StatusCode>, &str)| {
        let parameter = match key {
            "invalid_scope" => "admin",
            "unsupported_grant_type" => "password",
            "invalid_grant" => "code",
            _ => "grant_type",
        };
        let body = body(key, &description.replace("%s", parameter));
        let assumed = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let failure = ProviderFailure::new(key, Endpoint::Token, assumed, body);
        if status.is_none() { failure.status_assumed() } else { failure }
    };
    let example = body("invalid_request", "The user credentials were incorrect.");
    let example = ProviderFailure::new("printed_example", Endpoint::Token, StatusCode::BAD_REQUEST, example);
    ERRORS.into_iter().map(failure).chain([example]).collect()
}
