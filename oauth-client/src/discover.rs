//! Discovery of the server's endpoints: RFC 8414 and OpenID Connect Discovery metadata, issuer compared.
//!
//! A client that knows only an API's URL finds the server through the API itself (RFC 9728): see [`follow`].
//!
//! ```
//! # use bytes::Bytes;
//! use oauth_client::discover::discover;
//! use oauth_client::transport::{HttpClient, Limits};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
//! # let http = HttpClient::from_service(tower::service_fn(|_: http::Request<oauth_client::transport::RequestBody>| async {
//! #     let document = r#"{"issuer":"https://auth.example.com","token_endpoint":"https://auth.example.com/token"}"#;
//! #     Ok::<_, std::io::Error>(http::Response::new(http_body_util::Full::new(Bytes::from(document))))
//! # }));
//! let metadata = discover(&http, "https://auth.example.com", &Limits::metadata()).await?;
//! assert_eq!(metadata.token_endpoint.unwrap().path(), "/token");
//!
//! // A document that speaks for another issuer is refused (RFC 8414 section 3.3).
//! let error = discover(&http, "https://auth.example.com/tenant", &Limits::metadata()).await.unwrap_err();
//! assert_eq!(error.code(), "discovery");
//! # Ok(()) }
//! ```

mod follow;
mod resource;
mod ssrf;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use url::Url;

pub use self::follow::{Found, follow};
pub use self::resource::{ProtectedResource, resource};
pub(crate) use self::ssrf::{limits_beyond, may_lead_to};
use crate::error::{Error, printable};
use crate::transport::{HttpClient, Limits, is_loopback, is_private};
pub use crate::www_authenticate::Challenge;

/// An authorization server's metadata (RFC 8414 section 2). What is not named here is kept in [`extra`](Self::extra).
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Metadata {
    /// The server's identifier, compared with the one that was asked for.
    pub issuer: String,
    /// Where tokens are requested.
    pub token_endpoint: Option<Url>,
    /// Where the server's public keys are.
    pub jwks_uri: Option<Url>,
    /// Where a browser is sent to authorize.
    pub authorization_endpoint: Option<Url>,
    /// Where tokens are revoked (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// Where opaque tokens are looked up (RFC 7662).
    pub introspection_endpoint: Option<Url>,
    /// Where claims about the user are fetched (OpenID Connect).
    pub userinfo_endpoint: Option<Url>,
    /// Where devices without a browser begin (RFC 8628).
    pub device_authorization_endpoint: Option<Url>,
    /// Where authorization requests are pushed (RFC 9126).
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Where clients register (RFC 7591).
    pub registration_endpoint: Option<Url>,
    /// Where a browser is sent to log out (OpenID Connect RP-Initiated Logout).
    pub end_session_endpoint: Option<Url>,
    /// The same endpoints, for clients that show a certificate (RFC 8705 section 5), by their names in this document.
    #[serde(default, deserialize_with = "null_is_default")]
    pub mtls_endpoint_aliases: BTreeMap<String, Url>,
    /// Whether authorization responses name their issuer (RFC 9207).
    #[serde(default, deserialize_with = "null_is_default")]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether authorization requests must be pushed (RFC 9126 section 5).
    #[serde(default, deserialize_with = "null_is_default")]
    pub require_pushed_authorization_requests: bool,
    /// How clients may authenticate at the token endpoint. When absent, `client_secret_basic` is meant.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// The grants the server knows. When absent, `authorization_code` and `implicit` are meant.
    pub grant_types_supported: Option<Vec<String>>,
    /// The scopes the server cares to name.
    pub scopes_supported: Option<Vec<String>>,
    /// The host whose document led here, where one did: beyond it, this document's URLs may lead to public addresses
    /// only.
    #[serde(skip)]
    pub(crate) public_beyond: Option<String>,
    /// All other members.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// Some servers write `null` for absent members.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Metadata {
    /// The URL of an endpoint, where the document names one.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> Option<&Url> {
        let url = match endpoint {
            Endpoint::Authorization => &self.authorization_endpoint,
            Endpoint::DeviceAuthorization => &self.device_authorization_endpoint,
            Endpoint::EndSession => &self.end_session_endpoint,
            Endpoint::Introspection => &self.introspection_endpoint,
            Endpoint::PushedAuthorizationRequest => &self.pushed_authorization_request_endpoint,
            Endpoint::Registration => &self.registration_endpoint,
            Endpoint::Revocation => &self.revocation_endpoint,
            Endpoint::Token => &self.token_endpoint,
            Endpoint::Userinfo => &self.userinfo_endpoint,
        };
        url.as_ref()
    }

    /// All URLs that requests may go to, by what names them.
    fn urls(&self) -> impl Iterator<Item = (&str, &Url)> {
        let named = Endpoint::ALL.iter().filter_map(|one| Some((one.name(), self.endpoint(*one)?)));
        let keys = self.jwks_uri.iter().map(|url| ("jwks_uri", url));
        named.chain(keys).chain(self.mtls_endpoint_aliases.iter().map(|(name, url)| (name.as_str(), url)))
    }

    /// Whether this document of a public issuer leads to an address of this machine or its network.
    pub(crate) fn leads_inside(&self) -> bool {
        let is_public = Url::parse(&self.issuer).is_ok_and(|issuer| !is_private(&issuer));
        is_public && self.urls().any(|(_, url)| is_private(url))
    }

    /// Whether requests to this URL of the document may reach public addresses only.
    pub(crate) fn public_only(&self, url: &Url) -> bool {
        self.public_beyond.as_deref().is_some_and(|host| url.host_str() != Some(host))
    }

    /// How clients may authenticate at an endpoint. Introspection and revocation have lists of their own (RFC 8414
    /// section 2); all others follow the token endpoint.
    pub(crate) fn auth_methods(&self, endpoint: Endpoint) -> Option<Vec<String>> {
        match endpoint {
            Endpoint::Introspection | Endpoint::Revocation => {
                self.list(&format!("{}_auth_methods_supported", endpoint.name()))
            }
            _ => self.token_endpoint_auth_methods_supported.clone(),
        }
    }

    /// The algorithms of assertions that an endpoint takes.
    pub(crate) fn auth_algorithms(&self, endpoint: Endpoint) -> Option<Vec<String>> {
        let name = match endpoint {
            Endpoint::Introspection | Endpoint::Revocation => endpoint.name(),
            _ => Endpoint::Token.name(),
        };
        self.list(&format!("{name}_auth_signing_alg_values_supported"))
    }

    /// The algorithms of proofs of possession that the server takes (RFC 9449 section 5.1).
    pub(crate) fn dpop_algorithms(&self) -> Option<Vec<String>> {
        self.list("dpop_signing_alg_values_supported")
    }

    fn list(&self, member: &str) -> Option<Vec<String>> {
        let items = self.extra.get(member)?.as_array()?;
        Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }
}

/// An endpoint of an authorization server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Where a browser is sent to authorize (RFC 6749 section 3.1).
    Authorization,
    /// Where devices without a browser begin (RFC 8628 section 3.1).
    DeviceAuthorization,
    /// Where a browser is sent to log out (OpenID Connect RP-Initiated Logout).
    EndSession,
    /// Where opaque tokens are looked up (RFC 7662).
    Introspection,
    /// Where authorization requests are pushed (RFC 9126).
    PushedAuthorizationRequest,
    /// Where clients register (RFC 7591).
    Registration,
    /// Where tokens are revoked (RFC 7009).
    Revocation,
    /// Where tokens are requested (RFC 6749 section 3.2).
    Token,
    /// Where claims about the user are fetched (OpenID Connect Core section 5.3).
    Userinfo,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 9] = [
        Self::Authorization,
        Self::DeviceAuthorization,
        Self::EndSession,
        Self::Introspection,
        Self::PushedAuthorizationRequest,
        Self::Registration,
        Self::Revocation,
        Self::Token,
        Self::Userinfo,
    ];

    /// Its name in the server's metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization_endpoint",
            Self::DeviceAuthorization => "device_authorization_endpoint",
            Self::EndSession => "end_session_endpoint",
            Self::Introspection => "introspection_endpoint",
            Self::PushedAuthorizationRequest => "pushed_authorization_request_endpoint",
            Self::Registration => "registration_endpoint",
            Self::Revocation => "revocation_endpoint",
            Self::Token => "token_endpoint",
            Self::Userinfo => "userinfo_endpoint",
        }
    }
}

/// Fetches the metadata of `issuer`: the RFC 8414 location first, then the OpenID Connect one.
///
/// With [`Limits::public_only`], for an issuer that a foreign document names, clients that are built from the metadata
/// send no request to a private address either.
///
/// # Errors
/// `config` when the issuer is not a usable URL, `discovery` when no document is there, when it names another issuer,
/// or when its endpoints are not https under an https issuer; and the transport's errors.
pub async fn discover(http: &HttpClient, issuer: &str, limits: &Limits) -> Result<Metadata, Error> {
    let document = fetch(http, issuer, limits).await?;
    let mut metadata = check(document, issuer, limits.allow_http)?;
    if limits.public_only {
        // An issuer that a foreign document names: no host is exempt.
        metadata.public_beyond = Some(String::new());
    }
    Ok(metadata)
}

/// Fetches the document, which is not [checked](check) yet.
pub(crate) async fn fetch(http: &HttpClient, issuer: &str, limits: &Limits) -> Result<Metadata, Error> {
    let [oauth, openid] = locations(issuer)?;
    Ok(match http.get_json(&oauth, limits).await.and_then(|response| parse(response.body())) {
        Err(error) if is_absent(&error) => {
            match http.get_json(&openid, limits).await.and_then(|response| parse(response.body())) {
                Err(error) if is_absent(&error) => return Err(nowhere(&oauth, &openid, &error)),
                other => other?,
            }
        }
        other => other?,
    })
}

/// The two places a document may be: RFC 8414 section 3.1 puts the well-known part between host and path, OpenID
/// Connect Discovery section 4 behind the path.
fn locations(issuer: &str) -> Result<[Url; 2], Error> {
    let bad = |why: &str| Error::config("issuer", format!("{:?} {why}", printable(issuer, 256)));
    let base = Url::parse(issuer)
        .map_err(|_| bad("is not a URL; expected the https URL the server calls itself"))?;
    if base.query().is_some() || base.fragment().is_some() || base.cannot_be_a_base() {
        return Err(bad("has a query, a fragment or no host, which an issuer must not (RFC 8414 section 2)"));
    }
    let path = base.path().trim_end_matches('/').to_owned();
    let mut oauth = base.clone();
    oauth.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    let mut openid = base;
    openid.set_path(&format!("{path}/.well-known/openid-configuration"));
    Ok([oauth, openid])
}

fn parse(body: &[u8]) -> Result<Metadata, Error> {
    // The parser's own message may quote the document; its place is enough to find the fault.
    serde_json::from_slice(body).map_err(|error| {
        Error::malformed(format!(
            "the metadata is not the JSON object it should be (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}

/// Whether this location simply has no document, so that the next one is worth a try. Single-page sites response
/// any path with 200 and HTML, which counts as absent too.
fn is_absent(error: &Error) -> bool {
    error.code() == "malformed_response"
        || error.status().is_some_and(|status| status.is_client_error() && status.as_u16() != 429)
}

fn nowhere(oauth: &Url, openid: &Url, last: &Error) -> Error {
    let status = last
        .status()
        .map_or_else(|| "no JSON object".to_owned(), |status| format!("HTTP {}", status.as_u16()));
    Error::discovery(format!(
        "found none at {oauth} nor at {openid} ({status}); check the issuer, or configure token_endpoint"
    ))
}

/// Whether a document is of the issuer that was asked for, and names https URLs only.
pub(crate) fn check(metadata: Metadata, issuer: &str, allow_http: bool) -> Result<Metadata, Error> {
    if metadata.issuer != issuer {
        return Err(Error::discovery(format!(
            "asked for issuer {issuer:?}, but the document is of issuer {:?}; they must be the same to the letter (RFC 8414 section 3.3)",
            printable(&metadata.issuer, 256)
        )));
    }
    for (name, url) in metadata.urls() {
        // Loopback may speak http, but an https issuer must not hand its clients down to it.
        let http_is_fine =
            allow_http || (issuer.starts_with("http:") && url.host_str().is_some_and(is_loopback));
        if url.scheme() != "https" && !(url.scheme() == "http" && http_is_fine) {
            return Err(Error::discovery(format!("{name} {:?} is not https", printable(url.as_str(), 256))));
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_between_host_and_path_for_oauth_and_behind_it_for_openid() {
        let at = |issuer| locations(issuer).unwrap().map(String::from);
        assert_eq!(
            at("https://example.com/issuer1"),
            [
                "https://example.com/.well-known/oauth-authorization-server/issuer1",
                "https://example.com/issuer1/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            at("https://example.com/")[0],
            "https://example.com/.well-known/oauth-authorization-server"
        );
        assert_eq!(locations("https://example.com/?a=b").unwrap_err().code(), "config");
        assert_eq!(locations("auth.example.com").unwrap_err().code(), "config");
    }

    #[test]
    fn an_https_issuer_may_not_name_a_plain_http_endpoint() {
        let document = |endpoint: &str| {
            parse(format!(r#"{{"issuer":"https://a","token_endpoint":"{endpoint}"}}"#).as_bytes()).unwrap()
        };
        assert!(check(document("https://a/token"), "https://a", false).is_ok());
        for endpoint in
            ["http://a/token", "http://127.0.0.1/token", "file:///etc/passwd", "javascript:alert(1)"]
        {
            let error = check(document(endpoint), "https://a", false).unwrap_err();
            assert_eq!(error.code(), "discovery");
            assert!(error.to_string().contains("token_endpoint"), "{error}");
        }
    }

    #[test]
    fn what_a_server_leaves_empty_counts_as_left_out() {
        let document = r#"{"issuer":"https://a","token_endpoint":"https://a/t","mtls_endpoint_aliases":null,
            "authorization_response_iss_parameter_supported":null,"require_pushed_authorization_requests":null,
            "revocation_endpoint":null}"#;
        let metadata = parse(document.as_bytes()).unwrap();
        assert!(metadata.mtls_endpoint_aliases.is_empty() && !metadata.require_pushed_authorization_requests);
    }

    #[test]
    fn a_document_of_another_issuer_is_refused_and_both_are_named() {
        let document = parse(br#"{"issuer":"https://evil"}"#).unwrap();
        let error = check(document, "https://a", false).unwrap_err();
        assert!(
            error.to_string().contains("https://evil") && error.to_string().contains("https://a"),
            "{error}"
        );
    }
}
