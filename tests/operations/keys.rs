//! Names of keys, and how to reset a key.

use ratelimit_harness::{on_every_server, Reply, Setup};

use super::page::block;

#[test]
fn deleting_a_key_resets_it_and_scan_finds_a_users_keys() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        let keys = ["user:42:login:fixed", "user:42:api:bucket", "user:421:api:bucket"];
        for key in keys {
            client.must(&format!("RATELIMIT.CHECK ratelimit:{key} 5 60"));
        }
        let [reset, scan] = &block("reset")[..] else { panic!("two lines") };
        assert_eq!(client.must(reset).integer(), 1);
        assert_eq!(client.must("RATELIMIT.PEEK ratelimit:user:42:login:fixed 5 60").remaining(), 5);
        let found = client.must(scan);
        let [Reply::Bytes(end), found] = found.array() else { panic!("{found:?}") };
        assert_eq!(**end, *b"0");
        assert_eq!(found.texts(), ["ratelimit:user:42:api:bucket"]);
    });
}
