//! What happens once, when the server loads or unloads the module.

use redis_module::{Context as LoadContext, RedisString, Status};

use crate::ffi::{server_runs, Context};
use crate::{commands, replicate, settings};

pub(crate) fn load(ctx: &LoadContext, arguments: &[RedisString]) -> Status {
    match try_load(ctx, arguments.len()) {
        Ok(()) => Status::Ok,
        Err(why) => {
            ctx.log_warning(why);
            Status::Err
        }
    }
}

fn try_load(ctx: &LoadContext, arguments: usize) -> Result<(), &'static str> {
    if arguments > 0 {
        return Err("the module takes no arguments; settings go by CONFIG SET or redis.conf");
    }
    let ctx = &Context::at_load(ctx)
        .ok_or("this server is too old: Redis 6.2 or later, or Valkey, is needed")?;
    if !ctx.knows_command(c"SET") {
        return Err("the command SET is renamed or disabled, but allowed calls reach replicas \
                    and the append-only file as SET: remove rename-command SET");
    }
    ctx.set_module_options();
    commands::register(ctx)?;
    settings::register(ctx)?;
    ctx.register_info();
    ctx.follow_whether_server_runs()?;
    replicate::retain_strings(ctx);
    Ok(())
}

/// Refuses while the server runs, unless a setting says that unloading is meant: an ACL rule that
/// names one of the commands outlives them, and Redis 8.2 aborts when it next shows such a rule.
///
/// Before and after, the server unloads for reasons of its own. It does so right after a MODULE
/// LOADEX with a setting that nobody knows: there Redis 8.2 aborts if the module refuses, and other
/// servers answer an error and keep the module. Valkey 9 does so when it ends.
pub(crate) fn unload(ctx: &LoadContext) -> Status {
    if server_runs() && !settings::allow_unload() {
        ctx.log_warning("unloading is refused; CONFIG SET ratelimit.allow-unload yes allows it");
        return Status::Err;
    }
    if let Some(ctx) = Context::at_load(ctx) {
        replicate::release_strings(&ctx);
    }
    Status::Ok
}
