//! The words of RATELIMIT.CHECK and RATELIMIT.PEEK after the key, checked from left to right.

use core::fmt;

use crate::decimal::whole_number;
use crate::policy::{Algorithm, CallOf, PolicyError, PolicyOf, Window, MAX_LIMIT};

/// The words after the command's name, as the documents show them.
pub const SYNTAX: &str = "key limit window [limit window ...] \
[ALGORITHM FIXED | SLIDING | BUCKET] [BURST burst] [COST cost]";

/// What is wrong: the first wrong word, or words that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentError {
    /// A word is unknown, repeated or missing, or there is one too many.
    Syntax,
    /// The window is not a duration between 1 ms and 366 days.
    Window,
    /// The cost is not an integer between 1 and [`MAX_LIMIT`].
    Cost,
    /// The algorithm has an unknown name.
    Algorithm,
    /// Limits, windows and options are not a valid policy.
    Policy(PolicyError),
}

impl ArgumentError {
    /// The broken rule, as one sentence. The module puts the code `ERR` before it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Syntax => "syntax error",
            Self::Window => {
                "window must be an integer with an optional unit ms, s, m, h or d, \
                 between 1ms and 366d"
            }
            Self::Cost => "cost must be an integer between 1 and 1000000000000",
            Self::Algorithm => "algorithm must be FIXED, SLIDING or BUCKET",
            Self::Policy(error) => error.text(),
        }
    }

    /// Every error.
    pub fn all() -> impl Iterator<Item = Self> {
        let own = [Self::Syntax, Self::Window, Self::Cost, Self::Algorithm];
        own.into_iter().chain(PolicyError::ALL.iter().copied().map(Self::Policy))
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for ArgumentError {}

impl From<PolicyError> for ArgumentError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl<const N: usize> CallOf<N> {
    /// Reads the words after the key. Pairs come first; a word that begins with a digit opens a
    /// pair.
    ///
    /// # Errors
    /// For the first wrong word, or for words that do not make a valid policy.
    #[inline(always)]
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, ArgumentError> {
        let mut words = words.into_iter();
        let first = words.next().ok_or(ArgumentError::Syntax)?;
        let mut policy = PolicyOf::new(limit(first)?, window(words.next())?)?;
        let mut keyword = words.next();
        while let Some(word) = keyword.filter(|word| opens_pair(word)) {
            policy = another_pair(policy, word, words.next())?;
            keyword = words.next();
        }
        let mut options = Options::default();
        while let Some(word) = keyword {
            options.set(word, words.next())?;
            keyword = words.next();
        }
        let algorithm = options.algorithm.unwrap_or(Algorithm::Fixed);
        let policy = policy.with_algorithm(algorithm, options.burst)?;
        Ok(Self { policy, cost: options.cost.unwrap_or(1) })
    }
}

/// Whether a word after a pair opens another pair.
pub fn opens_pair(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_digit)
}

/// A pair too many is an error before its words are read.
fn another_pair<const N: usize>(
    policy: PolicyOf<N>,
    word: &[u8],
    next: Option<&[u8]>,
) -> Result<PolicyOf<N>, ArgumentError> {
    if policy.is_full() {
        return Err(PolicyError::TooManyPairs.into());
    }
    Ok(policy.and(limit(word)?, window(next)?)?)
}

#[derive(Default)]
struct Options {
    algorithm: Option<Algorithm>,
    burst: Option<u64>,
    cost: Option<u64>,
}

impl Options {
    fn set(&mut self, keyword: &[u8], value: Option<&[u8]>) -> Result<(), ArgumentError> {
        if is(keyword, b"COST") {
            let parse = |word| positive(word).ok_or(ArgumentError::Cost);
            set_once(&mut self.cost, value, parse)
        } else if is(keyword, b"ALGORITHM") {
            let parse = |word| Algorithm::from_name(word).ok_or(ArgumentError::Algorithm);
            set_once(&mut self.algorithm, value, parse)
        } else if is(keyword, b"BURST") {
            let parse = |word| positive(word).ok_or(PolicyError::Burst.into());
            set_once(&mut self.burst, value, parse)
        } else {
            Err(ArgumentError::Syntax)
        }
    }
}

/// Upper and lower case are the same. Nearly every caller writes capitals, so the exact comparison,
/// which is fast, comes first.
#[inline(always)]
fn is<const N: usize>(word: &[u8], name: &[u8; N]) -> bool {
    word == name || word.eq_ignore_ascii_case(name)
}

fn set_once<'a, T>(
    option: &mut Option<T>,
    value: Option<&'a [u8]>,
    parse: impl Fn(&'a [u8]) -> Result<T, ArgumentError>,
) -> Result<(), ArgumentError> {
    let value = value.filter(|_| option.is_none()).ok_or(ArgumentError::Syntax)?;
    *option = Some(parse(value)?);
    Ok(())
}

#[inline(always)]
fn limit(word: &[u8]) -> Result<u64, ArgumentError> {
    whole_number(word).filter(|&n| n <= MAX_LIMIT).ok_or(PolicyError::Limit.into())
}

fn positive(word: &[u8]) -> Option<u64> {
    whole_number(word).filter(|n| (1..=MAX_LIMIT).contains(n))
}

#[inline(always)]
fn window(word: Option<&[u8]>) -> Result<Window, ArgumentError> {
    Window::parse(word.ok_or(ArgumentError::Syntax)?).ok_or(ArgumentError::Window)
}
