//! What a validation ends with: claims, a rejection, or something that has to be fetched first.

use std::sync::Arc;
use std::time::Duration;

use oauth_client::clock::Now;

use crate::claims::{Claims, Verified};
use crate::defaults::KEY_PATIENCE;
use crate::error::TokenError;
use crate::issuer::IssuerState;
use crate::keys::{Arrival, Flight, Lost, Remote, UnknownKey};
use crate::reject::Rejection;
use crate::tenants::Tenants;

/// The outcome of validating one token with what is at hand.
pub(crate) enum Validation<T> {
    Done(Result<Claims<T>, Rejection>),
    Pending(PendingFetch),
    /// Its server must be asked (RFC 7662). `jwt` is there if the token is a JWT that is valid by the issuer's keys.
    Introspect {
        issuer: Arc<IssuerState>,
        jwt: Option<Arc<Verified<T>>>,
    },
}

/// The outcome of looking for the issuer that a token names.
pub(crate) enum IssuerLookup {
    Found(Arc<IssuerState>),
    Unavailable(Duration),
    Pending(PendingFetch),
}

/// What has to be fetched before a token can be validated.
pub(crate) enum PendingFetch {
    /// Any keys of its issuer: there are none.
    Keys(Arc<Remote>),
    /// Keys of its issuer that are fresh enough; if they do not come soon, those at hand are used.
    FresherKeys(Arc<Remote>),
    /// Newer keys: none of those at hand fits the token, which names this one.
    NewerKeys(Arc<Remote>, Option<Box<str>>),
    /// Its issuer, from the resolver.
    Issuer(Arc<Tenants>, Box<str>),
}

impl PendingFetch {
    /// Starts the fetch, or joins the one under way.
    pub(crate) fn start(&self, now: Now) -> Result<Flight, Rejection> {
        match self {
            Self::Keys(remote) | Self::FresherKeys(remote) => remote.fetch(now).map_err(unavailable),
            Self::NewerKeys(remote, key_id) => remote.unknown_key(key_id.as_deref(), now).into_flight(),
            Self::Issuer(tenants, name) => {
                tenants.resolve(name).ok_or_else(|| unavailable(Duration::from_secs(1)))
            }
        }
    }

    /// As [`Self::start`], for a logout token or a security event.
    pub(crate) fn start_for(&self, arrival: Arrival, now: Now) -> Result<Flight, Rejection> {
        match self {
            Self::NewerKeys(remote, key_id) => {
                remote.unknown_key_of(arrival, key_id.as_deref(), now).into_flight()
            }
            _ => self.start(now),
        }
    }

    /// Waits for it. Returns whether keys that are overdue are fetched before they are used; an error ends the wait.
    pub(crate) async fn wait(&self, flight: Flight) -> Result<bool, Rejection> {
        let landed = match self {
            Self::FresherKeys(_) => flight.landed_within(KEY_PATIENCE).await,
            _ => flight.landed().await,
        };
        match (landed, self) {
            // Overdue keys were just fetched, unless the fetch was for an issuer.
            (Ok(()), _) => Ok(matches!(self, Self::Issuer(..))),
            // A task that ended with its runtime counts as landed; the next round starts another.
            (Err(Lost::Ended), _) => Ok(true),
            (Err(Lost::Late), Self::FresherKeys(_)) => Ok(false),
            (Err(Lost::Late), _) => Err(unavailable(Duration::from_secs(1))),
        }
    }

    /// Whether the token can be validated without it.
    pub(crate) fn is_optional(&self) -> bool {
        matches!(self, Self::FresherKeys(_))
    }

    /// The rejection when several fetches did not bring it.
    pub(crate) fn exhausted(&self, now: Now) -> Rejection {
        match self {
            Self::Keys(_) | Self::FresherKeys(_) | Self::Issuer(..) => unavailable(Duration::from_secs(1)),
            Self::NewerKeys(remote, _) => {
                remote.outage(now).map_or_else(|| TokenError::UnknownKey.into(), unavailable)
            }
        }
    }
}

impl UnknownKey {
    fn into_flight(self) -> Result<Flight, Rejection> {
        match self {
            Self::Fetching(flight) => Ok(flight),
            Self::NotFound => Err(TokenError::UnknownKey.into()),
            Self::Unavailable(retry_after) => Err(unavailable(retry_after)),
        }
    }
}

pub(crate) fn unavailable(retry_after: Duration) -> Rejection {
    Rejection::KeysUnavailable { retry_after }
}
