//! The tower middleware: wraps a service, and lets only those requests through that the guard accepts.

mod body;
mod future;
mod layer;
mod service;

pub use self::body::GuardBody;
pub use self::future::ResponseFuture;
pub use self::layer::GuardLayer;
pub use self::service::GuardService;
