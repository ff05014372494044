//! What an ID token is checked against, beyond its issuer and its audience.

use std::time::Duration;

use crate::sign::Algorithm;
use crate::token::Secret;

/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);

/// What is expected of an ID token, in addition to the checks that are always made. What is not set here is not
/// checked.
#[derive(Clone, Debug)]
#[must_use]
pub struct Expect {
    pub(super) nonce: Option<Secret>,
    pub(super) max_age: Option<Duration>,
    pub(super) access_token: Option<Secret>,
    pub(super) code: Option<Secret>,
    pub(super) acr: Vec<String>,
    pub(super) leeway: Duration,
    algorithms: Option<Vec<Algorithm>>,
    secret: Option<Secret>,
}

impl Expect {
    /// No additional checks.
    pub fn new() -> Self {
        Self {
            nonce: None,
            max_age: None,
            access_token: None,
            code: None,
            acr: Vec::new(),
            leeway: LEEWAY,
            algorithms: None,
            secret: None,
        }
    }

    /// The nonce that was sent with the authorization request. The token must have the same.
    pub fn nonce(mut self, nonce: impl Into<Secret>) -> Self {
        self.nonce = Some(nonce.into());
        self
    }

    /// The longest time since the person logged in; the token must say when that was.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The access token that came with it; compared with `at_hash` where the token has one.
    pub fn access_token(mut self, token: impl Into<Secret>) -> Self {
        self.access_token = Some(token.into());
        self
    }

    /// The code that it was issued for; compared with `c_hash` where the token has one.
    pub fn code(mut self, code: impl Into<Secret>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The authentication context classes that are accepted; the token must name one of them.
    pub fn acr<I: IntoIterator<Item: Into<String>>>(mut self, values: I) -> Self {
        self.acr = values.into_iter().map(Into::into).collect();
        self
    }

    /// How far the clocks may be apart: a minute when not set.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The only algorithms to accept, such as the `id_token_signed_response_alg` that the client is registered with. By
    /// default every asymmetric one that is supported.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Accepts tokens that are signed with HMAC (`HS256` …) under the client's secret, for clients that are registered
    /// for this. Without it they are refused: a signature with HMAC proves something only if client and server alone
    /// know the secret.
    pub fn client_secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.as_ref().is_none_or(|known| known.contains(&algorithm))
    }

    /// The claim that only an ID token can show, if one is asked for.
    pub(crate) fn needed_claim(&self) -> Option<&'static str> {
        let wanted = [("acr", !self.acr.is_empty()), ("auth_time", self.max_age.is_some())];
        wanted.into_iter().find_map(|(name, wanted)| wanted.then_some(name))
    }

    pub(super) fn shared_secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self::new()
    }
}
