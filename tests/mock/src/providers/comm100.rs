//! Comm100, page "OAuth API".

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};

use super::request::{Params, Problem, no_authorization};
use super::{JSON, Personality, Route, Tokens, access, issue, object};
use crate::clients::MockClient;
use crate::encode::{hex, random};
use crate::endpoint::Endpoint;
use crate::mint::TokenBuilder;
use crate::routes::{Call, jwks};
use crate::state::tokens::Grant;
use crate::state::users::User;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) const PERSONALITY: Personality = Personality {
    routes: &[
        Route { endpoint: Endpoint::Token, method: "POST", path: "/oauth/token", serve: token },
        Route { endpoint: Endpoint::Userinfo, method: "GET", path: "/oauth/userinfo", serve: userinfo },
        Route { endpoint: Endpoint::Jwks, method: "GET", path: "/jwks", serve: jwks::serve },
    ],
    tokens: Tokens::Own(access_token),
    lifetime: 43_200,
    // Audience and issuer of the printed token.
    audience: "ids.resource.1",
    issuer: Some("http://internalpartner.testing.comm100dev.io"),
    client: || {
        let scopes = ["ids.scope", "openid", "profile", "offline_access"];
        MockClient::new("1d29e6d7-18cf-407d-a064-e4f8c4baefab").scopes(scopes)
    },
    // The page masks the password; these stars are what its sample sends.
    user: Some(|| User::new("client1@company.com", "******").subject("f9683b7b-e332-4864-b725-ac6cdc207dbd")),
    failures: Vec::new,
};

/// The partner of users who name none: the one of the page's sample.
const PARTNER: &str = "10000";

fn token(call: Call<'_>) -> MockResponse {
    let refused = |problem: Problem| match problem.parameter.as_str() {
        "grant_type" => OAuthError::bad_request("unsupported_grant_type", problem.sentence()).into(),
        _ => OAuthError::invalid_request(problem.sentence()).into(),
    };
    password(call).unwrap_or_else(refused)
}

/// "Request token by Password": no client secret, and no refresh token in the response.
fn password(call: Call<'_>) -> Result<MockResponse, Problem> {
    no_authorization(call.request)?;
    let query = Params::query(call.request)?;
    query.only(&["partnerId"])?;
    let form = Params::form(call.request)?;
    if form.required("grant_type")? != "password" {
        return Err(Problem::new("grant_type", "must be password"));
    }
    form.only(&["client_id", "grant_type", "email", "password"])?;
    let partner = query.required("partnerId")?;
    let Some(client) = call.shared.client(form.required("client_id")?) else {
        return Ok(OAuthError::invalid_client("the client is unknown", false).into());
    };
    let user = call.shared.user(form.required("email")?, form.required("password")?);
    let Some(user) = user.filter(|user| claim(&user.claims, "partnerId", PARTNER) == partner) else {
        return Ok(OAuthError::invalid_grant("email, password or partnerId is wrong").into());
    };
    let tokens = issue(call, &client, Some(&user), false);
    let body = object(&[
        ("access_token", json!(tokens.access_token)),
        ("token_type", json!("Bearer")),
        ("expires_in", json!(tokens.expires_in)),
    ]);
    Ok(MockResponse::new(StatusCode::OK, JSON, body).never_stored())
}

/// A JWT as printed: no `kid`, and the claims in this order, `scope` a list.
fn access_token(token: &TokenBuilder, grant: &Grant, (issued_at, expires_at): (i64, i64)) -> String {
    let upper = |bytes: &[u8]| json!(hex(bytes).to_uppercase());
    let (issuer, audience) = (token.claims().get("iss"), grant.audience.first());
    let payload = object(&[
        ("nbf", json!(issued_at)),
        ("exp", json!(expires_at)),
        ("iss", json!(issuer)),
        ("aud", json!(audience)),
        ("client_id", json!(grant.client)),
        ("sub", json!(grant.subject)),
        ("auth_time", json!(issued_at)),
        ("idp", json!("local")),
        ("userId", json!(grant.subject)),
        ("partnerId", claim(&grant.claims, "partnerId", PARTNER)),
        ("thumbprint", upper(&random::<20>())),
        ("success", json!("True")),
        ("role", claim(&grant.claims, "role", "User")),
        ("jti", upper(&random::<16>())),
        ("iat", json!(issued_at)),
        ("scope", json!(grant.scope)),
        ("amr", json!(["pwd"])),
    ]);
    token.clone().no_kid().raw_payload(payload).build()
}

/// "Get user info". `siteId` is called a string and printed as a number; the number is what is sent.
fn userinfo(call: Call<'_>) -> MockResponse {
    let access = match access(call) {
        Ok(access) => access,
        Err(challenge) => {
            return MockResponse::empty(StatusCode::UNAUTHORIZED).with(WWW_AUTHENTICATE, challenge);
        }
    };
    let claims = &access.grant.claims;
    let body = object(&[
        ("agentId", json!(access.grant.subject)),
        ("siteId", claim(claims, "siteId", 10115)),
        ("role", claim(claims, "agentRole", "AGENT")),
    ]);
    MockResponse::new(StatusCode::OK, JSON, body)
}

fn claim(claims: &serde_json::Map<String, Value>, name: &str, by_default: impl Into<Value>) -> Value {
    claims.get(name).cloned().unwrap_or_else(|| by_default.into())
}
