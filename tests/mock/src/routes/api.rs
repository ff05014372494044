//! An API for clients to try: it takes this server's access tokens, and says of itself what it needs (RFC 9728).

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{Call, protected};
use crate::endpoint::Endpoint;
use crate::jws::Jws;
use crate::state::tokens::{Access, Grant};
use crate::wire::response::MockResponse;

/// Responds to any method with the caller's identity and scope.
pub(crate) fn serve(call: Call<'_>) -> MockResponse {
    let path = call.request.uri().path();
    let metadata = format!(r#"resource_metadata="{}{}{path}""#, call.origin(), Endpoint::RESOURCE);
    let needed = call.shared.api_scope(below(call, path));
    let parameters = match needed {
        Some(scope) => format!(r#"scope="{scope}", {metadata}"#),
        None => metadata,
    };
    let (scheme, access) = match protected::access(call, &parameters, known) {
        Ok(allowed) => allowed,
        Err(refusal) => return *refusal,
    };
    let grant = &access.grant;
    if needed.is_some_and(|scope| !grant.scope.iter().any(|one| one == scope)) {
        let (status, error) = (StatusCode::FORBIDDEN, "insufficient_scope");
        let refusal = protected::challenge(call, status, scheme, error, &parameters);
        return protected::finish(call, scheme, refusal);
    }
    let mut body = json!({
        "method": call.request.method().as_str(),
        "path": path,
        "sub": grant.subject,
        "client_id": grant.client,
        "scope": grant.scope.join(" "),
        "aud": grant.audience,
    });
    if let Some(act) = grant.claims.get("act") {
        body["act"] = act.clone();
    }
    protected::finish(call, scheme, MockResponse::json(StatusCode::OK, &body).never_stored())
}

/// Protected resource metadata (RFC 9728 section 2) of the resource whose path follows the well-known part (section
/// 3.1).
pub(crate) fn metadata(call: Call<'_>) -> MockResponse {
    let path = call.request.uri().path().strip_prefix(Endpoint::RESOURCE).unwrap_or_default();
    let mut document = json!({
        "resource": format!("{}{path}", call.origin()),
        "authorization_servers": [call.issuer.url],
        "bearer_methods_supported": ["header"],
        "resource_name": "The API of a mock authorization server",
        "dpop_signing_alg_values_supported": call.shared.dpop.algorithms(),
        "tls_client_certificate_bound_access_tokens": call.shared.mtls_origin.is_some(),
    });
    let scopes = call.shared.api_scopes();
    if !scopes.is_empty() {
        document["scopes_supported"] = json!(scopes);
    }
    call.only(&[Method::GET, Method::HEAD], |_| MockResponse::json(StatusCode::OK, &document))
}

/// Whether a token may be asked for with this `resource` (RFC 8707 section 2): the API, something below it, or the
/// whole host.
pub(crate) fn is_resource(call: Call<'_>, resource: &str) -> bool {
    let api = Endpoint::Api.path(&call.issuer.name, &[]);
    let path = call.shared.names.path(resource);
    // RFC 8707 section 2: no fragment; a query is none of this API's.
    path.is_some_and(|path| path.is_empty() || is_within(path, &api)) && !resource.contains(['#', '?'])
}

/// The access token's record, or what a JWT says that was minted with this server's keys.
fn known(call: Call<'_>, token: &str) -> Option<Access> {
    let now = call.shared.clock.now_unix();
    let access = match call.issuer.records.active_access(token, now) {
        Some(access) => access,
        // The server's records say whether a token is active, whatever its claims are.
        None if call.issuer.records.owner(token).is_some() => return None,
        None => minted(call, token, now)?,
    };
    let asked = format!("{}{}", call.origin(), call.request.uri().path());
    let is_meant = |aud: &String| {
        call.shared.audiences.contains(aud) || (is_resource(call, aud) && is_within(&asked, aud))
    };
    access.grant.audience.iter().any(is_meant).then_some(access)
}

/// The longest token that is looked at.
const MAX_TOKEN: usize = 8 << 10;

/// Seconds that the clock of an issuer may be ahead.
const LEEWAY: i64 = 60;

/// The last second of the year 9999: a time beyond it is a mistake, or an attempt.
const LAST_TIME: i64 = 253_402_300_799;

/// Header members of another kind of JOSE object than a signed token (RFC 7516 section 4.1, RFC 7797 section 3, RFC 7519
/// section 5.2).
const OF_OTHER_KINDS: [&str; 4] = ["enc", "zip", "b64", "cty"];

/// RFC 9068 section 4, as strictly as the attacks of this crate ask for it.
fn minted(call: Call<'_>, token: &str, now: i64) -> Option<Access> {
    let jws = (token.len() <= MAX_TOKEN).then(|| Jws::read(token).ok())??;
    let is_own = jws.text("iss") == Some(&call.issuer.url)
        && jws.typ().as_deref() == Some("at+jwt")
        && !OF_OTHER_KINDS.iter().any(|member| jws.header.contains_key(*member));
    // A time that is there and no number says nothing, least of all that the token is good.
    let time = |name: &str| match jws.claims.contains_key(name) {
        true => jws.time(name).filter(|time| (0..=LAST_TIME).contains(time)).map(Some),
        false => Some(None),
    };
    let (issued_at, expires_at, not_before) = (time("iat")??, time("exp")??, time("nbf")?);
    let is_now = now < expires_at
        && not_before.is_none_or(|nbf| nbf <= now)
        && issued_at <= now.saturating_add(LEEWAY);
    if !(is_own && is_now && call.issuer.keys.signed(&jws)) {
        return None;
    }
    let times = (issued_at, expires_at);
    // The same of an object: a `cnf` that cannot be read must not make a bearer token of a bound one.
    let object = |name: &str| match jws.claims.get(name) {
        None | Some(Value::Null) => Some(Map::new()),
        Some(value) => value.as_object().cloned(),
    };
    let cnf = object("cnf")?;
    let is_proof = |name: &String| matches!(name.as_str(), "jkt" | "x5t#S256");
    if jws.claims.get("cnf").is_some_and(Value::is_object) && !cnf.keys().any(is_proof)
        || cnf.iter().any(|(name, value)| is_proof(name) && !value.is_string())
    {
        return None;
    }
    let scope = match jws.claims.get("scope") {
        None => Vec::new(),
        Some(scope) => scope.as_str()?.split(' ').map(str::to_owned).collect(),
    };
    let act = object("act")?;
    let grant = Grant {
        client: jws.text("client_id").unwrap_or_default().to_owned(),
        subject: jws.text("sub")?.to_owned(),
        scope,
        audience: jws.audience().into_iter().map(str::to_owned).collect(),
        claims: if act.is_empty() { act } else { Map::from_iter([("act".to_owned(), act.into())]) },
        cnf,
        ..Grant::default()
    };
    Some(Access::of_jwt(grant, jws.text("jti").unwrap_or_default(), times))
}

/// What follows the API's own path.
fn below<'a>(call: Call<'_>, path: &'a str) -> &'a str {
    path.strip_prefix(&*Endpoint::Api.path(&call.issuer.name, &[])).unwrap_or_default()
}

/// Whether `path` is `root` or something below it.
pub(crate) fn is_within(path: &str, root: &str) -> bool {
    path.strip_prefix(root.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
