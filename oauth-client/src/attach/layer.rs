use std::sync::Arc;

use tower_layer::Layer;

use super::service::TokenService;
use super::settings::{Settings, setters};
use crate::TokenSource;

/// Wraps any HTTP service so that each request leaves with a token. Cheap to clone.
///
/// See the [module docs](super) for what happens when the API refuses the token.
#[derive(Clone, Debug)]
pub struct TokenLayer {
    settings: Arc<Settings>,
}

impl TokenLayer {
    /// Takes its tokens from `source`, to any origin, with the default
    /// [`ReplayPolicy`](super::ReplayPolicy).
    #[must_use]
    pub fn new(source: TokenSource) -> Self {
        Self { settings: Arc::new(Settings::new(source)) }
    }
}

setters!(TokenLayer);

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> TokenService<S> {
        TokenService::new(inner, Arc::clone(&self.settings))
    }
}
