//! Reads the settings and runs the service; ends with 2 where the settings are wrong.

use ratelimit_server::{run, start_log, Settings};

fn main() {
    let settings = Settings::of_process().unwrap_or_else(|why| {
        eprintln!("{why}");
        std::process::exit(2);
    });
    start_log(settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(settings)),
        Err(error) => Err(format!("no threads: {error}")),
    };
    if let Err(why) = result {
        eprintln!("error: {why}");
        std::process::exit(1);
    }
}
