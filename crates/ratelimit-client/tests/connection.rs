//! A connection made from an address finds its server again, and sends no call twice that may have been
//! counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ratelimit_client::redis::io::AsyncDNSResolver;
use ratelimit_client::redis::{RedisError, RedisFuture};
use ratelimit_client::{
    Backend, Connection, ConnectionOptions, Error, Failure, Limiter, OnFailure, Policy, Source,
};
use ratelimit_harness::{
    catch_up, eventually, follow, is_primary, Cut, Forwarder, Reply, Server, Setup,
};
use tokio::task::JoinSet;

use crate::{on_each, on_one, until, LONG, YEAR};

const POLICY: Policy = Policy::fixed(1_000_000, YEAR);
const DEADLINE: Duration = Duration::from_millis(100);
/// Within this time a connection finds what a new one would find. It takes about a second of silence
/// and a pause; a busy machine may need more.
const SECONDS: Duration = Duration::from_secs(8);

fn to(port: u16) -> Connection {
    to_url(&format!("redis://127.0.0.1:{port}"))
}

fn to_url(url: &str) -> Connection {
    Connection::single(url, ConnectionOptions::new()).expect("an address")
}

/// Without a circuit breaker, so that each call is sent.
pub fn limiter(connection: Connection, which: Backend, deadline: Duration) -> Limiter {
    let limiter = Limiter::redis(connection, OnFailure::closed_after(deadline));
    limiter.backend(which).circuit_breaker(u32::MAX, YEAR).build()
}

pub async fn is_decided(limiter: &Limiter) -> bool {
    match limiter.check("k", &POLICY).await {
        Ok(answer) => {
            assert!(matches!(answer.source, Source::Module | Source::Script));
            true
        }
        Err(Error::Unavailable(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Returns how many checks it took.
pub async fn decides_within_seconds(what: &str, limiter: &Limiter) -> u64 {
    let start = Instant::now();
    let mut checks = 1;
    while !is_decided(limiter).await {
        assert!(start.elapsed() < SECONDS, "{what}: nothing after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
        checks += 1;
    }
    checks
}

/// How often the key was counted by a server.
pub fn counted(server: &Server) -> u64 {
    let reply = server.connect().must("RATELIMIT.PEEK k 1000000 31622400s");
    1_000_000 - u64::try_from(reply.array()[2].integer()).expect("a number")
}

#[test]
fn the_first_check_after_an_idle_close_is_counted_once() {
    on_each(async |binary| {
        let server = Setup::module(binary).with("timeout 1").start();
        for (which, rounds) in [(Backend::Module, 3), (Backend::Script, 1)] {
            let limiter = limiter(to(server.port()), which, LONG);
            let before = counted(&server);
            for round in 0..rounds {
                assert!(is_decided(&limiter).await, "{which:?} {round}");
                until("the server closes the idle connection", || async {
                    server.connect().info_number("connected_clients") == 1
                })
                .await;
            }
            assert!(is_decided(&limiter).await);
            assert_eq!(counted(&server) - before, rounds + 1, "{which:?}");
        }
    });
}

#[test]
fn a_check_after_the_end_of_its_connection_is_counted_once() {
    on_one(async |binary| {
        let server = Setup::module(binary).start();
        let forwarder = Forwarder::to(&server);
        let limiter = limiter(to(forwarder.port()), Backend::Module, LONG);
        assert!(is_decided(&limiter).await);
        for (round, cut) in (1..).zip([Cut::Fin, Cut::Rst, Cut::Fin, Cut::Rst]) {
            // A connection that has lived for a second is replaced at once.
            tokio::time::sleep(Duration::from_millis(1_050)).await;
            forwarder.cut(cut);
            // The end must have arrived here; a call that is written before may be lost.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let answers = (0..9).map(|_| is_decided(&limiter));
            let answers = futures_util::future::join_all(answers).await;
            assert!(answers.iter().all(|answer| *answer), "{round} {cut:?}");
            assert_eq!(counted(&server), 1 + 9 * round, "{cut:?}");
        }
    });
}

#[test]
fn a_check_that_was_counted_is_not_sent_again() {
    on_each(async |binary| {
        for cut in [Cut::Fin, Cut::Rst] {
            for which in [Backend::Module, Backend::Script] {
                let server = Setup::module(binary).start();
                let forwarder = Forwarder::to(&server);
                let limiter = limiter(to(forwarder.port()), which, LONG);
                assert!(is_decided(&limiter).await);
                forwarder.mute_replies();
                let check = limiter.check("k", &POLICY);
                let end = async {
                    until("it is counted", || async { counted(&server) == 2 }).await;
                    forwarder.cut(cut);
                };
                let (answer, ()) = tokio::join!(check, end);
                let lost = Error::Unavailable(Failure::Connection).to_string();
                assert_eq!(answer.map_err(|error| error.to_string()).err(), Some(lost));
                decides_within_seconds("a new connection", &limiter).await;
                assert_eq!(counted(&server), 3, "{cut:?} {which:?}");
            }
        }
    });
}

#[test]
fn no_check_is_counted_twice_while_connections_are_cut() {
    on_one(async |binary| {
        let server = Setup::module(binary).start();
        let forwarder = Forwarder::to(&server);
        let limiter = limiter(to(forwarder.port()), Backend::Module, DEADLINE);
        let load = Load::start(&limiter);
        for cut in [Cut::Fin, Cut::Rst].into_iter().cycle().take(8) {
            load.more(50).await;
            forwarder.cut(cut);
        }
        let (answered, lost) = load.end().await;
        let counted = counted(&server);
        assert!(answered <= counted && counted <= answered + lost, "{answered} {counted} {lost}");
    });
}

/// Callers of one key, each with one call at a time.
pub struct Load {
    callers: JoinSet<()>,
    pub results: Arc<Results>,
}

#[derive(Default)]
pub struct Results {
    pub answered: AtomicU64,
    pub lost: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    pub fn start(limiter: &Limiter) -> Self {
        let results = Arc::<Results>::default();
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (limiter, results) = (limiter.clone(), Arc::clone(&results));
            callers.spawn(async move {
                while !results.is_over.load(Relaxed) {
                    let answered = is_decided(&limiter).await;
                    let counter = if answered { &results.answered } else { &results.lost };
                    counter.fetch_add(1, Relaxed);
                    tokio::task::yield_now().await;
                }
            });
        }
        Self { callers, results }
    }

    /// Waits for more answers.
    pub async fn more(&self, answers: u64) {
        let answered = || self.results.answered.load(Relaxed);
        let before = answered();
        until("more checks are answered", || async { answered() >= before + answers }).await;
    }

    /// How many calls were answered, and how many were not.
    pub async fn end(self) -> (u64, u64) {
        self.results.is_over.store(true, Relaxed);
        self.callers.join_all().await;
        (self.results.answered.load(Relaxed), self.results.lost.load(Relaxed))
    }
}

#[test]
fn a_mute_connection_is_replaced_by_one_to_the_server_of_the_moment() {
    on_one(async |binary| {
        type Begin = fn(&Forwarder, &Server);
        let ways: [(&str, Begin); 3] = [
            ("a middlebox forgot the connection", |forwarder, _| forwarder.mute()),
            ("replies are lost", |forwarder, _| forwarder.mute_replies()),
            ("the server hangs", |_, old| old.pause()),
        ];
        for (what, begin) in ways {
            let (old, new) = (Setup::module(binary).start(), Setup::module(binary).start());
            let forwarder = Forwarder::to(&old);
            let limiter = limiter(to(forwarder.port()), Backend::Module, DEADLINE);
            assert!(is_decided(&limiter).await);
            begin(&forwarder, &old);
            forwarder.turn(new.port());
            let checks = decides_within_seconds(what, &limiter).await;
            old.resume();
            // Also those that the old server saw when it went on.
            let both = counted(&old) + counted(&new);
            assert!(both <= 1 + checks, "{what}: {both} counted of {checks}");
        }
    });
}

#[test]
fn a_call_with_a_long_deadline_ends_when_the_connection_is_mute() {
    on_one(async |binary| {
        let server = Setup::module(binary).start();
        let forwarder = Forwarder::to(&server);
        let limiter = limiter(to(forwarder.port()), Backend::Module, LONG);
        assert!(is_decided(&limiter).await);
        forwarder.mute();
        let start = Instant::now();
        assert!(!is_decided(&limiter).await);
        assert!((Duration::from_millis(900)..SECONDS).contains(&start.elapsed()));
        assert!(is_decided(&limiter).await);
        assert_eq!(counted(&server), 2);
    });
}

#[test]
fn an_idle_or_slow_connection_is_kept() {
    on_one(async |binary| {
        let server = Setup::module(binary).start();
        let forwarder = Forwarder::to(&server);
        let options = ConnectionOptions::new().max_silence(Duration::from_millis(400));
        let url = format!("redis://127.0.0.1:{}", forwarder.port());
        let connection = Connection::single(url, options).expect("an address");
        let limiter = limiter(connection, Backend::Module, LONG);
        assert!(is_decided(&limiter).await);
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        assert!(is_decided(&limiter).await);
        for _ in 0..5 {
            server.connect().must("CLIENT PAUSE 200 ALL");
            assert!(is_decided(&limiter).await);
        }
        assert_eq!((forwarder.accepted(), counted(&server)), (1, 7));
    });
}

#[test]
fn a_server_that_cannot_decide_is_left_for_the_one_that_the_name_leads_to() {
    on_each(async |binary| {
        let good = Setup::module(binary).start();
        let follow_good = format!("REPLICAOF 127.0.0.1 {}", good.port());
        let cases: [(&str, &[&str]); 4] = [
            ("READONLY", &[&follow_good]),
            ("MASTERDOWN", &["CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"]),
            ("NOREPLICAS", &["CONFIG SET min-replicas-to-write 1"]),
            ("NOAUTH", &["CONFIG SET requirepass secret"]),
        ];
        for (what, commands) in cases {
            for which in [Backend::Module, Backend::Script] {
                let bad = Setup::module(binary).start();
                commands.iter().for_each(|command| drop(bad.connect().must(command)));
                let forwarder = Forwarder::to(&bad);
                let limiter = limiter(to(forwarder.port()), which, LONG);
                let start = Instant::now();
                let mut failed = 0;
                while start.elapsed() < Duration::from_millis(400) {
                    assert!(!is_decided(&limiter).await, "{what}");
                    failed += 1;
                    tokio::task::yield_now().await;
                }
                // At 0, 25 to 50, 75 to 150, and so on.
                let attempts = forwarder.accepted();
                assert!((2..=6).contains(&attempts), "{what}: {attempts} of {failed} calls");
                forwarder.turn(good.port());
                decides_within_seconds(what, &limiter).await;
            }
        }
    });
}

/// A server that wants a password, which its configuration does not have.
fn with_password(setup: Setup) -> Server {
    let server = setup.start();
    server.connect().must("CONFIG SET requirepass secret");
    server
}

#[test]
fn a_server_that_is_loading_is_left_for_the_one_that_the_name_leads_to() {
    on_each(async |binary| {
        let good = Setup::module(binary).start();
        // A server that reads connections while it loads, and takes ten seconds for it.
        let setup = Setup::module(binary).with("loading-process-events-interval-bytes 1024");
        let mut loading = setup.start();
        loading.connect().must("DEBUG POPULATE 1000 key 100");
        loading.connect().must("SAVE");
        loading.connect().must("CONFIG SET key-load-delay 10000");
        let forwarder = Forwarder::to(&loading);
        let limiter = limiter(to(forwarder.port()), Backend::Module, DEADLINE);
        assert!(is_decided(&limiter).await);
        let mut reloading = loading.connect();
        let reload =
            std::thread::spawn(move || drop(reloading.try_call(&["DEBUG", "RELOAD", "NOSAVE"])));
        until("it says LOADING", || async {
            let checked = limiter.check("k", &POLICY).await;
            matches!(checked, Err(Error::Unavailable(Failure::Server)))
        })
        .await;
        forwarder.turn(good.port());
        decides_within_seconds("LOADING", &limiter).await;
        assert!(counted(&good) >= 1, "it found the other server");
        loading.kill();
        reload.join().expect("it ends with the server");
    });
}

#[test]
fn a_wrong_password_is_tried_again_with_pauses() {
    on_one(async |binary| {
        let (bad, good) = (with_password(Setup::module(binary)), Setup::module(binary).start());
        good.connect().must("CONFIG SET requirepass right");
        let forwarder = Forwarder::to(&bad);
        let url = format!("redis://:right@127.0.0.1:{}", forwarder.port());
        let limiter = limiter(to_url(&url), Backend::Module, LONG);
        for _ in 0..1_000 {
            assert!(!is_decided(&limiter).await);
        }
        assert!(forwarder.accepted() < 20, "{}", forwarder.accepted());
        forwarder.turn(good.port());
        decides_within_seconds("WRONGPASS", &limiter).await;
    });
}

#[test]
fn roles_that_change_under_load_are_followed() {
    on_each(async |binary| {
        let (first, second) = (Setup::module(binary).start(), Setup::module(binary).start());
        follow(&mut second.connect(), &first);
        let forwarder = Forwarder::to(&first);
        let limiter = limiter(to(forwarder.port()), Backend::Module, DEADLINE);
        let load = Load::start(&limiter);
        for round in 0..6 {
            load.more(200).await;
            let (old, new) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
            // No write is lost: the old primary takes none while the new one catches up.
            old.connect().must("CLIENT PAUSE 60000 WRITE");
            catch_up(&mut new.connect(), old);
            new.connect().must("REPLICAOF NO ONE");
            forwarder.turn(new.port());
            old.connect().must(&format!("REPLICAOF 127.0.0.1 {}", new.port()));
            old.connect().must("CLIENT UNPAUSE");
            let start = Instant::now();
            load.more(1).await;
            assert!(start.elapsed() < SECONDS, "{:?}", start.elapsed());
            eventually("the old primary follows", || {
                old.connect().must("INFO replication").text().contains("master_link_status:up")
            });
        }
        let (answered, lost) = load.end().await;
        let counted = counted(&first);
        assert!(answered <= counted && counted <= answered + lost, "{answered} {counted} {lost}");
    });
}

#[test]
fn a_failover_by_the_servers_loses_no_count() {
    on_each(async |binary| {
        let (old, new) = (Setup::module(binary).start(), Setup::module(binary).start());
        follow(&mut new.connect(), &old);
        let forwarder = Forwarder::to(&old);
        let limiter = limiter(to(forwarder.port()), Backend::Module, Duration::from_secs(2));
        let load = Load::start(&limiter);
        load.more(500).await;
        // The old one refuses it until the replica has sent its offset.
        let hand_over = format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 10000", new.port());
        eventually("the failover begins", || {
            matches!(old.connect().reply_to(&hand_over), Reply::Status(_))
        });
        eventually("the new one is primary", || is_primary(&new));
        forwarder.turn(new.port());
        load.more(500).await;
        let (answered, lost) = load.end().await;
        let counted = counted(&new);
        println!("FAILOVER: {answered} answered, {lost} not, {counted} counted");
        assert!(answered <= counted && counted <= answered + lost, "{answered} {counted} {lost}");
    });
}

#[test]
fn many_callers_of_a_dead_server_make_few_attempts() {
    on_one(async |binary| {
        let server = Setup::module(binary).start();
        let forwarder = Forwarder::to(&server);
        let limiter = limiter(to(forwarder.port()), Backend::Module, DEADLINE);
        assert!(is_decided(&limiter).await);
        // Connections are accepted and closed, as by a load balancer without a server.
        forwarder.turn(1);
        forwarder.cut(Cut::Fin);
        let load = Load::start(&limiter);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let attempts = forwarder.accepted() - 1;
        assert!((3..=10).contains(&attempts), "{attempts} attempts");
        assert!(load.results.lost.load(Relaxed) > 1_000, "calls fail at once meanwhile");
        forwarder.turn(server.port());
        load.more(100).await;
        load.end().await;
        assert!(forwarder.accepted() - 1 <= attempts + 3);
    });
}

/// Names and their addresses, which the test changes.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<HashMap<String, SocketAddr>>>);

impl Names {
    pub fn set(&self, name: &str, server: &Server) {
        let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
        self.0.lock().unwrap().insert(name.to_owned(), address);
    }
}

impl AsyncDNSResolver for Names {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let is_address = |host: &&str| host.parse::<std::net::IpAddr>().is_ok();
        let address = Some(host).filter(is_address).map(|host| format!("{host}:{port}"));
        let known = self.0.lock().unwrap().get(host).copied();
        let found = known.or_else(|| address?.parse().ok());
        let unknown = || RedisError::from(std::io::Error::other("unknown name"));
        Box::pin(async move {
            let address = found.ok_or_else(unknown)?;
            Ok(Box::new(std::iter::once(address)) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[test]
fn a_name_is_looked_up_again_for_each_connection() {
    on_one(async |binary| {
        let names = Names::default();
        let options = ConnectionOptions::new().resolver(names.clone());
        let connection = Connection::single("redis://redis.test:6379", options).expect("a URL");
        let limiter = limiter(connection, Backend::Module, DEADLINE);
        assert!(!is_decided(&limiter).await, "the name is unknown");
        let mut old = Setup::module(binary).start();
        names.set("redis.test", &old);
        decides_within_seconds("the name is known", &limiter).await;
        type Begin = fn(&mut Server);
        let outages: [(&str, Begin); 3] = [
            ("killed", Server::kill),
            ("stopped", |server| server.pause()),
            ("a replica", |server| drop(server.connect().must("REPLICAOF 127.0.0.1 1"))),
        ];
        for (what, outage) in outages {
            let new = Setup::module(binary).start();
            names.set("redis.test", &new);
            outage(&mut old);
            decides_within_seconds(what, &limiter).await;
            assert!(counted(&new) >= 1, "{what}");
            old = new;
        }
    });
}

#[test]
fn it_starts_before_the_server_and_outside_of_a_runtime() {
    ratelimit_harness::on_every_server(|binary| {
        let mut server = Setup::module(binary).start();
        let connection = to(server.port());
        server.kill();
        crate::run(async {
            let limiter = limiter(connection, Backend::Module, DEADLINE);
            assert!(!is_decided(&limiter).await);
            server.start_again();
            decides_within_seconds("it is up", &limiter).await;
        });
    });
}

#[test]
fn addresses_that_can_never_work_are_refused() {
    let wrong = ["", "http://127.0.0.1", "redis://", "rediss://127.0.0.1/#insecure"];
    for url in wrong {
        assert!(Connection::single(url, ConnectionOptions::new()).is_err(), "{url}");
    }
}

#[cfg(unix)]
#[test]
fn user_password_database_and_a_unix_socket_are_used() {
    on_each(async |binary| {
        let server = Setup::module(binary).with("unixsocket redis.socket").start();
        server.connect().must("ACL SETUSER caller on >hush ~* +@all");
        let socket = server.dir().join("redis.socket");
        let urls = [
            format!("redis://caller:hush@127.0.0.1:{}/3", server.port()),
            format!("redis+unix://{}?user=caller&pass=hush&db=3", socket.display()),
        ];
        for url in urls {
            let limiter = limiter(to_url(&url), Backend::Module, LONG);
            assert!(is_decided(&limiter).await, "{url}");
            let clients = server.connect().must("CLIENT LIST").text();
            assert!(clients.lines().any(|c| c.contains("db=3") && c.contains("user=caller")));
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn idle_connections_are_probed() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let limiter = limiter(to(server.port()), Backend::Module, LONG);
        assert!(is_decided(&limiter).await);
        let server_end = format!(":{:04X}", server.port());
        // "02" is the timer of TCP keepalive: see proc(5).
        let has_keepalive = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[2].ends_with(&server_end) && fields[3] == "01" && fields[5].starts_with("02:")
        };
        until("it is idle", || async {
            std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(has_keepalive)
        })
        .await;
    });
}
