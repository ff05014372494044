//! Which token a request carries, where that is not the front's own.

use std::sync::Arc;

use http::{Extensions, Uri};

use super::settings::Settings;
use crate::TokenSource;

/// The token of one request, chosen by the code that makes the request: an extension of the request
/// ([`http::Request::extensions_mut`]; with reqwest, [`without_token`](super::reqwest::AuthorizedRequest::without_token) and
/// [`token_from`](super::reqwest::AuthorizedRequest::token_from)). It overrides the front's own source and what
/// [`source_for`](super::TokenLayer::source_for) says.
///
/// ```
/// use oauth_client::TokenSource;
/// use oauth_client::attach::TokenChoice;
///
/// # fn run(another_tenant: TokenSource) -> Result<(), http::Error> {
/// let open = http::Request::get("https://api.example.com/status").extension(TokenChoice::NoToken).body(())?;
/// let theirs = http::Request::get("https://api.example.com/orders").extension(TokenChoice::From(another_tenant)).body(())?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TokenChoice {
    /// None: the request is sent as it is, wherever it goes, and its response has no effect on a token.
    NoToken,
    /// One of this source. The front's rules apply to it: where it may go, and what happens when it is refused.
    From(TokenSource),
}

/// What a choice comes to.
pub(super) enum Chosen {
    Own,
    Other(Arc<Settings>),
    NoToken,
}

impl Settings {
    /// Which source a request takes its token from.
    #[inline]
    pub(super) fn choose(&self, extensions: &Extensions, uri: &Uri) -> Chosen {
        match extensions.get::<TokenChoice>() {
            Some(choice) => self.choose_by(choice),
            None if self.by_origin.is_empty() => Chosen::Own,
            None => self.choose_by_origin(uri),
        }
    }

    #[cold]
    pub(super) fn choose_by(&self, choice: &TokenChoice) -> Chosen {
        match choice {
            TokenChoice::NoToken => Chosen::NoToken,
            TokenChoice::From(source) => Chosen::Other(Arc::new(self.with_source(source.clone()))),
        }
    }

    fn choose_by_origin(&self, uri: &Uri) -> Chosen {
        let found = self.by_origin.iter().find(|(origin, _)| origin.is_of(uri));
        found.map_or(Chosen::Own, |(_, settings)| Chosen::Other(Arc::clone(settings)))
    }
}
