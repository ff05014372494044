//! What all parts of the service share: the guard, the orders, and whether it is about to end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oauth_guard::config::GuardConfig;
use oauth_guard::{BuildError, Guard, GuardBuilder};
use serde::Deserialize;

use crate::orders::Orders;
use crate::problem;

/// What this API reads of a token besides what every token has.
#[derive(Clone, Debug, Deserialize)]
pub struct Caller {
    /// Whose orders these are.
    pub tenant: String,
}

/// The service. Cheap to clone; clones are the same one.
#[derive(Clone, Debug)]
pub struct Service {
    guard: Guard<Caller>,
    orders: Orders,
    /// The guard's file, for reloads.
    file: Option<Arc<PathBuf>>,
    is_ending: Arc<AtomicBool>,
}

impl Service {
    /// Reads the guard's file.
    ///
    /// # Errors
    /// Everything that is wrong with the file, by key.
    pub fn from_file(file: PathBuf) -> Result<Self, BuildError> {
        let service = Self::from_builder(GuardConfig::from_file(&file)?.into_builder())?;
        Ok(Self { file: Some(Arc::new(file)), ..service })
    }

    /// With a guard that a test changes before it is built.
    ///
    /// # Errors
    /// Everything that is wrong with the guard.
    pub fn from_builder(builder: GuardBuilder) -> Result<Self, BuildError> {
        let guard = with_code(builder).build()?;
        Ok(Self { guard, orders: Orders::default(), file: None, is_ending: Arc::default() })
    }

    /// The guard: its layer, its health.
    #[must_use]
    pub fn guard(&self) -> &Guard<Caller> {
        &self.guard
    }

    /// The orders.
    #[must_use]
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Reads the guard's file again. Requests under way go on under the rules they began with; a file with a mistake
    /// changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn reload(&self) -> Result<(), BuildError> {
        match &self.file {
            Some(file) => {
                self.guard.reload(with_code(GuardConfig::from_file(file.as_path())?.into_builder()))
            }
            None => Ok(()),
        }
    }

    /// From now on this instance is not ready.
    pub fn begin_to_end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Whether it can take requests: the guard has keys, and the service goes on.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_ending.load(Ordering::Relaxed) && self.guard.health().ok
    }
}

/// What code adds to the file. It is for the start and for each reload: a reload puts in force what it is given and nothing
/// else, so a rule that is added here alone for the start would be gone after it.
fn with_code(builder: GuardBuilder) -> GuardBuilder<Caller> {
    builder.claims::<Caller>().on_rejection(problem::of_rejection)
}
