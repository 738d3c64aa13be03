//! The functions of the module that the server calls, and their registration.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redis_module::raw;

use super::api::api;
use super::{is_ok, Arguments, CommandInfo, Context, OK};
use crate::counters;
use crate::error::Error;

/// A command of the module.
pub(crate) trait Command {
    const NAME: &'static CStr;
    /// As `RedisModule_CreateCommand` takes them.
    const FLAGS: &'static CStr;
    /// `None`: the command has no keys and does not appear in `COMMAND DOCS`.
    const INFO: Option<CommandInfo>;

    /// Either replies as its last act, or returns the error to reply with.
    fn run(ctx: &Context, arguments: &Arguments) -> Result<(), Error>;
}

impl Context {
    pub(crate) fn register_command<C: Command>(&self) -> Result<(), &'static str> {
        let [first_key, last_key, step] = C::INFO.map_or([0, 0, 0], |info| info.keys.range());
        // SAFETY: the strings are static, and `entry` has the signature that the server calls.
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
        if !is_ok(created) {
            return Err("a command of this name exists already");
        }
        C::INFO.map_or(Ok(()), |info| self.describe_command(C::NAME, &info))
    }

    /// Redis takes a description from 7.0 on and ACL categories from 7.2 on. Older servers get
    /// none.
    fn describe_command(&self, name: &CStr, info: &CommandInfo) -> Result<(), &'static str> {
        // SAFETY: the server copies what it is given; `with_raw` keeps it alive for the call.
        unsafe {
            let command = raw::RedisModule_GetCommand.map(|get| get(self.0, name.as_ptr()));
            let Some(command) = command.filter(|command| !command.is_null()) else {
                return Ok(());
            };
            if let Some(set_info) = raw::RedisModule_SetCommandInfo {
                if !is_ok(info.with_raw(|raw_info| set_info(command, raw_info))) {
                    return Err("the server refused the description of a command");
                }
            }
            if let Some(set_categories) = raw::RedisModule_SetCommandACLCategories {
                if !is_ok(set_categories(command, info.acl_categories.as_ptr())) {
                    return Err("the server refused the ACL categories of a command");
                }
            }
        }
        Ok(())
    }

    /// Registers a setting that is on or off, and off by default. Does nothing where the server has
    /// no settings for modules.
    pub(crate) fn register_switch(
        &self,
        name: &CStr,
        switch: &'static AtomicBool,
    ) -> Result<(), &'static str> {
        // SAFETY: the callbacks get the pointer to the switch, which is static, and read it as a
        // switch.
        unsafe {
            let Some(register) = raw::RedisModule_RegisterBoolConfig else { return Ok(()) };
            let load = raw::RedisModule_LoadConfigs.ok_or("the server cannot load settings")?;
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
            if is_ok(registered) && is_ok(load(self.0)) {
                return Ok(());
            }
        }
        Err("the server refused a setting")
    }

    pub(crate) fn register_info(&self) {
        // SAFETY: `info` has the signature that the server calls.
        unsafe { (api().register_info_func)(self.0, Some(info)) };
    }
}

/// The server enters here for each call of a command.
extern "C" fn entry<C: Command>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server hands over `argc` strings, never a negative number; they live for the
    // call.
    let words = unsafe { slice::from_raw_parts(argv, argc as usize) };
    answer::<C>(&Context(ctx), &Arguments(words));
    OK
}

/// The guard: an unwinding panic ends here as an error reply, because it must not reach C.
fn answer<C: Command>(ctx: &Context, arguments: &Arguments) {
    // Safe to unwind: a call changes counters and the server's keys only, and writes keys last.
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
        _ => {
            let (code, sentence) = error.text();
            ctx.reply_error(code, sentence);
        }
    }
}

/// Writes the module's section of INFO. The server calls it at each INFO; where INFO was asked for
/// other sections only, the server does not open this one.
extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, _for_crash_report: c_int) {
    // SAFETY: an empty name makes the module's own name that of the section. The server copies the
    // names of the fields.
    unsafe {
        if !is_ok((api().info_add_section)(ctx, c"".as_ptr())) {
            return;
        }
        for (name, counter) in counters::ALL {
            (api().info_add_field)(ctx, name.as_ptr(), counter.value());
        }
    }
}

unsafe extern "C" fn get_switch(_name: *const c_char, switch: *mut c_void) -> c_int {
    // SAFETY: `register_switch` registered a static switch.
    unsafe { &*switch.cast::<AtomicBool>() }.load(Relaxed).into()
}

unsafe extern "C" fn set_switch(
    _name: *const c_char,
    value: c_int,
    switch: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: `register_switch` registered a static switch.
    unsafe { &*switch.cast::<AtomicBool>() }.store(value != 0, Relaxed);
    OK
}
