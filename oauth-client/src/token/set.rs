//! A token endpoint's response.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::plaintext_serde::{conceal, conceal_some, expose, expose_some};
use super::raw_response::{bearer_only, no_expires_in};
use super::{Secret, TokenType, digest};

/// A token endpoint's response (RFC 6749 section 5.1), with the expiry worked out.
///
/// It serializes with its secrets in the clear, because a [`TokenStore`](crate::store::TokenStore) has to write them
/// somewhere; `Debug` shows none.
///
/// # Tokens from elsewhere
///
/// Tokens that another library has obtained, or that stand in a file, are taken over with [`new`](Self::new), or read as
/// JSON. Give them to [`SourceBuilder::starting_with`](crate::source::SourceBuilder::starting_with) or
/// [`TokenSource::log_in`](crate::TokenSource::log_in).
///
/// ```
/// use std::time::Duration;
/// use oauth_client::TokenSet;
///
/// let issued_at = Duration::from_secs(1_900_000_000); // Unix time
/// let by_hand = TokenSet::new("2YotnFZFEjr1zCsicMWpAA")
///     .with_refresh_token("tGzv3JOkF0XG5Qx2TlKWIA")
///     .with_scope(["read", "write"])
///     .with_lifetime(Duration::from_secs(3600))
///     .with_issued_at(issued_at);
///
/// let json = r#"{
///     "access_token": "2YotnFZFEjr1zCsicMWpAA",
///     "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
///     "scope": ["read", "write"],
///     "issued_at_ms": 1900000000000,
///     "lifetime_ms": 3600000
/// }"#;
/// assert_eq!(serde_json::from_str::<TokenSet>(json)?, by_hand);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// | member | type | meaning |
/// |---|---|---|
/// | `access_token` | string, required | the access token |
/// | `refresh_token`, `id_token` | string | what came beside it |
/// | `scope` | list of strings | what was granted, when the server said |
/// | `issued_at_ms` | number | when it was requested, in milliseconds since 1970; absent or 0: when a source takes it over |
/// | `lifetime_ms` | number | how long it lives from then on, in milliseconds; absent: unknown |
/// | `jkt` | string | the thumbprint of the key that it is bound to (RFC 9449 section 6.1); absent: a bearer token |
/// | `sub` | string | who logged in, as the validated ID token said |
/// | `family` | string | what all sets of one login have in common; written by sources, holds no secret |
/// | `ended` | boolean | true: [the login is over](Self::is_ended), and there is no token here; written by sources |
/// | `extra` | object | the response's other members |
///
/// A token endpoint's response as it came is not such a set: with `expires_in`, or a `token_type` other than `Bearer`, it
/// is refused, since neither the end of the token nor its key would be known.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenSet {
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    pub(crate) access_token: Secret,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some",
        deserialize_with = "conceal_some"
    )]
    pub(crate) refresh_token: Option<Secret>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "expose_some",
        deserialize_with = "conceal_some"
    )]
    pub(crate) id_token: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<Vec<String>>,
    /// Milliseconds since 1970, on the wall clock, when the request was sent.
    #[serde(default)]
    pub(crate) issued_at_ms: u64,
    /// How long it was said to live from then on; `None` when nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime_ms: Option<u64>,
    /// The thumbprint of the key that the access token is bound to; `None` for a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jkt: Option<String>,
    /// The `sub` of the ID token that the login behind it was validated by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<String>,
    /// When the server responded, by its own clock (the `Date` of the response), in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_date: Option<u64>,
    /// The fencing number of the lease that it was obtained under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fence: Option<u64>,
    /// A digest that all sets of one login share, through every refresh; `None` until the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<String>,
    /// Whether it stands for a login that a log-out has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ended: bool,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) extra: Map<String, Value>,
    /// Not a member of a set, but of what could be taken for one.
    #[serde(default, skip_serializing, deserialize_with = "no_expires_in")]
    pub(crate) expires_in: (),
    /// The same.
    #[serde(default, skip_serializing, deserialize_with = "bearer_only")]
    pub(crate) token_type: (),
}

/// How an access token is used (RFC 6749 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Usable by any party that holds it (RFC 6750).
    Bearer,
    /// Good only together with a proof that its sender has a key (RFC 9449).
    Dpop,
}

impl Scheme {
    /// Its name in the `Authorization` header, which is also the `token_type` in a token response.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TokenSet {
    /// A set with this access token alone: a bearer token of unknown lifetime, issued when a source takes it over.
    #[must_use]
    pub fn new(access_token: impl Into<Secret>) -> Self {
        Self {
            access_token: access_token.into(),
            refresh_token: None,
            id_token: None,
            scope: None,
            issued_at_ms: 0,
            lifetime_ms: None,
            jkt: None,
            sub: None,
            server_date: None,
            fence: None,
            family: None,
            ended: false,
            extra: Map::new(),
            expires_in: (),
            token_type: (),
        }
    }

    /// The same with this refresh token.
    #[must_use]
    pub fn with_refresh_token(mut self, refresh_token: impl Into<Secret>) -> Self {
        self.refresh_token = Some(refresh_token.into());
        self
    }

    /// The same with this ID token. It is not validated.
    #[must_use]
    pub fn with_id_token(mut self, id_token: impl Into<Secret>) -> Self {
        self.id_token = Some(id_token.into());
        self
    }

    /// The same with these scopes.
    #[must_use]
    pub fn with_scope<I: IntoIterator<Item: Into<String>>>(mut self, scope: I) -> Self {
        self.scope = Some(scope.into_iter().map(Into::into).collect());
        self
    }

    /// The same, living so long from [`issued_at`](Self::issued_at) on.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime_ms = Some(milliseconds(lifetime));
        self
    }

    /// The same, requested at this Unix time. When not set, the moment when a source takes it over.
    #[must_use]
    pub fn with_issued_at(mut self, unix_time: Duration) -> Self {
        self.issued_at_ms = milliseconds(unix_time);
        self
    }

    /// The same, taken over now if nothing is known about when it was issued.
    pub(crate) fn taken_over(mut self, now: Duration) -> Self {
        if self.issued_at_ms == 0 {
            self.issued_at_ms = milliseconds(now);
        }
        self
    }

    /// What all sets of this login share: a digest of the refresh token that it began with.
    pub(crate) fn family(&self) -> Option<String> {
        self.family.clone().or_else(|| self.refresh_token.as_ref().map(family_of))
    }

    /// A set with a refresh token alone: its access token has expired from the start.
    pub(crate) fn expired(refresh_token: Secret, now_ms: u64, jkt: Option<&str>) -> Self {
        Self {
            refresh_token: Some(refresh_token),
            issued_at_ms: now_ms,
            lifetime_ms: Some(0),
            jkt: jkt.map(str::to_owned),
            ..Self::new("none")
        }
    }

    /// What a log-out leaves in a store, in the place of the login's tokens.
    pub(crate) fn end_of(family: Option<String>, now: Duration, fence: Option<u64>) -> Self {
        Self {
            issued_at_ms: milliseconds(now),
            lifetime_ms: Some(0),
            fence,
            family,
            ended: true,
            // A version that does not know `ended` finds an expired token and no way to refresh it.
            ..Self::new("none")
        }
    }

    /// Whether it stands for a login that a [log-out](crate::TokenSource::log_out) has ended, and holds no token. Such a
    /// set takes the place of the login's tokens in a [store](crate::store#log-outs).
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether it is a log-out by which the other set's login is over: that very login, or one from before. `None` where
    /// only the clocks could tell.
    pub(crate) fn ends(&self, other: &Self) -> Option<bool> {
        if !self.ended || self.family.is_some() && self.family == other.family() {
            return Some(self.ended);
        }
        later(self.fence, other.fence)
    }

    /// The same, by the clocks where nothing else tells.
    pub(crate) fn ends_by_date(&self, other: &Self) -> bool {
        self.ends(other).unwrap_or_else(|| !other.is_newer_than(self))
    }

    /// The access token itself.
    #[must_use]
    pub fn access_token(&self) -> &Secret {
        &self.access_token
    }

    /// How the access token is used: with a proof, when it is [bound to a key](crate::dpop), else as a bearer token.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.jkt.is_some() { Scheme::Dpop } else { Scheme::Bearer }
    }

    /// The thumbprint (RFC 7638, SHA-256) of the key that the access token is bound to; `None` for a bearer token.
    #[must_use]
    pub fn key_thumbprint(&self) -> Option<&str> {
        self.jkt.as_deref()
    }

    /// The refresh token, where there is one.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.refresh_token.as_ref()
    }

    /// The ID token as it came. A [login](crate::login) that asks for the scope `openid` has validated it; otherwise
    /// [`Client::validate_id_token`](crate::Client::validate_id_token) does.
    #[must_use]
    pub fn id_token(&self) -> Option<&Secret> {
        self.id_token.as_ref()
    }

    /// Who logged in: the `sub` of the ID token that the [login](crate::login) validated, kept through every refresh.
    /// `None` where there was no such ID token.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.sub.as_deref()
    }

    /// Whether the two are known to be of different users.
    pub(crate) fn is_of_another_user(&self, than: &Self) -> bool {
        self.sub.as_ref().zip(than.sub.as_ref()).is_some_and(|(ours, theirs)| ours != theirs)
    }

    /// The scopes that were granted, when the server named them. When it did not, they are those that were asked for
    /// (RFC 6749 section 5.1).
    #[must_use]
    pub fn scope(&self) -> Option<&[String]> {
        self.scope.as_deref()
    }

    /// How long the token lives, counted from [`issued_at`](Self::issued_at), when the server said.
    #[must_use]
    pub fn lifetime(&self) -> Option<Duration> {
        self.lifetime_ms.map(Duration::from_millis)
    }

    /// When the request for it was sent, as Unix time.
    #[must_use]
    pub fn issued_at(&self) -> Duration {
        Duration::from_millis(self.issued_at_ms)
    }

    /// What kind of token the access token is, when a token exchange said so (RFC 8693 section 2.2.1).
    #[must_use]
    pub fn issued_token_type(&self) -> Option<TokenType> {
        self.extra.get("issued_token_type")?.as_str().map(TokenType::from)
    }

    /// What exactly was granted (RFC 9396 section 7), when the server said.
    #[must_use]
    pub fn authorization_details(&self) -> Option<&Value> {
        self.extra.get("authorization_details")
    }

    /// The [fencing number](crate::store::Lease::fenced) of the lease that the set was obtained under, where its store
    /// gives out numbers. In one entry, a set of a greater number is the later one.
    #[must_use]
    pub fn fence(&self) -> Option<u64> {
        self.fence
    }

    /// Whether this set was obtained later than another of the same entry: by the fencing numbers, else by the server's
    /// clock, else by our own.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        later(self.fence, other.fence)
            .or_else(|| later(self.server_date, other.server_date))
            .unwrap_or(self.issued_at_ms > other.issued_at_ms)
    }

    /// Whether the set was obtained under a later lease than another.
    pub(crate) fn is_fenced_after(&self, other: &Self) -> bool {
        later(self.fence, other.fence) == Some(true)
    }

    /// The members of the response that have no place above, kept as they came.
    #[must_use]
    pub fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }
}

/// Whether ours is the later of two moments or numbers, where both are known and differ.
fn later(ours: Option<u64>, theirs: Option<u64>) -> Option<bool> {
    ours.zip(theirs).filter(|(ours, theirs)| ours != theirs).map(|(ours, theirs)| ours > theirs)
}

/// What the sets of a login share that begins with this refresh token.
pub(crate) fn family_of(refresh_token: &Secret) -> String {
    digest(&["family", refresh_token.expose()])
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("access_token", &self.access_token)
            .field("scheme", &self.scheme())
            .field("refresh_token", &self.refresh_token)
            .field("id_token", &self.id_token)
            .field("subject", &self.sub)
            .field("scope", &self.scope)
            .field("issued_at", &self.issued_at())
            .field("lifetime", &self.lifetime())
            .field("ended", &self.ended)
            // A provider may have put a secret of its own there, so only the names are shown.
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(fence: Option<u64>, server_date: Option<u64>, issued_at_ms: u64) -> TokenSet {
        TokenSet { fence, server_date, issued_at_ms, ..TokenSet::expired(Secret::from("r"), 0, None) }
    }

    #[test]
    fn a_log_out_ends_its_own_login_and_those_from_before_and_never_a_later_one() {
        let at = Duration::from_millis;
        let login = |family: &str, issued_at_ms, fence| TokenSet {
            family: Some(family.to_owned()),
            ..set(fence, None, issued_at_ms)
        };
        let log_out = TokenSet::end_of(login("a", 5, None).family(), at(10), None);
        assert_eq!(log_out.ends(&login("a", 5, None)), Some(true));
        assert_eq!(log_out.ends(&login("a", 15, None)), Some(true), "a late refresh");
        assert_eq!(log_out.ends(&login("b", 9, None)), None, "another login: only the clocks tell");
        assert!(log_out.ends_by_date(&login("b", 9, None)) && !log_out.ends_by_date(&login("b", 11, None)));
        // The numbers of the leases order them where clocks differ.
        let log_out = TokenSet::end_of(Some("a".to_owned()), at(10), Some(7));
        assert_eq!(log_out.ends(&login("b", 99, Some(6))), Some(true));
        assert_eq!(log_out.ends(&login("b", 1, Some(8))), Some(false));
        assert_eq!(login("a", 5, None).ends(&login("a", 5, None)), Some(false));
        // Of a login without a refresh token it is only known when it was.
        let log_out = TokenSet::end_of(None, at(10), None);
        assert!(log_out.ends_by_date(&TokenSet::new("x").with_issued_at(at(9))));
        assert!(!log_out.ends_by_date(&TokenSet::new("x").with_issued_at(at(11))));
    }

    #[test]
    fn a_log_out_is_an_expired_token_to_a_version_that_does_not_know_it() {
        let log_out = TokenSet::end_of(Some("a".to_owned()), Duration::from_secs(1), None);
        let json = serde_json::to_string(&log_out).unwrap();
        assert_eq!(
            json,
            r#"{"access_token":"none","issued_at_ms":1000,"lifetime_ms":0,"family":"a","ended":true}"#
        );
        assert_eq!(serde_json::from_str::<TokenSet>(&json).unwrap(), log_out);
        assert!(!serde_json::to_string(&TokenSet::new("x")).unwrap().contains("ended"));
    }

    #[test]
    fn a_raw_token_response_is_refused_and_the_message_says_what_to_write() {
        let read = |json: &str| serde_json::from_str::<TokenSet>(json).map_err(|error| error.to_string());
        let error = read(r#"{"access_token":"s3cr3t","token_type":"Bearer","expires_in":3600}"#).unwrap_err();
        assert!(
            error.contains("lifetime_ms") && error.contains("with_lifetime") && !error.contains("s3cr3t")
        );
        for odd in ["DPoP", "mac", "N_A"] {
            let error = read(&format!(r#"{{"access_token":"s3cr3t","token_type":"{odd}"}}"#)).unwrap_err();
            assert!(error.contains("jkt") && !error.contains("s3cr3t"), "{error}");
        }
        // What says nothing, and what has no meaning here, is left out as ever.
        for json in [
            r#"{"access_token":"x","token_type":"bearer"}"#,
            r#"{"access_token":"x","token_type":null,"expires_in":null,"expires_at":5,"tenant":"a"}"#,
        ] {
            assert_eq!(read(json), Ok(TokenSet::new("x")), "{json}");
        }
        let kept = r#"{"access_token":"x","issued_at_ms":0,"extra":{"expires_in":5,"token_type":"mac"}}"#;
        assert_eq!(serde_json::to_string(&read(kept).unwrap()).unwrap(), kept);
    }

    #[test]
    fn the_newer_set_is_told_by_the_lease_then_by_the_servers_clock_then_by_ours() {
        let newer_first = [
            (set(Some(2), Some(1), 1), set(Some(1), Some(9), 9)),
            (set(Some(2), None, 1), set(Some(1), None, 9)),
            // Without a number on both sides it says nothing.
            (set(None, Some(2), 1), set(Some(9), Some(1), 9)),
            (set(Some(1), Some(2), 1), set(Some(1), Some(1), 9)),
            (set(None, None, 2), set(Some(9), Some(9), 1)),
            (set(Some(1), Some(1), 2), set(Some(1), Some(1), 1)),
        ];
        for (newer, older) in newer_first {
            assert!(newer.is_newer_than(&older) && !older.is_newer_than(&newer), "{newer:?} {older:?}");
            assert!(!newer.is_newer_than(&newer));
        }
        assert!(set(Some(2), None, 0).is_fenced_after(&set(Some(1), None, 9)));
        for other in [set(Some(2), None, 9), set(None, None, 0)] {
            assert!(!set(Some(2), None, 0).is_fenced_after(&other));
        }
    }
}
