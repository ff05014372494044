//! Token exchange (RFC 8693): a token of one kind for one of another, for the caller or on behalf of a user.

mod party;

use http::StatusCode;
use serde_json::{Value, json};

use self::party::{Party, TokenType};
use super::{audience, parse_scope, success};
use crate::clients::{GrantType, MockClient};
use crate::response::{MockResponse, OAuthError};
use crate::routes::Call;
use crate::routes::form::Form;
use crate::tokens::Grant;

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let subject = party(call, client, form, "subject_token")?
        .ok_or_else(|| OAuthError::invalid_request("subject_token: missing"))?;
    let actor = party(call, client, form, "actor_token")?;
    check_may_act(client, &subject, actor.as_ref())?;
    let requested = requested(client, form)?;

    let mut claims = subject.claims.clone();
    if let Some(act) = act(call, &subject, actor.as_ref()) {
        claims.insert("act".to_owned(), act);
    }
    let scope = scope(client, form, &subject)?;
    let grant = Grant {
        client: client.id.clone(),
        subject: subject.subject,
        user: subject.user,
        scope: scope.clone(),
        audience: audience(call, form)?,
        claims,
        details: call.details.map(<[_]>::to_vec).unwrap_or_default(),
        login: None,
        cnf: call.cnf.cloned().unwrap_or_default(),
    };
    let records = &call.issuer.records;
    let with_refresh = requested == TokenType::RefreshToken;
    let tokens = records.issue(call.shared, call.issuer, client, grant, records.new_family(), with_refresh);
    let mut body = success(call, client, &tokens, &scope);
    body["issued_token_type"] = json!(requested.as_str());
    if let Some(refresh_token) = tokens.refresh_token {
        // RFC 8693 section 2.2.1: whatever was issued is in `access_token`; `N_A` says that it is none.
        body["access_token"] = json!(refresh_token);
        body["token_type"] = json!("N_A");
        if let Some(members) = body.as_object_mut() {
            members.retain(|name, _| name != "refresh_token" && name != "expires_in");
        }
    }
    Ok(MockResponse::json(StatusCode::OK, &body).never_stored())
}

/// The party behind `subject_token` or `actor_token`, which come with their types (RFC 8693 section 2.1).
fn party(call: Call<'_>, client: &MockClient, form: &Form, name: &str) -> Result<Option<Party>, OAuthError> {
    let type_name = format!("{name}_type");
    let (token, kind) = match (form.get(name), form.get(&type_name)) {
        (None, None) => return Ok(None),
        (Some(token), Some(kind)) => (token, kind),
        (Some(_), None) => return Err(OAuthError::invalid_request(format!("{type_name}: missing"))),
        (None, Some(_)) => {
            let why = format!("{name}: missing, and {type_name} must not come alone");
            return Err(OAuthError::invalid_request(why));
        }
    };
    let kind = TokenType::parse(kind).ok_or_else(|| {
        OAuthError::invalid_request(format!("{type_name}: not a type that this server understands"))
    })?;
    // RFC 8693 section 2.2.2: a bad token, for any reason, is an invalid request.
    let party = Party::of(call, client, kind, token)
        .map_err(|why| OAuthError::invalid_request(format!("{name}: {why}")))?;
    Ok(Some(party))
}

/// RFC 8693 section 4.4: a subject may say who may act for it; without an actor's token that is the client.
fn check_may_act(client: &MockClient, subject: &Party, actor: Option<&Party>) -> Result<(), OAuthError> {
    let Some(may_act) = &subject.may_act else { return Ok(()) };
    let acting = match actor {
        Some(actor) => {
            may_act["sub"] == actor.subject && may_act.get("iss").is_none_or(|iss| *iss == actor.issuer)
        }
        None => may_act["sub"] == client.id || may_act["client_id"] == client.id,
    };
    if acting {
        Ok(())
    } else {
        Err(OAuthError::invalid_request(
            "subject_token: its may_act names another actor (RFC 8693 section 4.4)",
        ))
    }
}

/// RFC 8693 section 4.1: the actor of now outermost, those before it inside. An impersonation has no actor.
fn act(call: Call<'_>, subject: &Party, actor: Option<&Party>) -> Option<Value> {
    let Some(actor) = actor else { return subject.act.clone() };
    let mut act = json!({"sub": actor.subject});
    if actor.issuer != call.issuer.url {
        act["iss"] = json!(actor.issuer);
    }
    if let Some(before) = &subject.act {
        act["act"] = before.clone();
    }
    Some(act)
}

fn requested(client: &MockClient, form: &Form) -> Result<TokenType, OAuthError> {
    let refused = |why| Err(OAuthError::invalid_request(format!("requested_token_type: {why}")));
    match form.get("requested_token_type").map(TokenType::parse) {
        None => Ok(TokenType::AccessToken),
        Some(Some(TokenType::RefreshToken)) if !client.grants.contains(&GrantType::RefreshToken) => {
            refused("this client may not use refresh tokens")
        }
        Some(Some(TokenType::Jwt)) if !client.gets_jwts() => refused("this client gets opaque tokens"),
        Some(Some(TokenType::IdToken) | None) => refused("not a type that this server issues"),
        Some(Some(kind)) => Ok(kind),
    }
}

/// What was asked for, or all there is; never more than the subject's token and the client have.
fn scope(client: &MockClient, form: &Form, subject: &Party) -> Result<Vec<String>, OAuthError> {
    let held = |one: &String| subject.scope.as_ref().is_none_or(|scope| scope.contains(one));
    let allowed: Vec<_> = client.scopes.iter().filter(|one| held(one)).cloned().collect();
    match form.get("scope").map(parse_scope).transpose()? {
        None => Ok(allowed),
        Some(asked) if asked.iter().all(|one| allowed.contains(one)) => Ok(asked),
        Some(_) => {
            let why = "scope: wider than the subject_token or the client";
            Err(OAuthError::bad_request("invalid_scope", why))
        }
    }
}
