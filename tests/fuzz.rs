//! Random hostile calls on hostile keys at hostile times. The server survives and answers each
//! call. The module and the script give the same answer and store the same state.

use ratelimit_harness::{
    error_text, on_every_server, Binary, Frozen, Limiter, Random, Reply, ALGORITHMS, T0_MICROS,
    T0_MILLIS,
};

const ROUNDS: u64 = 6_000;
/// The rounds that are sent at once.
const BATCH: u64 = 50;
const KEYS: u64 = 4;

const WINDOWS: [&str; 14] = [
    "1ms", "2ms", "11ms", "999ms", "1", "1s", "7", "60", "1m", "61s", "1h", "30d", "366d",
    "31622400",
];
const WORDS: [&str; 24] = [
    "0",
    "1",
    "7",
    "60",
    "1000000000000",
    "1000000000001",
    "9007199254740993",
    "-1",
    "01",
    "1.5",
    "",
    "x",
    "1m",
    "367d",
    "0ms",
    "COST",
    "cost",
    "BURST",
    "ALGORITHM",
    "FIXED",
    "sliding",
    "Bucket",
    "\0",
    "5\r\n",
];

/// One call, and what happens before it.
struct Round {
    clock: i64,
    /// A command that sets the key, without the key's name.
    plant: Option<Vec<Vec<u8>>>,
    verb: &'static str,
    key: u64,
    words: Vec<Vec<u8>>,
    /// On the shared key, either the module or the script decides.
    module_decides_shared: bool,
}

#[test]
fn module_and_script_answer_hostile_calls_alike() {
    on_every_server(|binary| {
        for seed in [1, 2] {
            hostile_calls(binary, seed);
        }
    });
}

fn hostile_calls(binary: &'static Binary, seed: u64) {
    let mut frozen = Frozen::start(binary);
    let mut random = Random(seed);
    let mut clock = T0_MICROS;
    let mut outcomes = Outcomes::default();
    for _ in 0..ROUNDS / BATCH {
        let rounds: Vec<_> = (0..BATCH).map(|_| round(&mut random, &mut clock)).collect();
        let calls: Vec<_> = rounds.iter().flat_map(|round| calls(round, &frozen.script)).collect();
        let replies = frozen.connection.pipeline_calls(&calls);
        for (round, replies) in rounds.iter().zip(replies.chunks_exact(CALLS_A_ROUND)) {
            compare(round, replies, &mut outcomes);
        }
    }
    assert_eq!(frozen.connection.info("ratelimit_caught_panics"), "0");
    assert!(outcomes.is_of_all_kinds(), "seed {seed} misses a kind: {outcomes:?}");
}

/// Each round runs on three keys: one of the module, one of the script, and one that they share.
const OWNERS: [&str; 3] = ["module", "script", "shared"];
const CALLS_A_ROUND: usize = 2 + 4 * OWNERS.len();

fn calls(round: &Round, script: &Limiter) -> Vec<Vec<Vec<u8>>> {
    let split = |line: String| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let mut calls: Vec<Vec<Vec<u8>>> = Frozen::clock_lines(round.clock).map(split).to_vec();
    for owner in OWNERS {
        let key = format!("{owner}:{}", round.key);
        let plant = match &round.plant {
            Some(plant) => [&plant[..1], &[key.clone().into()], &plant[1..]].concat(),
            None => vec!["PING".into()],
        };
        let is_module = owner == "module" || (owner == "shared" && round.module_decides_shared);
        let limiter = if is_module { &Limiter::Module } else { script };
        calls.push(plant);
        calls.push(limiter.call(round.verb, key.as_bytes(), &round.words));
        calls.push(vec!["DUMP".into(), key.clone().into()]);
        calls.push(vec!["PEXPIRETIME".into(), key.into()]);
    }
    calls
}

/// Compares the answers on the three keys, and what the keys then hold.
fn compare(round: &Round, replies: &[Reply], outcomes: &mut Outcomes) {
    let by_owner: Vec<_> = replies[2..].chunks_exact(4).map(|replies| &replies[1..]).collect();
    for (owner, answer) in OWNERS.iter().zip(&by_owner) {
        assert_eq!(by_owner[0], *answer, "the module and {owner}, after {}", round.show());
    }
    outcomes.count(&by_owner[0][0], round);
}

/// How many rounds ended in each way.
#[derive(Debug, Default)]
struct Outcomes {
    allowed: u32,
    denied: u32,
    wrong_arguments: u32,
    foreign: u32,
    clock: u32,
}

impl Outcomes {
    fn count(&mut self, reply: &Reply, round: &Round) {
        let counter = match reply {
            Reply::Array(_) if reply.allowed() => &mut self.allowed,
            Reply::Array(_) => &mut self.denied,
            Reply::Error(text) if text == error_text("Clock") => &mut self.clock,
            Reply::Error(text) if text.contains("key") => &mut self.foreign,
            Reply::Error(text) => {
                assert!(text.starts_with("ERR "), "{text} after {}", round.show());
                &mut self.wrong_arguments
            }
            other => panic!("{other:?} after {}", round.show()),
        };
        *counter += 1;
    }

    fn is_of_all_kinds(&self) -> bool {
        let kinds = [self.allowed, self.denied, self.wrong_arguments, self.foreign, self.clock];
        kinds.iter().all(|&rounds| u64::from(rounds) > ROUNDS / 200)
    }
}

impl Round {
    fn show(&self) -> String {
        let show = |words: &[Vec<u8>]| {
            words.iter().map(|w| format!("'{}'", w.escape_ascii())).collect::<Vec<_>>().join(" ")
        };
        let plant = self.plant.as_ref().map_or("no key set".to_owned(), |plant| show(plant));
        let (verb, words) = (self.verb, show(&self.words));
        format!("{plant}, at {}: {verb} key {} {words}", self.clock, self.key)
    }
}

fn round(random: &mut Random, clock: &mut i64) -> Round {
    *clock = step(random, *clock);
    let now = if random.one_in(25) { hostile_clock(random) } else { *clock };
    Round {
        clock: now,
        plant: random.one_in(4).then(|| plant(random, *clock)),
        verb: if random.one_in(4) { "PEEK" } else { "CHECK" },
        key: random.below(KEYS),
        words: arguments(random),
        module_decides_shared: random.one_in(2),
    }
}

/// Moves the clock forth or back, but never so far back that the server itself expires the keys.
fn step(random: &mut Random, clock: i64) -> i64 {
    let by = random.number(13) as i64;
    match random.below(6) {
        0..=2 => clock,
        3 => (clock - by).max(T0_MICROS - 1_000_000_000_000_000),
        _ => (clock + by).min(T0_MICROS + 2_000_000_000_000_000),
    }
}

/// Not negative: only the test module can have a negative clock. The server's TIME is never
/// negative.
fn hostile_clock(random: &mut Random) -> i64 {
    const LATEST: i64 = (1 << 53) - 1 - 2 * 3660 * 86_400_000_000;
    let clocks = [0, 1, 999, LATEST - 1, LATEST, LATEST + 1, (1 << 53) - 1, 1 << 53, 1 << 60];
    random.pick(&clocks)
}

fn plant(random: &mut Random, clock: i64) -> Vec<Vec<u8>> {
    if random.one_in(25) {
        return vec!["LPUSH".into(), "item".into()];
    }
    let mut value = state(random, clock).into_bytes();
    for _ in 0..random.below(8).saturating_sub(4) {
        random.damage(&mut value);
    }
    let mut words = vec!["SET".into(), value];
    if !random.one_in(20) {
        words.push("PXAT".into());
        words.push(expiry(random, clock).to_string().into());
    }
    words
}

fn expiry(random: &mut Random, clock: i64) -> i64 {
    match random.below(20) {
        0 => (1 << 53) - 1 + random.below(2) as i64,
        1 => clock / 1000 + random.below(2) as i64,
        _ => clock / 1000 + 1 + random.number(11) as i64,
    }
}

fn state(random: &mut Random, clock: i64) -> String {
    let clock = clock as u64;
    let mut state = random.pick(&["count", "f1", "s1", "b1"]).to_owned();
    if state == "count" {
        return random.number(13).to_string();
    }
    let mut window_ms = 0;
    for _ in 0..if random.one_in(3) { 1 + random.below(8) } else { 1 + u64::from(state == "f1") } {
        let further = 1 + random.number(10);
        window_ms += random.pick(&[1, 11, 1_000, 60_000, 3_600_000, further]);
        let at = (clock + random.number(14)).saturating_sub(random.number(14));
        let rest = match &state[..2] {
            "f1" => format!("{} {}", at / 1000, random.number(13)),
            "s1" => format!("{at} {} {}", random.number(12), random.number(12)),
            _ => format!("{at} {}", random.number(12)),
        };
        state += &format!(" {} {rest}", window_ms * 1000);
    }
    state
}

fn arguments(random: &mut Random) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let pairs = if random.one_in(3) { 1 + random.below(9) } else { 1 };
    for _ in 0..pairs {
        words.push(limit(random).into());
        words.push(window(random).into());
    }
    if random.one_in(3) {
        words.extend(["COST".into(), limit(random).into()]);
    }
    if !random.one_in(3) {
        words.extend(["ALGORITHM".into(), random.pick(&ALGORITHMS).into()]);
    }
    if random.one_in(8) {
        words.extend(["BURST".into(), limit(random).into()]);
    }
    for _ in 0..random.below(10).saturating_sub(7) {
        distort(random, &mut words);
    }
    words
}

fn limit(random: &mut Random) -> String {
    match random.below(8) {
        0 => (1_000_000_000_000 - random.number(2)).to_string(),
        1 => random.below(4).to_string(),
        2 => random.number(13).to_string(),
        _ => random.number(3).to_string(),
    }
}

fn window(random: &mut Random) -> String {
    if random.one_in(2) {
        return random.pick(&WINDOWS).to_owned();
    }
    format!("{}{}", 1 + random.number(5), random.pick(&["ms", "", "s", "m", "h", "d"]))
}

/// Removes, adds or damages a word.
fn distort(random: &mut Random, words: &mut Vec<Vec<u8>>) {
    let at = random.below(words.len() as u64 + 1) as usize;
    match random.below(3) {
        0 if at < words.len() => drop(words.remove(at)),
        1 if at < words.len() => random.damage(&mut words[at]),
        _ => words.insert(at, random.pick(&WORDS).into()),
    }
}

#[test]
fn a_clock_before_1970_is_out_of_range() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for clock in [-1, -1_000_000, i64::MIN + 1, i64::MAX] {
            frozen.connection.must(&format!("RATELIMIT.TEST CLOCK {clock}"));
            for verb in ["CHECK", "PEEK"] {
                let reply = frozen.connection.reply_to(&format!("RATELIMIT.{verb} k 5 60"));
                assert_eq!(reply.error(), error_text("Clock"), "{verb} at {clock}");
            }
        }
        assert_eq!(frozen.connection.must("EXISTS k").integer(), 0);
    });
}

#[test]
fn a_state_is_over_at_its_expiry() {
    on_every_server(|binary| {
        let mut frozen = Frozen::start(binary);
        for limiter in frozen.limiters() {
            frozen.connection.must(&format!("SET k 9 PXAT {}", T0_MILLIS + 1));
            let words = &["5", "60"];
            let denied = limiter.send(&mut frozen.connection, "CHECK", b"k", words).numbers();
            assert_eq!(denied, [0, 5, 0, 1, 1], "{}", limiter.name());
            frozen.connection.must(&format!("SET k 9 PXAT {T0_MILLIS}"));
            let allowed = limiter.send(&mut frozen.connection, "CHECK", b"k", words).numbers();
            assert_eq!(allowed, [1, 5, 4, 0, 60_000], "{}", limiter.name());
        }
    });
}
