//! The part of JSON that schemas are made of: everything else is skipped without being kept.
//!
//! Read as the readers of other languages do, taken together: `NaN` and the infinities are values (Python writes them as
//! defaults), comments are skipped and text after the value is not looked at (Java), halves of surrogate pairs may
//! stand in strings. What no reader takes is refused.

mod literal;

use std::borrow::Cow;
use std::ops::Range;

pub(in crate::avro) use literal::Literal;

use super::{SchemaError, SchemaFlaw};

/// How deep lists and objects that are kept may stand within each other. Each may cost a few stack frames.
const MAX_LEVELS: usize = 1024;

/// The most values that are kept. It bounds memory, where a text of many tiny values would take many times its length.
const MAX_VALUES: usize = 1 << 20;

/// A value that may be a schema or an attribute of one.
#[derive(Debug)]
pub(super) enum Json {
    /// A string.
    Text(String),
    /// A whole number, 0 or above.
    Number(u64),
    /// A list. Of things in a row that are neither texts nor lists nor objects one is kept: none may stand in a list.
    List(Vec<Json>),
    /// An object.
    Object(Object),
    /// Anything else.
    Other,
}

/// The attributes of an object that mean something.
#[derive(Debug, Default)]
pub(super) struct Object {
    attributes: Vec<(&'static str, Json)>,
    /// Where the value of `default` stands in the text.
    default: Option<Range<usize>>,
}

impl Object {
    /// An attribute; where there are several of the name, the last, as most parsers of JSON have it.
    pub(super) fn get(&self, attribute: &str) -> Option<&Json> {
        self.attributes.iter().rev().find(|entry| entry.0 == attribute).map(|entry| &entry.1)
    }

    /// Where the value of `default` stands in the text.
    pub(super) fn default_text(&self) -> Option<Range<usize>> {
        self.default.clone()
    }

    /// An attribute that is a string.
    pub(super) fn text(&self, attribute: &str) -> Option<&str> {
        match self.get(attribute) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An attribute that is a list.
    pub(super) fn list(&self, attribute: &str) -> Option<&[Json]> {
        match self.get(attribute) {
            Some(Json::List(list)) => Some(list),
            _ => None,
        }
    }
}

/// The attributes that mean something, and how much of them is kept.
const ATTRIBUTES: [(&str, Keep); 13] = [
    ("type", Keep::All),
    ("name", Keep::All),
    ("namespace", Keep::All),
    ("fields", Keep::All),
    ("symbols", Keep::All),
    ("items", Keep::All),
    ("values", Keep::All),
    ("size", Keep::All),
    ("logicalType", Keep::All),
    ("default", Keep::Plain),
    ("aliases", Keep::Texts),
    ("precision", Keep::Plain),
    ("scale", Keep::Plain),
];

/// How much of a value is kept. What is not kept may nest as deep as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    /// A text or a number.
    Plain,
    /// The same, or a list of texts.
    Texts,
}

/// Reads the value at the start of a text, and what readers refuse in it.
pub(super) fn parse(text: &str) -> Result<(Json, Option<SchemaFlaw>), SchemaError> {
    let mut parser = Parser::new(text);
    if text.starts_with('\u{feff}') {
        parser.at += '\u{feff}'.len_utf8();
        parser.flaw = Some(SchemaFlaw::ByteOrderMark);
    }
    let value = parser.value(Keep::All, 0)?;
    Ok((value, parser.flaw))
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// How many values were kept.
    values: usize,
    /// The first thing that is no obstacle, and that readers refuse.
    flaw: Option<SchemaFlaw>,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0, values: 0, flaw: None }
    }

    fn wrong<T>(&self, what: &str) -> Result<T, SchemaError> {
        Err(SchemaError::Json(format!("{what} at byte {}", self.at)))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether the text goes on like this; takes it if so.
    fn takes(&mut self, word: &str) -> bool {
        let there = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        if there {
            self.at += word.len();
        }
        there
    }

    /// Passes over spaces and comments.
    fn space(&mut self) -> Result<(), SchemaError> {
        loop {
            while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
                self.at += 1;
            }
            let end = match () {
                () if self.takes("//") => "\n",
                () if self.takes("/*") => "*/",
                () => return Ok(()),
            };
            match self.text.get(self.at..).and_then(|rest| rest.find(end)) {
                Some(length) => self.at += length + end.len(),
                None if end == "\n" => self.at = self.text.len(),
                None => return self.wrong("a comment without end"),
            }
        }
    }

    /// What comes next, after spaces.
    fn next(&mut self) -> Result<u8, SchemaError> {
        self.space()?;
        match self.peek() {
            Some(byte) => Ok(byte),
            None => self.wrong("the text ends too early"),
        }
    }

    fn value(&mut self, keep: Keep, level: usize) -> Result<Json, SchemaError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(SchemaError::TooMany);
        }
        match self.next()? {
            b'"' => self.string().map(|text| Json::Text(text.into_owned())),
            b'[' if keep != Keep::Plain => self.list(keep, level + 1).map(Json::List),
            b'{' if keep == Keep::All => self.object(level + 1).map(Json::Object),
            b'[' | b'{' => self.pass_over().map(|()| Json::Other),
            _ => self.scalar(),
        }
    }

    fn list(&mut self, keep: Keep, level: usize) -> Result<Vec<Json>, SchemaError> {
        if level > MAX_LEVELS {
            return Err(SchemaError::TooDeep);
        }
        self.at += 1;
        let within = if keep == Keep::All { Keep::All } else { Keep::Plain };
        let mut list = Vec::new();
        if self.next()? == b']' {
            self.at += 1;
            return Ok(list);
        }
        loop {
            let item = self.value(within, level)?;
            let is_void = |item: &Json| matches!(item, Json::Number(_) | Json::Other);
            match is_void(&item) && (keep == Keep::Texts || list.last().is_some_and(is_void)) {
                true => self.values -= 1,
                false => list.push(item),
            }
            match self.next()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return self.wrong("no comma between items"),
            }
        }
        self.at += 1;
        list.shrink_to_fit();
        Ok(list)
    }

    fn object(&mut self, level: usize) -> Result<Object, SchemaError> {
        if level > MAX_LEVELS {
            return Err(SchemaError::TooDeep);
        }
        self.at += 1;
        let mut object = Object::default();
        if self.next()? == b'}' {
            self.at += 1;
            return Ok(object);
        }
        loop {
            let attribute = self.key()?;
            match attribute {
                Some((name, keep)) => {
                    self.next()?;
                    let start = self.at;
                    let value = self.value(keep, level)?;
                    if name == "default" {
                        object.default = Some(start..self.at);
                    }
                    // Keys that repeat without end must not pile up.
                    object.attributes.retain(|entry| entry.0 != name);
                    object.attributes.push((name, value));
                }
                None => self.pass_over()?,
            }
            match self.next()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return self.wrong("no comma between attributes"),
            }
        }
        self.at += 1;
        object.attributes.shrink_to_fit();
        Ok(object)
    }

    /// The key of an object and the colon: which attribute it is, if one that means something.
    fn key(&mut self) -> Result<Option<(&'static str, Keep)>, SchemaError> {
        if self.next()? != b'"' {
            return self.wrong("no name of an attribute");
        }
        let key = self.string()?;
        let known = ATTRIBUTES.into_iter().find(|attribute| attribute.0 == key);
        if self.next()? != b':' {
            return self.wrong("no colon after the name of an attribute");
        }
        self.at += 1;
        Ok(known)
    }

    /// Passes over a value of any depth.
    fn pass_over(&mut self) -> Result<(), SchemaError> {
        // The brackets that close what is open.
        let mut open = Vec::new();
        loop {
            // Here a value begins.
            match self.next()? {
                b'"' => drop(self.string()?),
                bracket @ (b'[' | b'{') => {
                    self.at += 1;
                    let closing = bracket + 2;
                    if self.next()? == closing {
                        self.at += 1;
                    } else {
                        open.push(closing);
                        if closing == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => drop(self.scalar()?),
            }
            // And here one has ended.
            loop {
                let Some(closing) = open.last().copied() else { return Ok(()) };
                match self.next()? {
                    byte if byte == closing => {
                        self.at += 1;
                        open.pop();
                    }
                    b',' => {
                        self.at += 1;
                        if closing == b'}' {
                            self.key()?;
                        }
                        break;
                    }
                    _ => return self.wrong("no comma between values"),
                }
            }
        }
    }

    /// A number or a word.
    fn scalar(&mut self) -> Result<Json, SchemaError> {
        for word in ["null", "true", "false", "NaN", "Infinity", "-Infinity"] {
            if self.takes(word) {
                return Ok(Json::Other);
            }
        }
        for word in ["+Infinity", "-NaN"] {
            if self.takes(word) {
                self.flaw.get_or_insert(SchemaFlaw::Word(word));
                return Ok(Json::Other);
            }
        }
        let start = self.at;
        self.takes("-");
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.wrong("no value"),
        }
        let whole = self.at;
        if self.takes(".") {
            self.digits()?;
        }
        if self.takes("e") || self.takes("E") {
            let _ = self.takes("+") || self.takes("-");
            self.digits()?;
        }
        let number = self.text.get(start..self.at).filter(|_| whole == self.at);
        Ok(number.and_then(|number| number.parse().ok()).map_or(Json::Other, Json::Number))
    }

    fn digits(&mut self) -> Result<(), SchemaError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.wrong("no digit") } else { Ok(()) }
    }

    /// The string that begins here.
    fn string(&mut self) -> Result<Cow<'t, str>, SchemaError> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| !matches!(byte, b'"' | b'\\' | ..b' ')) {
                self.at += 1;
            }
            let part = self.text.get(start..self.at).unwrap_or_default();
            match text.is_empty() {
                true => text = Cow::Borrowed(part),
                false => text.to_mut().push_str(part),
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escaped()?;
                    text.to_mut().push(c);
                }
                Some(_) => return self.wrong("a control character in a string"),
                None => return self.wrong("a string without end"),
            }
        }
    }

    /// What stands after a backslash.
    fn escaped(&mut self) -> Result<char, SchemaError> {
        let Some(byte) = self.peek() else { return self.wrong("a string without end") };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let after = self.at;
                let second = match first {
                    0xd800..=0xdbff if self.takes("\\u") => Some(self.unit()?),
                    _ => None,
                };
                match (first, second) {
                    (high, Some(low @ 0xdc00..=0xdfff)) => {
                        let point = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)
                    }
                    _ => {
                        // Half of a pair stands for nothing; what follows is a character of its own.
                        self.at = after;
                        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
                    }
                }
            }
            _ => return self.wrong("an invalid escape"),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, SchemaError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let all = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| all);
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.wrong("an invalid escape"),
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
