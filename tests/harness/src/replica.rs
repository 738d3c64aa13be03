//! Replicas, and what a primary sends to them.

use std::io::{BufRead, Read};

use super::{eventually, Connection, Server};

/// Makes a server a replica, and waits until it has everything.
#[track_caller]
pub fn follow(replica: &mut Connection, primary: &Server) {
    replica.must(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    catch_up(replica, primary);
}

/// Waits until a replica has everything that its primary has done so far.
#[track_caller]
pub fn catch_up(replica: &mut Connection, primary: &Server) {
    let mut primary = primary.connect();
    eventually("the replica catches up", || {
        replica.info("master_link_status") == "up"
            && replica.info("slave_repl_offset") == primary.info("master_repl_offset")
    });
}

/// Cuts a replica off: it gets nothing more from its primary. The replica is paused, and the link
/// is closed, so that nothing is under way either. [`Server::resume`] wakes it.
#[track_caller]
pub fn cut_off(replica: &Server, primary: &Server) {
    catch_up(&mut replica.connect(), primary);
    replica.pause();
    let mut primary = primary.connect();
    primary.must("CLIENT KILL TYPE replica");
    eventually("the primary is without its replica", || primary.info("connected_slaves") == "0");
}

/// Whether a server is a primary. A server that a sentinel promotes closes its connections first:
/// that is not an error here.
pub fn is_primary(server: &Server) -> bool {
    let role = Connection::open(server.port()).and_then(|mut client| client.try_call(&["ROLE"]));
    role.is_ok_and(|role| role.array()[0].text() == "master")
}

/// What a primary sends to its replicas.
pub struct ReplicationStream {
    link: Connection,
}

impl ReplicationStream {
    #[track_caller]
    pub fn of(primary: &Server) -> Self {
        let mut link = primary.connect();
        let started = link.reply_to("PSYNC ? -1");
        assert!(started.text().starts_with("FULLRESYNC"), "{started:?}");
        skip_data_set(&mut link);
        Self { link }
    }

    /// The effects of clients' commands since the last call.
    #[track_caller]
    pub fn effects(&mut self, primary: &mut Connection) -> Vec<Vec<String>> {
        const END: &str = "end-of-the-stream";
        primary.must(&format!("PUBLISH {END} 1"));
        let mut effects = Vec::new();
        loop {
            let words = self.link.receive().texts();
            match words[0].to_uppercase().as_str() {
                "PUBLISH" if words[1] == END => return effects,
                "PING" | "SELECT" | "REPLCONF" => {}
                _ => effects.push(words),
            }
        }
    }
}

/// The primary sends line breaks while it makes the data set, then the length, then the data set
/// without a line break at its end.
fn skip_data_set(link: &mut Connection) {
    let mut header = String::new();
    while header.trim().is_empty() {
        header.clear();
        link.source().read_line(&mut header).expect("the primary sends its data set");
    }
    let len = header.trim().strip_prefix('$').and_then(|len| len.parse().ok());
    let len: usize = len.unwrap_or_else(|| panic!("no length of a data set: {header}"));
    let mut data_set = vec![0; len];
    link.source().read_exact(&mut data_set).expect("the primary sends its data set");
}

/// How often the primary has sent the whole data set, and how often only the missing part.
pub fn resyncs(primary: &mut Connection) -> (i64, i64) {
    (primary.info_number("sync_full"), primary.info_number("sync_partial_ok"))
}
