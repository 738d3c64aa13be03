//! A key while it is open.

use std::ffi::c_int;
use std::slice;

use redis_module::raw;

use super::api::api;
use super::{Context, KeyName};

impl Context {
    pub(crate) fn open_key(&self, name: KeyName, access: Access) -> OpenKey {
        // Safety: the name is an argument of this call.
        OpenKey(unsafe { (api().open_key)(self.0, name.0, access as c_int) })
    }

    /// WATCHes break, and client caches are told.
    pub(crate) fn signal_modified(&self, name: KeyName) {
        // Safety: the name is an argument of this call.
        unsafe { (api().signal_modified_key)(self.0, name.0) };
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Access {
    Read = raw::REDISMODULE_READ as isize,
    Write = (raw::REDISMODULE_READ | raw::REDISMODULE_WRITE) as isize,
}

/// A key while it is open. Null where it was opened to be read and is not there.
pub(crate) struct OpenKey(*mut raw::RedisModuleKey);

pub(crate) enum Content<'a> {
    Nothing,
    /// Its bytes, and its expiry in milliseconds since 1970; `None`: it never expires.
    String(&'a [u8], Option<u64>),
    Other,
}

impl OpenKey {
    /// The server is asked for the bytes first, because that answers nearly every call: it has
    /// none for another type, and an empty string stands for nothing at all too.
    pub(crate) fn content(&self) -> Content<'_> {
        if self.0.is_null() {
            return Content::Nothing;
        }
        let mut len = 0;
        // Safety: the key is open. The bytes stay until it is changed, which takes `&mut self`.
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
        // Safety: the key is open.
        let kind = unsafe { (api().key_type)(self.0) };
        kind as isize == raw::REDISMODULE_KEYTYPE_EMPTY
    }

    /// Only of a key that exists: asked of an empty one, it ends Redis 8.2.
    fn expiry_ms(&self) -> Option<u64> {
        // Safety: the key is open and not empty.
        let expiry = unsafe { (api().get_abs_expire)(self.0) };
        u64::try_from(expiry).ok()
    }

    /// Only of a string that was opened for writing. The server unshares it.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let mut len = 0;
        // Safety: the key is open for writing and a string; the bytes are borrowed with it.
        unsafe {
            let access = Access::Write as c_int;
            let bytes = (api().string_dma)(self.0, &mut len, access);
            slice::from_raw_parts_mut(bytes.cast(), len)
        }
    }

    /// Makes an empty key a string. New bytes are zero.
    pub(crate) fn resize(&mut self, len: usize) {
        // Safety: the key is open for writing, and a string or empty.
        unsafe { (api().string_truncate)(self.0, len) };
    }

    pub(crate) fn set_expiry_ms(&mut self, expiry: u64) {
        // Safety: the key is open for writing and not empty.
        unsafe { (api().set_abs_expire)(self.0, expiry as i64) };
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        // Safety: nothing borrows from it any more; the server ignores null.
        unsafe { (api().close_key)(self.0) };
    }
}
