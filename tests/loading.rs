//! Loading and unloading the module.

use ratelimit_harness::{
    eventually, module, not_applicable, on_every_server, page, Connection, Reply, Server, Setup,
};

fn load_line() -> String {
    format!("MODULE LOAD {}", module().display())
}

fn is_loaded(client: &mut Connection) -> bool {
    client.must("MODULE LIST").array().iter().any(|entry| entry.field("name").text() == "ratelimit")
}

/// Returns after a tick of the server: a tick deletes keys that have expired. From the first tick
/// after the load on, the module refuses to be unloaded.
fn wait_for_a_tick(server: &Server) {
    let mut client = server.connect();
    client.must("SELECT 9");
    client.must("SET tick 1 PX 1");
    eventually("a tick deletes the key", || client.must("DBSIZE").integer() == 0);
}

/// The lines of the log that the module has written.
fn own_lines(log: &str) -> String {
    log.lines().filter(|line| line.contains("<ratelimit>")).collect::<Vec<_>>().join("\n")
}

#[test]
fn loads_from_the_configuration_and_by_command() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        assert!(is_loaded(&mut server.connect()));
        assert_eq!(own_lines(&server.log()), "", "nothing to warn of");
        let plain = Setup::plain(binary).start();
        let mut client = plain.connect();
        assert!(!is_loaded(&mut client));
        client.must(&load_line());
        assert!(is_loaded(&mut client));
        assert!(client.must("RATELIMIT.CHECK k 5 60").allowed());
        client.reply_to("RATELIMIT.TEST CLOCK 0").expect_error("ERR unknown command");
    });
}

#[test]
fn the_documented_configuration_loads_the_module() {
    let file = page("docs/ratelimit.conf");
    let (path, setting) = ("/usr/local/lib/libratelimit.so", "# ratelimit.allow-unload no");
    assert!(file.contains(path) && file.contains(setting));
    let file = file.replace(path, module().to_str().expect("UTF-8"));
    let file = file.replace(setting, &setting.replacen("# ", "", 1));
    on_every_server(|binary| {
        let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let server = lines.fold(Setup::plain(binary), Setup::with).start();
        let mut client = server.connect();
        assert!(client.must("RATELIMIT.CHECK k 5 60").allowed());
        assert_eq!(client.must("CONFIG GET maxmemory-policy").texts()[1], "noeviction");
    });
}

#[test]
fn does_not_load_twice() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        client.must("RATELIMIT.CHECK k 5 1000");
        client.reply_to(&load_line()).error();
        assert_eq!(client.must("RATELIMIT.CHECK k 5 1000").remaining(), 3);
    });
}

#[test]
fn does_not_load_if_set_is_renamed() {
    on_every_server(|binary| {
        for rename in ["rename-command SET \"\"", "rename-command SET foo"] {
            let own = own_lines(&Setup::module(binary).with(rename).refuses_to_start());
            assert!(own.contains("SET") && own.contains("rename"), "{rename}:\n{own}");
            let server = Setup::plain(binary).with(rename).start();
            server.connect().reply_to(&load_line()).error();
            assert!(own_lines(&server.log()).contains("SET"), "{rename}:\n{}", server.log());
            server.connect().must("PING");
        }
    });
}

#[test]
fn loads_if_other_commands_are_renamed() {
    on_every_server(|binary| {
        let setup = Setup::module(binary).with("rename-command GET \"\"");
        let server = setup.with("rename-command FLUSHALL foo").start();
        assert!(server.connect().must("RATELIMIT.CHECK k 5 60").allowed());
    });
}

#[test]
fn refuses_arguments() {
    on_every_server(|binary| {
        let with_argument = format!("loadmodule {} allow-unload", module().display());
        let log = Setup::plain(binary).with(&with_argument).refuses_to_start();
        assert!(own_lines(&log).contains("takes no arguments"), "{log}");
        let server = Setup::plain(binary).start();
        let mut client = server.connect();
        client.reply_to(&format!("{} yes", load_line())).error();
        client.must(&load_line());
        assert!(client.must("RATELIMIT.CHECK k 5 60").allowed());
    });
}

/// The server unloads such a module at once, before its first tick.
#[test]
fn loading_with_an_unknown_setting_fails_and_leaves_nothing() {
    on_every_server(|binary| {
        let server = Setup::plain(binary).start();
        let mut client = server.connect();
        if let Err(why) = load_with(&mut client, "ratelimit.allow-unload no") {
            return not_applicable(binary, "MODULE LOADEX", &why);
        }
        client.must("CONFIG SET ratelimit.allow-unload yes");
        client.must("MODULE UNLOAD ratelimit");
        for setting in ["ratelimit.nosuch yes", "other.nosuch yes", "ratelimit.allow-unload 7"] {
            for _ in 0..3 {
                load_with(&mut client, setting).expect_err("no such setting");
                assert!(!is_loaded(&mut client), "{setting}");
                client.reply_to("RATELIMIT.CHECK k 5 60").expect_error("ERR unknown command");
                wait_for_a_tick(&server);
            }
        }
        client.must(&load_line());
        assert_eq!(client.must("RATELIMIT.CHECK k 5 60").remaining(), 4);
        wait_for_a_tick(&server);
        client.reply_to("MODULE UNLOAD ratelimit").error();
        load_with(&mut client, "ratelimit.nosuch yes").expect_err("it is loaded already");
        assert_eq!(client.must("RATELIMIT.CHECK k 5 60").remaining(), 3);
    });
}

fn load_with(client: &mut Connection, setting: &str) -> Result<(), String> {
    match client.reply_to(&format!("MODULE LOADEX {} CONFIG {setting}", module().display())) {
        Reply::Error(error) => Err(error),
        _ => Ok(()),
    }
}

#[test]
fn a_server_shuts_down_without_a_warning() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        wait_for_a_tick(&server);
        let mut client = server.connect();
        assert!(client.must("RATELIMIT.CHECK k 5 60").allowed());
        client.try_call(&["SHUTDOWN"]).expect_err("the server ends");
        let log = server.log();
        let (_, end) = log.split_once("User requested shutdown").expect("the end of the log");
        assert!(end.contains("bye bye"), "{log}");
        for warning in ["<ratelimit>", "Unload canceled", "Error unloading"] {
            assert!(!end.contains(warning), "{log}");
        }
    });
}

#[test]
fn unloading_is_refused_unless_a_setting_allows_it() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        client.must("RATELIMIT.CHECK k 5 1000");
        wait_for_a_tick(&server);
        client.reply_to("MODULE UNLOAD ratelimit").error();
        assert!(own_lines(&server.log()).contains("ratelimit.allow-unload"), "{}", server.log());
        assert_eq!(client.must("RATELIMIT.CHECK k 5 1000").remaining(), 3);
        if let Reply::Error(error) = client.reply_to("CONFIG SET ratelimit.allow-unload yes") {
            return not_applicable(binary, "allowing to unload", &error);
        }
        for remaining in [2, 1] {
            client.must("MODULE UNLOAD ratelimit");
            assert!(!is_loaded(&mut client));
            client.reply_to("RATELIMIT.CHECK k 5 1000").expect_error("ERR unknown command");
            client.must(&load_line());
            assert_eq!(client.must("RATELIMIT.CHECK k 5 1000").remaining(), remaining);
            wait_for_a_tick(&server);
            client.reply_to("MODULE UNLOAD ratelimit").error();
            client.must("CONFIG SET ratelimit.allow-unload yes");
        }
    });
}

#[test]
fn unloading_gives_back_all_memory() {
    on_every_server(|binary| {
        let server = Setup::plain(binary).start();
        let mut client = server.connect();
        client.must(&load_line());
        if let Reply::Error(error) = client.reply_to("CONFIG SET ratelimit.allow-unload yes") {
            return not_applicable(binary, "allowing to unload", &error);
        }
        let mut used = Vec::new();
        for _ in 0..30 {
            client.must("MODULE UNLOAD ratelimit");
            used.push(client.info_number("used_memory"));
            client.must(&load_line());
            client.must("CONFIG SET ratelimit.allow-unload yes");
        }
        // A server may change its own buffers meanwhile. The strings by themselves take 24 kB each time.
        assert!(used[29] - used[9] < 4_000, "{used:?}");
    });
}

#[test]
fn allow_unload_is_off_by_default_and_takes_yes_and_no() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        let mut get = || client.must("CONFIG GET ratelimit.allow-unload").texts();
        assert_eq!(get(), ["ratelimit.allow-unload", "no"]);
        client.must("CONFIG SET ratelimit.allow-unload yes");
        client.must("CONFIG SET ratelimit.allow-unload no");
        client.reply_to("CONFIG SET ratelimit.allow-unload perhaps").error();
        wait_for_a_tick(&server);
        client.reply_to("MODULE UNLOAD ratelimit").error();
        let setup = Setup::module(binary).with("ratelimit.allow-unload yes");
        setup.start().connect().must("MODULE UNLOAD ratelimit");
    });
}
