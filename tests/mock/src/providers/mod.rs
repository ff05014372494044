//! Five real providers, each played from its own documentation: paths, requests, responses and documented failures.

mod comm100;
mod failure;
mod ils;
mod infolink;
mod request;
mod sailpoint;
mod teen_quotes;

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Map, Value};

pub use self::failure::ProviderFailure;
use self::request::bearer;
use crate::clients::MockClient;
use crate::endpoint::Endpoint;
use crate::mint::TokenBuilder;
use crate::routes::Call;
use crate::state::tokens::{Access, Grant, IssuedTokens};
use crate::state::users::User;
use crate::wire::response::MockResponse;

/// A provider that a server can play, with [`MockServerBuilder::personality`](crate::MockServerBuilder::personality).
///
/// A personality takes what the provider's page documents and nothing looser, and responds with the members the page
/// prints, in its order. Where the page is silent, the documentation of each variant says what was assumed.
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::Full;
/// use oauth_mock::{Endpoint, MockServer, Provider};
/// use tower::ServiceExt as _;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = MockServer::builder().personality(Provider::Ils).in_process();
/// assert!(server.endpoint(Endpoint::Token).ends_with("/api/oauth/token"));
///
/// let send = |body: &'static str| {
///     let request = Request::post(server.endpoint(Endpoint::Token)).header("content-type", "application/json");
///     server.transport().oneshot(request.body(Full::<Bytes>::from(body)).unwrap())
/// };
/// assert_eq!(send(r#"{"clientId":"svc","clientSecret":"s3cr3t"}"#).await?.status(), 200);
/// server.provider_failure("too_many_requests").times(1);
/// assert_eq!(send(r#"{"clientId":"svc","clientSecret":"s3cr3t"}"#).await?.status(), 429);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// ILS, page "Authentication": JSON without a grant type, JWT access tokens, errors with a status info set.
    ///
    /// Assumed: both members are required (the column is lost), tokens live an hour, the secret is checked as
    /// `svc`/`s3cr3t` unless another client is given, and which code comes with which status (there is a code
    /// "forbidden" and no 403: it comes with 401). The key set at `/jwks` and the protected `/api/resource` are the
    /// mock's own: the page names neither.
    Ils,
    /// InfoLink, page "OAuth 2.0 Authentication": opaque tokens, a rotating refresh token that is sent alone, and an
    /// API operation, `/api/v1/executeJob`, that has its own way to say "expired".
    ///
    /// Assumed: the page gives its two error bodies no status. It is 400 at the token endpoint (RFC 6749 section 5.2)
    /// and 200 at the API, unless [`undocumented_status`](crate::MockServerBuilder::undocumented_status) says
    /// otherwise. A wrong secret or password gets the body of the token endpoint too, whose text speaks of credentials.
    /// A refresh token that is used twice ends all that came from it (RFC 9700 section 4.14.2). The response to a job
    /// is not documented: the mock repeats the operation's name.
    InfoLink,
    /// SailPoint, page "Create OAuth Client": the protected `POST /oauth-clients`. A client made there can ask for
    /// tokens.
    ///
    /// Assumed: tokens come from `/oauth/token` (the page names no token endpoint), by form and client_credentials,
    /// with the responses of RFC 6749. Which members of the request are required is lost, so none is. What is left out
    /// is filled with the numbers and flags of the printed client; a text is left out of the response too.
    SailPoint,
    /// Comm100, page "OAuth API": the password grant with `email` and a `partnerId` in the query, JWT access tokens
    /// whose `scope` is a list, and userinfo.
    ///
    /// Assumed: the page prints no errors, so they are those of RFC 6749 section 5.2 and RFC 6750 section 3. The key
    /// set at `/jwks` is the mock's own. Users carry `partnerId`, `siteId`, `role` (of the token) and `agentRole` (of
    /// userinfo) as claims.
    Comm100,
    /// Teen Quotes, page "OAuth - Client credentials": JSON or a form, `expires` beside `expires_in`, a table of
    /// errors.
    ///
    /// Assumed: the comma behind the last member of the printed request is a misprint; a refresh request, which the
    /// page mentions and does not describe, carries the client's id and secret too (RFC 6749 section 6);
    /// `server_error`, which has no status, comes with 500. The protected `/resource` is the mock's own: the page names
    /// none.
    TeenQuotes,
}

/// What a server responds when it plays a provider.
pub(crate) struct Personality {
    pub(crate) routes: &'static [Route],
    pub(crate) tokens: Tokens,
    /// Seconds that access tokens live.
    pub(crate) lifetime: i64,
    pub(crate) audience: &'static str,
    /// `iss`, when the page prints one that is not the host.
    pub(crate) issuer: Option<&'static str>,
    pub(crate) client: fn() -> MockClient,
    pub(crate) user: Option<fn() -> User>,
    pub(crate) failures: fn() -> Vec<ProviderFailure>,
}

/// One endpoint of a provider.
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) serve: fn(Call<'_>) -> MockResponse,
}

/// What a provider's tokens look like.
#[derive(Clone, Copy)]
pub(crate) enum Tokens {
    /// As the client is registered: by default a JWT of RFC 9068.
    Standard,
    /// Opaque text, for access and refresh tokens alike.
    Text(fn() -> String),
    /// A JWT with the provider's own claims, issued and expiring at these Unix times.
    Own(fn(&TokenBuilder, &Grant, (i64, i64)) -> String),
}

impl Provider {
    /// All of them, in the order of this list.
    pub const ALL: &[Self] = &[Self::Ils, Self::InfoLink, Self::SailPoint, Self::Comm100, Self::TeenQuotes];

    /// The provider's name as it writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ils => "ILS",
            Self::InfoLink => "InfoLink",
            Self::SailPoint => "SailPoint",
            Self::Comm100 => "Comm100",
            Self::TeenQuotes => "Teen Quotes",
        }
    }

    /// Every failure that the provider's page documents, for
    /// [`MockServer::provider_failure`](crate::MockServer::provider_failure). The page of Comm100 documents none.
    #[must_use]
    pub fn failures(self) -> Vec<ProviderFailure> {
        (self.personality().failures)()
    }

    pub(crate) fn personality(self) -> &'static Personality {
        match self {
            Self::Ils => &ils::PERSONALITY,
            Self::InfoLink => &infolink::PERSONALITY,
            Self::SailPoint => &sailpoint::PERSONALITY,
            Self::Comm100 => &comm100::PERSONALITY,
            Self::TeenQuotes => &teen_quotes::PERSONALITY,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Handles a request that met no fault; what the provider does not have is not found.
pub(crate) fn serve(personality: &Personality, endpoint: Endpoint, call: Call<'_>) -> MockResponse {
    match personality.routes.iter().find(|route| route.endpoint == endpoint) {
        None => MockResponse::empty(StatusCode::NOT_FOUND),
        Some(route) if route.method != call.request.method().as_str() => {
            MockResponse::not_allowed(route.method)
        }
        Some(route) => (route.serve)(call),
    }
}

/// A resource of the mock's own, for providers whose page names no operation: challenges as RFC 6750 section 3 asks.
fn resource(call: Call<'_>) -> MockResponse {
    match access(call) {
        Ok(_) => MockResponse::new(StatusCode::OK, JSON, r#"{"ok":true}"#),
        Err(challenge) => MockResponse::empty(StatusCode::UNAUTHORIZED).with(WWW_AUTHENTICATE, challenge),
    }
}

/// The record of the request's bearer token, or the challenge of RFC 6750 section 3.
fn access(call: Call<'_>) -> Result<Access, &'static str> {
    let token = bearer(call.request).ok_or("Bearer")?;
    let known = call.issuer.records.active_access(token, call.shared.clock.now_unix());
    known.ok_or(r#"Bearer error="invalid_token""#)
}

const JSON: &str = "application/json";

/// A JSON object with its members in this order, as the pages print them.
fn object(members: &[(&str, Value)]) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", text(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// A JSON string, quoted and escaped.
fn text(plain: &str) -> String {
    Value::from(plain).to_string()
}

/// Issues tokens for this client, or for this user of it.
fn issue(call: Call<'_>, client: &MockClient, user: Option<&User>, with_refresh: bool) -> IssuedTokens {
    let grant = Grant {
        client: client.id.clone(),
        subject: user.map_or(&client.id, |user| &user.subject).clone(),
        user: user.map(|user| user.name.clone()),
        scope: client.scopes.clone(),
        audience: call.shared.audiences.first().cloned().into_iter().collect(),
        claims: user.map_or_else(Map::new, |user| user.claims.clone()),
        ..Grant::default()
    };
    let records = &call.issuer.records;
    records.issue(call.shared, call.issuer, client, grant, records.new_family(), with_refresh)
}

/// The client of this id and secret.
fn client(call: Call<'_>, id: &str, secret: &str) -> Option<Arc<MockClient>> {
    call.shared.client(id).filter(|client| client.secret.as_deref() == Some(secret))
}
