//! `tests/vectors.txt` on real servers: the module, the script, and both in turn on one key. Once
//! with the clock of the test module, and once as released, on servers that run under libfaketime.

use std::iter::Cycle;
use std::vec::IntoIter;

use ratelimit_harness::{
    cases, not_applicable, on_every_server, replay, Case, Connection, Faked, Frozen, Held, Limiter,
    Reply, Request, Subject,
};

#[test]
fn the_module_and_the_script_keep_the_contract() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        let connection = frozen.server.connect();
        let script = frozen.script.clone();
        let clock = move |micros| frozen.set_clock(micros);
        for_each_order(Key::new(connection, clock, false), script, &cases());
    });
}

#[test]
fn as_released_the_module_and_the_script_keep_the_contract() {
    on_every_server(|binary| {
        let mut faked = match Faked::start(binary) {
            Ok(faked) => faked,
            Err(why) => return not_applicable(binary, "a frozen clock as released", why),
        };
        let (cases, before_1970): (Vec<_>, Vec<_>) = cases().into_iter().partition(is_since_1970);
        for case in before_1970 {
            not_applicable(binary, case.title, "libfaketime fakes no time before 1970");
        }
        let mut connection = faked.server.connect();
        let script = Limiter::script(&mut connection);
        let clock = move |micros| faked.set_clock(micros);
        for_each_order(Key::new(connection, clock, true), script, &cases);
    });
}

fn is_since_1970(case: &Case) -> bool {
    case.steps.iter().all(|step| step.now_micros >= 0)
}

/// Only the module, only the script, and both in turn, with each as the first.
fn for_each_order<C: FnMut(i64)>(mut key: Key<C>, script: Limiter, cases: &[Case]) {
    for order in [
        vec![Limiter::Module],
        vec![script.clone()],
        vec![Limiter::Module, script.clone()],
        vec![script, Limiter::Module],
    ] {
        println!("limiters: {}", order.iter().map(Limiter::name).collect::<Vec<_>>().join(", "));
        key.order = order.into_iter().cycle();
        replay(&mut key, cases);
    }
}

/// The key of all cases.
struct Key<C> {
    connection: Connection,
    set_clock: C,
    expires: bool,
    /// The limiters that decide, from call to call.
    order: Cycle<IntoIter<Limiter>>,
}

impl<C: FnMut(i64)> Key<C> {
    fn new(connection: Connection, set_clock: C, expires: bool) -> Self {
        Self { connection, set_clock, expires, order: Vec::new().into_iter().cycle() }
    }
}

impl<C: FnMut(i64)> Subject for Key<C> {
    fn plant(&mut self, now_micros: i64, held: Option<&Held>) {
        (self.set_clock)(now_micros);
        Held::plant(held, &mut self.connection);
    }

    fn send(&mut self, now_micros: i64, request: &Request) -> Reply {
        (self.set_clock)(now_micros);
        let limiter = self.order.next().expect("a limiter");
        limiter.send(&mut self.connection, request.verb, b"k", &request.words)
    }

    fn held(&mut self) -> Option<Held> {
        Held::on(&mut self.connection)
    }

    fn expires(&self) -> bool {
        self.expires
    }
}
