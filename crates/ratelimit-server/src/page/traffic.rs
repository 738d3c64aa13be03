//! When each simulated client sends its requests: the client and the number of the request give the
//! moment, counted from the start of the simulation.

use std::time::Duration;

/// How often a bursty client sends a burst, and how long the burst lasts.
const BURST_EVERY_SECONDS: u32 = 2;
const BURST_EVERY: Duration = Duration::from_secs(BURST_EVERY_SECONDS as u64);
const BURST_LASTS: Duration = Duration::from_millis(200);
/// How far boundary calls keep from the edge of the window: a twentieth of the window, within these
/// bounds. Enough for a late call to stay on its side; too little for a bucket to refill.
const MIN_MARGIN: Duration = Duration::from_millis(50);
const MAX_MARGIN: Duration = Duration::from_millis(250);

/// The form of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Calls at equal intervals.
    Steady,
    /// The same number of calls, all within the first 200 ms of every two seconds.
    Bursty,
    /// As many calls as the limit just before the edge of a fixed window, and again just after it.
    Boundary,
}

/// A shape and its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) shape: Shape,
    pub(crate) clients: u32,
    /// Calls of each client per second. `Boundary` uses the limit instead.
    pub(crate) rate: u32,
    pub(crate) limit: u32,
    pub(crate) window: Duration,
}

impl Traffic {
    /// When a client makes call number `n`, counted from 0; never before call `n - 1`.
    pub(crate) fn arrival(&self, client: u32, n: u64) -> Duration {
        match self.shape {
            Shape::Steady => self.steady(client, n),
            Shape::Bursty => bursty(self.rate, n),
            Shape::Boundary => self.boundary(n),
        }
    }

    /// Clients take turns: with 2 clients at 5 a second, the second calls 100 ms after the first.
    fn steady(&self, client: u32, n: u64) -> Duration {
        let turn = n * u64::from(self.clients) + u64::from(client);
        part_of(Duration::from_secs(1), turn, self.rate * self.clients)
    }

    /// A cycle of two windows. Its first call opens a window, and the others surround the end of that
    /// window. The first call after the end opens a second window, which is over when the cycle ends.
    fn boundary(&self, n: u64) -> Duration {
        let calls = 2 * u64::from(self.limit);
        let margin = self.margin();
        let start = times(2 * self.window + 4 * margin, n / calls);
        let first_after = u64::from(self.limit);
        start
            + match n % calls {
                0 => Duration::ZERO,
                j if j < first_after => self.window - 2 * margin + part_of(margin, j, self.limit),
                j => self.window + margin + part_of(margin, j - first_after, self.limit),
            }
    }

    fn margin(&self) -> Duration {
        (self.window / 20).clamp(MIN_MARGIN, MAX_MARGIN)
    }
}

fn bursty(rate: u32, n: u64) -> Duration {
    let size = rate * BURST_EVERY_SECONDS;
    let (burst, j) = (n / u64::from(size), n % u64::from(size));
    times(BURST_EVERY, burst) + part_of(BURST_LASTS, j, size)
}

/// ⌊whole × part / parts⌋ in microseconds; `part` may be more than `parts`.
fn part_of(whole: Duration, part: u64, parts: u32) -> Duration {
    let micros = whole.as_micros() * u128::from(part) / u128::from(parts);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

fn times(duration: Duration, n: u64) -> Duration {
    part_of(duration, n, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn traffic(shape: Shape) -> Traffic {
        Traffic { shape, clients: 2, rate: 5, limit: 10, window: MS(10_000) }
    }

    fn within(traffic: Traffic, client: u32, from: Duration, to: Duration) -> usize {
        let arrivals = (0..).map(|n| traffic.arrival(client, n)).take_while(|at| *at < to);
        arrivals.filter(|at| *at >= from).count()
    }

    #[test]
    fn steady_calls_are_evenly_apart_and_clients_take_turns() {
        let steady = traffic(Shape::Steady);
        assert_eq!([0, 1, 2].map(|n| steady.arrival(0, n)), [MS(0), MS(200), MS(400)]);
        assert_eq!([0, 1, 2].map(|n| steady.arrival(1, n)), [MS(100), MS(300), MS(500)]);
    }

    #[test]
    fn a_burst_has_the_calls_of_two_seconds_in_a_tenth_of_them() {
        let bursty = traffic(Shape::Bursty);
        for second in [0, 2, 4, 118] {
            let start = MS(second * 1000);
            assert_eq!(within(bursty, 0, start, start + BURST_LASTS), 10);
            assert_eq!(within(bursty, 0, start + BURST_LASTS, start + BURST_EVERY), 0);
        }
    }

    #[test]
    fn boundary_calls_surround_the_end_of_the_window_that_the_first_one_opens() {
        let boundary = traffic(Shape::Boundary);
        // Margin 250 ms, so a cycle is 21 s.
        for cycle in [0, 1, 4] {
            let opened = MS(21_000 * cycle);
            assert_eq!(within(boundary, 0, opened, opened + MS(1)), 1);
            assert_eq!(within(boundary, 0, opened + MS(1), opened + MS(9_500)), 0);
            assert_eq!(within(boundary, 0, opened + MS(9_500), opened + MS(9_750)), 9);
            assert_eq!(within(boundary, 0, opened + MS(9_750), opened + MS(10_250)), 0);
            assert_eq!(within(boundary, 0, opened + MS(10_250), opened + MS(10_500)), 10);
            assert_eq!(within(boundary, 0, opened + MS(10_500), opened + MS(21_000)), 0);
        }
    }

    #[test]
    fn the_second_window_of_a_boundary_cycle_is_over_when_the_next_cycle_starts() {
        for (limit, window_ms) in [(1, 1_000), (7, 1_234), (100, 60_000)] {
            let window = MS(window_ms);
            let boundary = Traffic { limit, window, ..traffic(Shape::Boundary) };
            let second_opened = boundary.arrival(0, u64::from(limit));
            let next_cycle = boundary.arrival(0, 2 * u64::from(limit));
            assert!(next_cycle > second_opened + window, "{limit} per {window:?}");
        }
    }

    #[test]
    fn arrivals_never_go_back() {
        for shape in [Shape::Steady, Shape::Bursty, Shape::Boundary] {
            for (rate, limit, window_ms) in [(1, 1, 1_000), (7, 3, 1_001), (1_000, 500, 120_000)] {
                let window = MS(window_ms);
                let traffic = Traffic { rate, limit, window, ..traffic(shape) };
                let arrivals: Vec<_> = (0..3_000).map(|n| traffic.arrival(1, n)).collect();
                assert!(arrivals.is_sorted(), "{traffic:?}");
            }
        }
    }
}
