//! Which hosts are on this machine or on the network around it: where a foreign document must not send us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use url::{Host, Url};

use super::is_loopback;
use crate::error::{Error, printable};

/// Names that only a private network resolves: RFC 6762 (with its appendix G), RFC 8375, the `.internal`
/// that ICANN reserves, and the services of a Kubernetes cluster.
const PRIVATE_SUFFIXES: [&str; 10] = [
    ".localdomain",
    ".local",
    ".internal",
    ".svc",
    ".home.arpa",
    ".intranet",
    ".private",
    ".corp",
    ".home",
    ".lan",
];

/// Whether a URL's host is this machine or on its network, as far as the URL shows: a private, link-local or otherwise
/// not publicly routed address in any notation, a name without a dot, or a name below `localhost`, `local`,
/// `internal`, `svc` and their like. A URL without a host counts as one.
///
/// A public name may still resolve to such an address; with [`Limits::public_only`](super::Limits::public_only) the
/// bundled transport checks that when it connects.
///
/// ```
/// use oauth_client::transport::is_private;
///
/// let is_private = |url: &str| is_private(&url.parse().unwrap());
/// assert!(is_private("https://169.254.169.254/") && is_private("https://vault.internal./"));
/// assert!(!is_private("https://auth.example.com/") && !is_private("https://8.8.8.8/"));
/// ```
#[must_use]
pub fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_private_name(name),
        Some(Host::Ipv4(address)) => is_private_address(address.into()),
        Some(Host::Ipv6(address)) => is_private_address(address.into()),
        None => true,
    }
}

/// Refuses a request to such a host. The notation is that of the transport, which normalizes `2130706433` too.
pub(super) fn require_public(uri: &Uri) -> Result<(), Error> {
    match Url::parse(&uri.to_string()) {
        Ok(url) if !is_private(&url) => Ok(()),
        _ => Err(refused(uri.host().unwrap_or_default(), "is")),
    }
}

/// The error for a host that a foreign document names.
pub(super) fn refused(host: &str, how: &str) -> Error {
    Error::discovery(format!(
        "host {:?} {how} an address of this machine or its network, where a document must not send us; configure the URL by hand if it is meant",
        printable(host, 256)
    ))
}

fn is_private_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.') || is_loopback(&name) || PRIVATE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether an address is not one of the public Internet.
pub(super) fn is_private_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This network, private use (RFC 1918), loopback, link-local.
        [0 | 10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] => true,
        // Shared by the customers of a network (RFC 6598), protocol assignments (RFC 6890), benchmarks (RFC 2544).
        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        // Multicast, reserved, broadcast.
        [first, ..] => first >= 224,
    }
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let inside = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Translated to the IPv4 address inside (RFC 6052 section 2.1, RFC 7915, RFC 3056), or tunnelled (RFC 4380).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x2002, high, low, ..] => inside(high, low),
        [0x2001, 0, ..] => true,
        // All that is public is in 2000::/3 (RFC 4291 section 2.4). Outside are loopback, unique-local, link-local and
        // multicast, and what only a network of one's own translates (RFC 8215).
        [first, ..] => first & 0xe000 != 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(host: &str) -> bool {
        is_private(&Url::parse(&format!("https://{host}/")).unwrap())
    }

    #[test]
    fn the_ends_of_each_private_range_are_private_and_their_neighbours_are_not() {
        for (below, first, last, above) in [
            ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
            ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
            ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
            ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
            ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
            ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
            ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
            ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
            ("223.255.255.255", "224.0.0.0", "255.255.255.255", "1.0.0.0"),
            ("223.0.0.0", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
        ] {
            for notation in ["{}", "[::ffff:{}]", "[64:ff9b::{}]", "[::ffff:0:{}]"] {
                let at = |address: &str| private(&notation.replace("{}", address));
                assert!(!at(below) && !at(above), "{notation} beside {first} to {last}");
                assert!(at(first) && at(last), "{notation} {first} to {last}");
            }
        }
        for (outside, inside) in [
            ("[2000::]", "[1fff:ffff::]"),
            ("[3fff:ffff::]", "[4000::]"),
            ("[2606:4700::1111]", "[fc00::]"),
            ("[2001:4860:4860::8888]", "[fdff:ffff::1]"),
            ("[2a00::1]", "[fe80::1]"),
            ("[2a00::1]", "[febf:ffff::1]"),
            ("[2a00::1]", "[fec0::1]"),
            ("[2a00::1]", "[ff02::1]"),
            ("[2a00::1]", "[::]"),
            ("[2a00::1]", "[::1]"),
            ("[2a00::1]", "[::8.8.8.8]"),
            ("[2a00::1]", "[64:ff9b:1::1]"),
            ("[2002:808:808::1]", "[2002:a00:1::1]"),
            ("[2001:1::1]", "[2001::1]"),
        ] {
            assert!(!private(outside), "{outside}");
            assert!(private(inside), "{inside}");
        }
    }

    #[test]
    fn names_that_only_a_private_network_resolves_are_private() {
        for name in [
            "localhost",
            "localhost.",
            "LocalHost.",
            "a.localhost",
            "a.localhost.",
            "redis",
            "redis.",
            "REDIS",
            "printer.local",
            "printer.Local.",
            "metadata.google.internal",
            "metadata.google.INTERNAL.",
            "api.prod.svc",
            "api.prod.svc.",
            "api.prod.svc.cluster.local",
            "router.home.arpa",
            "localhost.localdomain",
            "vault.corp",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.1.",
            "127.1",
        ] {
            assert!(private(name), "{name}");
        }
        for name in [
            "auth.example.com",
            "auth.example.com.",
            "local.example.com",
            "mylocal.dev",
            "svc.io",
            "8.8.8.8.",
        ] {
            assert!(!private(name), "{name}");
        }
        assert!(is_private(&Url::parse("data:text/plain,x").unwrap()), "no host at all");
    }
}
