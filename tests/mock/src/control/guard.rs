//! Who may give orders.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use http::header::{HOST, HeaderName, ORIGIN};
use http::{Request, Uri};

/// The hosts and pages that are trusted.
pub(super) struct Guard {
    /// The origins of the server itself, whose `/` is the same page.
    pages: Vec<String>,
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(server: &str, hosts: &[&str]) -> Self {
        let mut pages = vec![server.to_owned()];
        // A user may call this machine by any of its names, and an address that stands for all of them is no name.
        for host in ["//127.0.0.1:", "//0.0.0.0:", "//localhost:"] {
            if server.contains(host) {
                pages.extend(["//127.0.0.1:", "//localhost:"].map(|name| server.replace(host, name)));
            }
        }
        Self { pages, hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// Trusts the page at this address of the server, too.
    pub(super) fn page(mut self, origin: &str) -> Self {
        self.pages.push(origin.to_owned());
        self
    }

    /// The page behind the request, if a browser sent it from another origin that may read the response.
    ///
    /// # Errors
    /// What is wrong, with the name of the header.
    pub(super) fn admit(&self, request: &Request<Bytes>) -> Result<Option<String>, (&'static str, String)> {
        let host = text(request, HOST).unwrap_or_default();
        if !self.knows(host) {
            let problem = format!(
                "{host:?} is not this port; ask for it by IP address or as localhost, or start it with --control-host"
            );
            return Err(("Host", problem));
        }
        let Some(origin) = request.headers().get(ORIGIN) else { return Ok(None) };
        // Of the control port itself, by the name the browser knows it by: scheme and all, there is no other.
        match origin.to_str() {
            Ok(own) if own.strip_prefix("http://") == Some(host) => Ok(None),
            Ok(page) if self.pages.iter().any(|known| known == page) => Ok(Some(page.to_owned())),
            _ => Err(("Origin", "pages of other origins may not steer this server".to_owned())),
        }
    }

    /// Only a name can be rebound to this machine by its owner; an address cannot.
    fn knows(&self, host: &str) -> bool {
        let Ok(uri) = host.parse::<Uri>() else { return false };
        let Some(name) = uri.host() else { return false };
        let unbracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = match unbracketed {
            Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
            None => name.parse::<IpAddr>().is_ok(),
        };
        let name = name.to_ascii_lowercase();
        is_address || name == "localhost" || self.hosts.contains(&name)
    }
}

fn text(request: &Request<Bytes>, name: HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(host: &str, origin: Option<&str>) -> Result<Option<String>, &'static str> {
        let guard = Guard::new("http://127.0.0.1:9000", &["Mock"]);
        let mut request = Request::get("/v1/state").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        guard.admit(&request.body(Bytes::new()).unwrap()).map_err(|(header, _)| header)
    }

    #[test]
    fn names_that_others_own_are_refused() {
        for host in ["127.0.0.1:9001", "localhost:1", "LOCALHOST", "[::1]:9001", "10.0.0.7", "mock:9001"] {
            assert_eq!(admitted(host, None), Ok(None), "{host}");
        }
        for host in [
            "",
            "evil.test",
            "evil.test:9001",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "a b",
            "[evil]:1",
        ] {
            assert_eq!(admitted(host, None), Err("Host"), "{host}");
        }
    }

    #[test]
    fn pages_of_others_are_refused() {
        let own = "http://127.0.0.1:9001";
        assert_eq!(admitted("127.0.0.1:9001", Some(own)), Ok(None));
        for server in ["http://127.0.0.1:9000", "http://localhost:9000"] {
            assert_eq!(admitted("127.0.0.1:9001", Some(server)), Ok(Some(server.to_owned())));
        }
        for origin in [
            "null",
            "http://evil.test",
            "http://127.0.0.1:8080",
            "https://127.0.0.1:9001",
            "http://localhost:9001",
        ] {
            assert_eq!(admitted("127.0.0.1:9001", Some(origin)), Err("Origin"), "{origin}");
        }
    }
}
