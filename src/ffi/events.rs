//! Whether the server runs, as its events say.
//!
//! The module gets no event about itself. The first cron event comes within a tick after the load
//! (0.1 s with the default `hz`), and the shutdown event comes before Valkey 9 unloads its modules.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redis_module::raw;

use super::{is_ok, Context};

static RUNS: AtomicBool = AtomicBool::new(false);

/// True from the first cron event after the load until the shutdown event.
pub(crate) fn server_runs() -> bool {
    RUNS.load(Relaxed)
}

impl Context {
    /// The last step of a load that may fail: Redis 7.0 would keep the subscriptions of a module
    /// that failed to load. Unloading ends them.
    pub(crate) fn subscribe_to_events(&self) -> Result<(), &'static str> {
        self.subscribe(raw::REDISMODULE_EVENT_CRON_LOOP, on_cron)?;
        self.subscribe(raw::REDISMODULE_EVENT_SHUTDOWN, on_shutdown)
    }

    fn subscribe(&self, id: u64, callback: Callback) -> Result<(), &'static str> {
        let event = raw::RedisModuleEvent { id, dataver: 1 };
        // SAFETY: `callback` has the signature that the server calls.
        let subscribed = unsafe {
            raw::RedisModule_SubscribeToServerEvent
                .map(|subscribe| subscribe(self.0, event, Some(callback)))
        };
        if subscribed.is_some_and(is_ok) {
            return Ok(());
        }
        Err("the server refused to report its events")
    }
}

type Callback =
    unsafe extern "C" fn(*mut raw::RedisModuleCtx, raw::RedisModuleEvent, u64, *mut c_void);

/// The server calls it about ten times a second. It must not end its own subscription, which the
/// server still uses when it returns.
extern "C" fn on_cron(
    _: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    _: u64,
    _: *mut c_void,
) {
    RUNS.store(true, Relaxed);
}

extern "C" fn on_shutdown(
    _: *mut raw::RedisModuleCtx,
    _: raw::RedisModuleEvent,
    _: u64,
    _: *mut c_void,
) {
    RUNS.store(false, Relaxed);
}
