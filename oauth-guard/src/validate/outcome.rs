//! What a validation ends with: claims, a rejection, or something that has to be fetched first.

use std::sync::Arc;
use std::time::Duration;

use oauth_client::clock::Now;

use crate::claims::{Claims, Verified};
use crate::issuer::IssuerState;
use crate::keys::{Flight, Remote, UnknownKey};
use crate::reject::{Rejection, TokenError};
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
    /// Any keys of its issuer: there are none, or none that are fresh enough.
    Keys(Arc<Remote>),
    /// Newer keys: none of those at hand fits the token.
    NewerKeys(Arc<Remote>),
    /// Its issuer, from the resolver.
    Issuer(Arc<Tenants>, Box<str>),
}

impl PendingFetch {
    /// Starts the fetch, or joins the one under way.
    pub(crate) fn start(&self, now: Now) -> Result<Flight, Rejection> {
        match self {
            Self::Keys(remote) => remote.fetch(now).map_err(unavailable),
            Self::NewerKeys(remote) => match remote.unknown_key(now) {
                UnknownKey::Fetching(flight) => Ok(flight),
                UnknownKey::NotFound => Err(TokenError::UnknownKey.into()),
                UnknownKey::Unavailable(retry_after) => Err(unavailable(retry_after)),
            },
            Self::Issuer(tenants, name) => {
                tenants.resolve(name).ok_or_else(|| unavailable(Duration::from_secs(1)))
            }
        }
    }

    /// The rejection when several fetches did not bring it.
    pub(crate) fn exhausted(&self, now: Now) -> Rejection {
        match self {
            Self::Keys(_) | Self::Issuer(..) => unavailable(Duration::from_secs(1)),
            Self::NewerKeys(remote) => {
                remote.outage(now).map_or_else(|| TokenError::UnknownKey.into(), unavailable)
            }
        }
    }
}

pub(crate) fn unavailable(retry_after: Duration) -> Rejection {
    Rejection::KeysUnavailable { retry_after }
}
