//! The trait as an object.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Batch, FeedError, Position, Revocation, RevocationFeed};

type Boxed<'a, V> = Pin<Box<dyn Future<Output = Result<V, FeedError>> + Send + 'a>>;

trait Dynamic: fmt::Debug + Send + Sync {
    fn read<'a>(&'a self, after: Option<&'a Position>) -> Boxed<'a, Batch>;
    fn publish<'a>(&'a self, revocations: &'a [Revocation]) -> Boxed<'a, ()>;
    fn interval(&self) -> Option<Duration>;
    fn identity(&self) -> Option<String>;
    fn name(&self) -> String;
}

impl<F: RevocationFeed> Dynamic for F {
    fn read<'a>(&'a self, after: Option<&'a Position>) -> Boxed<'a, Batch> {
        Box::pin(RevocationFeed::read(self, after))
    }

    fn publish<'a>(&'a self, revocations: &'a [Revocation]) -> Boxed<'a, ()> {
        Box::pin(RevocationFeed::publish(self, revocations))
    }

    fn interval(&self) -> Option<Duration> {
        RevocationFeed::interval(self)
    }

    fn identity(&self) -> Option<String> {
        RevocationFeed::identity(self)
    }

    fn name(&self) -> String {
        RevocationFeed::name(self)
    }
}

/// A feed of any type.
#[derive(Clone, Debug)]
pub(crate) struct SharedFeed(Arc<dyn Dynamic>);

impl SharedFeed {
    pub(crate) fn new(feed: impl RevocationFeed) -> Self {
        Self(Arc::new(feed))
    }

    pub(crate) async fn read(&self, after: Option<&Position>) -> Result<Batch, FeedError> {
        self.0.read(after).await
    }

    pub(crate) async fn publish(&self, revocations: &[Revocation]) -> Result<(), FeedError> {
        self.0.publish(revocations).await
    }

    pub(crate) fn interval(&self) -> Option<Duration> {
        self.0.interval()
    }

    pub(crate) fn name(&self) -> String {
        self.0.name()
    }

    /// Whether both read the same place.
    pub(crate) fn reads_the_same(&self, other: &Self) -> bool {
        self.is_same(other) || self.0.identity().is_some_and(|place| other.0.identity() == Some(place))
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
