//! The schema of a container, as far as taking it apart needs it.

use std::sync::Arc;

use crate::avro::block::Trouble;
use crate::avro::columns::TypeTree;
use crate::avro::container::Header;
use crate::avro::schema::Schema;
use crate::chunk::RecordShape;

/// The schema of a container, compiled for walking its records.
#[derive(Debug)]
pub struct CompiledSchema {
    /// The schema, or why there is none to walk records with.
    schema: std::result::Result<Schema, Trouble>,
    /// CRC-64-AVRO fingerprint of the schema; 0 where there is none.
    fingerprint: u64,
    /// How to take its records apart into columns; none where they cannot be.
    shape: Option<Arc<RecordShape>>,
}

impl CompiledSchema {
    /// That of a container with this header.
    pub fn of(header: &Header) -> Self {
        let no_schema = || Trouble::Damaged("its header holds no schema that is a text".into());
        let text = header.schema_text().ok_or_else(no_schema);
        let schema = text.and_then(|text| Schema::parse(text).map_err(|error| Trouble::from(&error)));
        let fingerprint = schema.as_ref().map_or(0, Schema::fingerprint);
        let tree = schema.as_ref().ok().and_then(TypeTree::of_schema);
        let shape = tree.map(|tree| Arc::new(RecordShape { fingerprint, tree: tree.bytes().to_vec() }));
        Self { schema, fingerprint, shape }
    }

    /// Its CRC-64-AVRO fingerprint; 0 if it cannot be understood.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The schema itself, if it can be understood.
    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref().ok()
    }

    /// What is wrong with it: that there is none to walk records with, or that readers refuse it.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match &self.schema {
            Ok(schema) => schema.flaw().map(Trouble::from),
            Err(trouble) => Some(trouble.clone()),
        }
    }

    /// What its records are like; none where they cannot be taken apart into columns.
    pub fn shape(&self) -> Option<&Arc<RecordShape>> {
        self.shape.as_ref()
    }
}
