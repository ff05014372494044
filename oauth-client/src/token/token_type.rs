//! Kinds of tokens, as token exchange names them.

use std::fmt;

/// What kind of token something is (RFC 8693 section 3).
///
/// ```
/// use oauth_client::token::TokenType;
///
/// assert_eq!(TokenType::from("urn:ietf:params:oauth:token-type:id_token"), TokenType::IdToken);
/// assert_eq!(TokenType::from("id_token"), TokenType::IdToken); // the last part is enough for those with a name
/// assert_eq!(TokenType::Jwt.uri(), "urn:ietf:params:oauth:token-type:jwt");
/// assert_eq!(TokenType::from("urn:example:badge").uri(), "urn:example:badge");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenType {
    /// An OAuth 2.0 access token.
    AccessToken,
    /// An OAuth 2.0 refresh token.
    RefreshToken,
    /// An OpenID Connect ID token.
    IdToken,
    /// A JWT, whatever it is for.
    Jwt,
    /// A SAML 1.1 assertion, as base64url.
    Saml1,
    /// A SAML 2.0 assertion, as base64url.
    Saml2,
    /// Any other, by its URI.
    Other(String),
}

/// The `token_type` of what no request can carry (RFC 8693 section 2.2.1).
pub(crate) const NOT_APPLICABLE: &str = "N_A";

const PREFIX: &str = "urn:ietf:params:oauth:token-type:";

impl TokenType {
    const NAMED: [Self; 6] =
        [Self::AccessToken, Self::RefreshToken, Self::IdToken, Self::Jwt, Self::Saml1, Self::Saml2];

    /// Its name without the prefix that all named ones share: how `token_type_hint` calls it (RFC 7009 section 2.1).
    pub(crate) fn name(&self) -> &str {
        let uri = self.uri();
        uri.strip_prefix(PREFIX).unwrap_or(uri)
    }

    /// Its identifier on the wire.
    #[must_use]
    pub fn uri(&self) -> &str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            Self::Saml1 => "urn:ietf:params:oauth:token-type:saml1",
            Self::Saml2 => "urn:ietf:params:oauth:token-type:saml2",
            Self::Other(uri) => uri,
        }
    }
}

impl From<&str> for TokenType {
    fn from(text: &str) -> Self {
        let name = text.strip_prefix(PREFIX).unwrap_or(text);
        let named = Self::NAMED.into_iter().find(|one| one.name() == name);
        named.unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri())
    }
}
