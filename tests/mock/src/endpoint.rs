//! The endpoints of an issuer, and which of them a path names.

use crate::providers::Route;
use crate::routes::api::is_within;

/// One kind of endpoint; each issuer has its own of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/.well-known/oauth-authorization-server` (RFC 8414 section 3).
    OauthMetadata,
    /// `/.well-known/openid-configuration` (OpenID Connect Discovery section 4, RFC 8414 section 5).
    OpenidMetadata,
    /// The key set (RFC 7517 section 5).
    Jwks,
    /// The token endpoint (RFC 6749 section 3.2).
    Token,
    /// The authorization endpoint (RFC 6749 section 3.1), its login page included.
    Authorize,
    /// Pushed authorization requests (RFC 9126).
    Par,
    /// Where a device begins (RFC 8628 section 3.1).
    DeviceAuthorization,
    /// Where a client has a user asked on a device of theirs (OpenID CIBA 1.0 section 7).
    BackchannelAuthentication,
    /// The page where a user approves a device (RFC 8628 section 3.3).
    Device,
    /// Where a client sends a user to log out (OpenID Connect RP-Initiated Logout).
    EndSession,
    /// Introspection (RFC 7662).
    Introspect,
    /// Revocation (RFC 7009).
    Revoke,
    /// Userinfo (OpenID Connect Core section 5.3).
    Userinfo,
    /// Client registration (RFC 7591).
    Register,
    /// The client configuration endpoint (RFC 7592), one per client: this path, and the client's id.
    ClientConfiguration,
    /// Where security events are polled (RFC 8936).
    PollEvents,
    /// An API behind an access token, at `/api` and below; a [provider's personality](crate::Provider) may have its
    /// own.
    Api,
    /// `/.well-known/oauth-protected-resource/api`: the metadata of the API (RFC 9728 section 3).
    ResourceMetadata,
    /// `/health`: 200 while the server runs. Never in the journal.
    Health,
    /// An address that only an attacker would name, in `jku` or `x5u`: no API should ever fetch it.
    Trap,
    /// Any other path of this server.
    Other,
    /// A host that is not this server's, asked for through its in-process transport.
    Elsewhere,
}

impl Endpoint {
    const PATHS: [(Self, &'static str); 16] = [
        (Self::Jwks, "jwks"),
        (Self::Token, "token"),
        (Self::Authorize, "authorize"),
        (Self::Par, "par"),
        (Self::EndSession, "logout"),
        (Self::DeviceAuthorization, "device_authorization"),
        (Self::BackchannelAuthentication, "backchannel_authentication"),
        (Self::Device, "device"),
        (Self::Introspect, "introspect"),
        (Self::Revoke, "revoke"),
        (Self::Userinfo, "userinfo"),
        (Self::Register, "register"),
        (Self::PollEvents, "poll_events"),
        (Self::Api, "api"),
        (Self::Trap, "trap"),
        (Self::Health, "health"),
    ];
    const OAUTH: &'static str = "/.well-known/oauth-authorization-server";
    const OPENID: &'static str = "/.well-known/openid-configuration";
    /// What goes before the path of a protected resource (RFC 9728 section 3.1).
    pub(crate) const RESOURCE: &'static str = "/.well-known/oauth-protected-resource";

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        // Health is left out: it never fails on purpose, and is in no journal.
        let named = Self::PATHS.iter().map(|(endpoint, _)| *endpoint).filter(|one| *one != Self::Health);
        [Self::OauthMetadata, Self::OpenidMetadata, Self::ClientConfiguration, Self::ResourceMetadata]
            .into_iter()
            .chain(named)
            .chain([Self::Other, Self::Elsewhere])
    }

    /// Whether an issuer may have this path: its endpoints would be those of another one, or would be hidden by them.
    pub(crate) fn leaves_room_for(issuer: &str) -> bool {
        let first = issuer.split('/').next().unwrap_or_default();
        !first.starts_with('.') && Self::PATHS.iter().all(|(_, path)| *path != first)
    }

    /// Whether a standard server has this endpoint.
    pub(crate) fn is_served(self) -> bool {
        !matches!(self, Self::Trap | Self::Health | Self::Other | Self::Elsewhere)
    }

    /// Its name in configurations and on the control port.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OauthMetadata => "oauth_metadata",
            Self::OpenidMetadata => "openid_metadata",
            Self::Jwks => "jwks",
            Self::Token => "token",
            Self::Authorize => "authorize",
            Self::Introspect => "introspect",
            Self::Revoke => "revoke",
            Self::Userinfo => "userinfo",
            Self::Register => "register",
            Self::PollEvents => "poll_events",
            Self::ClientConfiguration => "client_configuration",
            Self::Api => "api",
            Self::ResourceMetadata => "resource_metadata",
            Self::Par => "par",
            Self::EndSession => "end_session",
            Self::DeviceAuthorization => "device_authorization",
            Self::BackchannelAuthentication => "backchannel_authentication",
            Self::Device => "device",
            Self::Trap => "trap",
            Self::Health => "health",
            Self::Other => "other",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// The path of this endpoint for the issuer called `issuer` (empty for the first one): the provider's own if one of
    /// `routes` is of this kind, else the standard one.
    pub(crate) fn path(self, issuer: &str, routes: &[Route]) -> String {
        let tenant = tenant(issuer);
        if let Some(route) = routes.iter().find(|route| route.endpoint == self) {
            return format!("{tenant}{}", route.path);
        }
        match self {
            // RFC 8414 section 3.1 inserts the well-known part before the issuer's path; OpenID Connect appends it.
            Self::OauthMetadata => format!("{}{tenant}", Self::OAUTH),
            Self::OpenidMetadata => format!("{tenant}{}", Self::OPENID),
            Self::ClientConfiguration => format!("{tenant}/register/"),
            Self::ResourceMetadata => format!("{}{tenant}/api", Self::RESOURCE),
            Self::Other | Self::Elsewhere => tenant,
            named => {
                let path = Self::PATHS.iter().find(|(endpoint, _)| *endpoint == named);
                format!("{tenant}/{}", path.map_or("", |(_, path)| path))
            }
        }
    }

    /// The metadata that `path` asks for, of an issuer whose identifier has the path `issuer` (RFC 8414 sections 3.1 and 5,
    /// OpenID Connect Discovery section 4).
    pub(crate) fn metadata_at(path: &str, issuer: &str) -> Option<Self> {
        // The slash at the end of an identifier counts for neither.
        let issuer = issuer.trim_end_matches('/');
        let well_known = |place: &str| path.strip_prefix(place).is_some_and(|rest| rest == issuer);
        let appended = path.strip_suffix(Self::OPENID).is_some_and(|rest| rest == issuer);
        if well_known(Self::OAUTH) {
            return Some(Self::OauthMetadata);
        }
        (well_known(Self::OPENID) || appended).then_some(Self::OpenidMetadata)
    }

    /// What `path` asks for, and the name of the issuer it belongs to. Where there are `routes`, there is nothing else.
    pub(crate) fn of<'a>(
        path: &str,
        issuers: impl Iterator<Item = &'a str>,
        routes: &[Route],
    ) -> (Self, &'a str) {
        let mut root = "";
        for issuer in issuers {
            let tenant = tenant(issuer);
            if let Some(route) = routes.iter().find(|route| path == format!("{tenant}{}", route.path)) {
                return (route.endpoint, issuer);
            }
            if !routes.is_empty() {
                continue;
            }
            if path == format!("{}{tenant}", Self::OAUTH) {
                return (Self::OauthMetadata, issuer);
            }
            if path == format!("{tenant}{}", Self::OPENID) || path == format!("{}{tenant}", Self::OPENID) {
                return (Self::OpenidMetadata, issuer);
            }
            let mut named = Self::PATHS.iter();
            if let Some((endpoint, _)) = named.find(|(endpoint, _)| endpoint.path(issuer, &[]) == path) {
                return (*endpoint, issuer);
            }
            // The API has paths below its own, each with metadata of its own.
            if path.starts_with(&format!("{tenant}/api/")) {
                return (Self::Api, issuer);
            }
            if path.starts_with(&Self::ClientConfiguration.path(issuer, &[])) {
                return (Self::ClientConfiguration, issuer);
            }
            if let Some(resource) = path.strip_prefix(Self::RESOURCE)
                && (resource == tenant || is_within(resource, &format!("{tenant}/api")))
            {
                return (Self::ResourceMetadata, issuer);
            }
            if issuer.is_empty() {
                root = issuer;
            }
        }
        (Self::Other, root)
    }
}

fn tenant(issuer: &str) -> String {
    if issuer.is_empty() { String::new() } else { format!("/{issuer}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_issuer_has_its_own_paths() {
        let issuers = ["", "tenant-a"];
        let of = |path| Endpoint::of(path, issuers.into_iter(), &[]);
        assert_eq!(of("/token"), (Endpoint::Token, ""));
        assert_eq!(of("/tenant-a/token"), (Endpoint::Token, "tenant-a"));
        assert_eq!(of("/tenant-b/token"), (Endpoint::Other, ""));
        assert_eq!(
            of("/.well-known/oauth-authorization-server/tenant-a"),
            (Endpoint::OauthMetadata, "tenant-a")
        );
        assert_eq!(of("/tenant-a/.well-known/openid-configuration"), (Endpoint::OpenidMetadata, "tenant-a"));
        assert_eq!(of("/.well-known/openid-configuration/tenant-a"), (Endpoint::OpenidMetadata, "tenant-a"));
        assert_eq!(Endpoint::Jwks.path("tenant-a", &[]), "/tenant-a/jwks");
        for (path, endpoint, issuer) in [
            ("/api", Endpoint::Api, ""),
            ("/api/orders/7", Endpoint::Api, ""),
            ("/tenant-a/api/orders", Endpoint::Api, "tenant-a"),
            ("/apis", Endpoint::Other, ""),
            ("/.well-known/oauth-protected-resource", Endpoint::ResourceMetadata, ""),
            ("/.well-known/oauth-protected-resource/api/orders", Endpoint::ResourceMetadata, ""),
            ("/.well-known/oauth-protected-resource/tenant-a", Endpoint::ResourceMetadata, "tenant-a"),
            ("/.well-known/oauth-protected-resource/tenant-a/api", Endpoint::ResourceMetadata, "tenant-a"),
            ("/.well-known/oauth-protected-resource/token", Endpoint::Other, ""),
        ] {
            assert_eq!(of(path), (endpoint, issuer), "{path}");
        }
    }

    #[test]
    fn each_is_named_as_it_is_in_the_code() {
        for endpoint in Endpoint::all() {
            let name = endpoint.as_str().replace('_', "");
            assert_eq!(format!("{endpoint:?}").to_lowercase(), name);
        }
    }
}
