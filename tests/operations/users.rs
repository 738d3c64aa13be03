//! The users of the page: what each may do and may not do.

use ratelimit_harness::{not_applicable, on_every_server, Connection, Limiter, Server, Setup};

use super::page::block;

const KEY: &str = "ratelimit:user:42:fixed";

/// Makes the users of the page, and logs in as one of them.
fn login(server: &Server, name: &str) -> Connection {
    let mut client = server.connect();
    for line in block("users") {
        client.must(&line);
    }
    client.must(&format!("AUTH {name} secret"));
    client
}

#[test]
fn the_application_may_only_check_and_peek_its_keys() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut app = login(&server, "app");
        assert!(app.must(&format!("RATELIMIT.CHECK {KEY} 5 60")).allowed());
        assert!(app.must(&format!("RATELIMIT.PEEK {KEY} 5 60")).allowed());
        app.must("PING");
        app.reply_to("RATELIMIT.CHECK other 5 60").expect_error("NOPERM");
        for line in ["GET", "DEL", "PERSIST", "INCR"].map(|name| format!("{name} {KEY}")) {
            app.reply_to(&line).expect_error("NOPERM");
        }
        app.reply_to("CONFIG SET ratelimit.allow-unload yes").expect_error("NOPERM");
        app.reply_to("FLUSHALL").expect_error("NOPERM");
    });
}

#[test]
fn the_dashboard_may_only_peek() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        server.connect().must(&format!("RATELIMIT.CHECK {KEY} 5 60"));
        let mut dashboard = login(&server, "dashboard");
        assert_eq!(dashboard.must(&format!("RATELIMIT.PEEK {KEY} 5 60")).remaining(), 4);
        dashboard.reply_to(&format!("RATELIMIT.CHECK {KEY} 5 60")).expect_error("NOPERM");
        dashboard.reply_to("RATELIMIT.PEEK other 5 60").expect_error("NOPERM");
    });
}

#[test]
fn the_user_of_the_script_may_do_what_the_script_does() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let script = Limiter::script(&mut server.connect());
        let mut user = login(&server, "script");
        let check = |user: &mut Connection, key: &str| {
            script.send(user, "CHECK", key.as_bytes(), &["2", "60"])
        };
        let allowed = [(); 3].map(|()| check(&mut user, KEY).allowed());
        assert_eq!(allowed, [true, true, false]);
        assert!(!script.send(&mut user, "PEEK", KEY.as_bytes(), &["2", "60"]).allowed());
        check(&mut user, "other").expect_error("NOPERM");
        user.reply_to(&format!("DEL {KEY}")).expect_error("NOPERM");
    });
}

#[test]
fn the_support_may_only_reset_keys() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        server.connect().must(&format!("RATELIMIT.CHECK {KEY} 5 60"));
        let mut support = login(&server, "support");
        assert_eq!(support.must(&format!("DEL {KEY}")).integer(), 1);
        assert_eq!(support.must(&format!("RATELIMIT.PEEK {KEY} 5 60")).remaining(), 5);
        support.reply_to(&format!("RATELIMIT.CHECK {KEY} 5 60")).expect_error("NOPERM");
        support.reply_to("DEL other").expect_error("NOPERM");
    });
}

#[test]
fn a_user_can_get_the_rights_that_its_client_needs() {
    on_every_server(|binary| {
        let server = Setup::module(binary).with("cluster-enabled yes").start();
        let mut admin = server.connect();
        let mut app = login(&server, "app");
        app.reply_to("CLUSTER SLOTS").expect_error("NOPERM");
        admin.must("ACL SETUSER app +cluster|slots");
        app.must("CLUSTER SLOTS");
        app.reply_to("CLUSTER RESET").expect_error("NOPERM");
        if !admin.knows_command("CLIENT|SETINFO") {
            return not_applicable(binary, "CLIENT SETINFO", "it has no such command");
        }
        let errors = admin.info("errorstat_NOPERM");
        app.reply_to("CLIENT SETINFO LIB-NAME x").expect_error("NOPERM");
        assert_ne!(admin.info("errorstat_NOPERM"), errors);
        admin.must("ACL SETUSER app +client|setinfo");
        app.must("CLIENT SETINFO LIB-NAME x");
    });
}

#[test]
fn nobody_decides_without_a_password() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        login(&server, "app");
        let mut stranger = server.connect();
        stranger.reply_to(&format!("RATELIMIT.CHECK {KEY} 5 60")).expect_error("NOAUTH");
        stranger.must("AUTH default another-secret");
        assert!(stranger.must(&format!("RATELIMIT.CHECK {KEY} 5 60")).allowed());
    });
}
