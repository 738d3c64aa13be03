//! A key of the server, while the module has it open.

use std::ffi::c_int;
use std::slice;

use redis_module::raw;

use super::api::api;
use super::{Context, KeyName};

/// What a key is opened for.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum Access {
    Read = raw::REDISMODULE_READ as c_int,
    Write = (raw::REDISMODULE_READ | raw::REDISMODULE_WRITE) as c_int,
}

/// An open key. Null if it was opened for reading and does not exist.
pub(crate) struct OpenKey(*mut raw::RedisModuleKey);

/// What a key holds.
pub(crate) enum Content<'a> {
    Nothing,
    /// The bytes, and the expiry in milliseconds since 1970; `None` if the key never expires.
    String(&'a [u8], Option<u64>),
    Other,
}

impl Context {
    pub(crate) fn open_key(&self, name: KeyName, access: Access) -> OpenKey {
        // SAFETY: the name is an argument of this call.
        OpenKey(unsafe { (api().open_key)(self.0, name.0, access as c_int) })
    }

    /// Reports a change to the server, which breaks WATCHes and informs client-side caches.
    pub(crate) fn signal_modified(&self, name: KeyName) {
        // SAFETY: the name is an argument of this call.
        unsafe { (api().signal_modified_key)(self.0, name.0) };
    }
}

impl OpenKey {
    /// Asks for the bytes before it asks for the type, because the bytes answer nearly every call:
    /// the server returns null for another type, and an empty string for a key without a value.
    pub(crate) fn content(&self) -> Content<'_> {
        if self.0.is_null() {
            return Content::Nothing;
        }
        let mut len = 0;
        // SAFETY: the key is open. The bytes stay until the key is changed, which takes `&mut
        // self`.
        unsafe {
            let bytes = (api().string_dma)(self.0, &mut len, Access::Read as c_int);
            if bytes.is_null() {
                return Content::Other;
            }
            if len == 0 && self.is_empty() {
                return Content::Nothing;
            }
            Content::String(slice::from_raw_parts(bytes.cast(), len), self.expiry_ms())
        }
    }

    fn is_empty(&self) -> bool {
        // SAFETY: the key is open.
        let kind = unsafe { (api().key_type)(self.0) };
        kind as isize == raw::REDISMODULE_KEYTYPE_EMPTY
    }

    /// Call it only for a key that exists: for an empty one, Redis 8.2 crashes.
    fn expiry_ms(&self) -> Option<u64> {
        // SAFETY: the key is open and not empty.
        let expiry = unsafe { (api().get_abs_expire)(self.0) };
        u64::try_from(expiry).ok()
    }

    /// Call it only for a string that was opened for writing. If other keys share the bytes, the
    /// server gives this key a copy first.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let mut len = 0;
        // SAFETY: the key is open for writing and a string. The bytes are borrowed as long as the
        // key.
        unsafe {
            let bytes = (api().string_dma)(self.0, &mut len, Access::Write as c_int);
            slice::from_raw_parts_mut(bytes.cast(), len)
        }
    }

    /// Call it only for a string, or for nothing, that was opened for writing. Nothing becomes a
    /// string. New bytes are zero.
    pub(crate) fn resize(&mut self, len: usize) {
        // SAFETY: the key is open for writing, and a string or empty.
        unsafe { (api().string_truncate)(self.0, len) };
    }

    /// Call it only for a key with a value that was opened for writing.
    pub(crate) fn set_expiry_ms(&mut self, expiry_ms: u64) {
        // A valid expiry is far below 2^63: the clock and every window are bounded.
        let expiry_ms = expiry_ms as raw::mstime_t;
        // SAFETY: the key is open for writing and not empty.
        unsafe { (api().set_abs_expire)(self.0, expiry_ms) };
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the key any more. The server ignores null.
        unsafe { (api().close_key)(self.0) };
    }
}
