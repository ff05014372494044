//! What a configuration says about revocations.

use std::path::PathBuf;
use std::time::Duration;

use oauth_client::secret::SecretSource;
use oauth_client::transport::is_loopback;
use url::Url;

use super::feed::{RevocationFeed, SharedFeed};
use crate::address::Address;
use crate::defaults;
use crate::error::Problems;

/// Where revocations come from, and what an outage of a source means. Given to
/// [`GuardBuilder::revocation`](crate::GuardBuilder::revocation), or `[revocation]` in a [configuration](crate::config).
///
/// Nothing of it is needed for [`Guard::revocations`](crate::Guard::revocations), which revokes from code.
///
/// ```
/// use oauth_guard::revocation::RevocationSettings;
/// use oauth_guard::{Guard, Issuer};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .revocation(RevocationSettings::new().backchannel_logout("/backchannel-logout").client_id("shop"))
///     .build()?;
/// assert_eq!(guard.backchannel_logout_path().as_deref(), Some("/backchannel-logout"));
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RevocationSettings {
    pub(crate) backchannel_logout: Option<String>,
    pub(crate) client_ids: Vec<String>,
    pub(crate) security_events: Option<String>,
    pub(crate) poll: Option<Poll>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) feeds: Vec<SharedFeed>,
    pub(crate) max_stale: Duration,
    pub(crate) on_outage: OnOutage,
    pub(crate) max_entries: usize,
    pub(crate) longest_token: Option<Duration>,
}

/// What happens to requests while a source of revocations is away for longer than it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnOutage {
    /// They are rejected with 503 and `Retry-After`: no token is accepted that may have been revoked.
    #[default]
    Refuse,
    /// They are served with what is known. Health and log say so.
    Serve,
}

/// A transmitter of security events that is polled (RFC 8936).
#[derive(Clone, Debug)]
#[must_use]
pub struct Poll {
    pub(crate) endpoint: Address,
    pub(crate) token: Option<SecretSource>,
    pub(crate) every: Duration,
}

impl Poll {
    /// Polls this endpoint.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { endpoint: Address::new(endpoint), token: None, every: defaults::REVOCATION_POLL }
    }

    /// The bearer token of its requests. It is read for each request.
    pub fn token(mut self, token: impl Into<SecretSource>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How often it is asked. By default every 30 seconds. Where the transmitter says that more events are at hand, it is asked
    /// again at once.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }
}

impl RevocationSettings {
    /// No source but code.
    pub fn new() -> Self {
        Self::default()
    }

    /// The path of the endpoint for logout tokens (OpenID Connect Back-Channel Logout 1.0), for the
    /// [clients](Self::client_id). See [`Guard::backchannel_logout`](crate::Guard::backchannel_logout), which serves it.
    pub fn backchannel_logout(mut self, path: impl Into<String>) -> Self {
        self.backchannel_logout = Some(path.into());
        self
    }

    /// A client whose logout tokens and security events are accepted: their `aud`. Call again for more.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_ids.push(id.into());
        self
    }

    /// The path of the endpoint to which security event tokens are pushed (RFC 8935). Their `aud` is one of the
    /// [clients](Self::client_id), or the [resource](crate::GuardBuilder::resource). See
    /// [`Guard::security_events`](crate::Guard::security_events), which serves it.
    pub fn security_events(mut self, path: impl Into<String>) -> Self {
        self.security_events = Some(path.into());
        self
    }

    /// Polls a transmitter of security events (RFC 8936).
    pub fn poll(mut self, poll: Poll) -> Self {
        self.poll = Some(poll);
        self
    }

    /// Follows a file of revocations: one [`Revocation`](super::Revocation) in its serialized form on each line. See
    /// [`FileFeed`](super::FileFeed).
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Follows a source of your own. Call again for more. A [reload](crate::Guard::reload) keeps these sources unless the new
    /// settings name others.
    pub fn feed(mut self, feed: impl RevocationFeed) -> Self {
        self.feeds.push(SharedFeed::new(feed));
        self
    }

    /// How long a source may be away before [`on_outage`](Self::on_outage) applies, beyond its own
    /// [interval](RevocationFeed::interval). By default 30 seconds.
    pub fn max_stale(mut self, time: Duration) -> Self {
        self.max_stale = time;
        self
    }

    /// What happens then. By default requests are refused.
    pub fn on_outage(mut self, what: OnOutage) -> Self {
        self.on_outage = what;
        self
    }

    /// How many revocations are kept. By default 1,048,576, which take about 55 MB. A full list takes no more, and never
    /// forgets: code and endpoints get an error, a feed counts as away, and health says so.
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// The longest lifetime of an access token, from `iat` to `exp`: how long a revocation is kept that does not say when it
    /// [ends](super::Revocation::until), and twice the largest leeway longer. By default the longest `max_token_age` where
    /// every issuer has one, and 30 days otherwise. A token that lives longer causes a warning, and all known revocations are
    /// then kept longer.
    pub fn longest_token(mut self, lifetime: Duration) -> Self {
        self.longest_token = Some(lifetime);
        self
    }

    /// Sources of code besides.
    pub(crate) fn with(mut self, feeds: Vec<SharedFeed>) -> Self {
        self.feeds.extend(feeds);
        self
    }

    /// What a file cannot name stays: sources in code.
    pub(crate) fn after(mut self, old: Option<&Self>) -> Self {
        if let Some(old) = old.filter(|_| self.feeds.is_empty()) {
            self.feeds.clone_from(&old.feeds);
        }
        self
    }

    pub(crate) fn check(&self, has_resource: bool, problems: &mut Problems) {
        let paths =
            [("backchannel_logout", &self.backchannel_logout), ("security_events", &self.security_events)];
        for (name, path) in paths {
            if let Some(path) = path
                && (!path.starts_with('/') || path.contains(['?', '#', '{', '}', '*', ' ']))
            {
                problems
                    .add(format!("revocation.{name}"), "expected a path, such as \"/backchannel-logout\"");
            } else if path.as_ref().is_some_and(|path| path.contains("/:")) {
                problems.add(
                    format!("revocation.{name}"),
                    "has a segment that begins with `:`, which routers take for a placeholder; choose another path",
                );
            }
        }
        if self.backchannel_logout.is_some() && self.backchannel_logout == self.security_events {
            problems.add("revocation.security_events", "is the same path as backchannel_logout");
        }
        if self.client_ids.iter().any(String::is_empty) {
            problems.add("revocation.client_ids", "a client id must not be empty");
        }
        let needs = match (&self.backchannel_logout, &self.security_events, &self.poll) {
            (Some(_), ..) => Some("is missing; logout tokens are for one of the clients named here"),
            (None, None, None) => None,
            _ if has_resource => None,
            _ => Some("is missing, and so is resource; security events are for one of these"),
        };
        if let Some(needs) = needs.filter(|_| self.client_ids.is_empty()) {
            problems.add("revocation.client_ids", needs);
        }
        if let Some(poll) = &self.poll {
            if poll.every.is_zero() {
                problems.add("revocation.poll.every_seconds", "expected at least 1");
            }
            match Url::parse(&poll.endpoint) {
                Ok(_) if poll.endpoint.has_user() => problems.add(
                    "revocation.poll.endpoint",
                    "has a user name or password, which is never sent; remove it, and use token",
                ),
                Ok(url) if url.scheme() == "https" => {}
                Ok(url) if url.scheme() == "http" && url.host_str().is_some_and(is_loopback) => {}
                Ok(url) if url.scheme() == "http" => problems.add(
                    "revocation.poll.endpoint",
                    "is plain http, where anyone on the path can read the token; use https",
                ),
                _ => problems.add("revocation.poll.endpoint", "expected an absolute https URL"),
            }
        }
        if self.max_entries == 0 {
            problems.add("revocation.max_entries", "expected at least 1");
        }
    }
}

impl Default for RevocationSettings {
    fn default() -> Self {
        Self {
            backchannel_logout: None,
            client_ids: Vec::new(),
            security_events: None,
            poll: None,
            file: None,
            feeds: Vec::new(),
            max_stale: defaults::REVOCATION_MAX_STALE,
            on_outage: OnOutage::default(),
            max_entries: defaults::REVOCATIONS,
            longest_token: None,
        }
    }
}
