//! One connection, shared by all who ask, made when it is needed and anew when it breaks. `oauth_guard_redis` uses it too;
//! it is no part of the public interface.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oauth_client::secret::SecretSource;
use oauth_client::store::StoreError;
use oauth_client::{Error, Secret};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, Value,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::problem;
use crate::tls;
pub use crate::tls::Tls;

/// How long a connection may take, with TLS and password.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How many connections may turn out to be broken in one call.
const MAX_BROKEN: u32 = 2;
/// How long a response may take. A connection without one is given up: it may be half open.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);
/// For how long a connection that failed is not tried again: those who wait meanwhile share the failure.
const PAUSE: Duration = Duration::from_millis(200);

/// Where a Redis is.
#[derive(Clone, Debug)]
pub struct Address {
    /// Its URL, which may hold a password.
    pub url: Secret,
    /// The password, where it does not stand in the URL.
    pub password: Option<SecretSource>,
    /// For `rediss://`.
    pub tls: Tls,
}

/// A connection to one Redis; clones share it.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

struct Inner {
    info: ConnectionInfo,
    password: Option<SecretSource>,
    tls: Tls,
    /// Host and port, for messages.
    place: String,
    state: Mutex<State>,
    /// Counts the connections.
    generation: AtomicU64,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    failed: Option<(Instant, Fault)>,
}

/// Why a command failed. It holds no secret.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// What happened and what to do.
    pub text: String,
    /// Whether another try does not mend it.
    pub permanent: bool,
    /// Whether the key of the command holds something else than we wrote.
    pub foreign: bool,
    /// Whether there is no memory for another key.
    pub full: bool,
    /// Whether the server is well, as far as is known, and refuses this command alone.
    pub only_this: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        if fault.permanent { Self::permanent(fault.text) } else { Self::new(fault.text) }
    }
}

impl Link {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// `config` when the URL cannot be used.
    pub fn new(address: Address) -> Result<Self, Error> {
        let wrong = |_| {
            problem(
                "url",
                "cannot be used; expected one such as redis://127.0.0.1:6379, or rediss:// with TLS",
            )
        };
        let info = address.url.expose().into_connection_info().map_err(wrong)?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            _ => "its socket".to_owned(),
        };
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // Where a program has two providers of cryptography, one has to be chosen; an earlier choice stays.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let Address { password, tls, .. } = address;
        Ok(Self(Arc::new(Inner {
            info,
            password,
            tls,
            place,
            state: Mutex::default(),
            generation: AtomicU64::new(0),
        })))
    }

    /// Host and port.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// Names the database: host, port and its number.
    #[must_use]
    pub fn identity(&self) -> String {
        let place = match self.0.info.addr() {
            ConnectionAddr::Unix(path) => path.display().to_string(),
            _ => self.0.place.clone(),
        };
        format!("Redis at {place}/{}", self.0.info.redis_settings().db())
    }

    /// Which connection it is: it changes with each new one, and nothing is known about what happened in between.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Sends one command. A connection that has broken while it was idle is noticed here and replaced, once.
    ///
    /// # Errors
    /// When there is no response, or it is an error.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        self.ask_within(command, RESPONSE_TIMEOUT).await
    }

    /// The same with another time limit, for commands that block.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_within<T: FromRedisValue>(&self, command: &Cmd, limit: Duration) -> Result<T, Fault> {
        let mut broken = 0;
        loop {
            let (mut connection, generation, is_new) = self.connection().await?;
            let asked = tokio::time::timeout(limit, connection.send_packed_command(command)).await;
            let error: RedisError = match asked {
                Ok(Ok(Value::ServerError(error))) => error.into(),
                Ok(Ok(value)) => return self.understood(value),
                Ok(Err(error)) => error,
                Err(_) => {
                    self.give_up(generation).await;
                    return Err(self.silent());
                }
            };
            if error.is_timeout() {
                self.give_up(generation).await;
                return Err(self.silent());
            }
            // What has no code is not by the server: the connection has broken, however that is called.
            if error.code().is_none() && error.kind() != ErrorKind::AuthenticationFailed {
                self.give_up(generation).await;
                broken += 1;
                if !is_new && broken <= MAX_BROKEN {
                    continue;
                }
            } else if matches!(
                error.code(),
                Some("READONLY" | "MASTERDOWN" | "NOAUTH" | "LOADING" | "UNBLOCKED")
            ) {
                // The name may stand for another server by now.
                self.give_up(generation).await;
            }
            return Err(self.fault(&error));
        }
    }

    fn understood<T: FromRedisValue>(&self, value: Value) -> Result<T, Fault> {
        T::from_redis_value(value).map_err(|_| Fault {
            text: format!(
                "Redis at {} responds in a way that is not understood; is it another server?",
                self.0.place
            ),
            foreign: true,
            ..Fault::default()
        })
    }

    /// The connection, its number, and whether it was made for this call.
    async fn connection(&self) -> Result<(MultiplexedConnection, u64, bool), Fault> {
        let mut state = self.0.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((connection.clone(), self.generation(), false));
        }
        if let Some((at, fault)) = &state.failed
            && at.elapsed() < PAUSE
        {
            return Err(fault.clone());
        }
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.connect());
        let connected = connecting.await.unwrap_or_else(|_| Err(self.silent()));
        match connected {
            Ok(connection) => {
                let generation = self.0.generation.fetch_add(1, Ordering::AcqRel) + 1;
                state.failed = None;
                state.connection = Some(connection.clone());
                Ok((connection, generation, true))
            }
            Err(fault) => {
                state.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Fault> {
        let mut info = self.0.info.clone();
        let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
        let unavailable = |error: Error| Fault { text: error.to_string(), ..Fault::default() };
        if let Some(password) = &self.0.password {
            let password = password.current("password").await.map_err(unavailable)?;
            settings = settings.set_password(password.expose());
        }
        info = info.set_redis_settings(settings);
        let client = match self.0.tls.load().await.map_err(unavailable)? {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Ours holds, since commands that block have another.
            .set_response_timeout(None);
        let failed = |error: RedisError| self.fault(&error);
        client.map_err(failed)?.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)
    }

    /// Ends a connection, unless another has taken its place.
    async fn give_up(&self, generation: u64) {
        let mut state = self.0.state.lock().await;
        if self.generation() == generation {
            state.connection = None;
        }
    }

    fn silent(&self) -> Fault {
        Fault {
            text: format!(
                "no response from Redis at {} in time; check that it is up and reachable{}",
                self.0.place,
                self.tls_hint()
            ),
            ..Fault::default()
        }
    }

    /// A server without TLS takes a handshake for a command: it waits for the rest of it, or ends the connection.
    fn tls_hint(&self) -> &'static str {
        let is_tls = matches!(self.0.info.addr(), ConnectionAddr::TcpTls { .. });
        if is_tls && self.generation() == 0 { ", and that this port speaks TLS" } else { "" }
    }

    fn fault(&self, error: &RedisError) -> Fault {
        let place = &self.0.place;
        let passing = |text: String| Fault { text, ..Fault::default() };
        let lasting = |text: String| Fault { text, permanent: true, ..Fault::default() };
        let code = error.code().unwrap_or_default();
        let refused = error.detail().is_some_and(|detail| {
            ["WRONGPASS", "NOAUTH", "invalid password", "invalid username"]
                .iter()
                .any(|word| detail.contains(word))
        });
        match code {
            "NOAUTH" | "WRONGPASS" => {
                lasting(format!("Redis at {place} refuses the password; check user and password"))
            }
            "NOPERM" => Fault {
                only_this: true,
                ..lasting(format!(
                    "Redis at {place} does not permit this user what the store needs; see Permissions in the documentation of the crate"
                ))
            },
            "MOVED" | "ASK" | "CROSSSLOT" => lasting(format!(
                "Redis at {place} is a node of a cluster that keeps this key elsewhere; give the address of a proxy, or of one server"
            )),
            "WRONGTYPE" => {
                Fault { foreign: true, ..lasting(format!("Redis at {place} holds another type of value")) }
            }
            "READONLY" => passing(format!(
                "Redis at {place} is a replica that takes no writes; a failover may be under way, else give the address of the primary"
            )),
            "UNBLOCKED" => passing(format!(
                "Redis at {place} is no longer the primary that it was; a failover is under way"
            )),
            "OOM" => Fault {
                full: true,
                only_this: true,
                ..passing(format!("Redis at {place} is out of memory; raise maxmemory, or remove keys"))
            },
            "MISCONF" => Fault {
                only_this: true,
                ..passing(format!("Redis at {place} takes no writes since it cannot save them; see its log"))
            },
            "NOREPLICAS" => passing(format!(
                "Redis at {place} takes no writes since too few replicas follow it; a failover may be under way"
            )),
            "LOADING" => passing(format!("Redis at {place} is still loading its data; wait")),
            _ if refused || error.kind() == ErrorKind::AuthenticationFailed => {
                lasting(format!("Redis at {place} refuses the password; check user and password"))
            }
            _ if let Some((text, permanent)) = tls::failure(error, place) => {
                Fault { permanent, ..passing(text) }
            }
            _ if error.kind() == ErrorKind::InvalidClientConfig => lasting(format!(
                "Redis at {place} cannot be connected to as configured; check URL and certificates"
            )),
            "" => passing(format!(
                "Redis at {place} cannot be connected to; check the address and that it is up{}",
                self.tls_hint()
            )),
            code => passing(format!("Redis at {place} refuses a command ({code}); see its log")),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.0.place).finish_non_exhaustive()
    }
}
