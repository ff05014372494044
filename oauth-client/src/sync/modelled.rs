//! The types of [`sync`](super) as unit tests have them: as ever outside of a model, and shuttle's inside.
//!
//! In a model all threads and tasks take turns on one thread of the machine. A turn may end wherever one of them locks a
//! mutex, waits, or touches an atomic pointer. arc-swap and tokio's channels are opaque: each call is one step. So orders of
//! steps are explored, and reorderings of memory within arc-swap are not.

use std::cell::Cell;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult};
use std::task::{Context, Poll};

use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner};

/// What a thread of a model may take: futures are large without optimisation.
const STACK: usize = 1 << 20;

thread_local! {
    static IN_A_MODEL: Cell<bool> = const { Cell::new(false) };
}

/// The schedules of the usual test run are the same ones each time, so that a change is judged and not chance.
const SEED: u64 = 1;
/// How many there are.
const SCHEDULES: u64 = 500;

/// Runs the model under random schedules. A failure prints its seed: `OAUTH_MODEL_SEED` runs it again, and
/// `OAUTH_MODEL_SCHEDULES` runs more.
pub(crate) fn model(run: impl Fn() + Send + Sync + 'static) {
    // Timers ask for a runtime. This one is never driven, so that no time passes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let given = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = given("OAUTH_MODEL_SEED").unwrap_or(SEED);
    let schedules = usize::try_from(given("OAUTH_MODEL_SCHEDULES").unwrap_or(SCHEDULES)).unwrap();
    println!("OAUTH_MODEL_SEED={seed}");
    let leave = Leave;
    IN_A_MODEL.set(true);
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(RandomScheduler::new_from_seed(seed, schedules), config).run(run);
    drop(leave);
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        IN_A_MODEL.set(false);
    }
}

fn is_model() -> bool {
    IN_A_MODEL.get()
}

/// A place where another thread may go on.
fn turn() {
    if is_model() {
        shuttle::thread::yield_now();
    }
}

#[derive(Debug)]
pub(crate) enum Mutex<T> {
    Real(std::sync::Mutex<T>),
    Model(shuttle::sync::Mutex<T>),
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        match is_model() {
            true => Self::Model(shuttle::sync::Mutex::new(value)),
            false => Self::Real(std::sync::Mutex::new(value)),
        }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        match self {
            Self::Real(mutex) => match mutex.lock() {
                Ok(guard) => Ok(MutexGuard::Real(guard)),
                Err(poisoned) => Err(PoisonError::new(MutexGuard::Real(poisoned.into_inner()))),
            },
            Self::Model(mutex) => match mutex.lock() {
                Ok(guard) => Ok(MutexGuard::Model(guard)),
                Err(poisoned) => Err(PoisonError::new(MutexGuard::Model(poisoned.into_inner()))),
            },
        }
    }

    pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        match self {
            Self::Real(mutex) => {
                mutex.try_lock().map(MutexGuard::Real).map_err(|error| tried(error, MutexGuard::Real))
            }
            Self::Model(mutex) => {
                mutex.try_lock().map(MutexGuard::Model).map_err(|error| tried(error, MutexGuard::Model))
            }
        }
    }
}

fn tried<A, B>(error: TryLockError<A>, as_ours: fn(A) -> B) -> TryLockError<B> {
    match error {
        TryLockError::WouldBlock => TryLockError::WouldBlock,
        TryLockError::Poisoned(poisoned) => PoisonError::new(as_ours(poisoned.into_inner())).into(),
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

pub(crate) enum MutexGuard<'a, T> {
    Real(std::sync::MutexGuard<'a, T>),
    Model(shuttle::sync::MutexGuard<'a, T>),
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Real(guard) => guard,
            Self::Model(guard) => guard,
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Real(guard) => guard,
            Self::Model(guard) => guard,
        }
    }
}

#[derive(Debug)]
pub(crate) struct ArcSwapOption<T>(arc_swap::ArcSwapOption<T>);

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self(arc_swap::ArcSwapOption::empty())
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Option<Arc<T>>> {
        turn();
        self.0.load()
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        turn();
        self.0.store(value);
    }
}

/// A runtime: tokio's, or the model's.
pub(crate) struct Handle(tokio::runtime::Handle);

impl Handle {
    pub(crate) fn try_current() -> Result<Self, tokio::runtime::TryCurrentError> {
        tokio::runtime::Handle::try_current().map(Self)
    }

    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match is_model() {
            true => JoinHandle::Model(shuttle::future::spawn(task)),
            false => JoinHandle::Real(self.0.spawn(task)),
        }
    }
}

pub(crate) enum JoinHandle<T> {
    Real(tokio::task::JoinHandle<T>),
    Model(shuttle::future::JoinHandle<T>),
}

impl<T> JoinHandle<T> {
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        match self {
            Self::Real(task) => AbortHandle::Real(task.abort_handle()),
            Self::Model(task) => AbortHandle::Model(task.abort_handle()),
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Real(task) => Pin::new(task).poll(cx).map_err(|_| ()),
            Self::Model(task) => Pin::new(task).poll(cx).map_err(|_| ()),
        }
    }
}

#[derive(Clone)]
pub(crate) enum AbortHandle {
    Real(tokio::task::AbortHandle),
    Model(shuttle::future::AbortHandle),
}

impl AbortHandle {
    pub(crate) fn abort(&self) {
        match self {
            Self::Real(task) => task.abort(),
            Self::Model(task) => task.abort(),
        }
    }
}
