//! Who sends a request, as far as the request says so: for the journal, for rules and for the log. Nothing is verified.

use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use serde_json::Value;

use crate::encode::{form_decode, form_pairs, from_b64};
use crate::journal::Caller;
use crate::jws::Jws;
use crate::shared::Issuer;

/// The client and the scope that `request` names.
pub(crate) fn of(issuer: &Issuer, request: &Request<Bytes>) -> Caller {
    let query = form_pairs(request.uri().query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let form = form_pairs(request.body()).unwrap_or_default();
    let param = |name: &str| {
        let mut all = form.iter().chain(&query).filter(|(known, value)| known == name && !value.is_empty());
        all.next().map(|(_, value)| value.as_str())
    };
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, credentials) = header.and_then(|header| header.split_once(' ')).unwrap_or_default();
    let from_token = || {
        let is_token = ["bearer", "dpop"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let token = credentials.trim_start_matches(' ');
        is_token.then(|| issuer.records.grant_of(token).or_else(|| from_jwt(token)))?
    };
    let token = from_token().unwrap_or_default();
    let basic = || if scheme.eq_ignore_ascii_case("basic") { basic_user(credentials) } else { None };
    let by_assertion = || {
        let signed = param("client_assertion")?;
        Jws::read(signed).ok()?.text("sub").map(str::to_owned)
    };
    let named = || param("client_id").map(str::to_owned);
    Caller {
        client: basic().or_else(named).or_else(by_assertion).or(token.client),
        scope: param("scope").map(str::to_owned).or(token.scope),
    }
}

fn basic_user(credentials: &str) -> Option<String> {
    let text = from_b64(credentials.trim_start_matches(' '))?;
    form_decode(text.split(|byte| *byte == b':').next()?)
}

fn from_jwt(token: &str) -> Option<Caller> {
    let jws = Jws::read(token).ok()?;
    let scope = jws.claims.get("scope").and_then(Value::as_str).map(str::to_owned);
    Some(Caller { client: jws.text("client_id").map(str::to_owned), scope })
}
