use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

use super::accept::provider;
use super::certificate::ClientCertificate;
use super::{names, pem};
use crate::clients::CertificateSubject;
use crate::encode::{hex, random};

/// A certificate authority that only clients configured with it trust.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// A certificate chain and the key of its first certificate, both in DER.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> io::Result<Self> {
        let mut params = lasting(&format!("oauth-mock authority {}", hex(&random::<4>())));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).map_err(io::Error::other)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        Ok(Self { issuer, verifier: verifier.build().map_err(io::Error::other)? })
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.issuer.der())
    }

    /// A certificate for this machine's own names, for `address` and for these hosts.
    pub(super) fn server(&self, address: IpAddr, hosts: &[String]) -> Result<Identity, rcgen::Error> {
        let mut params = lasting("oauth-mock");
        let mut addresses =
            vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST), address];
        let mut names = vec!["localhost"];
        for host in hosts {
            match host.trim_start_matches('[').trim_end_matches(']').parse() {
                Ok(address) => addresses.push(address),
                Err(_) => names.push(host),
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        params.subject_alt_names = addresses.into_iter().map(SanType::IpAddress).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate.
    pub(crate) fn client(&self, subject: &CertificateSubject) -> Result<ClientCertificate, rcgen::Error> {
        let params = of_subject(subject)?;
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth).map(ClientCertificate::new)
    }

    /// Whether this chain leads to this authority, is meant for clients and is valid at this Unix time.
    pub(crate) fn trusts(&self, chain: &[Vec<u8>], now: i64) -> bool {
        let mut chain = chain.iter().map(|der| CertificateDer::from(der.as_slice()));
        let Some(own) = chain.next() else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
        self.verifier.verify_client_cert(&own, &chain.collect::<Vec<_>>(), now).is_ok()
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, rcgen::Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { chain: vec![certificate.der().clone()], key: key.serialize_der() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A self-signed certificate.
pub(super) fn self_signed(subject: &CertificateSubject) -> Result<Identity, rcgen::Error> {
    let mut params = of_subject(subject)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Identity { chain: vec![certificate.der().clone()], key: key.serialize_der() })
}

fn of_subject(subject: &CertificateSubject) -> Result<CertificateParams, rcgen::Error> {
    let mut params = lasting("oauth-mock client");
    let name = match subject {
        CertificateSubject::Dn(name) => {
            let attributes = names::parse(name).ok_or(rcgen::Error::CouldNotParseCertificate)?;
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (oid, value) in attributes.into_iter().rev() {
                params.distinguished_name.push(DnType::from_oid(oid), value);
            }
            return Ok(params);
        }
        CertificateSubject::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        CertificateSubject::Uri(uri) => SanType::URI(uri.as_str().try_into()?),
        CertificateSubject::Email(address) => SanType::Rfc822Name(address.as_str().try_into()?),
        CertificateSubject::Ip(address) => SanType::IpAddress(*address),
    };
    params.subject_alt_names.push(name);
    Ok(params)
}

/// Valid at any time that the clock of a test is likely to show.
fn lasting(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2099, 12, 31);
    params
}
