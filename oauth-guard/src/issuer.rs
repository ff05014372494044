//! An issuer whose tokens are accepted: its configuration, and its state in force.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oauth_client::clock::Now;
use oauth_client::secret::SecretSource;
use url::Url;

use crate::address::Address;
use crate::authorize::ClaimValue;
use crate::claims::ClaimPath;
use crate::defaults;
use crate::introspect::{IntrospectedTokens, Introspection, Introspector};
use crate::jose::{Algorithm, has_hole};
use crate::keys::{Fetching, IssuerKeys, Probation, StaticKey};
use crate::revocation::List;

/// An authorization server whose tokens a guard accepts, and the conditions for them.
///
/// With a name and an audience alone, the server's keys are discovered (RFC 8414, then OpenID Connect), and tokens must
/// be RFC 9068 access tokens. Keys come from one source: a second source is an error when the guard is built. Only keys
/// in PEM form may be given more than once.
///
/// ```
/// use oauth_guard::{Algorithm, Issuer};
///
/// Issuer::new("https://auth.example.com/realms/main")
///     .audience("orders-api")
///     .algorithms([Algorithm::Es256])
///     .roles_claim("realm_access.roles");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Issuer {
    pub(crate) name: Address,
    pub(crate) audience: Vec<String>,
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    pub(crate) profile: Profile,
    /// All that were set; more than one is an error, none means discovery.
    pub(crate) sources: Vec<Source>,
    pub(crate) static_keys: Vec<StaticKey>,
    pub(crate) leeway: Duration,
    pub(crate) max_token_age: Option<Duration>,
    pub(crate) max_token_bytes: usize,
    pub(crate) clients: Option<Vec<String>>,
    pub(crate) scope_claims: Vec<String>,
    pub(crate) scope_separator: char,
    pub(crate) roles_claims: Vec<String>,
    pub(crate) any_audience: Option<AnyAudience>,
    pub(crate) required: Vec<(String, Vec<ClaimValue>)>,
    pub(crate) fetching: Fetching,
    pub(crate) allow_http: bool,
    pub(crate) introspection: Option<Introspection>,
    pub(crate) token_prefix: Option<String>,
    pub(crate) allow_private_jwks: bool,
    pub(crate) data: Option<IssuerData>,
}

/// The user's data about an issuer. Two are equal if they are the same.
#[derive(Clone)]
pub(crate) struct IssuerData(Arc<dyn Any + Send + Sync>);

impl IssuerData {
    pub(crate) fn get<D: 'static>(&self) -> Option<&D> {
        self.0.downcast_ref()
    }
}

impl PartialEq for IssuerData {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for IssuerData {}

impl fmt::Debug for IssuerData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuerData")
    }
}

/// Why no audience is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnyAudience {
    /// The clients are checked instead.
    OfClients,
    Danger,
}

/// Where the keys come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Discovery,
    JwksUri(Address),
    JwksJson(String),
    JwksFile(PathBuf),
    /// The keys in `static_keys`.
    Static,
}

/// The kind of token that an issuer issues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// RFC 9068 access tokens: `typ` is `at+jwt`, and `sub`, `client_id`, `iat` and `jti` are present. This rejects ID
    /// tokens and other JWTs of the same issuer.
    #[default]
    Rfc9068,
    /// Any JWT of the issuer for this audience: `typ` is absent, `JWT` or `at+jwt`. For servers that do not implement
    /// RFC 9068; make sure that its ID tokens have another audience.
    Jwt,
}

impl Issuer {
    /// An issuer by its exact name, as in `iss`: compared character by character, a trailing slash included.
    ///
    /// One part of it may be `{tenantid}`, as Microsoft Entra names the issuer of all its tenants
    /// (`https://login.microsoftonline.com/{tenantid}/v2.0`). Then `iss` must equal the name with the claim `tid` put
    /// there: 1 to 64 letters, digits, dots and hyphens. Keys are not discovered for such a name; set
    /// [`jwks_uri`](Self::jwks_uri). It accepts every tenant: [`Rule`](crate::Rule)s on the claim `tid` choose among them.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: Address::new(name),
            audience: Vec::new(),
            algorithms: None,
            profile: Profile::default(),
            sources: Vec::new(),
            static_keys: Vec::new(),
            leeway: defaults::LEEWAY,
            max_token_age: None,
            max_token_bytes: defaults::MAX_TOKEN_BYTES,
            clients: None,
            scope_claims: vec!["scope".to_owned(), "scp".to_owned()],
            scope_separator: ' ',
            roles_claims: vec!["roles".to_owned()],
            any_audience: None,
            required: Vec::new(),
            fetching: Fetching::default(),
            allow_http: false,
            introspection: None,
            token_prefix: None,
            allow_private_jwks: false,
            data: None,
        }
    }

    /// Data of your own about this issuer, such as the tenant's row that the
    /// [resolver](crate::GuardBuilder::resolve_issuers) has just read: handlers get it from
    /// [`Claims::issuer_data`](crate::Claims::issuer_data), without another query.
    ///
    /// It stays as long as the issuer does: [`Guard::forget_issuer`](crate::Guard::forget_issuer) a tenant whose data
    /// changed. After a [reload](crate::Guard::reload) that sets such an issuer again, its tokens are validated again.
    ///
    /// ```
    /// use oauth_guard::{Claims, Guard, Issuer};
    ///
    /// struct Tenant {
    ///     database: String,
    /// }
    ///
    /// let guard = Guard::builder()
    ///     .resolve_issuers(|name: String| async move {
    ///         let tenant = Tenant { database: "acme".to_owned() }; // by a query
    ///         Ok::<_, std::io::Error>(Some(Issuer::new(name).audience("orders-api").data(tenant)))
    ///     })
    ///     .build()?;
    ///
    /// fn database(claims: &Claims) -> Option<&str> {
    ///     Some(&claims.issuer_data::<Tenant>()?.database)
    /// }
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn data<D: Send + Sync + 'static>(mut self, data: D) -> Self {
        self.data = Some(IssuerData(Arc::new(data)));
        self
    }

    /// A name of this API; `aud` must contain one of them (RFC 9068 section 4). Call again for more.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// The only signature algorithms to accept. By default all asymmetric ones: RS, PS and ES with 256 and 384
    /// bits, RS512, PS512, and EdDSA.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// The kind of token to expect. By default [`Profile::Rfc9068`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// The URL of the issuer's JWK Set, instead of discovery.
    pub fn jwks_uri(mut self, uri: impl Into<String>) -> Self {
        self.sources.push(Source::JwksUri(Address::new(uri)));
        self
    }

    /// The issuer's keys as a JWK Set; nothing is fetched.
    pub fn jwks_json(mut self, document: impl Into<String>) -> Self {
        self.sources.push(Source::JwksJson(document.into()));
        self
    }

    /// A file with the issuer's keys as a JWK Set, read once when the guard is built.
    pub fn jwks_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::JwksFile(path.into()));
        self
    }

    /// A public key in PEM form (`PUBLIC KEY` or `RSA PUBLIC KEY`) for tokens signed with that algorithm; nothing is
    /// fetched. Call again for more.
    pub fn key_pem(self, algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Self {
        self.static_key(StaticKey::Pem { key_id: None, algorithm, pem: pem.as_ref().to_vec() })
    }

    /// As [`key_pem`](Self::key_pem), with the key id (`kid`) that tokens name it by.
    pub fn named_key_pem(
        self,
        key_id: impl Into<String>,
        algorithm: Algorithm,
        pem: impl AsRef<[u8]>,
    ) -> Self {
        self.static_key(StaticKey::Pem { key_id: Some(key_id.into()), algorithm, pem: pem.as_ref().to_vec() })
    }

    /// A secret shared with the issuer, for HS256, HS384 or HS512; nothing is fetched.
    ///
    /// A service that can validate such a token can also create one. The secret must be at least as long as the hash
    /// (RFC 7518 section 3.2), and an issuer with a secret has no other keys.
    pub fn hmac_secret(self, algorithm: Algorithm, secret: impl AsRef<[u8]>) -> Self {
        self.static_key(StaticKey::Secret { algorithm, secret: secret.as_ref().to_vec() })
    }

    /// Static keys are one source, however many there are.
    fn static_key(mut self, key: StaticKey) -> Self {
        if !self.sources.iter().any(|source| matches!(source, Source::Static)) {
            self.sources.push(Source::Static);
        }
        self.static_keys.push(key);
        self
    }

    pub(crate) fn source(&self) -> &Source {
        self.sources.first().unwrap_or(&Source::Discovery)
    }

    /// Where its keys or its metadata are fetched from, if they are.
    pub(crate) fn fetched_from(&self) -> Option<&str> {
        match self.source() {
            Source::Discovery => Some(&self.name),
            Source::JwksUri(uri) => Some(uri),
            _ => None,
        }
    }

    /// Whether its keys are fetched.
    pub(crate) fn fetches_keys(&self) -> bool {
        let asks_about_all =
            self.introspection.as_ref().is_some_and(|given| given.tokens == IntrospectedTokens::Any);
        !asks_about_all && matches!(self.source(), Source::Discovery | Source::JwksUri(_))
    }

    /// The URLs that the configuration names: its own, that of its keys, that of its introspection endpoint. Headers go to
    /// their origins. A bare name has none.
    pub(crate) fn named_urls(&self) -> Vec<Url> {
        let endpoint = self.introspection.as_ref().and_then(|given| given.endpoint.as_deref());
        let keys = match self.source() {
            Source::JwksUri(uri) => Some(&**uri),
            _ => None,
        };
        let urls = [Some(&*self.name), keys, endpoint];
        urls.into_iter().flatten().filter_map(|url| Url::parse(url).ok().filter(Url::has_host)).collect()
    }

    /// Whether questions to it use the guard's HTTP client, with headers of its own.
    pub(crate) fn asks_with_headers(&self) -> bool {
        let own = self.introspection.as_ref().is_some_and(|given| given.http.is_none());
        own && !self.fetching.is_empty()
    }

    /// The tolerated clock difference, for `exp`, `nbf` and `iat`. By default 60 seconds.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The maximum age of a token since `iat`, whatever its `exp`. By default no limit.
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = Some(age);
        self
    }

    /// The longest token to accept, in bytes. By default 8,192. Claims of more than 64 KiB are always rejected.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// The only clients (`client_id`, else `azp`) whose tokens to accept. By default any.
    pub fn clients<C: Into<String>>(mut self, clients: impl IntoIterator<Item = C>) -> Self {
        self.clients = Some(clients.into_iter().map(Into::into).collect());
        self
    }

    /// Accepts tokens whatever their `aud`, also without one, from the [`clients`](Self::clients) named and from no other:
    /// for issuers that put no `aud` into access tokens, such as Amazon Cognito. Without `clients`, or beside an
    /// [`audience`](Self::audience), it is an error when the guard is built. An `aud` of a wrong type is still rejected.
    ///
    /// A token that one of these clients sends to another API is accepted here too, so name only clients that you trust
    /// with that.
    pub fn any_audience(mut self) -> Self {
        self.any_audience.get_or_insert(AnyAudience::OfClients);
        self
    }

    /// A claim that every token must have, with exactly this value: a string, a whole number or a boolean. Call again for
    /// more. It keeps out other kinds of tokens of the same issuer, as `token_use` does at Amazon Cognito. A name with
    /// dots is looked up as it is, then as a path into objects.
    ///
    /// ```
    /// use oauth_guard::{Issuer, Profile};
    ///
    /// Issuer::new("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34")
    ///     .profile(Profile::Jwt)
    ///     .any_audience()
    ///     .clients(["4f9k2example"])
    ///     .require("token_use", "access");
    /// ```
    pub fn require(self, claim: impl Into<String>, value: impl Into<ClaimValue>) -> Self {
        self.require_one_of(claim, [value])
    }

    /// A claim that every token must have, as in [`require`](Self::require), whose value is exactly one of these, such
    /// as the domains of several companies.
    ///
    /// ```
    /// use oauth_guard::Issuer;
    ///
    /// Issuer::new("https://accounts.google.com").audience("shop").require_one_of("hd", ["example.com", "example.org"]);
    /// ```
    pub fn require_one_of<V: Into<ClaimValue>>(
        mut self,
        claim: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.required.push((claim.into(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// The claim that holds the scopes, as a string with spaces or a list. By default `scope`, else `scp`. A name
    /// with dots is looked up as it is, then as a path into objects; `/resource/orders.api/scope` is a JSON Pointer
    /// (RFC 6901).
    pub fn scope_claim(mut self, name: impl Into<String>) -> Self {
        self.scope_claims = vec![name.into()];
        self
    }

    /// What separates the scopes in a string, in addition to blanks. By default only blanks do (RFC 6749 section 3.3):
    /// with a comma, the one scope `a,b` of another issuer would grant both `a` and `b`.
    pub fn scope_separator(mut self, separator: char) -> Self {
        self.scope_separator = separator;
        self
    }

    /// The claim that holds the roles, as a string or a list; a path as in
    /// [`scope_claim`](Self::scope_claim), such as `realm_access.roles` or `/resource_access/orders.api/roles`. By default
    /// `roles`.
    pub fn roles_claim(self, path: impl Into<String>) -> Self {
        self.roles_claims([path])
    }

    /// The claims that hold the roles, each as in [`roles_claim`](Self::roles_claim). The roles of all that a token has
    /// count.
    ///
    /// The paths are exact, and a wildcard is an error when the guard is built: below `resource_access`, servers list the
    /// roles for each of their clients, and an `admin` of another client is not one of this API.
    ///
    /// ```
    /// use oauth_guard::Issuer;
    ///
    /// Issuer::new("https://auth.example.com/realms/main")
    ///     .audience("orders-api")
    ///     .roles_claims(["realm_access.roles", "/resource_access/orders.api/roles"]);
    /// ```
    pub fn roles_claims<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.roles_claims = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Accepts tokens for other services too. Each of those services could then replay the tokens it receives against
    /// this one. Only right when the issuer puts no `aud` into its tokens.
    pub fn danger_accept_any_audience(mut self) -> Self {
        self.any_audience = Some(AnyAudience::Danger);
        self
    }

    /// A header of the requests for this issuer's metadata and keys and of its [introspection](Self::introspection), such as
    /// the `x-api-key` of a gateway in front of it. Call again for more. The value counts as a secret and is read for each
    /// request. It goes to the issuer's origin and to those of a [`jwks_uri`](Self::jwks_uri) and an introspection
    /// [`endpoint`](Introspection::endpoint) given here, never to another origin that metadata names.
    ///
    /// ```
    /// use oauth_client::secret::from_file;
    /// use oauth_guard::Issuer;
    ///
    /// Issuer::new("https://auth.example.com").audience("orders-api").header("x-api-key", from_file("gateway.key"));
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<SecretSource>) -> Self {
        self.fetching.headers.push((name.into(), value.into()));
        self
    }

    /// A file with a bearer token for the requests for this issuer's metadata and keys, as a Kubernetes API server needs.
    /// It is read for each request, since the platform replaces it. It goes to the same origins as a
    /// [`header`](Self::header), but not with requests that have an `Authorization` of their own, such as questions of a
    /// client with a secret.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.fetching.token_file = Some(path.into());
        self
    }

    /// Trusts these certificate authorities, in PEM form, for this issuer's metadata and keys, and for its introspection unless
    /// that has a [client of its own](Introspection::http), instead of the platform's.
    /// A file ([`oauth_client::secret::from_file`]) is read again when it is replaced. This issuer's requests then use
    /// the bundled transport (feature `reqwest`), also where the guard has [another](crate::GuardBuilder::http).
    pub fn tls_ca(mut self, pem: impl Into<SecretSource>) -> Self {
        self.fetching.authorities = Some(pem.into());
        self
    }

    /// Asks this issuer about tokens that only it can read (RFC 7662): by default about those that are not JWTs. Two issuers
    /// that could both take an opaque token are an error when the guard is built; see
    /// [`token_prefix`](Self::token_prefix).
    pub fn introspection(mut self, introspection: Introspection) -> Self {
        self.introspection = Some(introspection);
        self
    }

    /// How this issuer's opaque tokens begin, such as `ory_at_`: it is asked about no others.
    pub fn token_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.token_prefix = Some(prefix.into());
        self
    }

    /// Fetches keys from private addresses too, where the issuer's metadata or a
    /// [resolver](crate::GuardBuilder::resolve_issuers) names them.
    ///
    /// By default such a `jwks_uri` must be public (in the bundled client also by the addresses that its name resolves
    /// to): an attacker who controls the document could have the guard send requests into your network. A `jwks_uri` of the
    /// configuration may be anywhere, and so may one of an issuer that is private itself, or with the same origin as
    /// the issuer.
    pub fn allow_private_jwks(mut self) -> Self {
        self.allow_private_jwks = true;
        self
    }

    /// Fetches keys over plain http from other machines. An attacker on the network path can then sign tokens. Only right
    /// inside a network that you trust as much as the issuer.
    pub fn danger_allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }
}

/// An issuer in force, shared by all consecutive snapshots that configure it the same.
///
/// Every request reads it, and every new token counts itself, on another line of the processor's cache.
#[repr(align(64))]
pub(crate) struct IssuerState {
    pub(crate) rules: IssuerRules,
    pub(crate) keys: IssuerKeys,
    /// Asks the issuer about tokens.
    pub(crate) introspector: Option<Arc<Introspector>>,
    /// Of a tenant: what it may cost until a token of it is verified.
    pub(crate) probation: Option<Arc<Probation>>,
    /// What is revoked at the guard.
    pub(crate) revocations: Arc<List>,
    /// Of a tenant: when it was used last, as [`Tenants`](crate::tenants::Tenants) counts it.
    used: AtomicU64,
    /// The first generation that has it.
    since: u64,
    /// The first generation that no longer has it.
    ended: AtomicU64,
}

/// A claim, and the values of which it must have one.
pub(crate) type RequiredClaim = (Box<str>, Box<[ClaimValue]>);

/// What an issuer's tokens are validated against.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IssuerRules {
    pub(crate) name: Box<str>,
    /// Tenants of it that are configured by name and have rules of their own.
    pub(crate) tenants_apart: Box<[Box<str>]>,
    /// Claims, each with the values of which it must have one.
    pub(crate) required: Box<[RequiredClaim]>,
    /// Empty means any.
    pub(crate) audience: Box<[Box<str>]>,
    pub(crate) algorithms: Box<[Algorithm]>,
    pub(crate) profile: Profile,
    pub(crate) leeway: Duration,
    pub(crate) max_token_age: Option<Duration>,
    pub(crate) max_token_bytes: usize,
    pub(crate) clients: Option<Box<[Box<str>]>>,
    pub(crate) scope_claims: Box<[ClaimPath]>,
    pub(crate) scope_separator: char,
    pub(crate) roles_claims: Box<[ClaimPath]>,
    /// How its opaque tokens begin.
    pub(crate) token_prefix: Box<str>,
    pub(crate) data: Option<IssuerData>,
}

impl Source {
    /// The configuration field that holds it.
    pub(crate) fn field(&self, keys: &[StaticKey]) -> &'static str {
        match self {
            Self::Discovery => "issuer",
            Self::JwksUri(_) => "jwks_uri",
            Self::JwksJson(_) => "jwks_json",
            Self::JwksFile(_) => "jwks_file",
            Self::Static => keys.first().map_or("key_pem", StaticKey::field),
        }
    }
}

impl IssuerRules {
    /// Whether its name has a hole for the tenant.
    pub(crate) fn has_tenants(&self) -> bool {
        has_hole(&self.name)
    }
}

impl IssuerState {
    pub(crate) fn new(
        rules: IssuerRules,
        keys: IssuerKeys,
        introspector: Option<Introspector>,
        probation: Option<Arc<Probation>>,
        revocations: Arc<List>,
        since: u64,
    ) -> Self {
        let (used, ended) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        let introspector = introspector.map(Arc::new);
        Self { rules, keys, introspector, probation, revocations, used, since, ended }
    }

    pub(crate) fn name(&self) -> &str {
        &self.rules.name
    }

    /// Whether that generation has it. A token cached under an issuer is not used by generations without it, earlier or
    /// later.
    pub(crate) fn is_in_force(&self, generation: u64) -> bool {
        (self.since..self.ended.load(Ordering::Acquire)).contains(&generation)
    }

    /// That generation and all later ones do not have it.
    pub(crate) fn end(&self, generation: u64) {
        self.ended.fetch_min(generation, Ordering::AcqRel);
    }

    /// Whether its tokens can be validated now.
    pub(crate) fn is_usable(&self, now: Now) -> bool {
        let Some(introspector) = &self.introspector else { return self.keys.are_usable(now) };
        introspector.is_ok(now) && (!introspector.needs_keys(&self.keys) || self.keys.are_usable(now))
    }

    /// It is used at that time. Most uses in the same moment write nothing.
    pub(crate) fn used_at(&self, time: u64) {
        if self.used.load(Ordering::Relaxed) < time {
            self.used.fetch_max(time, Ordering::Relaxed);
        }
    }

    pub(crate) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether its tokens are validated against the same rules and keys as the other's.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // A reload ends what was learnt by questions.
        let neither_asks = self.introspector.is_none() && other.introspector.is_none();
        neither_asks && self.rules == other.rules && self.keys.is_same(&other.keys)
    }
}
