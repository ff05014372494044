//! This API's protected resource metadata (RFC 9728): where clients get tokens for it.

use std::collections::BTreeSet;

use http::uri::PathAndQuery;
use serde::Serialize;
use url::Url;

use crate::address::{HAS_USER_FOR_ALL, has_user};

/// The well-known part of the document's path, in front of the resource's own path (RFC 9728 section 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The RFC 9728 document of a guarded API: serialize it and serve it at [`path`](Self::path), without a guard in
/// front of it.
///
/// ```
/// use oauth_guard::{Guard, Issuer};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .resource("https://api.example.com/orders")
///     .build()?;
/// let metadata = guard.resource_metadata().unwrap();
/// assert_eq!(metadata.path(), "/.well-known/oauth-protected-resource/orders");
/// assert_eq!(
///     serde_json::to_string(&metadata).unwrap(),
///     r#"{"resource":"https://api.example.com/orders","authorization_servers":["https://auth.example.com"],"bearer_methods_supported":["header"]}"#
/// );
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ResourceMetadata {
    /// The resource's identifier, exactly as configured.
    pub resource: String,
    /// The issuers whose tokens are accepted, except those with `{tenantid}` in their name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_servers: Vec<String>,
    /// The scopes that a route requires, in alphabetical order: from the guard's [rules](crate::Rule), and from the layers
    /// made so far by [`GuardLayer::require`](crate::GuardLayer::require). The requirements of extractors are not known
    /// here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// How a token may be sent (RFC 6750 section 2): in the `Authorization` header, and in the query if
    /// [`danger_accept_query_parameter`](crate::GuardBuilder::danger_accept_query_parameter) is set.
    pub bearer_methods_supported: Vec<String>,
    /// The algorithms that DPoP proofs may be signed with. Empty without [`Dpop`](crate::Dpop).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// Whether tokens must be bound to a DPoP key.
    #[serde(skip_serializing_if = "is_false")]
    pub dpop_bound_access_tokens_required: bool,
    /// Whether tokens may be bound to a client certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_client_certificate_bound_access_tokens: bool,
    #[serde(skip)]
    url: Url,
    /// The path with the slash that ends the resource, where there is one.
    #[serde(skip)]
    path_with_slash: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl ResourceMetadata {
    /// The document of this resource. The error is for the author of the configuration.
    pub(crate) fn new(
        resource: &str,
        mut issuers: Vec<String>,
        scopes: Vec<String>,
    ) -> Result<Self, &'static str> {
        let mut url = Url::parse(resource)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "https" | "http"))
            .ok_or("expected this API's own absolute URL, such as https://api.example.com")?;
        if has_user(resource) {
            return Err(HAS_USER_FOR_ALL);
        }
        if url.fragment().is_some() {
            return Err(
                "a resource identifier has no fragment (RFC 9728 section 1.2); remove what follows the #",
            );
        }
        if url.path().contains("/:") || url.path().contains("/*") {
            return Err(
                "a segment of its path begins with `:` or `*`, which routers take for a placeholder; write %3A or %2A",
            );
        }
        // Between host and path, without a trailing slash: the document of `https://a/b` is at
        // `https://a/.well-known/oauth-protected-resource/b`. A query stays at the end.
        let path = format!("{WELL_KNOWN}{}", url.path().trim_end_matches('/'));
        // RFC 9728 section 3.1 removes no slash but the one that ends the host. Clients do both.
        let path_with_slash = format!("{WELL_KNOWN}{}", url.path());
        let path_with_slash =
            Some(path_with_slash).filter(|_| url.path().ends_with('/') && url.path() != "/");
        url.set_path(&path);
        issuers.sort_unstable();
        Ok(Self {
            resource: resource.to_owned(),
            authorization_servers: issuers,
            scopes_supported: scopes,
            bearer_methods_supported: vec!["header".to_owned()],
            dpop_signing_alg_values_supported: Vec::new(),
            dpop_bound_access_tokens_required: false,
            tls_client_certificate_bound_access_tokens: false,
            url,
            path_with_slash,
        })
    }

    pub(crate) fn add_scopes(&mut self, scopes: &BTreeSet<String>) {
        if !scopes.is_empty() {
            let all: BTreeSet<_> = self.scopes_supported.drain(..).chain(scopes.iter().cloned()).collect();
            self.scopes_supported = all.into_iter().collect();
        }
    }

    /// The path to serve it at. It has no slash at the end; where [`resource`](Self::resource) has one, some clients ask for
    /// the path with it, so serve it there as well: see [`is_at`](Self::is_at).
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The path with the slash that ends the resource, where there is one.
    #[cfg(feature = "axum")]
    pub(crate) fn path_with_slash(&self) -> Option<&str> {
        self.path_with_slash.as_deref()
    }

    /// The document's URL, as named in challenges.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Whether a request for this path and query asks for the document: at [`path`](Self::path), and where
    /// [`resource`](Self::resource) ends with a slash, also with that (RFC 9728 section 3.1).
    #[must_use]
    pub fn is_at(&self, asked: &PathAndQuery) -> bool {
        let is_path =
            asked.path() == self.url.path() || self.path_with_slash.as_deref() == Some(asked.path());
        is_path && asked.query() == self.url.query()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_between_host_and_path() {
        let url =
            |resource| ResourceMetadata::new(resource, Vec::new(), Vec::new()).unwrap().url().to_owned();
        assert_eq!(url("https://a.example"), "https://a.example/.well-known/oauth-protected-resource");
        assert_eq!(url("https://a.example/"), "https://a.example/.well-known/oauth-protected-resource");
        assert_eq!(
            url("https://a.example/b/c"),
            "https://a.example/.well-known/oauth-protected-resource/b/c"
        );
        assert_eq!(
            url("https://a.example/b?q=1"),
            "https://a.example/.well-known/oauth-protected-resource/b?q=1"
        );
        assert!(ResourceMetadata::new("https://a.example/#b", Vec::new(), Vec::new()).is_err());
        assert!(ResourceMetadata::new("orders-api", Vec::new(), Vec::new()).is_err());
    }
}
