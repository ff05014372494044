//! A certificate as proxies hand it on.

use crate::attack::certificate;
use crate::encode::{hex, percent_encode, to_b64};
use crate::wire::peer::thumbprint;

use super::CertificateHeader;

/// A client's certificate, in DER.
#[derive(Clone, Debug)]
pub(crate) struct Certificate(Vec<u8>);

impl Certificate {
    /// A new one; `None` when the cryptographic library fails.
    pub(super) fn new(common_name: &str) -> Option<Self> {
        certificate::client(common_name).map(Self)
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.0
    }

    /// `x5t#S256` of a token that is bound to it (RFC 8705 section 3.1).
    pub(super) fn thumbprint(&self) -> String {
        thumbprint(&self.0)
    }

    /// RFC 7468 section 5.
    pub(super) fn pem(&self) -> String {
        let lines: Vec<_> = to_b64(&self.0).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
        let lines: Vec<_> = lines.into_iter().filter_map(|line| String::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// As nginx and Envoy escape it.
    pub(super) fn escaped_pem(&self) -> String {
        percent_encode(&self.pem())
    }

    /// A byte sequence (RFC 9651 section 3.3.5), as in `Client-Cert`.
    pub(super) fn byte_sequence(&self) -> String {
        format!(":{}:", to_b64(&self.0))
    }

    /// The SHA-256 of the DER in hexadecimal, as in Envoy's `Hash`.
    pub(super) fn hash(&self) -> String {
        hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.0).as_ref())
    }

    /// The value of this header, as a proxy writes it.
    pub(super) fn value(&self, header: CertificateHeader) -> String {
        match header {
            CertificateHeader::ClientCert => self.byte_sequence(),
            CertificateHeader::Xfcc => {
                format!("Hash={};Cert=\"{}\";Subject=\"CN=orders\"", self.hash(), self.escaped_pem())
            }
            CertificateHeader::Nginx => self.escaped_pem(),
        }
    }
}
