//! Reads the settings and does what they ask for. Exit codes: 2 for wrong settings, 1 for any other
//! error.

#![forbid(unsafe_code)]

use ratelimit_server::{check_health, run, start_log, Settings, Task};

fn main() {
    let settings = Settings::of_process().unwrap_or_else(|why| {
        eprintln!("{why}");
        std::process::exit(2);
    });
    let result = match settings.task {
        Some(Task::Healthy) => check_health(&settings),
        None => serve(settings),
    };
    if let Err(why) = result {
        eprintln!("error: {why}");
        std::process::exit(1);
    }
}

fn serve(settings: Settings) -> Result<(), String> {
    start_log(settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start the runtime: {error}"))?.block_on(run(settings))
}
