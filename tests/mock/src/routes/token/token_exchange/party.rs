//! Who is behind a token that is to be exchanged.

use serde_json::{Map, Value};

use crate::clients::MockClient;
use crate::endpoint::Endpoint;
use crate::jws::Jws;
use crate::routes::Call;
use crate::routes::api::is_resource;
use crate::state::tokens::Grant;

/// A token type identifier (RFC 8693 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    AccessToken,
    RefreshToken,
    IdToken,
    Jwt,
}

/// The subject or the actor, as its token describes it.
pub(super) struct Party {
    pub(super) subject: String,
    /// Who says so.
    pub(super) issuer: String,
    pub(super) user: Option<String>,
    /// `None`: its token speaks of no scope.
    pub(super) scope: Option<Vec<String>>,
    /// What else is known about the subject.
    pub(super) claims: Map<String, Value>,
    pub(super) act: Option<Value>,
    pub(super) may_act: Option<Value>,
    /// What its token is for.
    pub(super) audience: Vec<String>,
    /// What its holder has to prove (RFC 7800 section 3.1).
    pub(super) cnf: Map<String, Value>,
    /// The Unix time at which its token expires.
    pub(super) until: i64,
}

impl TokenType {
    const ALL: [Self; 4] = [Self::AccessToken, Self::RefreshToken, Self::IdToken, Self::Jwt];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Party {
    /// The party of a token that is valid now, of the type it is said to be.
    pub(super) fn of(
        call: Call<'_>,
        client: &MockClient,
        kind: TokenType,
        token: &str,
    ) -> Result<Self, &'static str> {
        let (records, now) = (&call.issuer.records, call.shared.clock.now_unix());
        if kind == TokenType::RefreshToken {
            let known = records.active_refresh(token, now).filter(|(grant, _)| grant.client == client.id);
            return known
                .map(|(grant, until)| {
                    // RFC 9449 section 5: the refresh token of a confidential client is bound to nothing else.
                    let cnf = if client.is_public() { grant.cnf.clone() } else { Map::new() };
                    Self { cnf, ..Self::known(call, &grant, until) }
                })
                .ok_or("no valid refresh token of this client");
        }
        let is_access = matches!(kind, TokenType::AccessToken | TokenType::Jwt);
        if is_access && let Some(access) = records.active_access(token, now) {
            return Ok(Self::known(call, &access.grant, access.expires_at));
        }
        if records.owner(token).is_some() {
            return Err("expired, revoked, or of another type");
        }
        Self::signed(call, client, kind, token)
    }

    fn known(call: Call<'_>, grant: &Grant, until: i64) -> Self {
        let mut claims = grant.claims.clone();
        Self {
            subject: grant.subject.clone(),
            issuer: call.issuer.url.clone(),
            user: grant.user.clone(),
            scope: Some(grant.scope.clone()),
            act: claims.remove("act"),
            may_act: claims.remove("may_act"),
            claims,
            audience: grant.audience.clone(),
            cnf: grant.cnf.clone(),
            until,
        }
    }

    /// The party of a JWT: one of this server's own keys, or of an issuer it trusts.
    fn signed(
        call: Call<'_>,
        client: &MockClient,
        kind: TokenType,
        token: &str,
    ) -> Result<Self, &'static str> {
        let jws = Jws::read(token).map_err(|_| "unknown here, and no JWT")?;
        let issuer = jws.text("iss").ok_or("iss: missing")?;
        let is_own = issuer == call.issuer.url;
        let verified = if is_own {
            call.issuer.keys.signed(&jws)
        } else {
            let mut trusted = call.shared.trusted_issuers.iter();
            trusted.find(|trusted| trusted.issuer == issuer).ok_or("iss: not trusted here")?.signed(&jws)
        };
        if !verified {
            return Err("the signature is not by a key of its issuer");
        }
        let is_access_token = jws.typ().as_deref() == Some("at+jwt");
        let fits = match kind {
            TokenType::IdToken => !is_access_token,
            // Others may have their own kind of JWT as access tokens; RFC 9068 section 2.1 is this server's.
            TokenType::AccessToken => is_access_token || !is_own,
            TokenType::Jwt | TokenType::RefreshToken => true,
        };
        if !fits {
            return Err("typ: a token of another type");
        }
        let now = call.shared.clock.now_unix();
        let until = jws.time("exp").ok_or("exp: missing, or no number")?;
        if until <= now {
            return Err("exp: has expired");
        }
        if jws.claims.contains_key("nbf") && jws.time("nbf").is_none_or(|nbf| nbf > now) {
            return Err("nbf: not valid yet, or no number");
        }
        check_audience(call, client, kind, &jws)?;
        let subject = jws.text("sub").ok_or("sub: missing")?;
        let user = call.shared.user_about(subject);
        let scope = |text: &str| text.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        Ok(Self {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            user: user.as_ref().map(|user| user.name.clone()),
            scope: jws.claims.get("scope").and_then(Value::as_str).map(scope),
            claims: user.map_or_else(Map::new, |user| user.claims.clone()),
            act: jws.claims.get("act").cloned(),
            may_act: jws.claims.get("may_act").cloned(),
            audience: jws.audience().into_iter().map(str::to_owned).collect(),
            cnf: jws.claims.get("cnf").and_then(Value::as_object).cloned().unwrap_or_default(),
            until,
        })
    }
}

/// What a token of this type may be meant for: this server, its APIs, or the client.
fn check_audience(
    call: Call<'_>,
    client: &MockClient,
    kind: TokenType,
    jws: &Jws<'_>,
) -> Result<(), &'static str> {
    let to_server = [call.issuer.url.clone(), call.url(Endpoint::Token)];
    let to_client = kind != TokenType::AccessToken;
    let to_api = kind != TokenType::IdToken;
    let named = jws.audience();
    let is_meant = named.iter().any(|one| {
        to_server.iter().any(|server| server == one)
            || (to_client && client.id == *one)
            || (to_api && (call.shared.audiences.iter().any(|api| api == one) || is_resource(call, one)))
    });
    if is_meant { Ok(()) } else { Err("aud: neither this server, nor one of its audiences, nor the client") }
}
