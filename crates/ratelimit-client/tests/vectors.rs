//! `tests/vectors.txt`, the contract in examples, through the client: module, script and memory.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use ratelimit_client::{Answer, Backend, Call, Error, Failure, Limiter, Policy, Quota, Retry};
use ratelimit_harness::{
    cases, on_every_server, replay, Action, Case, Connection, Frozen, Held, Reply, Request, Subject,
};

use tokio::runtime::Runtime;

use crate::{limiter, runtime};

#[test]
fn module_and_script_keep_the_contract_in_examples() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for which in [Backend::Module, Backend::Script] {
            let runtime = runtime();
            let limiter = runtime.block_on(limiter(&frozen.server)).backend(which);
            let limiter = limiter.script_text(&Frozen::script_source()).build();
            println!("asked: {which:?}");
            let connection = frozen.server.connect();
            replay(&mut Server { runtime, limiter, connection, frozen: &mut frozen }, &askable());
        }
    });
}

#[test]
fn memory_keeps_the_contract_in_examples() {
    let limiter = Limiter::memory(1).memory_clock(|| MEMORY_CLOCK.load(Relaxed)).build();
    let mut askable = askable();
    let all = askable.len();
    askable.retain(|case| {
        !case.steps.iter().any(|step| matches!(step.action, Action::Plant(Some(_))))
    });
    println!("{} of {all} cases: in memory nobody plants a key", askable.len());
    assert!(askable.len() > all / 3);
    replay(&mut Memory { runtime: runtime(), limiter, left: None }, &askable);
}

/// The cases that the client can ask. A call that the server would reject cannot be made with it.
fn askable() -> Vec<Case> {
    let (askable, wrong): (Vec<_>, Vec<_>) = cases().into_iter().partition(|case| {
        case.steps.iter().all(|step| match &step.action {
            Action::Send(request) => parsed(request).is_some(),
            Action::Plant(_) => true,
        })
    });
    assert!(askable.len() > 2 * wrong.len(), "{} of {}", wrong.len(), askable.len());
    askable
}

/// The policy and the cost of the words.
fn parsed(request: &Request) -> Option<(Policy, u64)> {
    let words = request.words.iter().map(Vec::as_slice);
    let call = ratelimit_core::Call::parse(words).ok()?;
    let pairs = call.policy.pairs();
    let window = |pair: &ratelimit_core::Pair| Duration::from_millis(pair.window.millis());
    let (algorithm, first) = (call.policy.algorithm(), &pairs[0]);
    let first = Policy::new(algorithm, first.limit, window(first)).expect("a valid policy");
    let policy = pairs[1..].iter().fold(first, |policy, pair| policy.and(pair.limit, window(pair)));
    let burst = Some(pairs[0].burst).filter(|&burst| burst != pairs[0].limit);
    Some((burst.map_or(policy, |burst| policy.burst(burst)), call.cost))
}

/// The client's answer, in the form of a server's reply.
fn asked(runtime: &Runtime, limiter: &Limiter, request: &Request) -> Reply {
    let (policy, cost) = parsed(request).expect("a call that can be asked");
    let call = Call::new("k", &policy).cost(cost);
    let answer = match request.verb {
        "CHECK" => runtime.block_on(limiter.check_call(call)),
        _ => runtime.block_on(limiter.peek_call(call)),
    };
    match answer {
        Ok(answer) => reply(&answer),
        Err(Error::Refused(text)) => Reply::Error(text),
        Err(Error::Unavailable(Failure::Server)) => {
            Reply::Error(limiter.last_failure().expect("it has failed"))
        }
        Err(other) => panic!("{other}"),
    }
}

fn reply(answer: &Answer) -> Reply {
    let mut items = vec![Reply::Integer(answer.is_allowed().into())];
    items.extend(numbers(answer.quota(), answer.retry()));
    let windows = answer.standings.iter().map(|w| Reply::Array(numbers(&w.quota, w.retry).into()));
    if !answer.standings.is_empty() {
        items.push(Reply::Array(windows.collect()));
    }
    Reply::Array(items)
}

fn numbers(quota: &Quota, retry: Retry) -> [Reply; 4] {
    let millis = |time: Duration| time.as_millis() as i64;
    let numbers =
        [quota.limit as i64, quota.remaining as i64, retry.to_wire(), millis(quota.reset_after)];
    numbers.map(Reply::Integer)
}

struct Server<'a> {
    runtime: Runtime,
    limiter: Limiter,
    connection: Connection,
    frozen: &'a mut Frozen,
}

impl Subject for Server<'_> {
    fn plant(&mut self, now_micros: i64, held: Option<&Held>) {
        self.frozen.set_clock(now_micros);
        Held::plant(held, &mut self.connection);
    }

    fn send(&mut self, now_micros: i64, request: &Request) -> Reply {
        self.frozen.set_clock(now_micros);
        asked(&self.runtime, &self.limiter, request)
    }

    fn held(&mut self) -> Option<Held> {
        Held::on(&mut self.connection)
    }

    fn expires(&self) -> bool {
        false
    }
}

static MEMORY_CLOCK: AtomicI64 = AtomicI64::new(0);

/// The state in memory cannot be read, so it is taken to be as expected. A wrong state shows in the
/// next answer.
struct Memory {
    runtime: Runtime,
    limiter: Limiter,
    left: Option<Held>,
}

impl Subject for Memory {
    fn plant(&mut self, now_micros: i64, held: Option<&Held>) {
        assert!(held.is_none(), "nobody plants a key");
        MEMORY_CLOCK.store(now_micros, Relaxed);
        self.left = None;
        let any = Policy::fixed(1, Duration::from_secs(1));
        self.runtime.block_on(self.limiter.reset("k", &any)).expect("memory forgets");
    }

    fn send(&mut self, now_micros: i64, request: &Request) -> Reply {
        MEMORY_CLOCK.store(now_micros, Relaxed);
        if request.leaves.is_some() {
            self.left.clone_from(&request.leaves);
        }
        asked(&self.runtime, &self.limiter, request)
    }

    fn held(&mut self) -> Option<Held> {
        self.left.clone()
    }

    fn expires(&self) -> bool {
        false
    }
}
