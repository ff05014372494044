use std::net::IpAddr;

/// A grant type the token endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrantType {
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 4.3.
    Password,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 6749 section 4.1, with PKCE (RFC 7636).
    AuthorizationCode,
    /// RFC 7523 section 2.1.
    JwtBearer,
    /// RFC 8693.
    TokenExchange,
    /// RFC 8628 section 3.4.
    DeviceCode,
    /// OpenID CIBA 1.0 section 10.1, poll mode.
    Ciba,
}

impl GrantType {
    pub(crate) const ALL: [Self; 8] = [
        Self::ClientCredentials,
        Self::Password,
        Self::RefreshToken,
        Self::AuthorizationCode,
        Self::JwtBearer,
        Self::TokenExchange,
        Self::DeviceCode,
        Self::Ciba,
    ];

    /// The value of `grant_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::AuthorizationCode => "authorization_code",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::Ciba => "urn:openid:params:grant-type:ciba",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

/// How a client proves who it is at the token endpoint (RFC 6749 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthMethod {
    /// `client_secret_basic`: form-encoded, then HTTP Basic.
    Basic,
    /// `client_secret_post`: in the form.
    Post,
    /// `private_key_jwt`: a JWT signed with a key of the client (RFC 7523 section 2.2).
    PrivateKeyJwt,
    /// `client_secret_jwt`: a JWT with an HMAC under the secret (RFC 7523 section 2.2).
    ClientSecretJwt,
    /// `tls_client_auth`: a certificate of an authority the server trusts (RFC 8705 section 2.1). Needs the feature
    /// `tls`.
    TlsClientAuth,
    /// `self_signed_tls_client_auth`: a registered certificate (RFC 8705 section 2.2). Needs the feature `tls`.
    SelfSignedTlsClientAuth,
    /// `none`: a public client names itself only.
    None,
}

impl AuthMethod {
    /// All that prove something, then `none`.
    pub(crate) const ALL: [Self; 7] = [
        Self::Basic,
        Self::Post,
        Self::PrivateKeyJwt,
        Self::ClientSecretJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
        Self::None,
    ];

    /// The name in server metadata (RFC 8414 section 2).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
            Self::None => "none",
        }
    }

    /// Whether the client shows a certificate instead of sending something.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
    }
}

/// Whom a client's certificate must be for: one of the values a client can register (RFC 8705 section 2.1.2).
///
/// A plain text is the common name, with nothing beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateSubject {
    /// `tls_client_auth_subject_dn`, as RFC 4514 writes it: `CN=svc,O=Example`.
    Dn(String),
    /// `tls_client_auth_san_dns`.
    Dns(String),
    /// `tls_client_auth_san_uri`.
    Uri(String),
    /// `tls_client_auth_san_ip`.
    Ip(IpAddr),
    /// `tls_client_auth_san_email`.
    Email(String),
}

impl From<&str> for CertificateSubject {
    fn from(common_name: &str) -> Self {
        let mut name = String::from("CN=");
        for c in common_name.chars() {
            // RFC 4514 section 2.4.
            if matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
                name.push('\\');
            }
            name.push(c);
        }
        Self::Dn(name)
    }
}
