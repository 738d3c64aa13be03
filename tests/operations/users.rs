//! The users of the page: what each may do, and what not.

use ratelimit_harness::{
    not_applicable, on_every_server, Connection, Limiter, Reply, Server, Setup,
};

use super::page::block;

const KEY: &str = "ratelimit:user:42:fixed";

/// Makes the users of the page, and comes back as one of them.
fn login(server: &Server, name: &str) -> Connection {
    let mut client = server.connect();
    for line in block("users") {
        client.must(&line);
    }
    client.must(&format!("AUTH {name} secret"));
    client
}

#[track_caller]
fn is_refused(reply: &Reply) {
    assert!(reply.error().starts_with("NOPERM"), "{reply:?}");
}

#[test]
fn the_application_may_check_and_peek_its_keys_and_nothing_else() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut app = login(&server, "app");
        assert!(app.must(&format!("RATELIMIT.CHECK {KEY} 5 60")).allowed());
        assert!(app.must(&format!("RATELIMIT.PEEK {KEY} 5 60")).allowed());
        app.must("PING");
        is_refused(&app.reply_to("RATELIMIT.CHECK other 5 60"));
        for line in ["GET", "DEL", "PERSIST", "INCR"].map(|name| format!("{name} {KEY}")) {
            is_refused(&app.reply_to(&line));
        }
        is_refused(&app.reply_to("CONFIG SET ratelimit.allow-unload yes"));
        is_refused(&app.reply_to("FLUSHALL"));
    });
}

#[test]
fn the_dashboard_may_peek_alone() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        server.connect().must(&format!("RATELIMIT.CHECK {KEY} 5 60"));
        let mut dashboard = login(&server, "dashboard");
        assert_eq!(dashboard.must(&format!("RATELIMIT.PEEK {KEY} 5 60")).remaining(), 4);
        is_refused(&dashboard.reply_to(&format!("RATELIMIT.CHECK {KEY} 5 60")));
        is_refused(&dashboard.reply_to("RATELIMIT.PEEK other 5 60"));
    });
}

#[test]
fn the_twin_may_do_what_its_script_does() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let script = Limiter::script(&mut server.connect());
        let mut user = login(&server, "script");
        let ask = |user: &mut Connection, key: &str| {
            script.send(user, "CHECK", key.as_bytes(), &["2", "60"])
        };
        let allowed = [(); 3].map(|()| ask(&mut user, KEY).allowed());
        assert_eq!(allowed, [true, true, false]);
        assert!(!script.send(&mut user, "PEEK", KEY.as_bytes(), &["2", "60"]).allowed());
        is_refused(&ask(&mut user, "other"));
        is_refused(&user.reply_to(&format!("DEL {KEY}")));
    });
}

#[test]
fn the_support_may_reset_keys_and_count_none() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        server.connect().must(&format!("RATELIMIT.CHECK {KEY} 5 60"));
        let mut support = login(&server, "support");
        assert_eq!(support.must(&format!("DEL {KEY}")).integer(), 1);
        assert_eq!(support.must(&format!("RATELIMIT.PEEK {KEY} 5 60")).remaining(), 5);
        is_refused(&support.reply_to(&format!("RATELIMIT.CHECK {KEY} 5 60")));
        is_refused(&support.reply_to("DEL other"));
    });
}

#[test]
fn a_user_can_be_given_what_its_client_asks_besides() {
    on_every_server(|binary| {
        let server = Setup::module(binary).with("cluster-enabled yes").start();
        let mut admin = server.connect();
        let mut app = login(&server, "app");
        is_refused(&app.reply_to("CLUSTER SLOTS"));
        admin.must("ACL SETUSER app +cluster|slots");
        app.must("CLUSTER SLOTS");
        is_refused(&app.reply_to("CLUSTER RESET"));
        if !admin.knows_command("CLIENT|SETINFO") {
            return not_applicable(binary, "CLIENT SETINFO", "it has no such command");
        }
        let refused = admin.info("errorstat_NOPERM");
        is_refused(&app.reply_to("CLIENT SETINFO LIB-NAME x"));
        assert_ne!(admin.info("errorstat_NOPERM"), refused);
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
        let refused = stranger.reply_to(&format!("RATELIMIT.CHECK {KEY} 5 60"));
        assert!(refused.error().starts_with("NOAUTH"), "{refused:?}");
        stranger.must("AUTH default another-secret");
        assert!(stranger.must(&format!("RATELIMIT.CHECK {KEY} 5 60")).allowed());
    });
}
