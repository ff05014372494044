//! Token requests: a grant, and the access that is requested with it.
//!
//! Each function makes a [`TokenRequest`]; scope, audience and the rest are added to it, whatever the grant.
//!
//! ```
//! use oauth_client::grant;
//!
//! let request = grant::client_credentials().scope(["read", "write"]).audience("orders-api");
//! assert_eq!(request.grant().grant_type(), "client_credentials");
//! ```
//!
//! A grant that is not here is a type of your own:
//!
//! ```
//! use oauth_client::token_endpoint::Parameters;
//! use oauth_client::grant::{Grant, Renewal, TokenRequest};
//!
//! #[derive(Debug)]
//! struct ApiKey(oauth_client::Secret);
//!
//! impl Grant for ApiKey {
//!     fn grant_type(&self) -> &str {
//!         "urn:example:api-key"
//!     }
//!     fn parameters(&self, parameters: &mut Parameters) {
//!         parameters.set_secret("api_key", self.0.clone());
//!     }
//!     fn renewal(&self) -> Renewal {
//!         Renewal::Anew
//!     }
//! }
//!
//! let request = TokenRequest::new(ApiKey("k3y".into())).scope(["read"]);
//! assert!(!format!("{request:?}").contains("k3y"));
//! ```

mod ciba;
mod client_credentials;
mod details;
mod device_code;
mod id_jag;
mod jwt_bearer;
mod login;
mod password;
mod refresh_token;
mod request;
mod token_exchange;

use std::fmt;
use std::time::Duration;

pub(crate) use self::ciba::{CIBA, CibaRequestId};
pub use self::client_credentials::client_credentials;
pub(crate) use self::details::authorization_details;
pub(crate) use self::device_code::{DEVICE_CODE, DeviceCode};
pub use self::id_jag::{IdJag, IdentityAssertion, id_jag};
pub(crate) use self::jwt_bearer::JWT_BEARER;
pub use self::jwt_bearer::{Assertion, SignedAssertion, jwt_bearer};
pub(crate) use self::login::AuthorizationCode;
pub use self::login::login;
pub use self::password::password;
pub(crate) use self::refresh_token::RefreshToken;
pub use self::refresh_token::refresh_token;
pub use self::request::TokenRequest;
pub(crate) use self::request::scopes;
pub(crate) use self::token_exchange::TOKEN_EXCHANGE;
pub use self::token_exchange::{TokenExchange, token_exchange};
use crate::token::Secret;
use crate::token_endpoint::Parameters;

/// A way to get a token: RFC 6749 section 4, or an extension of it (section 4.5).
pub trait Grant: fmt::Debug + Send + Sync + 'static {
    /// The value of `grant_type`.
    fn grant_type(&self) -> &str;

    /// Adds this grant's own parameters. `grant_type`, scope and the rest of the [`TokenRequest`] are there already.
    fn parameters(&self, parameters: &mut Parameters);

    /// What to do when the token cannot be refreshed, or its refresh token is refused.
    fn renewal(&self) -> Renewal;

    /// The subject on whose behalf the client asks, when that is not the client itself: two subjects never share a
    /// token.
    fn subject(&self) -> Option<&str> {
        None
    }

    /// The refresh token that this grant starts from, for a grant that is one (RFC 6749 section 6). It stays in use
    /// until the server gives another.
    fn refresh_token(&self) -> Option<&Secret> {
        None
    }

    /// When what the grant rests on expires, as Unix time, where that is known. Tokens obtained with it are not
    /// used any longer either, and nothing is asked for after it.
    fn good_until(&self) -> Option<Duration> {
        None
    }

    /// Called when the server has refused what the grant sent last (`invalid_grant`). Returns whether the next request
    /// would send something else, so that it should be sent at once.
    fn refused(&self) -> bool {
        false
    }
}

/// How a grant is renewed once its refresh token is refused with `invalid_grant`, or when there never was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// It can be asked for again at any time, without a person.
    Anew,
    /// It can be asked for again, but a refusal may count towards locking an account: after `invalid_grant`, or whatever
    /// the server calls that, it is not sent again for a quarter of an hour or longer.
    AnewWithCare,
    /// It can be asked for again without a person, until the server refuses what it rests on, such as the token of
    /// a [token exchange](token_exchange). Then only a person can give another.
    AnewUntilRefused,
    /// It was good for one use; only a person can give another.
    Person,
    /// It is not requested at the token endpoint at all: a person logs in, and a source starts with the tokens of that
    /// [login](crate::login).
    Login,
}

impl Renewal {
    /// Whether only a person can give the grant again.
    pub(crate) fn needs_a_person(self) -> bool {
        matches!(self, Self::Person | Self::Login)
    }
}
