//! Compares what is expected with what is there.

use serde::Serialize;

use super::language::{Amount, Comparison, Compatibility, Condition, Expectation, Quantity, What};
use super::measure::{Measured, Measures, Newest};
use crate::avro::compat::{Comparison as Compared, Obstacle};
use crate::progress::{Progress, Warning};
use crate::store::Repository;
use crate::values::duration_text;

/// Whether one condition of an expectation is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The path that it is about, as it was written.
    pub name: String,
    /// The condition, as it was written.
    pub condition: String,
    /// What was expected, with the figures of the snapshot before.
    pub expected: String,
    /// What is there; none if nothing is there, or it is not known.
    pub seen: Option<Value>,
    /// Whether it is met; none if there is nothing yet to compare with.
    pub met: Option<bool>,
    /// Why it is not met, or not known to be, where that is not plain.
    pub reason: Option<String>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A count, or an age in seconds.
    Number(u64),
    /// A word.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What a condition came to.
struct Finding {
    expected: String,
    seen: Option<Value>,
    met: Option<bool>,
    reason: Option<String>,
}

/// What is needed to compare.
struct Bench<'b> {
    repository: &'b Repository,
    /// When the run began, nanoseconds since 1970.
    time: i64,
    now: &'b Measured,
    /// What the snapshot before has of it: none if there is none, or it has nothing.
    before: Option<&'b Measured>,
}

/// Compares all that is expected with what is there, and warns of what is not met. `before` is none if there is no snapshot before.
pub(in super::super) fn judge(
    repository: &Repository,
    time: i64,
    now: &Measures,
    before: Option<&Measures>,
    progress: &dyn Progress,
) -> Vec<Judgement> {
    let mut judgements = Vec::new();
    let mut earlier = before.map(Measures::each);
    for (expectation, measured) in now.each() {
        let before =
            earlier.as_mut().and_then(Iterator::next).map(|(_, before)| before).filter(|before| before.files > 0);
        let bench = Bench { repository, time, now: measured, before };
        for condition in &expectation.conditions {
            let judgement = bench.judged(expectation, condition);
            if judgement.met == Some(false) {
                progress.warning(&judgement.warning());
            }
            judgements.push(judgement);
        }
    }
    judgements
}

impl Judgement {
    fn warning(&self) -> Warning {
        let seen = self.seen.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let message = format!("{} is not met: expected {}, seen {seen}{reason}", self.condition, self.expected);
        Warning { path: self.name.clone(), message, incomplete: false }
    }
}

impl Bench<'_> {
    fn judged(&self, expectation: &Expectation, condition: &Condition) -> Judgement {
        let mut finding = match &condition.what {
            What::Count(quantity, comparison, amount) => self.count(*quantity, *comparison, *amount),
            What::Schema(wanted) => self.schema(*wanted),
            What::Newest(comparison, age) => self.age(*comparison, age.as_secs()),
            What::Sound => self.sound(),
        };
        if self.now.files == 0 {
            let reason = match self.now.unread {
                0 => "no file that was saved matches the path",
                _ => "no file that matches the path could be read",
            };
            finding = Finding { seen: None, met: Some(false), reason: Some(reason.into()), ..finding };
        }
        let Finding { expected, seen, met, reason } = finding;
        Judgement { name: expectation.name.clone(), condition: condition.text.clone(), expected, seen, met, reason }
    }

    fn count(&self, quantity: Quantity, comparison: Comparison, amount: Amount) -> Finding {
        let of = |measured: &Measured| match quantity {
            Quantity::Records => measured.records,
            Quantity::Files => measured.files,
            Quantity::Bytes => measured.bytes,
        };
        let (seen, sign) = (of(self.now), comparison.sign());
        let (expected, met) = match (amount, self.before) {
            (Amount::Number(number), _) => (format!("{sign} {number}"), Some(comparison.holds(&seen, &number))),
            (Amount::OfPrevious(factor), Some(before)) => {
                let before = of(before);
                let is_met = factor.compares(comparison, seen, before);
                (format!("{sign} {} (previous: {before})", factor.of(before)), Some(is_met))
            }
            (Amount::OfPrevious(_), None) => (format!("{sign} a share of the previous"), None),
        };
        let no_records = quantity == Quantity::Records && self.now.avro_files == 0;
        let reason = match met {
            None => Some(NOTHING_BEFORE.into()),
            Some(_) if no_records => Some("none of the files is an Avro file".into()),
            _ if self.now.unread > 0 => Some(format!("{} of it could not be read", self.now.unread)),
            _ => None,
        };
        Finding { expected, seen: Some(Value::Number(seen)), met, reason }
    }

    fn age(&self, comparison: Comparison, wanted: u64) -> Finding {
        let mtime = self.now.newest.as_ref().map_or(0, |newest| newest.mtime.nanoseconds());
        // A time to come is as new as can be.
        let age = u64::try_from((i128::from(self.time) - mtime).max(0) / 1_000_000_000).unwrap_or(u64::MAX);
        let expected = format!("{} {wanted} seconds", comparison.sign());
        let reason = Some(format!("the newest file is {} old", duration_text(std::time::Duration::from_secs(age))));
        let met = comparison.holds(&age, &wanted);
        Finding { expected, seen: Some(Value::Number(age)), met: Some(met), reason: reason.filter(|_| !met) }
    }

    fn sound(&self) -> Finding {
        let Measured { unsound, unread, avro_files, unsound_names, .. } = self.now;
        let mut reasons = Vec::new();
        if *unsound > 0 {
            let more = if *unsound > unsound_names.len() as u64 { ", ..." } else { "" };
            reasons.push(format!("{}{more}", unsound_names.join(", ")));
        }
        if *unread > 0 {
            reasons.push(format!("{unread} could not be read"));
        }
        if *avro_files == 0 {
            reasons.push("none of the files is an Avro file".into());
        }
        let seen = Some(Value::Text(format!("{unsound} of {avro_files} not sound")));
        let met = Some(reasons.is_empty());
        Finding { expected: "all sound".into(), seen, met, reason: (!reasons.is_empty()).then(|| reasons.join("; ")) }
    }

    fn schema(&self, wanted: Compatibility) -> Finding {
        let name = match wanted {
            Compatibility::Full => "full",
            Compatibility::Backward => "backward",
            Compatibility::Forward => "forward",
            Compatibility::Same => "same",
        };
        let finding = |seen: Option<&str>, met, reason| Finding {
            expected: name.into(),
            seen: seen.map(|seen| Value::Text(seen.into())),
            met,
            reason,
        };
        let (Some(before), Some(now)) = (self.before.and_then(|before| before.newest.as_ref()), &self.now.newest)
        else {
            return finding(None, None, Some(NOTHING_BEFORE.into()));
        };
        if now.fingerprint != 0 && now.fingerprint == before.fingerprint && wanted == Compatibility::Same {
            return finding(Some("same"), Some(true), None);
        }
        let schemas =
            self.schema_of(before, "of before").and_then(|before| Ok((before, self.schema_of(now, "of now")?)));
        let (earlier, later) = match schemas {
            Ok(schemas) => schemas,
            Err((is_now, reason)) => return finding(None, is_now.then_some(false), Some(reason)),
        };
        let compared = Compared::new(&earlier, &later);
        let (met, obstacles) = match wanted {
            Compatibility::Same => (false, &[][..]),
            Compatibility::Backward => (compared.backward.is_empty(), &compared.backward[..]),
            Compatibility::Forward => (compared.forward.is_empty(), &compared.forward[..]),
            Compatibility::Full => {
                let worse = if compared.backward.is_empty() { &compared.forward } else { &compared.backward };
                (worse.is_empty(), &worse[..])
            }
        };
        let reason = obstacles.iter().map(Obstacle::to_string).collect::<Vec<_>>().join("; ");
        finding(Some(compared.verdict().name()), Some(met), (!reason.is_empty()).then_some(reason))
    }

    /// The schema of a newest file; else whether it is that of now, and why there is none.
    fn schema_of(&self, newest: &Newest, when: &str) -> Result<crate::avro::schema::Schema, (bool, String)> {
        let failed =
            |why| (when == "of now", format!("the schema of the newest file {when} cannot be compared: {why}"));
        newest.schema(self.repository).map_err(failed)
    }
}

/// Why something cannot be judged yet.
const NOTHING_BEFORE: &str = "no snapshot before has it";
