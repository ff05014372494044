//! The reqwest clients of the bundled transport: one for most requests, one for hosts that a foreign document names, and
//! one for this very machine. Each has connections of its own, so that none is used under the rule of another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::Uri;
use reqwest::dns::{Name, Resolve, Resolving};
use url::Url;

use super::private::{is_private_address, refused};
use super::reqwest_builder::{CONNECT_TIMEOUT, PooledClient, build};
use super::{PublicOnly, is_loopback};
use crate::error::{BoxError, Error, Problem};

/// Certificates, as they are given to each of the clients.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// Instead of the platform's.
    pub(super) authorities: Option<Vec<reqwest::Certificate>>,
    pub(super) identity: Option<reqwest::Identity>,
}

impl Certificates {
    /// No authority is trusted: for plain http alone.
    pub(super) fn none() -> Self {
        Self { authorities: Some(Vec::new()), identity: None }
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.iter().cloned());
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        builder
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Clients(Arc<Inner>);

struct Inner {
    most: PooledClient,
    /// What the others are built with. `None` where `most` was built by the user's own builder, which cannot be repeated.
    certificates: Option<Certificates>,
    names: Arc<dyn Names>,
    public: OnceLock<PooledClient>,
    loopback: OnceLock<PooledClient>,
}

impl Clients {
    pub(super) fn new(certificates: Certificates) -> Result<Self, String> {
        let most = build(certificates.builder())?;
        Ok(Self::of(most, Some(certificates), Arc::new(System)))
    }

    pub(super) fn own(builder: reqwest::ClientBuilder) -> Result<Self, String> {
        Ok(Self::of(build(builder)?, None, Arc::new(System)))
    }

    fn of(most: PooledClient, certificates: Option<Certificates>, names: Arc<dyn Names>) -> Self {
        let (public, loopback) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { most, certificates, names, public, loopback }))
    }

    /// The client for a request.
    pub(super) async fn client(&self, request: &http::request::Parts) -> Result<&PooledClient, BoxError> {
        let Inner { most, certificates, names, public, loopback } = &*self.0;
        let host = request.uri.host().unwrap_or_default();
        match certificates {
            _ if request.extensions.get::<PublicOnly>().is_none() => {
                // A proxy would read a secret that is meant for this machine; what is encrypted it can only mislead.
                let direct =
                    is_loopback(host) && (certificates.is_some() || request.uri.scheme_str() == Some("http"));
                if direct {
                    // Of a builder of one's own only plain http comes here.
                    let certificates = certificates.clone().unwrap_or_else(Certificates::none);
                    let builder = certificates.builder().no_proxy();
                    return built(loopback, || build(builder.dns_resolver(Loopback)));
                }
                Ok(most)
            }
            Some(certificates) => {
                let proxies = proxies(|name| std::env::var(name).ok());
                if proxies.iter().any(|proxy| is_same_name(proxy, host)) {
                    return Err(refused(host, "is the proxy's,").into());
                }
                let resolver = Public { names: Arc::clone(names), proxies };
                built(public, || build(certificates.builder().dns_resolver(resolver)))
            }
            // The resolver of the user's builder is out of reach: the names are resolved once before.
            None => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                // Which of the addresses it will take is not known either.
                if let Ok(addresses) = names.addresses(host.to_owned()).await
                    && addresses.into_iter().any(is_private_address)
                {
                    return Err(refused(host, "resolves to").into());
                }
                Ok(most)
            }
        }
    }
}

fn built(
    cell: &OnceLock<PooledClient>,
    build: impl FnOnce() -> Result<PooledClient, String>,
) -> Result<&PooledClient, BoxError> {
    if let Some(client) = cell.get() {
        return Ok(client);
    }
    let client = build().map_err(unusable)?;
    Ok(cell.get_or_init(|| client))
}

/// The error for settings that no client can be built from.
pub(super) fn unusable(cause: String) -> Error {
    // As in a container of the program alone.
    let message = match cause.contains("CA certificates") || cause.contains("root certificates") {
        true => "this machine has no certificate authorities to trust; install them (the package ca-certificates), or name a file of them in tls.ca".to_owned(),
        false => format!("the HTTP client cannot be built ({cause}); check the TLS settings"),
    };
    Error::from(Problem { field: "http".to_owned(), message })
}

type Addresses = std::pin::Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, BoxError>> + Send>>;

/// Where names are looked up.
trait Names: Send + Sync {
    fn addresses(&self, name: String) -> Addresses;
}

/// The resolver of the operating system.
struct System;

impl Names for System {
    fn addresses(&self, name: String) -> Addresses {
        Box::pin(async move {
            Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
        })
    }
}

/// Resolves names to public addresses only. The connection goes to what was checked: a second look-up could differ.
struct Public {
    names: Arc<dyn Names>,
    /// The hosts of the proxies, which are the operator's own choice and may be anywhere.
    proxies: Vec<String>,
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let is_proxy = self.proxies.iter().any(|proxy| is_same_name(proxy, &name));
        let addresses = self.names.addresses(name.clone());
        Box::pin(async move {
            let addresses = addresses.await?;
            let addresses = if is_proxy { addresses } else { only_public(&name, addresses)? };
            Ok(sockets(addresses))
        })
    }
}

fn only_public(name: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Error> {
    let was_empty = addresses.is_empty();
    let public: Vec<_> = addresses.into_iter().filter(|address| !is_private_address(*address)).collect();
    if public.is_empty() && !was_empty { Err(refused(name, "resolves to")) } else { Ok(public) }
}

/// Names of this machine are this machine, whatever a resolver says (RFC 6761 section 6.3).
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Box::pin(std::future::ready(Ok(sockets(addresses))))
    }
}

/// With port 0, which stands for that of the URL.
fn sockets(addresses: Vec<IpAddr>) -> reqwest::dns::Addrs {
    Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)))
}

/// The hosts of the proxies that reqwest takes from the environment.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let values = names.iter().filter_map(|name| variable(name));
    let host = |value: String| {
        let value = if value.contains("://") { value } else { format!("http://{value}") };
        let uri: Uri = value.trim().parse().ok()?;
        let url = Url::parse(&uri.to_string()).ok()?;
        url.host_str().map(str::to_owned)
    };
    values.filter_map(host).collect()
}

fn is_same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
