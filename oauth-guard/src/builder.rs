//! A guard's description, checked as a whole: whatever is wrong is said at once.

use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use oauth_client::clock::{Clock, SystemClock};
use oauth_client::transport::HttpClient;
use serde::de::value::UnitDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, value};
use url::Url;

use crate::algorithm::Algorithm;
use crate::cache::TokenCache;
use crate::claims::Untyped;
use crate::defaults;
use crate::error::{BuildError, Problems};
use crate::guard::{Guard, Shared};
use crate::issuer::{Issuer, IssuerState, Rules, Source, StaticKey};
use crate::keys::{GivenKeys, IssuerKeys, KeyPolicy, KeySet, Remote, Where};
use crate::metadata::ResourceMetadata;
use crate::refuse::http::Challenge;

/// The most an issuer may set as its limit: far beyond any header a server accepts.
const MOST_TOKEN_BYTES: usize = 1024 * 1024;

/// Describes a [`Guard`].
#[derive(Debug)]
#[must_use = "a guard is there after `build`"]
pub struct GuardBuilder<T = Untyped> {
    issuers: Vec<Issuer>,
    http: Option<HttpClient>,
    clock: Arc<dyn Clock>,
    cache_bytes: u64,
    keys: KeyPolicy,
    realm: Option<String>,
    resource_metadata: Option<String>,
    resource: Option<String>,
    claims: PhantomData<fn() -> T>,
}

impl GuardBuilder<Untyped> {
    pub(crate) fn new() -> Self {
        Self {
            issuers: Vec::new(),
            http: None,
            clock: Arc::new(SystemClock),
            cache_bytes: defaults::CACHE_BYTES,
            keys: KeyPolicy::default(),
            realm: None,
            resource_metadata: None,
            resource: None,
            claims: PhantomData,
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> GuardBuilder<T> {
    /// Reads the claims of each token into a type of yours, once, when the token is first seen. A token that does
    /// not fit is refused as `invalid_token`.
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
        GuardBuilder {
            issuers: self.issuers,
            http: self.http,
            clock: self.clock,
            cache_bytes: self.cache_bytes,
            keys: self.keys,
            realm: self.realm,
            resource_metadata: self.resource_metadata,
            resource: self.resource,
            claims: PhantomData,
        }
    }

    /// An issuer whose tokens to accept. Call again for more; each has its own keys.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// The HTTP client to fetch keys with. By default the bundled one (feature `reqwest`).
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    /// Where the time comes from. By default the machine's clocks.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How many bytes of verified tokens to remember; 0 remembers none. By default 64 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// When key sets are fetched again.
    pub fn keys(mut self, policy: KeyPolicy) -> Self {
        self.keys = policy;
        self
    }

    /// The `realm` of every challenge (RFC 9110 §11.5). By default none.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// This API's own URL. With it there is an RFC 9728 document
    /// ([`Guard::resource_metadata`]), and every challenge names where that is. By default none.
    pub fn resource(mut self, url: impl Into<String>) -> Self {
        self.resource = Some(url.into());
        self
    }

    /// Where this API's RFC 9728 document is, named in every challenge, when that is not where
    /// [`resource`](Self::resource) says.
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Builds the guard. Nothing is fetched and no runtime is needed; keys come with the first request that needs
    /// them.
    ///
    /// # Errors
    /// Everything that is wrong with the description, each with its field.
    pub fn build(self) -> Result<Guard<T>, BuildError> {
        let mut problems = Problems::default();
        let resource = self.resource_document(&mut problems);
        let challenge = self.challenge(resource.as_ref(), &mut problems);
        self.check_numbers(&mut problems);
        let http = self.http.clone().or_else(|| bundled(&self.issuers, &mut problems));
        let mut issuers = HashMap::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            let field = |name: &str| format!("issuer[{index}].{name}");
            let state = self.issuer_state(issuer, http.as_ref(), &field, &mut problems);
            if issuers.insert(Box::from(issuer.name.as_str()), state).is_some() {
                problems.add(field("issuer"), "the same issuer is there twice; put its audiences into one");
            }
        }
        if self.issuers.is_empty() {
            problems.add("issuer", "a guard needs at least one issuer whose tokens to accept");
        }
        let cache = TokenCache::new(self.cache_bytes);
        if cache.is_none() {
            problems.add("cache", "the system gave no random bytes for the key of the token digests");
        }
        let issuers: Option<HashMap<_, _>> =
            issuers.into_iter().map(|(name, state)| Some((name, Arc::new(state?)))).collect();
        match (issuers, cache) {
            (Some(issuers), Some(cache)) if problems.is_empty() => Ok(Guard(Arc::new(Shared {
                max_token_bytes: self.issuers.iter().map(|issuer| issuer.max_token_bytes).max().unwrap_or(0),
                issuers,
                cache,
                clock: self.clock,
                challenge,
                resource,
                custom: custom::<T>(),
            }))),
            _ => Err(problems.into_error()),
        }
    }

    fn resource_document(&self, problems: &mut Problems) -> Option<ResourceMetadata> {
        let issuers = self.issuers.iter().map(|issuer| issuer.name.clone()).collect();
        let document = ResourceMetadata::new(self.resource.as_deref()?, issuers);
        document.map_err(|why| problems.add("resource", why)).ok()
    }

    fn challenge(&self, resource: Option<&ResourceMetadata>, problems: &mut Problems) -> Challenge {
        for (field, value) in [("realm", &self.realm), ("resource_metadata", &self.resource_metadata)] {
            let visible = |text: &String| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if value.as_ref().is_some_and(|text| !visible(text)) {
                problems.add(
                    field,
                    "it goes into a header: only visible ASCII characters and spaces are possible",
                );
            }
        }
        Challenge {
            realm: self.realm.as_deref().map(Into::into),
            resource_metadata: self
                .resource_metadata
                .as_deref()
                .or(resource.map(ResourceMetadata::url))
                .map(Into::into),
        }
    }

    fn check_numbers(&self, problems: &mut Problems) {
        let durations = [
            ("keys.cooldown", self.keys.cooldown),
            ("keys.max_age", self.keys.max_age),
            ("keys.max_stale", self.keys.max_stale),
            ("keys.timeout", self.keys.timeout),
        ];
        for (field, value) in durations {
            if value.is_zero() {
                problems.add(field, "expected a duration above zero");
            }
        }
        if self.keys.max_keys == 0 || self.keys.max_bytes == 0 {
            problems.add("keys", "max_keys and max_bytes have to be above zero");
        }
    }

    fn issuer_state(
        &self,
        issuer: &Issuer,
        http: Option<&HttpClient>,
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<IssuerState> {
        if issuer.name.is_empty() {
            problems.add(field("issuer"), "expected the exact `iss` of its tokens");
        }
        match (issuer.audience.is_empty(), issuer.any_audience) {
            (true, false) => problems.add(
                field("audience"),
                "expected a name of this service, as it stands in `aud`; tokens for other services must not pass",
            ),
            (false, true) => problems.add(
                field("audience"),
                "an audience and danger_accept_any_audience contradict each other; drop one",
            ),
            _ => {}
        }
        if issuer.audience.iter().any(String::is_empty) {
            problems.add(field("audience"), "an audience must not be empty");
        }
        if issuer.clients.as_ref().is_some_and(Vec::is_empty) {
            problems.add(
                field("clients"),
                "an empty list would refuse everybody; leave it out to accept any client",
            );
        }
        if !(1..=MOST_TOKEN_BYTES).contains(&issuer.max_token_bytes) {
            problems.add(field("max_token_bytes"), "expected 1 to 1,048,576 bytes");
        }
        let algorithms = algorithms(issuer, field, problems);
        let keys = self.issuer_keys(issuer, &algorithms, http, field, problems)?;
        let boxed =
            |texts: &[String]| texts.iter().map(|text| Box::from(text.as_str())).collect::<Box<[Box<str>]>>();
        let rules = Rules {
            name: issuer.name.as_str().into(),
            audience: boxed(&issuer.audience),
            algorithms: algorithms.into(),
            profile: issuer.profile,
            leeway: issuer.leeway,
            max_token_age: issuer.max_token_age,
            max_token_bytes: issuer.max_token_bytes,
            clients: issuer.clients.as_deref().map(boxed),
            scope_claims: boxed(&issuer.scope_claims),
            roles_claims: boxed(&issuer.roles_claims),
        };
        Some(IssuerState { rules, keys })
    }

    fn issuer_keys(
        &self,
        issuer: &Issuer,
        algorithms: &[Algorithm],
        http: Option<&HttpClient>,
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<IssuerKeys> {
        let place = match &issuer.source {
            Source::Discovery => {
                let url = fetchable(&issuer.name, issuer.allow_http, &field("issuer"), problems)?;
                if url.query().is_some() || url.fragment().is_some() {
                    problems.add(
                        field("issuer"),
                        "has a query or a fragment, so there is no metadata; set jwks_uri",
                    );
                }
                Where::Discovery
            }
            Source::JwksUri(uri) => {
                Where::Uri(fetchable(uri, issuer.allow_http, &field("jwks_uri"), problems)?)
            }
            Source::JwksJson(document) => {
                return given_set(document.as_bytes(), algorithms, &field("jwks_json"), problems);
            }
            Source::JwksFile(path) => match std::fs::read(path) {
                Ok(document) => return given_set(&document, algorithms, &field("jwks_file"), problems),
                Err(error) => {
                    problems.add(
                        field("jwks_file"),
                        format!("{} cannot be read: {}", path.display(), error.kind()),
                    );
                    return None;
                }
            },
            Source::Given => return given_keys(&issuer.static_keys, field, problems),
        };
        let http = http?.clone();
        let clock = Arc::clone(&self.clock);
        let remote = Remote::new(&issuer.name, place, algorithms, &self.keys, issuer.allow_http, http, clock);
        Some(IssuerKeys::Remote(Arc::new(remote)))
    }
}

fn algorithms(issuer: &Issuer, field: &dyn Fn(&str) -> String, problems: &mut Problems) -> Vec<Algorithm> {
    let given: Vec<Algorithm> = issuer
        .static_keys
        .iter()
        .map(|key| match key {
            StaticKey::Pem { algorithm, .. } | StaticKey::Secret { algorithm, .. } => *algorithm,
        })
        .collect();
    let allowed = match (&issuer.algorithms, &issuer.source) {
        (Some(named), _) => named.clone(),
        (None, Source::Given) => given.clone(),
        (None, _) => Algorithm::DEFAULT.to_vec(),
    };
    if allowed.is_empty() {
        problems.add(field("algorithms"), "expected at least one, such as RS256 or ES256");
    }
    let has_secret = issuer.static_keys.iter().any(|key| matches!(key, StaticKey::Secret { .. }));
    if allowed.iter().any(|one| one.is_symmetric()) && !has_secret {
        problems
            .add(field("algorithms"), "HS256, HS384 and HS512 need hmac_secret; keys from a set are public");
    }
    if has_secret && (issuer.static_keys.len() > 1 || allowed.iter().any(|one| !one.is_symmetric())) {
        problems.add(field("hmac_secret"), "a secret has to be the only key, and its algorithm the only one");
    }
    if let Some(other) = given.iter().find(|one| !allowed.contains(one)) {
        problems.add(
            field("algorithms"),
            format!("a key is given for {}, which is not among them", other.name()),
        );
    }
    allowed
}

/// A URL that keys may be fetched from: https, or http to this very machine.
fn fetchable(text: &str, allow_http: bool, field: &str, problems: &mut Problems) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.has_host());
    let Some(url) = url else {
        problems.add(field, "expected an absolute https URL");
        return None;
    };
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Some(url),
        "http" if local || allow_http => Some(url),
        "http" => {
            problems.add(
                field,
                "keys fetched over plain http can be replaced on the way; use https, or danger_allow_http",
            );
            None
        }
        _ => {
            problems.add(field, "expected an absolute https URL");
            None
        }
    }
}

fn given_set(
    document: &[u8],
    algorithms: &[Algorithm],
    field: &str,
    problems: &mut Problems,
) -> Option<IssuerKeys> {
    let Ok(set) = KeySet::parse(document, algorithms, usize::MAX) else {
        problems.add(field, "expected a JWK Set: a JSON object with the list `keys`");
        return None;
    };
    if set.len() == 0 {
        let why = set.skipped.first().map_or("it is empty", |(_, reason)| reason);
        problems.add(field, format!("holds no key that could verify a token: {why}"));
        return None;
    }
    Some(IssuerKeys::given(set))
}

fn given_keys(
    keys: &[StaticKey],
    field: &dyn Fn(&str) -> String,
    problems: &mut Problems,
) -> Option<IssuerKeys> {
    let mut given = GivenKeys::default();
    for key in keys {
        let name = if matches!(key, StaticKey::Pem { .. }) { "key_pem" } else { "hmac_secret" };
        if let Err(why) = given.add(key) {
            problems.add(field(name), why);
        }
    }
    Some(IssuerKeys::given(given.into_set()))
}

fn bundled(issuers: &[Issuer], problems: &mut Problems) -> Option<HttpClient> {
    let fetches = |issuer: &Issuer| matches!(issuer.source, Source::Discovery | Source::JwksUri(_));
    if !issuers.iter().any(fetches) {
        return None;
    }
    #[cfg(feature = "reqwest")]
    match HttpClient::new() {
        Ok(http) => return Some(http),
        Err(error) => problems.add("http", error.to_string()),
    }
    #[cfg(not(feature = "reqwest"))]
    problems.add("http", "keys have to be fetched: give an HttpClient, or switch on the feature `reqwest`");
    None
}

/// How to read the user's type. [`Untyped`] reads nothing, so it does not get the text to look through.
fn custom<T: DeserializeOwned + 'static>() -> fn(&str) -> Option<T> {
    if TypeId::of::<T>() == TypeId::of::<Untyped>() {
        return |_| {
            let nothing: UnitDeserializer<value::Error> = ().into_deserializer();
            T::deserialize(nothing).ok()
        };
    }
    |payload| match serde_json::from_str(payload) {
        Ok(custom) => Some(custom),
        Err(error) => {
            // The message quotes claim values; the place does not.
            let (line, column) = (error.line(), error.column());
            tracing::debug!(target: "oauth_guard", line, column, "claims do not fit the type they are read as");
            None
        }
    }
}
