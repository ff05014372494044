//! The body of a response, as a script: send this, wait, send that, break off.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::wire::transport::TransportError;

/// The body of a response of the [in-process transport](crate::MockTransport).
pub struct MockBody {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Set before a body breaks off with a reset, so that the socket sends RST and not FIN.
    reset: Option<Arc<AtomicBool>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Gives the connection a chance to flush what was sent before it breaks.
    Flush,
    /// Never goes on.
    Stall,
    Fail(TransportError),
}

impl MockBody {
    pub(crate) fn script(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), sleep: None, reset: None }
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::script((!bytes.is_empty()).then_some(Step::Send(bytes)))
    }

    /// Sets `flag` when this body breaks off with a reset.
    pub(crate) fn reports_reset_to(mut self, flag: Arc<AtomicBool>) -> Self {
        self.reset = Some(flag);
        self
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Some(Step::Wait(time)) => self.sleep = Some(Box::pin(sleep(time))),
                Some(Step::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Fail(error)) => {
                    if let (TransportError::Reset, Some(flag)) = (&error, &self.reset) {
                        flag.store(true, Ordering::Release);
                    }
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Body for MockBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        self.poll_step(cx).map(|step| step.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = |step: &Step| match step {
            Step::Send(bytes) => u64::try_from(bytes.len()).ok(),
            _ => None,
        };
        self.steps.iter().map(length).sum::<Option<u64>>().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl fmt::Debug for MockBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be a token.
        f.debug_struct("MockBody").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}
