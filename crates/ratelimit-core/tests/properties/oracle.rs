//! The contract once more, as simply as possible. Rules in wide integers decide if a call fits and
//! what it consumes; a search finds every number that follows from these rules.

use ratelimit_core::Algorithm;

/// Microseconds (milliseconds if the name says so), or a cost. All numbers here stay far below
/// 2^127.
pub(crate) type Int = i128;

const MAX_COST: Int = 1_000_000_000_000;
/// Later than any wait and any moment, in milliseconds.
const FAR_MS: Int = 1 << 54;
/// Longer than any wait.
pub(crate) const NEVER: Int = Int::MAX;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub limit: Int,
    pub window: Int,
    pub burst: Int,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub algorithm: Algorithm,
    pub pairs: Vec<Pair>,
    pub cost: Int,
}

/// The usage of one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Usage {
    Fixed { end_ms: Int, count: Int },
    Sliding { window: Int, start: Int, previous: Int, current: Int },
    Bucket { tat: Int, remainder: Int },
}

/// The state of a key: the window and the usage of each pair. (A plain count is stored without its
/// window.)
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Key {
    pub groups: Vec<(Int, Usage)>,
    pub expiry_ms: Int,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub limit: Int,
    pub remaining: Int,
    pub retry_after_ms: Int,
    pub reset_after_ms: Int,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub allowed: bool,
    pub binding: Row,
    pub rows: Vec<Row>,
    pub next: Option<Key>,
}

/// The smallest n ≥ `from` for which `holds` is true. It must stay true for every larger number.
fn first(from: Int, holds: impl Fn(Int) -> bool) -> Int {
    let (mut below, mut at) = (from - 1, from + FAR_MS);
    while at - below > 1 {
        let middle = (below + at) / 2;
        if holds(middle) {
            at = middle;
        } else {
            below = middle;
        }
    }
    at
}

fn ceil_div(a: Int, b: Int) -> Int {
    (a + b - 1) / b
}

impl Usage {
    /// The usage at `now`, under this pair; `None` if the pair is as if unused.
    fn at(self, pair: &Pair, now: Int) -> Option<Self> {
        match self {
            Self::Fixed { end_ms, .. } => (now / 1000 < end_ms).then_some(self),
            Self::Sliding { window, start, previous, current } => {
                let elapsed = (now - start).max(0);
                let (start, previous, current) = match elapsed / window {
                    0 => (start, previous, current),
                    1 => (start + window, current, 0),
                    _ => (start, 0, 0),
                };
                let used = previous + current > 0;
                used.then_some(Self::Sliding { window, start, previous, current })
            }
            Self::Bucket { tat, remainder } if remainder > 0 && remainder >= pair.limit => {
                Self::Bucket { tat: tat + 1, remainder: 0 }.at(pair, now)
            }
            Self::Bucket { tat, remainder } => {
                (tat > now || (tat == now && remainder > 0)).then_some(self)
            }
        }
    }

    /// The cost used. For a bucket, in units of 1 / window of a token.
    fn used(self, pair: &Pair, now: Int) -> Int {
        match self {
            Self::Fixed { count, .. } => count,
            Self::Sliding { window, start, previous, current } => {
                let elapsed = (now - start).max(0);
                current + ceil_div(previous * (window - elapsed), window)
            }
            Self::Bucket { tat, remainder } => (tat - now) * pair.limit + remainder,
        }
    }
}

impl Call {
    fn fits(&self, usage: Option<Usage>, pair: &Pair, now: Int, cost: Int) -> bool {
        let used = usage.and_then(|usage| usage.at(pair, now)).map_or(0, |u| u.used(pair, now));
        match self.algorithm {
            Algorithm::Bucket => used + cost * pair.window <= pair.burst * pair.window,
            Algorithm::Fixed | Algorithm::Sliding => used + cost <= pair.limit,
            other => panic!("the oracle does not know {other:?}"),
        }
    }

    fn consume(&self, usage: Option<Usage>, pair: &Pair, now: Int) -> Usage {
        let usage = usage.and_then(|usage| usage.at(pair, now));
        let used = usage.map_or(0, |usage| usage.used(pair, now));
        match (self.algorithm, usage) {
            (Algorithm::Fixed, Some(Usage::Fixed { end_ms, count })) => {
                Usage::Fixed { end_ms, count: count + self.cost }
            }
            (Algorithm::Fixed, _) => {
                Usage::Fixed { end_ms: now / 1000 + pair.window / 1000, count: self.cost }
            }
            (Algorithm::Sliding, Some(Usage::Sliding { window, start, previous, current }))
                if window == pair.window =>
            {
                Usage::Sliding { window, start, previous, current: current + self.cost }
            }
            (Algorithm::Sliding, _) => Usage::Sliding {
                window: pair.window,
                start: now,
                previous: 0,
                current: used + self.cost,
            },
            (Algorithm::Bucket, _) => {
                let debt = used + self.cost * pair.window;
                Usage::Bucket { tat: now + debt / pair.limit, remainder: debt % pair.limit }
            }
            (other, _) => panic!("the oracle does not know {other:?}"),
        }
    }

    /// The usage of pair `i`.
    fn usage_of(&self, i: usize, key: &Key, now: Int) -> Option<Usage> {
        let window = self.pairs[i].window;
        match key.groups[..] {
            [(_, usage)] if self.pairs.len() == 1 => Some(usage),
            [(_, usage @ Usage::Fixed { end_ms, .. })] => {
                let left = (end_ms - now / 1000) * 1000;
                let windows = || self.pairs.iter().map(|pair| pair.window);
                let owner = windows().filter(|&w| w >= left).min().or(windows().max());
                (Some(window) == owner).then_some(usage)
            }
            _ => key.groups.iter().find(|group| group.0 == window).map(|group| group.1),
        }
    }

    pub(crate) fn decide(&self, key: &Key, now: Int, consumes: bool) -> Answer {
        let expired = Key::default();
        let key = if key.expiry_ms <= now / 1000 { &expired } else { key };
        let before: Vec<_> =
            (0..self.pairs.len()).map(|i| self.usage_of(i, key, now)).zip(&self.pairs).collect();
        let allowed = before.iter().all(|(usage, pair)| self.fits(*usage, pair, now, self.cost));
        let next = (allowed && consumes).then(|| self.next(&before, now));
        let rows: Vec<_> = before
            .iter()
            .map(|&(usage, pair)| {
                let after = match &next {
                    Some(next) => next.groups.iter().find(|g| g.0 == pair.window).map(|g| g.1),
                    None => usage,
                };
                self.row(usage, after, pair, now)
            })
            .collect();
        let most_binding = |row: &&Row| match allowed {
            true => (row.remaining, -row.reset_after_ms),
            false => (-row.retry_after_ms, 0),
        };
        let binding = *rows.iter().min_by_key(most_binding).unwrap();
        Answer { allowed, binding, rows, next }
    }

    fn row(&self, usage: Option<Usage>, after: Option<Usage>, pair: &Pair, now: Int) -> Row {
        let later = |ms| now + ms * 1000;
        let retry_after_ms = match self.cost > pair.burst {
            true => NEVER,
            false => first(0, |ms| self.fits(usage, pair, later(ms), self.cost)),
        };
        let fits = |cost| cost <= MAX_COST && self.fits(after, pair, now, cost);
        Row {
            limit: pair.burst,
            remaining: first(1, |cost| !fits(cost)) - 1,
            retry_after_ms,
            reset_after_ms: first(0, |ms| {
                after.and_then(|usage| usage.at(pair, later(ms))).is_none()
            }),
        }
    }

    fn next(&self, before: &[(Option<Usage>, &Pair)], now: Int) -> Key {
        let consume = |&(usage, pair): &(_, &Pair)| (pair.window, self.consume(usage, pair, now));
        let mut groups: Vec<_> = before.iter().map(consume).collect();
        let all_unused = |ms: Int| {
            let mut uses = groups.iter().zip(&self.pairs);
            uses.all(|((_, usage), pair)| usage.at(pair, ms * 1000).is_none())
        };
        let expiry_ms = first(0, all_unused);
        groups.sort_by_key(|group| group.0);
        Key { groups, expiry_ms }
    }
}

impl Key {
    /// The string to store.
    pub(crate) fn text(&self) -> String {
        if let [(_, Usage::Fixed { count, .. })] = self.groups[..] {
            return count.to_string();
        }
        let mut text = String::new();
        for (window, usage) in &self.groups {
            let (tag, group) = match usage {
                Usage::Fixed { end_ms, count } => ("f1", format!("{end_ms} {count}")),
                Usage::Sliding { start, previous, current, .. } => {
                    ("s1", format!("{start} {previous} {current}"))
                }
                Usage::Bucket { tat, remainder } => ("b1", format!("{tat} {remainder}")),
            };
            let head = if text.is_empty() { tag } else { "" };
            text += &format!("{head} {window} {group}");
        }
        text
    }
}
