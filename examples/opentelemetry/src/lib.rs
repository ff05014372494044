//! What OpenTelemetry sees of a protected call, by its semantic conventions for HTTP.
//!
//! | file | holds |
//! |---|---|
//! | `telemetry` | the providers of spans and metrics |
//! | `propagation` | `traceparent`, out of headers and into them |
//! | `client` | a layer: a client span for each request that is sent, with `traceparent` on it |
//! | `server` | a layer: a server span for each request that arrives, a child of the caller's |
//! | `metered` | from the `metrics` facade, through which the crates count, to OpenTelemetry |
//!
//! ```text
//! GET (client) ─▶ GET /orders (server)          one trace: the call
//!   ▲ follows from
//! oauth_client.refresh ─▶ POST (client)         another one: the token that it needed, and many others use
//! ```

#![forbid(unsafe_code)]

pub mod client;
pub mod metered;
mod propagation;
pub mod scene;
pub mod server;
pub mod telemetry;
