//! What threads share in the parts that concurrency models run: the types of std, arc-swap and tokio. Unit tests get the
//! same with a second form, which a model puts under the control of its scheduler.

#[cfg(not(test))]
mod real {
    pub(crate) use std::sync::{Mutex, MutexGuard};

    pub(crate) use arc_swap::ArcSwapOption;
    pub(crate) use tokio::runtime::Handle;
    pub(crate) use tokio::task::AbortHandle;
}

#[cfg(test)]
pub(crate) mod modelled;

#[cfg(test)]
pub(crate) use self::modelled::{AbortHandle, ArcSwapOption, Handle, Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use self::real::{AbortHandle, ArcSwapOption, Handle, Mutex, MutexGuard};
