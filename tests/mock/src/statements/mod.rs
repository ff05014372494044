//! What an authorization server tells others about its tokens: logout tokens (OpenID Connect Back-Channel Logout 1.0) and
//! security event tokens (RFC 8417), good and bad, sent, pushed (RFC 8935) or polled (RFC 8936).
//!
//! ```
//! use oauth_mock::MockServer;
//! use oauth_mock::statements::SecurityEvent;
//!
//! let server = MockServer::builder().in_process();
//! let logout = server.logout_token("shop", "ada").claim("sid", "s1").build();
//! let event = server.security_event("shop", SecurityEvent::SessionRevoked, "ada").build();
//! // Bad in one point: as for access tokens.
//! let late = server.logout_token("shop", "ada").expires_in(-120).build();
//! # let _ = (logout, event, late);
//! ```

mod attacks;
mod deliver;
mod suite;
mod transmit;

use serde_json::{Map, Value, json};

pub use self::attacks::{AttackedEndpoint, ExpectedAnswer, Parcel, StatementAttack, StatementContext, all};
pub use self::deliver::{Answer, DeliveryError};
pub use self::suite::{EndpointCase, EndpointReport, EndpointSuite};
pub(crate) use self::transmit::{Transmitter, poll, post_later, send_later};
use crate::mint::TokenBuilder;
use crate::server::{IssuerHandle, MockServer};

/// The event of a logout token (OpenID Connect Back-Channel Logout section 2.4).
pub const BACKCHANNEL_LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A kind of security event that ends tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecurityEvent {
    /// CAEP: a session ended.
    SessionRevoked,
    /// CAEP: a password or a key changed.
    CredentialChange,
    /// CAEP: what tokens say is no longer true.
    TokenClaimsChange,
    /// RISC: the account was disabled.
    AccountDisabled,
    /// RISC: the account is gone.
    AccountPurged,
}

impl SecurityEvent {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SessionRevoked,
        Self::CredentialChange,
        Self::TokenClaimsChange,
        Self::AccountDisabled,
        Self::AccountPurged,
    ];

    /// Its event type.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::SessionRevoked => "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
            Self::CredentialChange => "https://schemas.openid.net/secevent/caep/event-type/credential-change",
            Self::TokenClaimsChange => {
                "https://schemas.openid.net/secevent/caep/event-type/token-claims-change"
            }
            Self::AccountDisabled => "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
            Self::AccountPurged => "https://schemas.openid.net/secevent/risc/event-type/account-purged",
        }
    }

    /// Its name, the last part of its type.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.uri().rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name || one.uri() == name)
    }
}

impl MockServer {
    /// A logout token for a client, about a user; good by default. Add `sid` for one session of theirs.
    pub fn logout_token(&self, client_id: &str, subject: &str) -> TokenBuilder {
        self.first().logout_token(client_id, subject)
    }

    /// A security event token about a user; good by default. `sub_id` names the user, and can be set to any other subject.
    pub fn security_event(&self, audience: &str, event: SecurityEvent, subject: &str) -> TokenBuilder {
        self.first().security_event(audience, event, subject)
    }
}

impl IssuerHandle<'_> {
    /// See [`MockServer::logout_token`].
    pub fn logout_token(self, client_id: &str, subject: &str) -> TokenBuilder {
        self.mint()
            .typ("logout+jwt")
            .without("client_id")
            .audience(client_id)
            .subject(subject)
            .expires_in(120)
            .claim("events", json!({ BACKCHANNEL_LOGOUT: {} }))
    }

    /// See [`MockServer::security_event`].
    pub fn security_event(self, audience: &str, event: SecurityEvent, subject: &str) -> TokenBuilder {
        let mut events = Map::new();
        events.insert(event.uri().to_owned(), json!({ "event_timestamp": self.now() }));
        self.mint()
            .typ("secevent+jwt")
            .without("client_id")
            .without("sub")
            .without("exp")
            .audience(audience)
            .claim("sub_id", json!({ "format": "iss_sub", "iss": self.issuer(), "sub": subject }))
            .claim("events", Value::Object(events))
    }
}
