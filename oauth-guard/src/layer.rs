//! The tower layer.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use crate::claims::Untyped;
use crate::guard::Guard;
use crate::policy::Requirement;
use crate::service::GuardService;

/// Puts a [`Guard`] in front of a service. Made by [`Guard::layer`].
///
/// ```
/// use oauth_guard::{Guard, Issuer, Requirement};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .build()?;
/// let anybody = guard.layer();
/// let writers = guard.layer().require(Requirement::scope("write"));
/// let guests_too = guard.layer().optional();
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
pub struct GuardLayer<T = Untyped> {
    gate: Arc<Gate<T>>,
}

/// What one layer asks for, shared by its services.
pub(crate) struct Gate<T> {
    pub(crate) guard: Guard<T>,
    pub(crate) requirement: Option<Requirement>,
    pub(crate) optional: bool,
}

impl<T> GuardLayer<T> {
    pub(crate) fn new(guard: Guard<T>) -> Self {
        Self { gate: Arc::new(Gate { guard, requirement: None, optional: false }) }
    }

    /// Lets only those through whose token meets this too. Call again to ask for both.
    #[must_use]
    pub fn require(self, requirement: Requirement) -> Self {
        self.change(|gate| {
            gate.requirement = Some(match gate.requirement.take() {
                Some(other) => other & requirement,
                None => requirement,
            });
        })
    }

    /// Lets requests without a token through as well, without claims. A bad token is still refused: it is never
    /// taken for none.
    #[must_use]
    pub fn optional(self) -> Self {
        self.change(|gate| gate.optional = true)
    }

    fn change(self, change: impl FnOnce(&mut Gate<T>)) -> Self {
        let mut gate = Gate {
            guard: self.gate.guard.clone(),
            requirement: self.gate.requirement.clone(),
            optional: self.gate.optional,
        };
        change(&mut gate);
        Self { gate: Arc::new(gate) }
    }
}

impl<T, S> Layer<S> for GuardLayer<T> {
    type Service = GuardService<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        GuardService::new(inner, Arc::clone(&self.gate))
    }
}

impl<T> Clone for GuardLayer<T> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate) }
    }
}

impl<T> fmt::Debug for GuardLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer")
            .field("guard", &self.gate.guard)
            .field("requirement", &self.gate.requirement)
            .field("optional", &self.gate.optional)
            .finish()
    }
}
