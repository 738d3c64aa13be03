//! A cluster: a replica takes over, a primary is cut off, and several keys share a hash tag.

use ratelimit_harness::{
    catch_up, cut_off, eventually, is_primary, on_every_server, Cluster, Connection, Limiter,
    Reply, Server, Setup,
};

use super::failover::{call_each, each, still_allowed, LIMIT};

/// The node with the slot of `{k}`.
fn owner(cluster: &Cluster) -> usize {
    cluster.owner(cluster.slot("{k}"))
}

#[test]
fn a_cluster_failover_allows_again_only_unreplicated_calls() {
    on_every_server(|binary| {
        let mut cluster = Cluster::start_with_replicas(&Setup::module(binary));
        let owner = owner(&cluster);
        let (replicated, lost) = (30, 25);
        let mut client = cluster.nodes[owner].connect();
        call_each(&mut client, replicated);
        cut_off(&cluster.replicas[owner], &cluster.nodes[owner]);
        call_each(&mut client, lost);
        cluster.nodes[owner].kill();
        let replica = &cluster.replicas[owner];
        replica.resume();
        let mut client = takes_over(replica);
        let after = still_allowed(&mut client, &Limiter::Module);
        assert_eq!(after.map(|after| replicated + lost + after), each(LIMIT + lost));
    });
}

#[test]
fn after_a_cluster_failover_the_script_goes_on() {
    on_every_server(|binary| {
        let (primaries, replicas) = (Setup::module(binary), Setup::plain(binary));
        let mut cluster = Cluster::start_with_replicas_as(&primaries, &replicas);
        let owner = owner(&cluster);
        call_each(&mut cluster.nodes[owner].connect(), 30);
        catch_up(&mut cluster.replicas[owner].connect(), &cluster.nodes[owner]);
        cluster.nodes[owner].kill();
        let mut client = takes_over(&cluster.replicas[owner]);
        client.reply_to("RATELIMIT.CHECK {k} 5 60").expect_error("ERR unknown command");
        let script = Limiter::script(&mut client);
        assert_eq!(still_allowed(&mut client, &script), each(LIMIT - 30));
    });
}

/// Waits until a replica takes writes in the place of its primary, and returns a connection to it.
fn takes_over(replica: &Server) -> Connection {
    let mut client = replica.connect();
    eventually("the replica takes over", || {
        is_primary(replica) && matches!(client.reply_to("DEL {k}"), Reply::Integer(0))
    });
    client
}

#[test]
fn a_primary_without_the_majority_stops_deciding() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        let alone = owner(&cluster);
        let mut client = cluster.nodes[alone].connect();
        client.must("CONFIG SET cluster-node-timeout 1000");
        call_each(&mut client, 30);
        let others: Vec<_> = (0..3).filter(|node| *node != alone).collect();
        others.iter().for_each(|node| cluster.nodes[*node].pause());
        for command in ["CHECK", "PEEK"] {
            eventually("the cluster is down", || {
                let reply = client.reply_to(&format!("RATELIMIT.{command} {{k}} 0 60"));
                matches!(reply, Reply::Error(error) if error.starts_with("CLUSTERDOWN"))
            });
        }
        others.iter().for_each(|node| cluster.nodes[*node].resume());
        eventually("the cluster is back", || {
            matches!(client.reply_to("RATELIMIT.CHECK {k} 0 60"), Reply::Array(_))
        });
        assert_eq!(still_allowed(&mut client, &Limiter::Module), each(LIMIT - 30));
    });
}

#[test]
fn several_keys_in_one_transaction_need_one_hash_tag() {
    on_every_server(|binary| {
        let cluster = Cluster::start(&Setup::module(binary));
        let mut client = cluster.nodes[owner(&cluster)].connect();
        let transaction = |other: &str| {
            let check = |key: &str| format!("RATELIMIT.CHECK {key} 5 60");
            ["MULTI".to_owned(), check("ratelimit:{k}:api"), check(other), "EXEC".to_owned()]
        };
        let replies = client.pipeline(&transaction("ratelimit:{k}:login"));
        assert!(replies[3].array().iter().all(Reply::allowed), "{replies:?}");
        let replies = client.pipeline(&transaction("ratelimit:k:login"));
        assert!(matches!(replies[3], Reply::Error(_)), "{replies:?}");
        assert_eq!(client.must("GET ratelimit:{k}:api").text(), "1");
    });
}
