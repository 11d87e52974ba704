//! `count`: how many records tables hold.

use std::sync::Arc;

use serde::Serialize;

use super::cat::{CatError, CatFault};
use crate::avro::filter::{Expression, Filter};
use crate::read::avro_file::NotAvro;
use crate::report;
use crate::tables::{Fault, Reader, Table, TableError, Wanted};

/// Result of a `count`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CountReport {
    /// Records of all files.
    pub records: u64,
    /// Avro files.
    pub files: u64,
    /// Of these, files whose records were decoded to be counted: not sound when they were saved, or not looked into then.
    pub files_decoded: u64,
    /// Files that are no Avro files, and were passed over.
    pub files_passed_over: u64,
    /// Different schemas of the files.
    pub schemas: u64,
    /// What is wrong with files that were decoded, the first 100 of it.
    #[serde(serialize_with = "report::count")]
    pub faults: Vec<CatFault>,
    /// Avro files whose header, schema or codec cannot be read, the first 100 of them.
    #[serde(serialize_with = "report::count")]
    pub unreadable: Vec<(Vec<u8>, NotAvro)>,
}

/// How many faults are listed.
const LISTED: usize = 100;

/// Counts the records of the Avro files that are meant. Of files that were sound when they were saved their rows say it; all
/// others are decoded, and their sound records count.
///
/// # Errors
/// [`TableError`] but for schemas that do not go together, which is no obstacle to counting.
pub fn count(wanted: &[Wanted]) -> Result<CountReport, TableError> {
    let table = Table::find_parts(wanted)?;
    let mut report = CountReport {
        files: table.parts.len() as u64,
        files_passed_over: table.passed_over.files,
        schemas: table.schemas.len() as u64,
        unreadable: table.passed_over.listed.clone(),
        ..CountReport::default()
    };
    let mut unknown = vec![Vec::new(); table.schemas.len()];
    for part in &table.parts {
        match part.records() {
            Some(records) => report.records = report.records.saturating_add(records),
            None => unknown.get_mut(part.schema).into_iter().for_each(|parts| parts.push(part.clone())),
        }
    }
    for (schema, parts) in table.schemas.iter().zip(unknown) {
        if parts.is_empty() {
            continue;
        }
        report.files_decoded += parts.len() as u64;
        let some = Arc::new(Table { parts, ..table.clone() });
        let reader = Reader::of_schema(some.clone(), schema.schema.clone(), schema.text.clone());
        for batch in reader {
            let batch = batch?;
            report.records = report.records.saturating_add(batch.len());
            for fault in batch.faults {
                if report.faults.len() < LISTED {
                    let path = some.parts.get(batch.part).map(|part| part.path.to_vec()).unwrap_or_default();
                    report.faults.push(CatFault { path, fault });
                }
            }
        }
    }
    Ok(report)
}

/// Counts the records of which a condition is true, in the newest schema of the files. All files are decoded.
///
/// # Errors
/// As of [`cat`](super::cat::cat).
pub fn count_where(wanted: &[Wanted], condition: &Expression) -> Result<CountReport, CatError> {
    let table = Arc::new(Table::open(wanted)?);
    let reader = Reader::new(table.clone())?;
    let mut filter = Filter::new(condition, reader.schema())?;
    let files = table.parts.len() as u64;
    let mut report = CountReport {
        files,
        files_decoded: files,
        files_passed_over: table.passed_over.files,
        schemas: table.schemas.len() as u64,
        unreadable: table.passed_over.listed.clone(),
        ..CountReport::default()
    };
    for batch in reader {
        let batch = batch?;
        let (mut faults, mut matching) = (batch.faults.clone(), 0u64);
        if batch.same {
            // All are the same bytes, and may be more than can be looked at one by one.
            matching = if matches!(filter.matches(&batch.bytes), Ok(true)) { batch.count } else { 0 };
        } else {
            for (number, record) in batch.records_from(0) {
                match filter.matches(record) {
                    Ok(true) => matching += 1,
                    Ok(false) => {}
                    Err(error) => {
                        let record = Some(batch.before.saturating_add(number.saturating_sub(batch.first)));
                        faults.push(Fault { block: batch.block, record, reason: error.to_string() });
                    }
                }
            }
        }
        report.records = report.records.saturating_add(matching);
        for fault in faults {
            if report.faults.len() < LISTED {
                let path = table.parts.get(batch.part).map(|part| part.path.to_vec()).unwrap_or_default();
                report.faults.push(CatFault { path, fault });
            }
        }
    }
    Ok(report)
}
