//! Many calls at once take one round trip.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use ratelimit_client::{Backend, Call, Error, Limiter, OnFailure, Policy};
use ratelimit_harness::{eventually, Server, Setup};

use crate::{connection, limiter, on_each, LONG, YEAR};

const CALLS: usize = 500;

/// A proxy between client and server. It passes no answer on before the server has run this many
/// commands of a kind.
struct Gate {
    port: u16,
}

impl Gate {
    fn before(server: &Server, command: &'static str, calls: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        // The threads outlive the test; the server must not.
        let (server_port, mut control) = (server.port(), server.connect());
        thread::spawn(move || {
            let (client, _) = listener.accept().expect("a client");
            let upstream = TcpStream::connect(("127.0.0.1", server_port)).expect("the server");
            let (from_client, to_server) =
                (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || copy(from_client, to_server, || ()));
            copy(upstream, client, move || {
                let reached = |stats: String| {
                    let line =
                        stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
                    line.is_some_and(|line| line.contains(&format!(":calls={calls},")))
                        || !stats.contains(command)
                };
                eventually("all calls have come before the first is answered", || {
                    reached(control.must("INFO commandstats").text())
                });
            });
        });
        Self { port }
    }
}

/// Copies until one side ends.
fn copy(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut()) {
    let mut bytes = [0; 65_536];
    while let Ok(len @ 1..) = from.read(&mut bytes) {
        before();
        if to.write_all(&bytes[..len]).is_err() {
            return;
        }
    }
}

#[test]
fn many_calls_are_all_sent_before_the_first_answer() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        // Loads the script, so that all calls use its digest.
        limiter(&server)
            .await
            .backend(Backend::Script)
            .build()
            .check("k", &Policy::fixed(1, YEAR))
            .await
            .unwrap();
        server.connect().must("CONFIG RESETSTAT");
        for (which, command) in [(Backend::Module, "ratelimit.check"), (Backend::Script, "evalsha")]
        {
            let gate = Gate::before(&server, command, CALLS);
            let connection = connection(gate.port).await;
            let limiter = Limiter::redis(connection, OnFailure::closed_after(LONG));
            let limiter = limiter.backend(which).prefix(command).build();
            let policy = Policy::fixed(2, YEAR);
            let keys: Vec<_> = (0..CALLS).map(|i| i.to_string()).collect();
            let calls: Vec<_> = keys
                .iter()
                .enumerate()
                .map(|(i, key)| Call::new(key, &policy).cost(1 + i as u64 % 3))
                .collect();
            let answers = limiter.check_each(&calls).await;
            for (i, answer) in answers.into_iter().enumerate() {
                let answer = answer.unwrap();
                let left = [Some(1), Some(0), None][i % 3];
                assert_eq!(answer.is_allowed().then_some(answer.quota().remaining), left, "{i}");
            }
        }
    });
}

#[test]
fn one_wrong_call_of_many_fails_alone() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        server.connect().must("LPUSH list 1");
        let policy = Policy::fixed(1, YEAR);
        let calls = ["a", "list", "a", "b"].map(|key| Call::new(key, &policy));
        let answers = limiter(&server).await.build().check_each(&calls).await;
        let allowed: Vec<_> =
            answers.iter().map(|answer| answer.as_ref().ok().map(|a| a.is_allowed())).collect();
        assert_eq!(allowed, [Some(true), None, Some(false), Some(true)]);
        assert!(matches!(answers[1], Err(Error::Refused(_))));
        assert!(Limiter::memory(1).build().check_each(&[]).await.is_empty());
    });
}

#[test]
fn many_peeks_are_sent_before_the_first_answer_and_count_nothing() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let gate = Gate::before(&server, "ratelimit.peek", CALLS);
        let limiter = Limiter::redis(connection(gate.port).await, OnFailure::closed_after(LONG));
        let limiter = limiter.backend(Backend::Module).build();
        let policy = Policy::fixed(1, YEAR);
        let answers = limiter.peek_each(&vec![Call::new("k", &policy); CALLS]).await;
        assert_eq!(answers.len(), CALLS);
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap().is_allowed()));
        assert_eq!(server.connect().must("DBSIZE").integer(), 0);
    });
}
