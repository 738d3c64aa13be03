//! Strings of the server that the module makes once and sends many times.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use redis_module::raw;

use super::api::api;
use super::Context;

/// A string of the server, made at load and released at unload. Outside of that time it is empty.
pub(crate) struct Retained(AtomicPtr<raw::RedisModuleString>);

/// A value to replicate.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Bytes(&'a [u8]),
    Retained(&'a Retained),
}

impl Retained {
    pub(crate) const fn empty() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn fill(&self, ctx: &Context, bytes: &[u8]) {
        // SAFETY: the server copies the bytes. Nothing frees the string but `release`.
        let string = unsafe { (api().create_string)(ctx.0, bytes.as_ptr().cast(), bytes.len()) };
        self.0.store(string, Relaxed);
    }

    /// The server may still be sending the string: it holds a reference of its own, so it is safe
    /// to give up ours.
    pub(crate) fn release(&self, ctx: &Context) {
        if let Some(string) = NonNull::new(self.0.swap(ptr::null_mut(), Relaxed)) {
            // SAFETY: `fill` made the string, and this was the only place that held it.
            unsafe { (api().free_string)(ctx.0, string.as_ptr()) };
        }
    }

    #[inline(always)]
    pub(super) fn get(&self) -> Option<*mut raw::RedisModuleString> {
        Some(self.0.load(Relaxed)).filter(|string| !string.is_null())
    }
}
