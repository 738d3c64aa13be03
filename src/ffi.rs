//! The server's API, made safe: every `unsafe` of the module is in this file.
//!
//! What it leans on, wherever nothing else is said: a pointer that the server hands to a callback
//! lives until the callback returns, and our types borrow it no longer; [`api_is_complete`] held at
//! load, so the functions that are unwrapped unchecked exist; commands run on one thread, one at a time.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::io;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use redis_module::{raw, Context as LoadContext};

pub(crate) use crate::command_info::CommandInfo;
use crate::commands::{answer, Command};
use crate::stats;

/// Whether the server has every function that is called here unchecked. `Log` alone is called
/// before this is asked, and is as old as modules are.
pub(crate) fn api_is_complete() -> bool {
    // Safety: the server has filled the table before the module is asked to load.
    unsafe {
        [
            raw::RedisModule_Call.map(drop),
            raw::RedisModule_CallReplyType.map(drop),
            raw::RedisModule_CloseKey.map(drop),
            raw::RedisModule_CreateCommand.map(drop),
            raw::RedisModule_CreateString.map(drop),
            raw::RedisModule_FreeCallReply.map(drop),
            raw::RedisModule_FreeString.map(drop),
            raw::RedisModule_GetAbsExpire.map(drop),
            raw::RedisModule_GetApi.map(drop),
            raw::RedisModule_GetContextFlags.map(drop),
            raw::RedisModule_InfoAddFieldULongLong.map(drop),
            raw::RedisModule_InfoAddSection.map(drop),
            raw::RedisModule_KeyType.map(drop),
            raw::RedisModule_OpenKey.map(drop),
            raw::RedisModule_RegisterInfoFunc.map(drop),
            raw::RedisModule_Replicate.map(drop),
            raw::RedisModule_ReplyWithArray.map(drop),
            raw::RedisModule_ReplyWithError.map(drop),
            raw::RedisModule_ReplyWithLongLong.map(drop),
            raw::RedisModule_SetAbsExpire.map(drop),
            raw::RedisModule_SetModuleOptions.map(drop),
            raw::RedisModule_SignalModifiedKey.map(drop),
            raw::RedisModule_StringDMA.map(drop),
            raw::RedisModule_StringPtrLen.map(drop),
            raw::RedisModule_StringTruncate.map(drop),
            raw::RedisModule_WrongArity.map(drop),
        ]
    }
    .iter()
    .all(Option::is_some)
}

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

/// The words of a call. The first is the command's name, the second the key.
pub(crate) struct Arguments<'a>(&'a [*mut raw::RedisModuleString]);

/// The key's name, as the server holds it.
#[derive(Clone, Copy)]
pub(crate) struct KeyName<'a>(*mut raw::RedisModuleString, PhantomData<&'a ()>);

impl<'a> Arguments<'a> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn key(&self) -> KeyName<'a> {
        KeyName(self.0[1], PhantomData)
    }

    pub(crate) fn get(&self, i: usize) -> Option<&'a [u8]> {
        self.0.get(i).map(|&word| string_bytes(word))
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
    // Safety: an argument's bytes stay where they are for the call.
    unsafe {
        let bytes = raw::RedisModule_StringPtrLen.unwrap_unchecked()(string, &mut len);
        slice::from_raw_parts(bytes.cast(), len)
    }
}

/// The server, for the length of one callback.
pub(crate) struct Context(*mut raw::RedisModuleCtx);

impl Context {
    pub(crate) fn at_load(ctx: &LoadContext) -> Self {
        Self(ctx.ctx)
    }

    /// The text must hold nothing of what a client sent.
    pub(crate) fn log_warning(&self, text: &str) {
        // Safety: "%.*s" takes a length and as many bytes; no byte of the text is a directive.
        unsafe {
            raw::RedisModule_Log.unwrap_unchecked()(
                self.0,
                c"warning".as_ptr(),
                c"%.*s".as_ptr(),
                text.len() as c_int,
                text.as_ptr(),
            );
        }
    }

    /// Without automatic memory it is ours until it is freed.
    fn create_string(&self, bytes: &[u8]) -> *mut raw::RedisModuleString {
        // Safety: the server copies the bytes.
        unsafe {
            raw::RedisModule_CreateString.unwrap_unchecked()(
                self.0,
                bytes.as_ptr().cast(),
                bytes.len(),
            )
        }
    }

    /// With no argument at all nothing runs: the server says EINVAL where it knows the command.
    pub(crate) fn knows_command(&self, name: &CStr) -> bool {
        // Safety: the format is empty, so nothing is read behind it. A reply would be ours to free.
        unsafe {
            let reply =
                raw::RedisModule_Call.unwrap_unchecked()(self.0, name.as_ptr(), c"".as_ptr());
            if let Some(reply) = NonNull::new(reply) {
                raw::RedisModule_FreeCallReply.unwrap_unchecked()(reply.as_ptr());
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
        unsafe { raw::RedisModule_SetModuleOptions.unwrap_unchecked()(self.0, options as c_int) };
    }

    pub(crate) fn register_command<C: Command>(&self) -> Result<(), &'static str> {
        let key = c_int::from(C::INFO.is_some());
        // Safety: the strings are static. The entry has the signature that the server calls.
        let created = unsafe {
            raw::RedisModule_CreateCommand.unwrap_unchecked()(
                self.0,
                C::NAME.as_ptr(),
                Some(entry::<C>),
                C::FLAGS.as_ptr(),
                key,
                key,
                key,
            )
        };
        if created != raw::REDISMODULE_OK as c_int {
            return Err("a command of this name exists already");
        }
        C::INFO.map_or(Ok(()), |info| self.describe_command(C::NAME, &info))
    }

    /// As far as the server can be told: Redis 7.0 and 7.2 on.
    fn describe_command(&self, name: &CStr, info: &CommandInfo) -> Result<(), &'static str> {
        // Safety: the server copies what it is given; `with_raw` keeps it alive for the call.
        unsafe {
            let command = raw::RedisModule_GetCommand.map(|get| get(self.0, name.as_ptr()));
            let Some(command) = command.filter(|command| !command.is_null()) else {
                return Ok(());
            };
            if let Some(set_info) = raw::RedisModule_SetCommandInfo {
                let set = info.with_raw(|raw_info| set_info(command, raw_info));
                if set != raw::REDISMODULE_OK as c_int {
                    return Err("the server refused the description of a command");
                }
            }
            if let Some(set_categories) = raw::RedisModule_SetCommandACLCategories {
                let set = set_categories(command, info.acl_categories.as_ptr());
                if set != raw::REDISMODULE_OK as c_int {
                    return Err("the server refused the ACL categories of a command");
                }
            }
        }
        Ok(())
    }

    /// A setting that is on or off, off by default. Nothing where the server has no such API.
    pub(crate) fn register_switch(
        &self,
        name: &CStr,
        switch: &'static AtomicBool,
    ) -> Result<(), &'static str> {
        // Safety: the switch is static, and the callbacks read it as what it is.
        unsafe {
            let Some(register) = raw::RedisModule_RegisterBoolConfig else { return Ok(()) };
            let registered = register(
                self.0,
                name.as_ptr(),
                0,
                raw::REDISMODULE_CONFIG_DEFAULT,
                Some(get_switch),
                Some(set_switch),
                None,
                ptr::from_ref(switch).cast_mut().cast(),
            );
            let load = raw::RedisModule_LoadConfigs.ok_or("the server cannot load settings")?;
            if registered != raw::REDISMODULE_OK as c_int
                || load(self.0) != raw::REDISMODULE_OK as c_int
            {
                return Err("a setting was refused");
            }
        }
        Ok(())
    }

    pub(crate) fn register_info(&self) {
        // Safety: the callback has the signature that the server calls.
        unsafe { raw::RedisModule_RegisterInfoFunc.unwrap_unchecked()(self.0, Some(info)) };
    }

    /// Above `maxmemory` at this very moment: what this call itself takes is counted too.
    pub(crate) fn is_above_maxmemory(&self) -> bool {
        // Safety: returns flags.
        let flags = unsafe { raw::RedisModule_GetContextFlags.unwrap_unchecked()(self.0) };
        flags & raw::REDISMODULE_CTX_FLAGS_OOM as c_int != 0
    }

    /// Whether the server, which has evicted what it may before this call, would take a command that
    /// needs memory (`M`). Asked with SET, which was there at load, and with XX, so that it does nothing
    /// to a key that is not there, and says so; an error, or no answer from a server before 7.0, is a no.
    pub(crate) fn takes_new_key(&self, name: KeyName) -> bool {
        // Safety: the format names what follows: a string, and two C strings. The reply is ours.
        unsafe {
            let reply = raw::RedisModule_Call.unwrap_unchecked()(
                self.0,
                c"SET".as_ptr(),
                c"EMscc".as_ptr(),
                name.0,
                c"".as_ptr(),
                c"XX".as_ptr(),
            );
            let Some(reply) = NonNull::new(reply) else { return false };
            let kind = raw::RedisModule_CallReplyType.unwrap_unchecked()(reply.as_ptr());
            raw::RedisModule_FreeCallReply.unwrap_unchecked()(reply.as_ptr());
            kind == raw::REDISMODULE_REPLY_NULL as c_int
        }
    }

    pub(crate) fn open_key(&self, name: KeyName, access: Access) -> OpenKey {
        // Safety: the name is an argument of this call.
        OpenKey(unsafe {
            raw::RedisModule_OpenKey.unwrap_unchecked()(self.0, name.0, access as c_int)
        })
    }

    /// WATCHes break, and client caches are told.
    pub(crate) fn signal_modified(&self, name: KeyName) {
        // Safety: the name is an argument of this call.
        unsafe { raw::RedisModule_SignalModifiedKey.unwrap_unchecked()(self.0, name.0) };
    }

    /// `SET name value PXAT expiry`, to replicas and the append-only file. False: nothing was sent.
    pub(crate) fn replicate_set(&self, name: KeyName, value: &[u8], expiry: &[u8]) -> bool {
        if let Some(count) = small_count(value) {
            return self.replicate_count(name, count, expiry);
        }
        // Safety: the format names what follows: a string, bytes and their length, a string
        // retained at load, bytes and their length. The server copies the bytes.
        let sent = unsafe {
            raw::RedisModule_Replicate.unwrap_unchecked()(
                self.0,
                effect().as_ptr(),
                c"sbsb".as_ptr(),
                name.0,
                value.as_ptr(),
                value.len(),
                PXAT.load(Relaxed),
                expiry.as_ptr(),
                expiry.len(),
            )
        };
        sent == raw::REDISMODULE_OK as c_int
    }

    /// The same for a value that is a string retained at load.
    fn replicate_count(&self, name: KeyName, count: usize, expiry: &[u8]) -> bool {
        // Safety: as above. The server counts its references to a string and changes none.
        let sent = unsafe {
            raw::RedisModule_Replicate.unwrap_unchecked()(
                self.0,
                effect().as_ptr(),
                c"sssb".as_ptr(),
                name.0,
                COUNTS[count].load(Relaxed),
                PXAT.load(Relaxed),
                expiry.as_ptr(),
                expiry.len(),
            )
        };
        sent == raw::REDISMODULE_OK as c_int
    }

    pub(crate) fn reply_array(&self, len: usize) {
        // Safety: a number. The result is OK whatever happens.
        unsafe { raw::RedisModule_ReplyWithArray.unwrap_unchecked()(self.0, len as _) };
    }

    pub(crate) fn reply_integer(&self, number: i64) {
        // Safety: as above.
        unsafe { raw::RedisModule_ReplyWithLongLong.unwrap_unchecked()(self.0, number) };
    }

    pub(crate) fn reply_error(&self, text: &CStr) {
        // Safety: the server copies the text.
        unsafe { raw::RedisModule_ReplyWithError.unwrap_unchecked()(self.0, text.as_ptr()) };
    }

    pub(crate) fn reply_wrong_arity(&self) {
        // Safety: writes the server's own text.
        unsafe { raw::RedisModule_WrongArity.unwrap_unchecked()(self.0) };
    }

    #[cfg(feature = "test-hooks")]
    pub(crate) fn reply_ok(&self) {
        // Safety: the server copies the text.
        unsafe {
            raw::RedisModule_ReplyWithSimpleString.unwrap_unchecked()(self.0, c"OK".as_ptr())
        };
    }
}

/// The command that replicas and the append-only file see.
fn effect() -> &'static CStr {
    #[cfg(feature = "test-hooks")]
    if crate::test_hooks::replication_fails() {
        return c"no.such.command";
    }
    c"SET"
}

/// Valkey registers its API under names of its own too.
fn is_valkey() -> bool {
    let mut function: *mut c_void = ptr::null_mut();
    let name = c"ValkeyModule_OpenKey".as_ptr();
    // Safety: the server writes a pointer, or leaves it.
    let found = unsafe {
        raw::RedisModule_GetApi.unwrap_unchecked()(name, ptr::from_mut(&mut function).cast())
    };
    found == raw::REDISMODULE_OK as c_int
}

/// The word PXAT, and the counts below 1000, as the server's own strings, made once: a tenth of the
/// cost of making and freeing one at each call.
static PXAT: AtomicPtr<raw::RedisModuleString> = AtomicPtr::new(ptr::null_mut());
static COUNTS: [AtomicPtr<raw::RedisModuleString>; 1000] =
    [const { AtomicPtr::new(ptr::null_mut()) }; 1000];

pub(crate) fn retain_strings(ctx: &Context) {
    PXAT.store(ctx.create_string(b"PXAT"), Relaxed);
    for (count, string) in COUNTS.iter().enumerate() {
        string.store(ctx.create_string(count.to_string().as_bytes()), Relaxed);
    }
}

/// Whoever still sends one of them has counted itself in.
pub(crate) fn release_strings(ctx: &Context) {
    for string in COUNTS.iter().chain([&PXAT]) {
        let string = string.swap(ptr::null_mut(), Relaxed);
        if !string.is_null() {
            // Safety: it was made by `create_string`, and nothing here holds it any more.
            unsafe { raw::RedisModule_FreeString.unwrap_unchecked()(ctx.0, string) };
        }
    }
}

/// The number that a value of up to three digits is: a count, written without leading zeros. States
/// with a tag are longer.
fn small_count(value: &[u8]) -> Option<usize> {
    if value.is_empty() || value.len() > 3 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |count, digit| count * 10 + usize::from(digit - b'0')))
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
            let bytes = raw::RedisModule_StringDMA.unwrap_unchecked()(
                self.0,
                &mut len,
                Access::Read as c_int,
            );
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
        let kind = unsafe { raw::RedisModule_KeyType.unwrap_unchecked()(self.0) };
        kind as isize == raw::REDISMODULE_KEYTYPE_EMPTY
    }

    /// Only of a key that exists: asked of an empty one, it ends Redis 8.2.
    fn expiry_ms(&self) -> Option<u64> {
        // Safety: the key is open and not empty.
        let expiry = unsafe { raw::RedisModule_GetAbsExpire.unwrap_unchecked()(self.0) };
        u64::try_from(expiry).ok()
    }

    /// Only of a string that was opened for writing. The server unshares it.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let mut len = 0;
        // Safety: the key is open for writing and a string; the bytes are borrowed with it.
        unsafe {
            let access = Access::Write as c_int;
            let bytes = raw::RedisModule_StringDMA.unwrap_unchecked()(self.0, &mut len, access);
            slice::from_raw_parts_mut(bytes.cast(), len)
        }
    }

    /// Makes an empty key a string. New bytes are zero.
    pub(crate) fn resize(&mut self, len: usize) {
        // Safety: the key is open for writing, and a string or empty.
        unsafe { raw::RedisModule_StringTruncate.unwrap_unchecked()(self.0, len) };
    }

    pub(crate) fn set_expiry_ms(&mut self, expiry: u64) {
        // Safety: the key is open for writing and not empty.
        unsafe { raw::RedisModule_SetAbsExpire.unwrap_unchecked()(self.0, expiry as i64) };
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        // Safety: nothing borrows from it any more; the server ignores null.
        unsafe { raw::RedisModule_CloseKey.unwrap_unchecked()(self.0) };
    }
}

/// What INFO is written to.
pub(crate) struct Info(*mut raw::RedisModuleInfoCtx);

impl Info {
    /// False where INFO was not asked for this section.
    pub(crate) fn open_section(&self) -> bool {
        // Safety: an empty name; the server sets the module's before it.
        let opened =
            unsafe { raw::RedisModule_InfoAddSection.unwrap_unchecked()(self.0, c"".as_ptr()) };
        opened == raw::REDISMODULE_OK as c_int
    }

    pub(crate) fn field(&self, name: &CStr, value: u64) {
        // Safety: the server copies the name.
        unsafe {
            raw::RedisModule_InfoAddFieldULongLong.unwrap_unchecked()(self.0, name.as_ptr(), value)
        };
    }
}

/// Where the server enters a command.
extern "C" fn entry<C: Command>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // Safety: the server hands over `argc` strings, which live for the call.
    let words = unsafe { slice::from_raw_parts(argv, argc as usize) };
    answer::<C>(&Context(ctx), &Arguments(words));
    raw::REDISMODULE_OK as c_int
}

extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    stats::tell(&Info(ctx));
}

unsafe extern "C" fn get_switch(_name: *const c_char, switch: *mut c_void) -> c_int {
    // Safety: what was registered is a static switch.
    unsafe { &*switch.cast::<AtomicBool>() }.load(Relaxed).into()
}

unsafe extern "C" fn set_switch(
    _name: *const c_char,
    value: c_int,
    switch: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // Safety: as above.
    unsafe { &*switch.cast::<AtomicBool>() }.store(value != 0, Relaxed);
    raw::REDISMODULE_OK as c_int
}
