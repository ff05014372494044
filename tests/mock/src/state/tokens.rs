//! The tokens a server has issued: what introspection, revocation and refreshing need to know.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::clients::{MockClient, TokenFormat};
use crate::encode::random_text;
use crate::journal::Caller;
use crate::providers::Tokens;
use crate::shared::{Issuer, Shared, seconds};
use crate::state::details;
use crate::state::kept::Kept;
use crate::state::sessions::Login;
use crate::wire::response::OAuthError;

/// What was granted to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grant {
    pub(crate) client: String,
    pub(crate) subject: String,
    /// The user's name, when the grant is a user's.
    pub(crate) user: Option<String>,
    pub(crate) scope: Vec<String>,
    pub(crate) audience: Vec<String>,
    /// More claims of the access token.
    pub(crate) claims: Map<String, Value>,
    /// The keys that the client must prove to hold with the access token (`cnf`, RFC 7800 section 3.1).
    pub(crate) cnf: Map<String, Value>,
    /// `authorization_details` (RFC 9396).
    pub(crate) details: Vec<Value>,
    /// The login it came from, when there was one.
    pub(crate) login: Option<Login>,
    /// The Unix time at which all its tokens end, when something they were made from ends then.
    pub(crate) until: Option<i64>,
    /// What the token rules put over all other claims.
    pub(crate) set: Map<String, Value>,
}

/// What a refresh request asks for besides a fresh token.
#[derive(Default)]
pub(crate) struct Wish<'a> {
    /// A narrower scope (RFC 6749 section 6).
    pub(crate) scope: Option<Vec<String>>,
    /// Fewer targets (RFC 8707 section 2.2).
    pub(crate) audience: Option<Vec<String>>,
    /// Fewer rights (RFC 9396 section 6).
    pub(crate) details: Option<&'a [Value]>,
    /// What the client proved to hold.
    pub(crate) cnf: Option<&'a Map<String, Value>>,
    /// What the token rules put over all other claims.
    pub(crate) set: Map<String, Value>,
}

/// Tokens fresh from the server, as [`MockServer::issue`](crate::MockServer::issue) gives them.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedTokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token, if the client may have one.
    pub refresh_token: Option<String>,
    /// The access token's lifetime in seconds.
    pub expires_in: i64,
}

impl std::fmt::Debug for IssuedTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedTokens").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The records of one issuer.
#[derive(Default)]
pub(crate) struct Records(Mutex<Store>);

#[derive(Default)]
struct Store {
    access: Kept<Access>,
    refresh: Kept<Refresh>,
    /// By the name of a session: they are to hear of its end, also when their tokens have long ended.
    parties: Kept<Parties>,
    revoked_families: HashSet<u64>,
    next_family: u64,
}

/// The clients that got tokens in one session, each with the user's subject there.
struct Parties {
    login: Login,
    clients: BTreeSet<(String, String)>,
}

/// An access token as the server remembers it.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) grant: Arc<Grant>,
    pub(crate) jti: String,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: i64,
    family: u64,
    revoked: bool,
}

#[derive(Clone, Debug)]
struct Refresh {
    grant: Arc<Grant>,
    family: u64,
    expires_at: i64,
    used: bool,
}

impl Access {
    /// What a JWT says that the records do not know, issued and expiring at these Unix times.
    pub(crate) fn of_jwt(grant: Grant, jti: &str, (issued_at, expires_at): (i64, i64)) -> Self {
        let (grant, jti) = (Arc::new(grant), jti.to_owned());
        Self { grant, jti, issued_at, expires_at, family: 0, revoked: false }
    }
}

impl Records {
    /// A number for tokens that will be revoked together.
    pub(crate) fn new_family(&self) -> u64 {
        let mut store = self.store();
        store.next_family += 1;
        store.next_family
    }

    /// Issues an access token of this family, and a refresh token if asked.
    pub(crate) fn issue(
        &self,
        shared: &Shared,
        issuer: &Issuer,
        client: &MockClient,
        grant: Grant,
        family: u64,
        with_refresh: bool,
    ) -> IssuedTokens {
        let grant = Arc::new(grant);
        let mut store = self.store();
        let (access_token, expires_in) = store.access_token(shared, issuer, client, &grant, family);
        let refresh_token = with_refresh.then(|| store.refresh_token(shared, client, &grant, family));
        IssuedTokens { access_token, refresh_token, expires_in }
    }

    /// Redeems a refresh token (RFC 6749 section 6); a used one revokes its whole family (RFC 9700 section 4.14.2).
    pub(crate) fn refresh(
        &self,
        shared: &Shared,
        issuer: &Issuer,
        client: &MockClient,
        token: &str,
        wish: Wish<'_>,
    ) -> Result<(IssuedTokens, Arc<Grant>), OAuthError> {
        let now = shared.clock.now_unix();
        // One lock from the check to the rotation: of two requests with one token exactly one can win.
        let mut store = self.store();
        let known = store.refresh.get(token).filter(|known| known.grant.client == client.id).cloned();
        let known = known.ok_or_else(|| OAuthError::invalid_grant("the refresh token is unknown"))?;
        if store.revoked_families.contains(&known.family) {
            return Err(OAuthError::invalid_grant("the refresh token was revoked"));
        }
        if known.used {
            store.revoked_families.insert(known.family);
            return Err(OAuthError::invalid_grant(
                "the refresh token was used before; all tokens of its grant are revoked",
            ));
        }
        if now >= known.expires_at {
            return Err(OAuthError::invalid_grant("the refresh token has expired"));
        }
        // RFC 9449 section 5, RFC 8705 section 4: the refresh token of a public client is bound to what it was asked
        // for with.
        let bound_to = client.is_public().then_some(&known.grant.cnf).into_iter().flatten();
        for (name, key) in bound_to {
            if wish.cnf.and_then(|cnf| cnf.get(name)) != Some(key) {
                let why = "no proof of the key, or no certificate, that the refresh token is bound to";
                return Err(OAuthError::invalid_grant(why));
            }
        }
        let narrowed = match wish.scope {
            None => known.grant.scope.clone(),
            Some(asked) if asked.iter().all(|one| known.grant.scope.contains(one)) => asked,
            Some(_) => {
                return Err(OAuthError::bad_request("invalid_scope", "scope: wider than what was granted"));
            }
        };
        let grant = Arc::new(Grant {
            scope: narrowed,
            details: details::narrow(&known.grant.details, wish.details)?,
            cnf: wish.cnf.cloned().unwrap_or_default(),
            audience: wish.audience.unwrap_or_else(|| known.grant.audience.clone()),
            set: wish.set,
            ..(*known.grant).clone()
        });
        let (access_token, expires_in) = store.access_token(shared, issuer, client, &grant, known.family);
        let refresh_token = client.rotate_refresh_tokens.then(|| {
            if let Some(old) = store.refresh.get_mut(token) {
                old.used = true;
            }
            // RFC 6749 section 6: the new refresh token has the scope of the one it replaces, not the narrower one.
            store.refresh_token(shared, client, &known.grant, known.family)
        });
        let tokens = IssuedTokens { access_token, refresh_token, expires_in };
        Ok((tokens, grant))
    }

    /// The access token's record, if the token is active.
    pub(crate) fn active_access(&self, token: &str, now: i64) -> Option<Access> {
        let store = self.store();
        let access = store.access.get(token)?;
        let alive =
            !access.revoked && now < access.expires_at && !store.revoked_families.contains(&access.family);
        alive.then(|| access.clone())
    }

    /// Whom a token was issued to, and with what scope, whether it is active or not.
    pub(crate) fn grant_of(&self, token: &str) -> Option<Caller> {
        let store = self.store();
        let grant = &store.access.get(token)?.grant;
        Some(Caller { client: Some(grant.client.clone()), scope: Some(grant.scope.join(" ")) })
    }

    /// The grant and expiry of a refresh token, if it can still be used.
    pub(crate) fn active_refresh(&self, token: &str, now: i64) -> Option<(Arc<Grant>, i64)> {
        let store = self.store();
        let refresh = store.refresh.get(token)?;
        let dead = refresh.used || store.revoked_families.contains(&refresh.family);
        (!dead && now < refresh.expires_at).then(|| (Arc::clone(&refresh.grant), refresh.expires_at))
    }

    /// Whose token it is, whether it is active or not.
    pub(crate) fn owner(&self, token: &str) -> Option<String> {
        let store = self.store();
        let access = store.access.get(token).map(|access| &access.grant);
        access
            .or_else(|| store.refresh.get(token).map(|refresh| &refresh.grant))
            .map(|grant| grant.client.clone())
    }

    /// Revokes one token (RFC 7009 section 2.1): an access token alone, a refresh token with its whole family.
    pub(crate) fn revoke(&self, token: &str) {
        let mut store = self.store();
        if let Some(access) = store.access.get_mut(token) {
            access.revoked = true;
        }
        if let Some(family) = store.refresh.get(token).map(|refresh| refresh.family) {
            store.revoked_families.insert(family);
        }
    }

    /// The clients that got tokens in a session, each with the user's subject there.
    pub(crate) fn parties(&self, session: &str) -> Vec<(String, String)> {
        let store = self.store();
        store.parties.get(session).into_iter().flat_map(|parties| parties.clients.iter().cloned()).collect()
    }

    /// Revokes what was granted in a session, but for what was meant to outlast it (`offline_access`, OpenID Connect
    /// Core section 11).
    pub(crate) fn revoke_session(&self, session: &str) {
        let mut store = self.store();
        let ends = |grant: &Grant| {
            grant.login.as_ref().is_some_and(|login| login.session == session)
                && !grant.scope.iter().any(|scope| scope == "offline_access")
        };
        let access = store.access.values().filter(|access| ends(&access.grant)).map(|access| access.family);
        let refresh = store.refresh.values().filter(|one| ends(&one.grant)).map(|one| one.family);
        let families: Vec<_> = access.chain(refresh).collect();
        store.revoked_families.extend(families);
    }

    pub(crate) fn revoke_family(&self, family: u64) {
        self.store().revoked_families.insert(family);
    }

    /// Revokes everything a client was given.
    pub(crate) fn revoke_client(&self, id: &str) {
        let mut store = self.store();
        let of_client = |grant: &Grant| grant.client == id;
        store
            .access
            .values_mut()
            .filter(|access| of_client(&access.grant))
            .for_each(|access| access.revoked = true);
        let families = store.refresh.values().filter(|refresh| of_client(&refresh.grant));
        let families: Vec<_> = families.map(|refresh| refresh.family).collect();
        store.revoked_families.extend(families);
    }

    /// Forgets every token. Families keep being counted, so that no old one meets a new one.
    pub(crate) fn clear(&self) {
        let mut store = self.store();
        *store = Store { next_family: store.next_family, ..Store::default() };
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn access_token(
        &mut self,
        shared: &Shared,
        issuer: &Issuer,
        client: &MockClient,
        grant: &Arc<Grant>,
        family: u64,
    ) -> (String, i64) {
        let issued_at = shared.clock.now_unix();
        let expires_at = issued_at.saturating_add(shared.lifetime(client));
        let expires_at = grant.until.map_or(expires_at, |until| until.min(expires_at));
        let jti = random_text::<16>();
        let times = (issued_at, expires_at);
        let token = match (shared.tokens(), client.format) {
            (Tokens::Text(text), _) => text(),
            (Tokens::Own(mint), _) => mint(&shared.mint(issuer), grant, times),
            (Tokens::Standard, TokenFormat::Opaque) => random_text::<24>(),
            (Tokens::Standard, TokenFormat::Jwt(alg)) => jwt(shared, issuer, alg, grant, &jti, times),
        };
        let grant = Arc::clone(grant);
        if let Some(login) = &grant.login {
            self.add_party(login, &grant, issued_at);
        }
        let access = Access { grant, jti, issued_at, expires_at, family, revoked: false };
        if self.access.keep(token.clone(), access, issued_at, |access| access.expires_at) {
            self.forget_families();
        }
        (token, expires_at.saturating_sub(issued_at))
    }

    fn refresh_token(
        &mut self,
        shared: &Shared,
        client: &MockClient,
        grant: &Arc<Grant>,
        family: u64,
    ) -> String {
        let now = shared.clock.now_unix();
        let expires_at = now.saturating_add(seconds(client.refresh_lifetime));
        let expires_at = grant.until.map_or(expires_at, |until| until.min(expires_at));
        let token = match shared.tokens() {
            Tokens::Text(text) => text(),
            Tokens::Standard | Tokens::Own(_) => random_text::<24>(),
        };
        let refresh = Refresh { grant: Arc::clone(grant), family, expires_at, used: false };
        // Used ones, too, until they end: that one comes again shows that it was stolen.
        self.refresh.keep(token.clone(), refresh, now, |refresh| refresh.expires_at);
        token
    }

    fn add_party(&mut self, login: &Login, grant: &Grant, now: i64) {
        let party = (grant.client.clone(), grant.subject.clone());
        if let Some(parties) = self.parties.get_mut(&login.session) {
            parties.clients.insert(party);
            return;
        }
        let parties = Parties { login: login.clone(), clients: BTreeSet::from([party]) };
        self.parties.keep(login.session.clone(), parties, now, |parties| parties.login.forgotten_at());
    }

    /// Forgets that families were revoked of which no token is known any more.
    fn forget_families(&mut self) {
        // Of the newest, the tokens may be about to be issued.
        let newest = self.next_family.saturating_sub(1024);
        let known = self.access.values().map(|access| access.family);
        let known: HashSet<_> = known.chain(self.refresh.values().map(|refresh| refresh.family)).collect();
        self.revoked_families.retain(|family| *family > newest || known.contains(family));
    }
}

fn jwt(
    shared: &Shared,
    issuer: &Issuer,
    alg: Option<crate::Alg>,
    grant: &Grant,
    jti: &str,
    (issued_at, expires_at): (i64, i64),
) -> String {
    let mut token = shared.mint(issuer);
    if let Some(alg) = alg {
        token = token.alg(alg);
    }
    // First, so that none of them stands for what the server says itself.
    for (name, value) in grant.claims.iter().filter(|(name, _)| !is_reserved(name)) {
        token = token.claim(name.clone(), value.clone());
    }
    if !grant.cnf.is_empty() {
        token = token.claim("cnf", grant.cnf.clone());
    }
    if !grant.details.is_empty() {
        // RFC 9396 section 9.1.
        token = token.claim("authorization_details", grant.details.clone());
    }
    if let Some(login) = &grant.login {
        // RFC 9068 section 2.2.1, for an API that asks for a fresh or a strong login (RFC 9470).
        token = token.claim("auth_time", login.at).claim("acr", login.acr.as_str());
    }
    let audience = match grant.audience.as_slice() {
        [one] => Value::from(one.as_str()),
        several => Value::from(several.to_vec()),
    };
    token
        .subject(&grant.subject)
        .client_id(&grant.client)
        .claim("aud", audience)
        .claim("scope", grant.scope.join(" "))
        .claim("jti", jti)
        .issued_at(issued_at)
        .expires_at(expires_at)
        .set_claims(&grant.set)
        .build()
}

/// Claims that a server says of a token itself (RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 7662 section 2.2): the
/// claims of a user cannot replace them.
const RESERVED: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "cnf",
    "authorization_details",
    "auth_time",
    "acr",
    "active",
    "token_type",
    "username",
    "sid",
];

pub(crate) fn is_reserved(claim: &str) -> bool {
    RESERVED.contains(&claim)
}
