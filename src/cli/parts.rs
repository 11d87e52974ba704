//! Which Avro files a verb works on: files, folders and patterns of snapshots.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use avro_snap::ops::cat::ReaderSchema;
use avro_snap::ops::select::{Filter, Selector};
use avro_snap::read::Snapshot;
use avro_snap::store::Repository;
use avro_snap::tables::{TableError, Wanted};

use super::Context;
use super::cat::not_avro;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::pick::selector;

/// Parses `SNAPSHOT:PATH` of every argument. Whole snapshots hold more than one table, so that each must have a path.
pub(super) fn named(texts: &[OsString], example: &str) -> Result<Vec<Selector>> {
    let parsed = texts.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
    match parsed.iter().any(|selector| selector.path.is_empty()) {
        true => Err(Failure::Usage(format!("say which file, like `{example}`"))),
        false => Ok(parsed),
    }
}

/// Reads the schema that `--reader-schema` names.
pub(super) fn reader_schema(file: &Path) -> Result<ReaderSchema> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::Own {
        exit: Exit::Failed,
        code: "io",
        message: format!("read {}: {error}", file.display()),
        hint: Some("--reader-schema takes a file with an Avro schema as JSON, as `snap schema show` prints it".into()),
    })?;
    ReaderSchema::new(&text).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
}

/// What was asked for, for people.
pub(super) fn shown(wanted: &[Wanted]) -> String {
    wanted.iter().map(|one| String::from_utf8_lossy(one.path()).into_owned()).collect::<Vec<_>>().join(", ")
}

impl Context {
    /// What in which snapshots is meant.
    pub(super) fn wanted(
        &self,
        repository: &Arc<Repository>,
        selectors: Vec<Selector>,
        filter: &Filter,
    ) -> Result<Vec<Wanted>> {
        let mut listing = self.listing(repository);
        let mut wanted = Vec::with_capacity(selectors.len());
        for selector in selectors {
            let (root, path) = self.choose(&mut listing, selector, filter)?;
            wanted.push(Wanted::new(&Snapshot::of_root(repository, root), &path).map_err(Failure::of_arguments)?);
        }
        Ok(wanted)
    }
}

/// Why there is no table, with what helps.
pub(super) fn no_table(error: TableError) -> Failure {
    let message = error.to_string();
    let own =
        |code, hint: &str| Failure::Own { exit: Exit::Failed, code, message: message.clone(), hint: Some(hint.into()) };
    match error {
        TableError::Library(error) => Failure::Library(error),
        TableError::NotAvro { reason, .. } => not_avro(message, &reason),
        TableError::NoParts { .. } => own("not_avro", "`snap ls --long` shows which files are Avro files"),
        TableError::Disagree { .. } => own(
            "schemas_disagree",
            "--reader-schema FILE reads all with a schema of your own; or name fewer files, each table by itself",
        ),
        TableError::Unreadable { .. } => own(
            "schemas_disagree",
            "fields that the files do not have need a default in the schema; `snap schema ls` shows the schemas of the files",
        ),
        TableError::TooManySchemas { .. } => own("schemas_disagree", "name fewer files, each table by itself"),
        _ => Failure::plain(message, "`snap schema show` prints the schema of a file"),
    }
}
