//! Measures checks over one multiplexed connection; `bench/client.sh` runs it.
//!
//! client redis-url common.lua rounds checks: the module, the Lua script and the common script,
//! each allowed and denied, by 1, 64 and 512 callers; then a flood with 99 % denied calls, with and
//! without remembered denials. The rows take turns in every round, and the median round of each is
//! printed.

use std::env;
use std::error::Error;
use std::ops::Range;
use std::time::{Duration, Instant};

use ratelimit_client::redis::{self, aio::MultiplexedConnection, AsyncConnectionConfig, Script};
use ratelimit_client::{Backend, Limiter, OnFailure, Policy, Source};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CALLERS: [usize; 3] = [1, 64, 512];
const FLOOD_CALLERS: usize = 64;
const DAY: Duration = Duration::from_secs(86_400);
const LOOSE: Policy = Policy::fixed(1_000_000_000, DAY);
const TIGHT: Policy = Policy::fixed(1, DAY);
/// The number of keys that each row of the first table uses in turn.
const KEYS: usize = 1_000;
/// A row that takes longer is an error: the server hangs.
const MAX_TIME: Duration = Duration::from_secs(120);

#[derive(Clone)]
enum Subject {
    Limiter(Limiter),
    /// The common script by its digest on the bare connection, without a deadline and without
    /// numbers in the reply.
    Common(MultiplexedConnection, String),
}

impl Subject {
    /// Returns whether the call was allowed, and whether its denial was remembered.
    async fn check(&self, key: &str, policy: &Policy) -> Result<(bool, bool)> {
        match self {
            Self::Limiter(limiter) => {
                let answer = limiter.check(key, policy).await?;
                Ok((answer.is_allowed(), answer.source == Source::KnownDenial))
            }
            Self::Common(connection, digest) => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(digest).arg(1).arg(key);
                command.arg(policy.pairs()[0].limit).arg(DAY.as_secs());
                let allowed: u8 = command.query_async(&mut connection.clone()).await?;
                Ok((allowed == 1, false))
            }
        }
    }
}

/// The calls of one row, and the expected number of allowed calls.
#[derive(Clone)]
struct Row {
    label: &'static str,
    backend: Subject,
    policy: Policy,
    callers: usize,
    checks: usize,
    keys: usize,
    /// Calls each key once before the measurement, which spends the limit of 1.
    primed: bool,
    allowed: usize,
    /// Part of each key's name, because remembered denials outlive the keys on the server.
    round: usize,
}

#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    known: usize,
}

/// The results of a caller.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    allowed: usize,
    known: usize,
}

async fn call_in_turn(row: Row, numbers: Range<usize>) -> Result<Seen> {
    let mut seen = Seen::default();
    for number in numbers {
        let key = format!("bench:{}:{}", row.round, number % row.keys);
        let start = Instant::now();
        let (allowed, known) = row.backend.check(&key, &row.policy).await?;
        seen.took.push(start.elapsed());
        seen.allowed += usize::from(allowed);
        seen.known += usize::from(known);
    }
    Ok(seen)
}

/// Runs all callers at once, each with its share of the calls.
async fn call(row: &Row, checks: usize) -> Result<Seen> {
    let mut callers = JoinSet::new();
    for caller in 0..row.callers {
        let share = checks * caller / row.callers..checks * (caller + 1) / row.callers;
        callers.spawn(call_in_turn(row.clone(), share));
    }
    let mut all = Seen::default();
    while let Some(seen) = callers.join_next().await {
        let seen = seen??;
        all.took.extend(seen.took);
        all.allowed += seen.allowed;
        all.known += seen.known;
    }
    Ok(all)
}

async fn measure(row: &Row, connection: &mut MultiplexedConnection) -> Result<Figures> {
    let flush = redis::cmd("FLUSHALL");
    flush.exec_async(connection).await?;
    if row.primed {
        call(row, row.keys).await?;
    } else {
        // Warms up the connection and the script, on keys that are then deleted.
        let warm = Row { policy: LOOSE, ..row.clone() };
        call(&warm, row.checks / 10).await?;
        flush.exec_async(connection).await?;
    }
    let start = Instant::now();
    let mut seen = tokio::time::timeout(MAX_TIME, call(row, row.checks)).await??;
    let elapsed = start.elapsed();
    if seen.allowed != row.allowed {
        let Row { label, checks, allowed, .. } = row;
        return Err(format!("{label}: {} of {checks} allowed, not {allowed}", seen.allowed).into());
    }
    seen.took.sort_unstable();
    let rank = |percent: usize| seen.took[(seen.took.len() * percent).div_ceil(100) - 1];
    let per_second = row.checks as f64 / elapsed.as_secs_f64();
    Ok(Figures { per_second, p50: rank(50), p99: rank(99), known: seen.known })
}

/// The round with the median throughput of each row.
async fn medians(
    rows: &[Row],
    rounds: usize,
    connection: &mut MultiplexedConnection,
) -> Result<Vec<Figures>> {
    let mut figures = vec![Vec::new(); rows.len()];
    for round in 1..=rounds {
        eprintln!("  round {round} of {rounds} …");
        for (row, figures) in rows.iter().zip(&mut figures) {
            figures.push(measure(&Row { round, ..row.clone() }, connection).await?);
        }
    }
    Ok(figures.into_iter().map(median).collect())
}

fn median(mut rounds: Vec<Figures>) -> Figures {
    rounds.sort_unstable_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds[rounds.len() / 2]
}

fn backend_rows(backends: &[(&'static str, &'static str, Subject)], checks: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for callers in CALLERS {
        // A single caller waits for each round trip, so it makes fewer calls.
        let checks = if callers == 1 { checks.div_ceil(5) } else { checks };
        for (allowed, denied, backend) in backends {
            let row = |label, policy, primed, allowed| {
                let backend = backend.clone();
                Row {
                    label,
                    backend,
                    policy,
                    callers,
                    checks,
                    keys: KEYS,
                    primed,
                    allowed,
                    round: 0,
                }
            };
            rows.push(row(*allowed, LOOSE, false, checks));
            rows.push(row(*denied, TIGHT, true, 0));
        }
    }
    rows
}

/// With one decimal, because a remembered denial takes less than a microsecond.
fn micros(time: Duration) -> String {
    format!("{:.1}", time.as_nanos() as f64 / 1_000.0)
}

fn print_backends(rows: &[Row], figures: &[Figures]) {
    println!("| callers | check | checks/s | p50 µs | p99 µs | of common.lua |");
    println!("| ---: | --- | ---: | ---: | ---: | ---: |");
    for (row, figure) in rows.iter().zip(figures) {
        let is_base = |other: &Row| {
            let Subject::Common(..) = other.backend else { return false };
            other.callers == row.callers && other.primed == row.primed
        };
        let base = rows.iter().position(is_base).expect("the common script has a row for each");
        let ratio = figure.per_second / figures[base].per_second;
        let Figures { per_second, p50, p99, .. } = figure;
        let (p50, p99) = (micros(*p50), micros(*p99));
        println!(
            "| {} | {} | {per_second:.0} | {p50} | {p99} | {ratio:.2} |",
            row.callers, row.label
        );
    }
}

fn print_flood(rows: &[Row], figures: &[Figures]) {
    println!("| 99 % denied | checks/s | p50 µs | p99 µs | asked the server | ratio |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (row, figure) in rows.iter().zip(figures) {
        let Figures { per_second, p50, p99, known } = figure;
        let (p50, p99) = (micros(*p50), micros(*p99));
        let asked = 100.0 * (row.checks - known) as f64 / row.checks as f64;
        let ratio = per_second / figures[0].per_second;
        let label = row.label;
        println!("| {label} | {per_second:.0} | {p50} | {p99} | {asked:.1} % | {ratio:.2} |");
    }
}

async fn flood_figures(
    limiters: [Limiter; 2],
    (rounds, checks): (usize, usize),
    connection: &mut MultiplexedConnection,
) -> Result<(Vec<Row>, Vec<Figures>)> {
    let keys = checks / 100;
    let labels = ["each sent to the server", "denials remembered"];
    let row = |(label, limiter)| Row {
        label,
        backend: Subject::Limiter(limiter),
        policy: TIGHT,
        callers: FLOOD_CALLERS,
        checks: keys * 100,
        keys,
        primed: false,
        allowed: keys,
        round: 0,
    };
    let rows: Vec<_> = labels.into_iter().zip(limiters).map(row).collect();
    let figures = medians(&rows, rounds, connection).await?;
    if figures[0].known != 0 || figures[1].known == 0 {
        return Err(
            "denials were not remembered where they should be, or where they should not".into()
        );
    }
    Ok((rows, figures))
}

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds `--bench` to the words.
    let words: Vec<_> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let [url, common, rounds, checks] = &words[..] else {
        return Err("usage: client redis-url common.lua rounds checks".into());
    };
    let (rounds, checks): (usize, usize) = (rounds.parse()?, checks.parse()?);
    if rounds == 0 || checks < 1_000 {
        return Err("at least 1 round and 1000 checks".into());
    }
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(MAX_TIME));
    let client = redis::Client::open(&**url)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let common = Script::new(&std::fs::read_to_string(common)?);
    let digest = common.prepare_invoke().load_async(&mut connection).await?;
    let limiter = || Limiter::redis(connection.clone(), OnFailure::closed_after(MAX_TIME));
    let module = limiter().backend(Backend::Module).build();
    let script = limiter().backend(Backend::Script).build();
    let backends = [
        ("module, allowed", "module, denied", Subject::Limiter(module.clone())),
        ("script, allowed", "script, denied", Subject::Limiter(script)),
        ("common.lua, allowed", "common.lua, denied", Subject::Common(connection.clone(), digest)),
    ];
    let remembers =
        limiter().backend(Backend::Module).remember_denials(rounds * checks, DAY).build();
    let rows = backend_rows(&backends, checks);
    print_backends(&rows, &medians(&rows, rounds, &mut connection).await?);
    let floods = [module, remembers];
    let (rows, figures) = flood_figures(floods, (rounds, checks), &mut connection).await?;
    println!("\n{FLOOD_CALLERS} callers, {} keys of limit 1\n", rows[0].keys);
    print_flood(&rows, &figures);
    Ok(())
}
