//! RFC 8693.

use std::fmt;
use std::time::Duration;

use super::{Grant, Renewal, TokenRequest};
use crate::jose;
use crate::secret::SecretSource;
use crate::source::TokenSource;
use crate::token::{TokenType, digest};
use crate::token_endpoint::Parameters;

pub(crate) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Exchanges a token for another (RFC 8693): to call the next API as the same person, with a token that is meant for
/// that API. Name it with [`audience`](TokenRequest::audience) or [`resource`](TokenRequest::resource).
///
/// A token alone is taken as an access token; use [`TokenExchange`] for other types. For the tokens of many users there
/// is [`Client::exchanger`](crate::Client::exchanger).
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
/// The exchange is repeated whenever the resulting token expires, as long as the server accepts the subject token;
/// then [`is_reauthorization_required`](crate::Error::is_reauthorization_required) holds. If it is known when the
/// subject token expires, the resulting token is not used any longer than that.
///
/// In a [store](crate::store) each subject has an entry of its own: by its token where that is given, else by the file,
/// the variable or the [`TokenSource`] that it comes from. Where several users' tokens come to one file, where a function
/// brings them, and where the request of a login names no subject, say whose it is with
/// [`subject`](TokenRequest::subject).
#[must_use]
pub fn token_exchange(exchange: impl Into<TokenExchange>) -> TokenRequest {
    TokenRequest::on_behalf(Exchange::new(exchange.into()))
}

/// What is exchanged, and for what kind of token (RFC 8693 section 2.1).
#[derive(Clone)]
#[must_use]
pub struct TokenExchange {
    subject: SecretSource,
    subject_type: TokenType,
    actor: Option<(SecretSource, TokenType)>,
    requested: Option<TokenType>,
    good_until: Option<Duration>,
}

impl TokenExchange {
    /// Exchanges this token (`subject_token`), or the one that a [source](crate::secret) has when the request is sent,
    /// such as a file with a workload's identity. Of a JWT that is given, `exp` is read to know how long it is good.
    pub fn new(subject_token: impl Into<SecretSource>, token_type: TokenType) -> Self {
        let source = subject_token.into();
        let claims = source.fixed().and_then(|token| jose::unverified_claims(token.expose()));
        let good_until = claims.and_then(|claims| Some(Duration::from_secs(claims.get("exp")?.as_u64()?)));
        Self { subject: source, subject_type: token_type, actor: None, requested: None, good_until }
    }

    /// Exchanges the ID token of a login, the one that its source has when the request is sent. Once it has expired the
    /// source is refreshed, for servers that give another one then (OpenID Connect Core section 12.2).
    ///
    /// ```
    /// # use oauth_client::{Client, TokenSource, grant::{self, IdJag, TokenExchange}};
    /// # fn run(provider: Client, login: TokenSource) {
    /// let request = grant::id_jag(IdJag::new(&provider, TokenExchange::id_token_of(&login)));
    /// # }
    /// ```
    pub fn id_token_of(login: &TokenSource) -> Self {
        Self::new(login.id_tokens(), TokenType::IdToken)
    }

    /// The party that acts on the subject's behalf (`actor_token`): the new token then names both (RFC 8693 section 1.1).
    pub fn actor(mut self, actor_token: impl Into<SecretSource>, token_type: TokenType) -> Self {
        self.actor = Some((actor_token.into(), token_type));
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

    /// How many bytes the tokens take that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let tokens = self.actor.iter().map(|(token, _)| token).chain([&self.subject]);
        tokens.filter_map(SecretSource::fixed).map(|token| token.expose().len()).sum()
    }

    pub(crate) fn good_until(&self) -> Option<Duration> {
        self.good_until
    }

    /// An identity of the exchange of this very token, without a secret in it; `None` where the subject token is read
    /// again for each request.
    pub(crate) fn identity_of_token(&self) -> Option<String> {
        self.subject.fixed().and_then(|_| self.identity())
    }

    /// An identity of this exchange, without a secret in it: the same for all tokens that the subject has one after
    /// another. `None` where nothing says who the subject is.
    pub(crate) fn identity(&self) -> Option<String> {
        let subject = identity(&self.subject, &self.subject_type)?;
        // An actor token that is obtained anew for each request still belongs to one actor.
        let actor = self.actor.as_ref().map(|(token, token_type)| {
            identity(token, token_type).unwrap_or_else(|| digest(&[token_type.uri()]))
        });
        let requested = self.requested.as_ref().map_or("", TokenType::uri);
        Some(digest(&[&subject, actor.as_deref().unwrap_or(""), requested]))
    }
}

/// Of a token that is given, itself; of one that is read again for each request, the place where it is.
fn identity(source: &SecretSource, token_type: &TokenType) -> Option<String> {
    let given = source.fixed().map(|token| digest(&[token_type.uri(), token.expose()]));
    given.or_else(|| source.place())
}

impl<T: Into<SecretSource>> From<T> for TokenExchange {
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
        let identity = exchange.identity();
        Self { exchange, identity }
    }
}

impl Grant for Exchange {
    fn grant_type(&self) -> &str {
        TOKEN_EXCHANGE
    }

    fn parameters(&self, parameters: &mut Parameters) {
        let TokenExchange { subject, subject_type, actor, requested, .. } = &self.exchange;
        parameters.set_from("subject_token", subject);
        parameters.set("subject_token_type", subject_type.uri());
        if let Some((token, token_type)) = actor {
            parameters.set_from("actor_token", token);
            parameters.set("actor_token_type", token_type.uri());
        }
        if let Some(requested) = requested {
            parameters.set("requested_token_type", requested.uri());
        }
    }

    fn renewal(&self) -> Renewal {
        match self.exchange.subject.fixed() {
            Some(_) => Renewal::AnewUntilRefused,
            None => Renewal::Anew,
        }
    }

    fn subject(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    fn good_until(&self) -> Option<Duration> {
        self.exchange.good_until
    }
}
