//! A token ready for use.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Uri};

use super::{NOT_APPLICABLE, Secret, TokenSet};
use crate::clock::Now;
use crate::dpop::{ProofError, Prover, Target, Verifier, hash, proof_error};
use crate::error::{Error, Kind};

/// An access token ready for use, shared by every request that carries it: a clone is a pointer.
#[derive(Clone)]
pub struct AccessToken(pub(crate) Arc<Held>);

/// What the clones of a token share.
pub(crate) struct Held {
    tokens: TokenSet,
    authorization: HeaderValue,
    binding: Option<Box<Binding>>,
    generation: u64,
    fresh_until: Moment,
    good_until: Moment,
}

/// What it takes to use a token that is bound to a key.
pub(crate) struct Binding {
    pub(crate) prover: Arc<Prover>,
    ath: String,
}

/// A deadline on both clocks; it has passed when either says so.
#[derive(Clone, Copy)]
struct Moment {
    wall: Duration,
    monotonic: Duration,
}

/// How much life is left in a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// Inside the refresh margin: good, and due for replacement.
    Aging,
    Expired,
}

impl AccessToken {
    /// The value of the `Authorization` header, made once and marked sensitive: `Bearer …`, or `DPoP …` for a token
    /// that is [bound to a key](crate::dpop) and needs a [proof](Self::proof) beside it.
    #[must_use]
    pub fn authorization(&self) -> &HeaderValue {
        &self.0.authorization
    }

    /// The number of this token among those that its source has obtained: it changes exactly when the access token
    /// does.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The whole response this token came with.
    #[must_use]
    pub fn tokens(&self) -> &TokenSet {
        &self.0.tokens
    }

    /// The token itself, for places other than the `Authorization` header.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0.tokens.access_token
    }

    /// When it expires, as Unix time; worked out from the default lifetime when the server named none.
    #[must_use]
    pub fn expires_at(&self) -> Duration {
        self.0.good_until.wall
    }

    /// The value of the `DPoP` header for one request with this token (RFC 9449 section 7.1), each time a new one;
    /// `None` for a bearer token, which needs none. The [layer](crate::attach) does all this by itself.
    ///
    /// # Errors
    /// `config` when the URI has no scheme or host.
    pub fn proof(&self, method: &Method, uri: &Uri) -> Result<Option<HeaderValue>, Error> {
        let Some(binding) = self.binding() else { return Ok(None) };
        let target = Target::of(uri)?;
        let proof = binding.prover.prove(binding.verifier(), method, &target, None)?;
        Ok(Some(proof.header))
    }

    /// Reads the head of an API's response to a request for this URI: the nonce it brings goes into the next proof (RFC
    /// 9449 section 9). True when the API wants the request once more, with a new proof: then send it once more, and
    /// not again after that.
    #[must_use]
    pub fn wants_another_proof(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let (Some(binding), Ok(target)) = (self.binding(), Target::of(uri)) else { return false };
        let news = binding.prover.learn(binding.verifier(), &target, None, headers).is_some();
        news && proof_error(headers) == Some(ProofError::UseNonce)
    }

    /// What it takes in memory, in bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let tokens = &self.0.tokens;
        let others = tokens.refresh_token.iter().chain(&tokens.id_token).map(|token| token.expose().len());
        size_of::<Held>() + 2 * tokens.access_token.expose().len() + others.sum::<usize>()
    }

    /// How long until it is due for replacement, by the clock that says less.
    pub(crate) fn fresh_for(&self, now: Now) -> Duration {
        let until = self.0.fresh_until;
        until.wall.saturating_sub(now.wall).min(until.monotonic.saturating_sub(now.monotonic))
    }

    pub(crate) fn binding(&self) -> Option<&Binding> {
        self.0.binding.as_deref()
    }

    /// Makes a token set usable. `sent` is the moment its request went out, `margin` how long before its end it is due
    /// for replacement. One that the client must not use, because it is bound to another key than `prover`'s, or to
    /// none where one is asked for, is as good as expired.
    pub(crate) fn new(
        tokens: TokenSet,
        generation: u64,
        now: Now,
        default_lifetime: Duration,
        margin: Duration,
        prover: Option<&Arc<Prover>>,
    ) -> Result<Self, Error> {
        // What is no access token must not be sent as one (RFC 8693 section 2.2.1).
        if tokens.extra.contains_key("token_type") {
            return Err(Error::new(Kind::TokenType(NOT_APPLICABLE.to_owned())));
        }
        let authorization = authorization(&tokens)?;
        let (binding, is_ours) = match (&tokens.jkt, prover) {
            (Some(jkt), Some(prover)) if *jkt == prover.thumbprint() => {
                let ath = hash(&tokens.access_token);
                (Some(Box::new(Binding { prover: Arc::clone(prover), ath })), true)
            }
            (Some(_), _) => (None, false),
            (None, prover) => (None, prover.is_none_or(|prover| prover.allows_bearer())),
        };
        let lifetime = tokens.lifetime().unwrap_or(default_lifetime);
        let lifetime = if is_ours { lifetime } else { Duration::ZERO };
        let good_until = Moment::at(tokens.issued_at().saturating_add(lifetime), lifetime, now);
        // Half the lifetime at most, or a short-lived token would never be fresh.
        let margin = margin.min(lifetime / 2);
        let fresh_until = Moment {
            wall: good_until.wall.saturating_sub(margin),
            monotonic: good_until.monotonic.saturating_sub(margin),
        };
        Ok(Self(Arc::new(Held { tokens, authorization, binding, generation, fresh_until, good_until })))
    }

    /// A token that never expires.
    pub(crate) fn fixed(secret: Secret) -> Result<Self, Error> {
        let never = Moment { wall: Duration::MAX, monotonic: Duration::MAX };
        let tokens = TokenSet::new(secret);
        let authorization = authorization(&tokens)?;
        Ok(Self(Arc::new(Held {
            tokens,
            authorization,
            binding: None,
            generation: 1,
            fresh_until: never,
            good_until: never,
        })))
    }

    pub(crate) fn freshness(&self, now: Now) -> Freshness {
        self.0.freshness(now)
    }

    /// What is left of its life, by the clock that says less.
    pub(crate) fn left(&self, now: Now) -> Duration {
        let until = &self.0.good_until;
        until.wall.saturating_sub(now.wall).min(until.monotonic.saturating_sub(now.monotonic))
    }
}

impl Binding {
    /// The recipient of the token.
    pub(crate) fn verifier(&self) -> Verifier<'_> {
        Verifier::Api { ath: &self.ath }
    }
}

impl Held {
    pub(crate) fn freshness(&self, now: Now) -> Freshness {
        if !self.fresh_until.has_passed(now) {
            Freshness::Fresh
        } else if !self.good_until.has_passed(now) {
            Freshness::Aging
        } else {
            Freshness::Expired
        }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("generation", &self.0.generation)
            .field("tokens", &self.0.tokens)
            .finish()
    }
}

impl Moment {
    /// The moment that lies at `wall`, seen from `now`: whatever the wall clock does from here on, the monotonic
    /// clock gives the token no more time than this. Nor does it give more than `most`, should the wall clock have
    /// been stepped back since the token was issued.
    fn at(wall: Duration, most: Duration, now: Now) -> Self {
        let left = wall.saturating_sub(now.wall).min(most);
        Self { wall, monotonic: now.monotonic.saturating_add(left) }
    }

    fn has_passed(&self, now: Now) -> bool {
        now.wall >= self.wall || now.monotonic >= self.monotonic
    }
}

fn authorization(tokens: &TokenSet) -> Result<HeaderValue, Error> {
    let (scheme, token) = (tokens.scheme().name(), tokens.access_token.expose());
    let mut value = HeaderValue::try_from(format!("{scheme} {token}")).map_err(|_| {
        Error::new(Kind::Malformed("access_token: has characters that a header cannot carry".to_owned()))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
