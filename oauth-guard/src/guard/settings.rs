//! The settings of a guard, and the snapshot they describe. They are checked as a whole: all errors are reported
//! together, by field.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use oauth_client::clock::{Clock, SystemClock};
use oauth_client::transport::HttpClient;
use serde::de::value::UnitDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer, value};

use super::assemble::Assembler;
use crate::address::{Address, HAS_USER_FOR_ALL};
use crate::authorize::{Defaults, DryRun, Extras, RouteRules, Rule, Vocabulary};
use crate::bearer::TokenLocations;
use crate::cache::TokenCache;
use crate::claims::{Untyped, misfit};
use crate::config::Spelling;
use crate::defaults;
use crate::describe::ResourceMetadata;
use crate::error::{BuildError, Problems};
use crate::issuer::{Issuer, IssuerState};
use crate::jose::TENANT;
use crate::keys::KeyPolicy;
use crate::possession::PossessionSettings;
use crate::reject::log::RejectionLog;
use crate::reject::{Challenge, Hook};
use crate::revocation::{Feeds, List, RevocationSettings, SharedFeed};
use crate::snapshot::Snapshot;
use crate::tenants::{Resolver, Tenants};

/// What a [`GuardBuilder`](crate::GuardBuilder) collects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) http: Option<HttpClient>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) cache_bytes: Option<u64>,
    pub(crate) keys: KeyPolicy,
    pub(crate) realm: Option<String>,
    pub(crate) resource_metadata: Option<Address>,
    pub(crate) resource: Option<Address>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) defaults: Defaults,
    pub(crate) extras: Extras,
    pub(crate) never_grpc: bool,
    pub(crate) resolver: Option<Resolver>,
    pub(crate) token_header: Option<String>,
    pub(crate) token_cookie: Option<String>,
    pub(crate) token_query: Option<String>,
    pub(crate) strip_token: bool,
    pub(crate) hook: Option<Hook>,
    pub(crate) tenant_token_bytes: Option<usize>,
    pub(crate) max_tenants: Option<usize>,
    pub(crate) allow_private_jwks: bool,
    pub(crate) revocation: RevocationSettings,
    /// Sources of revocations besides those of the settings, which may be replaced as a whole.
    pub(crate) feeds: Vec<SharedFeed>,
    pub(crate) possession: PossessionSettings,
    /// The configuration names a Redis that is not connected.
    pub(crate) unconnected_redis: bool,
    /// How errors name settings.
    pub(crate) spelling: Spelling,
}

impl Settings {
    /// The snapshot of these settings, to be in force after `old`: settings that a configuration file cannot express and
    /// state that did not change are taken over from there.
    pub(crate) fn snapshot<T: DeserializeOwned + Send + Sync + 'static>(
        self,
        old: Option<&Snapshot<T>>,
    ) -> Result<Snapshot<T>, BuildError> {
        let spelling = self.spelling.clone();
        self.checked(old).map_err(|problems| spelling.of(problems.into_error()))
    }

    fn checked<T: DeserializeOwned + Send + Sync + 'static>(
        self,
        old: Option<&Snapshot<T>>,
    ) -> Result<Snapshot<T>, Problems> {
        let mut problems = Problems::default();
        if self.unconnected_redis {
            problems.add(
                "redis",
                "is given, and this build cannot connect to it; add the package tower-oauth-guard-redis and build the \
                 guard with oauth_guard_redis::build(&config)",
            );
        }
        let bindings = self.possession.bindings();
        let rules = RouteRules::new(&self.rules, self.defaults, &self.extras, bindings, &mut problems);
        let resource = self.resource_document(rules.scopes(), &mut problems);
        let challenge = self.challenge(resource.as_ref(), &mut problems);
        self.check_numbers(&mut problems);
        self.revocation.check(self.resource.is_some(), &mut problems);
        let token_locations = self.token_locations(&mut problems);
        let Some(revoked) = old.map(|old| Arc::clone(&old.feeds.list)).or_else(|| List::new().map(Arc::new))
        else {
            problems.add("revocation", "the system has no random bytes for the key of the list");
            return Err(problems);
        };
        let assembler = self.assembler(old, Arc::clone(&revoked), &mut problems);
        let mut issuers = HashMap::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            let field = |name: &str| format!("issuer[{index}].{name}");
            let before = old.and_then(|old| old.issuers.get(&*issuer.name));
            let state = assembler.issuer(issuer, before, None, &field, &mut problems);
            if issuers.insert(Box::from(&*issuer.name), state).is_some() {
                problems
                    .add(field("issuer"), "the same issuer is configured twice; put its audiences into one");
            }
        }
        if self.issuers.is_empty() && self.resolver.is_none() && old.is_none_or(|old| old.tenants.is_none()) {
            problems.add(
                "issuer",
                "a guard needs at least one issuer whose tokens to accept, or resolve_issuers",
            );
        }
        self.check_prefixes(&mut problems);
        let possession = self.possession.possession(
            self.resource.as_deref(),
            old.map(|old| &old.possession),
            &assembler.clock,
            &mut problems,
        );
        let cache_bytes = self.cache_bytes.unwrap_or(defaults::CACHE_BYTES);
        let kept = old.map(|old| &old.cache).filter(|cache| cache.max_bytes() == cache_bytes);
        let cache = kept.cloned().or_else(|| TokenCache::new(cache_bytes).map(Arc::new));
        if cache.is_none() {
            problems.add("cache", "the system has no random bytes for the key of the token digests");
        }
        let issuers: Option<HashMap<_, _>> =
            issuers.into_iter().map(|(name, state)| Some((name, state?))).collect();
        let (Some(issuers), Some(cache), true) = (issuers, cache, problems.is_empty()) else {
            return Err(problems);
        };
        let introspecting: Box<[_]> =
            issuers.values().filter(|issuer| issuer.introspector.is_some()).cloned().collect();
        let tenants = tenants(self.resolver, old, &issuers, &assembler);
        let longest = self.issuers.iter().map(|issuer| issuer.max_token_bytes).max().unwrap_or(0);
        Ok(Snapshot {
            generation: assembler.generation,
            max_token_bytes: match tenants {
                // A tenant's limit is known only when the tenant is resolved.
                Some(_) => longest.max(assembler.tenant_token_bytes),
                None => longest,
            },
            with_tenants: self
                .issuers
                .iter()
                .filter_map(|issuer| {
                    issuers.get(&*issuer.name).filter(|state| state.rules.has_tenants()).cloned()
                })
                .collect(),
            issuers,
            introspecting,
            tenants,
            cache,
            feeds: match old {
                Some(old) => Arc::clone(&old.feeds),
                None => Feeds::new(revoked, Arc::clone(&assembler.clock)),
            },
            revocation: self.revocation.with(self.feeds).after(old.map(|old| &old.revocation)),
            clock: Arc::clone(&assembler.clock),
            challenge: Arc::new(Challenge {
                hook: self.hook.or_else(|| old?.challenge.hook.clone()),
                implied: rules.implied().clone(),
                // A reload is no reason to warn again.
                log: match old {
                    Some(old) => Arc::clone(&old.challenge.log),
                    None => Arc::new(RejectionLog::new(Arc::clone(&assembler.clock))),
                },
                ..challenge
            }),
            assembler,
            rules,
            of_layers: old.map_or_else(|| Arc::new(Vocabulary::new()), |old| Arc::clone(&old.of_layers)),
            resource,
            token_locations,
            possession,
            custom: custom::<T>(),
            misfit: |payload| {
                serde_json::from_str::<T>(payload).err().map(|error| misfit::describe(payload, &error))
            },
        })
    }

    /// One issuer decides for one opaque token.
    fn check_prefixes(&self, problems: &mut Problems) {
        let asking: Vec<_> =
            self.issuers.iter().enumerate().filter(|(_, issuer)| issuer.introspection.is_some()).collect();
        for (at, (_, one)) in asking.iter().enumerate() {
            for (index, other) in asking.iter().skip(at + 1) {
                let [a, b] = [one, other].map(|it| it.token_prefix.as_deref().unwrap_or_default());
                if a.starts_with(b) || b.starts_with(a) {
                    let message = format!(
                        "{:?} and {:?} could both take the same opaque token; give each a token_prefix with which no token of the other begins",
                        one.name, other.name
                    );
                    problems.add(format!("issuer[{index}].token_prefix"), message);
                }
            }
        }
    }

    fn assembler<T>(
        &self,
        old: Option<&Snapshot<T>>,
        revocations: Arc<List>,
        problems: &mut Problems,
    ) -> Assembler {
        // An issuer with authorities of its own has a client of its own.
        let fetching: Vec<_> = self.issuers.iter().filter(|one| one.fetching.authorities.is_none()).collect();
        let mut urls: Vec<_> = fetching.iter().filter_map(|issuer| issuer.fetched_from()).collect();
        for issuer in fetching.iter().filter(|issuer| issuer.asks_with_headers()) {
            let endpoint = issuer.introspection.as_ref().and_then(|given| given.endpoint.as_deref());
            urls.push(endpoint.unwrap_or(&issuer.name));
        }
        urls.extend(self.revocation.poll.as_ref().map(|poll| &*poll.endpoint));
        let needs_http = self.resolver.is_some() || !urls.is_empty();
        let is_plain = |url: &&str| url.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("http:"));
        let needs_tls = self.resolver.is_some() || !urls.iter().all(is_plain);
        let http = self.http.clone().or_else(|| old?.assembler.http.clone());
        Assembler {
            http: http.or_else(|| needs_http.then(|| bundled(needs_tls, problems)).flatten()),
            http_changed: self.http.is_some(),
            // Times on one clock mean nothing on another.
            clock: match (old, &self.clock) {
                (Some(old), _) => Arc::clone(&old.clock),
                (None, Some(clock)) => Arc::clone(clock),
                (None, None) => Arc::new(SystemClock),
            },
            keys: self.keys.clone(),
            allow_private_jwks: self.allow_private_jwks,
            revocations,
            names: {
                let mut names: Vec<_> = self.issuers.iter().map(|issuer| issuer.name.to_string()).collect();
                names.sort_unstable();
                names
            },
            tenant_token_bytes: self
                .tenant_token_bytes
                .or_else(|| Some(old?.assembler.tenant_token_bytes))
                .unwrap_or(defaults::MAX_TOKEN_BYTES),
            max_tenants: self
                .max_tenants
                .or_else(|| Some(old?.assembler.max_tenants))
                .unwrap_or(defaults::TENANTS),
            generation: old.map_or(0, |old| old.generation + 1),
        }
    }

    fn resource_document(&self, scopes: Vec<String>, problems: &mut Problems) -> Option<ResourceMetadata> {
        // A name with a hole is no server that a client can go to.
        let named = self.issuers.iter().map(|issuer| issuer.name.to_string());
        let issuers = named.filter(|name| !name.contains(TENANT)).collect();
        let document = ResourceMetadata::new(self.resource.as_deref()?, issuers, scopes);
        let mut document = document.map_err(|why| problems.add("resource", why)).ok()?;
        if self.token_query.is_some() {
            document.bearer_methods_supported.push("query".to_owned());
        }
        self.possession.describe(&mut document);
        Some(document)
    }

    fn token_locations(&self, problems: &mut Problems) -> TokenLocations {
        let header = self.token_header.as_deref().map(str::parse::<HeaderName>);
        match &header {
            Some(Ok(AUTHORIZATION | COOKIE)) => {
                problems.add("token_header", "Authorization is always read; for a cookie use token_cookie");
            }
            Some(Err(_)) => {
                problems.add("token_header", "expected the name of a header, such as x-access-token");
            }
            _ => {}
        }
        // RFC 6265 section 4.1.1: a cookie's name is a token.
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
        TokenLocations {
            header: header.and_then(Result::ok),
            cookie: self.token_cookie.as_deref().map(Into::into),
            query: self.token_query.as_deref().map(Into::into),
            strip: self.strip_token,
            dpop: self.possession.dpop.is_some(),
        }
    }

    fn challenge(&self, resource: Option<&ResourceMetadata>, problems: &mut Problems) -> Challenge {
        let metadata = self.resource_metadata.as_deref();
        for (field, value) in [("realm", self.realm.as_deref()), ("resource_metadata", metadata)] {
            let visible = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if value.is_some_and(|text| !visible(text)) {
                problems.add(
                    field,
                    "it goes into a header: only visible ASCII characters and spaces are allowed",
                );
            }
        }
        if self.resource_metadata.as_ref().is_some_and(Address::has_user) {
            problems.add("resource_metadata", HAS_USER_FOR_ALL);
        }
        Challenge {
            realm: self.realm.as_deref().map(Into::into),
            resource_metadata: metadata.or(resource.map(ResourceMetadata::url)).map(Into::into),
            dry_run: self.defaults.dry_run == DryRun::All,
            never_grpc: self.never_grpc,
            dpop: self.possession.challenge(),
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
        if self.max_tenants.is_some_and(|most| !(1..=defaults::MOST_TENANTS).contains(&most)) {
            problems.add("max_tenants", "expected 1 to 100,000 issuers");
        }
        if self.keys.max_keys == 0 || self.keys.max_bytes == 0 {
            problems.add("keys", "max_keys and max_bytes must be above zero");
        }
    }
}

/// Issuers resolved at run time: taken over if nothing about them changed.
fn tenants<T>(
    resolver: Option<Resolver>,
    old: Option<&Snapshot<T>>,
    issuers: &HashMap<Box<str>, Arc<IssuerState>>,
    assembler: &Assembler,
) -> Option<Arc<Tenants>> {
    let before = old.and_then(|old| Some((old, old.tenants.as_ref()?)));
    let resolver = match (resolver, before) {
        (Some(resolver), _) => Arc::new(resolver),
        (None, Some((old, tenants))) => {
            let same_names = old.issuers.len() == issuers.len()
                && old.issuers.keys().all(|name| issuers.contains_key(name));
            if same_names && assembler.is_equivalent_to(&old.assembler) {
                return Some(Arc::clone(tenants));
            }
            tenants.resolver()
        }
        (None, None) => return None,
    };
    Some(Tenants::new(resolver, assembler.clone(), before.map(|(_, tenants)| &**tenants)))
}

/// A machine without certificate authorities is an error only where TLS is needed.
fn bundled(needs_tls: bool, problems: &mut Problems) -> Option<HttpClient> {
    #[cfg(feature = "reqwest")]
    match HttpClient::new().or_else(|error| if needs_tls { Err(error) } else { HttpClient::without_tls() }) {
        Ok(http) => return Some(http),
        Err(error) => {
            error.problems().iter().for_each(|problem| problems.add("http", problem.message.clone()));
        }
    }
    #[cfg(not(feature = "reqwest"))]
    let _ = needs_tls;
    #[cfg(not(feature = "reqwest"))]
    problems.add("http", "keys must be fetched: set an HttpClient, or enable the feature `reqwest`");
    None
}

/// How to deserialize the user's type. [`Untyped`] reads nothing, so its text is not parsed again.
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
            // The error message would quote claim values; the position does not.
            let (line, column) = (error.line(), error.column());
            tracing::debug!(target: "oauth_guard", line, column, "claims do not deserialize into the configured type");
            None
        }
    }
}
