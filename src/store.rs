//! The key: what it holds, and how it is changed in place.

use ratelimit_core::{NextOf, Stored};

use crate::error::Error;
pub(crate) use crate::ffi::Access;
use crate::ffi::{Content, Context, KeyName, OpenKey};

/// An open key, with what was read of it.
pub(crate) struct Key<'a> {
    ctx: &'a Context,
    name: KeyName<'a>,
    open: OpenKey,
    /// The length of the string that was read; `None` if there was none.
    len: Option<usize>,
    expiry_ms: Option<u64>,
}

impl<'a> Key<'a> {
    #[inline(always)]
    pub(crate) fn open(ctx: &'a Context, name: KeyName<'a>, access: Access) -> Self {
        Self { ctx, name, open: ctx.open_key(name, access), len: None, expiry_ms: None }
    }

    /// Reads the key.
    #[inline(always)]
    pub(crate) fn stored(&mut self) -> Result<Option<Stored<'_>>, Error> {
        match self.open.content() {
            Content::Nothing => Ok(None),
            Content::Other => Err(Error::WrongType),
            Content::String(value, expiry_ms) => {
                (self.len, self.expiry_ms) = (Some(value.len()), expiry_ms);
                Ok(Some(Stored { value, expiry_ms }))
            }
        }
    }

    /// When memory is full, a key that exists goes on limiting; only a new one is an error, and
    /// only where the server itself would not make it. To ask the server costs a command, so the
    /// module asks only while memory is above `maxmemory`.
    #[inline(always)]
    pub(crate) fn make_room(&self) -> Result<(), Error> {
        let is_new = self.len.is_none();
        if is_new && self.ctx.is_above_maxmemory() && !self.ctx.takes_new_key(self.name) {
            return Err(Error::OutOfMemory);
        }
        Ok(())
    }

    /// Cannot fail: the key is a string or nothing, it is open for writing, and the value is short.
    /// The bytes are written last, because setting the expiry may move them.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(&mut self, next: &NextOf<N>) {
        if self.len != Some(next.value().len()) {
            self.open.resize(next.value().len());
        }
        if self.expiry_ms != Some(next.expiry_ms) {
            self.open.set_expiry_ms(next.expiry_ms);
        }
        self.open.bytes_mut().copy_from_slice(next.value());
        self.ctx.signal_modified(self.name);
    }
}
