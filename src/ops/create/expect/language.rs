//! The language of expectations: `PATH: CONDITION, CONDITION...`.
//!
//! PATH is a pattern like those that exclude files ([`Pattern`]): `orders` stands for everything at or below that name, wherever it
//! is, `/data/orders/*.avro` for files of one folder. It is matched with paths as they stand in the snapshot. It ends at the last
//! colon, since URLs have colons and conditions have none.
//!
//! ```text
//! condition := quantity comparison number        records >= 1000    bytes < 10G    files = 24
//!            | quantity comparison [factor *] previous      records >= 0.95 * previous
//!            | schema (full | backward | forward | same)
//!            | newest comparison duration         newest < 26h
//!            | sound
//! quantity  := records | files | bytes
//! comparison := < | <= | = | == | != | >= | >
//! ```

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::files::{Matchable, Pattern};
use crate::values::{parse_duration, parse_size};

/// What a table is expected to be like.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// PATH as it was written.
    pub(super) name: String,
    pattern: Pattern,
    pub(super) conditions: Vec<Condition>,
}

/// One condition.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// As it was written.
    pub(super) text: String,
    pub(super) what: What,
}

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Count(Quantity, Comparison, Amount),
    Schema(Compatibility),
    Newest(Comparison, Duration),
    Sound,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Records,
    Files,
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    More,
}

/// What something is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Number(u64),
    OfPrevious(Factor),
}

/// A decimal number: `digits` / 10^`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Factor {
    digits: u64,
    scale: u32,
}

/// How the newest schema goes together with that of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compatibility {
    Full,
    Backward,
    Forward,
    Same,
}

impl Expectation {
    /// Whether it is about this file.
    pub(super) fn is_about(&self, path: &Matchable) -> bool {
        self.pattern.matches(path)
    }

    /// Whether it compares with an earlier snapshot.
    pub(in super::super) fn looks_back(&self) -> bool {
        let looks_back = |what: &What| matches!(what, What::Schema(_) | What::Count(_, _, Amount::OfPrevious(_)));
        self.conditions.iter().any(|condition| looks_back(&condition.what))
    }

    /// Expectations from an option.
    pub(crate) fn all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Self>, D::Error> {
        crate::values::from_texts(deserializer, Self::from_str)
    }
}

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::values::from_text(deserializer, Self::from_str)
    }
}

impl FromStr for Expectation {
    type Err = String;

    /// Reads an expectation. An error says what is wrong, and at which character.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, rest)) = text.rsplit_once(':') else {
            let example = "write it like 'orders: records >= 0.95 * previous, schema backward'";
            return Err(wrong(text, text.len(), &format!("there is no colon after the path; {example}")));
        };
        let pattern =
            Pattern::new(name.trim().as_bytes(), false).map_err(|error| wrong(text, 0, &error.to_string()))?;
        if pattern.is_negated() {
            return Err(wrong(text, 0, "a path with a leading ! stands for no files"));
        }
        let (mut conditions, mut at) = (Vec::new(), name.len() + 1);
        for part in rest.split(',') {
            let what = Parser { text, tokens: tokens(part, at), end: at + part.trim_end().len() }.condition()?;
            conditions.push(Condition { text: part.split_whitespace().collect::<Vec<_>>().join(" "), what });
            at += part.len() + 1;
        }
        Ok(Self { name: name.trim().to_owned(), pattern, conditions })
    }
}

/// What is wrong, and where: `at` is a byte of the text.
fn wrong(text: &str, at: usize, what: &str) -> String {
    let character = text.get(..at).unwrap_or(text).chars().count() + 1;
    format!("at character {character}: {what}")
}

/// A word, a number with what is written to it, or signs of comparison; and where it begins.
type Token<'t> = (usize, &'t str);

fn tokens(part: &str, offset: usize) -> std::collections::VecDeque<Token<'_>> {
    let class = |c: char| match c {
        c if c.is_whitespace() => 0,
        '<' | '>' | '=' | '!' => 1,
        c if c.is_alphanumeric() || c == '.' || c == '_' || c == '-' => 2,
        _ => 3,
    };
    let (mut found, mut rest, mut at) = (std::collections::VecDeque::new(), part, offset);
    while let Some(first) = rest.chars().next() {
        let kind = class(first);
        let length = match kind {
            3 => first.len_utf8(),
            kind => rest.find(|c| class(c) != kind).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        if kind != 0 {
            found.push_back((at, token));
        }
        (rest, at) = (after, at + length);
    }
    found
}

struct Parser<'t> {
    /// The whole expectation.
    text: &'t str,
    tokens: std::collections::VecDeque<Token<'t>>,
    /// Where the condition ends.
    end: usize,
}

impl<'t> Parser<'t> {
    fn condition(mut self) -> Result<What, String> {
        let what = self.what()?;
        match self.tokens.pop_front() {
            None => Ok(what),
            Some((at, token)) => {
                Err(wrong(self.text, at, &format!("{token:?} is too much; conditions are parted by commas")))
            }
        }
    }

    fn what(&mut self) -> Result<What, String> {
        const KNOWN: &str = "records, files, bytes, schema, newest or sound";
        let (at, word) = self.next(KNOWN)?;
        let quantity = match word {
            "records" => Quantity::Records,
            "files" => Quantity::Files,
            "bytes" => Quantity::Bytes,
            "schema" => return self.schema(),
            "newest" => return self.newest(),
            "sound" => return Ok(What::Sound),
            _ => return Err(self.expected(at, KNOWN, word)),
        };
        Ok(What::Count(quantity, self.comparison()?, self.amount(quantity)?))
    }

    fn schema(&mut self) -> Result<What, String> {
        const KNOWN: &str = "full, backward, forward or same";
        let (at, word) = self.next(KNOWN)?;
        Ok(What::Schema(match word {
            "full" => Compatibility::Full,
            "backward" => Compatibility::Backward,
            "forward" => Compatibility::Forward,
            "same" => Compatibility::Same,
            _ => return Err(self.expected(at, KNOWN, word)),
        }))
    }

    fn newest(&mut self) -> Result<What, String> {
        let comparison = self.comparison()?;
        let (at, word) = self.next("a duration like 26h")?;
        parse_duration(word).map(|age| What::Newest(comparison, age)).map_err(|why| wrong(self.text, at, &why))
    }

    fn comparison(&mut self) -> Result<Comparison, String> {
        const KNOWN: &str = "one of < <= = != >= >";
        let (at, sign) = self.next(KNOWN)?;
        Ok(match sign {
            "<" => Comparison::Less,
            "<=" => Comparison::AtMost,
            "=" | "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            ">=" => Comparison::AtLeast,
            ">" => Comparison::More,
            _ => return Err(self.expected(at, KNOWN, sign)),
        })
    }

    fn amount(&mut self, quantity: Quantity) -> Result<Amount, String> {
        const KNOWN: &str = "a number or `previous`";
        let (at, word) = self.next(KNOWN)?;
        if word == "previous" {
            return Ok(Amount::OfPrevious(Factor { digits: 1, scale: 0 }));
        }
        if self.tokens.front().is_some_and(|(_, token)| *token == "*") {
            self.tokens.pop_front();
            let factor = Factor::parse(word).ok_or_else(|| self.expected(at, "a factor like 0.95", word))?;
            return match self.next("`previous`")? {
                (_, "previous") => Ok(Amount::OfPrevious(factor)),
                (at, other) => Err(self.expected(at, "`previous`", other)),
            };
        }
        let number = match quantity {
            Quantity::Bytes => parse_size(word).ok(),
            Quantity::Records | Quantity::Files => word.parse().ok(),
        };
        number.map(Amount::Number).ok_or_else(|| self.expected(at, KNOWN, word))
    }

    fn next(&mut self, expected: &str) -> Result<Token<'t>, String> {
        let next = self.tokens.pop_front();
        next.ok_or_else(|| wrong(self.text, self.end, &format!("{expected} is missing")))
    }

    fn expected(&self, at: usize, expected: &str, found: &str) -> String {
        wrong(self.text, at, &format!("{found:?} stands where {expected} is expected"))
    }
}

impl Factor {
    /// At most 9 digits before and after the point, so that nothing overflows.
    fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |digits: &str| digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || (whole.is_empty() && part.is_empty()) {
            return None;
        }
        let scale = u32::try_from(part.len()).ok()?;
        Some(Self { digits: format!("{whole}{part}").parse().ok()?, scale })
    }

    /// Both sides of a comparison of `seen` with this much of `previous`, without rounding.
    fn sides(self, seen: u64, previous: u64) -> (u128, u128) {
        (u128::from(seen) * 10_u128.pow(self.scale), u128::from(self.digits) * u128::from(previous))
    }

    /// This much of `previous`, rounded up.
    pub(super) fn of(self, previous: u64) -> u128 {
        (u128::from(self.digits) * u128::from(previous)).div_ceil(10_u128.pow(self.scale))
    }

    /// Whether `seen` compares so with this much of `previous`.
    pub(super) fn compares(self, comparison: Comparison, seen: u64, previous: u64) -> bool {
        let (seen, wanted) = self.sides(seen, previous);
        comparison.holds(&seen, &wanted)
    }
}

impl Comparison {
    /// Whether it holds between these two.
    pub(super) fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::AtLeast => left >= right,
            Self::More => left > right,
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::AtLeast => ">=",
            Self::More => ">",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<What> {
        let expectation: Expectation = text.parse().unwrap();
        expectation.conditions.into_iter().map(|condition| condition.what).collect()
    }

    #[test]
    fn all_conditions_are_read() {
        use Comparison::{AtLeast, Equal, Less, More, NotEqual};
        let all = "s3:/lake/orders/*.avro : records >= 0.95 * previous,records>previous, files = 24, bytes<10G , schema \
                   backward, newest < 26h, sound, files != 3";
        let of_previous = |digits, scale| Amount::OfPrevious(Factor { digits, scale });
        let expected = vec![
            What::Count(Quantity::Records, AtLeast, of_previous(95, 2)),
            What::Count(Quantity::Records, More, of_previous(1, 0)),
            What::Count(Quantity::Files, Equal, Amount::Number(24)),
            What::Count(Quantity::Bytes, Less, Amount::Number(10 << 30)),
            What::Schema(Compatibility::Backward),
            What::Newest(Less, Duration::from_secs(26 * 3600)),
            What::Sound,
            What::Count(Quantity::Files, NotEqual, Amount::Number(3)),
        ];
        assert_eq!(parsed(all), expected);
        let expectation: Expectation = all.parse().unwrap();
        assert_eq!(expectation.name, "s3:/lake/orders/*.avro");
        assert_eq!(expectation.conditions[0].text, "records >= 0.95 * previous");
        assert!(expectation.is_about(&Matchable::new(b"s3:/lake/orders/a.avro", false)));
        assert!(!expectation.is_about(&Matchable::new(b"s3:/lake/orders/a.csv", false)));
    }

    #[test]
    fn an_error_says_at_which_character() {
        for (text, at, part) in [
            ("orders", 7, "no colon"),
            (": sound", 1, "matches nothing"),
            ("!a: sound", 1, "leading !"),
            ("a[: sound", 1, "not closed"),
            ("orders:", 8, "records, files"),
            ("orders: sound,", 15, "is missing"),
            ("orders: sound, rows > 5", 16, "\"rows\""),
            ("órders: records >> 5", 17, "\">>\""),
            ("orders: records > -5", 19, "a number"),
            ("orders: records >", 18, "is missing"),
            ("orders: records > 5 6", 21, "too much"),
            ("orders: records > 10k", 19, "a number"),
            ("orders: records >= x * previous", 20, "a factor"),
            ("orders: records >= 0.5 * next", 26, "`previous`"),
            ("orders: schema none", 16, "backward"),
            ("orders: newest < 26", 18, "duration"),
            ("orders: records >= 1.2.3 * previous", 20, "a factor"),
        ] {
            let error = text.parse::<Expectation>().unwrap_err();
            assert!(error.starts_with(&format!("at character {at}: ")) && error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", conditions in "[a-z<>=*., 0-9é]{0,40}") {
            let _ = text.parse::<Expectation>();
            let _ = format!("a: {conditions}").parse::<Expectation>();
        }

        #[test]
        fn nothing_is_rounded(seen: u64, previous: u64, digits in 0_u64..=999_999_999_999_999_999, scale in 0_u32..=9) {
            let factor = Factor { digits, scale };
            let at_least = factor.compares(Comparison::AtLeast, seen, previous);
            prop_assert_eq!(at_least, u128::from(seen) >= factor.of(previous));
            prop_assert_eq!(at_least, !factor.compares(Comparison::Less, seen, previous));
        }
    }

    #[test]
    fn a_share_is_exact() {
        let factor = Factor::parse("0.95").unwrap();
        assert!(factor.compares(Comparison::AtLeast, 95, 100) && !factor.compares(Comparison::AtLeast, 94, 100));
        assert_eq!(factor.of(1001), 951);
        assert_eq!(Factor::parse("."), None);
    }
}
