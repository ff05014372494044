//! Tokens from something other than a token endpoint: a cloud's metadata service, another program, a vault, another
//! SDK.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::TokenSource;
use crate::authenticate::ClientAuth;
use crate::client::{Client, ClientBuilder};
use crate::error::{BoxError, Error, Kind};
use crate::grant;
use crate::token::{Secret, TokenSet};
use crate::token_endpoint::{BeforeSend, Parameters, TimeLimit};

/// Brings tokens that no token endpoint issues. A [source](TokenSource) of such tokens works like any other: one fetch
/// for all callers, ahead of expiry, with back-off, in a store, for the layer and the fronts.
///
/// For a function there is [`TokenSource::from_fn`]; a type of your own is given to [`Client::fetching`].
///
/// ```
/// use std::time::Duration;
/// use oauth_client::source::{FetchRequest, TokenFetcher};
/// use oauth_client::{Client, TokenSet, grant};
///
/// struct Metadata; // of the machine that this runs on
///
/// impl TokenFetcher for Metadata {
///     async fn fetch(&self, request: FetchRequest) -> Result<TokenSet, Box<dyn std::error::Error + Send + Sync>> {
///         let token = format!("for {}", request.resources.join(" ")); // an HTTP request, say
///         Ok(TokenSet::new(token).with_lifetime(Duration::from_secs(3600)))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
/// let machine = Client::fetching("metadata", Metadata).build()?;
/// let source = machine.source(grant::client_credentials()).build()?;
/// let vault = source.for_resource("https://vault.example")?;
/// assert_eq!(vault.token().await?.secret().expose(), "for https://vault.example");
/// # Ok(()) }
/// ```
pub trait TokenFetcher: Send + Sync + 'static {
    /// Fetches a token. It is called by one task at a time for each source, and again after a failure until the client's
    /// [timeout](ClientBuilder::timeout) is over.
    ///
    /// # Errors
    /// Why there is none. An [`Error`] of this crate is passed on as it is; all else becomes the cause of one with the code
    /// `fetch`, which is transient. It has to be free of secrets. A panic counts as such a failure.
    fn fetch(&self, request: FetchRequest) -> impl Future<Output = Result<TokenSet, BoxError>> + Send;
}

/// What is fetched.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FetchRequest {
    /// The scopes that the source asks for.
    pub scope: Vec<String>,
    /// The resources that the source asks for.
    pub resources: Vec<String>,
    /// The audience that the source asks for.
    pub audience: Option<String>,
    /// The refresh token of the last set, where there was one.
    pub refresh_token: Option<Secret>,
    /// When it is fetched, as Unix time by the client's [clock](crate::clock).
    pub now: Duration,
}

type Fetching = Pin<Box<dyn Future<Output = Result<TokenSet, BoxError>> + Send>>;

/// A fetcher of whatever type.
#[derive(Clone)]
pub(crate) struct Fetcher(Arc<dyn Fn(FetchRequest) -> Fetching + Send + Sync>);

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

struct Function<F>(F);

impl<F, Fut, E> TokenFetcher for Function<F>
where
    F: Fn(FetchRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<TokenSet, E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn fetch(&self, request: FetchRequest) -> impl Future<Output = Result<TokenSet, BoxError>> + Send {
        let fetching = (self.0)(request);
        async move { fetching.await.map_err(Into::into) }
    }
}

impl Client {
    /// Starts a client of something other than a token endpoint; see [`TokenFetcher`]. `name` identifies it in stores
    /// and logs: two fetchers that bring different tokens need two names. Clock, timeout and the like are set as for
    /// any other client.
    pub fn fetching(name: &str, fetcher: impl TokenFetcher) -> ClientBuilder {
        let fetcher = Arc::new(fetcher);
        let fetch = move |request| -> Fetching {
            let fetcher = Arc::clone(&fetcher);
            Box::pin(async move { fetcher.fetch(request).await })
        };
        // An address that cannot exist (RFC 2606 section 2): nothing is ever sent there.
        let builder = Self::builder().token_endpoint("https://no-token-endpoint.invalid/");
        builder.auth(ClientAuth::none(name)).fetcher(Fetcher(Arc::new(fetch)))
    }

    /// As a token request, by the fetcher.
    pub(crate) async fn fetch(
        &self,
        fetcher: &Fetcher,
        parameters: &Parameters,
        time: TimeLimit,
        before: &mut impl BeforeSend,
    ) -> Result<TokenSet, Error> {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        before.before_send().await?;
        let now = self.clock().now().wall;
        let request = FetchRequest {
            scope: parameters.plain("scope").map(words).unwrap_or_default(),
            resources: parameters.all_plain("resource").map(str::to_owned).collect(),
            audience: parameters.plain("audience").map(str::to_owned),
            refresh_token: parameters.secret("refresh_token").cloned(),
            now,
        };
        let limit = time.of_response();
        let fetched = tokio::time::timeout(limit, caught((fetcher.0)(request))).await;
        match fetched.map_err(|_| Error::new(Kind::Timeout(limit)))? {
            Ok(tokens) => Ok(tokens.taken_over(now)),
            Err(source) => Err(match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => Error::new(Kind::Fetch { source }),
            }),
        }
    }
}

/// A fetcher is foreign code. One that panics has failed: it is tried again no more often than one that says so.
async fn caught(mut fetching: Fetching) -> Result<TokenSet, BoxError> {
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| fetching.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err("it panicked; the panic's message says where".into())))
    })
    .await
}

impl TokenSource {
    /// A source of tokens that a function brings: from a cloud's metadata service, a command line tool, a vault, another SDK.
    /// See [`TokenFetcher`] for what can be set on it, and for types of your own. `name` identifies it in stores and
    /// logs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use oauth_client::{TokenSet, TokenSource};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
    /// let source = TokenSource::from_fn("gcloud", |_| async {
    ///     // let output = Command::new("gcloud").args(["auth", "print-access-token"]).output().await?;
    ///     Ok::<_, std::io::Error>(TokenSet::new("ya29.token").with_lifetime(Duration::from_secs(3600)))
    /// })?;
    /// assert_eq!(source.token().await?.authorization(), "Bearer ya29.token");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `config` for a name that is empty or has control characters.
    pub fn from_fn<F, Fut, E>(name: &str, fetch: F) -> Result<Self, Error>
    where
        F: Fn(FetchRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<TokenSet, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Client::fetching(name, Function(fetch)).build()?.source(grant::client_credentials()).build()
    }
}
