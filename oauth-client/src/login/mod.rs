//! A user logs in: with the browser (RFC 6749 section 4.1), or on another device where this one has no browser (RFC
//! 8628).
//!
//! ```text
//! web app   authorize() ─▶ PendingLogin ─▶ url ─▶ browser ─▶ your route ─▶ finish() ─┐
//! native    login().open(browser)       ─▶ url ─▶ browser ─▶ loopback listener ──────┼─▶ Login ─▶ source
//! device    device() ─▶ user code ─▶ a browser elsewhere ─▶ wait() polls ────────────┘
//! ```
//!
//! Each login by the browser has its own state, nonce and PKCE verifier (RFC 7636, `S256` and nothing else), and is
//! good for one response and for ten minutes. Its code is sent once, and only to the server at which the login began.
//!
//! # A web app with routes of its own
//!
//! ```no_run
//! use oauth_client::Client;
//! use oauth_client::login::{AuthorizationRequest, PendingLogin};
//! # struct Session; impl Session { fn keep(&self, _: &str) {} fn take(&self) -> String { String::new() } }
//!
//! # async fn begin(client: Client, session: Session) -> Result<String, Box<dyn std::error::Error>> {
//! let request = AuthorizationRequest::new("https://app.example.com/callback").scope(["openid", "read"]);
//! let pending = client.authorize(&request).await?;
//! session.keep(&serde_json::to_string(&pending)?); // on the server's side, or encrypted: it holds secrets
//! Ok(pending.url().to_string()) // response with a redirect to it
//! # }
//!
//! # async fn callback(client: Client, session: Session, uri: http::Uri) -> Result<(), Box<dyn std::error::Error>> {
//! let pending: PendingLogin = serde_json::from_str(&session.take())?; // gone from the session: it is good once
//! let login = client.finish(pending, uri.query().unwrap_or_default()).await?;
//! let user = login.id_token().ok_or("no ID token")?.subject().to_owned();
//! let request = oauth_client::grant::login().scope(["openid", "read"]);
//! let source = client
//!     .source(request.subject(user)) // with a store: whose tokens these are
//!     .starting_with(login)
//!     .build()?; // fresh from now on
//! # Ok(()) }
//! ```
//!
//! # A program on the person's own machine
//!
//! ```no_run
//! # use oauth_client::Client;
//! # use oauth_client::login::AuthorizationRequest;
//! # async fn run(client: Client) -> Result<(), oauth_client::Error> {
//! let request = AuthorizationRequest::new("http://127.0.0.1/callback").scope(["read"]); // any free port
//! # #[cfg(feature = "loopback")] {
//! let login = client.login(&request).open(|url| println!("Open this page: {url}")).await?;
//! # }
//! # Ok(()) }
//! ```

mod backchannel;
mod callback;
mod ciba;
mod device;
mod flow;
mod logout;
#[cfg(feature = "loopback")]
mod loopback;
#[cfg(feature = "loopback")]
mod page;
mod pending;
mod pkce;
mod poll;
mod prompt;
mod request;

use std::fmt;

pub use self::backchannel::{BackchannelLogout, LogoutFuture, Registration};
pub use self::ciba::{BackchannelLogin, BackchannelRequest};
pub use self::device::{DeviceLogin, DeviceRequest};
pub use self::logout::LogoutRequest;
#[cfg(feature = "loopback")]
pub use self::loopback::LoopbackLogin;
pub use self::pending::PendingLogin;
pub(crate) use self::prompt::LoginMethod;
pub use self::prompt::{InteractiveLogin, Prompt};
pub use self::request::AuthorizationRequest;
use crate::id_token::IdToken;
use crate::token::TokenSet;

/// The result of a login. A [source](crate::source::SourceBuilder::starting_with) takes it from here.
#[derive(Clone)]
pub struct Login {
    tokens: TokenSet,
    id_token: Option<IdToken>,
}

impl Login {
    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// Who logged in, validated; there when the scope `openid` was granted.
    #[must_use]
    pub fn id_token(&self) -> Option<&IdToken> {
        self.id_token.as_ref()
    }

    /// The tokens, by value.
    #[must_use]
    pub fn into_tokens(self) -> TokenSet {
        self.tokens
    }
}

impl From<Login> for TokenSet {
    fn from(login: Login) -> Self {
        login.tokens
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("tokens", &self.tokens).field("id_token", &self.id_token).finish()
    }
}
