//! What clients need for HTTPS with this server.

#[cfg(feature = "tls")]
use serde_json::json;

#[cfg(feature = "tls")]
use super::routes::ok;
use super::routes::{Order, Refusal, Reply};
#[cfg(feature = "tls")]
use crate::settings::{Mistakes, read_subject};

const NO_TLS: &str = "this server speaks plain HTTP; start it with --tls";

#[cfg(feature = "tls")]
pub(super) fn ca(order: &Order<'_>) -> Reply {
    match &order.shared.authority {
        Some(authority) => ok(json!({"pem": authority.pem()})),
        None => Err(Refusal::NoSuch(NO_TLS.to_owned())),
    }
}

#[cfg(feature = "tls")]
pub(super) fn client_certificate(order: &Order<'_>) -> Reply {
    let Some(authority) = &order.shared.authority else { return Err(Refusal::NoSuch(NO_TLS.to_owned())) };
    let subject = order.read(|fields| {
        let subject = read_subject(fields);
        if subject.is_none() {
            fields.mistake("tls_client_auth_subject_dn", "missing: whom it is for, \"CN=svc\" for example");
        }
        subject
    })?;
    let certificate = subject.map(|subject| authority.client(&subject)).transpose();
    match certificate {
        Ok(Some(made)) => ok(json!({
            "cert_pem": made.cert_pem(),
            "key_pem": made.key_pem(),
            "thumbprint": made.thumbprint(),
        })),
        _ => Err(Refusal::Bad(Mistakes::one("", "this cannot be written in a certificate"))),
    }
}

#[cfg(not(feature = "tls"))]
pub(super) fn ca(_: &Order<'_>) -> Reply {
    Err(Refusal::NoSuch(NO_TLS.to_owned()))
}

#[cfg(not(feature = "tls"))]
pub(super) fn client_certificate(_: &Order<'_>) -> Reply {
    Err(Refusal::NoSuch(NO_TLS.to_owned()))
}
