//! The names by which a server is reached: its own address, and those that its configuration allows.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

/// Scheme, host and port (RFC 6454 section 4), in the normal form of RFC 3986 sections 6.2.2 and 6.2.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// A host that requests may name: `mock` at any port, or `mock:9000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName {
    host: String,
    port: Option<u16>,
}

/// Every address of one server.
pub(crate) struct Names {
    /// Where its endpoints are, unless a request came by another name.
    own: Origin,
    /// Where it listens.
    local: Origin,
    /// The port that asks for certificates.
    mtls: Option<Origin>,
    /// Whether `own` was chosen, and holds whatever name a request came by.
    is_fixed: bool,
    hosts: Vec<HostName>,
    /// The origin of an issuer that is not this server's own address.
    issuer: Option<Origin>,
}

impl Origin {
    /// The origin of an absolute http or https URL, and what follows it.
    pub(crate) fn split(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        Some((Self::new(scheme, authority)?, path))
    }

    fn new(scheme: &str, authority: &str) -> Option<Self> {
        let scheme = scheme.to_ascii_lowercase();
        let by_default = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let (host, port) = host_and_port(authority)?;
        Some(Self { scheme, host, port: port.unwrap_or(by_default) })
    }

    /// The host, as a certificate names it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        match (scheme.as_str(), port) {
            ("https", 443) | ("http", 80) => write!(f, "{scheme}://{host}"),
            _ => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl HostName {
    /// Reads `mock` or `mock:9000`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = host_and_port(text)?;
        Some(Self { host, port })
    }

    /// The host, as a certificate names it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    fn is(&self, origin: &Origin) -> bool {
        self.host == origin.host && self.port.is_none_or(|port| port == origin.port)
    }
}

impl Names {
    /// Of a server that listens at `local`, whose endpoints are at `public` if that is given.
    pub(crate) fn new(
        local: &str,
        mtls: Option<&str>,
        public: Option<&str>,
        hosts: Vec<HostName>,
        issuer: Option<&str>,
    ) -> Option<Self> {
        let origin = |url: &str| Origin::split(url).map(|(origin, _)| origin);
        let local = origin(local)?;
        let own = match public {
            Some(public) => origin(public)?,
            None => local.clone(),
        };
        let issuer = issuer.and_then(origin);
        Some(Self { own, local, mtls: mtls.and_then(origin), is_fixed: public.is_some(), hosts, issuer })
    }

    /// Where the endpoints are for a request that named the server by `authority`.
    pub(crate) fn base(&self, authority: Option<&str>) -> Origin {
        let allowed = || {
            let asked = authority?;
            if let Some(issuer) = &self.issuer
                && Origin::new(&issuer.scheme, asked).as_ref() == Some(issuer)
            {
                return Some(issuer.clone());
            }
            let mut asked = Origin::new(&self.own.scheme, asked)?;
            let mtls = self.mtls.as_ref().map(|mtls| mtls.port);
            if mtls == Some(asked.port) {
                // The port for certificates is named by the aliases; all else is at the other one.
                asked.port = self.own.port;
            }
            self.hosts.iter().any(|host| host.is(&asked)).then_some(asked)
        };
        if self.is_fixed { self.own.clone() } else { allowed().unwrap_or_else(|| self.own.clone()) }
    }

    /// Where a request went that named the server by `authority`: the port that asks for certificates, or the base.
    pub(crate) fn asked(&self, authority: Option<&str>) -> Origin {
        match (&self.mtls, authority.and_then(|authority| Origin::new("https", authority))) {
            (Some(mtls), Some(asked)) if mtls.port == asked.port && self.own != asked => {
                self.mtls(authority).unwrap_or_else(|| mtls.clone())
            }
            _ => self.base(authority),
        }
    }

    /// The address that asks for certificates, by the name the request came by if that is allowed.
    pub(crate) fn mtls(&self, authority: Option<&str>) -> Option<Origin> {
        let mtls = self.mtls.clone()?;
        let base = self.base(authority);
        if base == self.local || self.own.host == base.host && !self.is_fixed {
            return Some(mtls);
        }
        // In process it has a host of its own, and no port to tell it apart by.
        let has_own_host = mtls.host != self.local.host;
        Some(if has_own_host { mtls } else { Origin { host: base.host, ..mtls } })
    }

    /// Whether this is an address of this server: the one that is published or listened on, one that the configuration
    /// allows, or another name of the same loopback port.
    pub(crate) fn knows(&self, origin: &Origin) -> bool {
        let own = [Some(&self.own), Some(&self.local), self.mtls.as_ref(), self.issuer.as_ref()];
        let by_this_machine = |own: &Origin| {
            own.is_loopback()
                && origin.is_loopback()
                && (own.port, &own.scheme) == (origin.port, &origin.scheme)
        };
        own.into_iter().flatten().any(|own| own == origin || by_this_machine(own))
            || (origin.scheme == self.own.scheme && self.hosts.iter().any(|host| host.is(origin)))
    }

    /// The part of an absolute URL of this server that follows its origin.
    pub(crate) fn path<'a>(&self, url: &'a str) -> Option<&'a str> {
        let (origin, path) = Origin::split(url)?;
        self.knows(&origin).then_some(path)
    }

    /// Whether a page of `page` is one of this server's, for a browser that calls the server `authority`.
    pub(crate) fn is_own_page(&self, page: &str, authority: Option<&str>) -> bool {
        let Some((origin, "")) = Origin::split(page) else { return false };
        let same = |scheme| authority.and_then(|asked| Origin::new(scheme, asked)).as_ref() == Some(&origin);
        // A proxy in front may speak HTTPS where this server does not; the reverse would be a downgrade.
        self.knows(&origin) || same(self.own.scheme.as_str()) || same("https")
    }
}

/// Host in lower case and port, of an authority without user information.
fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    let good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(['@', ':', '[', ']']) && host.parse::<Uri>().is_ok(),
    };
    good.then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &[&str], public: Option<&str>, issuer: Option<&str>) -> Names {
        let hosts = hosts.iter().map(|host| HostName::parse(host).unwrap()).collect();
        Names::new("http://127.0.0.1:9000", Some("https://127.0.0.1:9443"), public, hosts, issuer).unwrap()
    }

    #[test]
    fn the_endpoints_are_where_the_request_went_if_that_is_allowed() {
        let local = "http://127.0.0.1:9000";
        for (hosts, public, issuer, asked, base) in [
            (&[][..], None, None, "mock:9000", local),
            (&["mock"], None, None, "mock:9000", "http://mock:9000"),
            (&["mock"], None, None, "MOCK", "http://mock"),
            (&["mock"], None, None, "mock.evil.test:9000", local),
            (&["mock"], None, None, "evil.test", local),
            (&["mock:9000"], None, None, "mock:9001", local),
            (&["mock"], None, None, "mock:9443", "http://mock:9000"),
            (&[], None, Some("https://mock/a"), "mock:443", "https://mock"),
            (&[], None, Some("https://mock/a"), "mock:80", local),
            (&[], None, Some("accounts.example"), "accounts.example", local),
            (&["mock"], Some("http://idp:8080"), None, "mock:9000", "http://idp:8080"),
            (&["mock"], None, None, "user@mock", local),
            (&["mock"], None, None, "", local),
        ] {
            let names = names(hosts, public, issuer);
            assert_eq!(names.base(Some(asked)).to_string(), base, "{hosts:?} {public:?} {issuer:?} {asked}");
            assert_eq!(names.base(None).to_string(), public.unwrap_or(local));
        }
    }

    #[test]
    fn the_port_for_certificates_has_the_same_host() {
        let names = names(&["mock"], None, None);
        let mtls = |asked| names.mtls(Some(asked)).unwrap().to_string();
        assert_eq!(mtls("mock:9000"), "https://mock:9443");
        assert_eq!(mtls("127.0.0.1:9000"), "https://127.0.0.1:9443");
        assert_eq!(names.asked(Some("mock:9443")).to_string(), "https://mock:9443");
        assert_eq!(names.asked(Some("127.0.0.1:9443")).to_string(), "https://127.0.0.1:9443");
        assert_eq!(names.asked(Some("mock:9000")).to_string(), "http://mock:9000");
    }

    #[test]
    fn addresses_of_others_are_not_this_servers() {
        let names = names(&["mock:9000"], None, None);
        for (url, path) in [
            ("http://127.0.0.1:9000/token", Some("/token")),
            ("HTTP://LocalHost:9000", Some("")),
            ("http://[::1]:9000?a", Some("?a")),
            ("http://mock:9000/a/b", Some("/a/b")),
            ("http://mock:9001/", None),
            ("https://127.0.0.1:9000/", None),
            ("http://127.0.0.1:9000@evil.test/", None),
            ("http://127.0.0.1:9000.evil.test/", None),
            ("ftp://127.0.0.1:9000/", None),
            ("/token", None),
        ] {
            assert_eq!(names.path(url), path, "{url}");
        }
    }
}
