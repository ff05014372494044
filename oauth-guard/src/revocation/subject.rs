//! Whom a security event is about (RFC 9493, and the older forms of RISC), as far as tokens can name it.

use super::entry::{NAME_BYTES, Revocation};
use crate::json::{Object, Value};

/// What of a subject is in access tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) session: Option<String>,
    pub(super) token: Option<String>,
}

impl Subject {
    /// `None` for a form that names nothing an access token has, such as an e-mail address.
    pub(super) fn read(value: Value<'_>) -> Result<Option<Self>, &'static str> {
        let Value::Object(object) = value else { return Err("subject: expected an object") };
        let format = match object.get("format").or_else(|| object.get("subject_type")) {
            Some(Value::String(format)) => format.decode().replace('-', "_"),
            Some(_) => return Err("format: expected a string"),
            // CAEP's complex subjects had none at first.
            None if object.get("user").is_some() || object.get("session").is_some() => "complex".to_owned(),
            None => return Err("format: is missing"),
        };
        match format.as_str() {
            "iss_sub" => Ok(Some(Self {
                issuer: Some(member(object, "iss", "iss: of the subject, expected a string")?),
                subject: Some(member(object, "sub", "sub: of the subject, expected a string")?),
                ..Self::default()
            })),
            "jwt_id" => Ok(Some(Self {
                issuer: Some(member(object, "iss", "iss: of the subject, expected a string")?),
                token: Some(member(object, "jti", "jti: of the subject, expected a string")?),
                ..Self::default()
            })),
            "opaque" => Ok(Some(Self {
                subject: Some(member(object, "id", "id: of the subject, expected a string")?),
                ..Self::default()
            })),
            "complex" => Self::complex(object),
            _ => Ok(None),
        }
    }

    /// A user and a session; devices, tenants and the like are in no token.
    fn complex(object: Object<'_>) -> Result<Option<Self>, &'static str> {
        let part = |name: &str| match object.get(name) {
            Some(Value::Object(part)) if part.get("format").is_some_and(is_complex) => {
                Err("subject: a complex one is within another")
            }
            Some(value) => Self::read(value),
            None => Ok(None),
        };
        let (user, session) = (part("user")?, part("session")?);
        let mut subject = user.unwrap_or_default();
        if let Some(session) = session {
            match (&subject.issuer, &session.issuer) {
                (Some(one), Some(other)) if one != other => {
                    return Err("subject: its parts have two issuers");
                }
                (None, Some(_)) => subject.issuer = session.issuer,
                _ => {}
            }
            // Whatever the form, the id of a session is the `sid` of its tokens.
            subject.session = session.subject;
            subject.token = subject.token.or(session.token);
        }
        Ok(Some(subject))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subject.is_none() && self.session.is_none() && self.token.is_none()
    }

    /// The end of a login: of that session, or of all the user's.
    pub(super) fn login(&self, issuer: &str, at: u64) -> Vec<Revocation> {
        let mut revocations = Vec::new();
        if let Some(token) = &self.token {
            revocations.push(Revocation::token(issuer, token.as_str()));
        }
        match (&self.session, &self.subject) {
            (Some(session), subject) => {
                revocations.push(Revocation::session(issuer, session.as_str()));
                // Tokens that name no session may be of this one.
                revocations.extend(
                    subject
                        .as_deref()
                        .map(|subject| Revocation::subject_without_session(issuer, subject, at)),
                );
            }
            (None, Some(subject)) => revocations.push(Revocation::subject(issuer, subject.as_str(), at)),
            (None, None) => {}
        }
        revocations
    }

    /// The end of everything that the account has.
    pub(super) fn account(&self, issuer: &str, at: u64) -> Vec<Revocation> {
        match &self.subject {
            Some(subject) => vec![Revocation::subject(issuer, subject.as_str(), at)],
            None => self.login(issuer, at),
        }
    }
}

fn is_complex(format: Value<'_>) -> bool {
    format.as_text().is_some_and(|text| text.is("complex"))
}

fn member(object: Object<'_>, name: &str, wrong: &'static str) -> Result<String, &'static str> {
    let text = object.get(name).and_then(Value::as_text).map(|text| text.decode().into_owned());
    text.filter(|text| (1..=NAME_BYTES).contains(&text.len())).ok_or(wrong)
}
