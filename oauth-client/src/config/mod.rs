//! A client as configuration: from a TOML file, the environment, or anything that serde reads.
//!
#![cfg_attr(feature = "toml", doc = "```")]
#![cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
//! use oauth_client::config::ClientConfig;
//!
//! let config = ClientConfig::from_toml(
//!     r#"
//!     issuer = "https://auth.example.com"
//!     client_id = "orders-service"
//!     client_secret = "s3cr3t"          # better: { env = "CLIENT_SECRET" } or { file = "/run/secrets/client" }
//!     scope = ["read"]
//!     "#,
//! )?;
//! let source = config.build()?;         // a TokenSource; nothing is sent yet
//!
//! // All configuration errors are reported together, by key, and no secret is quoted.
//! let error = ClientConfig::from_toml("clientid = \"svc\"\ntimeout_seconds = 0\n").unwrap_err();
//! let fields: Vec<_> = error.problems().iter().map(|problem| problem.field.as_str()).collect();
//! assert_eq!(fields, ["clientid", "timeout_seconds", "issuer"]);
//! # Ok::<(), oauth_client::Error>(())
//! ```
//!
//! # Keys
#![doc = include_str!("../../CONFIG.md")]
//!
//! # Recipes
//!
#![doc = include_str!("../../RECIPES.md")]

mod assertion_grants;
mod auth;
mod custom;
mod dpop;
mod environment;
mod keys;
mod login;
mod params;
mod redis;
pub mod schema;
pub mod tree;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use self::assertion_grants::IdentityProvider;
pub use self::keys::KEYS;
pub use self::redis::RedisConfig;
use self::tree::{Environment, Table};
use crate::authenticate::ClientAuth;
use crate::client::{Client, ClientBuilder};
use crate::clock::Clock;
use crate::dialect::Dialect;
use crate::error::{Error, Kind, Problem};
use crate::grant::{self, TokenRequest};
use crate::login::{InteractiveLogin, LoginMethod};
use crate::source::{SourceBuilder, TokenSource};
#[cfg(feature = "keyring")]
use crate::store::KeyringStore;
use crate::store::{FileStore, MemoryStore, TokenStore};
use crate::transport::HttpClient;
#[cfg(feature = "reqwest")]
use crate::transport::Tls;

/// A checked configuration of one token source. Building from it can still fail because of the machine, for example
/// when TLS cannot be set up.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    client: ClientBuilder,
    request: TokenRequest,
    refresh_margin: Option<Duration>,
    store: Store,
    /// The login that grants it, where a person has to.
    login: Option<LoginMethod>,
    /// Where the grant begins, where that is another server.
    identity_provider: Option<Box<IdentityProvider>>,
    /// The certificates of the bundled transport.
    #[cfg(feature = "reqwest")]
    tls: Option<Tls>,
}

#[derive(Clone, Debug)]
enum Store {
    Memory,
    File(String),
    /// The keychain, and the file to use where there is none.
    Keyring(
        #[cfg_attr(
            not(feature = "keyring"),
            expect(dead_code, reason = "read by the store of that feature")
        )]
        Option<String>,
    ),
    Redis(Box<RedisConfig>),
}

impl ClientConfig {
    /// Reads TOML.
    ///
    /// # Errors
    /// `config`; every mistake is one of [`Error::problems`].
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Self::from_tree(&tree::from_toml(text)?)
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml), and when the file cannot be read.
    #[cfg(feature = "toml")]
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        Self::from_tree(&tree::from_file(path.as_ref())?)
    }

    /// Reads the process's environment. The prefix includes its underscore, such as `MY_`: `client_id` is
    /// `{prefix}CLIENT_ID`, `store.kind` is `{prefix}STORE_KIND`, lists are separated by blanks, and a secret in a file is
    /// named by `{prefix}CLIENT_SECRET_FILE`; see [From the environment](crate::config#from-the-environment).
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml), by variable; an unknown variable with the prefix is a mistake too.
    pub fn from_env(prefix: &str) -> Result<Self, Error> {
        Self::of_environment(prefix, std::env::vars_os())
    }

    fn of_environment(
        prefix: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let environment = Environment::read(prefix, KEYS, variables);
        let read = Self::read(&environment.tree, environment.problems());
        read.map_err(|problems| Error::new(Kind::Config(environment.names().rename(problems))))
    }

    /// The source it describes.
    ///
    /// # Errors
    /// `config` when this machine cannot do what it says.
    pub fn build(self) -> Result<TokenSource, Error> {
        self.into_builder()?.build()
    }

    /// The same, with more to be set in code.
    ///
    /// # Errors
    /// `config` when this machine cannot do what it says.
    pub fn into_builder(self) -> Result<SourceBuilder, Error> {
        match self.store.clone() {
            Store::Memory => Ok(self.into_bare_builder()?.own_store(MemoryStore::new())),
            Store::File(path) => self.into_builder_with(FileStore::new(path)),
            #[cfg(feature = "keyring")]
            Store::Keyring(path) => {
                let store = KeyringStore::new();
                self.into_builder_with(match path {
                    Some(path) => store.or_file(path),
                    None => store,
                })
            }
            #[cfg(not(feature = "keyring"))]
            Store::Keyring(_) => Err(Error::config(
                "store.kind",
                "is \"keyring\", which this build does not have; switch on the feature keyring of tower-oauth-client",
            )),
            Store::Redis(_) => Err(Error::config(
                "store.kind",
                "is \"redis\", which this build cannot connect to; add the package tower-oauth-client-redis and build \
                 the source with oauth_client_redis::build(&config)",
            )),
        }
    }

    /// The same over a store that is opened elsewhere, whatever the table `store` says.
    ///
    /// # Errors
    /// `config` when this machine cannot do what it says.
    pub fn into_builder_with(self, store: impl TokenStore) -> Result<SourceBuilder, Error> {
        Ok(self.into_bare_builder()?.store(store))
    }

    fn into_bare_builder(self) -> Result<SourceBuilder, Error> {
        let request = match &self.identity_provider {
            Some(provider) => self.request.with_grant_of(&grant::id_jag(
                provider.grant(&self.with_transport(provider.client.clone())?.build()?),
            )),
            None => self.request.clone(),
        };
        // A refresh token that is configured is one user's, whatever else its store keeps.
        let is_of_one_user = request.grant().refresh_token().is_some();
        let mut source = self.client()?.source(request);
        if is_of_one_user {
            source = source.of_one_user();
        }
        if let Some(margin) = self.refresh_margin {
            source = source.refresh_margin(margin);
        }
        Ok(source)
    }

    /// Where the Redis of its store is, with `kind = "redis"`.
    #[must_use]
    pub fn redis(&self) -> Option<&RedisConfig> {
        match &self.store {
            Store::Redis(redis) => Some(redis),
            Store::Memory | Store::File(_) | Store::Keyring(_) => None,
        }
    }

    /// The login it describes, where its grant is one that a person gives (`authorization_code`, `device_code`, `ciba`). A
    /// source of such a grant has tokens once a user has logged in:
    ///
    #[cfg_attr(feature = "toml", doc = "```no_run")]
    #[cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
    /// # async fn run() -> Result<(), oauth_client::Error> {
    /// let config = oauth_client::config::ClientConfig::from_file("client.toml")?;
    /// let login = config.login()?;
    /// let source = config.build()?;
    /// if let Some(login) = login {
    ///     // Prompts only when the store has no usable tokens.
    ///     login.ensure(&source, |prompt| eprintln!("{prompt:?}")).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `config` when this machine cannot do what it says.
    pub fn login(&self) -> Result<Option<InteractiveLogin>, Error> {
        let way = self.login.clone();
        way.map(|way| Ok(InteractiveLogin::new(self.client()?, way))).transpose()
    }

    /// The client it describes, without the source.
    ///
    /// # Errors
    /// `config` when this machine cannot do what it says.
    pub fn client(&self) -> Result<Client, Error> {
        self.with_transport(self.client.clone())?.build()
    }

    fn with_transport(&self, client: ClientBuilder) -> Result<ClientBuilder, Error> {
        #[cfg(feature = "reqwest")]
        if let Some(tls) = &self.tls {
            return Ok(client.http(HttpClient::with_tls(tls.clone())?));
        }
        Ok(client)
    }

    /// The builders of all clients that it describes.
    fn each_client(&mut self, change: impl Fn(ClientBuilder) -> ClientBuilder) {
        self.client = change(self.client.clone());
        if let Some(provider) = &mut self.identity_provider {
            provider.client = change(provider.client.clone());
        }
    }

    /// Another transport than the bundled one; the table `tls` is for that one only.
    #[must_use]
    pub fn http(mut self, http: HttpClient) -> Self {
        self.each_client(|client| client.http(http.clone()));
        #[cfg(feature = "reqwest")]
        {
            self.tls = None;
        }
        self
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        self.each_client(|client| client.shared_clock(Arc::clone(&clock)));
        self
    }

    fn from_tree(values: &Map<String, Value>) -> Result<Self, Error> {
        Self::read(values, Vec::new()).map_err(|problems| Error::new(Kind::Config(problems)))
    }

    /// Reads a tree of which these problems are known already.
    fn read(values: &Map<String, Value>, mut problems: Vec<Problem>) -> Result<Self, Vec<Problem>> {
        schema::check(values, KEYS, "", &mut problems);
        let table = Table::new(values);
        let dialect = custom::dialect(table, &mut problems);
        let usual = dialect.grants.first().map_or("client_credentials", String::as_str);
        let grant = table.text("grant").unwrap_or(usual);
        params::check(table, grant, &mut problems);
        let login = login::way(table, grant, &mut problems);
        let request = request(table, &dialect, grant, login.as_ref(), &mut problems);
        let identity_provider = match grant == "id_jag" {
            true => assertion_grants::identity_provider(table, &mut problems).map(Box::new),
            false => None,
        };
        let client = client(table, dialect, &mut problems);
        #[cfg(feature = "reqwest")]
        let tls = auth::tls(table, &mut problems);
        #[cfg(not(feature = "reqwest"))]
        auth::no_tls(table, &mut problems);
        let store = store(table, &mut problems);
        let refresh_margin = table.number("refresh_margin_seconds").map(Duration::from_secs);
        match (request, store) {
            (Some(request), Some(store)) if problems.is_empty() => Ok(Self {
                client,
                request,
                refresh_margin,
                store,
                login,
                identity_provider,
                #[cfg(feature = "reqwest")]
                tls,
            }),
            _ => Err(schema::settle(problems)),
        }
    }
}

impl<'de> Deserialize<'de> for ClientConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_tree(&Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn client(table: Table<'_>, dialect: Dialect, problems: &mut Vec<Problem>) -> ClientBuilder {
    let mut builder = Client::builder();
    if let Some(url) = table.text("base_url") {
        builder = builder.base_url(url);
    }
    if let Some(issuer) = table.text("issuer") {
        builder = builder.issuer(issuer);
    }
    if let Some(endpoint) = table.text("token_endpoint") {
        builder = builder.token_endpoint(endpoint);
    }
    if let Some(text) = table.text("user_agent") {
        builder = builder.user_agent(text);
    }
    for (name, value) in table.secret_sources("headers", problems) {
        builder = builder.header(name, value);
    }
    if table.flag("danger_allow_http") {
        builder = builder.danger_allow_http();
    }
    // Zero has been reported under the key's own name.
    if let Some(seconds) = table.number("timeout_seconds").filter(|seconds| *seconds > 0) {
        builder = builder.timeout(Duration::from_secs(seconds));
    }
    let auth = auth::auth(table, &dialect, problems);
    if let Some(dpop) = dpop::dpop(table, auth.as_ref(), problems) {
        builder = builder.dpop(dpop);
    }
    builder = builder.provider(dialect);
    if let Some(auth) = auth {
        builder = builder.auth(auth);
    }
    builder = auth::mutual_tls(table, builder);
    // The client's identity is checked above, and the transport comes when it is built.
    let known = |problem: &Problem| matches!(&*problem.field, "auth" | "http");
    problems.extend(builder.problems().into_iter().filter(|problem| !known(problem)));
    builder
}

fn request(
    table: Table<'_>,
    dialect: &Dialect,
    grant: &str,
    login: Option<&LoginMethod>,
    problems: &mut Vec<Problem>,
) -> Option<TokenRequest> {
    for name in &dialect.required {
        if !table.pairs("params").iter().any(|(given, _)| given == name) {
            let message = format!("is missing; provider {} needs it with every request", dialect.name());
            problems.push(problem(&format!("params.{name}"), &message));
        }
    }
    assertion_grants::misplaced(table, grant, problems);
    let request = match grant {
        _ if !dialect.grants.is_empty() && !dialect.grants.iter().any(|known| known == grant) => {
            problems.push(problem("grant", &dialect.no_grant(grant)));
            return None;
        }
        "client_credentials" => grant::client_credentials(),
        "password" => {
            let username = needed(table, "username", "grant = \"password\"", problems);
            let password = needed(table, "password", "grant = \"password\"", problems);
            let password = password.and_then(|()| table.secret("password", problems));
            username?;
            grant::password(table.text("username")?, password?)
        }
        "refresh_token" => {
            needed(table, "refresh_token", "grant = \"refresh_token\"", problems)?;
            grant::refresh_token(table.secret("refresh_token", problems)?)
        }
        "authorization_code" | "device_code" | "ciba" => return login.map(TokenRequest::from),
        "jwt_bearer" => assertion_grants::assertion(table, problems)?,
        "token_exchange" => assertion_grants::exchange(table, problems)?,
        // The grant comes when it is built, with a client of the identity provider.
        "id_jag" => grant::client_credentials(),
        // The check has reported it.
        _ => return None,
    };
    let request = request.scope(table.texts("scope")).resource(table.texts("resource"));
    // Of the two legs of id_jag, the first names it.
    let audience = table.text("audience").filter(|_| grant != "id_jag");
    let request = audience.into_iter().fold(request, TokenRequest::audience);
    let request = table.text("subject").into_iter().fold(request, TokenRequest::subject);
    let request = login::with_details(request, TokenRequest::authorization_details, table, problems);
    Some(
        table
            .pairs("params")
            .into_iter()
            .fold(request, |request, (name, value)| request.parameter(name, value)),
    )
}

fn store(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<Store> {
    let Some(store) = table.table("store") else { return Some(Store::Memory) };
    let kind = store.text("kind");
    let before = problems.len();
    for (name, of) in [
        ("path", &["file", "keyring"][..]),
        ("url", &["redis"]),
        ("password", &["redis"]),
        ("prefix", &["redis"]),
        ("seal_key", &["redis"]),
        ("tls", &["redis"]),
    ] {
        if store.has(name) && kind.is_some_and(|kind| !of.contains(&kind)) {
            let message =
                format!("is for kind = {:?}; a store of kind {:?} has none", of[0], kind.unwrap_or_default());
            problems.push(problem(&format!("store.{name}"), &message));
        }
    }
    let found = match (kind, store.text("path")) {
        (Some("file"), Some(path)) => Some(Store::File(path.to_owned())),
        (Some("file"), None) => {
            problems
                .push(problem("store.path", "is missing; a store of kind \"file\" needs the file's path"));
            None
        }
        (Some("memory"), _) => Some(Store::Memory),
        (Some("keyring"), path) => Some(Store::Keyring(path.map(str::to_owned))),
        (Some("redis"), _) => {
            RedisConfig::of_store(store, problems).map(|redis| Store::Redis(Box::new(redis)))
        }
        _ => {
            problems.push(problem(
                "store.kind",
                "is missing; expected \"memory\", \"file\", \"keyring\" or \"redis\"",
            ));
            None
        }
    };
    found.filter(|_| problems.len() == before)
}

/// The client authentication of a table with the keys of client.toml, for a resource server that is a client of its
/// authorization server.
#[doc(hidden)]
pub fn client_auth(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<ClientAuth> {
    auth::auth(table, &crate::dialect::standard(), problems)
}

/// The transport of such a table's `tls`, where it has one.
#[doc(hidden)]
pub fn http_of_tls(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<HttpClient> {
    #[cfg(feature = "reqwest")]
    match HttpClient::with_tls(auth::tls(table, problems)?) {
        Ok(http) => Some(http),
        Err(error) => {
            problems.extend(error.problems().iter().cloned());
            None
        }
    }
    #[cfg(not(feature = "reqwest"))]
    {
        auth::no_tls(table, problems);
        None
    }
}

fn needed(table: Table<'_>, field: &str, by: &str, problems: &mut Vec<Problem>) -> Option<()> {
    if table.has(field) {
        return Some(());
    }
    problems.push(problem(field, &format!("is missing; {by} needs it")));
    None
}

fn problem(field: &str, message: &str) -> Problem {
    Problem { field: field.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests;
