//! JWT bearer (RFC 7523 section 2.1): a party that the server trusts asserts the subject of the token.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use serde_json::Map;

use super::token_exchange::id_jag::TYP;
use super::{audience, issue, scope};
use crate::clients::{GrantType, MockClient};
use crate::jws::Jws;
use crate::routes::Call;
use crate::routes::client_auth::assertion::{check_audience, check_times, is_first_use};
use crate::routes::form::Form;
use crate::state::tokens::Grant;
use crate::wire::response::{MockResponse, OAuthError};

/// Seconds that `exp` may lie ahead; an hour is what providers that document a limit allow.
const MAX_LIFETIME: i64 = 3600;

pub(super) fn serve(call: Call<'_>, client: &MockClient, form: &Form) -> Result<MockResponse, OAuthError> {
    let text = form.required("assertion")?;
    let Asserted { subject, scope: most } = check(call, client, text)
        .map_err(|why| OAuthError::invalid_grant(format!("assertion: {why} (RFC 7523 section 3)")))?;
    let scope = match (scope(client, form)?, most) {
        (asked, None) => asked,
        (asked, Some(most)) if form.get("scope").is_none() || asked.iter().all(|one| most.contains(one)) => {
            asked.into_iter().filter(|one| most.contains(one)).collect()
        }
        _ => return Err(OAuthError::bad_request("invalid_scope", "scope: wider than that of the assertion")),
    };
    let user = call.shared.user_about(&subject);
    let grant = Grant {
        client: client.id.clone(),
        subject,
        user: user.as_ref().map(|user| user.name.clone()),
        scope,
        audience: audience(call, form)?,
        claims: user.map_or_else(Map::new, |user| user.claims.clone()),
        ..Grant::default()
    };
    let family = call.issuer.records.new_family();
    // RFC 7521 section 4.1: no refresh token, since a client that can make one assertion can make another.
    Ok(issue(call, client, grant, family, false, None))
}

/// Whether a request has nothing but an assertion to say who sends it. The name of its signer may stand beside it
/// (RFC 7521 section 4.1).
pub(super) fn is_alone(call: Call<'_>, form: &Form) -> bool {
    let names_its_signer = |id: &str| client(call, form).is_ok_and(|client| client.id == id);
    form.get("grant_type") == Some(GrantType::JwtBearer.as_str())
        && !call.request.headers().contains_key(AUTHORIZATION)
        && ["client_secret", "client_assertion"].iter().all(|name| form.get(name).is_none())
        && form.get("client_id").is_none_or(names_its_signer)
}

/// The client of a request that has nothing but an assertion (RFC 7521 section 4.1 asks for no client): the one that
/// signed it.
pub(super) fn client(call: Call<'_>, form: &Form) -> Result<Arc<MockClient>, OAuthError> {
    let jws = form.get("assertion").and_then(|text| Jws::read(text).ok());
    let client = jws.and_then(|jws| call.shared.client(jws.text("iss")?));
    let client = client.filter(|client| !client.jwks.is_empty());
    client.ok_or_else(|| {
        OAuthError::invalid_client("no client authentication, and the assertion is not by a client", false)
    })
}

/// What an assertion says.
struct Asserted {
    subject: String,
    /// The most that it grants, where it says so.
    scope: Option<Vec<String>>,
}

/// What the assertion says, if it is good.
fn check(call: Call<'_>, client: &MockClient, text: &str) -> Result<Asserted, String> {
    let jws = Jws::read(text)?;
    let issuer = jws.text("iss").ok_or("iss: missing")?;
    let trusted = call.shared.trusted_issuers.iter().find(|trusted| trusted.issuer == issuer);
    let signed = match trusted {
        Some(trusted) => trusted.signed(&jws),
        // A client may speak for itself and its users, as a service account does.
        None if issuer == client.id => jws.verifies_with_any(&client.jwks),
        None => return Err("iss: not trusted here".to_owned()),
    };
    if !signed {
        return Err("the signature is not by a key of its issuer".to_owned());
    }
    // RFC 8725 section 3.11: what was made for another purpose is no assertion.
    if jws.typ().is_some_and(|typ| ["at+jwt", "dpop+jwt", "client-authentication+jwt"].contains(&&*typ)) {
        return Err("typ: made for another purpose".to_owned());
    }
    let subject = jws.text("sub").ok_or("sub: missing")?.to_owned();
    check_audience(call, &jws)?;
    let now = call.shared.clock.now_unix();
    let until = check_times(&jws, now, MAX_LIFETIME)?;
    if jws.typ().as_deref() == Some(TYP) {
        if jws.text("client_id") != Some(&client.id) {
            return Err("client_id: it was given to another client".to_owned());
        }
        // A client presents it again, as long as it is good, where others have a refresh token.
        let scope = jws.text("scope").map(|scope| scope.split(' ').map(str::to_owned).collect());
        return Ok(Asserted { subject, scope });
    }
    // `jti` is optional; used twice it is a replay.
    let replayed = jws.text("jti").is_some_and(|jti| !is_first_use(call, issuer, jti, until));
    if replayed { Err("jti: used before".to_owned()) } else { Ok(Asserted { subject, scope: None }) }
}
