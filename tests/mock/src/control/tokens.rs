//! Tokens: minted, read, issued, revoked.

use serde_json::{Value, json};

use super::routes::{Order, Refusal, Reply, done, ok};
use crate::encode::from_b64url;
use crate::jws::Jws;
use crate::server::{self, IssuerHandle};
use crate::settings::{Mistakes, read_token};

pub(super) fn mint(order: &Order<'_>) -> Reply {
    let issuer = order.issuer()?;
    let good = order.shared.mint(issuer);
    let token = order.read(|fields| read_token(fields, &issuer.keys, good))?;
    let (header, claims) = (token.header_members().clone(), token.claims().clone());
    ok(json!({"token": token.build(), "header": header, "claims": claims}))
}

pub(super) fn decode(order: &Order<'_>) -> Reply {
    let token = order.read(|fields| fields.required("token"))?;
    let token = token.trim();
    let parts: Vec<_> = token.split('.').collect();
    let json = |at: usize| {
        let bytes = parts.get(at).and_then(|part| from_b64url(part))?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let (header, claims) = (json(0), json(1));
    if parts.len() != 3 || header.is_none() {
        let problem = "no JWT: three parts of base64url with dots between are needed, the first one JSON";
        return Err(Refusal::Bad(Mistakes::one("token", problem)));
    }
    let signed_by = Jws::read(token).ok().and_then(|jws| {
        order.shared.issuers.iter().find_map(|issuer| {
            let set: Value = serde_json::from_str(&issuer.keys.jwks_json()).ok()?;
            let keys = set["keys"].as_array()?;
            keys.iter().find(|key| jws.verifies_with_any(std::slice::from_ref(key)))?;
            Some(issuer.url.clone())
        })
    });
    let now = order.shared.clock.now_unix();
    let expires_in =
        claims.as_ref().and_then(|claims| claims["exp"].as_i64()).map(|exp| exp.saturating_sub(now));
    ok(json!({"header": header, "claims": claims, "signed_by": signed_by, "expires_in": expires_in}))
}

pub(super) fn issue(order: &Order<'_>) -> Reply {
    let issuer = order.issuer()?;
    let (client, subject, scope) = order.read(|fields| {
        let client = fields.required("client_id");
        if !client.is_empty() && order.shared.client(&client).is_none() {
            fields.mistake("client_id", format!("there is no client {client:?}; GET /v1/clients lists them"));
        }
        let subject = fields.text("subject").unwrap_or_else(|| client.clone());
        (client, subject, fields.scopes("scope").unwrap_or_default().join(" "))
    })?;
    match IssuerHandle::new(order.shared, issuer).issue(&client, &subject, &scope) {
        Some(tokens) => ok(json!({
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "expires_in": tokens.expires_in,
        })),
        // It was there a moment ago.
        None => Err(Refusal::NoSuch(format!("there is no client {client:?}"))),
    }
}

pub(super) fn revoke(order: &Order<'_>) -> Reply {
    let token = order.read(|fields| fields.required("token"))?;
    let known = order.shared.issuers.iter().any(|issuer| issuer.records.owner(&token).is_some());
    order.shared.issuers.iter().for_each(|issuer| issuer.records.revoke(&token));
    match known {
        true => done(),
        false => Err(Refusal::NoSuch(
            "this server has issued no such token; minted ones cannot be revoked".to_owned(),
        )),
    }
}

pub(super) fn login(order: &Order<'_>) -> Reply {
    let (url, user) = order.read(|fields| (fields.required("url"), fields.required("user")))?;
    match server::log_in(order.shared, &url, &user) {
        Ok(location) => ok(json!({ "location": location })),
        Err(problem) => Err(Refusal::Bad(Mistakes::one("url", problem))),
    }
}
