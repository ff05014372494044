//! Bound tokens: what an API must ask of a caller that shows one, over DPoP (RFC 9449) and over certificates that a proxy
//! hands on (RFC 8705, RFC 9440).
//!
//! A proof names the address it is made for, so that these rows need to know it:
//! [`AttackContext::dpop`], [`AttackContext::certificates`].

mod certificates;
mod claims;
mod header;
mod htu;
mod identity;
mod jose;
mod nonce;
mod proofs;
mod replay;
mod scheme;

use std::net::IpAddr;
use std::time::Duration;

use super::{Attack, AttackContext, AttackRequest};
pub(crate) use identity::Certificate;
pub(crate) use replay::IN_ORDER;

use crate::keys::{Alg, TestKey};

/// Which of an API's defences the rows are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The token itself, shown as a bearer token: [`all`](super::all).
    #[default]
    Tokens,
    /// Tokens that are bound to a key, and the proofs that come with them (RFC 9449).
    Dpop,
    /// Tokens that are bound to a certificate (RFC 8705) which a proxy names in a header. The attacker is the proxy, and
    /// a client that goes past it.
    Certificates,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tokens, Self::Dpop, Self::Certificates];

    /// As the program and the report name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Dpop => "dpop",
            Self::Certificates => "certificates",
        }
    }
}

/// The header in which a proxy names the certificate of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateHeader {
    /// `Client-Cert`, DER in a byte sequence (RFC 9440 section 2.1).
    ClientCert,
    /// Envoy's `x-forwarded-client-cert`, with `Hash` and `Cert`.
    Xfcc,
    /// `ssl-client-cert`, escaped PEM, as nginx and its ingress controller write it.
    Nginx,
}

impl CertificateHeader {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClientCert, Self::Xfcc, Self::Nginx];

    /// As the program names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCert => "client-cert",
            Self::Xfcc => "xfcc",
            Self::Nginx => "nginx",
        }
    }

    /// The header's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClientCert => "Client-Cert",
            Self::Xfcc => "X-Forwarded-Client-Cert",
            Self::Nginx => "Ssl-Client-Cert",
        }
    }
}

/// What the attacker of bound tokens knows and has.
#[derive(Clone, Debug)]
pub(crate) enum Possession {
    Dpop(Box<Dpop>),
    Certificates(Box<Certificates>),
}

/// A key of the attacker's, and what the API says about proofs.
#[derive(Clone, Debug)]
pub(crate) struct Dpop {
    /// Method and address of the API, as its callers know them; no query, no fragment.
    method: String,
    address: String,
    key: TestKey,
    /// Another key of the same kind.
    other: TestKey,
    /// The `algs` of the challenge; empty where it names none.
    algorithms: Vec<String>,
    nonce: Option<String>,
    /// How long the API's nonces live, if that is known.
    nonce_lifetime: Option<Duration>,
}

/// Two certificates, and how the API hears of them.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    header: CertificateHeader,
    own: Certificate,
    other: Certificate,
    /// An address of this machine that the API does not take for a proxy's.
    untrusted: Option<IpAddr>,
}

/// The rows of both parts, in the order in which a request is checked.
pub(super) fn attacks(part: Part) -> &'static [&'static [Attack]] {
    match part {
        Part::Tokens => &[],
        Part::Dpop => &[
            scheme::ATTACKS,
            header::ATTACKS,
            jose::ATTACKS,
            claims::ATTACKS,
            htu::ATTACKS,
            nonce::ATTACKS,
            replay::ATTACKS,
        ],
        Part::Certificates => &[certificates::ATTACKS],
    }
}

impl AttackContext {
    /// The rows of [`Part::Dpop`] make requests for a GET of this address, which is the one that callers of the API use,
    /// with tokens that are bound to a key; the control is such a request, too.
    ///
    /// ```
    /// use oauth_mock::MockServer;
    /// use oauth_mock::attack::{self, AttackContext, Part};
    ///
    /// let server = MockServer::builder().in_process();
    /// let context = AttackContext::new(&server).dpop("https://api.test/orders");
    /// let missing = attack::find("dpop-proof-missing").unwrap();
    /// for request in missing.requests(&context) {
    ///     let http = request.to_http("https://api.test/orders").unwrap();
    ///     assert!(http.headers()["authorization"].to_str().unwrap().starts_with("DPoP "));
    /// }
    /// assert!(attack::of(Part::Dpop).count() > 30);
    /// ```
    #[must_use]
    pub fn dpop(mut self, address: &str) -> Self {
        let address = address.split(['?', '#']).next().unwrap_or(address).to_owned();
        self.possession = Some(Possession::Dpop(Box::new(Dpop {
            method: "GET".to_owned(),
            address,
            key: TestKey::generate(Alg::Es256),
            other: TestKey::generate(Alg::Es256),
            algorithms: Vec::new(),
            nonce: None,
            nonce_lifetime: None,
        })));
        self
    }

    /// The nonce that the API asked for (RFC 9449 section 9): proofs have it from now on.
    #[must_use]
    pub fn dpop_nonce(mut self, nonce: &str) -> Self {
        if let Some(Possession::Dpop(dpop)) = &mut self.possession {
            dpop.nonce = Some(nonce.to_owned());
        }
        self
    }

    /// The `algs` of the API's challenge (RFC 9449 section 7.1). If ES256 is not among them, another one signs.
    #[must_use]
    pub fn dpop_algorithms<'a>(mut self, algorithms: impl IntoIterator<Item = &'a str>) -> Self {
        let Some(Possession::Dpop(dpop)) = &mut self.possession else { return self };
        dpop.algorithms = algorithms.into_iter().map(str::to_owned).collect();
        let known = dpop.algorithms.iter().filter_map(|name| Alg::parse(name));
        let known: Vec<_> = known.filter(|alg| alg.is_asymmetric()).collect();
        if let Some(first) = known.first().filter(|_| !known.contains(&Alg::Es256)) {
            dpop.key = TestKey::generate(*first);
            dpop.other = TestKey::generate(*first);
        }
        self
    }

    /// How long the API's nonces live: then a stale one is tried as well.
    #[must_use]
    pub fn dpop_nonce_lifetime(mut self, lifetime: Duration) -> Self {
        if let Some(Possession::Dpop(dpop)) = &mut self.possession {
            dpop.nonce_lifetime = Some(lifetime);
        }
        self
    }

    /// The method that proofs are made for.
    pub(crate) fn dpop_method(mut self, method: &http::Method) -> Self {
        if let Some(Possession::Dpop(dpop)) = &mut self.possession {
            method.as_str().clone_into(&mut dpop.method);
        }
        self
    }

    /// The rows of [`Part::Certificates`] make requests as the proxy that names certificates in this header, with tokens
    /// that are bound to a certificate; the control is such a request, too.
    #[must_use]
    pub fn certificates(mut self, header: CertificateHeader) -> Self {
        let certificates = Certificate::new("orders").zip(Certificate::new("another"));
        self.possession = certificates.map(|(own, other)| {
            Possession::Certificates(Box::new(Certificates { header, own, other, untrusted: None }))
        });
        self
    }

    /// An address of this machine that the API does not take for its proxy's: requests of a client that goes past the proxy
    /// come from there.
    #[must_use]
    pub fn untrusted_from(mut self, address: IpAddr) -> Self {
        if let Some(Possession::Certificates(certificates)) = &mut self.possession {
            certificates.untrusted = Some(address);
        }
        self
    }

    /// Whether proofs have a nonce of the API's.
    pub(crate) fn has_nonce(&self) -> bool {
        self.with_dpop().is_some_and(|dpop| dpop.nonce.is_some())
    }

    /// What the API's challenge named.
    pub(crate) fn challenge_algorithms(&self) -> &[String] {
        self.with_dpop().map_or(&[], |dpop| &dpop.algorithms)
    }

    fn with_dpop(&self) -> Option<&Dpop> {
        match &self.possession {
            Some(Possession::Dpop(dpop)) => Some(dpop),
            _ => None,
        }
    }

    fn with_certificates(&self) -> Option<&Certificates> {
        match &self.possession {
            Some(Possession::Certificates(certificates)) => Some(certificates),
            _ => None,
        }
    }

    /// A good request with a bound token; `None` where tokens are not bound.
    pub(super) fn possession_control(&self) -> Option<AttackRequest> {
        match &self.possession {
            None => None,
            Some(Possession::Dpop(_)) => {
                proofs::shots(self, |shots| shots.with("control: a good proof", |proof| proof)).pop()
            }
            Some(Possession::Certificates(_)) => certificates::control(self),
        }
    }
}

#[cfg(test)]
mod tests;
