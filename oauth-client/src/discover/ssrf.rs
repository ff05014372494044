//! Server-side request forgery: where a foreign document may send us, and that is not our own network.

use url::Url;

use crate::error::{Error, printable};
use crate::transport::{Limits, is_loopback, is_private};

/// Checks a URL that was found at `from` before it is fetched: https, no user name or fragment, and no
/// address of this machine or of the network around it, unless `from` is of the same kind. A public name that resolves to
/// such an address is beyond what is seen here: the transport refuses it, by [`Limits::public_only`].
///
/// [`Limits::public_only`]: crate::transport::Limits::public_only
pub(crate) fn may_lead_to(from: &Url, field: &str, to: &Url, allow_http: bool) -> Result<(), Error> {
    let bad = |why: &str| Err(Error::discovery(format!("{field} {:?} {why}", printable(to.as_str(), 256))));
    if !to.username().is_empty() || to.password().is_some() || to.fragment().is_some() {
        return bad("has a user name or a fragment, which such a URL must not");
    }
    if is_private(to) && !is_private(from) {
        return bad("is an address of this machine or its network, where a public API must not send us");
    }
    let loopback = to.host_str().is_some_and(is_loopback) && from.scheme() == "http";
    match to.scheme() {
        "https" => Ok(()),
        "http" if allow_http || loopback => Ok(()),
        _ => bad("is not https"),
    }
}

/// The limits for a request to a URL that was found at `from`. The host of `from` itself is the caller's choice, and may
/// resolve to whatever it likes.
pub(crate) fn limits_beyond(from: &Url, to: &Url, limits: &Limits) -> Limits {
    let public_only = limits.public_only || (!is_private(from) && to.host_str() != from.host_str());
    Limits { public_only, ..limits.clone() }
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
            "https://localhost./",
            "https://redis/",
            "https://metadata.google.internal/",
            "https://user@auth.example.com/",
            "https://:pa55word@auth.example.com/",
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
