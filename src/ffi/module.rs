//! Where the server enters to load and to unload the module.
//!
//! The crate's macro `redis_module!` does the same, but it makes a context that no unload gives
//! back: 18 kB each time.

use std::ffi::{c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};

use redis_module::{raw, Context as LoadContext};

use super::{is_ok, Context, OK};

const NAME: &CStr = c"ratelimit";
const VERSION: c_int = 1;
const API_VERSION: c_int = 1;
#[allow(clippy::cast_possible_truncation)] // it is 1
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// Defines the two functions that the server looks for by name in the module's file. It stands in
/// the root of the crate.
///
/// `load` takes the context and whether the module was given arguments, `unload` the context. An
/// error is logged, and the module is then not loaded, or not unloaded.
macro_rules! entry_points {
    ($load:path, $unload:path) => {
        #[no_mangle]
        #[allow(unsafe_code, non_snake_case)] // the server chose the name
        extern "C" fn RedisModule_OnLoad(
            ctx: *mut redis_module::raw::RedisModuleCtx,
            _arguments: *mut *mut redis_module::raw::RedisModuleString,
            argument_count: std::ffi::c_int,
        ) -> std::ffi::c_int {
            ffi::on_load(ctx, |server| $load(server, argument_count > 0))
        }

        #[no_mangle]
        #[allow(unsafe_code, non_snake_case)] // the server chose the name
        extern "C" fn RedisModule_OnUnload(
            ctx: *mut redis_module::raw::RedisModuleCtx,
        ) -> std::ffi::c_int {
            ffi::on_unload(ctx, $unload)
        }
    };
}
pub(crate) use entry_points;

pub(crate) fn on_load(
    ctx: *mut raw::RedisModuleCtx,
    load: impl FnOnce(&Context) -> Result<(), &'static str>,
) -> c_int {
    // SAFETY: the server copies the name. The call fills the table of the server's functions, the
    // allocator among them: nothing before it allocates.
    let registered =
        unsafe { raw::Export_RedisModule_Init(ctx, NAME.as_ptr(), VERSION, API_VERSION) };
    if !is_ok(registered) {
        return ERR;
    }
    let Some(server) = Context::at_load(ctx) else {
        LoadContext::new(ctx)
            .log_warning("this server is too old: Redis 6.2 or later, or Valkey, is needed");
        return ERR;
    };
    status(&server, load)
}

/// The server unloads only what it has loaded, so the functions of `api` are there.
pub(crate) fn on_unload(
    ctx: *mut raw::RedisModuleCtx,
    unload: impl FnOnce(&Context) -> Result<(), &'static str>,
) -> c_int {
    status(&Context(ctx), unload)
}

/// Logs an error or a panic, because the server gets no more than a number.
fn status(server: &Context, step: impl FnOnce(&Context) -> Result<(), &'static str>) -> c_int {
    let outcome = catch_unwind(AssertUnwindSafe(|| step(server)));
    match outcome.unwrap_or(Err("a panic was caught; please report it with the lines on stderr")) {
        Ok(()) => OK,
        Err(why) => {
            server.log_warning(why);
            ERR
        }
    }
}
