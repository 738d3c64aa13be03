//! The configuration of a server with the module.

use ratelimit_harness::{module, on_every_server, Setup};

use super::page::block;

/// Adds the lines of the page, with the path of the tested module.
fn with_lines(setup: Setup, lines: &[String]) -> Setup {
    let path = module().display().to_string();
    lines.iter().fold(setup, |setup, line| {
        setup.with(&line.replace("/usr/local/lib/libratelimit.so", &path))
    })
}

#[test]
fn the_configuration_of_the_page_starts_a_server_with_its_user() {
    on_every_server(|binary| {
        let server = with_lines(Setup::plain(binary), &block("redis.conf")).start();
        let mut client = server.connect();
        assert_eq!(client.must("CONFIG GET maxmemory-policy").texts()[1], "noeviction");
        assert_eq!(client.must("CONFIG GET maxmemory").texts()[1], (1 << 30).to_string());
        client.must("AUTH app secret");
        assert!(client.must("RATELIMIT.CHECK ratelimit:user:42:fixed 5 60").allowed());
    });
}

#[test]
fn a_user_line_that_names_the_commands_needs_the_module() {
    on_every_server(|binary| {
        let lines = block("redis.conf");
        let lines: Vec<_> = lines.into_iter().filter(|l| !l.starts_with("loadmodule")).collect();
        let log = with_lines(Setup::plain(binary), &lines).refuses_to_start();
        assert!(log.contains("Error loading ACL rule '+ratelimit.check'"), "{log}");
    });
}

#[test]
fn no_module_is_loaded_at_run_time_unless_enabled() {
    on_every_server(|binary| {
        let server = Setup::plain(binary).with("enable-module-command no").start();
        server
            .connect()
            .reply_to(&format!("MODULE LOAD {}", module().display()))
            .expect_error("ERR MODULE command not allowed");
    });
}

#[test]
fn the_commands_of_a_module_cannot_be_renamed() {
    on_every_server(|binary| {
        let setup = Setup::module(binary).with("rename-command RATELIMIT.CHECK \"\"");
        let log = setup.refuses_to_start();
        assert!(log.contains("No such command in rename-command"), "{log}");
    });
}
