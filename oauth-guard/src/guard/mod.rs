//! The handle that users hold: how it is built and assembled, replaced by a reload, filled with keys before the first
//! request, and asked for its health.

mod assemble;
mod builder;
mod handle;
mod health;
mod reload;
mod settings;
mod warm_start;

pub(crate) use self::assemble::Assembler;
pub use self::builder::GuardBuilder;
pub use self::handle::Guard;
pub(crate) use self::handle::WeakGuard;
pub use self::health::{CacheHealth, Health, IssuerHealth, TenantsHealth};
