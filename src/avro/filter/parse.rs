//! From text to conditions.

use super::{Asked, Comparison, Condition, Expression, FilterError, FilterReason, Literal, Question};
use crate::avro::field_path::{FieldPath, is_plain, quoted};
use crate::avro::filter::number::Number;

/// The most bytes of a condition.
const MAX_TEXT: usize = 4 << 20;

/// How deep conditions may stand within each other.
const MAX_DEPTH: usize = 100;

/// Words that are no fields unless they are quoted.
const KEYWORDS: &[&str] = &["and", "or", "not", "in", "is", "like", "between", "null", "true", "false"];

/// Longest first where one begins like another.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<>", Comparison::Unequal),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Comparison {
    /// The same with its sides swapped.
    fn swapped(self) -> Self {
        match self {
            Self::Equal | Self::Unequal => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

type Parsed<T> = Result<T, (usize, String)>;

/// [`Expression::from_str`].
pub(super) fn expression(text: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser { rest: text, whole: text, fields: Vec::new(), depth: 0 };
    let condition = match text.len() {
        0..=MAX_TEXT => parser.everything(),
        _ => Err((0, "a condition of more than 4 MiB begins".into())),
    };
    parser.finish(condition, text)
}

/// [`Expression::of_keys`].
pub(super) fn keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> Result<Expression, FilterError> {
    let (mut any, mut fields, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        let mut parser = Parser { rest: key, whole: key, fields, depth: 0 };
        let condition = parser.key();
        let parsed = parser.finish(condition, key)?;
        any.push(parsed.condition);
        fields = parsed.fields;
        texts.push(key);
    }
    if any.is_empty() {
        let reason = FilterReason::Syntax("a key is missing".into());
        return Err(FilterError { at: 0, text: String::new(), reason });
    }
    Ok(Expression { text: texts.join(" or "), condition: joined(any, Condition::Any), fields })
}

/// One condition as it is, several joined.
fn joined<T>(mut all: Vec<Condition<T>>, join: fn(Vec<Condition<T>>) -> Condition<T>) -> Condition<T> {
    match (all.len(), all.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            all.extend(last);
            join(all)
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
    whole: &'t str,
    fields: Vec<FieldPath>,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn finish(self, condition: Parsed<Condition<Asked>>, text: &str) -> Result<Expression, FilterError> {
        match condition {
            Ok(condition) => Ok(Expression { text: text.to_owned(), condition, fields: self.fields }),
            Err((bytes, reason)) => {
                let at = self.whole.get(..bytes).map_or(0, |before| before.chars().count());
                Err(FilterError { at, text: text.to_owned(), reason: FilterReason::Syntax(reason) })
            }
        }
    }

    /// How many bytes lie before what comes next.
    fn at(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    fn wrong<T>(&self, reason: impl Into<String>) -> Parsed<T> {
        Err((self.at(), reason.into()))
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes a sign if it comes next.
    fn sign(&mut self, sign: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The word that comes next, which may be empty.
    fn word(&self) -> &'t str {
        let rest = self.rest.trim_start();
        rest.get(..rest.find(|c| !is_plain(c)).unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Takes a keyword if it comes next. A name that goes on with a dot is none.
    fn keyword(&mut self, keyword: &str) -> bool {
        let word = self.word();
        let after = self.rest.trim_start().get(word.len()..).unwrap_or_default();
        if !word.eq_ignore_ascii_case(keyword) || after.starts_with('.') {
            return false;
        }
        self.rest = after;
        true
    }

    fn everything(&mut self) -> Parsed<Condition<Asked>> {
        let condition = self.any()?;
        self.space();
        match self.rest {
            "" => Ok(condition),
            rest if rest.starts_with(')') => self.wrong("a parenthesis closes that was not opened"),
            _ => self.wrong("`and`, `or` or the end is expected"),
        }
    }

    fn any(&mut self) -> Parsed<Condition<Asked>> {
        let mut any = vec![self.all()?];
        while self.keyword("or") || self.sign("||") {
            any.push(self.all()?);
        }
        Ok(joined(any, Condition::Any))
    }

    fn all(&mut self) -> Parsed<Condition<Asked>> {
        let mut all = vec![self.one()?];
        while self.keyword("and") || self.sign("&&") {
            all.push(self.one()?);
        }
        Ok(joined(all, Condition::All))
    }

    fn one(&mut self) -> Parsed<Condition<Asked>> {
        self.space();
        let begin = self.at();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.wrong("conditions stand too deep within each other");
        }
        let one = if self.keyword("not") {
            Condition::Not(Box::new(self.one()?))
        } else if self.sign("(") {
            let inner = self.any()?;
            if !self.sign(")") {
                return Err((begin, "a parenthesis is not closed that opens".into()));
            }
            inner
        } else {
            self.question(begin)?
        };
        self.depth -= 1;
        Ok(one)
    }

    /// A field and what is asked about it.
    fn question(&mut self, begin: usize) -> Parsed<Condition<Asked>> {
        if let Some(literal) = self.literal_first()? {
            let Some(comparison) = self.comparison() else {
                return self.wrong("a comparison with a field is expected");
            };
            let field = self.field()?;
            return Ok(self.asked(field, begin, Question::Compare(comparison.swapped(), literal)));
        }
        let field = self.field()?;
        if let Some(comparison) = self.comparison() {
            let literal = self.literal()?;
            return Ok(self.asked(field, begin, Question::Compare(comparison, literal)));
        }
        if self.keyword("is") {
            let not = self.keyword("not");
            if !self.keyword("null") {
                return self.wrong("`null` or `not null` is expected");
            }
            return Ok(negated(not, self.asked(field, begin, Question::IsNull)));
        }
        let not = self.keyword("not");
        let condition = if self.keyword("in") {
            let list = self.list()?;
            self.asked(field, begin, Question::In(list))
        } else if self.keyword("like") {
            match self.literal()? {
                Literal::Text(pattern) => self.asked(field, begin, Question::Like(pattern)),
                _ => return self.wrong("`like` takes a text: it is expected before"),
            }
        } else if self.keyword("between") {
            let low = self.literal()?;
            if !self.keyword("and") {
                return self.wrong("`and` and the upper limit of `between` are expected");
            }
            let high = self.literal()?;
            let low = self.asked(field, begin, Question::Compare(Comparison::GreaterOrEqual, low));
            let high = self.asked(field, begin, Question::Compare(Comparison::LessOrEqual, high));
            Condition::All(vec![low, high])
        } else if not {
            return self.wrong("`in`, `like` or `between` is expected");
        } else {
            self.asked(field, begin, Question::Compare(Comparison::Equal, Literal::Boolean(true)))
        };
        Ok(negated(not, condition))
    }

    fn asked(&self, field: usize, begin: usize, question: Question) -> Condition<Asked> {
        let at = self.whole.get(..begin).map_or(0, |before| before.chars().count());
        Condition::Test(Asked { field, at, question })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        COMPARISONS.iter().find(|(sign, _)| self.sign(sign)).map(|(_, comparison)| *comparison)
    }

    /// The number of a field.
    fn field(&mut self) -> Parsed<usize> {
        self.space();
        let word = self.word();
        let is_dotted = self.rest.get(word.len()..).is_some_and(|rest| rest.starts_with('.'));
        if !is_dotted && KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) {
            return self.wrong(format!("the name of a field is expected (one called {word:?} stands in backquotes)"));
        }
        let begin = self.at();
        let (path, rest) = match FieldPath::parse_prefix(self.rest) {
            Ok(parsed) => parsed,
            Err(error) => {
                let bytes = self.rest.char_indices().nth(error.at).map_or(self.rest.len(), |(bytes, _)| bytes);
                return Err((begin + bytes, error.reason.into()));
            }
        };
        self.rest = rest;
        let known = self.fields.iter().position(|field| *field == path);
        Ok(known.unwrap_or_else(|| {
            self.fields.push(path);
            self.fields.len() - 1
        }))
    }

    /// A literal on the left side, where double quotes are those of a field.
    fn literal_first(&mut self) -> Parsed<Option<Literal>> {
        self.space();
        let word = self.word();
        let is_literal = match self.rest.chars().next() {
            Some('\'' | '-' | '+') => true,
            // A number, unless it is the name of a field that begins with a digit.
            Some('0'..='9') => Number::parse(word).is_some(),
            _ => word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false"),
        };
        if is_literal { self.literal().map(Some) } else { Ok(None) }
    }

    fn literal(&mut self) -> Parsed<Literal> {
        self.space();
        let begin = self.at();
        if let Some(quote @ ('\'' | '"')) = self.rest.chars().next() {
            let Some((text, rest)) = quoted(self.rest.get(1..).unwrap_or_default(), quote) else {
                return self.wrong("a quote is not closed that opens");
            };
            self.rest = rest;
            return Ok(Literal::Text(text));
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.keyword(word) {
                return Ok(Literal::Boolean(value));
            }
        }
        if self.keyword("null") {
            let reason = "nothing is equal to null: `is null` and `is not null` ask for it instead of a comparison";
            return Err((begin, reason.into()));
        }
        let end = self.rest.find(|c| !is_plain(c) && !matches!(c, '.' | '+')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        match Number::parse(word) {
            Some(number) => {
                self.rest = rest;
                Ok(Literal::Number(number, word.to_owned()))
            }
            None if word.is_empty() => self.wrong("a value is expected"),
            None if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) => self.wrong(format!(
                "{word:?} is no number, and a text stands in single quotes: '{word}'; it is not expected"
            )),
            None => self.wrong(format!("a value is expected; a text stands in single quotes: '{word}'; a bare word")),
        }
    }

    fn list(&mut self) -> Parsed<Vec<Literal>> {
        self.space();
        let begin = self.at();
        if !self.sign("(") {
            return self.wrong("a list of values in parentheses is expected");
        }
        let mut list = vec![self.literal()?];
        while self.sign(",") {
            list.push(self.literal()?);
        }
        if self.sign(")") { Ok(list) } else { Err((begin, "a list is not closed that opens".into())) }
    }

    /// Fields with their values.
    fn key(&mut self) -> Parsed<Condition<Asked>> {
        let mut all = Vec::new();
        loop {
            self.space();
            let begin = self.at();
            let field = self.field()?;
            if !self.sign("=") {
                return self.wrong("`=` and a value are expected");
            }
            self.sign("=");
            let literal = self.key_value()?;
            all.push(self.asked(field, begin, Question::Compare(Comparison::Equal, literal)));
            self.space();
            if !self.sign(",") {
                break;
            }
        }
        if self.rest.is_empty() { Ok(joined(all, Condition::All)) } else { self.wrong("a comma is expected") }
    }

    fn key_value(&mut self) -> Parsed<Literal> {
        self.space();
        if self.rest.starts_with('\'') {
            return self.literal();
        }
        let end = self.rest.find(',').unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        let value = value.trim();
        if value.is_empty() {
            return self.wrong("a value is expected (an empty one is '')");
        }
        self.rest = rest;
        Ok(Literal::Bare(value.to_owned()))
    }
}

fn negated(not: bool, condition: Condition<Asked>) -> Condition<Asked> {
    if not { Condition::Not(Box::new(condition)) } else { condition }
}
