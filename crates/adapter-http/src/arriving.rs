//! A request's body that shows whether its reader still waits for the client.

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

/// A body that sets [`Awaited`] while its reader waits for the client.
pub(crate) struct Arriving {
    body: Body,
    awaited: Awaited,
}

/// A flag: the reader of a body waits for more bytes from the client.
#[derive(Clone, Default)]
pub(crate) struct Awaited(Arc<AtomicBool>);

impl Awaited {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, awaited: bool) {
        self.0.store(awaited, Relaxed);
    }
}

impl Arriving {
    pub(crate) fn watched(body: Body) -> (Body, Awaited) {
        let awaited = Awaited::default();
        (Body::new(Self { body, awaited: awaited.clone() }), awaited)
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.awaited.set(polled.is_pending());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
