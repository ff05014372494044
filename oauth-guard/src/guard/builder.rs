//! Builds a guard: one setter for each setting, then [`build`](GuardBuilder::build).

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use oauth_client::clock::Clock;
use oauth_client::transport::HttpClient;
use serde::de::DeserializeOwned;

use super::handle::Guard;
use super::settings::Settings;
use crate::address::Address;
use crate::authorize::{DryRun, Preflight, Rule};
use crate::claims::Untyped;
use crate::config::Spelling;
use crate::error::BuildError;
use crate::issuer::Issuer;
use crate::keys::KeyPolicy;
use crate::possession::{Certificates, Dpop};
use crate::reject::{Hook, Rejection, RejectionBody};
use crate::replay::{Replay, ReplayStore};
use crate::revocation::{RevocationFeed, RevocationSettings, SharedFeed};
use crate::snapshot::Snapshot;
use crate::tenants::Resolver;

/// Builds a [`Guard`].
#[derive(Debug)]
#[must_use = "call `build` to get a guard"]
pub struct GuardBuilder<T = Untyped> {
    settings: Settings,
    claims: PhantomData<fn() -> T>,
}

impl<T> Clone for GuardBuilder<T> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), claims: PhantomData }
    }
}

impl Guard {
    /// Starts to build a guard. Claims are read by name; for a type of your own, call [`GuardBuilder::claims`].
    pub fn builder() -> GuardBuilder<Untyped> {
        GuardBuilder { settings: Settings::default(), claims: PhantomData }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> GuardBuilder<T> {
    /// Deserializes the claims of each token into a type of your own, once, when the token is first seen. A token that
    /// does not fit is rejected as `invalid_token`.
    ///
    /// ```
    /// use oauth_guard::{Claims, Guard, Issuer};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Mine {
    ///     tenant: String,
    /// }
    ///
    /// let guard = Guard::builder()
    ///     .claims::<Mine>()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .build()?;
    ///
    /// fn tenant(claims: &Claims<Mine>) -> &str {
    ///     &claims.custom().tenant
    /// }
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn claims<U: DeserializeOwned + Send + Sync + 'static>(self) -> GuardBuilder<U> {
        GuardBuilder { settings: self.settings, claims: PhantomData }
    }

    /// Accepts the tokens of this issuer. Call again for more; each has its own keys.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.settings.issuers.push(issuer);
        self
    }

    /// Resolves issuers at run time, for tenants that are added and removed. The function is called with an `iss` that
    /// is not configured by [`issuer`](Self::issuer), before the token is validated. `Ok(None)` rejects the token,
    /// without any network call by the guard. An error results in 503.
    ///
    /// A caller can send a token with an invented `iss`, so resolve from memory or by a rule where possible. There is one
    /// call at a time per name, at most 1,000 in total (503 beyond that), and none for an `iss` longer than 1 KiB. A
    /// name that is unknown is not resolved again during the keys' cool-down; one whose call failed or panicked is not
    /// resolved again for one second.
    ///
    /// A function that decides by a rule, such as a prefix, accepts invented names too. So a resolved issuer is on
    /// probation until one of its tokens is verified: 64 such issuers are kept, and together they cause 32 key fetches
    /// at once and one more each second (503 beyond that). A `jwks_uri` that they or their metadata name must be
    /// public, see [`Issuer::allow_private_jwks`].
    ///
    /// The 1,000 verified issuers used last ([`max_tenants`](Self::max_tenants)) are kept and do not expire: call [`Guard::forget_issuer`] when a tenant is
    /// deleted or its conditions change.
    ///
    /// The function sees the issuer's name and not the request: where each tenant has a host of its own, a token of any
    /// tenant is valid on all of these hosts, unless the API [compares both](crate#tenants).
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer};
    ///
    /// let guard = Guard::builder()
    ///     .resolve_issuers(|name: String| async move {
    ///         let known = name.strip_prefix("https://auth.example.com/tenants/").is_some_and(|id| id.len() == 8);
    ///         Ok::<_, std::io::Error>(known.then(|| Issuer::new(name).audience("orders-api")))
    ///     })
    ///     .build()?;
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn resolve_issuers<F, Fut, E>(mut self, resolve: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Issuer>, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.settings.resolver = Some(Resolver::new(resolve));
        self
    }

    /// The longest token to accept before its issuer is known, in bytes, with
    /// [`resolve_issuers`](Self::resolve_issuers). No resolved issuer may set a higher
    /// [`max_token_bytes`](Issuer::max_token_bytes). By default 8,192.
    pub fn tenant_token_bytes(mut self, bytes: usize) -> Self {
        self.settings.tenant_token_bytes = Some(bytes);
        self
    }

    /// How many [resolved](Self::resolve_issuers) issuers are kept, 1 to 100,000: those used last, each with its keys. If
    /// more than that are in use, they are resolved again and again. By default 1,000.
    pub fn max_tenants(mut self, issuers: usize) -> Self {
        self.settings.max_tenants = Some(issuers);
        self
    }

    /// Fetches the keys of every issuer from private addresses too: as
    /// [`Issuer::allow_private_jwks`], for all of them and for those that are
    /// [resolved](Self::resolve_issuers).
    pub fn allow_private_jwks(mut self) -> Self {
        self.settings.allow_private_jwks = true;
        self
    }

    /// The HTTP client that fetches keys. By default the bundled one (feature `reqwest`).
    pub fn http(mut self, http: HttpClient) -> Self {
        self.settings.http = Some(http);
        self
    }

    /// The source of time. By default the machine's clocks. A guard keeps its clock when it is
    /// [reloaded](Guard::reload).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Some(Arc::new(clock));
        self
    }

    /// The capacity of the token cache, in bytes; 0 disables it. By default 64 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.settings.cache_bytes = Some(bytes);
        self
    }

    /// When and how key sets are fetched.
    pub fn keys(mut self, policy: KeyPolicy) -> Self {
        self.settings.keys = policy;
        self
    }

    /// The `realm` of every challenge (RFC 9110 section 11.5). By default `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.settings.realm = Some(realm.into());
        self
    }

    /// This API's own URL. It enables the RFC 9728 document ([`Guard::resource_metadata`]), and every challenge names the
    /// document's URL. By default none.
    pub fn resource(mut self, url: impl Into<String>) -> Self {
        self.settings.resource = Some(Address::new(url));
        self
    }

    /// The URL of this API's RFC 9728 document, named in every challenge, if it is not the one that follows from
    /// [`resource`](Self::resource).
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.settings.resource_metadata = Some(Address::new(url));
        self
    }

    /// What the requests of one route need. Call again for more. A route without a rule needs a valid token, see also
    /// [`deny_by_default`](Self::deny_by_default). See [`Rule`] for which rule applies.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.settings.rules.push(rule);
        self
    }

    /// Rejects every request whose route has no [rule](Self::rule) with 403, whatever its token, so that a forgotten
    /// route is closed. By default such a request needs a valid token. In a [dry run](Self::dry_run) it is logged, and
    /// needs a valid token as by default.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer, Requirement, Rule};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .rule(Rule::new("/orders/{*rest}").require(Requirement::scope("orders:read")))
    ///     .deny_by_default()
    ///     .build()?;
    /// let request = http::Request::get("/forgotten").body(())?;
    /// assert_eq!(guard.authorize(&request, None).unwrap_err().reason(), "no_rule");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deny_by_default(mut self) -> Self {
        self.settings.defaults.deny_by_default = true;
        self
    }

    /// Scopes that include others: a token with `scope` also meets [requirements](crate::Requirement::scope) of the
    /// `included` ones, and of those that these include. Call again for more.
    ///
    /// Challenges name the scopes that are required, and [`Claims::has_scope`](crate::Claims::has_scope) looks only at
    /// what the token says.
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer, Requirement, Rule};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .rule(Rule::new("/orders").require(Requirement::scope("read")))
    ///     .implies("admin", ["read", "write"])
    ///     .build()?;
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn implies<S: Into<String>>(
        mut self,
        scope: impl Into<String>,
        included: impl IntoIterator<Item = S>,
    ) -> Self {
        let included = included.into_iter().map(Into::into).collect();
        self.settings.extras.implies.push((scope.into(), included));
        self
    }

    /// The only origins whose pages may send requests, such as `https://app.example.com`: a request with another `Origin`
    /// is 403, whatever its token. Requests that no page sent have no origin, and are not affected. By default `Origin`
    /// is not looked at.
    ///
    /// It protects servers in a user's network, MCP servers above all, from pages that reach them by DNS rebinding. A page
    /// of this service's own origin sends `Origin` too: name that as well.
    pub fn allowed_origins<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        self.settings
            .extras
            .allowed_origins
            .get_or_insert_default()
            .extend(origins.into_iter().map(Into::into));
        self
    }

    /// The longest body that is read for an [MCP rule](crate::Rule::mcp), in bytes; a longer one is 400. It is held in
    /// memory while it is compared with the headers. By default 1 MiB.
    pub fn mcp_body_bytes(mut self, bytes: usize) -> Self {
        self.settings.extras.mcp_body_bytes = Some(bytes);
        self
    }

    /// Trusts the headers of MCP requests, and reads no body. The caller writes both, so this is only right where
    /// something in front of this service compares them.
    pub fn danger_trust_mcp_headers(mut self) -> Self {
        self.settings.extras.trust_mcp_headers = true;
        self
    }

    /// Logs requests that lack what a requirement needs, instead of rejecting them: on target `oauth_guard`, with the
    /// rejection's `code` and `needed`, the `rule`, the `issuer` and `dry_run = true`. For testing rules on a service
    /// in production.
    ///
    /// This covers requirements, of rules, layers and handlers, ambiguous paths, and routes without a rule. A missing token
    /// where one is needed, and an invalid token, are still rejected: handlers can rely on the claims. The key `dry_run`
    /// of a [configuration](crate::config) covers the rules only: what layers and handlers require is enforced.
    pub fn dry_run(mut self) -> Self {
        self.settings.defaults.dry_run = DryRun::All;
        self
    }

    /// A configuration's dry run.
    pub(crate) fn dry_run_of_rules(mut self) -> Self {
        self.settings.defaults.dry_run = DryRun::Rules;
        self
    }

    /// Forwards CORS preflight requests without a token: `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
    /// For a CORS layer behind the guard. By default they need a token like all other requests.
    ///
    /// This holds under layers that [require](crate::GuardLayer::require) something too, so make sure that their handlers
    /// do not serve `OPTIONS`. The key `allow_preflight` of a [configuration](crate::config) has no effect there.
    pub fn allow_preflight(mut self) -> Self {
        self.settings.defaults.preflight = Preflight::Always;
        self
    }

    /// A configuration's permission.
    pub(crate) fn allow_preflight_without_requirement(mut self) -> Self {
        self.settings.defaults.preflight = Preflight::WithoutRequirement;
        self
    }

    /// Whether gRPC calls (POST over HTTP/2 with `application/grpc`) get rejections in gRPC: HTTP status 200 with
    /// `grpc-status`. By default they do. Set it to `false` where no gRPC is served, above all where a proxy asks this
    /// service whether to forward a request and reads the HTTP status.
    pub fn grpc(mut self, enabled: bool) -> Self {
        self.settings.never_grpc = !enabled;
        self
    }

    /// Accepts the token in this header too, without a scheme: `x-access-token: eyJ…`. By default only
    /// `Authorization: Bearer` is read. A request with two tokens is rejected with 400.
    ///
    /// This is for tokens only. A header that names a user, such as `x-user-id`, proves nothing: the guard neither reads
    /// nor removes it. If a service behind the guard reads such a header, strip it from incoming requests yourself.
    pub fn token_header(mut self, name: impl Into<String>) -> Self {
        self.settings.token_header = Some(name.into());
        self
    }

    /// Accepts the token in this cookie too. By default no cookie is read. An empty cookie counts as missing.
    ///
    /// A browser sends cookies with requests that other sites trigger, so protect state-changing routes against
    /// cross-site request forgery: `SameSite=Strict` or `Lax`, and a check of `Origin`.
    pub fn token_cookie(mut self, name: impl Into<String>) -> Self {
        self.settings.token_cookie = Some(name.into());
        self
    }

    /// Accepts the token in this query parameter too (RFC 6750 section 2.3), which RFC 9700 section 4.3.2 forbids: URLs
    /// are written to logs, histories and `Referer` headers, and the token with them. Only right where the client can
    /// send no header, such as a browser's `EventSource`, with tokens that are valid for seconds; responses then need
    /// `Cache-Control: private`.
    pub fn danger_accept_query_parameter(mut self, name: impl Into<String>) -> Self {
        self.settings.token_query = Some(name.into());
        self
    }

    /// Strips the token from each request before it is forwarded, from all configured locations and, with the feature
    /// `axum`, from the `OriginalUri` that a router in front of the guard keeps. By default it stays, and
    /// its header is marked as sensitive, so that its `Debug` does not show it. A second guard behind this one finds no
    /// token.
    pub fn strip_token(mut self) -> Self {
        self.settings.strip_token = true;
        self
    }

    /// Accepts tokens that are bound to a key of the client, with a proof in each request (RFC 9449). By default they
    /// are refused. See [`Dpop`].
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.settings.possession.dpop = Some(dpop);
        self
    }

    /// Where used proofs are noted, with [`dpop`](Self::dpop): the same as [`Dpop::replay_store`], for settings that come from
    /// a configuration. It holds whether `dpop` is set before or afterwards. Without `dpop` it is a build error, unless a
    /// configuration decides whether there is one.
    pub fn replay_store(mut self, store: impl ReplayStore) -> Self {
        self.settings.possession.replay_store = Some(Replay::foreign(store));
        self
    }

    /// The settings are those of a configuration, which may leave out what code provides for.
    pub(crate) fn of_configuration(mut self) -> Self {
        self.settings.possession.is_configured = true;
        self.spelled(Spelling::Keys)
    }

    /// Names settings in this way where one is wrong.
    pub(crate) fn spelled(mut self, spelling: Spelling) -> Self {
        self.settings.spelling = spelling;
        self
    }

    pub(crate) fn spelling(&self) -> &Spelling {
        &self.settings.spelling
    }

    /// Notes that the Redis which the configuration names is connected to, or is not.
    #[doc(hidden)]
    pub fn redis_connected(mut self, connected: bool) -> Self {
        self.settings.unconnected_redis = !connected;
        self
    }

    /// Accepts tokens that are bound to a client certificate (RFC 8705). By default they are refused. See [`Certificates`].
    pub fn certificates(mut self, certificates: Certificates) -> Self {
        self.settings.possession.certificates = Some(certificates);
        self
    }

    /// The URL that callers see, with the path prefix that a proxy strips: what DPoP proofs name. By default the origin
    /// of [`resource`](Self::resource); else what a [trusted proxy](Self::trusted_proxies) forwards; else the request's
    /// own scheme and `Host`, which the caller writes. It is for [`dpop`](Self::dpop), and has no effect without it.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.settings.possession.public_url = Some(Address::new(url));
        self
    }

    /// The proxies, as networks such as `10.0.0.0/8`, whose `Forwarded`, `X-Forwarded-Proto`, `-Host` and `-Prefix`,
    /// and whose certificate headers are trusted. Their address comes from axum's `ConnectInfo<SocketAddr>` (feature
    /// `axum`) or from [`PeerAddr`](crate::PeerAddr); without an address no proxy is trusted. By default none.
    ///
    /// Each proxy has to overwrite or remove all four headers. One that passes a header of its caller on lets the caller
    /// choose the URL that proofs are compared with, so that a proof for another API passes here. Where
    /// [`public_url`](Self::public_url) is set, none of the four counts. A request whose `Forwarded` and `X-Forwarded-*`
    /// do not name the same scheme and host is 400.
    ///
    /// They are for [`dpop`](Self::dpop) and [`certificates`](Self::certificates), and have no effect without these.
    pub fn trusted_proxies<N: Into<String>>(mut self, networks: impl IntoIterator<Item = N>) -> Self {
        self.settings.possession.trusted_proxies = networks.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the body of rejections, and additional headers. Status, challenge and `Retry-After` are set by the guard and
    /// cannot be changed. Over gRPC there is no body, only the headers are used.
    ///
    /// The default is [`RejectionBody::standard`]. The caller reads the body, so do not put
    /// [`Rejection::reason`](crate::Rejection::reason) into it.
    ///
    /// ```
    /// use http::{HeaderName, HeaderValue};
    /// use oauth_guard::{RejectionBody, Guard, Issuer};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .on_rejection(|rejection| {
    ///         RejectionBody::text(format!("{}: see https://api.example.com/help\n", rejection.code()))
    ///             .header(HeaderName::from_static("x-help"), HeaderValue::from_static("https://api.example.com/help"))
    ///     })
    ///     .build()?;
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn on_rejection(
        mut self,
        hook: impl Fn(&Rejection) -> RejectionBody + Send + Sync + 'static,
    ) -> Self {
        self.settings.hook = Some(Hook::new(hook));
        self
    }

    /// One more source of revocations, besides those of the [settings](Self::revocation): for settings that come from a
    /// configuration. It stays when other settings are set afterwards. Call again for more.
    pub fn revocation_feed(mut self, feed: impl RevocationFeed) -> Self {
        self.settings.feeds.push(SharedFeed::new(feed));
        self
    }

    /// Where revocations come from, besides [code](Guard::revocations) and each [`revocation_feed`](Self::revocation_feed). By
    /// default there is no other source. Called again, or after a configuration, it replaces the settings from before.
    pub fn revocation(mut self, settings: RevocationSettings) -> Self {
        self.settings.revocation = settings;
        self
    }

    /// Builds the guard. Nothing is fetched and no runtime is needed; keys are fetched by the first request that needs
    /// them.
    ///
    /// # Errors
    /// All configuration errors together, each with its field.
    pub fn build(self) -> Result<Guard<T>, BuildError> {
        let guard = self.settings.snapshot(None).map(Guard::new)?;
        guard.follow_revocations();
        Ok(guard)
    }

    /// The snapshot to be in force after `old`.
    pub(crate) fn snapshot_after(self, old: &Snapshot<T>) -> Result<Snapshot<T>, BuildError> {
        self.settings.snapshot(Some(old))
    }
}

// These guards fetch keys, so building them needs the bundled transport.
#[cfg(test)]
#[cfg(feature = "reqwest")]
mod tests;
