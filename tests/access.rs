//! Rights: users, read-only replicas, and servers that must not write.

use ratelimit_harness::{
    follow, not_applicable, on_every_server, Connection, Reply, Server, Setup,
};

fn login(server: &Server, user: &str) -> Connection {
    let mut client = server.connect();
    client.must(&format!("AUTH {user} secret"));
    client
}

#[test]
fn a_user_who_may_only_read_can_peek_but_not_check() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut admin = server.connect();
        let rule = "ACL SETUSER reader on >secret +@all %R~limits:*";
        if let Reply::Error(error) = admin.reply_to(rule) {
            return not_applicable(binary, "a user with only %R~ on the key", &error);
        }
        let mut reader = login(&server, "reader");
        assert_eq!(reader.must("ACL WHOAMI").text(), "reader");
        assert!(reader.must("RATELIMIT.PEEK limits:1 5 60").allowed());
        reader.reply_to("RATELIMIT.CHECK limits:1 5 60").expect_error("NOPERM");
        reader.reply_to("RATELIMIT.PEEK other 5 60").expect_error("NOPERM");
        assert_eq!(admin.must("DBSIZE").integer(), 0);
    });
}

#[test]
fn a_user_needs_read_and_write_rights_to_check() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut admin = server.connect();
        if let Reply::Error(error) =
            admin.reply_to("ACL SETUSER writer on >secret +@all %W~limits:*")
        {
            return not_applicable(binary, "a user with only %W~ on the key", &error);
        }
        login(&server, "writer").reply_to("RATELIMIT.CHECK limits:1 5 60").expect_error("NOPERM");
        admin.must("ACL SETUSER both on >secret +@all %RW~limits:*");
        assert!(login(&server, "both").must("RATELIMIT.CHECK limits:1 5 60").allowed());
    });
}

#[test]
fn a_user_gets_the_right_to_a_command_by_its_name() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut admin = server.connect();
        admin.must("ACL SETUSER caller on >secret ~* +ratelimit.check");
        let mut caller = login(&server, "caller");
        assert!(caller.must("RATELIMIT.CHECK k 5 60").allowed());
        caller.reply_to("RATELIMIT.PEEK k 5 60").expect_error("NOPERM");
        caller.reply_to("GET k").expect_error("NOPERM");
    });
}

#[test]
fn the_commands_are_in_their_categories() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut admin = server.connect();
        let is_in = |admin: &mut Connection, category: &str, command: &str| {
            let commands = admin.must(&format!("ACL CAT {category}")).texts();
            commands.iter().any(|name| name == command)
        };
        if !is_in(&mut admin, "fast", "ratelimit.check") {
            let why = "it has no API for the categories of a module's commands";
            assert!(!has_acl_category_api(&server), "the server has an API for categories");
            return not_applicable(binary, "ACL categories", why);
        }
        for (category, check, peek) in [
            ("write", true, false),
            ("read", false, true),
            ("fast", true, true),
            ("slow", false, false),
        ] {
            assert_eq!(is_in(&mut admin, category, "ratelimit.check"), check, "{category}");
            assert_eq!(is_in(&mut admin, category, "ratelimit.peek"), peek, "{category}");
        }
        admin.must("ACL SETUSER reader on >secret ~* +@read");
        let mut reader = login(&server, "reader");
        assert!(reader.must("RATELIMIT.PEEK k 5 60").allowed());
        reader.reply_to("RATELIMIT.CHECK k 5 60").expect_error("NOPERM");
    });
}

/// A server that offers the function to modules has its name in its program.
fn has_acl_category_api(server: &Server) -> bool {
    let program = std::fs::read(&server.binary().path).expect("the program can be read");
    let name = b"SetCommandACLCategories";
    program.windows(name.len()).any(|window| window == name)
}

#[test]
fn a_read_only_replica_peeks_but_does_not_check() {
    on_every_server(|binary| {
        let primary = Setup::module(binary).start();
        let replica = Setup::module(binary).start();
        primary.connect().must("RATELIMIT.CHECK k 5 1000");
        let mut client = replica.connect();
        follow(&mut client, &primary);
        let reply = client.must("RATELIMIT.PEEK k 5 1000").numbers();
        assert_eq!(reply[..4], [1, 5, 4, 0]);
        client.reply_to("RATELIMIT.CHECK k 5 1000").expect_error("READONLY");
        assert_eq!(client.must("GET k").text(), "1");
    });
}

#[test]
fn a_server_without_enough_replicas_only_peeks() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        client.must("RATELIMIT.CHECK k 5 1000");
        client.must("CONFIG SET min-replicas-to-write 1");
        client.reply_to("RATELIMIT.CHECK k 5 1000").expect_error("NOREPLICAS");
        assert_eq!(client.must("RATELIMIT.PEEK k 5 1000").numbers()[..4], [1, 5, 4, 0]);
        assert_eq!(client.must("GET k").text(), "1");
    });
}
