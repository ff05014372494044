//! Client certificates (RFC 8705 section 3): a token that is bound to one comes over a connection that showed it.

mod header;
mod xfcc;

use http::{HeaderMap, HeaderName};

use super::before;
use super::peer::{TlsPeer, TrustedProxies};
use crate::reject::Rejection;
use crate::request::RequestHead;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const NGINX: HeaderName = HeaderName::from_static("ssl-client-cert");

/// The headers that speak of a caller's certificate. Behind the guard no one reads them by mistake.
pub(super) const HEADERS: [HeaderName; 4] = [CLIENT_CERT, CLIENT_CERT_CHAIN, XFCC, NGINX];

/// Whether it is one of [`HEADERS`]. Nearly none is, and the length shows it: to look for each of the four by its hash would
/// take several times as long as to go through all headers of a usual request.
#[inline]
pub(super) fn is_about_certificates(name: &HeaderName) -> bool {
    let name = name.as_str();
    HEADERS.iter().any(|one| one.as_str().len() == name.len() && one.as_str() == name)
}

/// Accepts tokens that are bound to a client certificate (RFC 8705 section 3), over connections with that certificate.
/// Passed to [`GuardBuilder::certificates`](crate::GuardBuilder::certificates).
///
/// The server or proxy that ends TLS has to ask for certificates and to verify them; the guard compares the thumbprint.
/// Whatever the source, all headers that carry certificates are removed from each request.
///
/// ```
/// use oauth_guard::{CertificateSource, Certificates, Guard, Issuer};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .certificates(Certificates::from(CertificateSource::ClientCert))
///     .trusted_proxies(["10.0.0.0/8"])
///     .build()?;
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "pass it to `GuardBuilder::certificates`"]
pub struct Certificates {
    pub(super) source: CertificateSource,
    pub(super) required: bool,
}

/// Where the certificate of a caller is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateSource {
    /// On the connection: a [`TlsPeer`](crate::TlsPeer) in the extensions of the request.
    Connection,
    /// In the header `Client-Cert` (RFC 9440) of a trusted proxy.
    ClientCert,
    /// In Envoy's `x-forwarded-client-cert`, from a trusted proxy. Of several elements the last one counts: the proxy
    /// directly in front has written it. Prefer `SANITIZE_SET` to `APPEND_FORWARD`, and leave `subject`, `uri` and
    /// `dns` out of what Envoy sends (`set_current_client_cert_details`): they are names from the certificate, and
    /// nothing here reads them. Where the CA signs names with quotes or commas for its clients and Envoy writes them as
    /// they are, the end of one element cannot be distinguished from a name.
    Xfcc,
    /// In `ssl-client-cert` with nginx's `$ssl_client_escaped_cert`, from a trusted proxy.
    Nginx,
}

impl Certificates {
    /// Bound tokens need their certificate, and unbound ones are accepted.
    pub fn from(source: CertificateSource) -> Self {
        Self { source, required: false }
    }

    /// Accepts only tokens that are bound to a certificate.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The thumbprint of the certificate of a request.
    pub(super) fn thumbprint(
        &self,
        request: RequestHead<'_>,
        proxies: &TrustedProxies,
    ) -> Result<Option<[u8; 32]>, Rejection> {
        let read = match self.source {
            CertificateSource::Connection => {
                return Ok(request.extensions.get::<TlsPeer>().and_then(|peer| peer.thumbprint()));
            }
            CertificateSource::ClientCert => header::client_cert,
            CertificateSource::Xfcc => xfcc::read,
            CertificateSource::Nginx => header::nginx,
        };
        self.screen(request, proxies)?;
        let Some(value) = self.header().and_then(|name| before::certificate(request, &name)) else {
            return Ok(None);
        };
        // Left by a guard further out, which may trust others.
        if !proxies.has_sent(request.extensions) {
            return Ok(None);
        }
        let text = value.to_str().map_err(|_| header::MALFORMED)?;
        read(text)
    }

    /// # Errors
    /// Where the configured header comes from anyone but a trusted proxy, or twice.
    pub(super) fn screen(&self, request: RequestHead<'_>, proxies: &TrustedProxies) -> Result<(), Rejection> {
        let Some(name) = self.header() else { return Ok(()) };
        match count(request.headers, &name) {
            0 => Ok(()),
            _ if !proxies.has_sent(request.extensions) => {
                Err(Rejection::MalformedRequest("a certificate header counts only from a trusted proxy"))
            }
            1 => Ok(()),
            _ => Err(Rejection::MalformedRequest("the request has more than one certificate header")),
        }
    }

    pub(super) fn header(&self) -> Option<HeaderName> {
        match self.source {
            CertificateSource::Connection => None,
            CertificateSource::ClientCert => Some(CLIENT_CERT),
            CertificateSource::Xfcc => Some(XFCC),
            CertificateSource::Nginx => Some(NGINX),
        }
    }
}

fn count(headers: &HeaderMap, name: &HeaderName) -> usize {
    headers.get_all(name).iter().take(2).count()
}
