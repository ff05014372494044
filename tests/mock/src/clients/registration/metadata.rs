//! Client metadata (RFC 7591 section 2): what a client asks to be, checked member by member.

use http::Uri;
use serde_json::{Map, Value, json};

use crate::clients::{AuthMethod, CertificateSubject, GrantType, MockClient};
use crate::keys::{Alg, thumbprint};
use crate::wire::response::OAuthError;

/// Members that only inform users; kept and returned as they are, in any language (RFC 7591 section 2.2).
const INFORMATIVE: [&str; 7] =
    ["client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri", "software_id", "software_version"];

/// What a client asked for, read as RFC 7591 section 2 defines it.
pub(crate) struct Requested {
    method: AuthMethod,
    algs: Option<Vec<Alg>>,
    grants: Vec<GrantType>,
    scopes: Vec<String>,
    redirect_uris: Vec<String>,
    jwks: Vec<Value>,
    subject: Option<CertificateSubject>,
    certificate_bound: bool,
    dpop_bound: bool,
    needs_par: bool,
    details_types: Option<Vec<String>>,
    post_logout_redirect_uris: Vec<String>,
    /// What will be returned about the client.
    pub(crate) metadata: Map<String, Value>,
}

impl Requested {
    /// Reads the metadata; members it does not know are left out (RFC 7591 section 2). `offered` are the methods of
    /// authentication this server can check.
    pub(crate) fn read(asked: &Map<String, Value>, offered: &[AuthMethod]) -> Result<Self, OAuthError> {
        let asked = Members(asked);
        let method = asked.text("token_endpoint_auth_method")?.unwrap_or("client_secret_basic");
        let method = offered.iter().find(|one| one.as_str() == method);
        let method = *method.ok_or_else(|| bad("token_endpoint_auth_method", "not one of this server's"))?;
        let grants = asked.texts("grant_types")?.unwrap_or_else(|| vec!["authorization_code"]);
        let grants: Option<Vec<_>> = grants.into_iter().map(GrantType::parse).collect();
        let grants = grants.ok_or_else(|| bad("grant_types", "has one that this server does not serve"))?;
        let with_code = grants.contains(&GrantType::AuthorizationCode);
        let requested = Self {
            method,
            algs: algs(&asked, method)?,
            scopes: scopes(&asked)?,
            redirect_uris: redirect_uris(&asked, with_code)?,
            jwks: jwks(&asked, method)?,
            subject: subject(&asked, method)?,
            certificate_bound: asked.flag("tls_client_certificate_bound_access_tokens")?,
            dpop_bound: asked.flag("dpop_bound_access_tokens")?,
            needs_par: asked.flag("require_pushed_authorization_requests")?,
            details_types: asked.texts("authorization_details_types")?.map(owned),
            post_logout_redirect_uris: asked
                .texts("post_logout_redirect_uris")?
                .map(owned)
                .unwrap_or_default(),
            metadata: Map::new(),
            grants,
        };
        let response_types = response_types(&asked, with_code)?;
        requested.returned(&asked, response_types)
    }

    /// The client this makes, with the secret it needs if its method needs one.
    pub(crate) fn client(self, id: &str, secret: Option<String>) -> (MockClient, Map<String, Value>) {
        let mut client = MockClient::new(id).grants(self.grants).scopes(self.scopes);
        client.secret = secret;
        client.methods = vec![self.method];
        client.assertion_algs = self.algs;
        client.redirect_uris = self.redirect_uris;
        client.jwks = self.jwks;
        client.certificate_subject = self.subject;
        client.certificate_bound = self.certificate_bound;
        client.dpop_bound = self.dpop_bound;
        client.needs_par = self.needs_par;
        client.details_types = self.details_types;
        client.post_logout_redirect_uris = self.post_logout_redirect_uris;
        (client, self.metadata)
    }

    /// Whether the server has to make a secret.
    pub(crate) fn needs_secret(&self) -> bool {
        matches!(self.method, AuthMethod::Basic | AuthMethod::Post | AuthMethod::ClientSecretJwt)
    }

    /// RFC 7591 section 3.2.1: all that is registered is returned, defaults too.
    fn returned(mut self, asked: &Members<'_>, response_types: Vec<&str>) -> Result<Self, OAuthError> {
        for (name, value) in asked.0 {
            let plain = name.split('#').next().unwrap_or_default();
            if INFORMATIVE.contains(&plain) {
                asked.text(name)?;
                self.metadata.insert(name.clone(), value.clone());
            }
        }
        let same = [
            "token_endpoint_auth_signing_alg",
            "jwks",
            "software_statement",
            "contacts",
            "authorization_details_types",
            "post_logout_redirect_uris",
        ];
        let same = same.into_iter().chain(SUBJECTS);
        for name in same {
            if let Some(value) = asked.0.get(name) {
                self.metadata.insert(name.to_owned(), value.clone());
            }
        }
        asked.texts("contacts")?;
        let grants: Vec<_> = self.grants.iter().map(|grant| grant.as_str()).collect();
        let more = [
            ("token_endpoint_auth_method", json!(self.method.as_str())),
            ("grant_types", json!(grants)),
            ("response_types", json!(response_types)),
            ("scope", json!(self.scopes.join(" "))),
            ("redirect_uris", json!(self.redirect_uris)),
            ("tls_client_certificate_bound_access_tokens", json!(self.certificate_bound)),
            ("dpop_bound_access_tokens", json!(self.dpop_bound)),
            ("require_pushed_authorization_requests", json!(self.needs_par)),
        ];
        self.metadata.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(self)
    }
}

/// The members of RFC 8705 section 2.1.2, of which a client has exactly one.
const SUBJECTS: [&str; 5] = [
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
];

/// Members read by their type.
struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    fn text(&self, name: &str) -> Result<Option<&'a str>, OAuthError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| bad(name, "must be a string")),
        }
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>, OAuthError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| bad(name, "must be a list of strings"))
    }

    fn flag(&self, name: &str) -> Result<bool, OAuthError> {
        match self.0.get(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| bad(name, "must be true or false")),
        }
    }
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

/// RFC 7591 section 3.2.2.
pub(crate) fn bad(name: &str, why: &str) -> OAuthError {
    OAuthError::bad_request("invalid_client_metadata", format!("{name}: {why}"))
}

fn algs(asked: &Members<'_>, method: AuthMethod) -> Result<Option<Vec<Alg>>, OAuthError> {
    let name = "token_endpoint_auth_signing_alg";
    let Some(alg) = asked.text(name)? else { return Ok(None) };
    let fits = |alg: &Alg| match method {
        AuthMethod::PrivateKeyJwt => alg.is_asymmetric(),
        AuthMethod::ClientSecretJwt => !alg.is_asymmetric() && *alg != Alg::None,
        _ => false,
    };
    let alg = Alg::parse(alg).filter(fits);
    alg.map(|alg| Some(vec![alg])).ok_or_else(|| bad(name, "not one for this token_endpoint_auth_method"))
}

fn scopes(asked: &Members<'_>) -> Result<Vec<String>, OAuthError> {
    let scope = asked.text("scope")?.unwrap_or("read write");
    // RFC 6749 section 3.3.
    if !scope.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(bad("scope", "must be scopes with spaces between"));
    }
    Ok(scope.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect())
}

/// RFC 7591 section 2.1 says which response types go with which grants.
fn response_types<'a>(asked: &Members<'a>, with_code: bool) -> Result<Vec<&'a str>, OAuthError> {
    let by_grant = if with_code { vec!["code"] } else { Vec::new() };
    match asked.texts("response_types")? {
        Some(types) if types != by_grant => Err(bad("response_types", "does not go with grant_types")),
        _ => Ok(by_grant),
    }
}

fn redirect_uris(asked: &Members<'_>, needed: bool) -> Result<Vec<String>, OAuthError> {
    let uris = asked.texts("redirect_uris")?.unwrap_or_default();
    let refused = |why| Err(OAuthError::bad_request("invalid_redirect_uri", format!("redirect_uris: {why}")));
    if needed && uris.is_empty() {
        return refused("missing, and grant_types has authorization_code");
    }
    if uris.iter().any(|uri| uri.contains('#')) {
        return refused("has one with a fragment (RFC 6749 section 3.1.2)");
    }
    if !uris.iter().all(|uri| is_safe(uri)) {
        return refused(
            "has one that is neither https, nor http to a loopback address, nor of an app's own scheme",
        );
    }
    Ok(owned(uris))
}

/// RFC 8252 section 7, RFC 9700 section 2.6: no plain http over a network, and a scheme of an app's own has a dot in
/// it.
fn is_safe(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    match scheme.to_ascii_lowercase().as_str() {
        "https" => uri.parse::<Uri>().is_ok_and(|uri| uri.host().is_some()),
        "http" => {
            let host = uri.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
            host.is_some_and(|host| ["127.0.0.1", "[::1]", "localhost"].contains(&&*host))
        }
        app => app.contains('.') && !rest.is_empty(),
    }
}

fn jwks(asked: &Members<'_>, method: AuthMethod) -> Result<Vec<Value>, OAuthError> {
    if asked.0.contains_key("jwks_uri") {
        return Err(bad("jwks_uri", "this server fetches nothing; send the keys in jwks"));
    }
    let keys = match asked.0.get("jwks") {
        None => Vec::new(),
        Some(jwks) => jwks["keys"].as_array().cloned().ok_or_else(|| bad("jwks", "must be a JWK set"))?,
    };
    // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1: `d` is private in every asymmetric key, `k` is a symmetric one.
    if keys.iter().any(|key| thumbprint(key).is_none() || key.get("d").is_some() || key.get("k").is_some()) {
        return Err(bad("jwks", "has a member that is no public key"));
    }
    let needed = match method {
        AuthMethod::PrivateKeyJwt => !keys.is_empty(),
        AuthMethod::SelfSignedTlsClientAuth => keys.iter().any(|key| key.get("x5c").is_some()),
        _ => true,
    };
    if needed {
        Ok(keys)
    } else {
        Err(bad("jwks", "has no key for this token_endpoint_auth_method (x5c, for a certificate)"))
    }
}

fn subject(asked: &Members<'_>, method: AuthMethod) -> Result<Option<CertificateSubject>, OAuthError> {
    if method != AuthMethod::TlsClientAuth {
        return Ok(None);
    }
    let mut given = SUBJECTS.into_iter().filter(|name| asked.0.contains_key(*name));
    let (Some(name), None) = (given.next(), given.next()) else {
        return Err(bad(
            "tls_client_auth_subject_dn",
            "exactly one of the tls_client_auth_… members is needed",
        ));
    };
    let value = asked.text(name)?.unwrap_or_default().to_owned();
    Ok(Some(match name {
        "tls_client_auth_san_dns" => CertificateSubject::Dns(value),
        "tls_client_auth_san_uri" => CertificateSubject::Uri(value),
        "tls_client_auth_san_email" => CertificateSubject::Email(value),
        "tls_client_auth_san_ip" => {
            CertificateSubject::Ip(value.parse().map_err(|_| bad(name, "must be an IP address"))?)
        }
        _ => CertificateSubject::Dn(value),
    }))
}
