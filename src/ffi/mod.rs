//! The server's API, made safe: every `unsafe` of the module is in this folder.
//!
//! What it leans on, wherever nothing else is said: a pointer that the server hands to a callback
//! lives until the callback returns, and our types borrow it no longer; commands run on one thread,
//! one at a time.

mod api;
mod callbacks;
mod command_info;
mod key;
mod strings;
mod words;

use std::ffi::{c_int, c_void, CStr};
use std::io;
use std::ptr::{self, NonNull};

use redis_module::{raw, Context as LoadContext};

use api::api;
pub(crate) use callbacks::Command;
pub(crate) use command_info::{Argument, CommandInfo, KeyAccess, Keys, Kind};
pub(crate) use key::{Access, Content, OpenKey};
pub(crate) use strings::{Retained, Value};
pub(crate) use words::{Arguments, KeyName};

/// The server's cached clock, where it has one, in microseconds since 1970.
pub(crate) fn cached_micros() -> Option<i64> {
    // Safety: takes nothing, returns a number.
    unsafe { raw::RedisModule_CachedMicroseconds.map(|cached| cached()) }
}

/// The system's clock, in microseconds since 1970; 0 where it cannot be read.
pub(crate) fn system_micros() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Safety: `time` is ours and large enough.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// The server, for the length of one callback.
pub(crate) struct Context(*mut raw::RedisModuleCtx);

impl Context {
    /// `None` if the server lacks a function that the module needs.
    pub(crate) fn at_load(ctx: &LoadContext) -> Option<Self> {
        api::load()?;
        Some(Self(ctx.ctx))
    }

    /// The text must hold nothing of what a client sent.
    pub(crate) fn log_warning(&self, text: &str) {
        // Safety: "%.*s" takes a length and as many bytes; no byte of the text is a directive.
        unsafe {
            (api().log)(
                self.0,
                c"warning".as_ptr(),
                c"%.*s".as_ptr(),
                text.len() as c_int,
                text.as_ptr(),
            );
        }
    }

    /// With no argument at all nothing runs: the server says EINVAL where it knows the command.
    pub(crate) fn knows_command(&self, name: &CStr) -> bool {
        // Safety: the format is empty, so nothing is read behind it. A reply would be ours to free.
        unsafe {
            let reply = (api().call)(self.0, name.as_ptr(), c"".as_ptr());
            if let Some(reply) = NonNull::new(reply) {
                (api().free_call_reply)(reply.as_ptr());
                return true;
            }
        }
        io::Error::last_os_error().raw_os_error() != Some(libc::ENOENT)
    }

    /// No implicit signal: a denied call must not break a WATCH. Asynchronous loading: a replica
    /// answers from the old data meanwhile. The third, Valkey's alone: the module has nothing
    /// that a migrating slot would leave behind; without it Valkey 9 refuses CLUSTER MIGRATESLOTS.
    pub(crate) fn set_module_options(&self) {
        const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;
        let mut options = raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED
            | raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD;
        if is_valkey() {
            options |= HANDLE_ATOMIC_SLOT_MIGRATION;
        }
        // Safety: a number.
        unsafe { (api().set_module_options)(self.0, options as c_int) };
    }

    /// Above `maxmemory` at this very moment: what this call itself takes is counted too.
    pub(crate) fn is_above_maxmemory(&self) -> bool {
        // Safety: returns flags.
        let flags = unsafe { (api().get_context_flags)(self.0) };
        flags & raw::REDISMODULE_CTX_FLAGS_OOM as c_int != 0
    }

    /// Whether the server, which has evicted what it may before this call, would take a command that
    /// needs memory (`M`). Asked with SET, which was there at load, and with XX, so that it does nothing
    /// to a key that is not there, and says so; an error, or no answer from a server before 7.0, is a no.
    pub(crate) fn takes_new_key(&self, name: KeyName) -> bool {
        // Safety: the format names what follows: a string, and two C strings. The reply is ours.
        unsafe {
            let reply = (api().call)(
                self.0,
                c"SET".as_ptr(),
                c"EMscc".as_ptr(),
                name.0,
                c"".as_ptr(),
                c"XX".as_ptr(),
            );
            let Some(reply) = NonNull::new(reply) else { return false };
            let kind = (api().call_reply_type)(reply.as_ptr());
            (api().free_call_reply)(reply.as_ptr());
            kind == raw::REDISMODULE_REPLY_NULL as c_int
        }
    }

    /// Sends `command name value option expiry` to replicas and the append-only file. False: nothing
    /// was sent.
    #[inline(always)]
    pub(crate) fn replicate_set(
        &self,
        command: &CStr,
        name: KeyName,
        value: Value,
        option: &Retained,
        expiry: &[u8],
    ) -> bool {
        match value {
            Value::Bytes(value) => self.replicate_bytes(command, name, value, option, expiry),
            Value::Retained(value) => self.replicate_retained(command, name, value, option, expiry),
        }
    }

    fn replicate_bytes(
        &self,
        command: &CStr,
        name: KeyName,
        value: &[u8],
        option: &Retained,
        expiry: &[u8],
    ) -> bool {
        let Some(option) = option.get() else { return false };
        // SAFETY: the format names what follows it: a string, bytes and their length, a string,
        // bytes and their length. The server copies the bytes.
        let sent = unsafe {
            (api().replicate)(
                self.0,
                command.as_ptr(),
                c"sbsb".as_ptr(),
                name.0,
                value.as_ptr(),
                value.len(),
                option,
                expiry.as_ptr(),
                expiry.len(),
            )
        };
        sent == raw::REDISMODULE_OK as c_int
    }

    fn replicate_retained(
        &self,
        command: &CStr,
        name: KeyName,
        value: &Retained,
        option: &Retained,
        expiry: &[u8],
    ) -> bool {
        let (Some(value), Some(option)) = (value.get(), option.get()) else { return false };
        // SAFETY: the format names what follows it: three strings, bytes and their length. The server
        // takes references of its own to the strings, and changes none.
        let sent = unsafe {
            (api().replicate)(
                self.0,
                command.as_ptr(),
                c"sssb".as_ptr(),
                name.0,
                value,
                option,
                expiry.as_ptr(),
                expiry.len(),
            )
        };
        sent == raw::REDISMODULE_OK as c_int
    }

    pub(crate) fn reply_array(&self, len: usize) {
        // Safety: a number. The result is OK whatever happens.
        unsafe { (api().reply_with_array)(self.0, len as _) };
    }

    pub(crate) fn reply_integer(&self, number: i64) {
        // Safety: as above.
        unsafe { (api().reply_with_long_long)(self.0, number) };
    }

    pub(crate) fn reply_error(&self, text: &CStr) {
        // Safety: the server copies the text.
        unsafe { (api().reply_with_error)(self.0, text.as_ptr()) };
    }

    pub(crate) fn reply_wrong_arity(&self) {
        // Safety: writes the server's own text.
        unsafe { (api().wrong_arity)(self.0) };
    }

    #[cfg(feature = "test-hooks")]
    pub(crate) fn reply_ok(&self) {
        // Safety: the server copies the text.
        unsafe {
            raw::RedisModule_ReplyWithSimpleString.map(|reply| reply(self.0, c"OK".as_ptr()))
        };
    }
}

/// Valkey registers its API under names of its own too.
fn is_valkey() -> bool {
    let mut function: *mut c_void = ptr::null_mut();
    let name = c"ValkeyModule_OpenKey".as_ptr();
    // Safety: the server writes a pointer, or leaves it.
    let found = unsafe { (api().get_api)(name, ptr::from_mut(&mut function).cast()) };
    found == raw::REDISMODULE_OK as c_int
}
