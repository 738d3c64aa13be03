//! What the server calls, and how it comes to know of it.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redis_module::raw;

use super::api::api;
use super::{Arguments, CommandInfo, Context};
use crate::counters;
use crate::error::Error;

/// A command of the module.
pub(crate) trait Command {
    const NAME: &'static CStr;
    /// As `RedisModule_CreateCommand` has them.
    const FLAGS: &'static CStr;
    /// `None`: hidden from `COMMAND DOCS`, and without keys.
    const INFO: Option<CommandInfo>;

    /// Replies as its last act, or returns what is to be replied as an error.
    fn run(ctx: &Context, arguments: &Arguments) -> Result<(), Error>;
}

impl Context {
    pub(crate) fn register_command<C: Command>(&self) -> Result<(), &'static str> {
        let [first_key, last_key, step] = C::INFO.map_or([0, 0, 0], |info| info.keys.range());
        // Safety: the strings are static. The entry has the signature that the server calls.
        let created = unsafe {
            (api().create_command)(
                self.0,
                C::NAME.as_ptr(),
                Some(entry::<C>),
                C::FLAGS.as_ptr(),
                first_key,
                last_key,
                step,
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
        unsafe { (api().register_info_func)(self.0, Some(info)) };
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

/// Every call passes here. An unwinding panic ends here, as an error reply: beyond lies C.
fn answer<C: Command>(ctx: &Context, arguments: &Arguments) {
    // Unwind safe: what a call changes are the server's keys, which it writes last, and counters.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        if C::INFO.is_some_and(|info| !info.accepts(arguments.len())) {
            return Err(Error::Arity);
        }
        C::run(ctx, arguments)
    }));
    let error = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => {
            counters::CAUGHT_PANICS.count();
            ctx.log_warning("a panic was caught; please report it with the lines on stderr");
            Error::Panic
        }
    };
    counters::ERRORS.count();
    match error {
        Error::Arity => ctx.reply_wrong_arity(),
        _ => ctx.reply_error(error.text()),
    }
}

/// Writes the section `ratelimit` of INFO. The server asks for it on each INFO, and refuses the
/// section where INFO was asked for other sections only.
extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    // Safety: under an empty name the server opens a section of the module's own name. It copies
    // the names of the fields.
    unsafe {
        if (api().info_add_section)(ctx, c"".as_ptr()) != raw::REDISMODULE_OK as c_int {
            return;
        }
        for (name, counter) in counters::ALL {
            (api().info_add_field)(ctx, name.as_ptr(), counter.value());
        }
    }
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
