//! Puts the token on requests: a layer for any tower HTTP client, and a front for reqwest.
//!
//! [`TokenLayer`] wraps a `Service<http::Request<_>>`: a hyper-util client, a tonic channel, a router in a test. Each
//! request leaves with `Authorization: Bearer …` (RFC 6750 section 2.1), or with `DPoP …` and a proof where tokens are
//! [bound to a key](crate::dpop). While the [`TokenSource`](crate::TokenSource) holds a usable token, this costs one
//! header. Without one, the request waits for a token; if none can be obtained, the request is not sent at all.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode, header::AUTHORIZATION};
//! use http_body_util::Empty;
//! use oauth_client::TokenSource;
//! use oauth_client::attach::{AttachError, Body, TokenLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Stands for an HTTP client and the API behind it.
//! let api = service_fn(|request: Request<Body<Empty<Bytes>>>| async move {
//!     let known = request.headers().get(AUTHORIZATION).is_some_and(|value| value == "Bearer 2YotnFZFEjr1zCsicMWpAA");
//!     let status = if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
//!     Ok::<_, std::io::Error>(Response::builder().status(status).body(Empty::<Bytes>::new()).unwrap())
//! });
//! let layer = TokenLayer::new(TokenSource::fixed("2YotnFZFEjr1zCsicMWpAA")?).allowed_origins(["https://api.example.com"])?;
//! let client = layer.layer(api);
//!
//! let request = Request::get("https://api.example.com/orders").body(Empty::new())?;
//! assert_eq!(client.clone().oneshot(request).await?.status(), StatusCode::OK);
//!
//! // The token stays here: this is not the API it was issued for.
//! let astray = Request::get("https://evil.example/orders").body(Empty::new())?;
//! let refused = client.oneshot(astray).await.unwrap_err();
//! assert!(matches!(refused, AttachError::Token(error) if error.code() == "config"));
//! # Ok(()) }
//! ```
//!
//! # When the API refuses the token
//!
//! A token may be revoked before it expires. A response of 401, with or without a challenge, or a gRPC trailers-only
//! response with `grpc-status: 16`, drops exactly the token that was sent (others that are newer stay), and the request
//! is sent once more with the next one, if:
//!
//! - the [`ReplayPolicy`] allows it, and another token is available; if none is, the API's own response is returned;
//! - the request's body was empty, or was read to its end within [`ReplayPolicy::max_body`] when the response came.
//!   It is recorded while it is sent, piece by piece, and is not delayed. Request trailers cannot be repeated, so a
//!   request that has some is not sent again;
//! - it goes to exactly the URI of the first one, through the same service.
//!
//! In a gRPC response with messages the status comes after them, too late for a replay: a 16 there drops the token, and
//! the next request gets another one.
//!
//! For this, one call sends at most two requests and one token request. The second response is always returned, and
//! does not drop the new token: otherwise an API that refuses every token would cause a token request for each
//! response. A 403 is about what the token may do, not about the token, and never gets a new one. Nor does a 401 with
//! `insufficient_user_authentication` (RFC 9470): that token is valid, and only another login helps.
//!
//! # When the API wants a nonce
//!
//! An API may refuse the proof instead of the token (RFC 9449 sections 7.1 and 9). If it responds with 401, or
//! `grpc-status: 16`, with `DPoP error="use_dpop_nonce"` and a nonce, the request is sent once more, with the same
//! token and a proof with that nonce, on the conditions above and once for each call. Such a response does not drop the
//! token, and neither does `invalid_dpop_proof`. So a call makes three requests at most: the first one, one for the
//! nonce, and one for another token.
//!
//! # gRPC
//!
//! [`TokenLayer::grpc`] is for the channel of a generated client, and ends a call without a token with a gRPC status.
//!
//! # More than one source
//!
//! [`TokenLayer::source_for`] takes the tokens for another origin from another source, and a [`TokenChoice`] on a request says
//! what that one carries: a token of another source, or none.
//!
//! # A token endpoint that hangs
//!
//! [`TokenLayer::max_wait`] bounds how long a request waits for a token.
//!
//! # Redirects
//!
//! The layer follows no redirects. An inner client that follows them decides by itself where the header goes: reqwest
//! drops it when host, port or scheme change, other clients may not. Switch redirects off where the API does not need
//! them.
//!
//! # A provider's own way to say "expired"
//!
//! Some APIs say it in the body of a 200 or a 400. Where the [dialect](crate::dialect) of the source's client has a
//! matcher for that, the layer reads ahead in a response that may be JSON, to its end or for 4 KiB: a whole body that
//! says "expired" counts like a 401. The caller gets the whole body in any case. Responses to requests with tokens of
//! other sources are not inspected.

mod body;
mod choice;
mod copy;
mod error;
mod future;
mod grpc;
mod head;
mod layer;
mod origin;
mod peek;
mod policy;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "reqwest-middleware")]
pub mod reqwest_middleware;
#[cfg(feature = "reqwest")]
mod round_trip;
mod sent;
mod service;
mod settings;

pub use self::body::Body;
pub use self::choice::TokenChoice;
pub use self::error::AttachError;
pub use self::future::ResponseFuture;
pub use self::grpc::{GrpcBodies, GrpcResponseFuture, GrpcTokenLayer, GrpcTokenService};
pub use self::layer::TokenLayer;
pub use self::policy::{ReplayPolicy, ReplayView};
pub use self::service::TokenService;
pub use self::settings::Attached;
