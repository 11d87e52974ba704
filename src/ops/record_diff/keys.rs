//! The fields that say which record is which, and those that changed.

use std::cell::RefCell;

use super::table::ReaderSchema;
use crate::avro::field_path::FieldPath;
use crate::avro::locate::{Located, Locator, types_of};
use crate::avro::records::{Fields, RecordError};
use crate::avro::schema::{Kind, NodeId};
use crate::error::{Error, Result};

/// Finds fields in records that are read with one schema.
#[derive(Debug)]
pub(crate) struct Finder {
    locator: Locator,
    found: RefCell<Vec<Option<Located>>>,
}

impl Finder {
    /// # Errors
    /// If the schema has no such fields.
    pub(crate) fn new(reader: &ReaderSchema, paths: &[FieldPath]) -> std::result::Result<Self, String> {
        let locator = Locator::new(&reader.schema, paths).map_err(|error| error.to_string())?;
        Ok(Self { locator, found: RefCell::default() })
    }

    /// Calls `each` with the fields of a record, in the order of their paths; none for a null.
    pub(crate) fn find<T>(&self, record: &[u8], each: impl FnOnce(&[Option<Located>]) -> T) -> Result<T> {
        let mut found = self.found.borrow_mut();
        self.locator
            .find(record, &mut found)
            .map_err(|error| Error::Internal(format!("a record that was read is none: {error}")))?;
        Ok(each(&found))
    }
}

/// The key of the records of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) paths: Vec<FieldPath>,
    /// The same for printing records.
    pub(crate) fields: Fields,
    finder: Finder,
}

impl Key {
    /// The key of these fields, like `id` and `customer.id`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the schema has no such field, or one is named twice.
    pub(crate) fn new(reader: &ReaderSchema, texts: &[String]) -> Result<Self> {
        let refused = |reason: String| Error::argument("key", reason);
        let path = |text: &String| text.parse::<FieldPath>().map_err(|error| refused(format!("key {text:?}: {error}")));
        let paths = texts.iter().map(path).collect::<Result<Vec<_>>>()?;
        if let Some(twice) = paths.iter().enumerate().find(|(at, path)| paths.iter().take(*at).any(|p| p == *path)) {
            return Err(refused(format!("key: field {} is named twice", twice.1)));
        }
        let finder = Finder::new(reader, &paths).map_err(|error| refused(format!("key: {error}")))?;
        let plain: Vec<String> = paths.iter().map(|path| path.names().join(".")).collect();
        let fields = Fields::new(plain.iter().map(String::as_str), &reader.schema)
            .map_err(|error: RecordError| refused(format!("key: {error}")))?;
        Ok(Self { paths, fields, finder })
    }

    /// Appends the key of a record: equal keys are equal bytes.
    pub(crate) fn of(&self, record: &[u8], key: &mut Vec<u8>) -> Result<()> {
        self.finder.find(record, |found| {
            for field in found {
                match field {
                    None => key.extend_from_slice(&u32::MAX.to_le_bytes()),
                    Some(field) => {
                        let bytes = field.bytes(record);
                        key.extend_from_slice(&(field.node.index() as u32).to_le_bytes());
                        key.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                        key.extend_from_slice(bytes);
                    }
                }
            }
        })
    }

    /// Calls `each` with the fields of the key in a record.
    pub(crate) fn fields_of<T>(&self, record: &[u8], each: impl FnOnce(&[Option<Located>]) -> T) -> Result<T> {
        self.finder.find(record, each)
    }

    /// The types that each field of the key may have.
    pub(crate) fn types(&self, reader: &ReaderSchema) -> Result<Vec<Vec<NodeId>>> {
        let of = |path: &FieldPath| {
            types_of(&reader.schema, path).map_err(|error| Error::argument("key", format!("key: {error}")))
        };
        self.paths.iter().map(of).collect()
    }
}

/// The fields of the records of a table, where these are records.
#[derive(Debug)]
pub(super) struct AllFields {
    pub(super) names: Vec<String>,
    finder: Option<Finder>,
}

impl AllFields {
    pub(super) fn new(reader: &ReaderSchema) -> Self {
        let names: Vec<String> = match &reader.schema.node(reader.schema.root()).kind {
            Kind::Record { fields, .. } => fields.iter().map(|field| field.name.clone()).collect(),
            _ => Vec::new(),
        };
        let paths: std::result::Result<Vec<_>, _> =
            names.iter().map(|name| FieldPath::new(vec![name.clone()])).collect();
        // Of a schema that is too large for that it is not said which fields changed.
        let finder = paths.ok().filter(|paths| !paths.is_empty()).and_then(|paths| Finder::new(reader, &paths).ok());
        Self { names, finder }
    }

    /// The names of the fields that differ, in the order of the schema.
    pub(super) fn changed(&self, before: &[u8], after: &[u8]) -> Result<Vec<&str>> {
        let Some(finder) = &self.finder else { return Ok(Vec::new()) };
        let was = finder.find(before, <[_]>::to_vec)?;
        let of = |field: &Option<Located>, record| -> Option<(NodeId, Vec<u8>)> {
            field.as_ref().map(|field| (field.node, Located::bytes(field, record).to_vec()))
        };
        finder.find(after, |is| {
            let pairs = self.names.iter().zip(was.iter().zip(is));
            pairs.filter(|(_, (was, is))| of(was, before) != of(is, after)).map(|(name, _)| &**name).collect()
        })
    }
}
