//! An issuer whose tokens are accepted: its configuration, and its state in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::algorithm::Algorithm;
use crate::defaults;
use crate::keys::{IssuerKeys, Probation, StaticKey};

/// An authorization server whose tokens a guard accepts, and the conditions for them.
///
/// With a name and an audience alone, the server's keys are discovered (RFC 8414, then OpenID Connect), and tokens must
/// be RFC 9068 access tokens. Keys come from one source: a second source is an error when the guard is built. Only keys
/// in PEM form may be several.
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
    pub(crate) name: String,
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
    pub(crate) roles_claims: Vec<String>,
    pub(crate) any_audience: bool,
    pub(crate) allow_http: bool,
    pub(crate) allow_private_jwks: bool,
}

/// Where the keys come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Discovery,
    JwksUri(String),
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
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
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
            roles_claims: vec!["roles".to_owned()],
            any_audience: false,
            allow_http: false,
            allow_private_jwks: false,
        }
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
        self.sources.push(Source::JwksUri(uri.into()));
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

    /// The claim that holds the scopes, as a string with spaces or a list. By default `scope`, else `scp`. A name
    /// with dots is looked up as it is, then as a path into objects.
    pub fn scope_claim(mut self, name: impl Into<String>) -> Self {
        self.scope_claims = vec![name.into()];
        self
    }

    /// The claim that holds the roles, as a string or a list; a path as in
    /// [`scope_claim`](Self::scope_claim), such as `realm_access.roles`. By default `roles`.
    pub fn roles_claim(mut self, name: impl Into<String>) -> Self {
        self.roles_claims = vec![name.into()];
        self
    }

    /// Accepts tokens for other services too. Each of those services could then replay the tokens it receives against
    /// this one. Only right when the issuer puts no `aud` into its tokens.
    pub fn danger_accept_any_audience(mut self) -> Self {
        self.any_audience = true;
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
pub(crate) struct IssuerState {
    pub(crate) rules: IssuerRules,
    pub(crate) keys: IssuerKeys,
    /// Of a tenant: what it may cost until a token of it is verified.
    pub(crate) probation: Option<Arc<Probation>>,
    /// Of a tenant: when it was used last, as [`Tenants`](crate::tenants::Tenants) counts it.
    used: AtomicU64,
    /// The first generation that has it.
    since: u64,
    /// The first generation that no longer has it.
    ended: AtomicU64,
}

/// What an issuer's tokens are validated against.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IssuerRules {
    pub(crate) name: Box<str>,
    /// Empty means any.
    pub(crate) audience: Box<[Box<str>]>,
    pub(crate) algorithms: Box<[Algorithm]>,
    pub(crate) profile: Profile,
    pub(crate) leeway: Duration,
    pub(crate) max_token_age: Option<Duration>,
    pub(crate) max_token_bytes: usize,
    pub(crate) clients: Option<Box<[Box<str>]>>,
    pub(crate) scope_claims: Box<[Box<str>]>,
    pub(crate) roles_claims: Box<[Box<str>]>,
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

impl IssuerState {
    pub(crate) fn new(
        rules: IssuerRules,
        keys: IssuerKeys,
        probation: Option<Arc<Probation>>,
        since: u64,
    ) -> Self {
        let (used, ended) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { rules, keys, probation, used, since, ended }
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
        self.rules == other.rules && self.keys.is_same(&other.keys)
    }
}
