//! An API's description of itself: protected resource metadata (RFC 9728).

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::lenient::fitting;
use super::ssrf::{limits_beyond, may_lead_to};
use crate::error::{Error, printable};
use crate::json;
use crate::transport::{HttpClient, Limits};

/// An API's description of itself (RFC 9728 section 2). What is not named here is kept in [`extra`](Self::extra).
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ProtectedResource {
    /// The API's identifier: what to ask tokens for ([`resource`](crate::grant::TokenRequest::resource), RFC 8707).
    pub resource: String,
    /// The issuers whose tokens it accepts.
    #[serde(default, deserialize_with = "fitting")]
    pub authorization_servers: Vec<String>,
    /// The scopes that it chooses to name.
    #[serde(default, deserialize_with = "fitting")]
    pub scopes_supported: Option<Vec<String>>,
    /// How tokens may be sent: `header`, `body`, `query`. This client sends them in the header.
    #[serde(default, deserialize_with = "fitting")]
    pub bearer_methods_supported: Option<Vec<String>>,
    /// Where the API's own public keys are.
    #[serde(default, deserialize_with = "fitting")]
    pub jwks_uri: Option<Url>,
    /// Its display name.
    #[serde(default, deserialize_with = "fitting")]
    pub resource_name: Option<String>,
    /// A page for developers.
    #[serde(default, deserialize_with = "fitting")]
    pub resource_documentation: Option<String>,
    /// A page about what clients may do with its data.
    #[serde(default, deserialize_with = "fitting")]
    pub resource_policy_uri: Option<String>,
    /// Its terms of service.
    #[serde(default, deserialize_with = "fitting")]
    pub resource_tos_uri: Option<String>,
    /// Whether its tokens are bound to the client's certificate (RFC 8705).
    #[serde(default, deserialize_with = "fitting")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// The types of authorization details it knows (RFC 9396).
    #[serde(default, deserialize_with = "fitting")]
    pub authorization_details_types_supported: Option<Vec<String>>,
    /// The algorithms of DPoP proofs that it accepts (RFC 9449).
    #[serde(default, deserialize_with = "fitting")]
    pub dpop_signing_alg_values_supported: Option<Vec<String>>,
    /// Whether it accepts only tokens with DPoP.
    #[serde(default, deserialize_with = "fitting")]
    pub dpop_bound_access_tokens_required: bool,
    /// All other members; `signed_metadata` among them, which is not validated.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Fetches the metadata of the API with this identifier, from the place that follows from the identifier
/// (RFC 9728 section 3.1).
///
/// ```
/// # use bytes::Bytes;
/// use oauth_client::discover::resource;
/// use oauth_client::transport::{HttpClient, Limits};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
/// # let http = HttpClient::from_service(tower::service_fn(|_: http::Request<oauth_client::transport::RequestBody>| async {
/// #     let document = r#"{"resource":"https://api.example.com/mcp","authorization_servers":["https://auth.example.com"]}"#;
/// #     Ok::<_, std::io::Error>(http::Response::new(http_body_util::Full::new(Bytes::from(document))))
/// # }));
/// // from https://api.example.com/.well-known/oauth-protected-resource/mcp
/// let api = resource(&http, "https://api.example.com/mcp", &Limits::metadata()).await?;
/// assert_eq!(api.authorization_servers, ["https://auth.example.com"]);
///
/// // A document about another API is refused (section 3.3).
/// let error = resource(&http, "https://api.example.com/other", &Limits::metadata()).await.unwrap_err();
/// assert_eq!(error.code(), "discovery");
/// # Ok(()) }
/// ```
///
/// # Errors
/// `config` when the identifier is not a usable URL, `discovery` when no document is there or it is about another API;
/// and the transport's errors.
pub async fn resource(
    http: &HttpClient,
    identifier: &str,
    limits: &Limits,
) -> Result<ProtectedResource, Error> {
    let place = well_known(&called(identifier)?);
    let found = fetch(http, &place, limits).await?.ok_or_else(|| nothing_at(&place))?;
    if found.resource == identifier {
        return Ok(found);
    }
    Err(Error::discovery(format!(
        "asked for resource {identifier:?}, but the document is of {:?}; they must be the same to the letter (RFC 9728 section 3.3)",
        printable(&found.resource, 256)
    )))
}

/// What an API that was called has to say of itself.
pub(super) enum Lookup {
    Found(Box<ProtectedResource>),
    /// It names no document, and none of the places that follow from its URL has one.
    Absent(Error),
}

impl ProtectedResource {
    /// What is known of an API without a document of its own, at whose origin this issuer is described.
    pub(super) fn implied(url: &Url, issuer: &str) -> Self {
        let mut resource = url.clone();
        resource.set_query(None);
        Self {
            resource: resource.into(),
            authorization_servers: vec![issuer.to_owned()],
            scopes_supported: None,
            bearer_methods_supported: None,
            jwks_uri: None,
            resource_name: None,
            resource_documentation: None,
            resource_policy_uri: None,
            resource_tos_uri: None,
            tls_client_certificate_bound_access_tokens: false,
            authorization_details_types_supported: None,
            dpop_signing_alg_values_supported: None,
            dpop_bound_access_tokens_required: false,
            extra: Map::new(),
        }
    }
}

/// The metadata of the API that was called at `url`: at the place it named in its challenge, else at those that
/// follow from the URL, its path first and then the whole host.
pub(super) async fn of_call(
    http: &HttpClient,
    url: &Url,
    named: Option<&str>,
    limits: &Limits,
) -> Result<Lookup, Error> {
    let (place, found) = match named {
        Some(named) => {
            let place = Url::parse(named).ok().filter(Url::has_host).ok_or_else(|| {
                Error::discovery(format!("resource_metadata {:?} is not a URL", printable(named, 256)))
            })?;
            may_lead_to(url, "resource_metadata", &place, limits.allow_http)?;
            let found = fetch(http, &place, &limits_beyond(url, &place, limits)).await?;
            let found = found.ok_or_else(|| nothing_at(&place))?;
            (place, found)
        }
        None => {
            let mut places = vec![well_known(url), well_known(&root(url))];
            places.dedup();
            let (mut found, mut failure) = (None, None);
            for place in &places {
                // Whatever one place fails with, the other may have the document.
                match fetch(http, place, limits).await {
                    Ok(Some(document)) => {
                        found = Some((place.clone(), document));
                        break;
                    }
                    Ok(None) => {}
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            match (found, failure) {
                (Some(found), _) => found,
                (None, Some(error)) if error.is_transient() => return Err(error),
                (None, failure) => {
                    let nothing = || nothing_at(places.first().unwrap_or(url));
                    return Ok(Lookup::Absent(failure.unwrap_or_else(nothing)));
                }
            }
        }
    };
    let Some(resource) = Url::parse(&found.resource).ok().filter(|resource| covers(resource, url)) else {
        return Err(Error::discovery(format!(
            "the document is of resource {:?}, which is not what was called at {:?} (RFC 9728 section 3.3)",
            printable(&found.resource, 256),
            printable(url.as_str(), 256)
        )));
    };
    let own = well_known(&resource);
    if own == place || is_same(&resource, url) {
        return Ok(Lookup::Found(Box::new(found)));
    }
    // One host may serve several APIs, and the one that was called speaks for itself: a token for all that is above it
    // would be good at the others, too. What is above it is described at its own place, by those who have the host.
    match fetch(http, &own, limits).await {
        Ok(Some(own)) if Url::parse(&own.resource).is_ok_and(|own| is_same(&own, &resource)) => {
            Ok(Lookup::Found(Box::new(own)))
        }
        Err(error) if error.is_transient() => Err(error),
        _ => Err(Error::discovery(format!(
            "the document at {:?} is of resource {:?}, which is above what was called at {:?} and does not say so itself at {:?} (RFC 9728 section 3.3); the API has to name its own URL, or its host to serve that document",
            printable(place.as_str(), 256),
            printable(&found.resource, 256),
            printable(url.as_str(), 256),
            printable(own.as_str(), 256)
        ))),
    }
}

/// A URL as an API's identifier.
pub(crate) fn called(url: &str) -> Result<Url, Error> {
    let parsed = Url::parse(url).ok().filter(|url| url.has_host() && url.fragment().is_none());
    parsed.filter(|url| matches!(url.scheme(), "https" | "http")).ok_or_else(|| {
        let message = format!(
            "{:?} is not an API's URL; expected something like https://api.example.com",
            printable(url, 256)
        );
        Error::config("resource", message)
    })
}

/// RFC 9728 section 3.1: between host and path, and a slash at the very end goes.
fn well_known(resource: &Url) -> Url {
    let mut url = resource.clone();
    url.set_path(&format!("/.well-known/oauth-protected-resource{}", resource.path().trim_end_matches('/')));
    url
}

fn root(url: &Url) -> Url {
    let mut root = url.clone();
    root.set_path("/");
    root.set_query(None);
    root
}

/// Whether the API with this identifier may be the one that was called: the same URL, or one that the call was below.
/// An API has many URLs and describes itself once (RFC 9728 section 3.3 speaks of the very URL, which few can keep to).
fn covers(resource: &Url, called: &Url) -> bool {
    let anonymous = |url: &Url| url.username().is_empty() && url.password().is_none();
    if resource.origin() != called.origin() || resource.fragment().is_some() || !anonymous(resource) {
        return false;
    }
    if resource.query().is_some() {
        return resource.path() == called.path() && resource.query() == called.query();
    }
    let rest = called.path().strip_prefix(resource.path().trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the API with this identifier is that very URL. A slash at the end makes no other API.
pub(crate) fn is_same(resource: &Url, called: &Url) -> bool {
    covers(resource, called) && resource.path().trim_end_matches('/') == called.path().trim_end_matches('/')
}

/// The document, or `None` when there is none.
async fn fetch(http: &HttpClient, place: &Url, limits: &Limits) -> Result<Option<ProtectedResource>, Error> {
    let response = match http.get_json(place, limits).await {
        Err(error)
            if error.status().is_some_and(|status| matches!(status.as_u16(), 400..=428 | 430..=499)) =>
        {
            return Ok(None);
        }
        other => other?,
    };
    let object = json::object(response.body())
        .map_err(|reason| Error::malformed(format!("the API's metadata: {reason}")))?;
    serde_json::from_value(Value::Object(object)).map(Some).map_err(|_| {
        Error::malformed(
            "the API's metadata: resource is missing, or a member is of another type than RFC 9728 says",
        )
    })
}

fn nothing_at(place: &Url) -> Error {
    Error::discovery(format!(
        "found none of the API at {:?}; configure issuer and resource by hand",
        printable(place.as_str(), 256)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_between_host_and_path() {
        for (resource, expected) in [
            ("https://a.example", "https://a.example/.well-known/oauth-protected-resource"),
            ("https://a.example/", "https://a.example/.well-known/oauth-protected-resource"),
            ("https://a.example/b/c", "https://a.example/.well-known/oauth-protected-resource/b/c"),
            ("https://a.example/b/", "https://a.example/.well-known/oauth-protected-resource/b"),
            ("https://a.example/b?q=1", "https://a.example/.well-known/oauth-protected-resource/b?q=1"),
        ] {
            assert_eq!(well_known(&called(resource).unwrap()).as_str(), expected);
        }
        for bad in ["a.example", "ftp://a.example", "https://a.example/#b", "mailto:a@b"] {
            assert_eq!(called(bad).unwrap_err().code(), "config", "{bad}");
        }
    }

    #[test]
    fn an_api_covers_what_is_below_it_and_nothing_beside_it() {
        let covers =
            |resource: &str, url: &str| covers(&Url::parse(resource).unwrap(), &Url::parse(url).unwrap());
        for (resource, url) in [
            ("https://a.example", "https://a.example/b/c?q"),
            ("https://a.example/b", "https://a.example/b"),
            ("https://a.example/b/", "https://a.example/b/c"),
            ("https://A.example:443/b", "https://a.example/b/c"),
            ("https://a.example/b?q=1", "https://a.example/b?q=1"),
        ] {
            assert!(covers(resource, url), "{resource} {url}");
        }
        let same =
            |resource: &str, url: &str| is_same(&Url::parse(resource).unwrap(), &Url::parse(url).unwrap());
        assert!(
            same("https://a.example/b/", "https://a.example/b?q")
                && same("https://a.example", "https://a.example/")
        );
        assert!(
            !same("https://a.example", "https://a.example/b")
                && !same("https://a.example/b", "https://a.example/b/c")
        );
        for (resource, url) in [
            ("https://evil.example", "https://a.example/b"),
            ("http://a.example", "https://a.example/b"),
            ("https://a.example:8443", "https://a.example/b"),
            ("https://a.example/b", "https://a.example/bc"),
            ("https://a.example/b/c", "https://a.example/b"),
            ("https://a.example/b/../b/c", "https://a.example/b"),
            ("https://a.example/b?q=1", "https://a.example/b"),
            ("https://a.example/#b", "https://a.example/"),
            ("https://me@a.example/", "https://a.example/"),
        ] {
            assert!(!covers(resource, url), "{resource} {url}");
        }
    }
}
