//! A signed response (RFC 9701): a JWT of the issuer whose member `token_introspection` is the response.

use std::time::Duration;

use oauth_client::clock::{Clock, Now};

use crate::defaults::INTROSPECTION_BYTES;
use crate::error::TokenError;
use crate::issuer::IssuerState;
use crate::jose::{self, Issued, Typ};
use crate::json::Value;
use crate::keys::Freshness;
use crate::reject::Rejection;
use crate::validate::{Buffers, ClaimSet, ParsedToken, PendingFetch};

/// Why nothing is known from a signed response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not what was asked for; by the name of what is wrong.
    Malformed(&'static str),
    /// The keys that would tell could not be fetched; when to try again.
    NoKeys(Duration),
}

/// Whose the response has to be.
#[derive(Clone, Copy)]
pub(super) struct Signer<'a> {
    pub(super) issuer: &'a IssuerState,
    /// Whom it has to be for.
    pub(super) client_id: &'a str,
}

/// What a reading comes to with the keys at hand.
enum Reading {
    Said(String),
    Pending(PendingFetch),
}

impl Signer<'_> {
    /// The response as JSON text, verified by the issuer's keys; these are fetched by the rules for those of a token.
    pub(super) async fn open(self, jwt: &str, clock: &dyn Clock) -> Result<String, Unread> {
        // The keys, newer keys; and one of them again.
        const ROUNDS: usize = 3;
        let mut refresh = true;
        for _ in 0..ROUNDS {
            let now = clock.now();
            let fetch = match self.read(jwt, now, refresh)? {
                Reading::Said(response) => return Ok(response),
                Reading::Pending(fetch) => fetch,
            };
            refresh = match fetch.start(now) {
                Ok(flight) => fetch.wait(flight).await?,
                Err(_) if fetch.is_optional() => false,
                Err(rejection) => return Err(rejection.into()),
            };
        }
        Err(Unread::Malformed("the signature is by no key of the issuer"))
    }

    /// `refresh` says whether keys that are merely overdue are fetched first.
    fn read(self, jwt: &str, now: Now, refresh: bool) -> Result<Reading, Unread> {
        let mut buffers = Buffers::new();
        let token = ParsedToken::parse(jwt, INTROSPECTION_BYTES, &mut buffers)
            .map_err(|_| Unread::Malformed("not a signed JWT"))?;
        let header = token.header.map_err(|_| Unread::Malformed("the header of the JWT"))?;
        let claims = token.claims.map_err(|_| Unread::Malformed("the claims of the JWT"))?;
        if header.typ != Typ::Introspection {
            return Err(Unread::Malformed("typ is not token-introspection+jwt"));
        }
        let rules = &self.issuer.rules;
        if !rules.algorithms.contains(&header.algorithm) {
            return Err(Unread::Malformed("alg is not one of the issuer's algorithms"));
        }
        let (Ok(name), tenant) = (claims.issuer(), claims.tenant()) else {
            return Err(Unread::Malformed("iss of the JWT"));
        };
        let issued = Issued { issuer: &name, tenant: tenant.as_deref() };
        let is_apart = rules.tenants_apart.iter().any(|apart| **apart == *name);
        if !issued.is_by(&rules.name) || is_apart {
            return Err(Unread::Malformed("iss of the JWT is not the issuer"));
        }
        if claims.check_audience(&[Box::from(self.client_id)]).is_err() {
            return Err(Unread::Malformed("aud of the JWT is not the client that asks"));
        }
        self.check_times(&claims, now)?;
        let response = match claims.present("token_introspection") {
            Some(Value::Object(_)) => claims.raw("token_introspection"),
            _ => None,
        };
        let response = response.ok_or(Unread::Malformed("token_introspection is not an object"))?;
        if let Some(remote) = self.issuer.keys.remote() {
            match self.issuer.keys.freshness(now) {
                Freshness::Overdue if refresh => {
                    return Ok(Reading::Pending(PendingFetch::FresherKeys(remote.clone())));
                }
                Freshness::Fresh | Freshness::Overdue => {}
                Freshness::Missing => return Ok(Reading::Pending(PendingFetch::Keys(remote.clone()))),
            }
        }
        let keys = self.issuer.keys.current();
        match (jose::signed_by(&keys, &header, &token.compact, issued), self.issuer.keys.remote()) {
            (Ok(_), _) => Ok(Reading::Said(response.to_owned())),
            (Err(TokenError::UnknownKey), Some(remote)) => {
                let key_id = header.key_id.as_deref().map(Into::into);
                Ok(Reading::Pending(PendingFetch::NewerKeys(remote.clone(), key_id)))
            }
            (Err(_), _) => Err(Unread::Malformed("the signature is by no key of the issuer")),
        }
    }

    /// When the server said it (RFC 9701 section 5 requires `iat`), and how long it stands by it.
    fn check_times(self, claims: &ClaimSet<'_>, now: Now) -> Result<(), Unread> {
        let (wall, leeway) = (now.wall.as_secs(), self.issuer.rules.leeway.as_secs());
        let time = |name| claims.seconds(name).map_err(|_| Unread::Malformed(name));
        match time("iat")? {
            Some(at) if wall >= at.saturating_sub(leeway) => {}
            _ => return Err(Unread::Malformed("iat of the JWT is absent or in the future")),
        }
        match time("exp")? {
            Some(at) if wall >= at.saturating_add(leeway) => Err(Unread::Malformed("the JWT is expired")),
            _ => Ok(()),
        }
    }
}

impl From<Rejection> for Unread {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::KeysUnavailable { retry_after } => Self::NoKeys(retry_after),
            _ => Self::Malformed("the signature is by no key of the issuer"),
        }
    }
}
