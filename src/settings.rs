//! The module's settings: `CONFIG SET ratelimit.<name>`, or a line of the same name in redis.conf.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::ffi::Context;

/// Whether MODULE UNLOAD works. Default: no.
static ALLOW_UNLOAD: AtomicBool = AtomicBool::new(false);

pub(crate) fn allow_unload() -> bool {
    ALLOW_UNLOAD.load(Relaxed)
}

/// Redis 6.2 has no settings for modules, so it never unloads the module while it runs.
pub(crate) fn register(ctx: &Context) -> Result<(), &'static str> {
    ctx.register_switch(c"allow-unload", &ALLOW_UNLOAD)
}
