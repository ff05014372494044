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
mod lenient;
mod member;
mod places;
mod resource;
mod ssrf;

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use self::lenient::{fitting, fitting_entries};
pub(crate) use self::places::Failed;
use self::places::first_usable;

pub(crate) use self::follow::follow_or_default;
pub use self::follow::{Found, follow};
pub use self::member::discover_url;
pub use self::resource::{ProtectedResource, resource};
pub(crate) use self::resource::{called, is_same};
pub(crate) use self::ssrf::{limits_beyond, may_lead_to};
use crate::error::{Error, printable};
use crate::jose::{TENANT, is_tenant};
use crate::json;
use crate::transport::{HttpClient, Limits, is_loopback, is_private};
pub use crate::www_authenticate::Challenge;

/// An authorization server's metadata (RFC 8414 section 2). What is not named here is kept in [`extra`](Self::extra).
///
/// A member that does not fit (an empty string or a relative reference for a URL, a string for a list) counts as
/// absent. That is safe: a caller that needs it fails, and nothing else is lost.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Metadata {
    /// The server's identifier, compared with the one that was asked for.
    pub issuer: String,
    /// Where tokens are requested.
    #[serde(default, deserialize_with = "fitting")]
    pub token_endpoint: Option<Url>,
    /// Where the server's public keys are.
    #[serde(default, deserialize_with = "fitting")]
    pub jwks_uri: Option<Url>,
    /// Where a browser is sent to authorize.
    #[serde(default, deserialize_with = "fitting")]
    pub authorization_endpoint: Option<Url>,
    /// Where tokens are revoked (RFC 7009).
    #[serde(default, deserialize_with = "fitting")]
    pub revocation_endpoint: Option<Url>,
    /// Where opaque tokens are looked up (RFC 7662).
    #[serde(default, deserialize_with = "fitting")]
    pub introspection_endpoint: Option<Url>,
    /// Where claims about the user are fetched (OpenID Connect).
    #[serde(default, deserialize_with = "fitting")]
    pub userinfo_endpoint: Option<Url>,
    /// Where a person is asked on a device of their own (OpenID CIBA 1.0 section 4).
    #[serde(default, deserialize_with = "fitting")]
    pub backchannel_authentication_endpoint: Option<Url>,
    /// Where devices without a browser begin (RFC 8628).
    #[serde(default, deserialize_with = "fitting")]
    pub device_authorization_endpoint: Option<Url>,
    /// Where authorization requests are pushed (RFC 9126).
    #[serde(default, deserialize_with = "fitting")]
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Where clients register (RFC 7591).
    #[serde(default, deserialize_with = "fitting")]
    pub registration_endpoint: Option<Url>,
    /// Where a browser is sent to log out (OpenID Connect RP-Initiated Logout).
    #[serde(default, deserialize_with = "fitting")]
    pub end_session_endpoint: Option<Url>,
    /// The same endpoints, for clients that show a certificate (RFC 8705 section 5), by their names in this document.
    #[serde(default, deserialize_with = "fitting_entries")]
    pub mtls_endpoint_aliases: BTreeMap<String, Url>,
    /// Whether authorization responses name their issuer (RFC 9207).
    #[serde(default, deserialize_with = "fitting")]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether authorization requests must be pushed (RFC 9126 section 5).
    #[serde(default, deserialize_with = "fitting")]
    pub require_pushed_authorization_requests: bool,
    /// How clients may authenticate at the token endpoint. When absent, `client_secret_basic` is meant.
    #[serde(default, deserialize_with = "fitting")]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// The grants the server knows. When absent, `authorization_code` and `implicit` are meant.
    #[serde(default, deserialize_with = "fitting")]
    pub grant_types_supported: Option<Vec<String>>,
    /// The scopes that the server chooses to name.
    #[serde(default, deserialize_with = "fitting")]
    pub scopes_supported: Option<Vec<String>>,
    /// The host whose document led here, where one did: beyond it, this document's URLs may lead to public addresses
    /// only.
    #[serde(skip)]
    pub(crate) public_beyond: Option<String>,
    /// All other members.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Metadata {
    /// What is assumed of a server at this URL's origin that describes itself nowhere.
    fn by_default(url: &Url) -> Result<Self, Error> {
        let origin = url.origin().ascii_serialization();
        let document = serde_json::json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "registration_endpoint": format!("{origin}/register"),
            // A client that no document describes to the server is one without a secret as a rule.
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        });
        serde_json::from_value(document).map_err(|_| Error::config("resource", "has no usable origin"))
    }

    /// The URL of an endpoint, where the document names one.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint) -> Option<&Url> {
        let url = match endpoint {
            Endpoint::Authorization => &self.authorization_endpoint,
            Endpoint::BackchannelAuthentication => &self.backchannel_authentication_endpoint,
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

    /// The issuer that tokens name, where the client is configured with this one: with a hole for the tenant, where
    /// Microsoft Entra's document for users of any tenant says so. Of a single tenant's issuer, no other tokens are good.
    pub(crate) fn issuer_of_tokens<'a>(&'a self, configured: &'a str) -> &'a str {
        const OF_MANY: [&str; 3] = ["common", "consumers", "organizations"];
        let is_of_many = OF_MANY.iter().any(|name| self.issuer.replacen(TENANT, name, 1) == configured);
        if is_of_many && self.issuer.contains(TENANT) { &self.issuer } else { configured }
    }

    /// Whether the document has this member, and as what it should be.
    fn names(&self, member: &str) -> bool {
        match member {
            "jwks_uri" => self.jwks_uri.is_some(),
            _ => match Endpoint::ALL.iter().find(|endpoint| endpoint.name() == member) {
                Some(endpoint) => self.endpoint(*endpoint).is_some(),
                None => self.extra.get(member).is_some_and(|value| !value.is_null()),
            },
        }
    }

    /// All URLs that requests may go to, by what names them.
    fn urls(&self) -> impl Iterator<Item = (&str, &Url)> {
        let named = Endpoint::ALL.iter().filter_map(|one| Some((one.name(), self.endpoint(*one)?)));
        let keys = self.jwks_uri.iter().map(|url| ("jwks_uri", url));
        named.chain(keys).chain(self.mtls_endpoint_aliases.iter().map(|(name, url)| (name.as_str(), url)))
    }

    /// Drops the URLs that are not to be used, but for those that tokens come from and are checked by: a document
    /// with a wrong one of those is not to be trusted.
    fn drop_minor_urls(&mut self, unusable: impl Fn(&Url) -> bool) {
        self.mtls_endpoint_aliases.retain(|name, url| name == Endpoint::Token.name() || !unusable(url));
        for minor in [
            &mut self.revocation_endpoint,
            &mut self.introspection_endpoint,
            &mut self.userinfo_endpoint,
            &mut self.backchannel_authentication_endpoint,
            &mut self.device_authorization_endpoint,
            &mut self.pushed_authorization_request_endpoint,
            &mut self.registration_endpoint,
            &mut self.end_session_endpoint,
        ] {
            minor.take_if(|url| unusable(url));
        }
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

    /// Whether the server says that it knows this method of PKCE. One that does not list any knows none (RFC 8414
    /// section 2).
    pub(crate) fn takes_code_challenge(&self, method: &str) -> bool {
        let listed = self.list("code_challenge_methods_supported");
        listed.is_some_and(|listed| listed.iter().any(|known| known == method))
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
    /// Where a person is asked on a device of their own (OpenID CIBA 1.0 section 7).
    BackchannelAuthentication,
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
    pub(crate) const ALL: [Self; 10] = [
        Self::Authorization,
        Self::BackchannelAuthentication,
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
            Self::BackchannelAuthentication => "backchannel_authentication_endpoint",
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

/// Fetches the metadata of `issuer` from the first of its well-known places that serves it: that of RFC 8414 section 3.1,
/// that of OpenID Connect Discovery section 4, and the latter's document where RFC 8414 section 5 puts it. Any
/// failure of a place leads to the next: an error status, a redirect (which is not followed), HTML, a document of
/// another issuer. `limits.timeout` is for all of them together.
///
/// The document may have the hole `{tenantid}` in its issuer where `issuer` has a name, as Microsoft Entra's document for
/// `common` does. That is safe: it comes from the address that follows from `issuer` all the same.
///
/// With [`Limits::public_only`], for an issuer that a foreign document names, clients that are built from the metadata
/// send no request to a private address either.
///
/// # Errors
/// `config` when the issuer is not a usable URL; `discovery` when no document is there, when it names another issuer,
/// or when its endpoints are not https under an https issuer; and the transport's errors, but only where no place
/// served anything.
pub async fn discover(http: &HttpClient, issuer: &str, limits: &Limits) -> Result<Metadata, Error> {
    discover_with(http, issuer, &[], limits).await
}

/// The same, for a caller that needs these members of the document. A document that lacks any of them is skipped if
/// another place has a better one. Where none has, the first document is returned.
///
/// ```
/// # use bytes::Bytes;
/// use oauth_client::discover::discover_with;
/// # use oauth_client::transport::{HttpClient, Limits};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
/// # let http = HttpClient::from_service(tower::service_fn(|request: http::Request<oauth_client::transport::RequestBody>| async move {
/// #     let mut document = r#"{"issuer":"https://a.example"}"#;
/// #     if request.uri().path().ends_with("openid-configuration") {
/// #         document = r#"{"issuer":"https://a.example","jwks_uri":"https://a.example/keys"}"#;
/// #     }
/// #     Ok::<_, std::io::Error>(http::Response::new(http_body_util::Full::new(Bytes::from(document))))
/// # }));
/// // Only the OpenID Connect document of this server has its keys.
/// let metadata = discover_with(&http, "https://a.example", &["jwks_uri"], &Limits::metadata()).await?;
/// assert!(metadata.jwks_uri.is_some());
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`discover`].
pub async fn discover_with(
    http: &HttpClient,
    issuer: &str,
    needed: &[&str],
    limits: &Limits,
) -> Result<Metadata, Error> {
    let mut metadata = try_discover(http, issuer, needed, limits).await.map_err(|failure| failure.error)?;
    if limits.public_only {
        // An issuer that a foreign document names: no host is exempt.
        metadata.public_beyond = Some(String::new());
    }
    Ok(metadata)
}

/// The same, with whether a failure is that of a document that was there.
pub(crate) async fn try_discover(
    http: &HttpClient,
    issuer: &str,
    needed: &[&str],
    limits: &Limits,
) -> Result<Metadata, Failed> {
    let places = locations(issuer).map_err(|error| Failed { error, served: true, outage: None })?;
    let suits = |metadata: &Metadata| needed.iter().all(|name| metadata.names(name));
    let read = |body: &[u8]| check(parse(body)?, issuer, limits.allow_http);
    first_usable(http, &places, limits, read, suits, "check the issuer, or configure token_endpoint").await
}

/// The places where a document may be: RFC 8414 section 3.1 puts the well-known part between host and path, OpenID
/// Connect Discovery section 4 behind the path, and RFC 8414 section 5 knows the latter's name in the former's place.
fn locations(issuer: &str) -> Result<Vec<Url>, Error> {
    let bad = |why: &str| Error::config("issuer", format!("{:?} {why}", printable(issuer, 256)));
    let base = Url::parse(issuer)
        .map_err(|_| bad("is not a URL; expected the https URL the server calls itself"))?;
    if base.query().is_some() || base.fragment().is_some() || base.cannot_be_a_base() {
        return Err(bad("has a query, a fragment or no host, which an issuer must not (RFC 8414 section 2)"));
    }
    let path = base.path().trim_end_matches('/').to_owned();
    let mut places: Vec<Url> = [
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/openid-configuration{path}"),
    ]
    .iter()
    .map(|path| {
        let mut place = base.clone();
        place.set_path(path);
        place
    })
    .collect();
    // Without a path the last two are one.
    places.dedup();
    Ok(places)
}

fn parse(body: &[u8]) -> Result<Metadata, Error> {
    // The parser's own message may quote the document; its place is enough to find the fault.
    let object = json::object(body).map_err(|reason| Error::malformed(format!("the metadata: {reason}")))?;
    serde_json::from_value(serde_json::Value::Object(object)).map_err(|_| {
        Error::malformed("the metadata names no issuer, which has to be a string (RFC 8414 section 2)")
    })
}

/// Whether `template`, an issuer with a hole for the tenant, is this one once the hole is filled.
pub(crate) fn fills(template: &str, issuer: &str) -> bool {
    template.split_once(TENANT).is_some_and(|(before, after)| {
        let tenant = issuer.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        tenant.is_some_and(is_tenant)
    })
}

fn check(mut metadata: Metadata, issuer: &str, allow_http: bool) -> Result<Metadata, Error> {
    if metadata.issuer != issuer && !fills(&metadata.issuer, issuer) {
        return Err(other_issuer(issuer, &metadata.issuer));
    }
    metadata.drop_minor_urls(|url| check_url("", url, issuer, allow_http).is_err());
    for (name, url) in metadata.urls() {
        check_url(name, url, issuer, allow_http)?;
    }
    Ok(metadata)
}

fn other_issuer(asked: &str, named: &str) -> Error {
    Error::discovery(format!(
        "asked for issuer {asked:?}, but the document is of issuer {:?}; they must be the same to the letter (RFC 8414 section 3.3)",
        printable(named, 256)
    ))
}

fn check_url(name: &str, url: &Url, issuer: &str, allow_http: bool) -> Result<(), Error> {
    // Loopback may speak http, but an https issuer must not hand its clients down to it.
    let http_is_fine = allow_http || (issuer.starts_with("http:") && url.host_str().is_some_and(is_loopback));
    if url.scheme() != "https" && !(url.scheme() == "http" && http_is_fine) {
        return Err(Error::discovery(format!("{name} {:?} is not https", printable(url.as_str(), 256))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_between_host_and_path_for_oauth_and_behind_it_for_openid() {
        let at = |issuer| locations(issuer).unwrap().into_iter().map(String::from).collect::<Vec<_>>();
        assert_eq!(
            at("https://example.com/issuer1"),
            [
                "https://example.com/.well-known/oauth-authorization-server/issuer1",
                "https://example.com/issuer1/.well-known/openid-configuration",
                "https://example.com/.well-known/openid-configuration/issuer1"
            ]
        );
        assert_eq!(
            at("https://example.com/"),
            [
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration"
            ]
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
