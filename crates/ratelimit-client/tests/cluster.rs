//! A cluster of three primaries. Calls reach the node that has the key, also while a slot moves and
//! after a replica has replaced a primary. Never more than the limit is allowed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ratelimit_client::{
    Backend, Call, Connection, ConnectionOptions, Error, Limiter, OnFailure, Policy, Source,
};
use ratelimit_harness::{
    catch_up, eventually, is_primary, not_applicable, on_every_server, servers, Cluster, Cut,
    Forwarder, Reply, Setup,
};

use crate::connection::Names;
use crate::{run, until, LONG, YEAR};

const LIMIT: u64 = 2_000;
const POLICY: Policy = Policy::sliding(LIMIT, YEAR).and(1_000_000, LONG);
const KEY: &str = "{k}";

fn urls(cluster: &Cluster) -> impl Iterator<Item = String> + '_ {
    cluster.nodes.iter().map(|node| format!("redis://127.0.0.1:{}", node.port()))
}

/// A connection that is not given up while a test stops the nodes.
fn connection(cluster: &Cluster) -> Connection {
    let options = ConnectionOptions::new().max_silence(LONG);
    Connection::cluster(urls(cluster), options).expect("addresses")
}

fn limiter(cluster: &Cluster, which: Backend) -> Limiter {
    let limiter = Limiter::redis(connection(cluster), OnFailure::closed_after(LONG));
    limiter.backend(which).suffix_by_algorithm().prefix("app:").build()
}

#[test]
fn keys_of_all_nodes_are_limited_by_module_and_script() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        run(async {
            for which in [Backend::Module, Backend::Script] {
                let limiter = limiter(&cluster, which);
                let policy = Policy::sliding(2, YEAR);
                let keys: Vec<_> = (0..60).map(|i| format!("{which:?}:{i}")).collect();
                for left in [Some(1), Some(0), None] {
                    let calls: Vec<_> = keys.iter().map(|key| Call::new(key, &policy)).collect();
                    for answer in limiter.check_each(&calls).await {
                        let answer = answer.unwrap();
                        assert_eq!(answer.is_allowed().then_some(answer.quota().remaining), left);
                    }
                }
                for key in &keys {
                    limiter.reset(key, &policy).await.unwrap();
                    assert_eq!(limiter.peek(key, &policy).await.unwrap().quota().remaining, 2);
                }
            }
        });
    });
}

#[test]
fn a_cluster_without_the_module_runs_the_script() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::plain(binary));
        run(async {
            let limiter = limiter(&cluster, Backend::Auto);
            for i in 0..60 {
                let answer = limiter.check(&format!("key:{i}"), &POLICY).await.unwrap();
                assert!(answer.is_allowed() && answer.source == Source::Script);
            }
        });
    });
}

/// The number of bytes that have arrived at all nodes and were not read yet.
fn waiting(cluster: &Cluster) -> usize {
    let of = |client: &str| {
        let field = client.split(' ').find_map(|field| field.strip_prefix("qbuf="));
        field.map_or(0, |bytes| bytes.parse().expect("a number"))
    };
    let clients = cluster.nodes.iter().map(|node| node.connect().must("CLIENT LIST").text());
    clients.map(|clients| clients.lines().map(of).sum::<usize>()).sum()
}

#[test]
fn many_calls_take_one_round_trip_to_each_node() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        run(async {
            let limiter = limiter(&cluster, Backend::Module);
            let keys: Vec<_> = (0..300).map(|i| format!("{i:1000}")).collect();
            let calls: Vec<_> = keys.iter().map(|key| Call::new(key, &POLICY)).collect();
            let pause = |how: &str| {
                cluster.nodes.iter().for_each(|node| drop(node.connect().must(how)));
            };
            pause("CLIENT PAUSE 60000 WRITE");
            let answers = limiter.check_each(&calls);
            let all_sent = async {
                // Each node has already read the first of its commands.
                until("all are sent", || async { waiting(&cluster) > 297 * 1000 }).await;
                pause("CLIENT UNPAUSE");
            };
            let (answers, ()) = tokio::join!(answers, all_sent);
            assert_eq!(answers.len(), 300);
            assert!(answers.into_iter().all(|answer| answer.unwrap().is_allowed()));
        });
    });
}

/// Callers of one key, half of them by the module and half by the script, and their results.
struct Load {
    callers: tokio::task::JoinSet<()>,
    results: Arc<Results>,
}

#[derive(Default)]
struct Results {
    /// Once this many calls are allowed, the callers only peek.
    most: AtomicU64,
    made: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    allowed: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let results = Arc::new(Results { most: AtomicU64::new(LIMIT / 2), ..Results::default() });
        let mut callers = tokio::task::JoinSet::new();
        for which in [Backend::Module, Backend::Script] {
            let limiter = limiter(cluster, which);
            for _ in 0..4 {
                callers.spawn(call_until_it_is_over(limiter.clone(), Arc::clone(&results)));
            }
        }
        Self { callers, results }
    }

    async fn more(&self, counter: fn(&Results) -> &AtomicU64) {
        let before = counter(&self.results).load(Relaxed);
        until("more calls", || async { counter(&self.results).load(Relaxed) > before + 50 }).await;
    }

    /// From here on the callers only peek.
    async fn pause_checks(&self) {
        self.results.most.store(0, Relaxed);
        // By now each caller has finished the check that it had begun.
        self.more(|results| &results.answered).await;
    }

    /// Lets the callers reach the limit. Exactly the limit was allowed, and every call has an
    /// answer or a failure. Returns the number of failures.
    async fn end(mut self) -> u64 {
        self.results.most.store(u64::MAX, Relaxed);
        until("the limit is reached", || async { self.results.allowed.load(Relaxed) >= LIMIT })
            .await;
        self.more(|results| &results.answered).await;
        self.results.is_over.store(true, Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller.expect("a caller");
        }
        let read = |counter: fn(&Results) -> &AtomicU64| counter(&self.results).load(Relaxed);
        assert_eq!(read(|results| &results.allowed), LIMIT);
        assert_eq!(
            read(|results| &results.made),
            read(|results| &results.answered) + read(|results| &results.failed)
        );
        read(|results| &results.failed)
    }
}

async fn call_until_it_is_over(limiter: Limiter, results: Arc<Results>) {
    while !results.is_over.load(Relaxed) {
        results.made.fetch_add(1, Relaxed);
        let checks = results.allowed.load(Relaxed) < results.most.load(Relaxed);
        let result = match checks {
            true => limiter.check(KEY, &POLICY).await,
            false => limiter.peek(KEY, &POLICY).await,
        };
        match result {
            Ok(answer) => {
                results.answered.fetch_add(1, Relaxed);
                results.allowed.fetch_add(u64::from(checks && answer.is_allowed()), Relaxed);
            }
            Err(Error::Unavailable(_)) => drop(results.failed.fetch_add(1, Relaxed)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The slot of the key, its owner, and the next node.
fn slot_of_k(cluster: &Cluster) -> (u16, usize, usize) {
    let slot = cluster.nodes[0].connect().must("CLUSTER KEYSLOT {k}").integer();
    let slot = u16::try_from(slot).expect("a slot");
    let owner = cluster.owner(slot);
    (slot, owner, (owner + 1) % 3)
}

#[test]
fn the_limit_holds_while_a_slot_moves_key_by_key() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        run(async {
            let load = Load::start(&cluster);
            load.more(|results| &results.allowed).await;
            let (slot, from, to) = slot_of_k(&cluster);
            let (from_id, to_id) = (cluster.id(from), cluster.id(to));
            let [mut source, mut target] = [from, to].map(|node| cluster.nodes[node].connect());
            target.must(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
            source.must(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
            let port = cluster.nodes[to].port();
            for key in source.must(&format!("CLUSTER GETKEYSINSLOT {slot} 99")).texts() {
                source.must(&format!("MIGRATE 127.0.0.1 {port} {key} 0 9000"));
            }
            // The node answers ASK for keys that have moved.
            load.more(|results| &results.answered).await;
            target.must(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
            source.must(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
            load.more(|results| &results.answered).await;
            assert_eq!(load.end().await, 0, "each redirection is followed");
        });
    });
}

#[test]
fn the_limit_holds_while_a_slot_moves_as_a_whole() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        let (slot, from, to) = slot_of_k(&cluster);
        let mut source = cluster.nodes[from].connect();
        if !source.knows_command("CLUSTER|MIGRATESLOTS") {
            let why = "it has no command CLUSTER MIGRATESLOTS";
            return not_applicable(binary, "the migration of a slot as a whole", why);
        }
        run(async {
            let load = Load::start(&cluster);
            load.more(|results| &results.allowed).await;
            let to_id = cluster.id(to);
            source.must(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {to_id}"));
            eventually("the slot has moved", || {
                let jobs = source.must("CLUSTER GETSLOTMIGRATIONS");
                jobs.array()[0].field("state").text() == "success"
            });
            load.more(|results| &results.answered).await;
            assert_eq!(load.end().await, 0, "each redirection is followed");
        });
    });
}

#[test]
fn the_limit_holds_when_a_replica_takes_over_on_command() {
    on_every_server(|binary| {
        let cluster = Cluster::start_with_replicas(&Setup::module(binary));
        run(async {
            let load = Load::start(&cluster);
            load.more(|results| &results.allowed).await;
            let (_, owner, _) = slot_of_k(&cluster);
            let replica = &cluster.replicas[owner];
            assert_eq!(replica.connect().must("CLUSTER FAILOVER"), Reply::Status("OK".into()));
            eventually("the replica takes over", || is_primary(replica));
            load.more(|results| &results.answered).await;
            assert_eq!(load.end().await, 0, "each redirection is followed");
        });
    });
}

#[test]
fn counts_stay_when_a_replica_replaces_a_killed_primary() {
    on_every_server(|binary| {
        let mut cluster = Cluster::start_with_replicas(&Setup::module(binary));
        run(async {
            let load = Load::start(&cluster);
            load.more(|results| &results.allowed).await;
            let (_, owner, _) = slot_of_k(&cluster);
            // A failover loses what the replica does not have yet, so let it catch up first.
            load.pause_checks().await;
            catch_up(&mut cluster.replicas[owner].connect(), &cluster.nodes[owner]);
            cluster.nodes[owner].kill();
            eventually("the replica takes over", || is_primary(&cluster.replicas[owner]));
            load.more(|results| &results.answered).await;
            load.end().await;
        });
    });
}

/// A cluster whose nodes are reached through forwarders, in the same order.
struct Forwarded {
    cluster: Cluster,
    forwarders: Vec<Forwarder>,
}

impl Forwarded {
    fn start(setup: &Setup) -> Self {
        let cluster = Cluster::start(setup);
        let forwarders: Vec<_> = cluster.nodes.iter().map(Forwarder::to).collect();
        for (node, forwarder) in cluster.nodes.iter().zip(&forwarders) {
            node.connect().must(&format!("CONFIG SET cluster-announce-port {}", forwarder.port()));
        }
        let names_all = |slots: &str| {
            forwarders.iter().all(|forwarder| slots.contains(&format!("{:?}", forwarder.port())))
        };
        eventually("the nodes name the forwarders", || {
            let slots = |node: &ratelimit_harness::Server| node.connect().must("CLUSTER SLOTS");
            cluster.nodes.iter().all(|node| names_all(&format!("{:?}", slots(node))))
        });
        Self { cluster, forwarders }
    }

    fn limiter(&self, deadline: Duration) -> Limiter {
        let urls = self.forwarders.iter().map(|f| format!("redis://127.0.0.1:{}", f.port()));
        let connection = Connection::cluster(urls, ConnectionOptions::new()).expect("addresses");
        one_call_each(connection, deadline)
    }
}

/// Without a circuit breaker, so that each call is sent.
fn one_call_each(connection: Connection, deadline: Duration) -> Limiter {
    crate::connection::limiter(connection, Backend::Module, deadline)
}

/// Keys of all nodes.
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// How many of the keys are decided; the others have no answer.
async fn decided(limiter: &Limiter) -> usize {
    let calls = KEYS.map(|key| Call::new(key, &POLICY));
    let is_decided = |result: Result<_, Error>| match result {
        Ok(_) => true,
        Err(Error::Unavailable(_)) => false,
        Err(error) => panic!("{error}"),
    };
    limiter.check_each(&calls).await.into_iter().map(is_decided).filter(|is| *is).count()
}

/// How often each of the keys was counted by its node.
fn counted(cluster: &Cluster) -> [u64; 6] {
    let mut client = cluster.client();
    KEYS.map(|key| {
        let words = ["RATELIMIT.PEEK", key, "2000", "31622400s"];
        let reply =
            client.call(&[&words[..], &["1000000", "30s", "ALGORITHM", "SLIDING"]].concat());
        2_000 - u64::try_from(reply.array()[2].integer()).expect("a number")
    })
}

async fn all_decided_within_seconds(limiter: &Limiter, keys: usize) {
    let start = Instant::now();
    while decided(limiter).await < keys {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_first_checks_after_an_idle_close_are_counted_once() {
    on_every_server(|binary| {
        let forwarded = Forwarded::start(&Setup::module(binary).with("timeout 1"));
        run(async {
            let limiter = forwarded.limiter(LONG);
            for round in 1..=2 {
                assert_eq!(decided(&limiter).await, KEYS.len(), "{round}");
                assert_eq!(counted(&forwarded.cluster), [round; 6]);
                until("the nodes close the idle connections", || async {
                    forwarded.forwarders.iter().all(Forwarder::is_idle)
                })
                .await;
            }
        });
    });
}

#[test]
fn checks_that_were_counted_are_not_sent_again() {
    let binary = &servers()[0];
    for cut in [Cut::Fin, Cut::Rst] {
        let forwarded = Forwarded::start(&Setup::module(binary));
        run(async {
            let limiter = forwarded.limiter(LONG);
            assert_eq!(decided(&limiter).await, KEYS.len());
            forwarded.forwarders.iter().for_each(Forwarder::mute_replies);
            let end = async {
                until("they are counted", || async { counted(&forwarded.cluster) == [2; 6] }).await;
                forwarded.forwarders.iter().for_each(|forwarder| forwarder.cut(cut));
            };
            assert_eq!(tokio::join!(decided(&limiter), end).0, 0, "{cut:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(counted(&forwarded.cluster), [2; 6], "{cut:?}");
            all_decided_within_seconds(&limiter, KEYS.len()).await;
        });
    }
}

#[test]
fn a_mute_connection_to_a_node_is_replaced() {
    let binary = &servers()[0];
    let forwarded = Forwarded::start(&Setup::module(binary));
    run(async {
        let limiter = forwarded.limiter(Duration::from_millis(100));
        all_decided_within_seconds(&limiter, KEYS.len()).await;
        forwarded.forwarders.iter().for_each(Forwarder::mute);
        all_decided_within_seconds(&limiter, KEYS.len()).await;
    });
}

#[test]
fn a_replica_is_found_that_replaces_a_hanging_primary() {
    on_every_server(|binary| {
        let cluster = Cluster::start_with_replicas(&Setup::module(binary));
        run(async {
            let connection = Connection::cluster(urls(&cluster), ConnectionOptions::new());
            let limiter = one_call_each(connection.unwrap(), Duration::from_millis(100));
            all_decided_within_seconds(&limiter, KEYS.len()).await;
            let (_, owner, _) = slot_of_k(&cluster);
            cluster.nodes[owner].pause();
            let hot = async {
                // Calls go on meanwhile, so that the connection notices that no answer comes.
                while !is_primary(&cluster.replicas[owner]) {
                    decided(&limiter).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), hot).await.expect("a failover");
            all_decided_within_seconds(&limiter, KEYS.len()).await;
            cluster.nodes[owner].resume();
        });
    });
}

#[test]
fn a_name_that_leads_to_another_cluster_is_followed() {
    let binary = &servers()[0];
    let (old, new) =
        (Cluster::start(&Setup::module(binary)), Cluster::start(&Setup::module(binary)));
    let names = Names::default();
    names.set("cluster.test", &old.nodes[0]);
    run(async {
        let options = ConnectionOptions::new().resolver(names.clone());
        let connection = Connection::cluster(["redis://cluster.test"], options);
        let limiter = one_call_each(connection.unwrap(), Duration::from_millis(100));
        all_decided_within_seconds(&limiter, KEYS.len()).await;
        names.set("cluster.test", &new.nodes[1]);
        drop(old);
        all_decided_within_seconds(&limiter, KEYS.len()).await;
        assert!(counted(&new).iter().all(|count| *count >= 1));
    });
}

#[test]
fn the_rights_that_the_documents_name_are_enough() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        for node in &cluster.nodes {
            node.connect().must(
                "ACL SETUSER app on >secret resetchannels -@all ~* +ratelimit.check \
                 +ratelimit.peek +ping +cluster|slots +cluster|info +asking",
            );
        }
        run(async {
            let port = cluster.nodes[0].port();
            let url = format!("redis://app:secret@127.0.0.1:{port}");
            let connection = Connection::cluster([url], ConnectionOptions::new());
            let limiter = one_call_each(connection.unwrap(), LONG);
            assert_eq!(decided(&limiter).await, KEYS.len());
            for node in &cluster.nodes {
                // CLIENT SETINFO is refused, which does no harm.
                let refused = format!("{:?}", node.connect().must("ACL LOG"));
                assert!(!refused.contains("cluster") && !refused.contains("asking"), "{refused}");
            }
        });
    });
}
