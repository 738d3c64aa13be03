//! A bound on the bytes that many requests hold together.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The room for all.
pub(crate) struct Budget(Semaphore);

/// The room that one of them holds. It is free again when this is dropped.
pub(crate) type Room<'a> = Option<SemaphorePermit<'a>>;

impl Budget {
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self(Semaphore::new(bytes))
    }

    /// Waits until there is room for as many bytes. They come in the order in which they asked.
    pub(crate) async fn room_for(&self, bytes: u32) -> Room<'_> {
        self.0.acquire_many(bytes).await.ok()
    }
}
