//! Nobody notices a denied call or a PEEK. Everybody notices an allowed call: replicas, the
//! append-only file, WATCH, client caches.

use ratelimit_harness::{
    on_every_server, policies, Binary, Connection, Frozen, Limiter, ReplicationStream, Reply,
    Setup, ALGORITHMS,
};

/// Everybody who can notice a write.
struct Audience {
    frozen: Frozen,
    watcher: Connection,
    cache: Connection,
    stream: ReplicationStream,
}

/// What they noticed.
#[derive(Debug, PartialEq, Eq)]
struct Noticed {
    changes: i64,
    is_replicated: bool,
    is_in_the_aof: bool,
    breaks_watch: bool,
    invalidates: bool,
    effects: Vec<Vec<String>>,
    keys: i64,
}

impl Noticed {
    const NOTHING: Self = Self {
        changes: 0,
        is_replicated: false,
        is_in_the_aof: false,
        breaks_watch: false,
        invalidates: false,
        effects: Vec::new(),
        keys: 0,
    };
}

impl Audience {
    fn gather(binary: &'static Binary) -> Self {
        let quiet = ["appendonly yes", "appendfsync always", "repl-ping-replica-period 3600"];
        let setup = quiet.iter().fold(Setup::test_module(binary), |setup, line| setup.with(line));
        let frozen = Frozen::on(setup.start());
        let mut cache = frozen.server.connect_resp3();
        cache.must("CLIENT TRACKING ON");
        let stream = ReplicationStream::of(&frozen.server);
        Self { watcher: frozen.server.connect(), cache, stream, frozen }
    }

    fn notice(&mut self, key: &str, act: impl FnOnce(&mut Connection)) -> Noticed {
        self.watcher.must(&format!("WATCH {key}"));
        self.watcher.must("MULTI");
        self.watcher.must("PING");
        cache_key(&mut self.cache, key);
        let client = &mut self.frozen.connection;
        let [changes, offset, aof, keys] = counters(client);
        act(client);
        let [changes_then, offset_then, aof_then, keys_then] = counters(client);
        Noticed {
            changes: changes_then - changes,
            is_replicated: offset_then > offset,
            is_in_the_aof: aof_then > aof,
            breaks_watch: self.watcher.must("EXEC") == Reply::Nil,
            invalidates: is_invalidated(&mut self.cache, key),
            effects: self.stream.effects(client),
            keys: keys_then - keys,
        }
    }

    fn send(&mut self, limiter: &Limiter, verb: &str, key: &str, words: &str) -> (Reply, Noticed) {
        let words: Vec<_> = words.split(' ').collect();
        let call = limiter.call(verb, key.as_bytes(), &words);
        let mut reply = Reply::Nil;
        let noticed = self.notice(key, |client| reply = client.call(&call));
        (reply, noticed)
    }

    #[track_caller]
    fn notices_nothing(&mut self, limiter: &Limiter, verb: &str, key: &str, words: &str) -> Reply {
        let (reply, noticed) = self.send(limiter, verb, key, words);
        assert_eq!(noticed, Noticed::NOTHING, "{verb} {key} {words} of {}", limiter.name());
        reply
    }

    /// An allowed CHECK: everybody notices it. Its effect is SET with the value and the expiry of
    /// the key.
    #[track_caller]
    fn notices_all(&mut self, limiter: &Limiter, key: &str, words: &str, new_keys: i64) {
        let (reply, noticed) = self.send(limiter, "CHECK", key, words);
        assert!(reply.allowed(), "{key} {words} of {}: {reply:?}", limiter.name());
        let client = &mut self.frozen.connection;
        let state = client.must(&format!("GET {key}")).text();
        let expiry = client.must(&format!("PEXPIRETIME {key}")).integer().to_string();
        let effect = ["SET", key, &state, "PXAT", &expiry].map(str::to_owned).to_vec();
        let everything = Noticed {
            changes: 1,
            is_replicated: true,
            is_in_the_aof: true,
            breaks_watch: true,
            invalidates: true,
            effects: vec![effect],
            keys: new_keys,
        };
        assert_eq!(noticed, everything, "{key} {words} of {}", limiter.name());
    }
}

fn counters(client: &mut Connection) -> [i64; 4] {
    let [changes, offset, aof] =
        ["rdb_changes_since_last_save", "master_repl_offset", "aof_current_size"]
            .map(|field| client.info_number(field));
    [changes, offset, aof, client.must("DBSIZE").integer()]
}

/// From now on the server tells the caching client about changes of the key. Earlier invalidations
/// may come first.
fn cache_key(cache: &mut Connection, key: &str) {
    cache.send(&["EXISTS", key]);
    while let Reply::Push(_) = cache.receive() {}
}

/// An invalidation comes before the reply to the next command of the caching client.
fn is_invalidated(cache: &mut Connection, key: &str) -> bool {
    cache.send(&["PING"]);
    match cache.receive() {
        Reply::Push(push) => {
            assert_eq!(push[0].text(), "invalidate");
            assert_eq!(push[1].texts(), [key]);
            assert_eq!(cache.receive(), Reply::Status("PONG".into()));
            true
        }
        other => {
            assert_eq!(other, Reply::Status("PONG".into()));
            false
        }
    }
}

const PAIRS: [&str; 2] = ["2 1000", "2 1000 9 2000"];

/// Tests the module and then the script with the same audience.
fn before_an_audience(test: impl Fn(&mut Audience, &Limiter)) {
    on_every_server(|binary| {
        let mut audience = Audience::gather(binary);
        for limiter in audience.frozen.limiters() {
            test(&mut audience, &limiter);
            let client = &mut audience.frozen.connection;
            for (key, _) in policies(&PAIRS) {
                client.must(&format!("DEL {key}"));
            }
            audience.stream.effects(client);
        }
    });
}

#[test]
fn an_allowed_call_is_noticed_by_everybody() {
    before_an_audience(|audience, limiter| {
        for (key, words) in policies(&PAIRS) {
            audience.notices_all(limiter, &key, &words, 1);
            audience.notices_all(limiter, &key, &words, 0);
        }
    });
}

#[test]
fn a_denied_call_is_noticed_by_nobody() {
    before_an_audience(|audience, limiter| {
        for (key, words) in policies(&PAIRS) {
            let call = limiter.call("CHECK", key.as_bytes(), &words.split(' ').collect::<Vec<_>>());
            while audience.frozen.connection.call(&call).allowed() {}
            audience.stream.effects(&mut audience.frozen.connection);
            assert!(!audience.notices_nothing(limiter, "CHECK", &key, &words).allowed());
            assert!(!audience.notices_nothing(limiter, "PEEK", &key, &words).allowed());
        }
    });
}

#[test]
fn a_denied_first_call_creates_no_key() {
    before_an_audience(|audience, limiter| {
        for algorithm in ALGORITHMS {
            for words in ["0 1000", "0 1000 9 2000", "2 1000 COST 3", "9 1000 2 2000 COST 3"] {
                let words = format!("{words} ALGORITHM {algorithm}");
                assert!(!audience.notices_nothing(limiter, "CHECK", "none", &words).allowed());
                assert!(!audience.notices_nothing(limiter, "PEEK", "none", &words).allowed());
            }
        }
    });
}

#[test]
fn a_peek_is_noticed_by_nobody() {
    before_an_audience(|audience, limiter| {
        for (key, words) in policies(&PAIRS) {
            assert!(audience.notices_nothing(limiter, "PEEK", &key, &words).allowed());
            audience.notices_all(limiter, &key, &words, 1);
            assert!(audience.notices_nothing(limiter, "PEEK", &key, &words).allowed());
        }
    });
}

#[test]
fn an_error_is_noticed_by_nobody() {
    before_an_audience(|audience, limiter| {
        audience.notices_all(limiter, "FIXED-1", "2 1000", 1);
        for words in ["2", "2 x", "2 1000 COST 0", "2 1000 ALGORITHM BUCKET"] {
            audience.notices_nothing(limiter, "CHECK", "FIXED-1", words).error();
        }
    });
}

#[test]
fn the_module_sends_no_keyspace_events_of_its_own() {
    on_every_server(|binary| {
        let server = Setup::module(binary).start();
        let mut client = server.connect();
        let mut listener = server.connect();
        client.must("CONFIG SET notify-keyspace-events KEA");
        listener.must("PSUBSCRIBE __key*");
        for _ in 0..3 {
            client.must("RATELIMIT.CHECK k 2 1000");
            client.must("RATELIMIT.PEEK k 2 1000");
        }
        client.must("SET last 1");
        let first = listener.receive();
        assert_eq!(first.array()[2].text(), "__keyspace@0__:last", "{first:?}");
    });
}
