//! Logout tokens and security events.

use serde_json::json;

use super::routes::{Order, Reply, done, ok};
use crate::server::IssuerHandle;
use crate::statements::{Parcel, SecurityEvent, post_later, send_later};

pub(super) fn logout_token(order: &Order<'_>) -> Reply {
    let handle = IssuerHandle::new(order.shared, order.issuer()?);
    let (client, subject, sid, url) = order.read(|fields| {
        let subject = fields.text("subject");
        let sid = fields.text("sid");
        if subject.is_none() && sid.is_none() {
            fields.mistake("subject", "a subject, a sid or both are needed".to_owned());
        }
        (fields.required("client_id"), subject, sid, fields.text("url"))
    })?;
    let mut token = handle.logout_token(&client, subject.as_deref().unwrap_or_default());
    if subject.is_none() {
        token = token.without("sub");
    }
    if let Some(sid) = sid {
        token = token.claim("sid", sid);
    }
    let token = token.build();
    if let Some(url) = url {
        post_later(url, Parcel::logout(&token));
    }
    ok(json!({ "token": token }))
}

pub(super) fn security_event(order: &Order<'_>) -> Reply {
    let handle = IssuerHandle::new(order.shared, order.issuer()?);
    let (audience, event, subject, url) = order.read(|fields| {
        let name = fields.required("event");
        let event = SecurityEvent::named(&name);
        if event.is_none() && !name.is_empty() {
            let names = SecurityEvent::ALL.map(SecurityEvent::name).join(", ");
            fields.mistake("event", format!("there is no {name:?}; use one of: {names}"));
        }
        let event = event.unwrap_or(SecurityEvent::SessionRevoked);
        (fields.required("audience"), event, fields.required("subject"), fields.text("url"))
    })?;
    let token = handle.security_event(&audience, event, &subject);
    let jti = token.claims().get("jti").cloned().unwrap_or_default();
    let token = token.build();
    match url {
        Some(url) => post_later(url, Parcel::event(token.as_str())),
        None => handle.queue(jti.as_str().unwrap_or_default(), &token),
    }
    ok(json!({ "token": token, "jti": jti }))
}

pub(super) fn end_session(order: &Order<'_>) -> Reply {
    let sid = order.read(|fields| fields.required("sid"))?;
    send_later(IssuerHandle::new(order.shared, order.issuer()?).end_session(&sid));
    done()
}

pub(super) fn polled(order: &Order<'_>) -> Reply {
    let (acknowledged, refused) = IssuerHandle::new(order.shared, order.issuer()?).polled();
    let refused = refused.into_iter().map(|(jti, error)| json!({ "jti": jti, "error": error }));
    ok(json!({ "acknowledged": acknowledged, "refused": refused.collect::<Vec<_>>() }))
}
