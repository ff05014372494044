//! Server-side request forgery: where a foreign document may send us, and that is not our own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::{Error, printable};
use crate::transport::is_loopback;

/// Checks a URL that was found at `from` before it is fetched: https, no user name or fragment, and no
/// address of this machine or of the network around it, unless `from` is of the same kind. A public name that resolves to
/// such an address is beyond what is seen here: where that matters, the transport's resolver or a proxy has to refuse it.
pub(super) fn may_lead_to(from: &Url, field: &str, to: &Url, allow_http: bool) -> Result<(), Error> {
    let bad = |why: &str| Err(Error::discovery(format!("{field} {:?} {why}", printable(to.as_str(), 256))));
    if !to.username().is_empty() || to.password().is_some() || to.fragment().is_some() {
        return bad("has a user name or a fragment, which such a URL must not");
    }
    if is_local(to) && !is_local(from) {
        return bad("is an address of this machine or its network, where a public API must not send us");
    }
    let loopback = to.host_str().is_some_and(is_loopback) && from.scheme() == "http";
    match to.scheme() {
        "https" => Ok(()),
        "http" if allow_http || loopback => Ok(()),
        _ => bad("is not https"),
    }
}

pub(super) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback(name),
        Some(Host::Ipv4(address)) => is_local_v4(address),
        Some(Host::Ipv6(address)) => is_local_v6(address),
        None => true,
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    // 100.64/10 is the networks' own (RFC 6598), and so is 0/8.
    let shared = first == 100 && (64..128).contains(&second);
    let own = address.is_loopback() || address.is_private() || address.is_link_local();
    own || shared || first == 0 || address.is_multicast() || address.is_broadcast()
}

fn is_local_v6(address: Ipv6Addr) -> bool {
    let IpAddr::V6(address) = address.to_canonical() else {
        return address.to_ipv4_mapped().is_none_or(is_local_v4);
    };
    let inside = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_local_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Translated to the IPv4 address inside (RFC 6052, RFC 3056), or to one that only this network knows (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => inside(high, low),
        [0x64, 0xff9b, 1, ..] => true,
        // `::` and `::1`, and the old way to write IPv4 addresses.
        [0, 0, 0, 0, 0, 0, high, low] => inside(high, low),
        _ => {
            let own = address.is_unique_local() || address.is_unicast_link_local();
            // The link-local addresses of old (RFC 3879).
            own || address.is_multicast() || address.segments()[0] & 0xffc0 == 0xfec0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(from: &str, to: &str) -> bool {
        may_lead_to(&Url::parse(from).unwrap(), "jwks_uri", &Url::parse(to).unwrap(), false).is_ok()
    }

    #[test]
    fn a_public_api_leads_to_no_address_of_ours() {
        for to in [
            "https://auth.example.com/x",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://[64:ff9b::8.8.8.8]/",
        ] {
            assert!(leads("https://api.example.com", to), "{to}");
        }
        for to in [
            "http://auth.example.com/",
            "https://localhost/",
            "https://a.localhost/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://10.1.2.3/",
            "https://192.168.0.1/",
            "https://172.16.0.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[fec0::1]/",
            "https://[::]/",
            "https://[::10.0.0.1]/",
            "https://[64:ff9b::169.254.169.254]/",
            "https://[64:ff9b:1::1]/",
            "https://[2002:a00:1::1]/",
            "https://[ff02::1]/",
            "https://user@auth.example.com/",
            "https://auth.example.com/#x",
            "file:///etc/passwd",
        ] {
            assert!(!leads("https://api.example.com", to), "{to}");
        }
    }

    #[test]
    fn a_local_one_leads_to_local_ones() {
        assert!(leads("http://127.0.0.1:3000/", "http://localhost:4000/"));
        assert!(leads("https://10.0.0.5/", "https://10.0.0.6/"));
        assert!(!leads("http://127.0.0.1:3000/", "http://auth.example.com/"));
        assert!(!leads("https://localhost/", "http://localhost/"), "and not down to plain http");
    }
}
