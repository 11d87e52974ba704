//! Values of JSON as they stand in a schema, whole: what defaults are.

use std::borrow::Cow;

use super::Parser;
use crate::avro::schema::SchemaError;

/// How deep the values of a default may stand within each other.
const MAX_LEVELS: usize = 256;

/// A value of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::avro) enum Literal<'t> {
    /// A number, `null`, `true`, `false`, or one of the words that some writers have for numbers that JSON lacks.
    Word(&'t str),
    /// A string.
    Text(Cow<'t, str>),
    /// A list.
    List(Vec<Literal<'t>>),
    /// An object, its keys in order.
    Object(Vec<(Cow<'t, str>, Literal<'t>)>),
}

impl<'t> Literal<'t> {
    /// Reads the value at the start of a text.
    pub(in crate::avro) fn parse(text: &'t str) -> Result<Self, SchemaError> {
        Parser::new(text).literal(0)
    }
}

impl<'t> Parser<'t> {
    fn literal(&mut self, level: usize) -> Result<Literal<'t>, SchemaError> {
        if level > MAX_LEVELS {
            return Err(SchemaError::TooDeep);
        }
        match self.next()? {
            b'"' => self.string().map(Literal::Text),
            b'[' => {
                let mut list = Vec::new();
                self.until(b']', |parser| {
                    list.push(parser.literal(level + 1)?);
                    Ok(())
                })?;
                Ok(Literal::List(list))
            }
            b'{' => {
                let mut entries = Vec::new();
                self.until(b'}', |parser| {
                    if parser.next()? != b'"' {
                        return parser.wrong("no name of a value");
                    }
                    let key = parser.string()?;
                    if parser.next()? != b':' {
                        return parser.wrong("no colon after a name");
                    }
                    parser.at += 1;
                    entries.push((key, parser.literal(level + 1)?));
                    Ok(())
                })?;
                Ok(Literal::Object(entries))
            }
            _ => {
                let start = self.at;
                self.scalar()?;
                Ok(Literal::Word(self.text.get(start..self.at).unwrap_or_default()))
            }
        }
    }

    /// Reads things with commas between them, up to the bracket that closes.
    fn until(
        &mut self,
        closing: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), SchemaError>,
    ) -> Result<(), SchemaError> {
        self.at += 1;
        if self.next()? == closing {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.next()? {
                b',' => self.at += 1,
                byte if byte == closing => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.wrong("no comma between values"),
            }
        }
    }
}
