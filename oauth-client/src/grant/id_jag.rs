//! Identity assertions across domains (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Grant, JWT_BEARER, Renewal, TokenExchange, TokenRequest, token_exchange};
use crate::client::Client;
use crate::clock::Now;
use crate::error::Error;
use crate::jose;
use crate::token::{Secret, TokenSet, TokenType, digest};
use crate::token_endpoint::{Parameters, RequestContext};

const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// How long before its end an assertion is no longer sent: the way to the server, and clocks that differ a little.
const MARGIN: Duration = Duration::from_secs(10);

/// How many assertions are kept: one for each combination of scopes and resources that sources ask for.
const MAX_KEPT: usize = 64;

/// A token of an API's authorization server, without another login, for a user who has logged in at an identity
/// provider that this server trusts (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant).
///
/// It has two legs. At the identity provider, whose client is given here, the user's identity assertion is exchanged for an
/// authorization grant that names the API's server (RFC 8693). That grant is the assertion of a JWT bearer request (RFC
/// 7523) to the API's server; the [source](crate::Client::source) is made from a client of that server. Each leg is
/// renewed by itself: while the grant is good only the API's server is asked; once it has expired, or the server
/// refuses one that it has seen before, the identity provider gives another.
///
/// ```
/// use oauth_client::grant::{self, IdJag, TokenExchange};
/// use oauth_client::token::TokenType;
/// use oauth_client::{Client, ClientAuth};
///
/// # fn main() -> Result<(), oauth_client::Error> {
/// let at_the_provider = Client::builder().issuer("https://idp.example.com").auth(ClientAuth::basic("wiki", "a")).build()?;
/// let at_the_api = Client::builder().issuer("https://auth.chat.example").auth(ClientAuth::basic("wiki", "b")).build()?;
///
/// let id_token = TokenExchange::new("the-id-token-of-the-login", TokenType::IdToken);
/// let request = grant::id_jag(IdJag::new(&at_the_provider, id_token)).scope(["chat.read"]);
/// let source = at_the_api.source(request).build()?;
/// # Ok(()) }
/// ```
///
/// Scopes and resources of the request are asked for in both legs. Once the identity provider no longer takes the user's
/// assertion, [`is_reauthorization_required`](Error::is_reauthorization_required) holds.
/// [`TokenExchange::id_token_of`] takes the assertion from a login whose source refreshes it.
#[must_use]
pub fn id_jag(grant: IdJag) -> TokenRequest {
    let identity = grant.identity();
    let legs = Legs { settings: grant, held: Mutex::default() };
    TokenRequest::on_behalf(Bearer { legs: Arc::new(legs), identity })
}

/// What an [`id_jag`] grant rests on: a client of the identity provider, and the user's identity assertion.
#[derive(Clone)]
#[must_use]
pub struct IdJag {
    provider: Client,
    exchange: TokenExchange,
    audience: Option<String>,
    details: Vec<(String, String)>,
}

impl IdJag {
    /// Exchanges this identity assertion at the identity provider: an ID token, a SAML 2.0 assertion or, where the provider
    /// takes it, a refresh token. A plain string is taken as an ID token.
    pub fn new(provider: &Client, subject: impl Into<IdentityAssertion>) -> Self {
        let exchange = subject.into().0.requested_token_type(TokenType::Other(ID_JAG.to_owned()));
        Self { provider: provider.clone(), exchange, audience: None, details: Vec::new() }
    }

    /// The API's authorization server as the identity provider knows it (`audience`). When not set, the issuer of the
    /// client that the source is of, or its token endpoint where no issuer is configured.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// One more parameter of the request to the identity provider, sent as it is. Not for secrets.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.push((name.into(), value.into()));
        self
    }

    fn identity(&self) -> Option<String> {
        let provider = [self.provider.server_id(), self.provider.auth().client_id()];
        let exchange = self.exchange.identity()?;
        Some(digest(&[provider[0], provider[1], &exchange, self.audience.as_deref().unwrap_or("")]))
    }
}

impl fmt::Debug for IdJag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdJag")
            .field("provider", &self.provider)
            .field("exchange", &self.exchange)
            .field("audience", &self.audience)
            .finish()
    }
}

/// What says who the user is: an ID token when given as a text, else what the [`TokenExchange`] says it is.
#[derive(Clone, Debug)]
pub struct IdentityAssertion(TokenExchange);

impl From<TokenExchange> for IdentityAssertion {
    fn from(exchange: TokenExchange) -> Self {
        Self(exchange)
    }
}

impl From<&str> for IdentityAssertion {
    fn from(id_token: &str) -> Self {
        Self(TokenExchange::new(id_token, TokenType::IdToken))
    }
}

impl From<&Secret> for IdentityAssertion {
    fn from(id_token: &Secret) -> Self {
        Self(TokenExchange::new(id_token.clone(), TokenType::IdToken))
    }
}

/// What an assertion is for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Wanted {
    audience: String,
    scope: Option<String>,
    resources: Vec<String>,
}

struct Kept {
    assertion: Secret,
    /// On the wall clock and on the monotonic one.
    until: [Duration; 2],
    /// Whether the API's server has been sent it more than once.
    is_reused: bool,
}

/// The first leg, and what came of it.
struct Legs {
    settings: IdJag,
    held: Mutex<HashMap<Wanted, Kept>>,
}

impl Legs {
    /// The assertion to send: the one at hand while it is good, else another by the identity provider.
    async fn assertion(&self, wanted: Wanted, now: Now) -> Result<Secret, Error> {
        // One exchange for all who need it; a caller that gives up leaves it to the next.
        let mut held = self.held.lock().await;
        let is_good = |kept: &Kept| now.wall < kept.until[0] && now.monotonic < kept.until[1];
        held.retain(|_, kept| is_good(kept));
        if let Some(kept) = held.get_mut(&wanted) {
            kept.is_reused = true;
            return Ok(kept.assertion.clone());
        }
        let tokens = self.exchange(&wanted).await?;
        let assertion = tokens.access_token().clone();
        if let Some(lifetime) = lifetime(&tokens).filter(|_| held.len() < MAX_KEPT) {
            let left = lifetime.saturating_sub(MARGIN);
            let until = [tokens.issued_at().saturating_add(left), now.monotonic.saturating_add(left)];
            held.insert(wanted, Kept { assertion: assertion.clone(), until, is_reused: false });
        }
        Ok(assertion)
    }

    /// The first leg. What comes of it is sent to another server, so it has to be what it is said to be: an access token
    /// does not belong there.
    async fn exchange(&self, wanted: &Wanted) -> Result<TokenSet, Error> {
        let mut request = token_exchange(self.settings.exchange.clone())
            .audience(&*wanted.audience)
            .resource(wanted.resources.iter().map(String::as_str));
        request = wanted.scope.iter().fold(request, |request, scope| request.scope(scope.split(' ')));
        for (name, value) in &self.settings.details {
            request = request.parameter(name, value);
        }
        let tokens = self.settings.provider.request(&request).await.map_err(Error::of_subject_token)?;
        match tokens.issued_token_type() {
            Some(TokenType::Other(uri)) if uri == ID_JAG => Ok(tokens),
            found => {
                let found = found.as_ref().map_or("no type", TokenType::uri);
                let message = format!(
                    "issued_token_type: expected {ID_JAG}, and the identity provider issued {found}; nothing was sent on"
                );
                Err(Error::malformed(message))
            }
        }
    }
}

/// How long an assertion is good from its request on: what the response says, and what it says itself.
fn lifetime(tokens: &TokenSet) -> Option<Duration> {
    let claims = jose::unverified_claims(tokens.access_token().expose());
    let until = claims.and_then(|claims| claims.get("exp")?.as_u64()).map(Duration::from_secs);
    let own = until.map(|until| until.saturating_sub(tokens.issued_at()));
    own.into_iter().chain(tokens.lifetime()).min()
}

/// The second leg: the grant at the API's server.
struct Bearer {
    legs: Arc<Legs>,
    identity: Option<String>,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.legs.settings.fmt(f)
    }
}

impl Grant for Bearer {
    fn grant_type(&self) -> &str {
        JWT_BEARER
    }

    fn parameters(&self, parameters: &mut Parameters) {
        let legs = Arc::clone(&self.legs);
        let scope = parameters.plain("scope").map(str::to_owned);
        let resources: Vec<_> = parameters.all_plain("resource").map(str::to_owned).collect();
        parameters.set_deferred("assertion", move |sending: RequestContext| {
            let legs = Arc::clone(&legs);
            let audience = legs.settings.audience.clone().unwrap_or(sending.audience);
            let wanted = Wanted { audience, scope: scope.clone(), resources: resources.clone() };
            async move { legs.assertion(wanted, sending.at).await }
        });
    }

    fn renewal(&self) -> Renewal {
        Renewal::Anew
    }

    fn subject(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    fn good_until(&self) -> Option<Duration> {
        // The access token may outlive the ID token, which only says who it was that logged in.
        None
    }

    fn refused(&self) -> bool {
        // Several sources may share the grant. Whichever was refused, another one costs one request; one that was sent
        // for the first time is refused for another reason.
        let Ok(mut held) = self.legs.held.try_lock() else { return false };
        let before = held.len();
        held.retain(|_, kept| !kept.is_reused);
        held.len() < before
    }
}
