use std::sync::Arc;

use tower_layer::Layer;

use super::policy::ReplayPolicy;
use super::service::TokenService;
use super::settings::Settings;
use crate::TokenSource;
use crate::error::Error;

/// Wraps any HTTP service so that each request leaves with a token. Cheap to clone.
///
/// See the [module docs](super) for what happens when the API refuses the token.
#[derive(Clone, Debug)]
pub struct TokenLayer {
    settings: Arc<Settings>,
}

impl TokenLayer {
    /// Takes its tokens from `source`, to any origin, with the default [`ReplayPolicy`].
    #[must_use]
    pub fn new(source: TokenSource) -> Self {
        Self { settings: Arc::new(Settings::new(source)) }
    }

    /// Replaces the policy that says which requests are sent once more after a 401, for the token's sake or for a
    /// nonce's.
    #[must_use]
    pub fn replay(mut self, policy: ReplayPolicy) -> Self {
        Arc::make_mut(&mut self.settings).replay = policy;
        self
    }

    /// Puts an [`Attached`](super::Attached) into the extensions of each answer, for those who count replays or log
    /// generations. It costs an allocation or two for each answer, so it is off by default.
    #[must_use]
    pub fn report(mut self) -> Self {
        Arc::make_mut(&mut self.settings).report = true;
        self
    }

    /// Sends tokens over plain http to other machines too, where everybody on the way can take them. Only for networks
    /// that nobody else is on; loopback needs no permission, nor does an http origin named in [`only_to`](Self::only_to)
    /// or a client built with [`danger_allow_http`](crate::ClientBuilder::danger_allow_http).
    #[must_use]
    pub fn danger_allow_http(mut self) -> Self {
        Arc::make_mut(&mut self.settings).allow_http = true;
        self
    }

    /// Sends the token to these origins only, each written `https://api.example.com` or with a port. A request to
    /// any other one, or with no host in its URI, is refused with [`AttachError::Token`](super::AttachError::Token),
    /// code `config`: a bearer token is good for whoever holds it (RFC 6750 section 5.3).
    ///
    /// # Errors
    /// `config` for what is not an http or https origin.
    pub fn only_to<O: AsRef<str>>(mut self, origins: impl IntoIterator<Item = O>) -> Result<Self, Error> {
        Arc::make_mut(&mut self.settings).only_to(origins)?;
        Ok(self)
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> TokenService<S> {
        TokenService::new(inner, Arc::clone(&self.settings))
    }
}
