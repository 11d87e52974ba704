//! How people name one snapshot: `latest`, `latest~N`, the beginning of an id, and `SERIES:latest~N`.

use super::{Filter, Listing, manifest_path};
use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;

/// Clocks of different machines may differ by this much before a snapshot counts as dated in the future.
pub const CLOCK_TOLERANCE: i64 = 5 * 60 * 1_000_000_000;

/// How many digits of an id are enough to delete what it names.
const DIGITS_TO_DELETE: usize = 4;

/// What names one snapshot, and perhaps something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// How the snapshot is named.
    pub which: Which,
    /// The series that `latest` is looked for in, where it is part of the name.
    pub series: Option<String>,
    /// What in it, as manifests write paths; empty for all.
    pub path: Vec<u8>,
    /// The other reading of `SERIES:latest`, where the name of a series could be the beginning of an id.
    other: Option<Box<Selector>>,
}

/// What names one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The latest one of its series, or the one this many before it.
    Latest(usize),
    /// The one whose id begins with these digits.
    Prefix(String),
}

/// Why `latest` may not be the snapshot that somebody expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// There are several series, and none was chosen.
    SeveralSeries {
        /// Number of series.
        count: usize,
        /// The series of the newest snapshot, which was taken.
        taken: String,
    },
    /// Snapshots dated in the future were skipped; the newest of them.
    InTheFuture {
        /// Number of snapshots that were skipped.
        count: usize,
        /// The one that would be `latest` otherwise.
        newest: SnapshotId,
    },
}

/// What `latest` stands for.
struct Latest<'l> {
    /// The snapshots of the series, the newest first.
    series: Vec<&'l SnapshotRoot>,
    doubts: Vec<Doubt>,
}

impl Selector {
    /// Parses `latest`, `latest~N`, the beginning of an id, `SERIES:latest~N`, and any of these followed by `:PATH`.
    /// A series may have colons in its name: it ends before the first `:latest`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is none of these, if nothing is named, or if the path leads upwards.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let (which, path) = split_at_colon(text);
        let by_series = || -> Result<Option<Self>> {
            let Some((series, which, path)) = series_of(text).filter(|(series, ..)| !series.is_empty()) else {
                return Ok(None);
            };
            let series = Some(String::from_utf8_lossy(series).into_owned());
            Ok(Some(Self { which, series, path: manifest_path(path.unwrap_or_default())?, other: None }))
        };
        match Which::parse(which) {
            Ok(which) => {
                let other = if matches!(which, Which::Prefix(_)) { by_series()?.map(Box::new) } else { None };
                Ok(Self { which, series: None, path: manifest_path(path.unwrap_or_default())?, other })
            }
            Err(error) => by_series()?.ok_or(error),
        }
    }

    /// Decides between `ID:PATH` and `SERIES:latest`, where the text can be read as either: an existing series wins.
    pub fn settled(self, listing: &Listing) -> Self {
        let is_known = |other: &Self| listing.snapshots.iter().any(|root| Some(&root.series) == other.series.as_ref());
        match &self.other {
            Some(other) if is_known(other) => (**other).clone(),
            _ => self,
        }
    }

    /// Whether a whole snapshot is named, as far as that is known before it is [settled](Self::settled).
    pub fn may_be_whole(&self) -> bool {
        self.path.is_empty() || self.other.as_ref().is_some_and(|other| other.path.is_empty())
    }

    /// The snapshot that is meant.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], [`Error::AmbiguousSnapshot`]; where the id is that of a snapshot whose root cannot be
    /// read, what is wrong with it.
    pub fn pick(&self, listing: &mut Listing, filter: &Filter) -> Result<SnapshotRoot> {
        let Which::Prefix(prefix) = &self.which else { return self.find(listing, filter).cloned() };
        let is_meant = |id: &SnapshotId| id.to_string().starts_with(prefix);
        let unreadable = listing.unreadable.iter().filter(|(id, _)| is_meant(id)).count();
        match self.find(listing, filter) {
            Err(Error::NoSnapshot { .. }) if unreadable == 1 => {
                let at = listing.unreadable.iter().position(|(id, _)| is_meant(id));
                let wanted = || Error::NoSnapshot { wanted: self.to_string() };
                Err(at.map_or_else(wanted, |at| listing.unreadable.swap_remove(at).1))
            }
            found => found.cloned(),
        }
    }

    /// The snapshot that is meant, of those whose root can be read.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`]; [`Error::AmbiguousSnapshot`], also where others cannot be read.
    pub fn find<'l>(&self, listing: &'l Listing, filter: &Filter) -> Result<&'l SnapshotRoot> {
        let wanted = || Error::NoSnapshot { wanted: self.to_string() };
        let prefix = match &self.which {
            Which::Latest(back) => return self.latest(listing, filter).series.get(*back).copied().ok_or_else(wanted),
            Which::Prefix(prefix) => prefix,
        };
        let is_meant = |id: &SnapshotId| id.to_string().starts_with(prefix);
        let mut fitting = listing.fitting(filter).filter(|root| is_meant(&root.id));
        let (first, more) = (fitting.next(), fitting.count());
        let unreadable = listing.unreadable.iter().filter(|(id, _)| is_meant(id)).count();
        match (first, more + unreadable) {
            (Some(root), 0) => Ok(root),
            (None, 0 | 1) => Err(wanted()),
            (first, others) => {
                let count = usize::from(first.is_some()) + others;
                Err(Error::AmbiguousSnapshot { wanted: self.to_string(), count })
            }
        }
    }

    /// Why what [`pick`](Self::pick) finds may not be what somebody expects.
    pub fn doubts(&self, listing: &Listing, filter: &Filter) -> Vec<Doubt> {
        match self.which {
            Which::Latest(_) => self.latest(listing, filter).doubts,
            Which::Prefix(_) => Vec::new(),
        }
    }

    /// The snapshot that is meant, also where its root cannot be read, for deleting it.
    ///
    /// # Errors
    /// As of [`pick`](Self::pick). [`Error::InvalidArgument`] where it is not certain which one is meant: a few digits,
    /// `latest` of several series, or of a repository in which the root of a snapshot cannot be read.
    pub fn pick_to_delete(&self, listing: &Listing, filter: &Filter) -> Result<SnapshotId> {
        let wanted = || Error::NoSnapshot { wanted: self.to_string() };
        match &self.which {
            Which::Latest(back) => {
                let latest = self.latest(listing, filter);
                if let Some(Doubt::SeveralSeries { count, .. }) = latest.doubts.first() {
                    return Err(Error::argument(
                        "snapshot",
                        format!(
                            "`{self}` is not clear: there are {count} series. Choose one, as SERIES:{self} or with --series, or \
                         give the id of the snapshot"
                        ),
                    ));
                }
                if let Some((id, _)) = listing.unreadable.first() {
                    return Err(Error::argument(
                        "snapshot",
                        format!(
                            "`{self}` is not clear, since snapshot {} cannot be read: give the id of the snapshot to remove",
                            id.short()
                        ),
                    ));
                }
                latest.series.get(*back).map(|root| root.id).ok_or_else(wanted)
            }
            Which::Prefix(prefix) => {
                check_digits(prefix)?;
                let all =
                    listing.fitting(filter).map(|root| root.id).chain(listing.unreadable.iter().map(|(id, _)| *id));
                let fitting: Vec<_> = all.filter(|id| id.to_string().starts_with(prefix)).collect();
                match fitting.as_slice() {
                    [] => Err(wanted()),
                    [id] => Ok(*id),
                    several => Err(Error::AmbiguousSnapshot { wanted: self.to_string(), count: several.len() }),
                }
            }
        }
    }

    fn latest<'l>(&self, listing: &'l Listing, filter: &Filter) -> Latest<'l> {
        // A time that lies ahead is named to mean what is dated before it.
        let now = listing.now.saturating_add(CLOCK_TOLERANCE).max(filter.at.unwrap_or(i64::MIN));
        let in_series = |root: &&SnapshotRoot| self.series.as_ref().is_none_or(|series| *series == root.series);
        let fitting = listing.fitting(filter).rev().filter(in_series);
        let (ahead, past): (Vec<_>, Vec<_>) = fitting.partition(|root| root.time > now);
        let mut names: Vec<&str> = past.iter().map(|root| &*root.series).collect();
        names.sort_unstable();
        names.dedup();
        let mut doubts = Vec::new();
        if let (2.., Some(newest)) = (names.len(), past.first()) {
            doubts.push(Doubt::SeveralSeries { count: names.len(), taken: newest.series.clone() });
        }
        if let Some(newest) = ahead.first() {
            doubts.push(Doubt::InTheFuture { count: ahead.len(), newest: newest.id });
        }
        let series = past.first().map(|newest| &newest.series);
        Latest { series: past.iter().copied().filter(|root| Some(&root.series) == series).collect(), doubts }
    }
}

/// Refuses an id that is too short to delete what it names: a single digit is a slip.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn check_digits(prefix: &str) -> Result<()> {
    let is_hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hex && prefix.len() >= DIGITS_TO_DELETE {
        true => Ok(()),
        false => Err(Error::argument(
            "snapshot",
            format!("{prefix:?} is not enough of an id: give at least {DIGITS_TO_DELETE} of its hexadecimal digits"),
        )),
    }
}

/// What is before the first colon, and what after it.
fn split_at_colon(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b':') {
        Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
        None => (text, None),
    }
}

/// A series, which of its snapshots, and a path in that.
type InSeries<'t> = (&'t [u8], Which, Option<&'t [u8]>);

/// Splits `SERIES:latest~N:PATH`. The series may have colons in it.
fn series_of(text: &[u8]) -> Option<InSeries<'_>> {
    let colons = text.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    colons.into_iter().find_map(|colon| {
        let (which, path) = split_at_colon(&text[colon + 1..]);
        let which = Which::parse(which).ok().filter(|which| matches!(which, Which::Latest(_)))?;
        Some((&text[..colon], which, path))
    })
}

impl Which {
    fn parse(text: &[u8]) -> Result<Self> {
        let text = &*String::from_utf8_lossy(text);
        if text.is_empty() {
            return Err(Error::argument(
                "snapshot",
                "the name of the snapshot is empty: give `latest`, `latest~N`, SERIES:latest or the beginning of an id",
            ));
        }
        let invalid = || {
            Error::argument(
                "snapshot",
                format!(
                    "{text:?} names no snapshot: that is `latest`, `latest~N`, SERIES:latest, or the beginning of an id"
                ),
            )
        };
        match text.strip_prefix("latest") {
            None => match text.len() <= 2 * SnapshotId::LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                true => Ok(Self::Prefix(text.to_ascii_lowercase())),
                false => Err(invalid()),
            },
            Some("") => Ok(Self::Latest(0)),
            Some(rest) => {
                // A sign is no part of a number here.
                let digits = rest.strip_prefix('~').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
                digits.and_then(|digits| digits.parse().ok()).map(Self::Latest).ok_or_else(invalid)
            }
        }
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(series) = &self.series {
            write!(f, "{series}:")?;
        }
        self.which.fmt(f)
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}
