//! Reads the settings and does what they ask for; ends with 2 where they are wrong.

use ratelimit_server::{ask_whether_healthy, run, start_log, Settings, Task};

fn main() {
    let settings = Settings::of_process().unwrap_or_else(|why| {
        eprintln!("{why}");
        std::process::exit(2);
    });
    let result = match settings.task {
        Some(Task::Healthy) => ask_whether_healthy(&settings),
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
    runtime.map_err(|error| format!("no threads: {error}"))?.block_on(run(settings))
}
