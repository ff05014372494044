//! The settings of a layer, and the decisions that follow from them. Every front uses them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Extensions, HeaderMap, Request, Uri};
use http_body::SizeHint;

use super::body::Body;
use super::copy::RequestCopy;
use super::origin::Origin;
use super::peek::is_inspectable;
use super::policy::{ReplayPolicy, ReplayView};
use crate::error::{Error, printable};
use crate::transport::is_loopback;
use crate::{AccessToken, TokenSource};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) source: TokenSource,
    pub(super) replay: ReplayPolicy,
    /// Whether each response gets an [`Attached`] extension.
    pub(super) report: bool,
    /// Whether tokens may go out over plain http to other machines.
    pub(super) allow_http: bool,
    /// The same, because the source's client says so.
    source_allows_http: bool,
    /// How long a request waits for a token.
    pub(super) max_wait: Option<Duration>,
    /// Other sources, by where a request goes.
    pub(super) by_origin: Vec<(Origin, Arc<Self>)>,
    /// `None`: anywhere.
    origins: Option<Vec<Origin>>,
    /// Whether the API has a way of its own to say that a token has expired.
    inspects_bodies: bool,
}

/// What the head of a response says of the token.
pub(super) enum Verdict {
    Accepted,
    Rejected,
    /// The body has to be inspected.
    InspectBody,
}

impl Settings {
    pub(super) fn new(source: TokenSource) -> Self {
        let inspects_bodies = source.expired_response().is_some();
        let source_allows_http = source.allows_http();
        Self {
            source,
            replay: ReplayPolicy::default(),
            report: false,
            allow_http: false,
            source_allows_http,
            max_wait: None,
            by_origin: Vec::new(),
            origins: None,
            inspects_bodies,
        }
    }

    /// The same settings, with another source.
    pub(super) fn with_source(&self, source: TokenSource) -> Self {
        let Self { inspects_bodies, source_allows_http, source, .. } = Self::new(source);
        Self { source, inspects_bodies, source_allows_http, by_origin: Vec::new(), ..self.clone() }
    }

    /// Changes a setting, for the sources of other origins as well.
    pub(super) fn change(this: &mut Arc<Self>, change: impl Fn(&mut Self)) {
        let own = Arc::make_mut(this);
        change(own);
        own.by_origin.iter_mut().for_each(|(_, settings)| change(Arc::make_mut(settings)));
    }

    /// Takes the tokens for requests to this origin from another source.
    pub(super) fn source_for(&mut self, origin: &str, source: TokenSource) -> Result<(), Error> {
        let origin = Origin::parse(origin)?;
        let mut settings = self.with_source(source);
        settings.origins = Some(vec![origin.clone()]);
        self.by_origin.retain(|(known, _)| *known != origin);
        self.by_origin.push((origin, Arc::new(settings)));
        Ok(())
    }

    /// A token that is good now, in time.
    pub(super) async fn token(&self) -> Result<AccessToken, Error> {
        match self.max_wait {
            None => self.source.token().await,
            Some(limit) => self.source.token_within(limit).await,
        }
    }

    pub(super) fn allow_only<O: AsRef<str>>(
        &mut self,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<(), Error> {
        self.origins =
            Some(origins.into_iter().map(|text| Origin::parse(text.as_ref())).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Whether the token may go there at all.
    pub(super) fn check_origin(&self, uri: &Uri) -> Result<(), Error> {
        match &self.origins {
            Some(allowed) if !allowed.iter().any(|origin| origin.is_of(uri)) => Err(astray(uri)),
            None if is_exposed(uri) && !(self.allow_http || self.source_allows_http) => Err(exposed(uri)),
            _ => Ok(()),
        }
    }

    /// Copies what a replay would need, where the policy allows one.
    #[inline]
    pub(super) fn prepare_replay<S: Clone, B>(&self, request: &Request<B>, service: &S) -> Option<Replay<S>>
    where
        B: http_body::Body<Data = Bytes>,
    {
        // Most of the cost of the layer is in here; without a replay it is not even called.
        if self.replay.is_never() { None } else { self.copy(request, service) }
    }

    fn copy<S: Clone, B>(&self, request: &Request<B>, service: &S) -> Option<Replay<S>>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let length = request.body().size_hint();
        let view = ReplayView::new(request.method(), request.uri(), request.headers(), length);
        let allowed = self.replay.allows(&view);
        allowed.then(|| Box::new((service.clone(), RequestCopy::of(request, self.replay.max_body()))))
    }

    /// Judges a response by its head, of which it is known whether it [refuses the token](super::head::Head::refuses). Most are
    /// settled here.
    #[inline]
    pub(super) fn classify(
        &self,
        refused: bool,
        headers: &HeaderMap,
        size: impl FnOnce() -> SizeHint,
    ) -> Verdict {
        if refused {
            Verdict::Rejected
        } else if self.inspects_bodies && is_inspectable(headers, &size()) {
            Verdict::InspectBody
        } else {
            Verdict::Accepted
        }
    }

    /// Judges a response by its body, where the head left that open.
    pub(super) fn reports_expired_token(&self, body: &[u8]) -> bool {
        self.source.expired_response().is_some_and(|expired| expired.is(body))
    }

    /// Drops a token that was refused, whether or not its request can be repeated, so that the next one gets a new token.
    /// True when the request is to be sent once more with another.
    #[inline]
    pub(super) fn wants_replay(&self, generation: u64, is_repeatable: impl FnOnce() -> bool) -> bool {
        self.source.reject(generation) && is_repeatable()
    }

    /// Attaches to a response which token was used, if that was requested.
    #[inline]
    pub(super) fn annotate(&self, extensions: &mut Extensions, generation: u64, replayed: bool) {
        if self.report {
            extensions.insert(Attached { generation, replayed });
        }
    }

    /// Waits for the token that replaces the one refused. `None` leaves the API's own response to stand.
    pub(super) async fn another_token(&self, refused: u64) -> Option<AccessToken> {
        match self.token().await {
            Ok(token) if token.generation() != refused => {
                tracing::debug!(
                    refused,
                    generation = token.generation(),
                    "token rejected by the API; sending the request once more"
                );
                Some(token)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(
                    refused,
                    code = error.code(),
                    "token rejected by the API, and no other is available"
                );
                None
            }
        }
    }
}

/// Which token a request carried: in the response's extensions, if [`TokenLayer::report`](super::TokenLayer::report) is
/// set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// The [generation](AccessToken::generation) of the token that the request carried, the last one if it was sent
    /// twice.
    pub generation: u64,
    /// Whether the request was sent once more because the API refused the first token.
    pub replayed: bool,
}

/// What a replay needs: a service to call, and the request. One word on the way of a request that is not repeated.
pub(super) type Replay<S> = Box<(S, RequestCopy)>;

/// Puts the recorder on a request's body, where there is one.
#[inline]
pub(super) fn recorded<S, B: http_body::Body>(
    request: Request<B>,
    replay: Option<&Replay<S>>,
) -> Request<Body<B>> {
    request.map(|body| Body::new(body, replay.and_then(|replay| replay.1.recorder())))
}

/// Whether anyone on the path could read the token (RFC 6750 section 5.3 demands TLS). A URI without a scheme is for
/// a service in process, or one that knows better.
fn is_exposed(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTP) && !uri.host().is_some_and(is_loopback)
}

fn exposed(uri: &Uri) -> Error {
    let host = printable(uri.host().unwrap_or_default(), 256);
    let why = "where anyone on the path could take the token; use https, or allow it explicitly";
    Error::config("danger_allow_http", format!("http://{host} is plain http, {why}"))
}

fn astray(uri: &Uri) -> Error {
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Error::config(
            "allowed_origins",
            "the request's URI names no origin to compare with those that get the token; give it a full URI, such as https://api.example.com/orders, or make a gRPC client with with_origin(…, \"https://api.example.com\")",
        );
    };
    // Path and query may hold secrets of their own.
    let shown = printable(&format!("{scheme}://{host}"), 256);
    Error::config(
        "allowed_origins",
        format!(
            "the request goes to {shown}, which is not among the origins that get the token; add it there, or send this request without the layer"
        ),
    )
}

/// The setters that every front has. The type holds its settings as `settings: Arc<Settings>`.
macro_rules! setters {
    ($front:ty) => {
        impl $front {
            /// Replaces the policy that says which requests are sent once more after a 401, for the token's sake or for
            /// a nonce's.
            #[must_use]
            pub fn replay(mut self, policy: $crate::attach::ReplayPolicy) -> Self {
                $crate::attach::settings::Settings::change(&mut self.settings, |settings| {
                    settings.replay = policy.clone();
                });
                self
            }

            /// Puts an [`Attached`]($crate::attach::Attached) into the extensions of each response, to count replays
            /// or to log generations. It costs an allocation or two for each response, so it is off by default.
            #[must_use]
            pub fn report(mut self) -> Self {
                $crate::attach::settings::Settings::change(&mut self.settings, |settings| {
                    settings.report = true;
                });
                self
            }

            /// Sends tokens over plain http to other machines too, where anyone on the path can take them. Only for
            /// trusted networks. Loopback needs no permission, nor does an http origin named in
            /// [`allowed_origins`](Self::allowed_origins) or a client built with
            /// [`danger_allow_http`]($crate::ClientBuilder::danger_allow_http).
            #[must_use]
            pub fn danger_allow_http(mut self) -> Self {
                $crate::attach::settings::Settings::change(&mut self.settings, |settings| {
                    settings.allow_http = true;
                });
                self
            }

            /// How long a request waits for a token, at most. Without this limit, it waits for as long as getting one
            /// may take ([`ClientBuilder::timeout`]($crate::ClientBuilder::timeout)), which can be longer than its
            /// caller has time. After that, the request fails with
            /// [`AttachError::Token`]($crate::attach::AttachError::Token), code `timeout`, and is not sent; the refresh
            /// goes on, for later requests. If the wait was for sending a request once more, the API's own response is
            /// returned instead.
            #[must_use]
            pub fn max_wait(mut self, limit: std::time::Duration) -> Self {
                $crate::attach::settings::Settings::change(&mut self.settings, |settings| {
                    settings.max_wait = Some(limit);
                });
                self
            }

            /// Takes the tokens of requests to this origin, written `https://api.example.com` or with a port, from another
            /// source. Tokens of that source go there whatever [`allowed_origins`](Self::allowed_origins) says; tokens
            /// of the front's own source do not. A [`TokenChoice`]($crate::attach::TokenChoice) on a request overrides
            /// this.
            ///
            /// # Errors
            /// `config` for a text that is not an http or https origin.
            pub fn source_for(
                mut self,
                origin: impl AsRef<str>,
                source: $crate::TokenSource,
            ) -> Result<Self, $crate::Error> {
                std::sync::Arc::make_mut(&mut self.settings).source_for(origin.as_ref(), source)?;
                Ok(self)
            }

            /// The source that tokens are taken from.
            #[must_use]
            pub fn source(&self) -> &$crate::TokenSource {
                &self.settings.source
            }

            /// Waits for what is under way at its sources; see [`TokenSource::settle`]($crate::TokenSource::settle).
            ///
            /// # Errors
            /// As there, of the first that fails.
            pub async fn settle(&self) -> Result<(), $crate::Error> {
                let others = self.settings.by_origin.iter().map(|(_, settings)| &settings.source);
                let mut outcome = Ok(());
                for source in std::iter::once(&self.settings.source).chain(others) {
                    outcome = outcome.and(source.settle().await);
                }
                outcome
            }

            /// Sends the token to these origins only, each written `https://api.example.com` or with a port. A request
            /// to any other origin, or with no host in its URI, fails with
            /// [`AttachError::Token`]($crate::attach::AttachError::Token), code `config`: a bearer token is usable by
            /// any party that holds it (RFC 6750 section 5.3).
            ///
            /// # Errors
            /// `config` for a text that is not an http or https origin.
            pub fn allowed_origins<O: AsRef<str>>(
                mut self,
                origins: impl IntoIterator<Item = O>,
            ) -> Result<Self, $crate::Error> {
                std::sync::Arc::make_mut(&mut self.settings).allow_only(origins)?;
                Ok(self)
            }
        }
    };
}
pub(super) use setters;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_plain_http_to_this_machine_only_unless_that_is_allowed() {
        let mut settings = Settings::new(TokenSource::fixed("t0ken").unwrap());
        let check = |settings: &Settings, uri: &str| settings.check_origin(&uri.parse().unwrap());
        for fine in [
            "https://api.example.com/",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost/",
            "/v1",
        ] {
            assert!(check(&settings, fine).is_ok(), "{fine}");
        }
        let error = check(&settings, "http://api.example.com/").unwrap_err();
        assert_eq!(error.problems()[0].field, "danger_allow_http");
        settings.allow_http = true;
        assert!(check(&settings, "http://api.example.com/").is_ok());

        let mut settings = Settings::new(TokenSource::fixed("t0ken").unwrap());
        settings.allow_only(["http://api.internal"]).unwrap();
        assert!(check(&settings, "http://api.internal/").is_ok(), "named with its scheme, it is meant");
    }

    #[test]
    fn a_request_without_an_origin_is_told_how_to_get_one_and_another_where_it_may_go() {
        let mut settings = Settings::new(TokenSource::fixed("t0ken").unwrap());
        settings.allow_only(["https://api.example.com"]).unwrap();
        let check = |uri: &str| settings.check_origin(&uri.parse().unwrap());
        assert!(check("https://api.example.com/x.X/Echo").is_ok());
        for uri in ["/x.X/Echo?key=s3cr3t", "api.example.com:443"] {
            let error = check(uri).unwrap_err();
            assert_eq!(error.problems()[0].field, "allowed_origins");
            let text = error.to_string();
            assert!(text.contains("with_origin(") && text.contains("a full URI"), "{text}");
            assert!(!text.contains("add it there") && !text.contains("s3cr3t"), "{text}");
        }
        let text = check("https://evil.example/x").unwrap_err().to_string();
        assert!(text.contains("https://evil.example, which") && text.contains("add it there"), "{text}");
    }
}
