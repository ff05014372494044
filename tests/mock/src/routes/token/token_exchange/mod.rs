//! Token exchange (RFC 8693): a token of one kind for one of another, for the caller or on behalf of a user.

pub(super) mod id_jag;
mod party;

use http::StatusCode;
use serde_json::{Value, json};

use self::party::{Party, TokenType};
use super::{asked_audience, audience, parse_scope, ruled, success};
use crate::clients::{GrantType, MockClient};
use crate::routes::Call;
use crate::routes::api::{self, is_within};
use crate::routes::form::Form;
use crate::state::tokens::Grant;
use crate::wire::peer::Peer;
use crate::wire::response::{MockResponse, OAuthError};

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let subject = party(call, client, form, "subject_token")?
        .ok_or_else(|| OAuthError::invalid_request("subject_token: missing"))?;
    let actor = party(call, client, form, "actor_token")?;
    check_possession(call, "subject_token", &subject)?;
    if let Some(actor) = &actor {
        check_possession(call, "actor_token", actor)?;
    }
    check_may_act(client, &subject, actor.as_ref())?;
    if form.get("requested_token_type") == Some(id_jag::TOKEN_TYPE) {
        return id_jag::serve(call, client, form, &subject);
    }
    let requested = requested(client, form)?;

    let mut claims = subject.claims.clone();
    if let Some(act) = act(call, &subject, actor.as_ref()) {
        claims.insert("act".to_owned(), act);
    }
    let scope = scope(client, form, &subject)?;
    let rulings = call.ruled(Some(&client.id), Some(&scope.join(" ")));
    let mut cnf = call.cnf.cloned().unwrap_or_default();
    // What the subject's token is bound to was proven for this request, and stays so.
    cnf.extend(subject.cnf.clone());
    let call = Call { cnf: Some(&cnf), rulings: Some(&rulings), ..call };
    let grant = Grant {
        client: client.id.clone(),
        audience: target(call, client, form, &subject)?,
        subject: subject.subject,
        user: subject.user,
        scope: scope.clone(),
        claims,
        details: call.details.map(<[_]>::to_vec).unwrap_or_default(),
        login: None,
        cnf: cnf.clone(),
        until: Some(subject.until),
        set: rulings.access.clone(),
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
    ruled(call, &mut body);
    Ok(MockResponse::json(StatusCode::OK, &body).never_stored())
}

/// A token that only the holder of a key may use is exchanged for that holder only, else the exchange would be the way
/// around the proof (RFC 9449 section 7, RFC 8705 section 3).
fn check_possession(call: Call<'_>, name: &str, party: &Party) -> Result<(), OAuthError> {
    let is_proven = |(member, value): (&String, &Value)| match member.as_str() {
        "jkt" => call.cnf.and_then(|cnf| cnf.get("jkt")) == Some(value),
        "x5t#S256" => Peer::of(call.request).map(Peer::thumbprint).as_deref() == value.as_str(),
        _ => false,
    };
    if party.cnf.iter().all(is_proven) {
        return Ok(());
    }
    let why =
        format!("{name}: bound to a key or a certificate (cnf) that this request does not prove to hold");
    Err(OAuthError::invalid_request(why))
}

/// The targets asked for, or those of the subject's token; never others (RFC 8693 section 2.1), unless the client may
/// exchange for them. A token that is for no API, an ID token say, leaves the choice open.
fn target(
    call: Call<'_>,
    client: &MockClient,
    form: &Form,
    subject: &Party,
) -> Result<Vec<String>, OAuthError> {
    let asked = audience(call, form)?;
    let is_api = |one: &&String| call.shared.audiences.contains(*one) || api::is_resource(call, one);
    let held: Vec<_> = subject.audience.iter().filter(is_api).cloned().collect();
    let names_none = form.all("audience").chain(form.all("resource")).next().is_none();
    match (names_none, held.is_empty()) {
        (_, true) => return Ok(asked),
        (true, false) => return Ok(held),
        (false, false) => {}
    }
    let may = |one: &String| {
        let within = |held: &String| one == held || (api::is_resource(call, held) && is_within(one, held));
        held.iter().any(within) || client.exchange_audiences.contains(one)
    };
    match asked_audience(form).iter().find(|(_, one)| !may(one)) {
        None => Ok(asked),
        Some((parameter, _)) => {
            let why =
                "another API than the subject_token is for, and not one of the client's exchange_audiences";
            Err(OAuthError::bad_request("invalid_target", format!("{parameter}: {why}")))
        }
    }
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
