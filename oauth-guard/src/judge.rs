//! The judgement of one token that has not been seen before, or whose keys have to be fetched first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use oauth_client::clock::{Clock, Now};
use serde::de::DeserializeOwned;

use crate::assemble::Assembler;
use crate::bearer::{self, Places};
use crate::cache::{Digest, TokenCache};
use crate::claims::{Claims, Verified};
use crate::defaults;
use crate::guard::{Check, CheckFuture, RequestHead};
use crate::issuer::IssuerState;
use crate::jose::{self, Scratch};
use crate::keys::{Flight, Remote, Standing, Unknown, escaped};
use crate::metadata::ResourceMetadata;
use crate::policy::Rules;
use crate::refuse::http::Challenge;
use crate::refuse::{Flaw, Refusal, log};
use crate::tenants::{Tenant, Tenants};
use crate::verify::{self, ClaimSet, Strict};

/// One policy: all that a request is decided by. A request takes it once and is decided by it alone; a reload puts
/// another in its place.
pub(crate) struct Policy<T> {
    /// Counts the policies of a guard.
    pub(crate) generation: u64,
    pub(crate) issuers: HashMap<Box<str>, Arc<IssuerState>>,
    /// Issuers that are found at run time.
    pub(crate) tenants: Option<Arc<Tenants>>,
    /// The longest token any issuer may send; each has its own limit besides.
    pub(crate) max_token_bytes: usize,
    pub(crate) cache: Arc<TokenCache<T>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// What its issuers were made with, for the policy after it.
    pub(crate) assembler: Assembler,
    pub(crate) challenge: Arc<Challenge>,
    pub(crate) rules: Rules,
    pub(crate) resource: Option<ResourceMetadata>,
    pub(crate) places: Places,
    /// Reads the user's type from claims that are known to be an object.
    pub(crate) custom: fn(&str) -> Option<T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Policy<T> {
    pub(crate) fn check(self: &Arc<Self>, request: RequestHead<'_>) -> Check<T> {
        let token = match self.places.token(request) {
            Ok(Some(token)) => token,
            Ok(None) => return Check::Now(Ok(None)),
            Err(refusal) => return Check::Now(Err(log::token_refused(self, None, refusal))),
        };
        let now = self.clock.now();
        let (digest, found) = self.cache.look_up(&token).unzip();
        if let (Some(digest), Some(Some(verified))) = (digest, found) {
            match verified.issuer.keys.standing(now) {
                // Identity is remembered, whether it still holds is asked again.
                Standing::Good
                    if verified.is_timely(now)
                        && verified.key.is_trusted()
                        && verified.issuer.is_in_force(self.generation) =>
                {
                    return Check::Now(Ok(Some(Claims::new(verified, &self.challenge))));
                }
                Standing::Good => self.cache.forget(digest),
                Standing::Overdue | Standing::Missing => {}
            }
        }
        self.check_anew(&token, digest, now)
    }

    /// Not seen before, or no longer good as it was.
    #[cold]
    fn check_anew(self: &Arc<Self>, token: &[u8], digest: Option<Digest>, now: Now) -> Check<T> {
        let text = match bearer::as_text(token) {
            Ok(text) => text,
            Err(refusal) => return Check::Now(Err(log::token_refused(self, None, refusal))),
        };
        match self.judge(text, digest, now, true) {
            Judgement::Final(outcome) => {
                Check::Now(outcome.map(Some).map_err(|refusal| self.refused(text, refusal)))
            }
            Judgement::Needs(need) => match need.begin(now) {
                // What is known to be in vain, or too soon, needs no waiting.
                Err(refusal) => Check::Now(Err(self.refused(text, refusal))),
                Ok(flight) => {
                    let (policy, token) = (Arc::clone(self), Box::from(text));
                    Check::Later(CheckFuture(Box::pin(async move {
                        let outcome = Arc::clone(&policy).judge_after(flight, &token, need).await;
                        outcome.map(Some).map_err(|refusal| policy.refused(&token, refusal))
                    })))
                }
            },
        }
    }

    fn refused(&self, token: &str, refusal: Refusal) -> Refusal {
        log::token_refused(self, Some(token), bearer::blame(token, refusal))
    }
}

/// What comes of looking for an issuer.
pub(crate) enum Lookup {
    Found(Arc<IssuerState>),
    Unavailable(Duration),
    Ask(Need),
}

enum Judgement<T> {
    Final(Result<Claims<T>, Refusal>),
    Needs(Need),
}

/// What a token cannot be judged without.
pub(crate) enum Need {
    /// Any keys of its issuer: there are none, or none that are fresh enough.
    Keys(Arc<Remote>),
    /// Newer keys: those there are do not fit the token.
    NewerKeys(Arc<Remote>),
    /// Its issuer.
    Issuer(Arc<Tenants>, Box<str>),
}

impl Need {
    /// Begins to fetch it, or joins those who do.
    pub(crate) fn begin(&self, now: Now) -> Result<Flight, Refusal> {
        match self {
            Self::Keys(remote) => remote.fetch(now).map_err(unavailable),
            Self::NewerKeys(remote) => match remote.unknown_key(now) {
                Unknown::Wait(flight) => Ok(flight),
                Unknown::Refuse => Err(Flaw::UnknownKey.into()),
                Unknown::Unavailable(retry_after) => Err(unavailable(retry_after)),
            },
            Self::Issuer(tenants, name) => {
                tenants.resolve(name).ok_or_else(|| unavailable(Duration::from_secs(1)))
            }
        }
    }

    /// What to say when it was fetched several times over and still is not there.
    fn given_up(&self, now: Now) -> Refusal {
        match self {
            Self::Keys(_) | Self::Issuer(..) => unavailable(Duration::from_secs(1)),
            Self::NewerKeys(remote) => {
                remote.outage(now).map_or_else(|| Flaw::UnknownKey.into(), unavailable)
            }
        }
    }
}

fn unavailable(retry_after: Duration) -> Refusal {
    Refusal::KeysUnavailable { retry_after }
}

impl<T: Send + Sync + 'static> Policy<T> {
    /// Everything that can be told with the keys at hand. `refresh` says whether keys that are merely overdue
    /// are to be fetched first.
    fn judge(&self, token: &str, digest: Option<Digest>, now: Now, refresh: bool) -> Judgement<T> {
        match self.try_judge(token, digest, now, refresh) {
            Ok(judgement) => judgement,
            Err(flaw) => Judgement::Final(Err(flaw.into())),
        }
    }

    fn try_judge(
        &self,
        token: &str,
        digest: Option<Digest>,
        now: Now,
        refresh: bool,
    ) -> Result<Judgement<T>, Flaw> {
        if token.len() > self.max_token_bytes {
            return Err(Flaw::TooLong);
        }
        let compact = jose::split(token)?;
        let mut header_scratch = Scratch::new();
        let header = jose::read_header(&compact, &mut header_scratch)?;
        let mut payload_scratch = Scratch::new();
        let payload = compact.payload(&mut payload_scratch)?;
        let mut claims = ClaimSet::new();
        claims.read(payload)?;
        // Keys belong to their issuer: the one the token names decides which keys may have signed it.
        let name = claims.issuer()?;
        let issuer = match self.issuer(&name, now)? {
            Lookup::Found(issuer) => issuer,
            Lookup::Unavailable(retry_after) => return Ok(Judgement::Final(Err(unavailable(retry_after)))),
            Lookup::Ask(need) => return Ok(Judgement::Needs(need)),
        };
        let issuer = &issuer;
        if token.len() > issuer.rules.max_token_bytes {
            return Err(Flaw::TooLong);
        }
        if !issuer.rules.algorithms.contains(&header.algorithm) {
            return Err(Flaw::AlgorithmNotAllowed);
        }
        let times = claims.judge(issuer, header.typ, now, &mut Strict)?.ok_or(Flaw::Claim("exp"))?;
        if let Some(remote) = issuer.keys.remote() {
            match issuer.keys.standing(now) {
                Standing::Good => {}
                Standing::Overdue if !refresh => {}
                Standing::Overdue | Standing::Missing => {
                    return Ok(Judgement::Needs(Need::Keys(Arc::clone(remote))));
                }
            }
        }
        let key = match (verify::signed_by(&issuer.keys.current(), &header, &compact), issuer.keys.remote()) {
            (Ok(key), _) => key,
            (Err(Flaw::UnknownKey), Some(remote)) => {
                tracing::debug!(
                    target: "oauth_guard",
                    issuer = issuer.name(),
                    key_id = header.key_id.as_deref().map(escaped),
                    "a token names an unknown key"
                );
                return Ok(Judgement::Needs(Need::NewerKeys(Arc::clone(remote))));
            }
            (Err(flaw), _) => return Err(flaw),
        };
        let custom = (self.custom)(payload).ok_or(Flaw::CustomClaims)?;
        let parts = claims.to_parts(issuer, &times).ok_or(Flaw::TooLong)?;
        let verified = Arc::new(Verified { issuer: Arc::clone(issuer), key, parts, custom });
        self.cache.remember(token.as_bytes(), digest, &verified);
        Ok(Judgement::Final(Ok(Claims::new(verified, &self.challenge))))
    }

    /// Whose token it is.
    pub(crate) fn issuer(&self, name: &str, now: Now) -> Result<Lookup, Flaw> {
        match (self.issuers.get(name), &self.tenants) {
            (Some(issuer), _) => Ok(Lookup::Found(Arc::clone(issuer))),
            (None, None) => Err(Flaw::UnknownIssuer),
            // Whoever wrote the token wrote its issuer; nothing vouches for it yet.
            (None, Some(_)) if name.len() > defaults::ISSUER_BYTES => Err(Flaw::UnknownIssuer),
            (None, Some(tenants)) => match tenants.look_up(name, now) {
                Tenant::Known(issuer) => Ok(Lookup::Found(issuer)),
                Tenant::Unknown => Err(Flaw::UnknownIssuer),
                Tenant::Unavailable(retry_after) => Ok(Lookup::Unavailable(retry_after)),
                Tenant::Ask => Ok(Lookup::Ask(Need::Issuer(Arc::clone(tenants), name.into()))),
            },
        }
    }

    /// Waits for a fetch and judges again. Ends after a few rounds at most: another is begun only when this one was
    /// lost, or was somebody else's and not what the token needs.
    async fn judge_after(
        self: Arc<Self>,
        mut flight: Flight,
        token: &str,
        mut need: Need,
    ) -> Result<Claims<T>, Refusal> {
        // An issuer, its keys, newer keys; and one of them again.
        const ROUNDS: usize = 4;
        for _ in 0..ROUNDS {
            // A task that died with its runtime counts as landed; the next round begins another.
            let landed = flight.landed().await;
            // Overdue keys have just been asked for, unless it was something else that was.
            let refresh = landed.is_err() || matches!(need, Need::Issuer(..));
            match self.judge(token, None, self.clock.now(), refresh) {
                Judgement::Final(outcome) => return outcome,
                Judgement::Needs(next) => need = next,
            }
            flight = need.begin(self.clock.now())?;
        }
        Err(need.given_up(self.clock.now()))
    }

    /// Every issuer in force at the moment.
    pub(crate) fn all_issuers(&self) -> Vec<Arc<IssuerState>> {
        let found = self.tenants.iter().flat_map(|tenants| tenants.known());
        self.issuers.values().cloned().chain(found).collect()
    }
}
