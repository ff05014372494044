use http::Uri;
use http::uri::Authority;
use url::Url;

use crate::error::{Error, printable};

/// Scheme, host and port of an API (RFC 6454 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
    /// As it stands in most URIs: without the port that goes without saying.
    authority: String,
}

impl Origin {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let unusable = || {
            let shown = printable(text, 256);
            let origin = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let origin = origin.map(|url| url.origin().ascii_serialization());
            let wanted = origin.as_deref().unwrap_or("https://api.example.com");
            Error::config("allowed_origins", format!("{shown:?} is not an origin; write it as {wanted}"))
        };
        let url = Url::parse(text).map_err(|_| unusable())?;
        let scheme = known(url.scheme()).ok_or_else(unusable)?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if bare => {
                let authority = if port == scheme.1 { host.to_owned() } else { format!("{host}:{port}") };
                Ok(Self { scheme: scheme.0, host: host.to_owned(), port, authority })
            }
            _ => Err(unusable()),
        }
    }

    pub(super) fn is_of(&self, uri: &Uri) -> bool {
        let (Some((scheme, default)), Some(authority)) = (uri.scheme_str().and_then(known), uri.authority())
        else {
            return false;
        };
        if scheme != self.scheme {
            return false;
        }
        // The short cut spares taking the authority apart.
        authority.as_str().eq_ignore_ascii_case(&self.authority) || self.is_at(authority, default)
    }

    fn is_at(&self, authority: &Authority, default: u16) -> bool {
        let host = authority.host();
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()),
            // A port that is no number is not a port that goes without saying.
            None => authority.as_str().ends_with(host).then_some(default),
        };
        host.eq_ignore_ascii_case(&self.host) && port == Some(self.port)
    }
}

/// The scheme and its default port.
fn known(scheme: &str) -> Option<(&'static str, u16)> {
    match scheme {
        "https" => Some(("https", 443)),
        "http" => Some(("http", 80)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_less() {
        let origin = Origin::parse("https://API.example.com").unwrap();
        for same in
            ["https://api.example.com/v1?x=1", "https://api.example.com:443/", "https://Api.Example.Com/"]
        {
            assert!(origin.is_of(&same.parse().unwrap()), "{same}");
        }
        for other in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com:99999/",
            "https://api.example.com.evil.example/",
            "https://api.example.com@evil.example/",
            "https://evil.example/https://api.example.com/",
            "https://xapi.example.com/",
            "/v1",
            "api.example.com:443",
        ] {
            assert!(!origin.is_of(&other.parse().unwrap()), "{other}");
        }
        assert!(Origin::parse("http://[::1]:8080").unwrap().is_of(&"http://[::1]:8080/a".parse().unwrap()));
    }

    #[test]
    fn what_is_no_origin_is_refused_by_name() {
        for text in [
            "",
            "api.example.com",
            "ftp://api.example.com",
            "https://a.example/v1",
            "https://u:p@a.example",
            "https://",
        ] {
            let error = Origin::parse(text).unwrap_err();
            assert_eq!(error.code(), "config", "{text}");
            assert_eq!(error.problems()[0].field, "allowed_origins");
        }
        let error = Origin::parse("http://127.0.0.1:3000/v1").unwrap_err();
        assert!(error.to_string().ends_with("write it as http://127.0.0.1:3000"), "{error}");
    }
}
