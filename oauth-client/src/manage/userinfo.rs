//! Userinfo: claims about the person (OpenID Connect Core section 5.3).

use std::fmt;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::Api;
use crate::TokenSource;
use crate::client::Client;
use crate::dialect;
use crate::discover::Endpoint;
use crate::error::{Error, Kind};
use crate::jose;
use crate::transport::Limits;

impl Client {
    /// Fetches the claims about the person whose tokens a source has (OpenID Connect Core section 5.3). The token must have the
    /// scope `openid`; for one that was obtained elsewhere there is [`TokenSource::fixed`].
    ///
    /// Where the source's tokens came with an ID token, both must be about the same subject (section 5.3.2).
    ///
    /// # Errors
    /// `invalid_token` and `insufficient_scope` when the server does not take the token, or what its challenge says
    /// (`insufficient_user_authentication`, RFC 9470); `malformed_response` when the
    /// response names no subject, or another; `unsupported` when it is signed or encrypted: register the client without
    /// `userinfo_signed_response_alg` and `userinfo_encrypted_response_alg`; and the other codes of [`Error::code`].
    pub async fn userinfo(&self, source: &TokenSource) -> Result<Userinfo, Error> {
        let url = self.endpoint(Endpoint::Userinfo, self.timeout()).await?;
        let limits = Limits { timeout: self.timeout(), ..self.limits_at(&url, Limits::token()) };
        let api = Api::at(self.http().clone(), source.clone(), url.clone()).limits(limits);
        // Before it may go out of use on the way: whom the response is about is compared in any case.
        let token = source.token().await?;
        let response = api.send(Method::GET, url, None).await?;
        if let Some(wrapped) = wrapped(response.headers()) {
            return Err(Error::new(Kind::Unsupported(format!(
                "userinfo is {wrapped}, and only plain JSON is understood; register the client without userinfo_signed_response_alg and userinfo_encrypted_response_alg"
            ))));
        }
        let object = api.read(response, &dialect::standard())?;
        let claims =
            token.tokens().id_token().and_then(|id_token| jose::unverified_claims(id_token.expose()));
        Userinfo::new(object, claims.as_ref().and_then(|claims| claims.get("sub")))
    }
}

/// What kind of response it is, where it is no plain JSON.
fn wrapped(headers: &HeaderMap) -> Option<&'static str> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    kind.eq_ignore_ascii_case("application/jwt").then_some("signed or encrypted")
}

/// The server's claims about a person: the claims of OpenID Connect Core section 5.1, typed, and all that came in
/// [`claims`](Self::claims). `Debug` shows their names and no values, which are personal data.
///
/// ```
/// # async fn run(client: oauth_client::Client, source: oauth_client::TokenSource) -> Result<(), oauth_client::Error> {
/// let person = client.userinfo(&source).await?;
/// println!("{} <{}>", person.name().unwrap_or("unnamed"), person.email().unwrap_or("no address"));
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq)]
pub struct Userinfo {
    subject: String,
    claims: Map<String, Value>,
}

/// A getter for each claim that is a string.
macro_rules! texts {
    ($($(#[$about:meta])* $claim:ident,)+) => {
        impl Userinfo {
            $($(#[$about])* #[must_use] pub fn $claim(&self) -> Option<&str> { self.text(stringify!($claim)) })+
        }
    };
}

texts! {
    /// The full name, to be shown.
    name,
    /// The given names, separated by spaces.
    given_name,
    /// The family names, separated by spaces.
    family_name,
    /// The middle names, separated by spaces.
    middle_name,
    /// The name that friends use.
    nickname,
    /// What the person wants to be called here. It may change, and another person may take it over, so do not use it as
    /// a key.
    preferred_username,
    /// The address of the person's page.
    profile,
    /// The address of a picture.
    picture,
    /// The address of the person's website.
    website,
    /// The e-mail address. See [`email_verified`](Self::email_verified).
    email,
    /// The gender.
    gender,
    /// The birthday as `YYYY-MM-DD`, `0000-MM-DD` without the year, or `YYYY`.
    birthdate,
    /// The time zone, such as `Europe/Paris`.
    zoneinfo,
    /// The language, such as `en-US`.
    locale,
    /// The phone number. See [`phone_number_verified`](Self::phone_number_verified).
    phone_number,
}

impl Userinfo {
    /// The person's identifier at this server (`sub`): the one to use as a key.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether the server has made sure that the address is the person's. `false` when it does not say.
    #[must_use]
    pub fn email_verified(&self) -> bool {
        self.flag("email_verified")
    }

    /// Whether the server has made sure that the number is the person's. `false` when it does not say.
    #[must_use]
    pub fn phone_number_verified(&self) -> bool {
        self.flag("phone_number_verified")
    }

    /// The postal address (OpenID Connect Core section 5.1.1).
    #[must_use]
    pub fn address(&self) -> Option<&Map<String, Value>> {
        self.claims.get("address")?.as_object()
    }

    /// When the person's data last changed, as Unix time.
    #[must_use]
    pub fn updated_at(&self) -> Option<Duration> {
        self.claims.get("updated_at")?.as_u64().map(Duration::from_secs)
    }

    /// All claims, as they came.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    fn new(claims: Map<String, Value>, expected: Option<&Value>) -> Result<Self, Error> {
        let subject = match claims.get("sub") {
            Some(Value::String(subject)) if !subject.is_empty() => subject.clone(),
            _ => return Err(Error::malformed("sub: expected a string that is not empty")),
        };
        if expected.is_some_and(|expected| expected.as_str() != Some(&*subject)) {
            return Err(Error::malformed(
                "sub: is not the ID token's, so this is about another person (OpenID Connect Core section 5.3.2)",
            ));
        }
        Ok(Self { subject, claims })
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str().filter(|text| !text.is_empty())
    }

    /// Some servers (Amazon Cognito among them) write "true".
    fn flag(&self, claim: &str) -> bool {
        self.claims
            .get(claim)
            .is_some_and(|value| value.as_bool() == Some(true) || value.as_str() == Some("true"))
    }
}

impl fmt::Debug for Userinfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Userinfo")
            .field("claims", &self.claims.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value, expected: Option<&str>) -> Result<Userinfo, Error> {
        Userinfo::new(value.as_object().unwrap().clone(), expected.map(Value::from).as_ref())
    }

    #[test]
    fn claims_are_typed_and_never_shown() {
        let person = json!({
            "sub": "248289761001", "name": "Jane Doe", "email": "janedoe@example.com", "email_verified": "true",
            "nickname": "", "updated_at": 1_311_280_970, "address": {"country": "FR"}
        });
        let person = read(person, Some("248289761001")).unwrap();
        assert_eq!(
            (person.subject(), person.name(), person.nickname()),
            ("248289761001", Some("Jane Doe"), None)
        );
        assert!(person.email_verified() && !person.phone_number_verified());
        assert_eq!(person.address().unwrap()["country"], "FR");
        assert!(!format!("{person:?}").contains("Jane"));
    }

    #[test]
    fn a_response_about_another_subject_or_none_is_rejected() {
        for (response, expected) in [
            (json!({"sub": "eve"}), Some("alice")),
            (json!({"sub": 5}), None),
            (json!({}), None),
            (json!({"sub": ""}), None),
        ] {
            let error = read(response, expected).unwrap_err();
            assert!(error.code() == "malformed_response" && error.to_string().contains("sub"), "{error}");
        }
    }
}
