//! From an API that rejected a request to the server whose tokens it accepts.

use http::HeaderMap;
use url::Url;

use super::places::first_usable;
use super::resource::{Lookup, called, of_call};
use super::ssrf::{limits_beyond, may_lead_to};
use super::{Metadata, ProtectedResource, check, locations, parse};
use crate::error::{Error, printable};
use crate::transport::{HttpClient, Limits, is_private};
use crate::www_authenticate::Challenge;

/// The most servers that are tried of those that an API names.
const MAX_SERVERS: usize = 8;

/// The result of [`follow`]: an API, and the server that issues tokens for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The API's metadata.
    pub resource: ProtectedResource,
    /// The server that issues tokens for it.
    pub server: Metadata,
    /// The scopes that the challenge asked for; where it asked for none, the API may name some in
    /// [`scopes_supported`](ProtectedResource::scopes_supported).
    pub scope: Vec<String>,
    /// Whether no document was found, and the endpoints are those that a server without one has.
    pub(crate) by_default: bool,
}

/// Follows an API's challenge to the server whose tokens it accepts (RFC 9728 section 5): by the `resource_metadata` of a
/// `WWW-Authenticate` header, or by the well-known place where there is none, to the API's metadata, and on to that of
/// the first of its authorization servers that is available. An API without a document of its own may be its own
/// authorization server: the server's metadata at the API's origin are used then. It is for clients that know only an
/// API's URL, such as MCP clients; [`mcp`](crate::mcp) does the rest of their work, too. For an issuer with a path, the
/// places of its metadata are tried in the order of that protocol: those of RFC 8414 first, then OpenID Connect's own.
///
/// ```no_run
/// use http::Request;
/// use oauth_client::discover::follow;
/// use oauth_client::grant;
/// use oauth_client::manage::register::{ClientMetadata, Registrar};
/// use oauth_client::transport::{HttpClient, Limits};
///
/// # async fn run(http: HttpClient) -> Result<(), oauth_client::Error> {
/// let url = "https://api.example.com/mcp";
/// # let request = Request::get(url).body(bytes::Bytes::new()).unwrap();
/// let refused = http.send(request, &Limits::metadata()).await?; // 401
/// let found = follow(&http, url, refused.headers(), &Limits::metadata()).await?;
///
/// let wanted = ClientMetadata::new().client_name("Night shift").grant_types(["client_credentials"]);
/// let registration = Registrar::from_metadata(http.clone(), &found.server)?.register(&wanted).await?;
/// let client = found.client().http(http).auth(registration.auth()?).build()?;
/// let request = grant::client_credentials().scope(found.scope).resource([found.resource.resource]);
/// let source = client.source(request).build()?;
/// # Ok(()) }
/// ```
///
/// What foreign documents name is distrusted. The API's document must be about the URL that was called, or about a URL
/// above it, such as the whole host: then the document at the well-known place of that URL has to say the same, and is
/// used. Where it does, the host says that all below is one API, and a token for it is good there: on a host with APIs
/// of several owners, compare [`ProtectedResource::resource`] with `url`. The server's document must be about the issuer
/// that was named; nothing leads from https to http, nor from a public host to an address of this machine or the network
/// around it; no redirect is followed. That holds for names that resolve to such an address as well
/// ([`Limits::public_only`]), and for all requests of a client or registrar that is made from the result. Only the host
/// of `url` itself may be anywhere, unless `limits` has `public_only` set: for URLs that users type in. On a network with
/// public names for private addresses, configure the issuer instead.
///
/// # Errors
/// `config` when `url` is not a URL; `discovery` when nothing is found, or what is found cannot be trusted, with the
/// reason; and the transport's errors.
pub async fn follow(
    http: &HttpClient,
    url: &str,
    headers: &HeaderMap,
    limits: &Limits,
) -> Result<Found, Error> {
    follow_or_default(http, url, headers, limits, false).await
}

/// The same; where nothing is to be found and `default` says so, the endpoints are those at the API's origin that the
/// Model Context Protocol of 2025-03-26 names.
pub(crate) async fn follow_or_default(
    http: &HttpClient,
    url: &str,
    headers: &HeaderMap,
    limits: &Limits,
    default: bool,
) -> Result<Found, Error> {
    let url = called(url)?;
    let challenges = Challenge::from_headers(headers);
    // Any scheme may carry it (RFC 9728 section 5.1).
    let named = challenges.iter().find_map(|challenge| challenge.parameter("resource_metadata"));
    let scope = challenges.iter().find_map(|challenge| challenge.parameter("scope")).unwrap_or_default();
    let scope = scope.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let mut by_default = false;
    let (resource, server) = match of_call(http, &url, named, limits).await? {
        Lookup::Found(resource) => {
            let server = server_of(http, &url, &resource, limits).await?;
            (*resource, server)
        }
        Lookup::Absent(error) => {
            let server = match server_at_origin(http, &url, limits).await? {
                Some(server) => server,
                // A document that is there and makes no sense is another matter.
                None if default && error.code() == "discovery" => {
                    by_default = true;
                    leads_well(Metadata::by_default(&url)?, &url, limits)?
                }
                None => return Err(error),
            };
            (ProtectedResource::implied(&url, &server.issuer), server)
        }
    };
    Ok(Found { resource, server, scope, by_default })
}

/// The first authorization server that is available.
async fn server_of(
    http: &HttpClient,
    from: &Url,
    resource: &ProtectedResource,
    limits: &Limits,
) -> Result<Metadata, Error> {
    let mut last = None;
    for issuer in resource.authorization_servers.iter().take(MAX_SERVERS) {
        match server(http, from, issuer, limits).await {
            Ok(server) => return Ok(server),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        Error::discovery(format!(
            "resource {:?} names no authorization_servers; configure issuer by hand",
            printable(&resource.resource, 256)
        ))
    }))
}

/// The server whose metadata are at the API's own origin. One that calls itself otherwise has to confirm it at its own
/// address.
async fn server_at_origin(http: &HttpClient, url: &Url, limits: &Limits) -> Result<Option<Metadata>, Error> {
    let origin = url.origin().ascii_serialization();
    let found = first_usable(http, &locations(&origin)?, limits, parse, |_| true, "").await;
    let metadata = match found {
        Ok(metadata) => metadata,
        Err(failure) if failure.error.is_transient() => return Err(failure.error),
        Err(_) => return Ok(None),
    };
    let issuer = metadata.issuer.clone();
    if issuer.trim_end_matches('/') != origin {
        return server(http, url, &issuer, limits).await.map(Some);
    }
    leads_well(check(metadata, &issuer, limits.allow_http)?, url, limits).map(Some)
}

async fn server(http: &HttpClient, from: &Url, issuer: &str, limits: &Limits) -> Result<Metadata, Error> {
    let url = Url::parse(issuer).ok().filter(Url::has_host).ok_or_else(|| {
        Error::discovery(format!("authorization server {:?} is not a URL", printable(issuer, 256)))
    })?;
    may_lead_to(from, "authorization server", &url, limits.allow_http)?;
    let beyond = limits_beyond(from, &url, limits);
    let read = |body: &[u8]| check(parse(body)?, issuer, limits.allow_http);
    let hint = "check the issuer, or configure token_endpoint";
    let found = first_usable(http, &ordered(locations(issuer)?), &beyond, read, |_| true, hint).await;
    let mut metadata = found.map_err(|failure| failure.error)?;
    metadata.public_beyond = beyond.public_only.then(String::new);
    leads_well(metadata, from, limits)
}

/// The places in the order of the Model Context Protocol: OpenID's document where RFC 8414 section 5 puts it comes
/// before the one behind the path.
fn ordered(mut places: Vec<Url>) -> Vec<Url> {
    if let [_, behind, between] = places.as_mut_slice() {
        std::mem::swap(behind, between);
    }
    places
}

fn leads_well(mut metadata: Metadata, from: &Url, limits: &Limits) -> Result<Metadata, Error> {
    for (name, url) in metadata.urls() {
        may_lead_to(from, name, url, limits.allow_http)?;
    }
    if !limits.public_only {
        metadata.public_beyond = from.host_str().filter(|_| !is_private(from)).map(str::to_owned);
    }
    Ok(metadata)
}
