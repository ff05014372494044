//! Step 6: reject. One [`Rejection`], written as an HTTP or a gRPC response.
//!
//! The caller gets the RFC 6750 error code and no hint which check failed. The reason is logged for the operator, as a
//! tracing event.

pub(crate) mod advice;
mod body;
mod challenge;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod log;
mod public;
mod rejection;
mod respond;

pub(crate) use self::body::Hook;
pub use self::body::RejectionBody;
pub(crate) use self::challenge::{Challenge, DpopChallenge};
pub use self::rejection::{InvalidProof, Rejection, RequiredBinding};
pub(crate) use self::respond::{respond, without_content};
