//! Avro's binary encoding, as far as rows and roots need it ("Binary Encoding" in the Avro specification 1.12). The
//! `apache-avro` package reads the same bytes (a test shows it) but takes several times as long for each row.

use super::entry::Property;
use crate::avro::varint;
use crate::wire::{Malformed, Result};

/// Writes values at the end of a buffer.
pub(super) struct DatumWriter<'a>(pub(super) &'a mut Vec<u8>);

impl DatumWriter<'_> {
    pub(super) fn long(&mut self, value: i64) {
        varint::encode(self.0, value);
    }

    /// A number that is never negative in practice; its bits are kept in any case.
    pub(super) fn unsigned(&mut self, value: u64) {
        self.long(value.cast_signed());
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(super) fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u64);
        self.fixed(bytes);
    }

    /// A union of null and something else.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.unsigned(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        if !items.is_empty() {
            self.unsigned(items.len() as u64);
            for item in items {
                write(self, item);
            }
        }
        self.unsigned(0);
    }
}

/// Writes the properties of a row or a root.
pub(super) fn write_properties(writer: &mut DatumWriter<'_>, properties: &[Property]) {
    writer.array(properties, |writer, property| {
        writer.bytes(property.name.as_bytes());
        writer.bytes(&property.value);
    });
}

/// Reads what [`write_properties`] wrote.
pub(super) fn read_properties(reader: &mut DatumReader<'_>) -> Result<Vec<Property>> {
    reader.array(|reader| Ok(Property { name: reader.text()?, value: reader.bytes()?.to_vec() }))
}

/// Reads values one after the other.
pub(super) struct DatumReader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> DatumReader<'a> {
    pub(super) fn long(&mut self) -> Result<i64> {
        let long = varint::decode(self.rest).map_err(|fault| Malformed(format!("a number in a row: {fault}")))?;
        self.rest = self.rest.get(long.used..).unwrap_or(&[]);
        Ok(long.value)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        Ok(self.long()?.cast_unsigned())
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        u32::try_from(self.long()?).map_err(|_| Malformed::new("a number in a row is out of its range"))
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        match self.fixed::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed::new("a truth value that is neither 0 nor 1")),
        }
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| Malformed::new("a row ends too early"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.long()?).ok();
        let split = length.and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) = split.ok_or_else(|| Malformed::new("a row ends too early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Malformed::new("a text that is not UTF-8"))
    }

    /// Which symbol of an enum.
    pub(super) fn symbol(&mut self, count: usize) -> Result<usize> {
        match usize::try_from(self.long()?) {
            Ok(symbol) if symbol < count => Ok(symbol),
            _ => Err(Malformed::new("a symbol that the schema does not have")),
        }
    }

    pub(super) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        match self.symbol(2)? {
            0 => Ok(None),
            _ => read(self).map(Some),
        }
    }

    pub(super) fn array<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let count = self.long()?;
            // Rows are written with plain counts, and every item takes a byte at least.
            match usize::try_from(count) {
                Ok(0) => return Ok(items),
                Ok(count) if count <= self.rest.len() => {
                    for _ in 0..count {
                        items.push(read(self)?);
                    }
                }
                _ => return Err(Malformed::new("more items than a row can hold")),
            }
        }
    }
}
