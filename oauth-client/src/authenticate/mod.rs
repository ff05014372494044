//! Client authentication at the token endpoint (RFC 6749 section 2.3).
//!
//! One method per client: the secret goes out in one place only, never in two (section 2.3 forbids more than one).

mod assertion;
mod basic;
mod external;

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use url::Url;

use self::basic::basic;
use crate::clock::Now;
use crate::error::{Error, Problem};
use crate::secret::SecretSource;
use crate::sign::{self, Algorithm, KeySource, SigningKey};
use crate::token::Secret;
use crate::token_endpoint::Parameters;

/// A client's identity and how it is proved.
///
/// ```
/// use oauth_client::ClientAuth;
/// let auth = ClientAuth::basic("orders-service", "s3cr3t");
/// assert_eq!(auth.client_id(), "orders-service");
/// assert!(!format!("{auth:?}").contains("s3cr3t"));
/// ```
///
/// With a key pair the server needs to know the public half only:
///
/// ```
/// use oauth_client::sign::{Algorithm, SigningKey};
/// use oauth_client::{ClientAuth, secret};
///
/// # fn main() -> Result<(), oauth_client::Error> {
/// let key = SigningKey::generate(Algorithm::Es256)?.with_key_id("2030-01");
/// println!("to be registered: {}", serde_json::Value::from(key.public_jwk()));
/// let auth = ClientAuth::private_key_jwt("orders-service", key);
///
/// // Or from a file, read again when it is replaced:
/// let auth = ClientAuth::private_key_jwt("orders-service", secret::from_file("/run/secrets/client.pem"))
///     .algorithm(Algorithm::Ps256)
///     .key_id("2030-01");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ClientAuth {
    client_id: String,
    method: Method,
    assertion: assertion::Settings,
    /// What the server knows the key by that signs assertions.
    certificate: Option<SecretSource>,
}

#[derive(Clone)]
enum Method {
    Basic(SecretSource),
    Post(SecretSource),
    SecretJwt(SecretSource),
    KeyJwt(KeySource),
    /// One that comes ready from elsewhere.
    Assertion(SecretSource),
    Tls,
    SelfSignedTls,
    None,
}

impl ClientAuth {
    /// `client_secret_basic`: id and secret in the `Authorization` header, each form-encoded first as RFC 6749
    /// section 2.3.1 says, with a space as `%20`, which every server decodes.
    #[must_use]
    pub fn basic(client_id: impl Into<String>, client_secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Basic(client_secret.into()))
    }

    /// `client_secret_post`: id and secret as parameters of the request, for servers that do not support HTTP Basic.
    #[must_use]
    pub fn post(client_id: impl Into<String>, client_secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Post(client_secret.into()))
    }

    /// `client_secret_jwt`: an assertion signed with the secret; the secret itself is never sent (OpenID Connect Core
    /// section 9). HS256 unless an [`algorithm`](Self::algorithm) is given; the secret has to be at least as long as
    /// the algorithm's hash.
    #[must_use]
    pub fn client_secret_jwt(client_id: impl Into<String>, client_secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::SecretJwt(client_secret.into()))
    }

    /// `private_key_jwt`: an assertion signed with a private key, so that no secret is shared (RFC 7523 section 2.2).
    #[must_use]
    pub fn private_key_jwt(client_id: impl Into<String>, key: impl Into<KeySource>) -> Self {
        Self::new(client_id, Method::KeyJwt(key.into()))
    }

    /// An assertion that the platform makes (RFC 7523 section 2.2): a projected service account token of Kubernetes, the
    /// identity token of a cloud or of a CI job. It is read for each request, since the platform replaces it, and sent as
    /// it stands without the line break at its end; nothing else authenticates the client. A file that is empty or half
    /// written is waited for within the client's time limit.
    ///
    /// ```
    /// use oauth_client::{ClientAuth, secret};
    /// let token = secret::from_file("/var/run/secrets/azure/tokens/azure-identity-token");
    /// let auth = ClientAuth::assertion("11111111-2222-3333-4444-555555555555", token);
    /// ```
    #[must_use]
    pub fn assertion(client_id: impl Into<String>, assertion: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Assertion(assertion.into()))
    }

    /// `tls_client_auth`: a certificate that some authority issued for the client, shown by the transport (RFC 8705
    /// section 2.1). See `transport::Tls`, which gives the bundled transport one.
    #[must_use]
    pub fn tls(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::Tls)
    }

    /// `self_signed_tls_client_auth`: a certificate that the server knows itself, shown by the transport (RFC 8705
    /// section 2.2).
    #[must_use]
    pub fn self_signed_tls(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::SelfSignedTls)
    }

    /// `none`: a public client, which has no secret and only names itself.
    #[must_use]
    pub fn none(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::None)
    }

    /// The audience (`aud`) of assertions, for servers that expect something other than their issuer. Each call adds
    /// one. When none is given, it is the issuer or, where no issuer is configured, the URL of the endpoint.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.assertion.audience.push(audience.into());
        self
    }

    /// How long assertions are valid; 60 seconds when not set. Each is used once whatever its lifetime.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.assertion.lifetime = Some(lifetime);
        self
    }

    /// The algorithm of assertions, where it is not the usual one: of the key, or HS256.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.assertion.algorithm = Some(algorithm);
        self
    }

    /// The name (`kid`) of the key that signs assertions; it overrides the one that the key itself has.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.assertion.key_id = Some(key_id.into());
        self
    }

    /// The certificate by which the server knows the key of [`private_key_jwt`](Self::private_key_jwt), as PEM.
    /// Assertions name it by its SHA-256 thumbprint (`x5t#S256`, RFC 7515 section 4.1.8), as Microsoft Entra wants it.
    /// Of a chain, the first certificate counts.
    #[must_use]
    pub fn certificate(mut self, pem: impl Into<SecretSource>) -> Self {
        self.certificate = Some(pem.into());
        self
    }

    /// Names the [certificate](Self::certificate) by its SHA-1 thumbprint as well (`x5t`, RFC 7515 section 4.1.7), for servers
    /// that look for that one.
    #[must_use]
    pub fn with_sha1_thumbprint(mut self) -> Self {
        self.assertion.sha1 = true;
        self
    }

    /// Writes `nbf` into assertions, for servers that insist on it.
    #[must_use]
    pub fn with_not_before(mut self) -> Self {
        self.assertion.not_before = true;
        self
    }

    /// The client's identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    fn new(client_id: impl Into<String>, method: Method) -> Self {
        let assertion = assertion::Settings::default();
        Self { client_id: client_id.into(), method, assertion, certificate: None }
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.client_id.is_empty() {
            problems
                .push(problem("client_id", "is empty; expected the identifier the server gave this client"));
        }
        if self.client_id.contains(|c: char| c.is_control()) {
            problems
                .push(problem("client_id", "has control characters (a line break, perhaps); remove them"));
        }
        if let Some(secret) = self.secret().and_then(SecretSource::fixed) {
            problems.extend(check(secret));
        }
        problems.extend(self.assertion_problems());
        match (&self.method, &self.certificate) {
            (Method::KeyJwt(_), Some(certificate)) => {
                let pem = certificate.fixed();
                problems.extend(
                    pem.and_then(|pem| sign::certificate_thumbprint(pem.expose()).err())
                        .iter()
                        .flat_map(Error::problems)
                        .cloned(),
                );
            }
            (_, Some(_)) => problems.push(problem(
                CERTIFICATE,
                &format!(
                    "is for private_key_jwt, whose key it is of, and {} signs nothing with one",
                    self.method_name()
                ),
            )),
            _ => {}
        }
        if let Method::Assertion(assertion) = &self.method
            && let Some(why) = assertion.fixed().and_then(external::flaw)
        {
            problems.push(problem(external::FIELD, why));
        }
        problems
    }

    fn assertion_problems(&self) -> Vec<Problem> {
        let settings = &self.assertion;
        let mut problems = Vec::new();
        if settings.sha1 && self.certificate.is_none() {
            problems.push(problem(CERTIFICATE, "is missing; x5t is its thumbprint"));
        }
        match &self.method {
            Method::KeyJwt(key) => {
                if let Some(key) = key.fixed()
                    && let Err(error) = self.adjusted(key.clone())
                {
                    problems.extend(error.problems().iter().cloned());
                } else if settings.algorithm.is_some_and(|algorithm| algorithm.hmac().is_some()) {
                    problems.push(problem("signing_alg", "is of client_secret_jwt; a private key signs RS256, ES256 or their like"));
                }
            }
            Method::SecretJwt(secret) => {
                let algorithm = settings.algorithm.unwrap_or(Algorithm::Hs256);
                let fits = algorithm.secret_fits(secret.fixed());
                problems.extend(fits.err().iter().flat_map(Error::problems).cloned());
            }
            _ if *settings != assertion::Settings::default() => problems.push(problem(
                "client_auth",
                &format!(
                    "{} sends no assertion, so audience, lifetime, algorithm and key id mean nothing; remove them, or use private_key_jwt",
                    self.method_name()
                ),
            )),
            _ => {}
        }
        if settings.lifetime.is_some_and(|lifetime| lifetime < Duration::from_secs(1)) {
            problems.push(problem(
                "lifetime",
                "is less than a second, in which no assertion arrives; expected about a minute",
            ));
        }
        problems
    }

    /// The method, by its name in RFC 7591 section 2 and RFC 8705 section 2.
    pub(crate) fn method_name(&self) -> &'static str {
        match self.method {
            Method::Basic(_) => "client_secret_basic",
            Method::Post(_) => "client_secret_post",
            Method::SecretJwt(_) => "client_secret_jwt",
            Method::KeyJwt(_) => "private_key_jwt",
            Method::Assertion(_) => ASSERTION,
            Method::Tls => "tls_client_auth",
            Method::SelfSignedTls => "self_signed_tls_client_auth",
            Method::None => "none",
        }
    }

    /// Whether the connection itself is the proof.
    pub(crate) fn is_by_certificate(&self) -> bool {
        matches!(self.method, Method::Tls | Method::SelfSignedTls)
    }

    /// Puts the proof on a request: a header, or parameters. An assertion is a new one each time.
    pub(crate) async fn prove(
        &self,
        parameters: &mut Parameters,
        recipient: Recipient<'_>,
        now: Now,
    ) -> Result<Proof, Error> {
        let id = &*self.client_id;
        match &self.method {
            Method::Basic(source) => {
                let secret = secret(source, now).await?;
                let authorization = Some(basic(id, &secret)?);
                Ok(Proof { authorization, credential: Some(secret), ..Proof::default() })
            }
            Method::Post(source) => {
                let secret = secret(source, now).await?;
                parameters.set("client_id", id);
                parameters.set_secret("client_secret", secret.clone());
                Ok(Proof { credential: Some(secret), ..Proof::default() })
            }
            Method::SecretJwt(source) => {
                let secret = secret(source, now).await?;
                let assertion = self.assertion.with_secret(id, &secret, recipient, now)?;
                assertion::put(parameters, id, assertion);
                let algorithm = self.assertion.algorithm.or(Some(Algorithm::Hs256));
                Ok(Proof { credential: Some(secret), algorithm, ..Proof::default() })
            }
            // Boxed, as what waits for another program is: with a secret at hand a request is no larger for it.
            Method::KeyJwt(source) => Box::pin(self.prove_with_key(source, parameters, recipient, now)).await,
            Method::Assertion(source) => {
                let assertion = Box::pin(external::read(source, recipient.time, now)).await?;
                assertion::put(parameters, id, assertion.clone());
                Ok(Proof { credential: Some(assertion), ..Proof::default() })
            }
            // RFC 8705 section 2: the id says which of the registered certificates to look for.
            Method::Tls | Method::SelfSignedTls | Method::None => {
                parameters.set("client_id", id);
                Ok(Proof::default())
            }
        }
    }

    async fn prove_with_key(
        &self,
        source: &KeySource,
        parameters: &mut Parameters,
        recipient: Recipient<'_>,
        now: Now,
    ) -> Result<Proof, Error> {
        let (key, credential) = source.get(now).await?;
        let key = self.adjusted(key)?;
        let mut thumbprints = Vec::new();
        if let Some(source) = &self.certificate {
            let pem = source.get(CERTIFICATE, now).await?;
            thumbprints.push(("x5t#S256", sign::certificate_thumbprint(pem.expose())?));
            if self.assertion.sha1 {
                thumbprints.push(("x5t", sign::certificate_thumbprint_sha1(pem.expose())?));
            }
        }
        let id = &*self.client_id;
        let assertion = self.assertion.with_key(id, &key, thumbprints, recipient, now)?;
        assertion::put(parameters, id, assertion);
        Ok(Proof { credential, algorithm: Some(key.algorithm()), ..Proof::default() })
    }

    /// Whether the secret or key of a refused request is another one by now, so that a repetition is worth while.
    pub(crate) async fn has_changed(&self, used: &Secret, now: Now) -> bool {
        match (&self.method, self.secret()) {
            (Method::KeyJwt(key), _) => key.has_changed(used, now).await,
            (Method::Assertion(source), _) => {
                external::read(source, Duration::ZERO, now).await.is_ok_and(|assertion| assertion != *used)
            }
            (_, Some(source)) if source.fixed().is_none() => {
                source.read(SECRET, now).await.is_ok_and(|secret| secret != *used)
            }
            _ => false,
        }
    }

    fn adjusted(&self, key: SigningKey) -> Result<SigningKey, Error> {
        KeySource::adjusted(key, self.assertion.algorithm, self.assertion.key_id.as_deref())
    }

    fn secret(&self) -> Option<&SecretSource> {
        match &self.method {
            Method::Basic(secret) | Method::Post(secret) | Method::SecretJwt(secret) => Some(secret),
            Method::Assertion(_) | Method::KeyJwt(_) | Method::Tls | Method::SelfSignedTls | Method::None => {
                None
            }
        }
    }
}

/// The recipient of an assertion: the audiences it may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipient<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) endpoint: &'a Url,
    /// How much time there is for an assertion to be there.
    pub(crate) time: Duration,
}

/// What authenticates a request, beside its parameters.
#[derive(Default)]
pub(crate) struct Proof {
    pub(crate) authorization: Option<HeaderValue>,
    /// The secret, or the text of the key, that it was made with, where there is one that can change or come back in
    /// an error.
    pub(crate) credential: Option<Secret>,
    /// What an assertion was signed with.
    pub(crate) algorithm: Option<Algorithm>,
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method_name();
        f.debug_struct("ClientAuth").field("client_id", &self.client_id).field("method", &method).finish()
    }
}

const SECRET: &str = "client_secret";

const CERTIFICATE: &str = "certificate";

/// The value of `client_auth` for assertions that come from elsewhere.
pub(crate) const ASSERTION: &str = "assertion";

/// The current secret, checked before it is sent.
async fn secret(source: &SecretSource, now: Now) -> Result<Secret, Error> {
    let secret = source.get(SECRET, now).await?;
    match check(&secret) {
        None => Ok(secret),
        Some(problem) => Err(problem.into()),
    }
}

fn check(secret: &Secret) -> Option<Problem> {
    if secret.is_empty() {
        return Some(problem(SECRET, "is empty; a client without a secret authenticates with none"));
    }
    secret.expose().contains(|c: char| c.is_control()).then(|| {
        problem(SECRET, "has control characters (a line break at the end of a file, perhaps); remove them")
    })
}

fn problem(field: &str, message: &str) -> Problem {
    Problem { field: field.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests;
