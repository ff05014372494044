//! The configuration of a server before it starts.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clients::MockClient;
use crate::clients::registration::{Registration, Registrations};
use crate::clock::{MockClock, START_OF_IN_PROCESS_TIME};
use crate::dpop::{Dpop, DpopNonce};
use crate::encode::{hex, random};
use crate::endpoint::Endpoint;
use crate::journal::request_log::RequestLog;
use crate::journal::{Journal, LIMITS, Limits};
use crate::keys::{Alg, Keys};
use crate::providers::Provider;
use crate::rules::expect::Expectations;
use crate::rules::faults::{Faults, Rule};
use crate::rules::matching::Scenarios;
use crate::rules::tampers::{Tamper, Tampers};
use crate::rules::token_rules::{TokenRule, TokenRules};
use crate::server::MockServer;
use crate::settings::Gates;
use crate::shared::{Initial, Issuer, Policy, Shared, seconds};
use crate::state::codes::Codes;
use crate::state::consents::Consents;
use crate::state::details::AuthorizationDetailsType;
use crate::state::devices::Devices;
use crate::state::pushed::PushedRequests;
use crate::state::replays::Replays;
use crate::state::sessions::Sessions;
use crate::state::tokens::Records;
use crate::state::trust::TrustedIssuer;
use crate::state::users::User;
use crate::statements::Transmitter;
use crate::tls::{Acceptor, Authority};
use crate::wire::names::{HostName, Names, Origin};
use crate::wire::socket;

/// Builds a [`MockServer`]; see [`MockServer::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start` or `in_process`"]
pub struct MockServerBuilder {
    clients: Vec<MockClient>,
    users: Vec<User>,
    audiences: Vec<String>,
    api_scopes: Vec<(String, String)>,
    registration: Registration,
    trusted_issuers: Vec<TrustedIssuer>,
    issuers: Vec<String>,
    algorithms: Vec<Alg>,
    listen: SocketAddr,
    start_at: Option<u64>,
    provider: Option<Provider>,
    issuer_url: Option<String>,
    public_url: Option<String>,
    hosts: Vec<HostName>,
    journal: Limits,
    token_rules: Vec<TokenRule>,
    logs: bool,
    undocumented_status: Option<StatusCode>,
    faults: Vec<Rule>,
    gates: Gates,
    initial_tampers: Vec<(Tamper, Option<usize>)>,
    strict_assertion_audience: bool,
    pub(crate) tls: bool,
    pub(crate) client_certificates: bool,
    dpop_algorithms: Vec<Alg>,
    dpop_nonce: DpopNonce,
    dpop_api_nonce: DpopNonce,
    policy: Policy,
}

/// The address of a server, and its TLS identity.
struct Places {
    local: String,
    mtls_origin: Option<String>,
    authority: Option<Authority>,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[error("the mock server cannot listen on {address}")]
pub struct StartError {
    pub(crate) address: SocketAddr,
    #[source]
    pub(crate) cause: io::Error,
}

impl MockServerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            clients: Vec::new(),
            users: Vec::new(),
            audiences: Vec::new(),
            api_scopes: Vec::new(),
            registration: Registration::new(),
            trusted_issuers: Vec::new(),
            issuers: vec![String::new()],
            algorithms: Vec::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            start_at: None,
            provider: None,
            issuer_url: None,
            public_url: None,
            hosts: Vec::new(),
            journal: LIMITS,
            token_rules: Vec::new(),
            logs: false,
            undocumented_status: None,
            faults: Vec::new(),
            gates: Gates::default(),
            initial_tampers: Vec::new(),
            strict_assertion_audience: false,
            tls: false,
            client_certificates: false,
            dpop_algorithms: Alg::ALL.iter().copied().filter(|alg| alg.is_asymmetric()).collect(),
            dpop_nonce: DpopNonce::Unused,
            dpop_api_nonce: DpopNonce::Unused,
            policy: Policy::default(),
        }
    }

    /// Adds a client. Without any, the server knows `svc` with the secret `s3cr3t` ([`MockClient::default`]). The first one
    /// that is added replaces it; add `MockClient::default()` to keep it.
    ///
    /// ```
    /// use oauth_mock::{MockClient, MockServer};
    ///
    /// let server = MockServer::builder()
    ///     .client(MockClient::default())
    ///     .client(MockClient::new("orders").secret("s3cr3t"))
    ///     .in_process();
    /// assert!(server.issue("svc", "alice", "read").is_some());
    /// assert!(server.issue("orders", "alice", "read").is_some());
    /// ```
    pub fn client(mut self, client: MockClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Adds a user who can log in. Without any, the server knows `alice` with the password `wonderland`. The first one that is
    /// added replaces her.
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds an audience; the first one is the default of all tokens. Without any, it is `orders-api`, which the first one that
    /// is added replaces.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Needs this scope at this path of [`Endpoint::Api`](crate::Endpoint::Api) and below; the longest path that fits
    /// counts. `""` or `/` is the whole API, for which any good token is enough otherwise.
    ///
    /// ```
    /// let server = oauth_mock::MockServer::builder()
    ///     .api_scope("/", "read") // `/api`, `/api/orders` …
    ///     .api_scope("/admin", "admin") // `/api/admin`, `/api/admin/users` …
    ///     .in_process();
    /// # let _ = server;
    /// ```
    pub fn api_scope(mut self, path: impl Into<String>, scope: impl Into<String>) -> Self {
        self.api_scopes.push((path.into().trim_end_matches('/').to_owned(), scope.into()));
        self
    }

    /// Who may register clients (RFC 7591); every client by default.
    pub fn registration(mut self, registration: Registration) -> Self {
        self.registration = registration;
        self
    }

    /// Says what there is at this URL, for clients that are named by the URL of their metadata (OAuth Client ID Metadata
    /// Document); the server itself fetches nothing. With one, its metadata say
    /// `client_id_metadata_document_supported`. What is wrong with the document is said to the client that uses it.
    ///
    /// ```
    /// use serde_json::json;
    /// let url = "https://editor.example/client.json";
    /// let document = json!({ "client_id": url, "redirect_uris": ["http://127.0.0.1/callback"] });
    /// let server = oauth_mock::MockServer::builder().client_document(url, document).in_process();
    /// # let _ = server;
    /// ```
    pub fn client_document(mut self, url: impl Into<String>, document: serde_json::Value) -> Self {
        self.policy.client_documents.put(url.into(), document);
        self
    }

    /// Trusts this issuer's assertions (RFC 7523 section 2.1), its tokens, when they are to be exchanged (RFC 8693),
    /// and its software statements (RFC 7591 section 2.3).
    pub fn trusted_issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.trusted_issuers.push(issuer);
        self
    }

    /// Adds an issuer at this path below the server's address, with keys and tokens of its own.
    ///
    /// # Panics
    /// If there is one of this name already, or an endpoint of the first issuer at this path.
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        let name = name.into().trim_matches('/').to_owned();
        let problem = issuer_name_problem(&name, &self.issuers[1..]);
        assert!(problem.is_none(), "no issuer can be called {name:?}: {}", problem.unwrap_or_default());
        self.issuers.push(name);
        self
    }

    /// Gives each issuer a key for each of these algorithms; the first one signs. RS256 by default.
    ///
    /// # Panics
    /// For `none` and the HMAC algorithms: no authorization server signs with them.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Alg>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        let odd = self.algorithms.iter().find(|alg| !alg.is_asymmetric());
        assert!(odd.is_none(), "{odd:?} is no algorithm of an authorization server");
        self
    }

    /// Listens on this address; by default on a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Plays this provider: its paths, its requests, its responses, and nothing else. Clients, users, audience and
    /// lifetimes that are not set are those its page prints.
    pub fn personality(mut self, provider: Provider) -> Self {
        self.provider = Some(provider);
        self
    }

    /// What the first issuer's tokens name in `iss`, when it is not the server's address. If it is an address by which
    /// this server can be reached, requests that name it in `Host` find all endpoints there. Its metadata is also where a path
    /// in it says (RFC 8414 section 3.1).
    pub fn issuer_url(mut self, issuer: impl Into<String>) -> Self {
        self.issuer_url = Some(issuer.into());
        self
    }

    /// Where clients reach this server, when that is not where it listens: behind a proxy or in a container. All
    /// endpoints are there, and so is the issuer, unless [`issuer_url`](Self::issuer_url) says otherwise.
    ///
    /// ```no_run
    /// # async fn doc() {
    /// let server = oauth_mock::MockServer::builder()
    ///     .listen(([0, 0, 0, 0], 9000).into())
    ///     .public_url("http://mock:9000")
    ///     .start()
    ///     .await;
    /// assert_eq!(server.issuer(), "http://mock:9000");
    /// # }
    /// ```
    ///
    /// # Panics
    /// If it is no http or https URL with nothing but host and port.
    pub fn public_url(mut self, url: &str) -> Self {
        let origin = Origin::split(url.trim_end_matches('/')).filter(|(_, path)| path.is_empty());
        let origin = origin.map(|(origin, _)| origin.to_string());
        assert!(origin.is_some(), "{url:?} is no public URL; write it like \"http://mock:9000\"");
        self.public_url = origin;
        self
    }

    /// A name by which clients may reach this server, `mock` or `mock:9000`: a request that has it as `Host` finds all
    /// endpoints there. The issuer stays what it is; see [`issuer_url`](Self::issuer_url).
    ///
    /// # Panics
    /// If it is no host, with or without a port.
    #[expect(clippy::panic, reason = "a name that is none is an error in the test itself")]
    pub fn host(mut self, name: &str) -> Self {
        match HostName::parse(name) {
            Some(host) => self.hosts.push(host),
            None => panic!("{name:?} is no host; write it like \"mock\" or \"mock:9000\""),
        }
        self
    }

    /// Lets pages of these origins alone read what clients are sent (CORS); pages of all origins by default. Cookies
    /// count for nothing there.
    pub fn cors_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.policy.cors_origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// How much the [journal](MockServer::journal) keeps: so many requests, and about so many bytes of memory. Older
    /// requests go, and are counted all the same.
    pub fn journal_limits(mut self, entries: usize, bytes: usize) -> Self {
        self.journal = Limits { entries, bytes };
        self
    }

    /// Starts with this rule for claims and responses; see [`MockServer::token_rule`].
    pub fn token_rule(mut self, rule: TokenRule) -> Self {
        self.token_rules.push(rule);
        self
    }

    /// Writes a line for each request to stderr.
    pub fn log_requests(mut self) -> Self {
        self.logs = true;
        self
    }

    /// The status of errors for which the provider's page names none: both errors of [`Provider::InfoLink`] and
    /// `server_error` of [`Provider::TeenQuotes`].
    ///
    /// # Panics
    /// If the number is no HTTP status.
    #[expect(clippy::panic, reason = "a number that is no status is an error in the test itself")]
    pub fn undocumented_status(mut self, status: u16) -> Self {
        match StatusCode::from_u16(status) {
            Ok(status) => self.undocumented_status = Some(status),
            Err(_) => panic!("{status} is no HTTP status"),
        }
        self
    }

    /// Accepts assertions only if `aud` is the issuer, as one string, as the FAPI 2.0 Security Profile asks. By default
    /// the URL of the token endpoint or of the endpoint that is asked is as good, also in a list.
    pub fn strict_assertion_audience(mut self) -> Self {
        self.strict_assertion_audience = true;
        self
    }

    /// Takes authorization requests only when they were pushed (RFC 9126 section 5).
    pub fn require_pushed_authorization_requests(mut self) -> Self {
        self.policy.needs_par = true;
        self
    }

    /// Adds a type of `authorization_details` (RFC 9396 section 2.1); others are refused.
    pub fn authorization_details_type(mut self, kind: AuthorizationDetailsType) -> Self {
        self.policy.details_types.push(kind);
        self
    }

    /// How strong logins may be (`acr_values_supported`); the first one is what a plain login is worth. By default `0`,
    /// which promises nothing.
    pub fn acr_values(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.policy.acr_values = values.into_iter().map(Into::into).collect();
        self
    }

    /// How long a device waits for its user, and how long it pauses between two requests (whole seconds; RFC 8628
    /// section 3.2). By default ten minutes and five seconds.
    pub fn device_times(mut self, lifetime: Duration, interval: Duration) -> Self {
        self.policy.device_lifetime = seconds(lifetime);
        self.policy.device_interval = seconds(interval);
        self
    }

    /// The algorithms that DPoP proofs may be signed with (RFC 9449 section 4.3); all with a key pair by default.
    pub fn dpop_algorithms(mut self, algorithms: impl IntoIterator<Item = Alg>) -> Self {
        self.dpop_algorithms = algorithms.into_iter().filter(|alg| alg.is_asymmetric()).collect();
        self
    }

    /// Which nonces the token endpoint wants in DPoP proofs (RFC 9449 section 8); none by default.
    pub fn dpop_nonce(mut self, wanted: DpopNonce) -> Self {
        self.dpop_nonce = wanted;
        self
    }

    /// Which nonces the API and userinfo want in DPoP proofs (RFC 9449 section 9); none by default.
    pub fn dpop_api_nonce(mut self, wanted: DpopNonce) -> Self {
        self.dpop_api_nonce = wanted;
        self
    }

    /// Starts the server's clock at this Unix time. By default it is the machine's time, and 2030-01-01 in process.
    pub fn starting_at(mut self, unix: u64) -> Self {
        self.start_at = Some(unix);
        self
    }

    /// Starts a server on a socket, in the tokio runtime of the caller.
    ///
    /// # Panics
    /// If the address is taken; see [`try_start`](Self::try_start).
    #[expect(clippy::panic, reason = "a test cannot go on without its server, and must say why")]
    pub async fn start(self) -> MockServer {
        let address = self.listen;
        self.try_start().await.unwrap_or_else(|error| panic!("{error} ({address}): {}", error.cause))
    }

    /// Starts a server on a socket, in the tokio runtime of the caller.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn try_start(self) -> Result<MockServer, StartError> {
        let address = self.listen;
        let failed = |cause| StartError { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let own = listener.local_addr().map_err(failed)?;
        let mut places = Places {
            local: format!("{}://{}", if self.tls { "https" } else { "http" }, reachable(own)),
            mtls_origin: None,
            authority: self.tls.then(Authority::new).transpose().map_err(failed)?,
        };
        let names = self.certified_names();
        let acceptor =
            |asks| places.authority.as_ref().map(|by| Acceptor::new(by, own.ip(), &names, asks)).transpose();
        let mut listeners = vec![(listener, acceptor(false).map_err(failed)?)];
        if self.client_certificates {
            let listener = TcpListener::bind((address.ip(), 0)).await.map_err(failed)?;
            let mtls_origin = format!("https://{}", reachable(listener.local_addr().map_err(failed)?));
            listeners.push((listener, acceptor(true).map_err(failed)?));
            places.mtls_origin = Some(mtls_origin);
        }
        let clock = self.start_at.map_or_else(MockClock::of_the_machine, at);
        let shared = Arc::new(self.build(places, clock));
        let serve =
            |(listener, tls)| tokio::spawn(socket::serve(listener, tls, Arc::clone(&shared))).abort_handle();
        let serving = listeners.into_iter().map(serve).collect();
        Ok(MockServer::new(shared, serving))
    }

    /// Makes a server without a socket, reached through [`MockServer::transport`]. It needs no runtime to be made.
    ///
    /// Its clock begins at 2030-01-01 unless [`starting_at`](Self::starting_at) says otherwise. What validates its tokens
    /// needs a clock that agrees.
    #[must_use]
    pub fn in_process(self) -> MockServer {
        // Reserved by RFC 6761 section 6.2, so a request that leaves the process by mistake reaches no host.
        let host = format!("mock-{}.test", hex(&random::<4>()));
        let places = Places {
            local: format!("https://{host}"),
            mtls_origin: self.client_certificates.then(|| format!("https://mtls.{host}")),
            // It cannot be missed: making one fails only when memory is exhausted.
            authority: self.tls.then(Authority::new).and_then(Result::ok),
        };
        let clock = at(self.start_at.unwrap_or(START_OF_IN_PROCESS_TIME));
        MockServer::new(Arc::new(self.build(places, clock)), Vec::new())
    }

    /// The hosts that a certificate of this server is for, besides where it listens.
    fn certified_names(&self) -> Vec<String> {
        let urls = [self.public_url.as_ref(), self.issuer_url.as_ref()].into_iter().flatten();
        let of_url = urls.filter_map(|url| Origin::split(url)).map(|(origin, _)| origin.host().to_owned());
        of_url.chain(self.hosts.iter().map(|host| host.host().to_owned())).collect()
    }

    /// Starts with the faults of a configuration, and the gates they name.
    pub(crate) fn initial_faults(mut self, faults: Vec<Rule>, gates: Gates) -> Self {
        (self.faults, self.gates) = (faults, gates);
        self
    }

    /// Starts with the tampers of a configuration.
    pub(crate) fn initial_tampers(mut self, tampers: Vec<(Tamper, Option<usize>)>) -> Self {
        self.initial_tampers = tampers;
        self
    }

    #[expect(clippy::expect_used, reason = "the addresses were made or checked here")]
    fn build(self, places: Places, clock: MockClock) -> Shared {
        let Places { local, mtls_origin, authority } = places;
        let origin = self.public_url.clone().unwrap_or_else(|| local.clone());
        let personality = self.provider.map(Provider::personality);
        let own_client = || vec![personality.map_or_else(MockClient::default, |own| (own.client)())];
        let own_user = || match personality {
            Some(own) => own.user.map(|user| user()).into_iter().collect(),
            None => vec![User::new("alice", "wonderland")],
        };
        let own_audience = || vec![personality.map_or("orders-api", |own| own.audience).to_owned()];
        let clients = if self.clients.is_empty() { own_client() } else { self.clients };
        let algorithms = if self.algorithms.is_empty() { vec![Alg::Rs256] } else { self.algorithms };
        let first_issuer =
            self.issuer_url.or_else(|| personality.and_then(|own| own.issuer).map(str::to_owned));
        let names = Names::new(
            &local,
            mtls_origin.as_deref(),
            self.public_url.as_deref(),
            self.hosts,
            first_issuer.as_deref(),
        );
        let issuer = |name: String| Issuer {
            url: match (&first_issuer, name.is_empty()) {
                (Some(url), true) => url.clone(),
                (None, true) => origin.clone(),
                (_, false) => format!("{origin}/{name}"),
            },
            name,
            algorithms: algorithms.clone(),
            keys: Keys::new(&algorithms),
            records: Records::default(),
            codes: Codes::default(),
            consents: Consents::default(),
            pushed: PushedRequests::default(),
            transmitter: Transmitter::default(),
            sessions: Sessions::default(),
            devices: Devices::default(),
            backchannel: Devices::default(),
            replays: Replays::default(),
            registrations: Registrations::default(),
        };
        let users = if self.users.is_empty() { own_user() } else { self.users };
        let initial = Initial {
            clients: clients.into_iter().map(Arc::new).collect(),
            users: users.into_iter().map(Arc::new).collect(),
            faults: self.faults,
            tampers: self.initial_tampers,
            token_rules: self.token_rules,
        };
        Shared {
            issuers: self.issuers.into_iter().map(issuer).collect(),
            clients: RwLock::new(initial.clients.clone()),
            users: RwLock::new(initial.users.clone()),
            audiences: if self.audiences.is_empty() { own_audience() } else { self.audiences },
            api_scopes: self.api_scopes,
            registration: self.registration,
            trusted_issuers: self.trusted_issuers,
            clock,
            dpop: Dpop::new(self.dpop_algorithms, self.dpop_nonce, self.dpop_api_nonce),
            tampers: Tampers::new(&initial.tampers),
            policy: self.policy,
            journal: Journal::new(self.journal),
            token_rules: TokenRules::new(&initial.token_rules),
            scenarios: Scenarios::default(),
            log: self.logs.then(RequestLog::new),
            faults: Faults::new(&initial.faults),
            expectations: Expectations::default(),
            paused: watch::Sender::new(false),
            personality,
            undocumented_status: self.undocumented_status,
            strict_assertion_audience: self.strict_assertion_audience,
            initial,
            gates: self.gates,
            control: OnceLock::new(),
            names: names.expect("an address with scheme, host and port"),
            origin,
            local,
            mtls_origin,
            authority,
        }
    }
}

/// An address that this machine can be asked at: the one that stands for all of them is none.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Why an issuer cannot have this name beside these others.
pub(crate) fn issuer_name_problem(name: &str, others: &[String]) -> Option<&'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if name.is_empty()
        || !name.bytes().all(good)
        || name.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return Some("it is a path of letters, digits and `-._~`, with single slashes between");
    }
    if !Endpoint::leaves_room_for(name) {
        return Some("the first issuer has an endpoint there");
    }
    others.iter().any(|other| other == name).then_some("there is one of this name already")
}

fn at(unix: u64) -> MockClock {
    MockClock::starting_at(Duration::from_secs(unix))
}
