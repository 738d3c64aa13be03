//! The server's functions that the module calls without a check.
//!
//! The crate `redis-module` holds each function as an `Option`, because an old server may lack it.
//! A check at each call would cost about three instructions. So load takes the functions that every
//! call needs into one struct, and fails if one is missing. A function without a field here can be
//! called only with a check.

use std::ffi::{c_char, c_int, c_long, c_longlong, c_ulonglong, c_void};
use std::mem::MaybeUninit;

use redis_module::raw;
use redis_module::raw::RedisModuleCallReply as CallReply;
use redis_module::raw::RedisModuleCtx as Ctx;
use redis_module::raw::RedisModuleInfoCtx as InfoCtx;
use redis_module::raw::RedisModuleKey as Key;
use redis_module::raw::RedisModuleString as Str;

/// Each field is the function `RedisModule_<Name>`, described in the server's module API reference.
pub(super) struct Api {
    pub(super) call:
        unsafe extern "C" fn(*mut Ctx, *const c_char, *const c_char, ...) -> *mut CallReply,
    pub(super) call_reply_type: unsafe extern "C" fn(*mut CallReply) -> c_int,
    pub(super) close_key: unsafe extern "C" fn(*mut Key),
    pub(super) create_command: unsafe extern "C" fn(
        *mut Ctx,
        *const c_char,
        raw::RedisModuleCmdFunc,
        *const c_char,
        c_int,
        c_int,
        c_int,
    ) -> c_int,
    pub(super) create_string: unsafe extern "C" fn(*mut Ctx, *const c_char, usize) -> *mut Str,
    pub(super) free_call_reply: unsafe extern "C" fn(*mut CallReply),
    pub(super) free_string: unsafe extern "C" fn(*mut Ctx, *mut Str),
    pub(super) get_abs_expire: unsafe extern "C" fn(*mut Key) -> raw::mstime_t,
    pub(super) get_api: unsafe extern "C" fn(*const c_char, *mut c_void) -> c_int,
    pub(super) get_context_flags: unsafe extern "C" fn(*mut Ctx) -> c_int,
    pub(super) info_add_field:
        unsafe extern "C" fn(*mut InfoCtx, *const c_char, c_ulonglong) -> c_int,
    pub(super) info_add_section: unsafe extern "C" fn(*mut InfoCtx, *const c_char) -> c_int,
    pub(super) key_type: unsafe extern "C" fn(*mut Key) -> c_int,
    pub(super) log: unsafe extern "C" fn(*mut Ctx, *const c_char, *const c_char, ...),
    pub(super) open_key: unsafe extern "C" fn(*mut Ctx, *mut Str, c_int) -> *mut Key,
    pub(super) register_info_func:
        unsafe extern "C" fn(*mut Ctx, raw::RedisModuleInfoFunc) -> c_int,
    pub(super) replicate:
        unsafe extern "C" fn(*mut Ctx, *const c_char, *const c_char, ...) -> c_int,
    pub(super) reply_with_array: unsafe extern "C" fn(*mut Ctx, c_long) -> c_int,
    pub(super) reply_with_error: unsafe extern "C" fn(*mut Ctx, *const c_char) -> c_int,
    pub(super) reply_with_long_long: unsafe extern "C" fn(*mut Ctx, c_longlong) -> c_int,
    pub(super) set_abs_expire: unsafe extern "C" fn(*mut Key, raw::mstime_t) -> c_int,
    pub(super) set_module_options: unsafe extern "C" fn(*mut Ctx, c_int),
    pub(super) signal_modified_key: unsafe extern "C" fn(*mut Ctx, *mut Str) -> c_int,
    pub(super) string_dma: unsafe extern "C" fn(*mut Key, *mut usize, c_int) -> *mut c_char,
    pub(super) string_ptr_len: unsafe extern "C" fn(*const Str, *mut usize) -> *const c_char,
    pub(super) string_truncate: unsafe extern "C" fn(*mut Key, usize) -> c_int,
    pub(super) wrong_arity: unsafe extern "C" fn(*mut Ctx) -> c_int,
}

static mut API: MaybeUninit<Api> = MaybeUninit::uninit();

/// The functions. Call it only after [`load`] has returned `Some`. So it is wherever there is a
/// [`super::Context`]: the first one is made by [`super::Context::at_load`], which calls `load`,
/// and the callbacks that make the others are registered through the first.
#[inline(always)]
pub(super) fn api() -> &'static Api {
    let api = &raw const API;
    // SAFETY: `load` has filled it. Only the server's main thread reads and writes it.
    unsafe { (*api).assume_init_ref() }
}

/// Takes the functions out of the server's table. `None` if the server lacks one.
pub(super) fn load() -> Option<()> {
    // SAFETY: the server has filled its table before it lets the module load. Only the server's
    // main thread reads and writes `API`, and no caller keeps a reference to it.
    unsafe {
        (&raw mut API).write(MaybeUninit::new(Api {
            call: raw::RedisModule_Call?,
            call_reply_type: raw::RedisModule_CallReplyType?,
            close_key: raw::RedisModule_CloseKey?,
            create_command: raw::RedisModule_CreateCommand?,
            create_string: raw::RedisModule_CreateString?,
            free_call_reply: raw::RedisModule_FreeCallReply?,
            free_string: raw::RedisModule_FreeString?,
            get_abs_expire: raw::RedisModule_GetAbsExpire?,
            get_api: raw::RedisModule_GetApi?,
            get_context_flags: raw::RedisModule_GetContextFlags?,
            info_add_field: raw::RedisModule_InfoAddFieldULongLong?,
            info_add_section: raw::RedisModule_InfoAddSection?,
            key_type: raw::RedisModule_KeyType?,
            log: raw::RedisModule_Log?,
            open_key: raw::RedisModule_OpenKey?,
            register_info_func: raw::RedisModule_RegisterInfoFunc?,
            replicate: raw::RedisModule_Replicate?,
            reply_with_array: raw::RedisModule_ReplyWithArray?,
            reply_with_error: raw::RedisModule_ReplyWithError?,
            reply_with_long_long: raw::RedisModule_ReplyWithLongLong?,
            set_abs_expire: raw::RedisModule_SetAbsExpire?,
            set_module_options: raw::RedisModule_SetModuleOptions?,
            signal_modified_key: raw::RedisModule_SignalModifiedKey?,
            string_dma: raw::RedisModule_StringDMA?,
            string_ptr_len: raw::RedisModule_StringPtrLen?,
            string_truncate: raw::RedisModule_StringTruncate?,
            wrong_arity: raw::RedisModule_WrongArity?,
        }));
    }
    Some(())
}
