//! The claims of a validated token: as handlers and requirements read them, and as a handler finds them in its request.

mod actor;
pub(crate) mod extensions;
pub(crate) mod misfit;
mod parts;
mod path;
pub(crate) mod subject;
mod verified;

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

pub use self::actor::Actor;
pub(crate) use self::parts::{List, Parts, PartsWriter, Spans, Words, place_in};
pub(crate) use self::path::{ClaimPath, find_by_name};
pub use self::subject::SubjectToken;
pub(crate) use self::verified::{Until, Verified};
use crate::authorize::{Known, VocabularyId};
use crate::json;
use crate::possession::{Binding, Proven};
use crate::reject::Challenge;
use crate::reject::log::Origin;

/// The claims of a verified token. Cheap to clone: a pointer.
///
/// The guard inserts them into the extensions of each request it forwards; with the feature `axum` they are an
/// extractor too. `T` is a type of your own for the issuer's other claims, deserialized once when the token is first
/// seen (see [`GuardBuilder::claims`](crate::GuardBuilder::claims)). Without one, [`get`](Self::get) reads any claim by
/// name.
///
/// ```
/// use oauth_guard::Claims;
///
/// fn greet(request: &http::Request<()>) -> String {
///     match request.extensions().get::<Claims>() {
///         Some(claims) => format!("hello {}", claims.subject().unwrap_or("a client")),
///         None => "hello stranger".to_owned(),
///     }
/// }
/// # assert_eq!(greet(&http::Request::new(())), "hello stranger");
/// ```
pub struct Claims<T = Untyped> {
    token: Token<T>,
    /// The proof that came with it.
    proven: Option<Arc<Proven>>,
}

/// A valid token, with the challenge of the guard that validated it, for extractors that reject later.
enum Token<T> {
    /// As one thread holds it: counted apart from the others'.
    Near(Arc<Held<T>>),
    Far(Arc<Verified<T>>, Arc<Challenge>),
}

/// A token as one thread holds it, so that each request of that thread counts here and not where other threads do: the counts
/// are on a line of the processor's cache for themselves.
#[repr(align(64))]
pub(crate) struct Held<T> {
    verified: Arc<Verified<T>>,
    challenge: Arc<Challenge>,
    /// The facts that the rules in force ask for, and those that layers do.
    known: [Known; 2],
}

impl<T> Held<T> {
    pub(crate) fn new(verified: Arc<Verified<T>>, challenge: Arc<Challenge>, known: [Known; 2]) -> Self {
        Self { verified, challenge, known }
    }

    pub(crate) fn verified(&self) -> &Arc<Verified<T>> {
        &self.verified
    }

    /// What it takes in memory, in bytes, with its counts, were the token in no other place.
    pub(crate) fn weight(&self) -> u32 {
        const OWN: usize = 64 + size_of::<Held<()>>();
        self.verified.weight().saturating_add(u32::try_from(OWN).unwrap_or(u32::MAX))
    }
}

impl<T> Claims<T> {
    pub(crate) fn new(verified: Arc<Verified<T>>, challenge: &Arc<Challenge>) -> Self {
        Self { token: Token::Far(verified, Arc::clone(challenge)), proven: None }
    }

    pub(crate) fn held(held: Arc<Held<T>>) -> Self {
        Self { token: Token::Near(held), proven: None }
    }

    /// With the proof that came with it.
    pub(crate) fn proven(mut self, proven: Option<Arc<Proven>>) -> Self {
        self.proven = proven;
        self
    }

    #[inline]
    pub(crate) fn proof(&self) -> Option<&Arc<Proven>> {
        self.proven.as_ref()
    }

    /// The proof, if the response is to bring a nonce for the next one.
    #[inline]
    pub(crate) fn renewal(&self) -> Option<Arc<Proven>> {
        self.proven.as_ref().filter(|proven| proven.renewal.is_some()).cloned()
    }

    /// The keys that the token is bound to.
    #[inline]
    pub(crate) fn binding(&self) -> Option<&Binding> {
        self.verified().binding.as_deref()
    }

    #[cfg(feature = "axum")]
    pub(crate) fn is_dpop_bound(&self) -> bool {
        self.binding().is_some_and(|binding| binding.jkt.is_some())
    }

    /// Whether the token is bound to a key, whose possession the caller has proven: by a DPoP proof (RFC 9449) or by its
    /// certificate (RFC 8705).
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.verified().binding.is_some()
    }

    /// The value for `DPoP-Nonce` in the response, where the nonce of the caller's proof is due for replacement (RFC
    /// 9449 section 8.2). A [layer](crate::GuardLayer) sets it; code that calls [`Guard::check`](crate::Guard::check)
    /// itself has to.
    #[must_use]
    pub fn dpop_nonce(&self) -> Option<&HeaderValue> {
        self.proven.as_ref()?.renewal.as_ref()
    }

    /// What the log says of it.
    pub(crate) fn origin(&self) -> Origin {
        Origin::verified(self.issuer(), self.verified().key.as_ref().and_then(|key| key.key_id.as_deref()))
    }

    /// `iss`: who issued the token, exactly as configured; for an issuer with `{tenantid}` in its name, with the tenant in
    /// its place.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.verified().issuer_name()
    }

    /// `sub`: the user or client that the token stands for. RFC 9068 tokens always have one. For a client without a user
    /// it is often the client's own id: compare it with [`client_id`](Self::client_id) before you take it for a user.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.verified().parts.text(self.verified().parts.subject)
    }

    /// Your data about the issuer, from [`Issuer::data`](crate::Issuer::data). `None` when there is none, or it is of another
    /// type.
    #[must_use]
    pub fn issuer_data<D: 'static>(&self) -> Option<&D> {
        self.verified().issuer.rules.data.as_ref()?.get()
    }

    /// `client_id`, or `azp` where the issuer uses that: the client that the token was issued to.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.verified().parts.text(self.verified().parts.client_id)
    }

    /// `jti`: the token's own id.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.verified().parts.text(self.verified().parts.token_id)
    }

    /// `aud`: every audience the token names, this API's among them.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.verified().parts.list(List::Audience)
    }

    /// The scopes the token grants, from `scope`, `scp` or the claim of
    /// [`Issuer::scope_claim`](crate::Issuer::scope_claim).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.verified().parts.list(List::Scopes)
    }

    /// Whether the token grants exactly this scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.verified().parts.list_has(List::Scopes, scope)
    }

    /// The roles the token carries, from the claim of [`Issuer::roles_claim`](crate::Issuer::roles_claim).
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.verified().parts.list(List::Roles)
    }

    /// Whether the token carries exactly this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.verified().parts.list_has(List::Roles, role)
    }

    /// `exp`: when the token expires, in seconds since the Unix epoch. The guard's leeway is added to it. For an introspected
    /// token without `exp`, when the server is asked again.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.verified().parts.expires_at
    }

    /// `iat`: when the token was issued, in seconds since the Unix epoch.
    #[must_use]
    pub fn issued_at(&self) -> Option<u64> {
        self.verified().parts.issued_at()
    }

    /// `auth_time`: when the user last logged in, in seconds since the Unix epoch (RFC 9068 section 2.2.1).
    #[must_use]
    pub fn authenticated_at(&self) -> Option<u64> {
        // A malformed one is an error only for a requirement that needs it.
        json::read_value(self.verified().parts.member("auth_time")?)?.as_seconds()
    }

    /// `acr`: how the user logged in, in the issuer's terms (RFC 9068 section 2.2.1).
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.verified().parts.text(self.verified().parts.acr)
    }

    /// Any claim by name, read as the type you ask for. `None` when the token has no such claim or it is of
    /// another type.
    ///
    /// It is deserialized on each call: put what every request needs into your own type.
    #[must_use]
    pub fn get<V: DeserializeOwned>(&self, name: &str) -> Option<V> {
        serde_json::from_str(self.verified().parts.member(name)?).ok()
    }

    /// The claims as the JSON object the issuer signed, or as the introspection response.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.verified().parts.payload()
    }

    #[inline]
    pub(crate) fn verified(&self) -> &Arc<Verified<T>> {
        match &self.token {
            Token::Near(held) => &held.verified,
            Token::Far(verified, _) => verified,
        }
    }

    /// What is known of the token by a vocabulary, where it was held under the rules that are in force.
    #[inline]
    pub(crate) fn known(&self, vocabulary: VocabularyId, rules: VocabularyId) -> Option<&Known> {
        match &self.token {
            Token::Near(held) if held.known[0].is_by(rules) => {
                held.known.iter().find(|known| known.is_by(vocabulary))
            }
            _ => None,
        }
    }

    /// When the token ends, leeway included, in seconds since the Unix epoch.
    pub(crate) fn ends_at(&self) -> u64 {
        self.verified().ends_at()
    }

    pub(crate) fn introspected_until(&self) -> Until {
        self.verified().introspected_until
    }

    /// Your own type, deserialized from the token.
    #[must_use]
    pub fn custom(&self) -> &T {
        &self.verified().custom
    }

    /// The JSON text of a claim by its whole name.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.verified().parts.member(name)
    }

    /// A claim by name, or by a path into objects, without a copy.
    pub(crate) fn value(&self, name: &str) -> Option<json::Value<'_>> {
        if let Some(raw) = self.raw(name) {
            return json::read_value(raw);
        }
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(json::read_value(self.verified().parts.member(first)?)?, |value, step| {
            match value {
                json::Value::Object(object) => object.get(step),
                _ => None,
            }
        })
    }

    /// Whether the user logged in at most that many seconds ago, plus the issuer's leeway. A login in the future does not
    /// count.
    pub(crate) fn logged_in_within(&self, seconds: u64, now: u64) -> bool {
        let leeway = self.verified().issuer.rules.leeway.as_secs();
        self.authenticated_at().is_some_and(|at| {
            at <= now.saturating_add(leeway) && now <= at.saturating_add(seconds).saturating_add(leeway)
        })
    }

    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only extractors reject behind a guard"))]
    pub(crate) fn challenge(&self) -> &Arc<Challenge> {
        match &self.token {
            Token::Near(held) => &held.challenge,
            Token::Far(_, challenge) => challenge,
        }
    }
}

impl<T> Clone for Claims<T> {
    fn clone(&self) -> Self {
        let token = match &self.token {
            Token::Near(held) => Token::Near(Arc::clone(held)),
            Token::Far(verified, challenge) => Token::Far(Arc::clone(verified), Arc::clone(challenge)),
        };
        Self { token, proven: self.proven.clone() }
    }
}

impl<T> fmt::Debug for Claims<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("client_id", &self.client_id())
            .field("scopes", &self.scopes().collect::<Vec<_>>())
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

/// The default in place of a type of your own: claims are read by name, with [`Claims::get`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Untyped;

impl<'de> Deserialize<'de> for Untyped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
