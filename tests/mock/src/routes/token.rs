//! The token endpoint (RFC 6749 §3.2).

use http::StatusCode;
use serde_json::{Map, json};

use super::Call;
use super::client_auth::authenticate;
use super::form::Form;
use crate::answer::{Answer, OAuthError};
use crate::clients::{GrantType, MockClient};
use crate::tokens::{Grant, IssuedTokens};

pub(crate) fn serve(call: Call<'_>) -> Answer {
    exchange(call).unwrap_or_else(Answer::from)
}

fn exchange(call: Call<'_>) -> Result<Answer, OAuthError> {
    let form = Form::read(call.request)?;
    let client = authenticate(call, &form)?;
    let grant_type = form.required("grant_type")?;
    let grant_type = GrantType::parse(grant_type).ok_or_else(|| {
        OAuthError::bad_request("unsupported_grant_type", "grant_type: not one of this server's")
    })?;
    if !client.grants.contains(&grant_type) {
        let why = format!("grant_type: this client may not use {}", grant_type.as_str());
        return Err(OAuthError::bad_request("unauthorized_client", why));
    }
    match grant_type {
        GrantType::ClientCredentials => client_credentials(call, client, &form),
        GrantType::RefreshToken => refresh(call, client, &form),
        _ => Err(OAuthError::bad_request("unsupported_grant_type", "grant_type: not yet")),
    }
}

/// RFC 6749 §4.4.
fn client_credentials(call: Call<'_>, client: &MockClient, form: &Form) -> Result<Answer, OAuthError> {
    if client.secret.is_none() {
        // RFC 6749 §4.4: this grant is for confidential clients only.
        return Err(OAuthError::bad_request(
            "unauthorized_client",
            "a public client has no credentials to use",
        ));
    }
    let grant = Grant {
        client: client.id.clone(),
        subject: client.id.clone(),
        user: None,
        scope: scope(client, form)?,
        audience: audience(call, form)?,
        claims: Map::new(),
    };
    Ok(issue(call, client, grant, client.refresh_with_every_grant))
}

/// RFC 6749 §6.
fn refresh(call: Call<'_>, client: &MockClient, form: &Form) -> Result<Answer, OAuthError> {
    let token = form.required("refresh_token")?;
    let scope = form.get("scope").map(parse_scope).transpose()?;
    let (tokens, scope) = call.issuer.records.refresh(call.shared, call.issuer, client, token, scope)?;
    Ok(success(client, &tokens, &scope))
}

pub(crate) fn issue(call: Call<'_>, client: &MockClient, grant: Grant, with_refresh: bool) -> Answer {
    let scope = grant.scope.clone();
    let tokens = call.issuer.records.issue(call.shared, call.issuer, client, grant, with_refresh);
    success(client, &tokens, &scope)
}

/// RFC 6749 §5.1.
fn success(client: &MockClient, tokens: &IssuedTokens, scope: &[String]) -> Answer {
    let mut body = json!({
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "scope": scope.join(" "),
    });
    if client.announce_lifetime {
        body["expires_in"] = json!(tokens.expires_in);
    }
    if let Some(refresh_token) = &tokens.refresh_token {
        body["refresh_token"] = json!(refresh_token);
    }
    Answer::json(StatusCode::OK, &body).never_stored()
}

/// The scopes of a new grant: those asked for, or all of the client's.
pub(crate) fn scope(client: &MockClient, form: &Form) -> Result<Vec<String>, OAuthError> {
    let Some(asked) = form.get("scope") else { return Ok(client.scopes.clone()) };
    let asked = parse_scope(asked)?;
    match asked.iter().find(|one| !client.scopes.contains(one)) {
        None => Ok(asked),
        Some(_) => {
            Err(OAuthError::bad_request("invalid_scope", "scope: asks for more than the client may have"))
        }
    }
}

/// RFC 6749 §3.3: tokens of printable ASCII but `"` and `\`, single spaces between.
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

/// The audiences asked for, by `audience` or `resource` (RFC 8707 §2), or the server's first.
pub(crate) fn audience(call: Call<'_>, form: &Form) -> Result<Vec<String>, OAuthError> {
    let known = &call.shared.audiences;
    let asked: Vec<_> = form.all("audience").chain(form.all("resource")).map(str::to_owned).collect();
    if asked.is_empty() {
        return Ok(known.first().cloned().into_iter().collect());
    }
    if asked.iter().all(|one| known.contains(one)) {
        Ok(asked)
    } else {
        Err(OAuthError::bad_request("invalid_target", "audience: unknown to this server"))
    }
}
