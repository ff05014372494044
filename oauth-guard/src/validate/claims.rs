//! The claims of a token, read in one pass and validated against the issuer's configuration.

use std::borrow::Cow;

use oauth_client::clock::Now;
use smallvec::SmallVec;

use super::member::{Kind, Member};
use crate::authorize::ClaimValue;
use crate::claims::{ClaimPath, Parts, PartsWriter, Spans, Words, find_by_name};
use crate::error::TokenError;
use crate::issuer::{IssuerRules, IssuerState, Profile};
use crate::jose::Typ;
use crate::json::{self, Text, Value};
use crate::possession::{Binding, Provable};

/// The claims as they stand in the payload, not validated yet.
pub(crate) struct ClaimSet<'a> {
    payload: &'a str,
    members: SmallVec<[Member; 16]>,
    /// Where among them the claims are that checks ask for, counted from one. Zero: nowhere.
    known: [u8; KNOWN],
}

/// How many claims are found without a search.
const KNOWN: usize = 18;
/// In place of a number: too far behind to be counted.
const FAR: u8 = u8::MAX;

/// The place in [`ClaimSet::known`] of a claim.
#[inline(always)]
fn known(name: &str) -> Option<usize> {
    Some(match name.len() {
        3 => match name {
            "iss" => 0,
            "sub" => 1,
            "aud" => 2,
            "exp" => 3,
            "nbf" => 4,
            "iat" => 5,
            "jti" => 6,
            "azp" => 7,
            "acr" => 8,
            "tid" => 9,
            "cnf" => 10,
            "scp" => 11,
            _ => return None,
        },
        5 if name == "scope" => 12,
        5 if name == "roles" => 13,
        6 if name == "active" => 14,
        8 if name == "username" => 15,
        9 if name == "client_id" => 16,
        10 if name == "token_type" => 17,
        _ => return None,
    })
}

/// When a token is valid.
pub(crate) struct Lifetime {
    pub(crate) expires_at: u64,
    pub(crate) issued_at: Option<u64>,
    pub(crate) valid_from: u64,
    pub(crate) valid_until: u64,
}

impl<'a> ClaimSet<'a> {
    pub(crate) fn read(payload: &'a str) -> Result<Self, TokenError> {
        // What a member's place is counted in; no limit on tokens is as high.
        u32::try_from(payload.len()).map_err(|_| TokenError::TooLong)?;
        let mut this = Self { payload, members: SmallVec::new(), known: [0; KNOWN] };
        json::read_object(payload, &mut |name, value, raw| this.add(name, value, raw))
            .map_err(TokenError::Claims)?;
        Ok(this)
    }

    fn add(&mut self, name: Text<'a>, value: Value<'a>, raw: &'a str) {
        let place = if name.is_escaped() { known(&name.decode()) } else { known(name.raw) };
        if let Some(place) = place.and_then(|place| self.known.get_mut(place)) {
            *place = u8::try_from(self.members.len() + 1).unwrap_or(FAR);
        }
        self.members.push(Member::new(self.payload, name, value, raw));
    }

    #[inline(always)]
    fn find(&self, name: &str) -> Option<&Member> {
        let place = known(name).and_then(|place| self.known.get(place));
        match place {
            Some(0) => None,
            Some(number) if *number != FAR => self.members.get(usize::from(*number) - 1),
            _ => self.search(name),
        }
    }

    fn search(&self, wanted: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.is_called(self.payload, wanted))
    }

    /// `iss`, which must be one string: a list could hold the right name next to another.
    pub(crate) fn issuer(&self) -> Result<Cow<'a, str>, TokenError> {
        self.required_text("iss").map(Text::decode)
    }

    /// `tid`, which fills the hole in the name of an issuer with tenants.
    pub(crate) fn tenant(&self) -> Option<Cow<'a, str>> {
        self.text("tid").map(Text::decode)
    }

    /// Every check that needs no key, each reported to the visitor. [`FailFast`] ends at the first error; without one, the
    /// token is valid during the returned lifetime if its signature is.
    pub(crate) fn validate<V: Visitor>(
        &self,
        issuer: &IssuerState,
        typ: Typ,
        now: Now,
        visitor: &mut V,
    ) -> Result<Option<Lifetime>, TokenError> {
        let rules = &issuer.rules;
        visitor.check("typ", check_type(rules.profile, typ))?;
        visitor.check("aud", self.check_audience(&rules.audience))?;
        let now = now.wall.as_secs();
        let until = visitor.check("exp", self.check_expiry(rules, now))?;
        let from = visitor.check("nbf", self.check_start("nbf", false, rules, now))?;
        let needs_iat = rules.profile == Profile::Rfc9068 || rules.max_token_age.is_some();
        let issued = visitor.check("iat", self.check_start("iat", needs_iat, rules, now))?;
        let issued_at = issued.flatten();
        let until_too_old = visitor.check("age", check_age(rules, issued_at, now))?;
        let required = rules.profile == Profile::Rfc9068; // RFC 9068 section 2.2
        visitor.check("sub", check_text("sub", self.kind("sub"), required))?;
        visitor.check("client_id", check_text("client_id", self.kind("client_id"), required))?;
        visitor.check("jti", check_text("jti", self.kind("jti"), required))?;
        visitor.check("azp", check_text("azp", self.kind("azp"), false))?;
        visitor.check("client", self.check_client(rules))?;
        if !rules.required.is_empty() {
            visitor.check("require", self.check_required(rules))?;
        }
        let (Some((expires_at, valid_until)), Some(until_too_old)) = (until, until_too_old) else {
            return Ok(None);
        };
        let valid_from = from.flatten().max(issued_at).unwrap_or(0).saturating_sub(rules.leeway.as_secs());
        Ok(Some(Lifetime { expires_at, issued_at, valid_from, valid_until: valid_until.min(until_too_old) }))
    }

    /// The keys that the token is bound to (RFC 7800). A binding that no one can check here makes it unusable: a caller that
    /// cannot prove possession of the key may have stolen the token.
    pub(crate) fn binding(&self, provable: Provable) -> Result<Option<Box<Binding>>, TokenError> {
        let cnf = self.present("cnf");
        cnf.map(|cnf| Binding::read(cnf, provable).map(Box::new)).transpose()
    }

    pub(crate) fn check_audience(&self, ours: &[Box<str>]) -> Result<(), TokenError> {
        let is_ours = |text: Text<'_>| ours.iter().any(|one| text.is(one));
        let named = match self.get("aud") {
            Some(Value::String(one)) => is_ours(one),
            Some(Value::Array(list)) => {
                let mut named = false;
                for item in list.items() {
                    named |= is_ours(item.as_text().ok_or(TokenError::Claim("aud"))?);
                }
                named
            }
            // No audience is configured: `any_audience`. A malformed one is an error all the same, `null` included.
            None if ours.is_empty() => true,
            _ => return Err(TokenError::Claim("aud")),
        };
        if named || ours.is_empty() { Ok(()) } else { Err(TokenError::WrongAudience) }
    }

    /// When it expires, and the first second at which it is rejected for that.
    fn check_expiry(&self, rules: &IssuerRules, now: u64) -> Result<(u64, u64), TokenError> {
        let expires_at = self.seconds("exp")?.ok_or(TokenError::Claim("exp"))?;
        // RFC 7519 section 4.1.4: a token is not accepted "on or after" its expiry.
        let valid_until = expires_at.saturating_add(rules.leeway.as_secs());
        if now < valid_until { Ok((expires_at, valid_until)) } else { Err(TokenError::Expired) }
    }

    /// A time before which it is not valid.
    fn check_start(
        &self,
        name: &'static str,
        required: bool,
        rules: &IssuerRules,
        now: u64,
    ) -> Result<Option<u64>, TokenError> {
        let at = self.seconds(name)?;
        match at {
            None if required => Err(TokenError::Claim(name)),
            Some(at) if now < at.saturating_sub(rules.leeway.as_secs()) => Err(TokenError::NotYetValid),
            at => Ok(at),
        }
    }

    pub(super) fn check_client(&self, rules: &IssuerRules) -> Result<(), TokenError> {
        let Some(clients) = &rules.clients else { return Ok(()) };
        let client = self.client_id().ok_or(TokenError::WrongClient)?;
        if clients.iter().any(|allowed| client.is(allowed)) { Ok(()) } else { Err(TokenError::WrongClient) }
    }

    /// The claims that [`Issuer::require`](crate::Issuer::require) names.
    pub(super) fn check_required(&self, rules: &IssuerRules) -> Result<(), TokenError> {
        let has = |(name, wanted): &(Box<str>, Box<[ClaimValue]>)| {
            let value = find_by_name(name, |name| self.get(name));
            value.is_some_and(|value| wanted.iter().any(|wanted| wanted.is(value)))
        };
        if rules.required.iter().all(has) { Ok(()) } else { Err(TokenError::RequiredClaim) }
    }

    /// Names and values as written.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Text<'a>, &'a str)> {
        self.members.iter().map(|member| (member.name(self.payload), member.raw(self.payload)))
    }

    /// The value of a claim as written.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.find(name).map(|member| member.raw(self.payload))
    }

    /// The payload, and the spans of the claims that handlers and rules read. `None` if it is longer than a span can
    /// address.
    pub(crate) fn to_parts(&self, issuer: &IssuerState, lifetime: &Lifetime) -> Option<Parts> {
        let rules = &issuer.rules;
        let mut writer = PartsWriter::new(self.payload);
        let spans = Spans {
            // Elsewhere the issuer's own name says it.
            concrete_issuer: writer.text(self.text("iss").filter(|_| rules.has_tenants())),
            subject: writer.text(self.text("sub")),
            client_id: writer.text(self.client_id()),
            token_id: writer.text(self.text("jti")),
            acr: writer.text(self.text("acr")),
        };
        if let Some(audience) = self.get("aud") {
            writer.list(audience, Words::Whole);
        }
        let scopes = writer.begin();
        if let Some(granted) = self.first_of(&rules.scope_claims) {
            writer.list(granted, Words::Split(rules.scope_separator));
        }
        let roles = writer.begin();
        for path in &rules.roles_claims {
            if let Some(some) = path.find(|name| self.get(name)) {
                writer.list(some, Words::Whole);
            }
        }
        let members = writer.begin();
        for member in &self.members {
            writer.member(member.name(self.payload), member.value_range());
        }
        writer.finish(spans, [scopes, roles, members], lifetime)
    }

    /// A claim by name, unless it is `null`.
    #[inline(always)]
    pub(crate) fn present(&self, name: &str) -> Option<Value<'a>> {
        self.get(name).filter(|value| !matches!(value, Value::Null))
    }

    #[inline(always)]
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.find(name).map(|member| member.value(self.payload))
    }

    /// Of what kind a claim is. Nothing of it is read.
    #[inline(always)]
    pub(crate) fn kind(&self, name: &str) -> Kind {
        self.find(name).map_or(Kind::Absent, |member| member.kind)
    }

    #[inline(always)]
    pub(super) fn text(&self, name: &str) -> Option<Text<'a>> {
        self.find(name)?.text(self.payload)
    }

    fn required_text(&self, name: &'static str) -> Result<Text<'a>, TokenError> {
        self.text(name).ok_or(TokenError::Claim(name))
    }

    /// OpenID Connect servers called it `azp` before RFC 9068.
    fn client_id(&self) -> Option<Text<'a>> {
        self.text("client_id").or_else(|| self.text("azp"))
    }

    #[inline]
    pub(crate) fn seconds(&self, name: &'static str) -> Result<Option<u64>, TokenError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_seconds().map(Some).ok_or(TokenError::Claim(name)),
        }
    }

    /// The first of these claims that the token has and that is not `null`.
    fn first_of(&self, paths: &[ClaimPath]) -> Option<Value<'a>> {
        let is_there = |value: &Value<'_>| !matches!(value, Value::Null);
        paths.iter().find_map(|path| path.find(|name| self.get(name)).filter(is_there))
    }
}

#[inline]
fn check_text(name: &'static str, kind: Kind, required: bool) -> Result<(), TokenError> {
    match kind {
        Kind::String => Ok(()),
        // Serializers write `null` for what is not there.
        Kind::Absent | Kind::Null if !required => Ok(()),
        _ => Err(TokenError::Claim(name)),
    }
}

fn check_type(profile: Profile, typ: Typ) -> Result<(), TokenError> {
    match (profile, typ) {
        (Profile::Rfc9068, Typ::AccessToken) | (Profile::Jwt, Typ::Absent | Typ::Jwt | Typ::AccessToken) => {
            Ok(())
        }
        _ => Err(TokenError::WrongType),
    }
}

/// The first second at which it is too old.
pub(super) fn check_age(rules: &IssuerRules, issued_at: Option<u64>, now: u64) -> Result<u64, TokenError> {
    let too_old_at = match (rules.max_token_age, issued_at) {
        // A token of exactly that age is still accepted.
        (Some(age), Some(iat)) => {
            iat.saturating_add(age.as_secs()).saturating_add(rules.leeway.as_secs()).saturating_add(1)
        }
        _ => u64::MAX,
    };
    if now < too_old_at { Ok(too_old_at) } else { Err(TokenError::TooOld) }
}

/// Gets the outcome of each check, and decides whether to go on after an error.
pub(crate) trait Visitor {
    fn check<V>(
        &mut self,
        check: &'static str,
        outcome: Result<V, TokenError>,
    ) -> Result<Option<V>, TokenError>;
}

/// Ends at the first error.
pub(crate) struct FailFast;

impl Visitor for FailFast {
    fn check<V>(&mut self, _: &'static str, outcome: Result<V, TokenError>) -> Result<Option<V>, TokenError> {
        outcome.map(Some)
    }
}
