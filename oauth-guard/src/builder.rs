//! A guard's description, checked as a whole: whatever is wrong is said at once.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use oauth_client::clock::{Clock, SystemClock};
use oauth_client::transport::HttpClient;
use serde::de::value::UnitDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, value};

use crate::assemble::Assembler;
use crate::bearer::Places;
use crate::cache::TokenCache;
use crate::claims::Untyped;
use crate::defaults;
use crate::error::{BuildError, Problems};
use crate::guard::Guard;
use crate::issuer::{Issuer, IssuerState, Source};
use crate::judge::Policy;
use crate::keys::KeyPolicy;
use crate::metadata::ResourceMetadata;
use crate::policy::{Rule, Rules};
use crate::refuse::http::Challenge;
use crate::refuse::{AnswerBody, Hook, Refusal};
use crate::tenants::{Resolver, Tenants};

/// Describes a [`Guard`].
#[derive(Debug)]
#[must_use = "a guard is there after `build`"]
pub struct GuardBuilder<T = Untyped> {
    issuers: Vec<Issuer>,
    http: Option<HttpClient>,
    clock: Option<Arc<dyn Clock>>,
    cache_bytes: u64,
    keys: KeyPolicy,
    realm: Option<String>,
    resource_metadata: Option<String>,
    resource: Option<String>,
    rules: Vec<Rule>,
    dry_run: bool,
    preflight: bool,
    resolver: Option<Resolver>,
    token_header: Option<String>,
    token_cookie: Option<String>,
    token_query: Option<String>,
    strip_token: bool,
    hook: Option<Hook>,
    tenant_token_bytes: Option<usize>,
    claims: PhantomData<fn() -> T>,
}

impl GuardBuilder<Untyped> {
    pub(crate) fn new() -> Self {
        Self {
            issuers: Vec::new(),
            http: None,
            clock: None,
            cache_bytes: defaults::CACHE_BYTES,
            keys: KeyPolicy::default(),
            realm: None,
            resource_metadata: None,
            resource: None,
            rules: Vec::new(),
            dry_run: false,
            preflight: false,
            resolver: None,
            token_header: None,
            token_cookie: None,
            token_query: None,
            strip_token: false,
            hook: None,
            tenant_token_bytes: None,
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
            rules: self.rules,
            dry_run: self.dry_run,
            preflight: self.preflight,
            resolver: self.resolver,
            token_header: self.token_header,
            token_cookie: self.token_cookie,
            token_query: self.token_query,
            strip_token: self.strip_token,
            hook: self.hook,
            tenant_token_bytes: self.tenant_token_bytes,
            claims: PhantomData,
        }
    }

    /// An issuer whose tokens to accept. Call again for more; each has its own keys.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Finds issuers at run time, for tenants that come and go. It is asked for an issuer that was not given with
    /// [`issuer`](Self::issuer), before anything else is done about its token: `Ok(None)` refuses it, without any
    /// network call of the guard's. An error is answered 503.
    ///
    /// Anyone can send a token with an invented `iss`, so answer from memory where you can, or by a rule. It is asked
    /// once at a time per name, about 1,000 names at a time (who asks beyond that is answered 503), and never about an
    /// `iss` beyond 1 KiB. A name it does not know is not asked about again for the keys' cool-down, and one that it
    /// failed or panicked on not for a second.
    ///
    /// 1,000 issuers are remembered, those used last, and none of them expires: call [`Guard::forget_issuer`] when one
    /// is gone or is to be accepted under other conditions.
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
        self.resolver = Some(Resolver::new(resolve));
        self
    }

    /// The longest token to look at before its issuer is known, in bytes, with
    /// [`resolve_issuers`](Self::resolve_issuers). No issuer that is found may set a higher
    /// [`max_token_bytes`](Issuer::max_token_bytes). By default 8,192.
    pub fn tenant_token_bytes(mut self, bytes: usize) -> Self {
        self.tenant_token_bytes = Some(bytes);
        self
    }

    /// The HTTP client to fetch keys with. By default the bundled one (feature `reqwest`).
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    /// Where the time comes from. By default the machine's clocks. A guard keeps its clock when it is
    /// [reloaded](Guard::reload).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
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

    /// What the requests of one route have to bring. Call again for more; with rules there, a route without one needs
    /// a valid token. See [`Rule`] for which one counts.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Refuses nobody for what the token does not grant: it is logged instead, on target `oauth_guard`, with the
    /// refusal's `code` and `needed`, the `rule`, the `issuer` and `dry_run = true`. For trying rules out on a service
    /// that has callers.
    ///
    /// Only requirements and the shape of paths are tried out. A request without a token where one is needed, and a bad
    /// token, are refused as ever: whoever reads claims can rely on them.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Lets the requests through with which a browser asks ahead whether another site's script may call (CORS
    /// preflight): `OPTIONS` with `Origin` and `Access-Control-Request-Method`, which never have a token. For when what
    /// answers them stands behind the guard. By default they are requests as all others.
    pub fn allow_preflight(mut self) -> Self {
        self.preflight = true;
        self
    }

    /// Takes the token from this header too, where it stands without a scheme: `x-access-token: eyJ…`. By default only
    /// `Authorization: Bearer` is looked at. A request with a token in two places is answered 400.
    ///
    /// This is about tokens. A header that names a user, such as `x-user-id`, proves nothing: a guard neither reads
    /// nor removes such headers, and where a service behind it reads one, it is yours to strip from what comes in.
    pub fn token_header(mut self, name: impl Into<String>) -> Self {
        self.token_header = Some(name.into());
        self
    }

    /// Takes the token from this cookie too. By default no cookie is looked at. An empty cookie is none.
    ///
    /// A browser sends cookies with requests that other sites cause, so protect what changes something against
    /// cross-site request forgery: `SameSite=Strict` or `Lax`, and a check of `Origin`.
    pub fn token_cookie(mut self, name: impl Into<String>) -> Self {
        self.token_cookie = Some(name.into());
        self
    }

    /// Takes the token from this query parameter too (RFC 6750 §2.3), which RFC 9700 §4.3.2 forbids: URLs are written
    /// to logs, histories and `Referer` headers, and the token with them. Only ever right where nothing else can be
    /// sent, such as a browser's `EventSource`, with tokens that live for seconds; answers then need
    /// `Cache-Control: private`.
    pub fn danger_accept_query_parameter(mut self, name: impl Into<String>) -> Self {
        self.token_query = Some(name.into());
        self
    }

    /// Takes the token out of each request before it goes on, wherever it was found. By default it stays, and its
    /// header is marked as sensitive, so that its `Debug` does not show it. A second guard further in then finds none.
    pub fn strip_token(mut self) -> Self {
        self.strip_token = true;
        self
    }

    /// What refusals say in their body, and headers beside those they have. Status, challenge and `Retry-After` are
    /// the guard's and not to be changed here. Over gRPC there is no body, only the headers count.
    ///
    /// The default is [`AnswerBody::standard`]. Whatever is said reaches the caller, so leave
    /// [`Refusal::reason`](crate::Refusal::reason) to the logs.
    ///
    /// ```
    /// use http::{HeaderName, HeaderValue};
    /// use oauth_guard::{AnswerBody, Guard, Issuer};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
    ///     .answer(|refusal| {
    ///         AnswerBody::text(format!("{}: see https://api.example.com/help\n", refusal.code()))
    ///             .header(HeaderName::from_static("x-help"), HeaderValue::from_static("https://api.example.com/help"))
    ///     })
    ///     .build()?;
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn answer(mut self, answer: impl Fn(&Refusal) -> AnswerBody + Send + Sync + 'static) -> Self {
        self.hook = Some(Hook::new(answer));
        self
    }

    /// Builds the guard. Nothing is fetched and no runtime is needed; keys come with the first request that needs
    /// them.
    ///
    /// # Errors
    /// Everything that is wrong with the description, each with its field.
    pub fn build(self) -> Result<Guard<T>, BuildError> {
        self.policy(None).map(Guard::new)
    }

    /// The policy described, to be in force after `old`: from there come what is not described and what did not
    /// change.
    pub(crate) fn policy(self, old: Option<&Policy<T>>) -> Result<Policy<T>, BuildError> {
        let mut problems = Problems::default();
        let rules = Rules::new(&self.rules, self.preflight, &mut problems);
        let resource = self.resource_document(rules.scopes(), &mut problems);
        let challenge = self.challenge(resource.as_ref(), &mut problems);
        self.check_numbers(&mut problems);
        let places = self.places(&mut problems);
        let assembler = self.assembler(old, &mut problems);
        let mut issuers = HashMap::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            let field = |name: &str| format!("issuer[{index}].{name}");
            let before = old.and_then(|old| old.issuers.get(issuer.name.as_str()));
            let state = assembler.issuer(issuer, before, &field, &mut problems);
            if issuers.insert(Box::from(issuer.name.as_str()), state).is_some() {
                problems.add(field("issuer"), "the same issuer is there twice; put its audiences into one");
            }
        }
        if self.issuers.is_empty() && self.resolver.is_none() && old.is_none_or(|old| old.tenants.is_none()) {
            problems.add("issuer", "a guard needs at least one issuer whose tokens to accept");
        }
        let kept = old.map(|old| &old.cache).filter(|cache| cache.max_bytes() == self.cache_bytes);
        let cache = kept.cloned().or_else(|| TokenCache::new(self.cache_bytes).map(Arc::new));
        if cache.is_none() {
            problems.add("cache", "the system gave no random bytes for the key of the token digests");
        }
        let issuers: Option<HashMap<_, _>> =
            issuers.into_iter().map(|(name, state)| Some((name, state?))).collect();
        let (Some(issuers), Some(cache), true) = (issuers, cache, problems.is_empty()) else {
            return Err(problems.into_error());
        };
        let tenants = tenants(self.resolver, old, &issuers, &assembler);
        let longest = self.issuers.iter().map(|issuer| issuer.max_token_bytes).max().unwrap_or(0);
        Ok(Policy {
            generation: assembler.generation,
            max_token_bytes: match tenants {
                // How much a tenant accepts is known only when the tenant is.
                Some(_) => longest.max(assembler.tenant_token_bytes),
                None => longest,
            },
            issuers,
            tenants,
            cache,
            clock: Arc::clone(&assembler.clock),
            assembler,
            challenge: Arc::new(Challenge {
                hook: self.hook.or_else(|| old?.challenge.hook.clone()),
                ..challenge
            }),
            rules,
            resource,
            places,
            custom: custom::<T>(),
        })
    }

    fn assembler(&self, old: Option<&Policy<T>>, problems: &mut Problems) -> Assembler {
        let fetches = |issuer: &Issuer| matches!(issuer.source(), Source::Discovery | Source::JwksUri(_));
        let needs_http = self.resolver.is_some() || self.issuers.iter().any(fetches);
        let given = self.http.clone().or_else(|| old?.assembler.http.clone());
        Assembler {
            http: given.or_else(|| needs_http.then(|| bundled(problems)).flatten()),
            other_http: self.http.is_some(),
            // Times that were noted on one clock mean nothing on another.
            clock: match (old, &self.clock) {
                (Some(old), _) => Arc::clone(&old.clock),
                (None, Some(clock)) => Arc::clone(clock),
                (None, None) => Arc::new(SystemClock),
            },
            keys: self.keys.clone(),
            tenant_token_bytes: self
                .tenant_token_bytes
                .or_else(|| Some(old?.assembler.tenant_token_bytes))
                .unwrap_or(defaults::MAX_TOKEN_BYTES),
            generation: old.map_or(0, |old| old.generation + 1),
        }
    }

    fn resource_document(&self, scopes: Vec<String>, problems: &mut Problems) -> Option<ResourceMetadata> {
        let issuers = self.issuers.iter().map(|issuer| issuer.name.clone()).collect();
        let document = ResourceMetadata::new(self.resource.as_deref()?, issuers, scopes);
        let mut document = document.map_err(|why| problems.add("resource", why)).ok()?;
        if self.token_query.is_some() {
            document.bearer_methods_supported.push("query".to_owned());
        }
        Some(document)
    }

    fn places(&self, problems: &mut Problems) -> Places {
        let header = self.token_header.as_deref().map(str::parse::<HeaderName>);
        match &header {
            Some(Ok(AUTHORIZATION | COOKIE)) => {
                problems
                    .add("token_header", "Authorization is read in any case; for a cookie use token_cookie");
            }
            Some(Err(_)) => {
                problems.add("token_header", "expected the name of a header, such as x-access-token");
            }
            _ => {}
        }
        // RFC 6265 §4.1.1: a cookie's name is a token.
        let is_token = |name: &String| {
            let mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
        };
        if self.token_cookie.as_ref().is_some_and(|name| !is_token(name)) {
            problems.add("token_cookie", "expected the name of a cookie, such as access_token");
        }
        if self.token_query.as_ref().is_some_and(String::is_empty) {
            problems.add("token_query", "expected the name of a query parameter, such as access_token");
        }
        Places {
            header: header.and_then(Result::ok),
            cookie: self.token_cookie.as_deref().map(Into::into),
            query: self.token_query.as_deref().map(Into::into),
            strip: self.strip_token,
        }
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
            dry_run: self.dry_run,
            ..Challenge::default()
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
        if self.tenant_token_bytes.is_some_and(|bytes| !(1..=defaults::MOST_TOKEN_BYTES).contains(&bytes)) {
            problems.add("tenant_token_bytes", "expected 1 to 1,048,576 bytes");
        }
        if self.keys.max_keys == 0 || self.keys.max_bytes == 0 {
            problems.add("keys", "max_keys and max_bytes have to be above zero");
        }
    }
}

/// Issuers found at run time: as they were, if nothing about them changed.
fn tenants<T>(
    resolver: Option<Resolver>,
    old: Option<&Policy<T>>,
    issuers: &HashMap<Box<str>, Arc<IssuerState>>,
    assembler: &Assembler,
) -> Option<Arc<Tenants>> {
    let before = old.and_then(|old| Some((old, old.tenants.as_ref()?)));
    let resolver = match (resolver, before) {
        (Some(resolver), _) => Arc::new(resolver),
        (None, Some((old, tenants))) => {
            let same_names = old.issuers.len() == issuers.len()
                && old.issuers.keys().all(|name| issuers.contains_key(name));
            if same_names && assembler.makes_the_same_as(&old.assembler) {
                return Some(Arc::clone(tenants));
            }
            tenants.resolver()
        }
        (None, None) => return None,
    };
    Some(Tenants::new(resolver, assembler.clone(), before.map(|(_, tenants)| &**tenants)))
}

fn bundled(problems: &mut Problems) -> Option<HttpClient> {
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

// What these build fetches keys, so it needs a transport to be built at all.
#[cfg(test)]
#[cfg(feature = "reqwest")]
mod tests;
