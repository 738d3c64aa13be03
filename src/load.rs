//! What happens once, when the server loads or unloads the module.

use crate::ffi::{server_runs, Context};
use crate::{commands, replicate, settings};

pub(crate) fn load(ctx: &Context, has_arguments: bool) -> Result<(), &'static str> {
    if has_arguments {
        return Err("the module takes no arguments; settings go by CONFIG SET or redis.conf");
    }
    if !ctx.knows_command(c"SET") {
        return Err("the command SET is renamed or disabled, but allowed calls reach replicas \
                    and the append-only file as SET: remove rename-command SET");
    }
    ctx.set_module_options();
    commands::register(ctx)?;
    settings::register(ctx)?;
    ctx.register_info();
    ctx.subscribe_to_events()?;
    replicate::retain_strings(ctx);
    Ok(())
}

/// Refuses while the server runs, unless a setting says that unloading is meant. A client or an ACL
/// rule may still refer to the commands, and that can end the server (docs/upgrade.md).
///
/// Right after the load and during the shutdown, the server may unload the module by itself, and
/// the module must not refuse:
/// - Right after a MODULE LOADEX with a setting that nobody knows. If the module refused, Redis 8.2
///   would abort, and other servers would answer an error and keep the module.
/// - Valkey 9, when it shuts down.
pub(crate) fn unload(ctx: &Context) -> Result<(), &'static str> {
    if server_runs() && !settings::allow_unload() {
        return Err("unloading is refused; CONFIG SET ratelimit.allow-unload yes allows it");
    }
    replicate::release_strings(ctx);
    Ok(())
}
