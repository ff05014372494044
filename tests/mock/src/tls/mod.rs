//! HTTPS with an authority of the server's own, and clients that show certificates (RFC 8705).

#[cfg(feature = "tls")]
mod accept;
#[cfg(feature = "tls")]
mod authority;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod front;
#[cfg(feature = "tls")]
mod names;
#[cfg(not(feature = "tls"))]
mod off;

#[cfg(feature = "tls")]
pub use self::certificate::ClientCertificate;
#[cfg(not(feature = "tls"))]
pub(crate) use self::off::{Acceptor, Authority, is_for};
#[cfg(feature = "tls")]
pub(crate) use self::{accept::Acceptor, authority::Authority, names::is_for};

/// One block of PEM (RFC 7468 section 2).
#[cfg(feature = "tls")]
fn pem(label: &str, der: &[u8]) -> String {
    let text = crate::encode::to_b64(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    // Base64 is ASCII, so any index is a character boundary.
    for at in (0..text.len()).step_by(64) {
        out.push_str(&text[at..text.len().min(at + 64)]);
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
