//! The configuration of a server before it starts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clients::MockClient;
use crate::clock::{MockClock, START_OF_IN_PROCESS_TIME};
use crate::codes::Codes;
use crate::details::AuthorizationDetailsType;
use crate::devices::Devices;
use crate::dpop::{Dpop, DpopNonce};
use crate::encode::{hex, random};
use crate::expect::Expectations;
use crate::faults::{Faults, Rule};
use crate::journal::Journal;
use crate::keys::{Alg, Keys};
use crate::providers::Provider;
use crate::pushed::PushedRequests;
use crate::registration::{Registration, Registrations};
use crate::replays::Replays;
use crate::server::MockServer;
use crate::sessions::Sessions;
use crate::settings::Gates;
use crate::shared::{Initial, Issuer, Policy, Shared, seconds};
use crate::tampers::{Tamper, Tampers};
use crate::tls::{Acceptor, Authority};
use crate::tokens::Records;
use crate::trust::TrustedIssuer;
use crate::users::User;
use crate::wire;

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
    origin: String,
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

    /// Adds a client. Without any, the server knows `svc` with the secret `s3cr3t` ([`MockClient::default`]).
    pub fn client(mut self, client: MockClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Adds a user who can log in.
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds an audience; the first one is the default of all tokens. Without any, it is `orders-api`.
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

    /// Trusts this issuer's assertions (RFC 7523 section 2.1), its tokens, when they are to be exchanged (RFC 8693),
    /// and its software statements (RFC 7591 section 2.3).
    pub fn trusted_issuer(mut self, issuer: TrustedIssuer) -> Self {
        self.trusted_issuers.push(issuer);
        self
    }

    /// Adds an issuer at this path below the server's address, with keys and tokens of its own.
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        self.issuers.push(name.into().trim_matches('/').to_owned());
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

    /// What the first issuer's tokens name in `iss`, when it is not the server's address.
    pub fn issuer_url(mut self, issuer: impl Into<String>) -> Self {
        self.issuer_url = Some(issuer.into());
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
            origin: format!("{}://{own}", if self.tls { "https" } else { "http" }),
            mtls_origin: None,
            authority: self.tls.then(Authority::new).transpose().map_err(failed)?,
        };
        let acceptor =
            |asks| places.authority.as_ref().map(|by| Acceptor::new(by, own.ip(), asks)).transpose();
        let mut listeners = vec![(listener, acceptor(false).map_err(failed)?)];
        if self.client_certificates {
            let listener = TcpListener::bind((address.ip(), 0)).await.map_err(failed)?;
            let mtls_origin = format!("https://{}", listener.local_addr().map_err(failed)?);
            listeners.push((listener, acceptor(true).map_err(failed)?));
            places.mtls_origin = Some(mtls_origin);
        }
        let clock = self.start_at.map_or_else(MockClock::of_the_machine, at);
        let shared = Arc::new(self.build(places, clock));
        let serve =
            |(listener, tls)| tokio::spawn(wire::serve(listener, tls, Arc::clone(&shared))).abort_handle();
        let serving = listeners.into_iter().map(serve).collect();
        Ok(MockServer::new(shared, serving))
    }

    /// Makes a server without a socket, reached through [`MockServer::transport`]. It needs no runtime to be made.
    #[must_use]
    pub fn in_process(self) -> MockServer {
        // Reserved by RFC 6761 section 6.2, so a request that leaves the process by mistake reaches no host.
        let host = format!("mock-{}.test", hex(&random::<4>()));
        let places = Places {
            origin: format!("https://{host}"),
            mtls_origin: self.client_certificates.then(|| format!("https://mtls.{host}")),
            // It cannot be missed: making one fails only when memory is exhausted.
            authority: self.tls.then(Authority::new).and_then(Result::ok),
        };
        let clock = at(self.start_at.unwrap_or(START_OF_IN_PROCESS_TIME));
        MockServer::new(Arc::new(self.build(places, clock)), Vec::new())
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

    fn build(self, places: Places, clock: MockClock) -> Shared {
        let Places { origin, mtls_origin, authority } = places;
        let personality = self.provider.map(Provider::personality);
        let own_client = || vec![personality.map_or_else(MockClient::default, |own| (own.client)())];
        let own_user = || personality.and_then(|own| own.user).map(|user| user()).into_iter().collect();
        let own_audience = || vec![personality.map_or("orders-api", |own| own.audience).to_owned()];
        let clients = if self.clients.is_empty() { own_client() } else { self.clients };
        let algorithms = if self.algorithms.is_empty() { vec![Alg::Rs256] } else { self.algorithms };
        let first_issuer =
            self.issuer_url.or_else(|| personality.and_then(|own| own.issuer).map(str::to_owned));
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
            pushed: PushedRequests::default(),
            sessions: Sessions::default(),
            devices: Devices::default(),
            replays: Replays::default(),
            registrations: Registrations::default(),
        };
        let users = if self.users.is_empty() { own_user() } else { self.users };
        let initial = Initial {
            clients: clients.into_iter().map(Arc::new).collect(),
            users: users.into_iter().map(Arc::new).collect(),
            faults: self.faults,
            tampers: self.initial_tampers,
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
            journal: Journal::new(),
            faults: Faults::new(&initial.faults),
            expectations: Expectations::default(),
            paused: watch::Sender::new(false),
            personality,
            undocumented_status: self.undocumented_status,
            strict_assertion_audience: self.strict_assertion_audience,
            initial,
            gates: self.gates,
            control: OnceLock::new(),
            origin,
            mtls_origin,
            authority,
        }
    }
}

fn at(unix: u64) -> MockClock {
    MockClock::starting_at(Duration::from_secs(unix))
}
