//! The files of a table on one side, and how their records are read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::avro::codec::Codec;
use crate::avro::resolve::Resolver;
use crate::avro::schema::Schema;
use crate::error::{Cause, Context, Error, Result};
use crate::read::avro_file::{AvroFile, NotAvro, header_of};
use crate::recipe::{AvroState, ContainerRecipe, Recipe, Stream};
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;

/// A schema that records are read with.
#[derive(Debug)]
pub struct ReaderSchema {
    /// Compiled.
    pub schema: Arc<Schema>,
    /// As it stands in the header of a file.
    pub text: Arc<str>,
}

/// A schema that files were written with.
#[derive(Debug)]
pub(crate) struct WriterSchema {
    pub(super) schema: Schema,
    /// Equal bytes of schemas with the same number are equal records as they are read.
    pub(super) meaning: u32,
    /// How records become what they are read as; none where they are that already.
    pub(super) resolver: Option<Resolver>,
}

/// A file of a table.
#[derive(Debug)]
pub(crate) struct TableFile {
    pub(super) entry: FileEntry,
    pub(super) schema: Arc<WriterSchema>,
    pub(super) codec: Codec,
    /// Of a container that was taken apart.
    recipe: Option<Box<ContainerRecipe>>,
}

impl TableFile {
    /// The recipe, if all blocks of the file hold the records that they declare.
    pub(super) fn sound_recipe(&self) -> Option<&ContainerRecipe> {
        let facts = self.entry.avro.as_ref()?;
        let is_sound = matches!(facts.state, AvroState::Ok | AvroState::HeaderOnly)
            && facts.verified_records == facts.declared_records;
        self.recipe.as_deref().filter(|_| is_sound)
    }

    /// How many records it holds, as far as that is known without reading it.
    pub(super) fn records(&self) -> u64 {
        self.entry.avro.as_ref().map_or(0, |facts| facts.verified_records)
    }

    /// How many bytes have to be read for its records, about.
    pub(super) fn length(&self) -> u64 {
        match &self.recipe {
            Some(recipe) => recipe.records.length().saturating_add(recipe.payloads.length()),
            None => self.entry.size,
        }
    }

    /// An error about its records.
    pub(super) fn no_records(&self, source: impl Into<Cause>) -> Error {
        Error::NoRecords { path: String::from_utf8_lossy(&self.entry.path).into_owned(), source: source.into() }
    }
}

/// Opens files of a table, whose records are all read with one schema.
pub(crate) struct Opener<'r> {
    repository: &'r Repository,
    reader: &'r ReaderSchema,
    /// Headers of one writer are the same bytes, so few of them are read.
    by_header: HashMap<Vec<u8>, (Arc<WriterSchema>, Codec)>,
    by_text: HashMap<String, Arc<WriterSchema>>,
}

impl<'r> Opener<'r> {
    pub(crate) fn new(repository: &'r Repository, reader: &'r ReaderSchema) -> Self {
        Self { repository, reader, by_header: HashMap::new(), by_text: HashMap::new() }
    }

    /// A regular file.
    ///
    /// # Errors
    /// [`Error::NoRecords`] if it is no Avro file, or its records cannot be read with the schema; errors of reading the header.
    pub(crate) fn open(&mut self, entry: FileEntry) -> Result<TableFile> {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let refused = |source: Cause| Error::NoRecords { path: path.clone(), source };
        let recipe = match entry.recipe.is_empty() {
            true => return Err(refused(NotAvro::NoContainer.into())),
            false => Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {path}"))?,
        };
        let key = match &recipe {
            Recipe::Plain(_) => None,
            Recipe::Container(container) => match &container.header {
                Stream::Inline(bytes) => Some(bytes.clone()),
                Stream::Tree(tree) => Some(tree.root.id.as_bytes().to_vec()),
                Stream::Empty => None,
            },
        };
        let known = key.as_ref().and_then(|key| self.by_header.get(key)).cloned();
        let (schema, codec) = match known {
            Some(known) => known,
            None => {
                let header = match &recipe {
                    Recipe::Container(container) => header_of(self.repository, container)?,
                    Recipe::Plain(_) => {
                        let file = AvroFile::open(self.repository, &entry)?;
                        file.map_err(|reason| refused(reason.into()))?.header().clone()
                    }
                };
                let text = header.schema_text().ok_or_else(|| refused(NotAvro::NoSchema.into()))?;
                let name = header.codec_name();
                let codec = Codec::from_name(name).ok_or_else(|| refused(NotAvro::Codec(name.to_owned()).into()))?;
                (self.schema(text).map_err(refused)?, codec)
            }
        };
        if let Some(key) = key {
            self.by_header.insert(key, (schema.clone(), codec));
        }
        let recipe = match recipe {
            Recipe::Container(container) => Some(container),
            Recipe::Plain(_) => None,
        };
        Ok(TableFile { entry, schema, codec, recipe })
    }

    fn schema(&mut self, text: &str) -> std::result::Result<Arc<WriterSchema>, Cause> {
        if let Some(known) = self.by_text.get(text) {
            return Ok(known.clone());
        }
        let schema = Schema::parse(text).map_err(NotAvro::Schema)?;
        if schema.always_empty() {
            return Err("its records take no bytes, so none differs from another".into());
        }
        let resolver = Resolver::new(&schema, &self.reader.schema).map_err(|obstacles| {
            let first = obstacles.first().map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
            format!("its schema does not go together with that of the newest file{first}")
        })?;
        let is_same = resolver.is_identity();
        let meaning = if is_same { 0 } else { self.by_text.len() as u32 + 1 };
        let schema = Arc::new(WriterSchema { schema, meaning, resolver: (!is_same).then_some(resolver) });
        self.by_text.insert(text.to_owned(), schema.clone());
        Ok(schema)
    }
}
