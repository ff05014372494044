//! The claims of a token, read in one pass and judged against what its issuer was configured with.

use std::borrow::Cow;

use oauth_client::clock::Now;
use smallvec::SmallVec;

use crate::claims::{Parts, Span};
use crate::issuer::{IssuerState, Profile, Rules};
use crate::jose::Typ;
use crate::json::{self, Text, Value};
use crate::refuse::Flaw;

/// Claims as they stand in the payload; nothing has been believed yet.
pub(crate) struct ClaimSet<'a> {
    payload: &'a str,
    members: SmallVec<[(Text<'a>, Value<'a>, &'a str); 16]>,
}

/// The times a token is good, found on the way.
pub(crate) struct Times {
    expires_at: u64,
    issued_at: Option<u64>,
    good_from: u64,
    good_until: u64,
}

impl<'a> ClaimSet<'a> {
    pub(crate) fn new() -> Self {
        Self { payload: "", members: SmallVec::new() }
    }

    /// Takes the claims in. In place: with its members it is too large to be moved for nothing.
    pub(crate) fn read(&mut self, payload: &'a str) -> Result<(), Flaw> {
        self.payload = payload;
        self.members.clear();
        json::read_object(payload, &mut |name, value, raw| self.members.push((name, value, raw)))
            .map_err(Flaw::Claims)
    }

    /// `iss`, which has to be one string: a list could hold the right one next to another.
    pub(crate) fn issuer(&self) -> Result<Cow<'a, str>, Flaw> {
        self.required_text("iss").map(Text::decode)
    }

    /// Every check that needs no key; the witness hears of each. A judge gets the first flaw, or the times: the token is
    /// true then, if its signature is good.
    pub(crate) fn judge<W: Witness>(
        &self,
        issuer: &IssuerState,
        typ: Typ,
        now: Now,
        witness: &mut W,
    ) -> Result<Option<Times>, Flaw> {
        let rules = &issuer.rules;
        witness.hear("typ", judge_type(rules.profile, typ))?;
        witness.hear("aud", self.judge_audience(&rules.audience))?;
        let now = now.wall.as_secs();
        let until = witness.hear("exp", self.judge_expiry(rules, now))?;
        let from = witness.hear("nbf", self.judge_start("nbf", false, rules, now))?;
        let needs_iat = rules.profile == Profile::Rfc9068 || rules.max_token_age.is_some();
        let issued = witness.hear("iat", self.judge_start("iat", needs_iat, rules, now))?;
        let issued_at = issued.flatten();
        let until_too_old = witness.hear("age", judge_age(rules, issued_at, now))?;
        for name in ["sub", "client_id", "jti", "azp"] {
            let required = rules.profile == Profile::Rfc9068 && name != "azp"; // RFC 9068 §2.2
            let outcome = match self.get(name) {
                Some(Value::String(_)) => Ok(()),
                None if !required => Ok(()),
                _ => Err(Flaw::Claim(name)),
            };
            witness.hear(name, outcome)?;
        }
        witness.hear("client", self.judge_client(rules))?;
        // RFC 7800: whoever holds such a token without its key has stolen it. Proofs are not checked here, so
        // it is never taken for a plain bearer token.
        witness.hear("cnf", if self.get("cnf").is_some() { Err(Flaw::BoundToKey) } else { Ok(()) })?;
        let (Some((expires_at, good_until)), Some(until_too_old)) = (until, until_too_old) else {
            return Ok(None);
        };
        let good_from = from.flatten().max(issued_at).unwrap_or(0).saturating_sub(rules.leeway.as_secs());
        Ok(Some(Times { expires_at, issued_at, good_from, good_until: good_until.min(until_too_old) }))
    }

    fn judge_audience(&self, ours: &[Box<str>]) -> Result<(), Flaw> {
        let is_ours = |text: Text<'_>| ours.iter().any(|one| text.is(one));
        let named = match self.get("aud") {
            Some(Value::String(one)) => is_ours(one),
            Some(Value::Array(list)) => {
                let mut named = false;
                for item in list.items() {
                    named |= is_ours(item.as_text().ok_or(Flaw::Claim("aud"))?);
                }
                named
            }
            // Nothing configured means the danger was taken knowingly.
            None if ours.is_empty() => true,
            _ => return Err(Flaw::Claim("aud")),
        };
        if named || ours.is_empty() { Ok(()) } else { Err(Flaw::WrongAudience) }
    }

    /// When it expires, and the first second at which it is refused for it.
    fn judge_expiry(&self, rules: &Rules, now: u64) -> Result<(u64, u64), Flaw> {
        let expires_at = self.seconds("exp")?.ok_or(Flaw::Claim("exp"))?;
        // RFC 7519 §4.1.4: "on or after" its expiry a token is not accepted.
        let good_until = expires_at.saturating_add(rules.leeway.as_secs());
        if now < good_until { Ok((expires_at, good_until)) } else { Err(Flaw::Expired) }
    }

    /// A time before which it is not good.
    fn judge_start(
        &self,
        name: &'static str,
        required: bool,
        rules: &Rules,
        now: u64,
    ) -> Result<Option<u64>, Flaw> {
        let at = self.seconds(name)?;
        match at {
            None if required => Err(Flaw::Claim(name)),
            Some(at) if now < at.saturating_sub(rules.leeway.as_secs()) => Err(Flaw::NotYetValid),
            at => Ok(at),
        }
    }

    fn judge_client(&self, rules: &Rules) -> Result<(), Flaw> {
        let Some(clients) = &rules.clients else { return Ok(()) };
        let client = self.client_id().ok_or(Flaw::WrongClient)?;
        if clients.iter().any(|allowed| client.is(allowed)) { Ok(()) } else { Err(Flaw::WrongClient) }
    }

    /// Names and values as they are written.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Text<'a>, &'a str)> {
        self.members.iter().map(|(name, _, raw)| (*name, *raw))
    }

    /// The payload, and where in it things are that handlers and policies will ask for. `None` when that is more than
    /// places can be told in.
    pub(crate) fn to_parts(&self, issuer: &IssuerState, times: &Times) -> Option<Parts> {
        let items = SmallVec::new();
        let mut kept = Kept { payload: self.payload, appendix: String::new(), items };
        for (name, _, raw) in &self.members {
            let pair = [kept.text(*name), kept.place(raw)];
            kept.items.extend_from_slice(&pair);
        }
        let mut text = |name: &str| self.text(name).map_or(Span::NONE, |text| kept.text(text));
        let (subject, token_id, acr) = (text("sub"), text("jti"), text("acr"));
        let client_id = self.client_id().map_or(Span::NONE, |text| kept.text(text));
        let audience = kept.list(self.get("aud"), Words::Whole);
        let scopes = kept.list(self.at(&issuer.rules.scope_claims), Words::Split);
        let roles = kept.list(self.at(&issuer.rules.roles_claims), Words::Whole);
        let mut text = String::with_capacity(self.payload.len() + kept.appendix.len());
        text.push_str(self.payload);
        text.push_str(&kept.appendix);
        u16::try_from(text.len()).ok()?;
        Some(Parts {
            text: text.into(),
            members: Span::new(0, 2 * self.members.len()),
            items: Box::from(kept.items.as_slice()),
            payload: Span::new(0, self.payload.len()),
            subject,
            client_id,
            token_id,
            acr,
            audience,
            scopes,
            roles,
            expires_at: times.expires_at,
            issued_at: times.issued_at,
            // Nobody is refused for it unless a requirement asks for it.
            authenticated_at: self.get("auth_time").and_then(Value::as_seconds),
            good_from: times.good_from,
            good_until: times.good_until,
        })
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members.iter().find(|(one, ..)| one.is(name)).map(|(_, value, _)| *value)
    }

    fn text(&self, name: &str) -> Option<Text<'a>> {
        self.get(name)?.as_text()
    }

    fn required_text(&self, name: &'static str) -> Result<Text<'a>, Flaw> {
        self.text(name).ok_or(Flaw::Claim(name))
    }

    /// `azp` is what OpenID Connect servers called it before RFC 9068.
    fn client_id(&self) -> Option<Text<'a>> {
        self.text("client_id").or_else(|| self.text("azp"))
    }

    pub(crate) fn seconds(&self, name: &'static str) -> Result<Option<u64>, Flaw> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => value.as_seconds().map(Some).ok_or(Flaw::Claim(name)),
        }
    }

    /// The first of these claims that the token has. A name with dots is looked for as it stands, then as a path.
    fn at(&self, names: &[Box<str>]) -> Option<Value<'a>> {
        names.iter().find_map(|name| {
            self.get(name).or_else(|| {
                let (first, rest) = name.split_once('.')?;
                rest.split('.').try_fold(self.get(first)?, |value, step| match value {
                    Value::Object(object) => object.get(step),
                    _ => None,
                })
            })
        })
    }
}

fn judge_type(profile: Profile, typ: Typ) -> Result<(), Flaw> {
    match (profile, typ) {
        (Profile::Rfc9068, Typ::AccessToken) | (Profile::Jwt, Typ::Absent | Typ::Jwt | Typ::AccessToken) => {
            Ok(())
        }
        _ => Err(Flaw::WrongType),
    }
}

/// The first second at which it is too old.
fn judge_age(rules: &Rules, issued_at: Option<u64>, now: u64) -> Result<u64, Flaw> {
    let too_old_at = match (rules.max_token_age, issued_at) {
        // The second at which it is exactly that old is still fine.
        (Some(age), Some(iat)) => {
            iat.saturating_add(age.as_secs()).saturating_add(rules.leeway.as_secs()).saturating_add(1)
        }
        _ => u64::MAX,
    };
    if now < too_old_at { Ok(too_old_at) } else { Err(Flaw::TooOld) }
}

/// Hears the outcome of each check, and says whether to go on without what it would have given.
pub(crate) trait Witness {
    fn hear<V>(&mut self, check: &'static str, outcome: Result<V, Flaw>) -> Result<Option<V>, Flaw>;
}

/// Ends at the first flaw.
pub(crate) struct Strict;

impl Witness for Strict {
    fn hear<V>(&mut self, _: &'static str, outcome: Result<V, Flaw>) -> Result<Option<V>, Flaw> {
        outcome.map(Some)
    }
}

/// How a string that stands where a list could is taken apart.
#[derive(Clone, Copy, PartialEq)]
enum Words {
    /// RFC 6749 §3.3: scopes are separated by spaces.
    Split,
    Whole,
}

/// Places in the text that [`Parts`] holds.
struct Kept<'a> {
    payload: &'a str,
    /// What of it had escapes to be resolved; it follows the payload.
    appendix: String,
    items: SmallVec<[Span; 64]>,
}

impl<'a> Kept<'a> {
    fn text(&mut self, text: Text<'a>) -> Span {
        if !text.is_escaped() {
            return self.place(text.raw);
        }
        let start = self.payload.len() + self.appendix.len();
        self.appendix.push_str(&text.decode());
        Span::new(start, self.payload.len() + self.appendix.len())
    }

    /// `part` was cut out of the payload; where it lies there.
    fn place(&self, part: &'a str) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(self.payload.as_ptr() as usize);
        Span::new(start, start.saturating_add(part.len()))
    }

    /// A string or a list of strings; anything else grants nothing.
    fn list(&mut self, value: Option<Value<'a>>, words: Words) -> Span {
        let start = self.items.len();
        match value {
            Some(Value::String(text)) if words == Words::Split && !text.is_escaped() => {
                for word in text.raw.split(' ').filter(|word| !word.is_empty()) {
                    let place = self.place(word);
                    self.items.push(place);
                }
            }
            Some(Value::String(text)) if words == Words::Split => {
                for word in text.decode().split(' ').filter(|word| !word.is_empty()) {
                    let start = self.payload.len() + self.appendix.len();
                    self.appendix.push_str(word);
                    self.items.push(Span::new(start, start + word.len()));
                }
            }
            Some(Value::String(text)) => {
                let place = self.text(text);
                self.items.push(place);
            }
            Some(Value::Array(list)) if list.items().all(|item| item.as_text().is_some()) => {
                for text in list.items().filter_map(Value::as_text) {
                    let place = self.text(text);
                    self.items.push(place);
                }
            }
            _ => {}
        }
        Span::new(start, self.items.len())
    }
}
