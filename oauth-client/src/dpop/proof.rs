//! The claims of one proof (RFC 9449 section 4.2).

use http::{Method, Uri};
use serde::Serialize;

use crate::error::Error;
use crate::sign::unique_id;

/// The claims of a proof.
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(
        method: &'a Method,
        target: &'a Target,
        iat: u64,
        ath: Option<&'a str>,
        nonce: Option<&'a str>,
    ) -> Result<Self, Error> {
        // A server remembers them all while a proof is good, and takes none twice.
        Ok(Self { jti: unique_id()?, htm: method.as_str(), htu: &target.htu, iat, ath, nonce })
    }
}

/// Where a request goes, as a proof names it: without user, query and fragment, and in the one spelling that all
/// spellings of a URL come to (RFC 3986 sections 6.2.2.1 and 6.2.3). The path is left as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    htu: String,
    /// How much of it is scheme, host and port.
    origin: usize,
}

impl Target {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(Error::config(
                "uri",
                "has no scheme and host, which a DPoP proof names (RFC 9449 section 4.2); send requests with their whole URI (a generated tonic client: with_origin)",
            ));
        };
        let mut htu = format!("{scheme}://{}", authority.host());
        htu.make_ascii_lowercase();
        let usual = match scheme {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        if let Some(port) = authority.port_u16().filter(|port| Some(*port) != usual) {
            htu.push(':');
            htu.push_str(&port.to_string());
        }
        let origin = htu.len();
        htu.push_str(uri.path());
        if htu.len() == origin {
            htu.push('/');
        }
        Ok(Self { htu, origin })
    }

    /// Scheme, host and port: what a nonce is good for.
    pub(crate) fn origin(&self) -> &str {
        &self.htu[..self.origin]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn htu(uri: &str) -> String {
        Target::of(&uri.parse().unwrap()).unwrap().htu
    }

    #[test]
    fn a_target_has_one_spelling_and_neither_user_nor_query_nor_fragment() {
        for uri in [
            "https://api.example.com/orders",
            "HTTPS://API.Example.COM/orders",
            "https://api.example.com:443/orders?page=2",
            "https://user:s3cr3t@api.example.com/orders?",
        ] {
            assert_eq!(htu(uri), "https://api.example.com/orders", "{uri}");
        }
        assert_eq!(htu("https://api.example.com"), "https://api.example.com/");
        assert_eq!(htu("https://api.example.com?a=b"), "https://api.example.com/");
        assert_eq!(htu("http://LOCALHOST:80/%7Ea/%c3/../B//"), "http://localhost/%7Ea/%c3/../B//");
        assert_eq!(htu("http://[2001:DB8::1]:8080/"), "http://[2001:db8::1]:8080/");
        assert_eq!(htu("https://api.example.com:80/"), "https://api.example.com:80/");
    }

    #[test]
    fn the_origin_is_what_comes_before_the_path() {
        let target = |uri: &str| Target::of(&uri.parse().unwrap()).unwrap();
        assert_eq!(target("https://API.example.com:443/a/b?c").origin(), "https://api.example.com");
        assert_eq!(target("http://[::1]:8080").origin(), "http://[::1]:8080");
    }

    #[test]
    fn without_a_host_there_is_no_proof_and_the_error_says_what_to_do() {
        for uri in ["/pets.Pets/List", "api.example.com:443", "*"] {
            let error = Target::of(&uri.parse().unwrap()).unwrap_err();
            assert_eq!((error.code(), error.problems()[0].field.as_str()), ("config", "uri"), "{uri}");
        }
    }

    #[test]
    fn no_identifier_comes_twice_in_a_hundred_thousand() {
        let target = Target::of(&"https://api.example.com/".parse().unwrap()).unwrap();
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            let claims = Claims::new(&Method::GET, &target, 0, None, None).unwrap();
            assert_eq!(claims.jti.len(), 22, "128 bits");
            assert!(seen.insert(claims.jti));
        }
    }
}
