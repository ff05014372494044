//! The configuration of a whole server.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::client::{read_client, read_user, signing_algorithms};
use super::fault::{Gates, read_fault, read_tamper};
use super::matching::read_token_rule;
use super::reader::{Fields, Mistakes, read};
use crate::builder::{MockServerBuilder, issuer_name_problem};
use crate::clients::registration::Registration;
use crate::dpop::DpopNonce;
use crate::journal::LIMITS;
use crate::json;
use crate::providers::Provider;
use crate::server::MockServer;
use crate::state::details::AuthorizationDetailsType;
use crate::state::trust::TrustedIssuer;
use crate::state::users::User;
use crate::wire::names::{HostName, Origin};

/// A server that was written down, in JSON or in TOML; `CONFIG.md` beside this crate's manifest has every field.
///
/// What is left out is as `oauth-mock serve` has it: the client `svc` with the secret `s3cr3t`, which may use every
/// grant, and the user `alice` with the password `wonderland`.
///
/// ```
/// use oauth_mock::{Config, Endpoint};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::from_json(r#"{"clients": [{"client_id": "app", "client_secret": "x", "scope": "read"}]}"#)?;
/// let server = config.into_builder().in_process();
/// assert!(server.issue("app", "alice", "read").is_some());
///
/// let mistakes = Config::from_json(r#"{"clients": [{"client_id": "app", "scopes": "read"}]}"#).unwrap_err();
/// assert!(mistakes.to_string().starts_with("clients[0].scopes: unknown; the fields here are: "));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing runs before the server is built"]
pub struct Config {
    builder: MockServerBuilder,
    listen: Option<SocketAddr>,
    control: Option<SocketAddr>,
}

/// What is wrong with a configuration: every mistake, a line each, with its field and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Reads JSON.
    ///
    /// # Errors
    /// When it is no JSON, or has a field that is unknown, missing or not of its kind.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let document =
            json::value(text.as_bytes()).map_err(|error| ConfigError(format!("not valid JSON: {error}")))?;
        Self::from_value(document)
    }

    /// Reads TOML of the same shape. Needs the feature `cli`.
    ///
    /// # Errors
    /// When it is no TOML, or has a field that is unknown, missing or not of its kind.
    #[cfg(feature = "cli")]
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        // What `toml` says ends with a line break.
        let document = toml::from_str(text)
            .map_err(|error| ConfigError(format!("not valid TOML: {}", error.to_string().trim_end())))?;
        Self::from_value(document)
    }

    fn from_value(document: Value) -> Result<Self, ConfigError> {
        read(document, read_config).map_err(|mistakes: Mistakes| ConfigError(mistakes.to_string()))
    }

    /// Where the server is to listen, if the configuration says.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Where its [control port](MockServer::control) is to listen, if the configuration says.
    #[must_use]
    pub fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    /// The server, for more to be added before it starts.
    pub fn into_builder(self) -> MockServerBuilder {
        match self.listen {
            Some(address) => self.builder.listen(address),
            None => self.builder,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        // Nothing is written, so there is nothing to be wrong.
        Self::from_value(Value::Object(Map::new())).unwrap_or_else(|_| Self {
            builder: MockServer::builder(),
            listen: None,
            control: None,
        })
    }
}

fn read_config(fields: &Fields<'_>) -> Config {
    let provider = fields.choice("provider", &PROVIDERS);
    let mut builder = provider.into_iter().fold(MockServer::builder(), MockServerBuilder::personality);
    if let Some(url) = fields.text("issuer_url") {
        match Origin::split(&url) {
            // RFC 8414 section 2.
            Some((_, path)) if !path.contains(['?', '#']) => builder = builder.issuer_url(url),
            _ => fields.mistake(
                "issuer_url",
                format!("{url:?} is no issuer: an http or https URL without query and fragment is needed"),
            ),
        }
    }
    if let Some(url) = fields.text("public_url") {
        match Origin::split(&url) {
            Some((_, "" | "/")) => builder = builder.public_url(&url),
            _ => fields.mistake(
                "public_url",
                format!("{url:?} is none; write it like \"http://mock:9000\", with nothing behind the port"),
            ),
        }
    }
    for (at, name) in fields.texts("hosts").unwrap_or_default().iter().enumerate() {
        match HostName::parse(name) {
            Some(_) => builder = builder.host(name),
            None => fields.mistake(
                &format!("hosts[{at}]"),
                format!("{name:?} is no host; write it like \"mock\" or \"mock:9000\""),
            ),
        }
    }
    if let Some(algorithms) = fields.choices("algorithms", &signing_algorithms()) {
        builder = builder.algorithms(algorithms);
    }
    if let Some(status) = fields.status("undocumented_status") {
        builder = builder.undocumented_status(status);
    }
    if let Some(unix) = fields.count("clock") {
        builder = builder.starting_at(unix);
    }
    for audience in fields.texts("audiences").unwrap_or_default() {
        builder = builder.audience(audience);
    }
    let names = fields.each("issuers", |issuer| issuer.required("name")).unwrap_or_default();
    let names: Vec<_> = names.iter().map(|name| name.trim_matches('/').to_owned()).collect();
    for (at, name) in names.iter().enumerate() {
        match issuer_name_problem(name, &names[..at]) {
            None => builder = builder.issuer(name),
            // Missing, and reported as that.
            Some(_) if name.is_empty() => {}
            Some(why) => fields.mistake(&format!("issuers[{at}].name"), format!("not {name:?}: {why}")),
        }
    }
    for issuer in fields.each("trusted_issuers", read_trusted_issuer).unwrap_or_default() {
        builder = builder.trusted_issuer(issuer);
    }
    if fields.is_set("strict_assertion_audience") {
        builder = builder.strict_assertion_audience();
    }
    if let Some(algorithms) = fields.choices("dpop_algorithms", &signing_algorithms()) {
        builder = builder.dpop_algorithms(algorithms);
    }
    if let Some(nonce) = fields.choice("dpop_nonce", &DpopNonce::NAMES) {
        builder = builder.dpop_nonce(nonce);
    }
    if let Some(nonce) = fields.choice("dpop_api_nonce", &DpopNonce::NAMES) {
        builder = builder.dpop_api_nonce(nonce);
    }

    builder = read_extras(fields, builder);
    builder = read_test_aids(fields, builder);

    let clients = unique(fields, "clients", fields.each("clients", read_client), |client| &client.id);
    let users = unique(fields, "users", fields.each("users", read_user), |user| &user.name);
    // A provider comes with the user of its page.
    let users = users.unwrap_or_else(|| provider.is_none().then(default_user).into_iter().collect());
    builder = clients.into_iter().flatten().fold(builder, MockServerBuilder::client);
    builder = users.into_iter().fold(builder, MockServerBuilder::user);

    let gates = Gates::default();
    let faults = fields.each("faults", |fault| read_fault(fault, &gates)).unwrap_or_default();
    let tampers = fields.each("flaws", read_tamper).unwrap_or_default();
    Config {
        builder: builder.initial_faults(faults, gates).initial_tampers(tampers),
        listen: address(fields, "listen"),
        control: address(fields, "control"),
    }
}

/// What a server has beyond RFC 6749.
fn read_extras(fields: &Fields<'_>, mut builder: MockServerBuilder) -> MockServerBuilder {
    let scope = |one: &Fields<'_>| (one.text("path").unwrap_or_default(), one.required("scope"));
    for (path, scope) in fields.each("api_scopes", scope).unwrap_or_default() {
        builder = builder.api_scope(path, scope);
    }
    if fields.is_set("require_pushed_authorization_requests") {
        builder = builder.require_pushed_authorization_requests();
    }
    for kind in fields.each("authorization_details_types", read_details_type).unwrap_or_default() {
        builder = builder.authorization_details_type(kind);
    }
    if let Some(values) = fields.texts("acr_values") {
        builder = builder.acr_values(values);
    }
    let times = (fields.seconds("device_lifetime"), fields.seconds("device_interval"));
    if times != (None, None) {
        let by_default = |minutes| Duration::from_secs(minutes);
        builder = builder.device_times(times.0.unwrap_or(by_default(600)), times.1.unwrap_or(by_default(5)));
    }
    let document = |one: &Fields<'_>| {
        let document = one.object("document");
        if document.is_none() {
            one.mistake("document", "needed: the metadata that are at the URL, an object");
        }
        (one.required("url"), Value::Object(document.unwrap_or_default()))
    };
    for (url, document) in fields.each("client_documents", document).unwrap_or_default() {
        builder = builder.client_document(url, document);
    }
    if let Some(registration) = fields.nested("registration", read_registration) {
        builder = builder.registration(registration);
    }
    let (tls, certificates) = (fields.is_set("tls"), fields.is_set("client_certificates"));
    #[cfg(feature = "tls")]
    if certificates {
        builder = builder.client_certificates();
    } else if tls {
        builder = builder.tls();
    }
    #[cfg(not(feature = "tls"))]
    if tls || certificates {
        fields.mistake("tls", "this build has no TLS; it needs the feature `tls` of oauth-mock");
    }
    builder
}

/// What is there for those who test, and for no client.
fn read_test_aids(fields: &Fields<'_>, mut builder: MockServerBuilder) -> MockServerBuilder {
    for rule in fields.each("claims", read_token_rule).unwrap_or_default() {
        builder = builder.token_rule(rule);
    }
    if let Some(origins) = fields.texts("cors_origins") {
        for (at, origin) in origins.iter().enumerate() {
            if !matches!(Origin::split(origin), Some((known, "")) if known.to_string() == *origin) {
                let problem = format!("{origin:?} is no origin; write it like \"https://app.example\"");
                fields.mistake(&format!("cors_origins[{at}]"), problem);
            }
        }
        builder = builder.cors_origins(origins);
    }
    let limits = (fields.size("journal_entries"), fields.size("journal_bytes"));
    for (name, limit) in [("journal_entries", limits.0), ("journal_bytes", limits.1)] {
        if limit == Some(0) {
            fields.mistake(name, "at least 1: the newest request is always kept");
        }
    }
    builder.journal_limits(limits.0.unwrap_or(LIMITS.entries), limits.1.unwrap_or(LIMITS.bytes))
}

pub(crate) const PROVIDERS: [(&str, Provider); 5] = [
    ("ils", Provider::Ils),
    ("infolink", Provider::InfoLink),
    ("sailpoint", Provider::SailPoint),
    ("comm100", Provider::Comm100),
    ("teen_quotes", Provider::TeenQuotes),
];

fn read_registration(fields: &Fields<'_>) -> Registration {
    let open = if fields.is_set("closed") { Registration::closed() } else { Registration::new() };
    let tokens = fields.texts("initial_access_tokens").unwrap_or_default();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is_empty()) {
        fields.mistake(
            &format!("initial_access_tokens[{at}]"),
            "empty; use `closed` to let no client register",
        );
    }
    let guarded = tokens.into_iter().fold(open, Registration::initial_access_token);
    if fields.is_set("rotate_access_tokens") { guarded.rotate_access_tokens() } else { guarded }
}

/// With claims, so that a user of the program finds some at userinfo.
fn default_user() -> User {
    User::new("alice", "wonderland").claim("name", "Alice").claim("email", "alice@example.com")
}

fn read_details_type(fields: &Fields<'_>) -> AuthorizationDetailsType {
    let kind = AuthorizationDetailsType::new(fields.required("type"));
    let required = fields.texts("required").unwrap_or_default();
    let kind = required.into_iter().fold(kind, AuthorizationDetailsType::required);
    fields.texts("optional").unwrap_or_default().into_iter().fold(kind, AuthorizationDetailsType::optional)
}

fn read_trusted_issuer(fields: &Fields<'_>) -> TrustedIssuer {
    let issuer = TrustedIssuer::new(fields.required("issuer"));
    match fields.object("jwks").map(Value::Object) {
        Some(jwks) if jwks["keys"].is_array() => issuer.jwks(&jwks),
        _ => {
            fields.mistake(
                "jwks",
                "needed: a JWK set, which has the member `keys`, a list (RFC 7517 section 5)",
            );
            issuer
        }
    }
}

/// Only one of two with the same name would ever be found; the author meant something else.
fn unique<T>(
    fields: &Fields<'_>,
    list: &str,
    items: Option<Vec<T>>,
    name: impl Fn(&T) -> &String,
) -> Option<Vec<T>> {
    let items = items?;
    for (at, item) in items.iter().enumerate() {
        let name_of_it = name(item);
        if let Some(first) = items[..at].iter().position(|known| name(known) == name_of_it) {
            fields.mistake(
                &format!("{list}[{at}]"),
                format!("{name_of_it:?} is there already, as {list}[{first}]"),
            );
        }
    }
    Some(items)
}

fn address(fields: &Fields<'_>, name: &'static str) -> Option<SocketAddr> {
    let text = fields.text(name)?;
    let address = text.parse();
    if address.is_err() {
        fields.mistake(
            name,
            format!("{text:?} is no address; write it like \"127.0.0.1:9000\", port 0 for a free one"),
        );
    }
    address.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    #[test]
    fn what_is_written_is_what_runs() {
        let server = Config::from_json(
            r#"{"algorithms": ["ES256"], "audiences": ["a", "b"], "issuers": [{"name": "tenant"}], "clock": 1000,
                "clients": [{"client_id": "x", "client_secret": "y", "token_lifetime": 7}],
                "users": [{"name": "bob", "password": "builder"}],
                "faults": [{"endpoint": "jwks", "fault": "status", "status": 503, "times": 1}]}"#,
        );
        let server = server.unwrap().into_builder().in_process();
        assert_eq!((server.audience(), server.clock().now_unix()), ("a", 1000));
        assert_eq!(server.issue("x", "bob", "read").unwrap().expires_in, 7);
        assert!(server.issue("svc", "bob", "read").is_none());
        assert!(server.keys().current_kid().starts_with("es256-"));
        assert!(server.issuer_named("tenant").endpoint(Endpoint::Token).ends_with("/tenant/token"));
        assert_eq!(server.faults().list().len(), 1);
    }

    #[test]
    fn an_empty_configuration_is_usable_at_once() {
        let server = Config::default().into_builder().in_process();
        let url = format!(
            "{}?response_type=code&client_id=svc&redirect_uri=http://localhost:8080/callback&code_challenge={}&code_challenge_method=S256",
            server.endpoint(Endpoint::Authorize),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        );
        assert!(server.log_in(&url, "alice").unwrap().contains("code="));
    }

    #[test]
    fn a_provider_brings_its_own_client() {
        for (name, provider) in PROVIDERS {
            let config = Config::from_json(&format!(r#"{{"provider": "{name}"}}"#)).unwrap();
            assert!(Provider::ALL.contains(&provider));
            assert!(config.into_builder().in_process().issue("svc", "x", "").is_some() || name != "ils");
        }
    }

    #[tokio::test]
    async fn what_goes_beyond_rfc_6749_can_be_written_too() {
        let written = Config::from_json(
            r#"{"api_scopes": [{"path": "/admin", "scope": "admin"}], "require_pushed_authorization_requests": true,
                "authorization_details_types": [{"type": "payment", "required": ["amount"], "optional": ["note"]}],
                "acr_values": ["0", "mfa"], "device_lifetime": 60, "device_interval": 1, "tls": false,
                "registration": {"initial_access_tokens": ["t"], "rotate_access_tokens": true},
                "dpop_nonce": "required", "dpop_api_nonce": "single_use", "dpop_algorithms": ["ES256"],
                "strict_assertion_audience": true, "flaws": [{"flaw": "iss_missing", "times": 1}]}"#,
        );
        let server = written.unwrap().into_builder().in_process();
        let request = http::Request::get(server.endpoint(Endpoint::OauthMetadata));
        let request = request.body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
        let response = tower::ServiceExt::oneshot(server.transport(), request).await.unwrap();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let metadata: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(metadata["require_pushed_authorization_requests"], true);
        assert_eq!(metadata["authorization_details_types_supported"], serde_json::json!(["payment"]));
        assert_eq!(metadata["acr_values_supported"], serde_json::json!(["0", "mfa"]));
        assert_eq!(metadata["dpop_signing_alg_values_supported"], serde_json::json!(["ES256"]));
        server.clear_faults();
        server.reset();
        assert_eq!(server.shared().tampers.list(), [(crate::Tamper::IssMissing, Some(1))]);
        let reported =
            Config::from_json(r#"{"registration": {"open": true}, "flaws": [{}]}"#).unwrap_err().to_string();
        assert!(
            reported.contains("registration.open: unknown") && reported.contains("flaws[0].flaw: missing"),
            "{reported}"
        );
    }

    #[test]
    fn all_mistakes_are_told() {
        let reported = Config::from_json(
            r#"{"listen": "9000", "provider": "ils2", "clients": [{"client_id": "a"}, {"client_id": "a", "grant_types": ["code"]}],
                "trusted_issuers": [{"issuer": "x", "jwks": {}}], "port": 1}"#,
        );
        let reported = reported.unwrap_err().to_string();
        for field in [
            "listen: ",
            "provider: ",
            "clients[1]: \"a\" is there already",
            "clients[1].grant_types[0]: ",
            "trusted_issuers[0].jwks: ",
            "port: unknown",
        ] {
            assert!(reported.lines().any(|line| line.starts_with(field)), "{field} in {reported}");
        }
        assert!(Config::from_json("{").unwrap_err().to_string().starts_with("not valid JSON"));
    }
}
