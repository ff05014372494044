//! Asking the token endpoint until a person has decided elsewhere (RFC 8628 section 3.5, OpenID CIBA 1.0 section 11).

use std::fmt;
use std::time::Duration;

use crate::client::Client;
use crate::clock::Now;
use crate::error::Error;
use crate::grant::TokenRequest;
use crate::token::TokenSet;

/// How often is polled when the server does not say (RFC 8628 section 3.2), and what each `slow_down` adds (section
/// 3.5).
const INTERVAL: Duration = Duration::from_secs(5);

/// The most that a connection that fails may slow polling down to.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// How long before the end is polled for the last time, where the next poll would come too late.
const LAST_POLL: Duration = Duration::from_secs(2);

pub(super) struct Poll {
    client: Client,
    expires_in: Duration,
    interval: Duration,
    asked: Now,
}

impl Poll {
    pub(super) fn new(client: &Client, expires_in: Duration, interval: Option<Duration>, asked: Now) -> Self {
        // A second at least, or a server that says zero would be polled without a pause.
        let interval = interval.map_or(INTERVAL, |interval| interval.max(Duration::from_secs(1)));
        Self { client: client.clone(), expires_in, interval, asked }
    }

    pub(super) fn expires_in(&self) -> Duration {
        self.expires_in
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) async fn wait(mut self, request: &TokenRequest, expired: &str) -> Result<TokenSet, Error> {
        // What the server wants between two polls; it wants nothing before the first one.
        let (mut demanded, mut least) = (self.interval, Duration::ZERO);
        let mut asked_for = Duration::ZERO;
        loop {
            let Some(wait) = self.next(asked_for, least) else {
                tokio::time::sleep(self.left()).await;
                return Err(Error::login("expired_token", expired));
            };
            tokio::time::sleep(wait).await;
            let error = match self.client.request(request).await {
                Ok(tokens) => return Ok(tokens),
                Err(error) => error,
            };
            asked_for = Duration::ZERO;
            match error.code() {
                "authorization_pending" => {}
                "slow_down" => {
                    self.interval = self.interval.saturating_add(INTERVAL);
                    demanded = demanded.saturating_add(INTERVAL);
                }
                _ if error.is_transient() => {
                    // RFC 8628 section 3.5: back off on one's own account, by doubling.
                    self.interval = self.interval.saturating_mul(2).min(MAX_INTERVAL.max(self.interval));
                    asked_for = error.retry_after().unwrap_or_default();
                }
                _ => return Err(error),
            }
            least = demanded;
        }
    }

    /// How long until the next poll, if there is one. The last one comes right before the end, sooner than a server in
    /// trouble has asked for or we have slowed down to: the person may have decided long ago.
    fn next(&self, asked_for: Duration, least: Duration) -> Option<Duration> {
        let (left, wait) = (self.left(), self.interval.max(asked_for));
        let last = left.saturating_sub(LAST_POLL);
        match left > wait {
            true => Some(wait),
            false => Some(last).filter(|last| !left.is_zero() && *last >= least),
        }
    }

    /// What is left of the time, by the clock that says less.
    fn left(&self) -> Duration {
        let now = self.client.clock().now();
        let gone = |now: Duration, asked: Duration| self.expires_in.saturating_sub(now.saturating_sub(asked));
        gone(now.wall, self.asked.wall).min(gone(now.monotonic, self.asked.monotonic))
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll")
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
