//! The words of a call, as the server holds them.

use std::marker::PhantomData;
use std::slice;

use redis_module::raw;

use super::api::api;

/// The words of a call. The first is the command's name, the second the key.
pub(crate) struct Arguments<'a>(pub(super) &'a [*mut raw::RedisModuleString]);

/// The name of a key.
#[derive(Clone, Copy)]
pub(crate) struct KeyName<'a>(pub(super) *mut raw::RedisModuleString, PhantomData<&'a ()>);

impl<'a> Arguments<'a> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn key(&self) -> KeyName<'a> {
        KeyName(self.0[1], PhantomData)
    }

    pub(crate) fn get(&self, place: usize) -> Option<&'a [u8]> {
        self.0.get(place).map(|&word| string_bytes(word))
    }

    pub(crate) fn behind_key(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0[2..].iter().map(|&word| string_bytes(word))
    }

    #[cfg(feature = "test-hooks")]
    pub(crate) fn behind_name(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0[1..].iter().map(|&word| string_bytes(word))
    }
}

fn string_bytes<'a>(string: *mut raw::RedisModuleString) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: the bytes of an argument stay in place for the length of the call.
    unsafe {
        let bytes = (api().string_ptr_len)(string, &mut len);
        slice::from_raw_parts(bytes.cast(), len)
    }
}
