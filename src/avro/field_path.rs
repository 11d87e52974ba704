//! The name of a field that may stand within others: `id`, `customer.address.city`.
//!
//! A name is letters, digits, `_`, `-` and `$`. One that holds anything else stands in backquotes or double quotes, which stand
//! for themselves where they are doubled: `` `unit price`.net ``.

use std::fmt::{self, Display, Write as _};
use std::str::FromStr;

/// The most names in a path.
pub const MAX_STEPS: usize = 64;

/// The names that lead to a field, outermost first: at least one, at most [`MAX_STEPS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<String>);

/// Why a text is not the path of a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at character {}", .at + 1)]
pub struct FieldPathError {
    /// Which character of the text, from 0 on.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl FieldPath {
    /// The path of these names.
    ///
    /// # Errors
    /// If there are none, or more than [`MAX_STEPS`].
    pub fn new(names: Vec<String>) -> Result<Self, FieldPathError> {
        match names.len() {
            0 => Err(FieldPathError { at: 0, reason: "the name of a field is missing" }),
            1..=MAX_STEPS => Ok(Self(names)),
            _ => Err(FieldPathError { at: 0, reason: "too many names" }),
        }
    }

    /// The names, outermost first.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The path at the start of a text, and what follows it.
    ///
    /// # Errors
    /// If no path stands there.
    pub fn parse_prefix(text: &str) -> Result<(Self, &str), FieldPathError> {
        let (mut names, mut rest) = (Vec::new(), text);
        let at = |rest: &str| text.get(..text.len() - rest.len()).map_or(0, |before| before.chars().count());
        loop {
            let (name, after) = name(rest).map_err(|reason| FieldPathError { at: at(rest), reason })?;
            names.push(name);
            rest = after;
            if names.len() > MAX_STEPS {
                return Err(FieldPathError { at: at(rest), reason: "too many names" });
            }
            match rest.strip_prefix('.') {
                Some(more) => rest = more,
                None => return Ok((Self(names), rest)),
            }
        }
    }

    /// Paths with commas between them; whitespace around each is passed over.
    ///
    /// # Errors
    /// If one of them is none. An empty text is none.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, FieldPathError> {
        let (mut paths, mut rest) = (Vec::new(), text.trim_start());
        loop {
            let shift = |rest: &str| text.get(..text.len() - rest.len()).map_or(0, |before| before.chars().count());
            let begins = shift(rest);
            let (path, after) =
                Self::parse_prefix(rest).map_err(|error| FieldPathError { at: begins + error.at, ..error })?;
            paths.push(path);
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(more) => rest = more.trim_start(),
                None if after.is_empty() => return Ok(paths),
                None => return Err(FieldPathError { at: shift(after), reason: "a comma is missing" }),
            }
        }
    }
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(text: &str) -> Result<Self, FieldPathError> {
        let (path, rest) = Self::parse_prefix(text)?;
        if rest.is_empty() {
            return Ok(path);
        }
        let at = text.chars().count() - rest.chars().count();
        Err(FieldPathError { at, reason: "a name with such a character must stand in backquotes; it is not expected" })
    }
}

impl Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_char('.')?;
            }
            if !name.is_empty() && name.chars().all(is_plain) {
                f.write_str(name)?;
            } else {
                write!(f, "`{}`", name.replace('`', "``"))?;
            }
        }
        Ok(())
    }
}

/// Whether a character may stand in a name without quotes.
pub(super) fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '$')
}

/// The name at the start of a text, and what follows it.
fn name(text: &str) -> Result<(String, &str), &'static str> {
    match text.chars().next() {
        Some(quote @ ('`' | '"')) => quoted(text.get(1..).unwrap_or_default(), quote).ok_or("a quote is not closed"),
        _ => {
            let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(end).unwrap_or_default();
            if name.is_empty() { Err("the name of a field is missing") } else { Ok((name.to_owned(), rest)) }
        }
    }
}

/// What stands up to a quote that is not doubled, and what follows that. The text begins after the first quote.
pub(super) fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let (mut out, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once(quote)?;
        out.push_str(before);
        match after.strip_prefix(quote) {
            Some(more) => {
                out.push(quote);
                rest = more;
            }
            None => return Some((out, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        text.parse::<FieldPath>().unwrap().0
    }

    #[test]
    fn names_are_split_at_dots_outside_of_quotes() {
        assert_eq!(names("id"), ["id"]);
        assert_eq!(names("a.b.c"), ["a", "b", "c"]);
        assert_eq!(names("`unit price`.net"), ["unit price", "net"]);
        assert_eq!(names("\"a.b\".`c``d`"), ["a.b", "c`d"]);
        assert_eq!(names("größe.x-y"), ["größe", "x-y"]);
    }

    #[test]
    fn what_is_no_path_is_refused_with_its_place() {
        for (text, at) in [("", 0), ("a.", 2), (".a", 0), ("a b", 1), ("ö.`x", 2), ("a=1", 1)] {
            assert_eq!(text.parse::<FieldPath>().map_err(|error| error.at), Err(at), "{text:?}");
        }
        assert_eq!("a.".parse::<FieldPath>().unwrap_err().to_string(), "the name of a field is missing at character 3");
        assert!(vec!["a"; MAX_STEPS].join(".").parse::<FieldPath>().is_ok());
        assert!(vec!["a"; MAX_STEPS + 1].join(".").parse::<FieldPath>().is_err());
    }

    #[test]
    fn lists_have_commas_between_paths() {
        let list = FieldPath::parse_list(" a.b , `c,d`,e").unwrap();
        assert_eq!(list.iter().map(FieldPath::to_string).collect::<Vec<_>>(), ["a.b", "`c,d`", "e"]);
        for (text, at) in [("", 0), ("a,", 2), ("a,,b", 2), ("a b", 2)] {
            assert_eq!(FieldPath::parse_list(text).map_err(|error| error.at), Err(at), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_parsed_again(names in prop::collection::vec(any::<String>(), 1..5)) {
            let path = FieldPath::new(names).unwrap();
            prop_assert_eq!(path.to_string().parse::<FieldPath>().unwrap(), path.clone());
            let twice = format!("{path}, {path}");
            prop_assert_eq!(FieldPath::parse_list(&twice).unwrap(), [path.clone(), path]);
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<FieldPath>();
            let _ = FieldPath::parse_list(&text);
        }
    }
}
