//! The certificate a client showed on its connection (RFC 8705).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::Request;

use crate::clients::CertificateSubject;
use crate::encode::b64url;
use crate::tls;

/// A certificate chain in DER, the client's own certificate first; the sender holds the key of that one.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Arc<[Vec<u8>]>);

impl Peer {
    pub(crate) fn of<B>(request: &Request<B>) -> Option<&Self> {
        request.extensions().get()
    }

    /// The client's own certificate.
    pub(crate) fn certificate(&self) -> &[u8] {
        self.0.first().map_or(&[], Vec::as_slice)
    }

    /// Whether its certificate is for this subject.
    pub(crate) fn is_for(&self, subject: &CertificateSubject) -> bool {
        tls::is_for(self.certificate(), subject)
    }

    /// `x5t#S256` (RFC 8705 section 3.1).
    pub(crate) fn thumbprint(&self) -> String {
        thumbprint(self.certificate())
    }
}

pub(crate) fn thumbprint(certificate: &[u8]) -> String {
    b64url(digest(&SHA256, certificate))
}
