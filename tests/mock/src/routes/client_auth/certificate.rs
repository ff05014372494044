//! Client authentication with a certificate (RFC 8705 section 2): `tls_client_auth` and `self_signed_tls_client_auth`.

use serde_json::Value;

use crate::clients::{AuthMethod, MockClient};
use crate::encode::to_b64;
use crate::routes::Call;
use crate::wire::peer::Peer;
use crate::wire::response::OAuthError;

/// Checks the certificate of the connection for a client that must show one.
pub(super) fn check(call: Call<'_>, client: &MockClient) -> Result<(), OAuthError> {
    let refused = |why: &str| Err(OAuthError::invalid_client(format!("client certificate: {why}"), false));
    let Some(peer) = Peer::of(call.request) else {
        return refused("none was shown; use the endpoint of mtls_endpoint_aliases (RFC 8705 section 5)");
    };
    let may = |method| client.methods.contains(&method);
    if may(AuthMethod::SelfSignedTlsClientAuth) && is_registered(client, peer) {
        return Ok(());
    }
    if !may(AuthMethod::TlsClientAuth) {
        return refused("not one that the client has registered");
    }
    if !call.shared.trusts(peer) {
        return refused("not valid now, or not by this server's authority");
    }
    if client.certificate_subject.as_ref().is_some_and(|subject| peer.is_for(subject)) {
        Ok(())
    } else {
        refused("not for the subject that the client has registered")
    }
}

/// RFC 8705 section 2.2.2: registered in `x5c` of a JWK, the certificate itself first.
fn is_registered(client: &MockClient, peer: &Peer) -> bool {
    let shown = Value::from(to_b64(peer.certificate()));
    client.jwks.iter().any(|jwk| jwk.get("x5c").and_then(|chain| chain.get(0)) == Some(&shown))
}
