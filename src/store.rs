//! The key: what it holds, and the change in place.

use ratelimit_core::{Next, Stored};

use crate::error::Error;
pub(crate) use crate::ffi::Access;
use crate::ffi::{Context, KeyKind, KeyName, OpenKey};

/// A key that is a string or nothing.
pub(crate) struct Key<'a> {
    ctx: &'a Context,
    name: KeyName<'a>,
    open: OpenKey,
    /// What it expires at, where it exists.
    expiry_ms: Option<u64>,
    exists: bool,
}

impl<'a> Key<'a> {
    pub(crate) fn open(ctx: &'a Context, name: KeyName<'a>, access: Access) -> Result<Self, Error> {
        let open = ctx.open_key(name, access);
        let exists = match open.kind() {
            KeyKind::Empty => false,
            KeyKind::String => true,
            KeyKind::Other => return Err(Error::WrongType),
        };
        // Asked of an existing key only: on an empty one it ends Redis 8.2.
        let expiry_ms = if exists { open.expiry_ms() } else { None };
        Ok(Self { ctx, name, open, expiry_ms, exists })
    }

    pub(crate) fn stored(&self) -> Option<Stored<'_>> {
        self.exists.then(|| Stored { value: self.open.bytes(), expiry_ms: self.expiry_ms })
    }

    /// A living key goes on limiting when memory is full; only a new one is refused.
    pub(crate) fn make_room(&self) -> Result<(), Error> {
        if !self.exists && self.ctx.is_out_of_memory() {
            return Err(Error::OutOfMemory);
        }
        Ok(())
    }

    /// Cannot fail: the key is a string or nothing, open for writing, and the value is short.
    /// The bytes come last, because setting the expiry may move them.
    pub(crate) fn write<const N: usize>(&mut self, next: &Next<N>) {
        self.open.resize(next.value().len());
        if self.expiry_ms != Some(next.expiry_ms) {
            self.open.set_expiry_ms(next.expiry_ms);
        }
        self.open.bytes_mut().copy_from_slice(next.value());
        self.ctx.signal_modified(self.name);
    }
}
