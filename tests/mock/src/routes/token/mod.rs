//! The token endpoint (RFC 6749 section 3.2): who asks, for which grant; one file per grant, and the response they
//! share.

mod authorization_code;
mod ciba;
mod client_credentials;
mod device;
mod id_token;
mod jwt_bearer;
mod password;
mod refresh;
mod token_exchange;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::client_auth::authenticate;
use super::form::Form;
use super::{Call, api};
use crate::clients::{GrantType, MockClient, OPENID};
use crate::dpop::{self, BadProof, Side};
use crate::rules::token_rules;
use crate::state::details;
use crate::state::tokens::{Grant, IssuedTokens};
use crate::wire::peer::Peer;
use crate::wire::response::{MockResponse, OAuthError};

pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let response = exchange(call).unwrap_or_else(MockResponse::from);
    // RFC 9449 section 8.2: a client that uses DPoP learns the next nonce from any response.
    if dpop::is_used(call.request) { call.shared.dpop.with_nonce(Side::Server, response) } else { response }
}

fn exchange(call: Call<'_>) -> Result<MockResponse, OAuthError> {
    let form = Form::read(call.request)?;
    let client = if jwt_bearer::is_alone(call, &form) {
        jwt_bearer::client(call, &form)?
    } else {
        authenticate(call, &form)?
    };
    let grant_type = form.required("grant_type")?;
    let grant_type = GrantType::parse(grant_type).ok_or_else(|| {
        OAuthError::bad_request("unsupported_grant_type", "grant_type: not one of this server's")
    })?;
    if !client.grants.contains(&grant_type) {
        let why = format!("grant_type: this client may not use {}", grant_type.as_str());
        return Err(OAuthError::bad_request("unauthorized_client", why));
    }
    let jkt = call.shared.dpop.check(call.shared, call.request, Side::Server, None)?;
    if jkt.is_none() && client.dpop_bound {
        return Err(BadProof::Invalid("DPoP: missing, this client's tokens are always bound").into());
    }
    let mut cnf: Map<String, Value> = jkt.map(|jkt| ("jkt".to_owned(), json!(jkt))).into_iter().collect();
    if client.certificate_bound {
        let peer = Peer::of(call.request).ok_or_else(|| {
            let why = "client certificate: none was shown, and this client's tokens are always bound to one";
            OAuthError::invalid_request(why)
        })?;
        cnf.insert("x5t#S256".to_owned(), json!(peer.thumbprint()));
    }
    let details = form.get("authorization_details");
    let details = details.map(|text| details::read(call.shared, &client, text)).transpose()?;
    let call = Call { cnf: Some(&cnf), details: details.as_deref(), ..call };
    match grant_type {
        GrantType::ClientCredentials => client_credentials::serve(call, &client, &form),
        GrantType::RefreshToken => refresh::serve(call, &client, &form),
        GrantType::Password => password::serve(call, &client, &form),
        GrantType::JwtBearer => jwt_bearer::serve(call, &client, &form),
        GrantType::DeviceCode => device::serve(call, &client, &form),
        GrantType::Ciba => ciba::serve(call, &client, &form),
        GrantType::TokenExchange => token_exchange::serve(call, &client, &form),
        GrantType::AuthorizationCode => authorization_code::serve(call, &client, &form),
    }
}

fn issue(
    call: Call<'_>,
    client: &MockClient,
    mut grant: Grant,
    family: u64,
    with_refresh: bool,
    nonce: Option<String>,
) -> MockResponse {
    grant.cnf = call.cnf.cloned().unwrap_or_default();
    let rulings = call.ruled(Some(&client.id), Some(&grant.scope.join(" ")));
    let call = Call { rulings: Some(&rulings), ..call };
    grant.set = rulings.access.clone();
    if let (Some(asked), true) = (call.details, grant.details.is_empty()) {
        grant.details = asked.to_vec();
    }
    let (records, about) = (&call.issuer.records, grant.clone());
    let tokens = records.issue(call.shared, call.issuer, client, grant, family, with_refresh);
    response(call, client, &tokens, &about, nonce.as_deref())
}

fn response(
    call: Call<'_>,
    client: &MockClient,
    tokens: &IssuedTokens,
    grant: &Grant,
    nonce: Option<&str>,
) -> MockResponse {
    let mut body = success(call, client, tokens, &grant.scope);
    if !grant.details.is_empty() {
        // RFC 9396 section 7.
        body["authorization_details"] = json!(grant.details);
    }
    if let Some(id_token) = id_token::beside(call, grant, &tokens.access_token, nonce) {
        body["id_token"] = json!(id_token);
    }
    ruled(call, &mut body);
    MockResponse::json(StatusCode::OK, &body).never_stored()
}

/// Puts what the token rules say into the response.
fn ruled(call: Call<'_>, body: &mut Value) {
    if let (Some(rulings), Some(members)) = (call.rulings, body.as_object_mut()) {
        token_rules::set(members, &rulings.response);
    }
}

/// RFC 6749 section 5.1.
fn success(call: Call<'_>, client: &MockClient, tokens: &IssuedTokens, scope: &[String]) -> Value {
    let mut body = json!({
        "access_token": tokens.access_token,
        "token_type": call.cnf.map_or("Bearer", dpop::token_type),
        "scope": scope.join(" "),
    });
    if client.announce_lifetime {
        body["expires_in"] = json!(tokens.expires_in);
    }
    if let Some(refresh_token) = &tokens.refresh_token {
        body["refresh_token"] = json!(refresh_token);
    }
    body
}

/// The scopes of a new grant: those asked for, or all of the client's. A request becomes one of OpenID Connect only where it
/// asks for `openid` itself (Core section 3.1.2.1).
pub(crate) fn scope(client: &MockClient, form: &Form) -> Result<Vec<String>, OAuthError> {
    let Some(asked) = form.get("scope") else {
        return Ok(client.scopes.iter().filter(|one| *one != OPENID).cloned().collect());
    };
    let asked = parse_scope(asked)?;
    match asked.iter().find(|one| !client.scopes.contains(one)) {
        None => Ok(asked),
        Some(_) => {
            Err(OAuthError::bad_request("invalid_scope", "scope: asks for more than the client may have"))
        }
    }
}

/// RFC 6749 section 3.3: tokens of printable ASCII but `"` and `\`, single spaces between.
fn parse_scope(text: &str) -> Result<Vec<String>, OAuthError> {
    let good = |one: &str| {
        !one.is_empty() && one.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if text.split(' ').all(good) {
        Ok(text.split(' ').map(str::to_owned).collect())
    } else {
        Err(OAuthError::bad_request("invalid_scope", "scope: not a list of scopes with one space between"))
    }
}

/// The audiences asked for, by `audience` or `resource` (RFC 8707 section 2), or the server's first.
pub(crate) fn audience(call: Call<'_>, form: &Form) -> Result<Vec<String>, OAuthError> {
    let known = &call.shared.audiences;
    let asked = asked_audience(form);
    if asked.is_empty() {
        return Ok(known.first().cloned().into_iter().collect());
    }
    match asked.iter().find(|(_, one)| !known.contains(one) && !api::is_resource(call, one)) {
        None => Ok(asked.into_iter().map(|(_, one)| one).collect()),
        Some((parameter, _)) => {
            Err(OAuthError::bad_request("invalid_target", format!("{parameter}: unknown to this server")))
        }
    }
}

/// Each audience asked for, with the parameter that asks for it: what is wrong with it is said of that one.
fn asked_audience(form: &Form) -> Vec<(&'static str, String)> {
    let by = |name| form.all(name).map(move |one| (name, one.to_owned()));
    by("audience").chain(by("resource")).collect()
}

/// The part of the granted audiences that a token request asks for (RFC 8707 section 2.2); all of them if none.
fn narrower_audience(granted: &[String], form: &Form) -> Result<Vec<String>, OAuthError> {
    let asked = asked_audience(form);
    if asked.is_empty() {
        return Ok(granted.to_vec());
    }
    match asked.iter().find(|(_, one)| !granted.contains(one)) {
        None => Ok(asked.into_iter().map(|(_, one)| one).collect()),
        Some((parameter, _)) => {
            Err(OAuthError::bad_request("invalid_target", format!("{parameter}: not one that was granted")))
        }
    }
}
