//! Patterns for paths, with restic's meaning.
//!
//! A pattern is matched component by component: `*`, `?` and `[a-z]` stand within a component, `**` for any number of
//! components, `\` takes the meaning of the next character away. A pattern that begins with `/` stands for the path
//! from the root of the file system, any other may begin at any component. A path also matches if something above it
//! does. A leading `!` takes back what patterns before it matched.

use std::path::Path;

use serde::Deserializer;

use super::rules::patterns_in;
use crate::error::{Error, Result};
use crate::values;

/// A pattern, understood.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<[u8]>,
    negated: bool,
    anchored: bool,
    insensitive: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// `**`
    Any,
    Component(Vec<Token>),
}

#[derive(Debug, Clone)]
enum Token {
    /// `*`
    Many,
    /// `?`
    One,
    Unit(u32),
    /// `[...]`
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
}

/// Characters, and bytes that belong to none, as numbers that never meet.
type Units = Vec<u32>;

fn units(bytes: &[u8], insensitive: bool) -> Units {
    let mut units = Units::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        match insensitive {
            true => units.extend(chunk.valid().chars().flat_map(char::to_lowercase).map(u32::from)),
            false => units.extend(chunk.valid().chars().map(u32::from)),
        }
        units.extend(chunk.invalid().iter().map(|byte| 0x11_0000 + u32::from(*byte)));
    }
    units
}

/// A path made ready to be matched with any number of patterns.
#[derive(Debug)]
pub struct Matchable {
    exact: Vec<Units>,
    lower: Vec<Units>,
}

impl Matchable {
    /// Components are parted by `/`; a leading one makes no difference: the path counts from the root. `insensitive`
    /// says whether any of the patterns is.
    pub fn new(path: &[u8], insensitive: bool) -> Self {
        let components = || path.split(|byte| *byte == b'/').filter(|component| !component.is_empty());
        Self {
            exact: components().map(|component| units(component, false)).collect(),
            lower: components().filter(|_| insensitive).map(|component| units(component, true)).collect(),
        }
    }
}

impl Pattern {
    /// Parses a pattern. Fails if a `[` is not closed or if there is nothing to match.
    pub fn new(text: &[u8], insensitive: bool) -> Result<Self> {
        let wrong = |why: &str| {
            Error::argument("pattern", format!("the pattern {:?} {why}", String::from_utf8_lossy(text).into_owned()))
        };
        let (negated, rest) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = Vec::new();
        for component in rest.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b"**" if matches!(parts.last(), Some(Part::Any)) => {}
                b"**" => parts.push(Part::Any),
                _ => match tokens(&units(component, insensitive)) {
                    Some(tokens) => parts.push(Part::Component(tokens)),
                    None => return Err(wrong("has a [ that is not closed")),
                },
            }
        }
        match parts.is_empty() {
            true => Err(wrong("matches nothing")),
            false => Ok(Self { text: text.into(), negated, anchored: rest.starts_with(b"/"), insensitive, parts }),
        }
    }

    /// How it was written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it takes back what patterns before it matched.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether it begins at the root of the file system with a plain name, so that it stands for a certain place.
    pub fn names_a_place(&self) -> bool {
        let is_plain = |part: &Part| match part {
            Part::Any => false,
            Part::Component(tokens) => tokens.iter().all(|token| matches!(token, Token::Unit(_))),
        };
        self.anchored && !self.negated && self.parts.first().is_some_and(is_plain)
    }

    /// Whether letters of either case are the same to it.
    pub fn is_insensitive(&self) -> bool {
        self.insensitive
    }

    /// Whether the path, or something above it, matches. A leading `!` is not looked at.
    pub fn matches(&self, path: &Matchable) -> bool {
        let components = if self.insensitive { &path.lower } else { &path.exact };
        let last = if self.anchored { 0 } else { components.len() };
        (0..=last).any(|from| begins(&self.parts, components.get(from..).unwrap_or(&[])))
    }

    /// Whether the path itself matches, and not just something above it. A leading `!` is not looked at.
    pub fn matches_itself(&self, path: &Matchable) -> bool {
        let components = if self.insensitive { &path.lower } else { &path.exact };
        let last = if self.anchored { 0 } else { components.len() };
        (0..=last).any(|from| is_all(&self.parts, components.get(from..).unwrap_or(&[])))
    }

    /// Patterns from an option.
    pub(crate) fn sensitive<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Self>, D::Error> {
        values::from_texts(deserializer, |text| Self::new(text.as_bytes(), false).map_err(|error| error.to_string()))
    }

    /// Patterns from an option that ignores the case of letters.
    pub(crate) fn insensitive<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Self>, D::Error> {
        values::from_texts(deserializer, |text| Self::new(text.as_bytes(), true).map_err(|error| error.to_string()))
    }

    /// Adds the patterns in a file, one in a line ([`patterns_in`]). Returns how many.
    ///
    /// # Errors
    /// If the file cannot be read, is no list, or one of its patterns is none.
    pub(crate) fn add_from(file: &Path, insensitive: bool, patterns: &mut Vec<Self>) -> Result<usize> {
        let texts = patterns_in(file)?;
        for text in &texts {
            patterns.push(Self::new(text, insensitive)?);
        }
        Ok(texts.len())
    }

    /// What a list of patterns says of a path: the last one that matches decides.
    pub fn any(patterns: &[Pattern], path: &[u8]) -> bool {
        if patterns.is_empty() {
            return false;
        }
        let path = Matchable::new(path, patterns.iter().any(Pattern::is_insensitive));
        patterns.iter().fold(false, |matched, pattern| match pattern.negated {
            true => matched && !pattern.matches(&path),
            false => matched || pattern.matches(&path),
        })
    }
}

/// Whether the parts match the first of these components.
fn begins(parts: &[Part], components: &[Units]) -> bool {
    match (parts, components) {
        ([], _) => true,
        ([Part::Any, parts @ ..], _) => (0..=components.len()).any(|skip| begins(parts, &components[skip..])),
        ([Part::Component(tokens), parts @ ..], [component, components @ ..]) => {
            whole(tokens, component) && begins(parts, components)
        }
        ([Part::Component(_), ..], []) => false,
    }
}

/// Whether the parts match all of these components.
fn is_all(parts: &[Part], components: &[Units]) -> bool {
    match (parts, components) {
        ([], _) => components.is_empty(),
        ([Part::Any, parts @ ..], _) => (0..=components.len()).any(|skip| is_all(parts, &components[skip..])),
        ([Part::Component(tokens), parts @ ..], [component, components @ ..]) => {
            whole(tokens, component) && is_all(parts, components)
        }
        ([Part::Component(_), ..], []) => false,
    }
}

/// Whether the tokens match the whole component. The last `*` takes one unit more each time the rest does not fit.
fn whole(tokens: &[Token], units: &[u32]) -> bool {
    let (mut token, mut unit) = (0, 0);
    let mut star = None;
    loop {
        let fits = match (tokens.get(token), units.get(unit)) {
            (None, None) => return true,
            (Some(Token::Many), _) => {
                star = Some((token, unit));
                token += 1;
                continue;
            }
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Unit(wanted)), Some(found)) => wanted == found,
            (Some(Token::Class { negated, ranges }), Some(found)) => {
                ranges.iter().any(|(low, high)| (low..=high).contains(&found)) != *negated
            }
            _ => false,
        };
        match (fits, star) {
            (true, _) => {
                token += 1;
                unit += 1;
            }
            (false, Some((at, taken))) if taken < units.len() => {
                star = Some((at, taken + 1));
                token = at + 1;
                unit = taken + 1;
            }
            (false, _) => return false,
        }
    }
}

/// `None` if a class is not closed.
fn tokens(component: &[u32]) -> Option<Vec<Token>> {
    const fn is(unit: u32, character: char) -> bool {
        unit == character as u32
    }
    let mut tokens = Vec::new();
    let mut rest = component.iter().copied();
    while let Some(unit) = rest.next() {
        tokens.push(match unit {
            unit if is(unit, '*') => Token::Many,
            unit if is(unit, '?') => Token::One,
            unit if is(unit, '\\') => Token::Unit(rest.next().unwrap_or(unit)),
            unit if is(unit, '[') => {
                let mut next = rest.next()?;
                let negated = is(next, '^') || is(next, '!');
                if negated {
                    next = rest.next()?;
                }
                let mut ranges = Vec::new();
                // A ] that comes first stands for itself.
                while !is(next, ']') || ranges.is_empty() {
                    let low = if is(next, '\\') { rest.next()? } else { next };
                    next = rest.next()?;
                    let mut high = low;
                    if is(next, '-') && rest.clone().next().is_some_and(|after| !is(after, ']')) {
                        high = rest.next()?;
                        if is(high, '\\') {
                            high = rest.next()?;
                        }
                        next = rest.next()?;
                    }
                    ranges.push((low, high));
                }
                Token::Class { negated, ranges }
            }
            unit => Token::Unit(unit),
        });
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        Pattern::any(&[Pattern::new(pattern.as_bytes(), false).unwrap()], path)
    }

    #[test]
    fn patterns_match_by_component() {
        for (pattern, path, expected) in [
            ("*.avro", "/data/a.avro", true),
            ("*.avro", "/data/a.avro.bak", false),
            ("*.avro", "/data/x.avro/inside", true),
            ("data", "/data/a", true),
            ("dat", "/data/a", false),
            ("data/a", "/x/data/a/b", true),
            ("data/b", "/x/data/a/b", false),
            ("data/*/b", "/x/data/a/b", true),
            ("data/*/b", "/x/data/a/c/b", false),
            ("data/**/b", "/x/data/a/c/b", true),
            ("data/**/b", "/x/data/b", true),
            ("/data", "/data/a", true),
            ("/data", "/x/data", false),
            ("/**/b", "/x/y/b", true),
            ("/x/*", "/x", false),
            ("/x/*", "/x/y", true),
            ("./a//b/", "/a/b", true),
            ("a?c", "/abc", true),
            ("a?c", "/aéc", true),
            ("a?c", "/ac", false),
            ("[a-c]x", "/bx", true),
            ("[^a-c]x", "/bx", false),
            ("[!a-c]x", "/dx", true),
            ("[]x]", "/]", true),
            ("[a-]", "/-", true),
            ("\\*", "/*", true),
            ("\\*", "/a", false),
            ("{a,b}", "/{a,b}", true),
            ("a*b*c", "/aXbYbZc", true),
            ("a*b*c", "/aXbYbZ", false),
            ("*", "/", false),
        ] {
            assert_eq!(matches(pattern, path.as_bytes()), expected, "{pattern} {path}");
        }
        assert!(matches("caf*", b"/caf\xe9") && matches("caf?", b"/caf\xe9") && !matches("café", b"/caf\xe9"));
    }

    #[test]
    fn a_later_pattern_takes_back_what_an_earlier_one_matched() {
        let patterns = ["data/*", "!data/keep", "data/keep/not"].map(|p| Pattern::new(p.as_bytes(), false).unwrap());
        for (path, expected) in
            [("/data/a", true), ("/data/keep", false), ("/data/keep/x", false), ("/data/keep/not", true)]
        {
            assert_eq!(Pattern::any(&patterns, path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn what_lies_below_a_match_does_not_match_itself() {
        for (pattern, path, expected) in [
            ("data", "/x/data", true),
            ("data", "/x/data/a", false),
            ("*/b", "/a/b/x/b", true),
            ("/x/*", "/x/y/z", false),
            ("x/**", "/x/y/z", true),
            ("*.avro", "/x/a.avro", true),
        ] {
            let itself = Pattern::new(pattern.as_bytes(), false).unwrap();
            assert_eq!(itself.matches_itself(&Matchable::new(path.as_bytes(), false)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn some_patterns_name_a_place() {
        for (pattern, expected) in [
            ("/home", true),
            ("/home/*.log", true),
            ("/home/**", true),
            ("/[h]ome", false),
            ("home", false),
            ("**", false),
            ("/**", false),
            ("/*", false),
            ("/h?me/x", false),
            ("!/home", false),
        ] {
            assert_eq!(Pattern::new(pattern.as_bytes(), false).unwrap().names_a_place(), expected, "{pattern}");
        }
    }

    #[test]
    fn case_may_be_passed_over() {
        let pattern = [Pattern::new("*.ÄVRO".as_bytes(), true).unwrap()];
        assert!(Pattern::any(&pattern, "/x/A.ävro".as_bytes()));
        assert!(!Pattern::any(&pattern, "/x/A.avro".as_bytes()));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "/", "!", "[a", "[", "x/[a-", "."] {
            assert!(Pattern::new(wrong.as_bytes(), false).is_err(), "{wrong}");
        }
    }
}
