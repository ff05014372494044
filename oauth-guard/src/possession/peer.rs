//! Who is at the other end of the connection, as the server's acceptor says.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;
use oauth_client::jose::sha256;

/// The address of the connection's other end, in the extensions of a request. It decides whether the peer is one of the
/// [`trusted_proxies`](crate::GuardBuilder::trusted_proxies). A server that is not axum's (whose
/// `ConnectInfo<SocketAddr>` is read too) inserts it into each request of a connection.
///
/// ```
/// use oauth_guard::PeerAddr;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr("10.0.0.1:40112".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// A TLS connection and the certificate that its client showed, in the extensions of a request. Made by the code that accepts
/// connections, once for each, from what the TLS library has *verified*; inserted into each of its requests.
///
/// It also shows that callers use `https`, where no setting or proxy says what they see.
///
/// ```
/// use oauth_guard::TlsPeer;
///
/// # fn peer_certificates() -> Option<Vec<Vec<u8>>> { Some(vec![vec![0x30, 0x82]]) }
/// // With rustls: `connection.peer_certificates()`, whose first one is the client's own.
/// let peer = match peer_certificates().as_deref() {
///     Some([own, ..]) => TlsPeer::with_certificate(own),
///     _ => TlsPeer::without_certificate(),
/// };
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(peer);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    thumbprint: Option<[u8; 32]>,
}

impl TlsPeer {
    /// The client showed this certificate, in DER form. Only its SHA-256 thumbprint is kept (RFC 8705 section 3.1).
    #[must_use]
    pub fn with_certificate(der: impl AsRef<[u8]>) -> Self {
        Self { thumbprint: Some(sha256(der.as_ref())) }
    }

    /// The client showed none.
    #[must_use]
    pub fn without_certificate() -> Self {
        Self { thumbprint: None }
    }

    pub(super) fn thumbprint(self) -> Option<[u8; 32]> {
        self.thumbprint
    }
}

/// The proxies whose headers count.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Box<[Network]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: u128,
    mask: u128,
    is_v4: bool,
}

impl TrustedProxies {
    /// The networks by their names; the names that are none.
    pub(crate) fn parse<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, Vec<&'a str>> {
        let (mut networks, mut bad) = (Vec::new(), Vec::new());
        for name in names {
            match Network::parse(name) {
                Some(network) => networks.push(network),
                None => bad.push(name),
            }
        }
        if bad.is_empty() { Ok(Self(networks.into())) } else { Err(bad) }
    }

    /// Whether the request comes from one of them. Without an address no one is trusted.
    pub(super) fn has_sent(&self, extensions: &Extensions) -> bool {
        !self.0.is_empty() && address(extensions).is_some_and(|address| self.contain(address))
    }

    fn contain(&self, address: IpAddr) -> bool {
        let (address, is_v4) = bits(address);
        self.0.iter().any(|network| network.is_v4 == is_v4 && address & network.mask == network.address)
    }
}

impl Network {
    /// `10.0.0.0/8`, or one address.
    fn parse(name: &str) -> Option<Self> {
        let (address, length) = match name.split_once('/') {
            Some((address, length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(length))
            }
            Some(_) => return None,
            None => (name, None),
        };
        let written: IpAddr = address.parse().ok()?;
        let longest = if written.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.map_or(Some(longest), |length| length.parse().ok())?;
        let (address, is_v4) = bits(written);
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
        let prefix = if is_v4 && written.is_ipv6() { length.checked_sub(96)? } else { length };
        let width = if is_v4 { 32 } else { 128 };
        let host_bits = u32::checked_sub(width, prefix)?;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(Self { address: address & mask, mask, is_v4 })
    }
}

/// IPv4 addresses are the same whether a dual-stack socket writes them as IPv6 or not.
fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u32::from(address).into(), true),
        IpAddr::V6(address) => (address.into(), false),
    }
}

fn address(extensions: &Extensions) -> Option<IpAddr> {
    if let Some(PeerAddr(address)) = extensions.get() {
        return Some(address.ip());
    }
    #[cfg(feature = "axum")]
    if let Some(::axum::extract::ConnectInfo(address)) =
        extensions.get::<::axum::extract::ConnectInfo<SocketAddr>>()
    {
        return Some(address.ip());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_with_the_length_of_its_prefix() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::1", "::1", true),
            // What a dual-stack socket reports.
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("10.0.0.0/31", "10.0.0.2", false),
        ] {
            let proxies = TrustedProxies::parse([network].into_iter()).unwrap();
            assert_eq!(proxies.contain(address.parse().unwrap()), expected, "{address} in {network}");
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "proxy.internal",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.0/8",
        ] {
            assert_eq!(TrustedProxies::parse([bad].into_iter()).unwrap_err(), [bad]);
        }
    }

    #[test]
    fn without_an_address_no_one_is_trusted() {
        let proxies = TrustedProxies::parse(["0.0.0.0/0", "::/0"].into_iter()).unwrap();
        let mut extensions = Extensions::new();
        assert!(!proxies.has_sent(&extensions));
        extensions.insert(PeerAddr("203.0.113.9:1".parse().unwrap()));
        assert!(proxies.has_sent(&extensions));
        assert!(!TrustedProxies::default().has_sent(&extensions));
    }
}
