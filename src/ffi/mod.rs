//! The server's API, made safe: all `unsafe` of the module is in this folder.
//!
//! Unless a comment says otherwise, the code relies on three things. A pointer that the server
//! hands to a callback lives until the callback returns, and no type here keeps it longer. Commands
//! run on one thread, one at a time. A function of [`api::Api`] is there once a [`Context`] is.

mod api;
mod callbacks;
mod command_info;
mod events;
mod key;
mod module;
mod strings;
mod words;

use std::ffi::{c_int, c_long, c_void, CStr, CString};
use std::io;
use std::ptr::{self, NonNull};

use redis_module::raw;

use api::api;
pub(crate) use callbacks::Command;
pub(crate) use command_info::{Argument, CommandInfo, KeyAccess, Keys, Kind};
pub(crate) use events::server_runs;
pub(crate) use key::{Access, Content, OpenKey};
pub(crate) use module::{entry_points, on_load, on_unload};
pub(crate) use strings::{Retained, Value};
pub(crate) use words::{Arguments, KeyName};

#[allow(clippy::cast_possible_truncation)] // it is 0
const OK: c_int = raw::REDISMODULE_OK as c_int;

fn is_ok(status: c_int) -> bool {
    status == OK
}

/// The server's cached clock in microseconds since 1970, if the server has one.
pub(crate) fn cached_micros() -> Option<i64> {
    // SAFETY: takes nothing, returns a number.
    unsafe { raw::RedisModule_CachedMicroseconds.map(|cached| cached()) }
}

/// The system's clock in microseconds since 1970; 0 if it cannot be read.
pub(crate) fn system_micros() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the system writes only to `time`, and `time` has the type that it writes.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// The server, for the length of one callback.
pub(crate) struct Context(*mut raw::RedisModuleCtx);

impl Context {
    /// `None` if the server lacks a function that the module needs.
    fn at_load(ctx: *mut raw::RedisModuleCtx) -> Option<Self> {
        api::load()?;
        Some(Self(ctx))
    }

    /// The text must hold nothing that a client sent.
    pub(crate) fn log_warning(&self, text: &str) {
        let len = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        // SAFETY: "%.*s" takes a length and as many bytes. The server reads no directive in them.
        unsafe {
            (api().log)(self.0, c"warning".as_ptr(), c"%.*s".as_ptr(), len, text.as_ptr());
        }
    }

    /// Calls the command without an argument, so that nothing runs: the server answers EINVAL if it
    /// knows the command, and ENOENT if not.
    pub(crate) fn knows_command(&self, name: &CStr) -> bool {
        // SAFETY: the format is empty, so the server reads nothing after it. A reply is ours to
        // free.
        unsafe {
            let reply = (api().call)(self.0, name.as_ptr(), c"".as_ptr());
            if let Some(reply) = NonNull::new(reply) {
                (api().free_call_reply)(reply.as_ptr());
                return true;
            }
        }
        io::Error::last_os_error().raw_os_error() != Some(libc::ENOENT)
    }

    /// Three options:
    /// - No implicit signal that a key has changed: a denied call must not break a WATCH.
    /// - Loading of a replica's data set beside the old one: a replica answers from the old one
    ///   meanwhile.
    /// - Only Valkey: migration of slots. The module keeps nothing that a slot would leave behind,
    ///   and without this option Valkey 9 refuses CLUSTER MIGRATESLOTS.
    pub(crate) fn set_module_options(&self) {
        const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;
        let mut options = raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED
            | raw::REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD;
        if is_valkey() {
            options |= HANDLE_ATOMIC_SLOT_MIGRATION;
        }
        // SAFETY: takes a number, which has six bits.
        unsafe { (api().set_module_options)(self.0, options as c_int) };
    }

    /// Whether the server uses more than `maxmemory` at this moment. The memory that this call
    /// takes is included.
    pub(crate) fn is_above_maxmemory(&self) -> bool {
        // SAFETY: returns flags.
        let flags = unsafe { (api().get_context_flags)(self.0) };
        flags & raw::REDISMODULE_CTX_FLAGS_OOM as c_int != 0
    }

    /// Whether the server would run a command that needs memory (`M`). Before this call, the server
    /// has evicted what it may.
    ///
    /// The question is `SET name "" XX`, which load made sure of, and which does nothing to a key
    /// that does not exist: the answer is then null. An error means no, and so does no reply at
    /// all, which servers before 7.0 give.
    pub(crate) fn takes_new_key(&self, name: KeyName) -> bool {
        // SAFETY: the format names what follows it: a string and two C strings. The reply is ours
        // to free.
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
            kind as isize == raw::REDISMODULE_REPLY_NULL
        }
    }

    /// Sends `command name value option expiry` to replicas and the append-only file. False:
    /// nothing was sent.
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
        is_ok(sent)
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
        // SAFETY: the format names what follows it: three strings, bytes and their length. The
        // server takes references of its own to the strings, and changes none.
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
        is_ok(sent)
    }

    pub(crate) fn reply_array(&self, len: usize) {
        // SAFETY: takes a number, which is at most eight. The server always returns OK.
        unsafe { (api().reply_with_array)(self.0, len as c_long) };
    }

    pub(crate) fn reply_integer(&self, number: i64) {
        // SAFETY: takes a number. The server always returns OK.
        unsafe { (api().reply_with_long_long)(self.0, number) };
    }

    /// Replies with `code sentence`.
    pub(crate) fn reply_error(&self, code: &str, sentence: &str) {
        // Only a NUL would make the line empty, and no text of the module has one.
        let line = CString::new(format!("{code} {sentence}")).unwrap_or_default();
        // SAFETY: the server copies the text.
        unsafe { (api().reply_with_error)(self.0, line.as_ptr()) };
    }

    /// Replies with the server's own text, which names the command.
    pub(crate) fn reply_wrong_arity(&self) {
        // SAFETY: takes nothing but the context.
        unsafe { (api().wrong_arity)(self.0) };
    }

    #[cfg(feature = "test-hooks")]
    pub(crate) fn reply_ok(&self) {
        // SAFETY: the server copies the text.
        unsafe {
            raw::RedisModule_ReplyWithSimpleString.map(|reply| reply(self.0, c"OK".as_ptr()))
        };
    }
}

/// Valkey registers its functions under names of its own as well.
fn is_valkey() -> bool {
    let mut function: *mut c_void = ptr::null_mut();
    let name = c"ValkeyModule_OpenKey".as_ptr();
    // SAFETY: the server writes a pointer to `function`, or nothing.
    is_ok(unsafe { (api().get_api)(name, ptr::from_mut(&mut function).cast()) })
}
