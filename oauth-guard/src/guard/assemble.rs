//! From an issuer's configuration to its state in force; all errors are collected.

use std::sync::Arc;

use oauth_client::clock::Clock;
use oauth_client::config::tree::unreadable;
use oauth_client::transport::{HttpClient, is_loopback, is_private};
use url::Url;

use crate::address::{Address, HAS_USER, has_user};
use crate::bearer;
use crate::claims::ClaimPath;
use crate::defaults::MOST_TOKEN_BYTES;
use crate::error::Problems;
use crate::introspect::{IntrospectedTokens, Introspection, Introspector};
use crate::issuer::{AnyAudience, Issuer, IssuerRules, IssuerState, Source};
use crate::jose::{Algorithm, TENANT, algorithm, is_for_some_tenant};
use crate::keys::{
    IssuerKeys, JwksLocation, KeyPolicy, KeySet, Probation, Remote, StaticKey, VerifyingKey, log_skipped,
    must_be_public,
};
use crate::revocation::List;

/// What all issuers of a guard have in common.
#[derive(Clone, Debug)]
pub(crate) struct Assembler {
    pub(crate) http: Option<HttpClient>,
    /// The HTTP client is another one than in the previous snapshot.
    pub(crate) http_changed: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: KeyPolicy,
    /// Whether the keys of every issuer may be fetched from private addresses.
    pub(crate) allow_private_jwks: bool,
    /// The names of the configured issuers, sorted.
    pub(crate) names: Vec<String>,
    /// The longest token to accept before its issuer is known, and the highest limit that a resolved issuer may set.
    pub(crate) tenant_token_bytes: usize,
    /// How many issuers resolved at run time are kept.
    pub(crate) max_tenants: usize,
    /// What is revoked at the guard.
    pub(crate) revocations: Arc<List>,
    /// The first generation of its issuers.
    pub(crate) generation: u64,
}

/// Whether this is the name of an endpoint that Microsoft Entra has for all tenants, which is the `iss` of no token.
fn names_no_tenant(issuer: &str) -> bool {
    let Some((host, path)) = issuer.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let shared = |segment| matches!(segment, "common" | "organizations" | "consumers");
    match path.trim_end_matches('/').split_once('/') {
        Some((tenant, "v2.0")) => shared(tenant),
        None => host == "sts.windows.net" && shared(path.trim_end_matches('/')),
        _ => false,
    }
}

/// The issuer that is meant where the URL of its metadata was written (RFC 8414 section 3.1, OpenID Connect Discovery 1.0
/// section 4).
fn named_by_metadata(issuer: &str) -> Option<String> {
    let documents = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
    let meant = documents.iter().find_map(|document| {
        let (origin, path) = issuer.split_once(document)?;
        let ends = path.is_empty() || path.starts_with('/');
        ends.then(|| [origin, path.trim_end_matches('/')].concat())
    });
    // What is no URL may hold a password, which must not be printed.
    meant.filter(|meant| Url::parse(meant).is_ok() && !has_user(meant))
}

fn is_http(name: &str) -> bool {
    Url::parse(name).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

impl Assembler {
    /// The issuer in force; `before` itself if nothing changed. `probation` is that of a tenant.
    pub(crate) fn issuer(
        &self,
        issuer: &Issuer,
        before: Option<&Arc<IssuerState>>,
        probation: Option<Arc<Probation>>,
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<Arc<IssuerState>> {
        if issuer.name.is_empty() {
            problems.add(field("issuer"), "expected the exact `iss` of its tokens");
        }
        // Other names are never called, and may be any URI.
        if issuer.name.has_user() && is_http(&issuer.name) {
            problems.add(field("issuer"), HAS_USER);
        } else if let Some(meant) = named_by_metadata(&issuer.name) {
            if matches!(issuer.source(), Source::Discovery) {
                problems.add(
                    field("issuer"),
                    format!(
                        "is the URL of its metadata; write the issuer that stands there, such as {meant}"
                    ),
                );
            } else {
                tracing::warn!(
                    target: "oauth_guard", issuer = ?issuer.name, meant,
                    "this is the URL of an issuer's metadata, which few tokens have as their iss"
                );
            }
        }
        if issuer.name.matches(TENANT).count() > 1 {
            problems.add(
                field("issuer"),
                "has {tenantid} more than once; one part of an issuer may stand for the tenant",
            );
        }
        if probation.is_none() && names_no_tenant(&issuer.name) {
            tracing::warn!(
                target: "oauth_guard",
                issuer = ?issuer.name,
                "no token has this iss: Microsoft Entra puts the tenant's id in it. Name the tenant, or write {{tenantid}} in its place, with jwks_uri and a rule that names the tenants to accept"
            );
        }
        match (issuer.audience.is_empty(), issuer.any_audience) {
            (true, None) => problems.add(
                field("audience"),
                "expected a name of this API, as in `aud`; tokens for other APIs are rejected by it",
            ),
            (false, Some(AnyAudience::Danger)) => problems.add(
                field("audience"),
                "an audience and danger_accept_any_audience contradict each other; remove one",
            ),
            (false, Some(AnyAudience::OfClients)) => problems.add(
                field("any_audience"),
                "an audience and any_audience contradict each other; remove one",
            ),
            (true, Some(AnyAudience::OfClients)) if issuer.clients.is_none() => problems.add(
                field("any_audience"),
                "needs clients, the only ones whose tokens to accept; without them tokens for every API would be accepted",
            ),
            _ => {}
        }
        if issuer.audience.iter().any(String::is_empty) {
            problems.add(field("audience"), "an audience must not be empty");
        }
        if issuer.clients.as_ref().is_some_and(Vec::is_empty) {
            problems.add(
                field("clients"),
                "an empty list rejects every client; leave it out to accept any client",
            );
        }
        if issuer.required.iter().any(|(name, _)| name.is_empty()) {
            problems.add(field("require"), "expected the names of claims, such as token_use");
        }
        if let Some((name, _)) = issuer.required.iter().find(|(_, values)| values.is_empty()) {
            problems.add(
                field(&format!("require.{name}")),
                "an empty list rejects every token; list the values of which the claim must have one",
            );
        }
        if !(1..=MOST_TOKEN_BYTES).contains(&issuer.max_token_bytes) {
            problems.add(field("max_token_bytes"), "expected 1 to 1,048,576 bytes");
        }
        let introspector = self.introspector(issuer, field, problems);
        if issuer.roles_claims.is_empty() {
            problems
                .add(field("roles_claim"), "an empty list finds no role; leave it out for the claim `roles`");
        }
        let mut parse = |name: &str, paths: &[String]| -> Box<[ClaimPath]> {
            let parse = |path: &String| {
                ClaimPath::parse(path).unwrap_or_else(|why| {
                    problems.add(field(name), why);
                    ClaimPath::default()
                })
            };
            paths.iter().map(parse).collect()
        };
        let scope_claims = parse("scope_claim", &issuer.scope_claims);
        let roles_claims = parse("roles_claim", &issuer.roles_claims);
        let algorithms = algorithms(issuer, field, problems);
        let before_keys = before.map(|before| &before.keys);
        let keys = self.keys_of(issuer, before_keys, probation.as_ref(), &algorithms, field, problems)?;
        let boxed =
            |texts: &[String]| texts.iter().map(|text| Box::from(text.as_str())).collect::<Box<[Box<str>]>>();
        let rules = IssuerRules {
            name: (*issuer.name).into(),
            tenants_apart: self.tenants_apart(&issuer.name),
            required: issuer
                .required
                .iter()
                .map(|(name, values)| (name.as_str().into(), values.as_slice().into()))
                .collect(),
            audience: boxed(&issuer.audience),
            algorithms: algorithms.into(),
            profile: issuer.profile,
            leeway: issuer.leeway,
            max_token_age: issuer.max_token_age,
            max_token_bytes: issuer.max_token_bytes,
            clients: issuer.clients.as_deref().map(boxed),
            scope_claims,
            scope_separator: issuer.scope_separator,
            roles_claims,
            token_prefix: issuer.token_prefix.as_deref().unwrap_or_default().into(),
            data: issuer.data.clone(),
        };
        let revocations = Arc::clone(&self.revocations);
        let state = IssuerState::new(rules, keys, introspector, probation, revocations, self.generation);
        match before.filter(|before| before.is_same(&state) && before.is_in_force(self.generation)) {
            Some(before) => Some(Arc::clone(before)),
            None => {
                let asked_before = before.and_then(|before| before.introspector.as_ref());
                if let (Some(introspector), Some(before)) = (&state.introspector, asked_before) {
                    introspector.succeed(before);
                }
                Some(Arc::new(state))
            }
        }
    }

    fn introspector(
        &self,
        issuer: &Issuer,
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<Introspector> {
        let Some(introspection) = &issuer.introspection else {
            if issuer.token_prefix.is_some() {
                problems.add(field("token_prefix"), "is for opaque tokens, which need introspection");
            }
            return None;
        };
        if issuer.token_prefix.as_deref().is_some_and(|prefix| !bearer::is_token68(prefix)) {
            problems.add(field("token_prefix"), "expected the first characters of a token, such as ory_at_");
        }
        if introspection.endpoint.as_ref().is_some_and(Address::has_user) {
            problems.add(
                field("introspection.endpoint"),
                "has a user name or password, which is never sent; remove it, and use client_id and client_secret",
            );
            return None;
        }
        if introspection.endpoint.is_none() && issuer.name.contains(TENANT) {
            problems.add(
                field("introspection.endpoint"),
                "is missing; an issuer with {tenantid} in its name has no metadata",
            );
            return None;
        }
        // What is wrong with the headers is reported once: with the keys, if those are fetched.
        let mut of_headers = Problems::default();
        let http = self.asking_client(issuer, introspection, field, &mut of_headers);
        if !issuer.fetches_keys() {
            problems.extend(of_headers);
        }
        let clock = Arc::clone(&self.clock);
        Introspector::new(&issuer.name, introspection, http, clock, issuer.allow_http, field, problems)
    }

    /// The HTTP client for questions: with the issuer's headers, for its own origin and for those that the configuration
    /// names. What a question itself says in `Authorization` stays.
    fn asking_client(
        &self,
        issuer: &Issuer,
        introspection: &Introspection,
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<HttpClient> {
        let Some(own) = &introspection.http else {
            if issuer.fetching.is_empty() {
                return self.http.clone();
            }
            let urls = issuer.named_urls();
            return issuer.fetching.client(self.http.clone(), &urls, field, problems);
        };
        issuer.fetching.with_headers(own.clone(), &issuer.named_urls(), field, problems)
    }

    /// Of the issuers configured by name, those that are tenants of this one.
    fn tenants_apart(&self, issuer: &str) -> Box<[Box<str>]> {
        self.names
            .iter()
            .filter(|name| is_for_some_tenant(name, issuer))
            .map(|name| Box::from(name.as_str()))
            .collect()
    }

    /// Whether the same configuration yields the same issuer.
    pub(crate) fn is_equivalent_to(&self, old: &Self) -> bool {
        !self.http_changed
            && self.keys == old.keys
            && self.allow_private_jwks == old.allow_private_jwks
            && self.tenant_token_bytes == old.tenant_token_bytes
            && self.max_tenants == old.max_tenants
    }

    fn keys_of(
        &self,
        issuer: &Issuer,
        before: Option<&IssuerKeys>,
        probation: Option<&Arc<Probation>>,
        algorithms: &[Algorithm],
        field: &dyn Fn(&str) -> String,
        problems: &mut Problems,
    ) -> Option<IssuerKeys> {
        let introspection = issuer.introspection.as_ref();
        if probation.is_some() {
            // An opaque token names no issuer, so that none is resolved for it.
            if introspection.is_some_and(|given| given.tokens == IntrospectedTokens::Opaque) {
                problems.add(
                    field("introspection.tokens"),
                    "a resolved issuer is asked about its JWTs only, since opaque tokens name no issuer; use \"both\"",
                );
            }
            if issuer.token_prefix.is_some() {
                problems.add(
                    field("token_prefix"),
                    "is for opaque tokens, which name no issuer that could be resolved",
                );
            }
        }
        let asks_about_all = introspection.filter(|given| given.tokens == IntrospectedTokens::Any);
        if let Some(introspection) = asks_about_all {
            if probation.is_some() {
                // Callers invent names: each would cause questions, which carry our credentials.
                problems.add(
                    field("introspection.tokens"),
                    "a resolved issuer is not asked about every token that names it; use \"both\"",
                );
            }
            // The keys are those of signed responses.
            if !introspection.signed {
                if let Some(source) = issuer.sources.first() {
                    problems.add(
                        field(source.field(&issuer.static_keys)),
                        "is given, but introspection.tokens = \"any\" uses no keys; remove one of them",
                    );
                }
                return Some(IssuerKeys::fixed(KeySet::default()));
            }
        }
        if let [first, others @ ..] = &*issuer.sources {
            for other in others {
                let first = first.field(&issuer.static_keys);
                problems.add(
                    field(other.field(&issuer.static_keys)),
                    format!("keys come from one source, and {first} is set already; remove one"),
                );
            }
        }
        let allow_private = self.allow_private_jwks || issuer.allow_private_jwks;
        if !issuer.fetches_keys() && issuer.introspection.is_none() {
            for name in issuer.fetching.fields() {
                problems
                    .add(field(name), "is for fetches, and nothing is fetched from this issuer; remove it");
            }
        }
        let location = match issuer.source() {
            Source::Discovery if issuer.name.contains(TENANT) => {
                problems.add(
                    field("jwks_uri"),
                    "is missing; the keys of an issuer with {tenantid} in its name cannot be discovered",
                );
                return None;
            }
            Source::Discovery => {
                let url = fetchable(&issuer.name, issuer.allow_http, &field("issuer"), problems)?;
                if url.query().is_some() || url.fragment().is_some() {
                    problems.add(
                        field("issuer"),
                        "has a query or a fragment, so there is no metadata; set jwks_uri",
                    );
                }
                JwksLocation::Discovery
            }
            Source::JwksUri(uri) if uri.has_user() => {
                problems.add(field("jwks_uri"), HAS_USER);
                return None;
            }
            Source::JwksUri(uri) => {
                let url = fetchable(uri, issuer.allow_http, &field("jwks_uri"), problems)?;
                let is_tenant = probation.is_some();
                if is_tenant && !allow_private && must_be_public(&issuer.name, &url) && is_private(&url) {
                    problems.add(
                        field("jwks_uri"),
                        "is a private address, where a tenant must not lead; set allow_private_jwks if it is meant",
                    );
                }
                JwksLocation::Uri(url)
            }
            Source::JwksJson(document) => {
                return static_set(
                    &issuer.name,
                    document.as_bytes(),
                    algorithms,
                    &field("jwks_json"),
                    problems,
                );
            }
            Source::JwksFile(path) => match std::fs::read(path) {
                Ok(document) => {
                    return static_set(&issuer.name, &document, algorithms, &field("jwks_file"), problems);
                }
                Err(error) => {
                    problems.add(field("jwks_file"), unreadable(path, &error));
                    return None;
                }
            },
            Source::Static => return static_keys(&issuer.static_keys, field, problems),
        };
        let urls = issuer.named_urls();
        let http = issuer.fetching.client(self.http.clone(), &urls, field, problems)?;
        let clock = Arc::clone(&self.clock);
        let remote =
            Remote::new(&issuer.name, location, algorithms, &self.keys, issuer.allow_http, http, clock)
                .on_probation(probation.cloned())
                .allow_private(allow_private)
                .fetching(issuer.fetching.clone());
        Some(IssuerKeys::Remote(match before.and_then(IssuerKeys::remote) {
            Some(before) if !self.http_changed && remote.is_same(before) => Arc::clone(before),
            Some(before) => {
                remote.take_over(before);
                Arc::new(remote)
            }
            None => Arc::new(remote),
        }))
    }
}

fn algorithms(issuer: &Issuer, field: &dyn Fn(&str) -> String, problems: &mut Problems) -> Vec<Algorithm> {
    let of_keys: Vec<Algorithm> = issuer.static_keys.iter().map(StaticKey::algorithm).collect();
    let allowed = match (&issuer.algorithms, issuer.source()) {
        (Some(named), _) => named.clone(),
        (None, Source::Static) => of_keys.clone(),
        (None, _) => algorithm::DEFAULT.to_vec(),
    };
    if allowed.is_empty() {
        problems.add(field("algorithms"), "expected at least one, such as RS256 or ES256");
    }
    let has_secret = issuer.static_keys.iter().any(|key| matches!(key, StaticKey::Secret { .. }));
    if allowed.iter().any(|one| one.is_symmetric()) && !has_secret {
        problems.add(
            field("algorithms"),
            "HS256, HS384 and HS512 need hmac_secret; the keys of a JWK Set are public",
        );
    }
    if has_secret && (issuer.static_keys.len() > 1 || allowed.iter().any(|one| !one.is_symmetric())) {
        problems.add(field("hmac_secret"), "a secret must be the only key, and its algorithm the only one");
    }
    for other in allowed.iter().filter(|one| !algorithm::is_supported(**one)) {
        let known = algorithm::DEFAULT.map(Algorithm::name).join(", ");
        problems.add(field("algorithms"), format!("{other} is not supported by a guard; expected {known}"));
    }
    if let Some(other) = of_keys.iter().find(|one| !allowed.contains(one)) {
        problems.add(field("algorithms"), format!("a key is for {}, which is not one of them", other.name()));
    }
    allowed
}

/// A URL that keys may be fetched from: https, or http to loopback.
fn fetchable(text: &str, allow_http: bool, field: &str, problems: &mut Problems) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.has_host());
    let Some(url) = url else {
        problems.add(field, "expected an absolute https URL");
        return None;
    };
    let local = url.host_str().is_some_and(is_loopback);
    match url.scheme() {
        "https" => Some(url),
        "http" if local || allow_http => Some(url),
        "http" => {
            problems.add(
                field,
                "keys fetched over plain http can be replaced on the network; use https, or danger_allow_http",
            );
            None
        }
        _ => {
            problems.add(field, "expected an absolute https URL");
            None
        }
    }
}

fn static_set(
    issuer: &str,
    document: &[u8],
    algorithms: &[Algorithm],
    field: &str,
    problems: &mut Problems,
) -> Option<IssuerKeys> {
    let Ok(set) = KeySet::parse(document, algorithms, usize::MAX) else {
        problems.add(field, "expected a JWK Set: a JSON object with the list `keys`");
        return None;
    };
    if set.is_empty() {
        let why = set.skipped.first().map_or("it is empty", |skipped| skipped.why.reason());
        problems.add(field, format!("has no key that can verify a token: {why}"));
        return None;
    }
    log_skipped(&set, issuer, &mut Vec::new());
    Some(IssuerKeys::fixed(set))
}

fn static_keys(
    keys: &[StaticKey],
    field: &dyn Fn(&str) -> String,
    problems: &mut Problems,
) -> Option<IssuerKeys> {
    let mut parsed = Vec::new();
    for key in keys {
        let read = match key {
            StaticKey::Pem { key_id, algorithm, pem } => {
                VerifyingKey::from_pem(key_id.as_deref(), *algorithm, pem)
            }
            StaticKey::Secret { algorithm, secret } => VerifyingKey::from_secret(None, *algorithm, secret),
        };
        match read {
            Ok(key) => parsed.push(key),
            Err(why) => problems.add(field(key.field()), why.reason()),
        }
    }
    let set = KeySet::new(parsed, Vec::new());
    // A key that is configured one by one is meant to be used, so skipping it is an error.
    for skipped in &set.skipped {
        let name = skipped.key_id.as_deref().map_or_else(|| "a key".to_owned(), |id| format!("{id:?}"));
        problems.add(field("key_pem"), format!("{name} is not used: {}", skipped.why.reason()));
    }
    Some(IssuerKeys::fixed(set))
}
