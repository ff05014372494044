//! ID tokens that come back as hints (OpenID Connect Core section 3.1.2.1, RP-Initiated Logout section 2).

use super::Call;
use crate::jws::Jws;
use crate::wire::response::OAuthError;

/// What an ID token of this issuer says of itself.
pub(super) struct Hint {
    pub(super) client: String,
    pub(super) subject: String,
    pub(super) session: Option<String>,
}

/// Reads a hint. RFC 7519 would refuse an expired token; both specifications ask to take it.
pub(super) fn read(call: Call<'_>, text: &str) -> Result<Hint, OAuthError> {
    let bad = |why: &str| OAuthError::invalid_request(format!("id_token_hint: {why}"));
    let jws = Jws::read(text).map_err(bad)?;
    if !call.issuer.keys.signed(&jws) {
        return Err(bad("not signed by this issuer"));
    }
    if jws.text("iss") != Some(call.issuer.url.as_str()) || jws.typ().is_some_and(|typ| typ != "jwt") {
        return Err(bad("not an ID token of this issuer"));
    }
    let [client] = jws.audience()[..] else { return Err(bad("aud: not one client")) };
    let subject = jws.text("sub").ok_or_else(|| bad("sub: missing"))?;
    Ok(Hint {
        client: client.to_owned(),
        subject: subject.to_owned(),
        session: jws.text("sid").map(str::to_owned),
    })
}
