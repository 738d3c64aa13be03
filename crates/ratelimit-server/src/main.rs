//! Reads the settings and does what they ask for. Exit codes: 2 for wrong settings, 1 for any other
//! error.

#![forbid(unsafe_code)]

use tokio::runtime::{Builder, Runtime};

use ratelimit_server::{check_health, check_settings, run, start_log, Failure, Settings, Task};

fn main() {
    let settings = Settings::of_process().unwrap_or_else(|why| end(&why, 2));
    let result = match settings.task {
        Some(Task::Healthy) => check_health(&settings).map_err(Failure::Other),
        None if settings.check => check(settings),
        None => serve(settings),
    };
    match result {
        Ok(()) => {}
        Err(Failure::Settings(why)) => end(&format!("error: {why}"), 2),
        Err(Failure::Other(why)) => end(&format!("error: {why}"), 1),
    }
}

fn end(message: &str, code: i32) -> ! {
    eprintln!("{message}");
    std::process::exit(code);
}

fn check(settings: Settings) -> Result<(), Failure> {
    // No task runs beside this one, so none connects.
    runtime(&mut Builder::new_current_thread())?.block_on(check_settings(settings))?;
    println!("the settings and the policies can be used");
    Ok(())
}

fn serve(settings: Settings) -> Result<(), Failure> {
    start_log(settings.log);
    runtime(&mut Builder::new_multi_thread())?.block_on(run(settings))
}

fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    let built = builder.enable_all().build();
    built.map_err(|error| Failure::Other(format!("cannot start the runtime: {error}")))
}
