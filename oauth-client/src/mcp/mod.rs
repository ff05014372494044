//! Authorization for clients that know only an API's URL, such as those of the Model Context Protocol: which server to
//! use, as which client, with which scopes, and what to do when the API wants more.
//!
//! ```text
//! request ─▶ 401, or 403 insufficient_scope ─▶ challenge ─▶ API's metadata ─▶ server's metadata
//!    ▲                                                                             │
//!    └── token ◀── login, or a grant of your own ◀── scopes ◀── client at that issuer
//! ```
//!
//! [`Authorizer`] does all of this; [`Attempt`] is one request. For reqwest there is a client that does it for
//! each request:
//!
//! ```no_run
//! # #[cfg(all(feature = "reqwest", feature = "loopback"))] mod example {
//! use oauth_client::manage::register::ClientMetadata;
//! use oauth_client::mcp::Authorizer;
//!
//! # pub async fn run(message: String) -> Result<(), Box<dyn std::error::Error>> {
//! let about = ClientMetadata::new().client_name("My editor").redirect_uris(["http://127.0.0.1/callback"]);
//! let authorizer = Authorizer::builder("https://mcp.example.com/mcp")
//!     .client_id_document("https://editor.example/client.json") // where the server takes it …
//!     .client(about) // … else the client registers itself
//!     .open(|page| println!("Open this page: {page}"))
//!     .build()?;
//! let client = authorizer.client(reqwest::Client::new());
//! let response = client.send(client.post("https://mcp.example.com/mcp").body(message)).await?;
//! # Ok(()) }
//! # }
//! ```
//!
//! # Which client
//!
//! In the protocol's order: the one that was [registered](AuthorizerBuilder::registered) by hand at this very issuer;
//! the [client ID metadata document](AuthorizerBuilder::client_id_document), where the server says that it supports
//! these; a client that registered itself there before; one that [registers](AuthorizerBuilder::client) itself now (RFC
//! 7591). Credentials belong to the issuer that gave them and are never shown to another: when an API moves to another
//! server, the client is chosen again. A client that registered itself and that the server no longer knows, or whose
//! secret has ended, registers itself anew, also while it runs.
//!
//! # Which scopes
//!
//! Those of the challenge; else all in the API's `scopes_supported`; else none. `offline_access` is added where a person
//! logs in and the server's own metadata list it. An API that then wants more (403 `insufficient_scope`) leads to
//! another authorization, for the scopes so far and those that are missing. The number of authorizations is limited:
//! see [`Attempt::again`].
//!
//! # What is not believed
//!
//! Metadata of another API, or of another issuer than the one that was asked for; an authorization response of another
//! issuer, or without one where the server names itself (RFC 9207); and all that [`follow`](crate::discover::follow)
//! distrusts. No person logs in at a server whose metadata do not list `S256` in `code_challenge_methods_supported`.
//! A host may say that all of it is one API; [`exact_resource`](AuthorizerBuilder::exact_resource) is for hosts that may have
//! APIs of other owners, too.
//!
//! # Without a person
//!
//! [`AuthorizerBuilder::grant`] takes any grant, such as client credentials, the identity of a workload, or an assertion
//! by an enterprise's identity provider. It is requested once: an error is returned, and no other grant is tried.

mod attempt;
mod authorizer;
mod builder;
mod identity;
mod registrations;
#[cfg(feature = "reqwest")]
pub mod reqwest;
mod scope;

pub use self::attempt::Attempt;
pub use self::authorizer::Authorizer;
pub use self::builder::{AuthorizerBuilder, Target};
pub use self::registrations::Registrations;
