//! The body of a response that passes through the layer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response: the service's own, or that of a [`Refusal`](super::Refusal). The
    /// default is empty.
    #[derive(Debug)]
    pub struct Body<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Refusal { #[pin] body: Full<Bytes> },
        Service { #[pin] body: B },
    }
}

impl<B> Body<B> {
    pub(super) fn refusal(bytes: Bytes) -> Self {
        Self { kind: Kind::Refusal { body: Full::new(bytes) } }
    }

    pub(super) fn service(body: B) -> Self {
        Self { kind: Kind::Service { body } }
    }
}

impl<B> Default for Body<B> {
    fn default() -> Self {
        Self::refusal(Bytes::new())
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Refusal { body } => body.poll_frame(cx).map_err(|never| match never {}),
            KindProjection::Service { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Refusal { body } => body.is_end_stream(),
            Kind::Service { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Refusal { body } => body.size_hint(),
            Kind::Service { body } => body.size_hint(),
        }
    }
}
