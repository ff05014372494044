//! RFC 8693.

use std::fmt;
use std::time::Duration;

use super::{Grant, Renewal, TokenRequest};
use crate::TokenSource;
use crate::error::BoxError;
use crate::exchange::{Maker, Parameters, Sending, file, maker};
use crate::json;
use crate::token::{Secret, TokenType, digest};

/// Exchanges a token for another (RFC 8693): to call the next API as the same person, with a token that is meant for
/// that API. Name it with [`audience`](TokenRequest::audience) or [`resource`](TokenRequest::resource).
///
/// A token by itself is taken for an access token; [`TokenExchange`] says more. For many people's tokens there is
/// [`Client::exchanger`](crate::Client::exchanger).
///
/// ```
/// use oauth_client::grant::{self, TokenExchange};
/// use oauth_client::token::TokenType;
///
/// let simple = grant::token_exchange("the-caller's-token").audience("billing-api").scope(["read"]);
///
/// let exchange = TokenExchange::new("the-caller's-id-token", TokenType::IdToken)
///     .actor("this-service's-token", TokenType::AccessToken)
///     .requested_token_type(TokenType::Jwt);
/// let delegation = grant::token_exchange(exchange).resource(["https://billing.example.com"]);
/// assert!(!format!("{simple:?} {delegation:?}").contains("-token\""));
/// ```
///
/// The exchange is repeated whenever the token that came of it expires, as long as the server takes the subject token;
/// then [`is_reauthorization_required`](crate::Error::is_reauthorization_required) holds. Where it is known when the
/// subject token expires, what it was exchanged for is not used any longer either.
#[must_use]
pub fn token_exchange(exchange: impl Into<TokenExchange>) -> TokenRequest {
    TokenRequest::new(Exchange::new(exchange.into()))
}

/// What is exchanged, and for what kind of token (RFC 8693 section 2.1).
#[derive(Clone)]
#[must_use]
pub struct TokenExchange {
    subject: Token,
    subject_type: TokenType,
    actor: Option<(Token, TokenType)>,
    requested: Option<TokenType>,
    good_until: Option<Duration>,
}

#[derive(Clone)]
enum Token {
    Given(Secret),
    Made(Maker),
}

impl TokenExchange {
    /// Exchanges this token (`subject_token`). Of a JWT, its `exp` is read to know how long it is good.
    pub fn new(subject_token: impl Into<Secret>, token_type: TokenType) -> Self {
        let token = subject_token.into();
        let good_until = json::unverified_claims(token.expose())
            .and_then(|claims| Some(Duration::from_secs(claims.get("exp")?.as_u64()?)));
        Self::of(Token::Given(token), token_type, good_until)
    }

    /// Exchanges the token that is in this file when the request is sent, so that whoever replaces the file is heeded:
    /// a workload's identity, say, as Kubernetes mounts it.
    pub fn from_file(path: impl Into<String>, token_type: TokenType) -> Self {
        Self::of(Token::Made(file(path)), token_type, None)
    }

    /// Exchanges a token that is had anew for every request.
    pub fn from_fn<F, E>(make: impl Fn(Sending) -> F + Send + Sync + 'static, token_type: TokenType) -> Self
    where
        F: Future<Output = Result<Secret, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::of(Token::Made(maker(make)), token_type, None)
    }

    /// Who acts on the subject's behalf (`actor_token`): the new token then tells of both (RFC 8693 section 1.1).
    pub fn actor(mut self, actor_token: impl Into<Secret>, token_type: TokenType) -> Self {
        self.actor = Some((Token::Given(actor_token.into()), token_type));
        self
    }

    /// The same, with an access token that is always fresh: this service's own.
    pub fn actor_from(mut self, source: &TokenSource) -> Self {
        let source = source.clone();
        let make = maker(move |_| {
            let source = source.clone();
            async move { source.token().await.map(|token| token.secret().clone()) }
        });
        self.actor = Some((Token::Made(make), TokenType::AccessToken));
        self
    }

    /// The kind of token that is wanted (`requested_token_type`). When not set, the server decides.
    pub fn requested_token_type(mut self, token_type: TokenType) -> Self {
        self.requested = Some(token_type);
        self
    }

    /// When the subject token expires, as Unix time, where it is known and the token does not say so itself.
    pub fn expires_at(mut self, unix_time: Duration) -> Self {
        self.good_until = Some(unix_time);
        self
    }

    pub(crate) fn good_until(&self) -> Option<Duration> {
        self.good_until
    }

    /// What tells this subject from others, and gives nothing away; `None` for one that is made anew each time.
    pub(crate) fn identity(&self) -> Option<String> {
        self.subject.identity(&self.subject_type)
    }

    fn of(subject: Token, subject_type: TokenType, good_until: Option<Duration>) -> Self {
        Self { subject, subject_type, actor: None, requested: None, good_until }
    }
}

impl Token {
    fn set(&self, name: &'static str, parameters: &mut Parameters) {
        match self {
            Self::Given(token) => parameters.set_secret(name, token.clone()),
            Self::Made(make) => parameters.set_maker(name, make.clone()),
        }
    }

    fn identity(&self, token_type: &TokenType) -> Option<String> {
        match self {
            Self::Given(token) => Some(digest(&[token_type.uri(), token.expose()])),
            Self::Made(_) => None,
        }
    }
}

impl<T: Into<Secret>> From<T> for TokenExchange {
    fn from(access_token: T) -> Self {
        Self::new(access_token, TokenType::AccessToken)
    }
}

impl fmt::Debug for TokenExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenExchange")
            .field("subject", &self.subject_type.uri())
            .field("actor", &self.actor.as_ref().map(|(_, token_type)| token_type.uri()))
            .field("requested", &self.requested.as_ref().map(TokenType::uri))
            .field("good_until", &self.good_until)
            .finish()
    }
}

/// The grant: an exchange, and whose it is.
#[derive(Debug)]
struct Exchange {
    exchange: TokenExchange,
    identity: Option<String>,
}

impl Exchange {
    fn new(exchange: TokenExchange) -> Self {
        let identity = exchange.identity().map(|subject| {
            let actor = exchange.actor.as_ref().and_then(|(token, token_type)| token.identity(token_type));
            let requested = exchange.requested.as_ref().map_or("", TokenType::uri);
            digest(&[&subject, actor.as_deref().unwrap_or(""), requested])
        });
        Self { exchange, identity }
    }
}

impl Grant for Exchange {
    fn grant_type(&self) -> &str {
        "urn:ietf:params:oauth:grant-type:token-exchange"
    }

    fn parameters(&self, parameters: &mut Parameters) {
        let TokenExchange { subject, subject_type, actor, requested, .. } = &self.exchange;
        subject.set("subject_token", parameters);
        parameters.set("subject_token_type", subject_type.uri());
        if let Some((token, token_type)) = actor {
            token.set("actor_token", parameters);
            parameters.set("actor_token_type", token_type.uri());
        }
        if let Some(requested) = requested {
            parameters.set("requested_token_type", requested.uri());
        }
    }

    fn renewal(&self) -> Renewal {
        match self.exchange.subject {
            Token::Given(_) => Renewal::AnewUntilRefused,
            Token::Made(_) => Renewal::Anew,
        }
    }

    fn subject(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    fn good_until(&self) -> Option<Duration> {
        self.exchange.good_until
    }
}
