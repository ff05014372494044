//! A guard's configuration: from a TOML file, the environment, or any format that serde reads.
//!
#![cfg_attr(feature = "toml", doc = "```")]
#![cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
//! use oauth_guard::config::GuardConfig;
//!
//! let guard = GuardConfig::from_toml(
//!     r#"
//!     [[issuer]]
//!     issuer = "https://auth.example.com"
//!     audience = ["orders-api"]
//!     "#,
//! )?
//! .build()?;
//!
//! // All configuration errors are reported together, by key.
//! let error = GuardConfig::from_toml("[[issuer]]\nisuer = \"https://a\"\nleeway_seconds = -1\n").unwrap_err();
//! let fields: Vec<_> = error.problems().iter().map(|problem| problem.field.as_str()).collect();
//! assert_eq!(fields, ["issuer[0].isuer", "issuer[0].leeway_seconds", "issuer[0].audience"]);
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! # Rules
//!
//! A `require` is a small table with one requirement, or a combination of others:
//!
#![cfg_attr(feature = "toml", doc = "```")]
#![cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
//! # oauth_guard::config::GuardConfig::from_toml(r#"
//! # [[issuer]]
//! # issuer = "https://auth.example.com"
//! # audience = ["orders-api"]
//! [[rule]]
//! path = "/orders/{*rest}"
//! require = { scope = "orders:read" }
//!
//! [[rule]]
//! path = "/orders/{id}"
//! methods = ["PUT", "DELETE"]
//! require = { all = [{ scope = "orders:write" }, { any = [{ role = "editor" }, { role = "admin" }] }] }
//!
//! [[rule]]
//! path = "/payments"
//! require = { all = [{ acr = ["urn:example:mfa"] }, { max_login_age_seconds = 300 }, { not = { client = "robot" } }] }
//!
//! [[rule]]
//! grpc = "reports.Reports"
//! require = { claim = "groups", contains = "analysts" }
//!
//! [[rule]]
//! path = "/health"
//! access = "public"
//! # "#)?.build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! With `default_access = "deny"` a route without a rule is closed (403), whatever the token. What stands next to a
//! handler in code, such as [`GuardLayer::require`](crate::GuardLayer::require), is enforced in addition: neither a
//! rule's `access` nor `dry_run` nor `allow_preflight` in a file undoes it.
//!
//! # Reload
//!
//! [`Guard::reload`] takes a [`GuardConfig`] too, which is then the whole configuration: rules, `deny_by_default`, issuers and
//! the realm that code added to the builder for the start are gone. Where there are any, build both from one function, and
//! give the reload the builder: the example is [there](Guard::reload).
//!
//! # Recipes
#![doc = include_str!("../../RECIPES.md")]
//!
//! # Keys
#![doc = include_str!("../../CONFIG.md")]

mod introspection;
mod keys;
mod possession;
mod revocation;
mod rules;
mod spelling;

use std::ffi::OsString;
use std::time::Duration;

use oauth_client::config::tree::{Environment, Table};
use oauth_client::config::{RedisConfig, schema};
use oauth_client::secret::from_file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

pub use self::keys::KEYS;
pub(crate) use self::spelling::Spelling;
use crate::error::{BuildError, Problem};
use crate::guard::{Guard, GuardBuilder};
use crate::issuer::{Issuer, Profile};
use crate::jose::Algorithm;
use crate::keys::KeyPolicy;

/// A checked configuration of one guard. Errors that only building can find, such as an unreadable key file, are reported
/// by [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct GuardConfig {
    builder: GuardBuilder,
    redis: Option<RedisConfig>,
}

impl GuardConfig {
    /// Reads TOML.
    ///
    /// # Errors
    /// All configuration errors together, by key; no value is quoted.
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self, BuildError> {
        Self::from_tree(&oauth_client::config::tree::from_toml(text).map_err(build_error)?)
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml), and when the file cannot be read.
    #[cfg(feature = "toml")]
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, BuildError> {
        Self::from_tree(&oauth_client::config::tree::from_file(path.as_ref()).map_err(build_error)?)
    }

    /// Reads the process's environment: `realm` is `{prefix}REALM`, `cache.max_bytes` is `{prefix}CACHE_MAX_BYTES`,
    /// issuers are numbered (`{prefix}ISSUER_0_AUDIENCE`), and lists are separated by blanks; see
    /// [From the environment](crate::config#from-the-environment).
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml), by variable; an unknown variable with the prefix is an error too.
    pub fn from_env(prefix: &str) -> Result<Self, BuildError> {
        Self::of_environment(prefix, std::env::vars_os())
    }

    fn of_environment(
        prefix: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, BuildError> {
        let environment = Environment::read(prefix, KEYS, variables);
        let names = environment.names();
        match Self::read(&environment.tree, environment.problems()) {
            Ok(Self { builder, redis }) => {
                Ok(Self { builder: builder.spelled(Spelling::Variables(names.clone())), redis })
            }
            Err(problems) => Err(BuildError::new(names.rename(problems))),
        }
    }

    /// Builds the guard. Claims are read by name.
    ///
    /// # Errors
    /// As [`GuardBuilder::build`].
    pub fn build(self) -> Result<Guard, BuildError> {
        self.builder.build()
    }

    /// The Redis that the guards of a fleet share, with the table `redis`. The package `tower-oauth-guard-redis` connects
    /// to it.
    #[must_use]
    pub fn redis(&self) -> Option<&RedisConfig> {
        self.redis.as_ref()
    }

    /// The builder, to set a claims type, an HTTP client or a clock of your own in code. Its errors name settings as the
    /// configuration does, by key or by variable; what code adds is named in the same way.
    pub fn into_builder(self) -> GuardBuilder {
        self.builder
    }

    /// What a package beside this one found, by key, named as the configuration names it.
    #[doc(hidden)]
    pub fn error(&self, problems: impl IntoIterator<Item = Problem>) -> BuildError {
        self.builder.spelling().of(BuildError::new(problems.into_iter().collect()))
    }

    /// Builds the guard. Claims are deserialized into a type of your own.
    ///
    /// # Errors
    /// As [`GuardBuilder::build`].
    pub fn build_typed<T: DeserializeOwned + Send + Sync + 'static>(self) -> Result<Guard<T>, BuildError> {
        self.builder.claims::<T>().build()
    }

    fn from_tree(values: &Map<String, Value>) -> Result<Self, BuildError> {
        Self::read(values, Vec::new()).map_err(BuildError::new)
    }

    /// Reads a tree of which these problems are known already.
    fn read(values: &Map<String, Value>, mut problems: Vec<Problem>) -> Result<Self, Vec<Problem>> {
        schema::check(values, KEYS, "", &mut problems);
        rules::check(Table::new(values), &mut problems);
        let builder = builder(Table::new(values), &mut problems);
        let redis = Table::new(values).table("redis");
        let redis = redis.and_then(|table| RedisConfig::of_table(table, "redis", &mut problems));
        if problems.is_empty() {
            return Ok(Self { builder: builder.redis_connected(redis.is_none()), redis });
        }
        // The errors that building finds are reported together with these, one for each field.
        let more = builder.build().err().map(|error| error.problems().to_vec()).unwrap_or_default();
        let all = problems.into_iter().chain(more);
        Err(schema::settle(all))
    }
}

impl<'de> Deserialize<'de> for GuardConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_tree(&Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Builds from the values present; missing and wrong ones are reported by the check and by the builder.
fn builder(table: Table<'_>, problems: &mut Vec<Problem>) -> GuardBuilder {
    let mut builder = Guard::builder().of_configuration();
    for (index, table) in table.tables("issuer").into_iter().enumerate() {
        let mut own = Vec::new();
        builder = builder.issuer(issuer(table, &mut own));
        let named =
            |problem: Problem| Problem { field: format!("issuer[{index}].{}", problem.field), ..problem };
        problems.extend(own.into_iter().map(named));
    }
    builder = table.tables("rule").into_iter().map(rules::rule).fold(builder, GuardBuilder::rule);
    if table.text("default_access") == Some("deny") {
        builder = builder.deny_by_default();
    }
    if table.flag("dry_run") {
        builder = builder.dry_run_of_rules();
    }
    if table.flag("allow_preflight") {
        builder = builder.allow_preflight_without_requirement();
    }
    for (scope, included) in table.value("implies").and_then(Value::as_object).into_iter().flatten() {
        let included = included.as_array().into_iter().flatten().filter_map(Value::as_str);
        builder = builder.implies(scope, included);
    }
    if table.has("allowed_origins") {
        builder = builder.allowed_origins(table.texts("allowed_origins"));
    }
    if let Some(bytes) = table.number("mcp_body_bytes") {
        builder = builder.mcp_body_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if table.flag("danger_trust_mcp_headers") {
        builder = builder.danger_trust_mcp_headers();
    }
    if table.has("grpc") {
        builder = builder.grpc(table.flag("grpc"));
    }
    if table.flag("allow_private_jwks") {
        builder = builder.allow_private_jwks();
    }
    if let Some(realm) = table.text("realm") {
        builder = builder.realm(realm);
    }
    if let Some(resource) = table.text("resource") {
        builder = builder.resource(resource);
    }
    if let Some(name) = table.text("token_header") {
        builder = builder.token_header(name);
    }
    if let Some(name) = table.text("token_cookie") {
        builder = builder.token_cookie(name);
    }
    if table.flag("strip_token") {
        builder = builder.strip_token();
    }
    if let Some(bytes) = table.table("cache").and_then(|cache| cache.number("max_bytes")) {
        builder = builder.cache_bytes(bytes);
    }
    if let Some(settings) = revocation::read(table, problems) {
        builder = builder.revocation(settings);
    }
    builder = possession::apply(builder, table, problems);
    match table.table("keys") {
        Some(keys) => builder.keys(key_policy(keys)),
        None => builder,
    }
}

fn issuer(table: Table<'_>, problems: &mut Vec<Problem>) -> Issuer {
    let seconds = |name| table.number(name).map(Duration::from_secs);
    let mut issuer = Issuer::new(table.text("issuer").unwrap_or_default());
    issuer = table.texts("audience").into_iter().fold(issuer, Issuer::audience);
    if table.has("algorithms") {
        issuer = issuer.algorithms(table.texts("algorithms").into_iter().filter_map(Algorithm::from_name));
    }
    if table.text("profile") == Some("jwt") {
        issuer = issuer.profile(Profile::Jwt);
    }
    if let Some(uri) = table.text("jwks_uri") {
        issuer = issuer.jwks_uri(uri);
    }
    if let Some(path) = table.text("jwks_file") {
        issuer = issuer.jwks_file(path);
    }
    if let Some(leeway) = seconds("leeway_seconds") {
        issuer = issuer.leeway(leeway);
    }
    if let Some(age) = seconds("max_token_age_seconds") {
        issuer = issuer.max_token_age(age);
    }
    if let Some(bytes) = table.number("max_token_bytes") {
        // The builder rejects a limit that is too high.
        issuer = issuer.max_token_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if table.has("clients") {
        issuer = issuer.clients(table.texts("clients"));
    }
    if let Some(claim) = table.text("scope_claim") {
        issuer = issuer.scope_claim(claim);
    }
    match table.value("roles_claim") {
        Some(Value::String(claim)) => issuer = issuer.roles_claim(claim),
        Some(Value::Array(claims)) => issuer = issuer.roles_claims(claims.iter().filter_map(Value::as_str)),
        _ => {}
    }
    if let Some(prefix) = table.text("token_prefix") {
        issuer = issuer.token_prefix(prefix);
    }
    if table.flag("allow_private_jwks") {
        issuer = issuer.allow_private_jwks();
    }
    if let Some(separator) = table.text("scope_separator").and_then(|text| text.chars().next()) {
        issuer = issuer.scope_separator(separator);
    }
    if table.flag("any_audience") {
        issuer = issuer.any_audience();
    }
    if let Some(claims) = table.value("require").and_then(Value::as_object) {
        issuer = claims.iter().fold(issuer, |issuer, (name, value)| {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            issuer.require_one_of(name, values.iter().filter_map(rules::scalar))
        });
    }
    for (name, value) in table.secret_sources("headers", problems) {
        issuer = issuer.header(name, value);
    }
    if let Some(path) = table.text("token_file") {
        issuer = issuer.token_file(path);
    }
    if let Some(path) = table.table("tls").and_then(|tls| tls.text("ca")) {
        issuer = issuer.tls_ca(from_file(path));
    }
    if let Some(introspection) = introspection::read(table, problems) {
        issuer = issuer.introspection(introspection);
    }
    if table.flag("danger_allow_http") {
        issuer = issuer.danger_allow_http();
    }
    issuer
}

fn key_policy(table: Table<'_>) -> KeyPolicy {
    let default = KeyPolicy::default();
    let seconds = |name, default| table.number(name).map_or(default, Duration::from_secs);
    KeyPolicy {
        cooldown: seconds("cooldown_seconds", default.cooldown),
        max_age: seconds("max_age_seconds", default.max_age),
        max_stale: seconds("max_stale_seconds", default.max_stale),
        ..default
    }
}

#[cfg(feature = "toml")]
fn build_error(error: oauth_client::Error) -> BuildError {
    BuildError::new(error.problems().to_vec())
}

// These guards fetch keys, so building them needs the bundled transport.
#[cfg(test)]
#[cfg(feature = "reqwest")]
mod tests;
