//! A peer that is not a limiter, not a Redis, or does not answer: the call is never taken for
//! allowed, and the fallback answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use ratelimit_client::{Backend, Call, Error, Failure, Limiter, OnFailure, Policy};
use ratelimit_harness::Setup;

use crate::{connection, limiter, manager, on_each, run, LONG, YEAR};

const POLICY: Policy = Policy::fixed(5, YEAR);

/// Answers OK to the greeting of a client, and these bytes to everything else.
fn peer(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || answer_with(stream, &answer));
        }
    });
    port
}

fn answer_with(stream: TcpStream, answer: &[u8]) -> Option<()> {
    let mut source = BufReader::new(stream.try_clone().ok()?);
    let mut to = stream;
    loop {
        let mut words = Vec::new();
        let count: usize = line(&mut source)?.strip_prefix('*')?.parse().ok()?;
        for _ in 0..count {
            line(&mut source)?;
            words.push(line(&mut source)?);
        }
        let is_greeting = ["CLIENT", "HELLO"].contains(&&*words[0].to_uppercase());
        to.write_all(if is_greeting { b"+OK\r\n" } else { answer }).ok()?;
    }
}

fn line(source: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    source.read_line(&mut line).ok().filter(|&len| len > 0)?;
    Some(line.trim_end().to_owned())
}

/// What a limiter makes of this answer, and its text of the failure.
async fn answered(answer: &[u8], policy: &Policy) -> (Result<bool, Error>, String) {
    let connection = connection(peer(answer.to_vec())).await;
    let limiter = Limiter::redis(connection, OnFailure::closed_after(LONG)).build();
    let answer = limiter.check("k", policy).await.map(|answer| answer.is_allowed());
    (answer, limiter.last_failure().unwrap_or_default())
}

#[track_caller]
fn is_failure(answer: &(Result<bool, Error>, String), shown: &str) {
    let (Err(Error::Unavailable(Failure::Server)), text) = answer else {
        panic!("{shown}: {answer:?}");
    };
    assert!(text.len() < 500 && !text.contains(char::is_control), "{shown}: {text}");
}

#[test]
fn any_other_reply_is_a_failure_and_never_allowed() {
    run(async {
        let long = format!("+{}\r\n", "x".repeat(100_000));
        let deep = "*1\r\n".repeat(50_000);
        let cases: [&[u8]; 21] = [
            b"+OK\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"_\r\n",
            b":1\r\n",
            b"*0\r\n",
            b"*5\r\n$1\r\n1\r\n$1\r\n5\r\n$1\r\n4\r\n$1\r\n0\r\n$1\r\n9\r\n",
            b"*4\r\n:1\r\n:5\r\n:4\r\n:0\r\n",
            b"*5\r\n:1\r\n:7\r\n:4\r\n:0\r\n:9\r\n",
            b"*5\r\n:1\r\n:5\r\n:4\r\n:9\r\n:9\r\n",
            b"*5\r\n:1\r\n:5\r\n:4\r\n:0\r\n:-9\r\n",
            b"*5\r\n:1\r\n:5\r\n:4\r\n:0\r\n:99999999999999999999\r\n",
            b"%1\r\n+allowed\r\n#t\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b"*5\r\n#t\r\n:5\r\n:4\r\n:0\r\n:9\r\n",
            b"*5\r\n(1\r\n:5\r\n:4\r\n:0\r\n:9\r\n",
            b"hello\r\n",
            b"\0\0\0\0\r\n",
            long.as_bytes(),
            deep.as_bytes(),
        ];
        for answer in cases {
            let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
            is_failure(&answered(answer, &POLICY).await, &shown);
        }
        let several = POLICY.and(9, YEAR / 2);
        let one = b"*6\r\n:1\r\n:5\r\n:4\r\n:0\r\n:9\r\n*1\r\n*4\r\n:5\r\n:4\r\n:0\r\n:9\r\n";
        is_failure(&answered(one, &several).await, "one pair of two");
        let wrong = b"*5\r\n:1\r\n:5\r\n:4\r\n:0\r\n-ERR inside\r\n";
        is_failure(&answered(wrong, &POLICY).await, "an error inside");
        let far = i64::MAX;
        let far = format!("*5\r\n:0\r\n:5\r\n:0\r\n:{far}\r\n:{far}\r\n");
        assert!(
            matches!(answered(far.as_bytes(), &POLICY).await.0, Ok(false)),
            "a wait of any length"
        );
        let right = b"*5\r\n:1\r\n:5\r\n:4\r\n:0\r\n:9\r\n";
        assert!(
            matches!(answered(right, &POLICY).await.0, Ok(true)),
            "the peer itself is in order"
        );
    });
}

#[test]
fn a_connection_that_ends_within_an_answer_is_a_failure() {
    run(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"+OK\r\n+OK\r\n*5\r\n:1\r\n:5\r\n");
            }
        });
        let limiter = Limiter::redis(manager(port), OnFailure::closed_after(LONG)).build();
        match limiter.check("k", &POLICY).await {
            Err(Error::Unavailable(Failure::Connection | Failure::Server)) => {}
            other => panic!("{other:?}"),
        }
    });
}

/// A real server sends this error and closes the connection. Whether a client reads the error
/// before the end is a race, so this test uses a peer of its own.
#[test]
fn a_peer_without_room_for_clients_is_a_failed_connection() {
    run(async {
        let connection = connection(peer(b"-ERR max number of clients reached\r\n".to_vec())).await;
        let limiter = Limiter::redis(connection, OnFailure::closed_after(LONG)).build();
        let failed = limiter.check("k", &POLICY).await;
        assert!(matches!(failed, Err(Error::Unavailable(Failure::Connection))), "{failed:?}");
    });
}

#[test]
fn an_endless_answer_is_given_up_at_the_deadline() {
    run(async {
        let endless: [&[u8]; 6] = [
            b"*5\r\n:1\r\n:5\r\n",
            b"*2147483647\r\n:1\r\n",
            b"*9223372036854775807\r\n:1\r\n",
            b"$536870912\r\nx",
            b"%9223372036854775807\r\n+allowed\r\n",
            // A push message that nobody has subscribed to.
            b">2\r\n+message\r\n+allowed\r\n",
        ];
        for answer in endless {
            let shown = String::from_utf8_lossy(answer).into_owned();
            let connection = connection(peer(answer.to_vec())).await;
            let on_failure = OnFailure::closed_after(Duration::from_millis(50));
            let limiter = Limiter::redis(connection, on_failure).build();
            for _ in 0..2 {
                match limiter.check("k", &POLICY).await {
                    Err(Error::Unavailable(Failure::Deadline | Failure::Server)) => {}
                    other => panic!("{shown}: {other:?}"),
                }
            }
        }
    });
}

#[test]
fn the_deadline_includes_the_time_to_connect() {
    run(async {
        // The kernel accepts the connection; nothing ever answers.
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let deadline = Duration::from_millis(50);
        let limiter = Limiter::redis(manager(port), OnFailure::closed_after(deadline)).build();
        let start = Instant::now();
        let failed = limiter.check("k", &POLICY).await;
        assert!(matches!(failed, Err(Error::Unavailable(Failure::Deadline))), "{failed:?}");
        assert!((deadline..LONG / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn a_late_answer_is_not_taken_for_another_calls() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let connection = connection(server.port()).await;
        let hasty = OnFailure::closed_after(Duration::from_millis(20));
        let hasty = Limiter::redis(connection.clone(), hasty).circuit_breaker(u32::MAX, LONG);
        let patient = Limiter::redis(connection, OnFailure::closed_after(LONG)).build();
        let hasty = hasty.backend(Backend::Module).build();
        assert!(patient.check("warm", &POLICY).await.is_ok());
        server.pause();
        // Each policy has another limit, so each answer can be told apart.
        let policies: Vec<_> = (1..=60).map(|limit| Policy::fixed(limit, YEAR)).collect();
        let (early, late) = policies.split_at(30);
        let given_up: Vec<_> = early.iter().map(|policy| Call::new("early", policy)).collect();
        for answer in hasty.check_each(&given_up).await {
            assert!(matches!(answer, Err(Error::Unavailable(Failure::Deadline))), "{answer:?}");
        }
        // A dropped call is like one that was given up.
        let dropped = patient.check("early", &early[0]);
        assert!(tokio::time::timeout(Duration::from_millis(5), dropped).await.is_err());
        let keys: Vec<_> = (0..late.len()).map(|i| format!("late:{i}")).collect();
        let calls: Vec<_> = keys.iter().zip(late).map(|(key, p)| Call::new(key, p)).collect();
        let waiting = patient.check_each(&calls);
        let (answers, ()) = tokio::join!(waiting, async { server.resume() });
        for (answer, policy) in answers.into_iter().zip(late) {
            let quota = *answer.unwrap().quota();
            assert_eq!((quota.limit, quota.remaining + 1), (policy.pairs()[0].limit, quota.limit));
        }
    });
}

#[test]
fn a_key_of_any_bytes_is_a_key() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        for limiter in [limiter(&server).await.build(), Limiter::memory(9).build()] {
            for key in [&b""[..], b"\0\r\n*1\r\n", &[0xff; 70_000]] {
                let remaining =
                    || async { limiter.check(key, &POLICY).await.unwrap().quota().remaining };
                assert_eq!((remaining().await, remaining().await), (4, 3));
            }
        }
    });
}
