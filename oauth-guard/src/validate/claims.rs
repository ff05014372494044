//! The claims of a token, read in one pass and validated against the issuer's configuration.

use std::borrow::Cow;

use oauth_client::clock::Now;
use smallvec::SmallVec;

use crate::authorize::ClaimValue;
use crate::claims::{Parts, Span};
use crate::issuer::{IssuerRules, IssuerState, Profile};
use crate::jose::Typ;
use crate::json::{self, Text, Value};
use crate::possession::{Binding, Provable};
use crate::reject::TokenError;

/// The claims as they stand in the payload, not validated yet.
pub(crate) struct ClaimSet<'a> {
    payload: &'a str,
    members: SmallVec<[(Text<'a>, Value<'a>, &'a str); 16]>,
}

/// When a token is valid.
pub(crate) struct Lifetime {
    pub(super) expires_at: u64,
    pub(super) issued_at: Option<u64>,
    pub(super) valid_from: u64,
    pub(super) valid_until: u64,
}

impl<'a> ClaimSet<'a> {
    pub(crate) fn read(payload: &'a str) -> Result<Self, TokenError> {
        let mut members = SmallVec::new();
        json::read_object(payload, &mut |name, value, raw| members.push((name, value, raw)))
            .map_err(TokenError::Claims)?;
        Ok(Self { payload, members })
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
        for name in ["sub", "client_id", "jti", "azp"] {
            let required = rules.profile == Profile::Rfc9068 && name != "azp"; // RFC 9068 section 2.2
            let outcome = match self.get(name) {
                Some(Value::String(_)) => Ok(()),
                // Serializers write `null` for what is not there.
                None | Some(Value::Null) if !required => Ok(()),
                _ => Err(TokenError::Claim(name)),
            };
            visitor.check(name, outcome)?;
        }
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
            let value = self.at(std::slice::from_ref(name));
            value.is_some_and(|value| wanted.iter().any(|wanted| wanted.is(value)))
        };
        if rules.required.iter().all(has) { Ok(()) } else { Err(TokenError::RequiredClaim) }
    }

    /// Names and values as written.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Text<'a>, &'a str)> {
        self.members.iter().map(|(name, _, raw)| (*name, *raw))
    }

    /// The value of a claim as written.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        self.members().find(|(one, _)| one.is(name)).map(|(_, raw)| raw)
    }

    /// The payload, and the spans of the claims that handlers and rules read. `None` if it is longer than a span can
    /// address.
    pub(crate) fn to_parts(&self, issuer: &IssuerState, lifetime: &Lifetime) -> Option<Parts> {
        let items = SmallVec::new();
        let mut spans = Spans { payload: self.payload, appendix: String::new(), items };
        for (name, _, raw) in &self.members {
            let pair = [spans.text(*name), spans.span(raw)];
            spans.items.extend_from_slice(&pair);
        }
        let mut text = |name: &str| self.text(name).map_or(Span::NONE, |text| spans.text(text));
        let (subject, token_id, acr) = (text("sub"), text("jti"), text("acr"));
        let client_id = self.client_id().map_or(Span::NONE, |text| spans.text(text));
        // Elsewhere the issuer's own name says it.
        let concrete = self.text("iss").filter(|_| issuer.rules.has_tenants());
        let concrete_issuer = concrete.map_or(Span::NONE, |text| spans.text(text));
        let audience = spans.list(self.get("aud"), Words::Whole);
        let scopes =
            spans.list(self.at(&issuer.rules.scope_claims), Words::Split(issuer.rules.scope_separator));
        let roles = issuer.rules.roles_claims.iter().filter_map(|path| path.find(|name| self.get(name)));
        let roles = spans.lists(roles, Words::Whole);
        let mut text = String::with_capacity(self.payload.len() + spans.appendix.len());
        text.push_str(self.payload);
        text.push_str(&spans.appendix);
        u16::try_from(text.len()).ok()?;
        Some(Parts {
            text: text.into(),
            members: Span::new(0, 2 * self.members.len()),
            items: Box::from(spans.items.as_slice()),
            payload: Span::new(0, self.payload.len()),
            concrete_issuer,
            subject,
            client_id,
            token_id,
            acr,
            audience,
            scopes,
            roles,
            expires_at: lifetime.expires_at,
            issued_at: lifetime.issued_at,
            // A malformed one is an error only for a requirement that needs it.
            authenticated_at: self.get("auth_time").and_then(Value::as_seconds),
            valid_from: lifetime.valid_from,
            valid_until: lifetime.valid_until,
        })
    }

    /// A claim by name, unless it is `null`.
    pub(crate) fn present(&self, name: &str) -> Option<Value<'a>> {
        self.get(name).filter(|value| !matches!(value, Value::Null))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members.iter().find(|(one, ..)| one.is(name)).map(|(_, value, _)| *value)
    }

    pub(super) fn text(&self, name: &str) -> Option<Text<'a>> {
        self.get(name)?.as_text()
    }

    fn required_text(&self, name: &'static str) -> Result<Text<'a>, TokenError> {
        self.text(name).ok_or(TokenError::Claim(name))
    }

    /// OpenID Connect servers called it `azp` before RFC 9068.
    fn client_id(&self) -> Option<Text<'a>> {
        self.text("client_id").or_else(|| self.text("azp"))
    }

    pub(crate) fn seconds(&self, name: &'static str) -> Result<Option<u64>, TokenError> {
        match self.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_seconds().map(Some).ok_or(TokenError::Claim(name)),
        }
    }

    /// The first of these claims that the token has and that is not `null`. A name with dots is looked up as it is, then
    /// as a path.
    fn at(&self, names: &[Box<str>]) -> Option<Value<'a>> {
        let is_there = |value: &Value<'_>| !matches!(value, Value::Null);
        names.iter().find_map(|name| {
            let found = self.get(name).or_else(|| {
                let (first, rest) = name.split_once('.')?;
                rest.split('.').try_fold(self.get(first)?, |value, step| match value {
                    Value::Object(object) => object.get(step),
                    _ => None,
                })
            });
            found.filter(is_there)
        })
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

/// How a string in place of a list is split.
#[derive(Clone, Copy)]
enum Words {
    /// RFC 6749 section 3.3: scopes are separated by spaces; by this character too where the issuer is configured so.
    Split(char),
    Whole,
}

/// Spans in the text that [`Parts`] holds.
struct Spans<'a> {
    payload: &'a str,
    /// Decoded strings that were written with escapes; it follows the payload.
    appendix: String,
    items: SmallVec<[Span; 64]>,
}

impl<'a> Spans<'a> {
    fn text(&mut self, text: Text<'a>) -> Span {
        if !text.is_escaped() {
            return self.span(text.raw);
        }
        let start = self.payload.len() + self.appendix.len();
        self.appendix.push_str(&text.decode());
        Span::new(start, self.payload.len() + self.appendix.len())
    }

    /// The span of a part of the payload.
    fn span(&self, part: &'a str) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(self.payload.as_ptr() as usize);
        Span::new(start, start.saturating_add(part.len()))
    }

    /// A string or a list of strings; anything else grants nothing.
    fn list(&mut self, value: Option<Value<'a>>, words: Words) -> Span {
        self.lists(value.into_iter(), words)
    }

    /// The same of several values, as one list.
    fn lists(&mut self, values: impl Iterator<Item = Value<'a>>, words: Words) -> Span {
        let start = self.items.len();
        values.for_each(|value| self.add(value, words));
        Span::new(start, self.items.len())
    }

    fn add(&mut self, value: Value<'a>, words: Words) {
        match (value, words) {
            (Value::String(text), Words::Split(other)) if !text.is_escaped() => {
                for word in text.raw.split([' ', other]).filter(|word| !word.is_empty()) {
                    let span = self.span(word);
                    self.items.push(span);
                }
            }
            (Value::String(text), Words::Split(other)) => {
                for word in text.decode().split([' ', other]).filter(|word| !word.is_empty()) {
                    let start = self.payload.len() + self.appendix.len();
                    self.appendix.push_str(word);
                    self.items.push(Span::new(start, start + word.len()));
                }
            }
            (Value::String(text), Words::Whole) => {
                let span = self.text(text);
                self.items.push(span);
            }
            (Value::Array(list), _) if list.items().all(|item| item.as_text().is_some()) => {
                for text in list.items().filter_map(Value::as_text) {
                    let span = self.text(text);
                    self.items.push(span);
                }
            }
            _ => {}
        }
    }
}
