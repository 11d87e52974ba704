//! `snap cat`

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use avro_snap::avro::filter::{Expression, FilterError};
use avro_snap::avro::records::{Encoding, RecordError};
use avro_snap::error::Error;
use avro_snap::ops::cat::{CatError, CatFormat, CatOptions, Given, cat};
use avro_snap::read::avro_file::NotAvro;
use avro_snap::values::comma_list;

use super::Context;
use super::elsewhere;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::count;
use super::parity::warn_of_mended;
use super::parts::{named, no_table, reader_schema, shown};
use super::pick::Filters;

/// Print the records of Avro files
///
/// A file, a folder, a pattern like 'latest:orders/*.avro', or several of these: all their Avro files are one table, and its
/// records come in one schema. That is the newest of their schemas that reads all others by Avro's rules, or the one of
/// --reader-schema. Other files are passed over.
///
/// JSON, one record per line: numbers, texts, lists and objects as one would expect; the value of a union without the
/// name of its branch; bytes and fixed as texts of the characters 0 to 255; decimals, dates, times, timestamps,
/// durations and UUIDs as texts ("12.30", "2026-03-01T12:30:00.000Z"; years outside of 0 to 9999 with a sign); NaN and
/// infinities as texts, too. With `--json-encoding avro` as Avro's own JSON encoding: unions with the name of their
/// branch, logical types as the numbers and bytes that they are.
///
/// The sound records of a damaged file are printed, its faults are reported, and the exit code is 3. A record with a string
/// that is not UTF-8 is printed with U+FFFD in place of the invalid bytes; that is reported once, and the exit code is 3, too
/// (`--format avro` prints such strings as they are).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and the file, folder or pattern in it; may be repeated
    #[arg(required = true, value_name = "SNAPSHOT:PATH")]
    what: Vec<OsString>,

    /// Read all records with the Avro schema in this file, in place of the newest of the files
    #[arg(long, value_name = "FILE")]
    reader_schema: Option<PathBuf>,

    /// Print only records of which CONDITION is true, like "status = 'open' and total > 100"
    ///
    /// Comparisons with numbers and 'texts', `in (..)`, `between .. and ..`, `like 'a%'`, `is null`, `and`, `or`, `not`, parentheses;
    /// fields within others are a.b. Dates, times, decimals and UUIDs compare with texts as they are printed. --skip and --limit
    /// count the records that are left.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<Expression>,

    /// Print at most N records
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,

    /// Skip the first N records; files and blocks that are skipped whole are not read
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,

    /// Print only these fields, like `id,address.city`
    #[arg(long, value_name = "FIELD,...")]
    fields: Vec<String>,

    /// JSON lines, or an Avro file without compression
    #[arg(long, value_name = "FORMAT", default_value = "json", value_enum)]
    format: Format,

    /// How JSON is written: for people and tools that do not know Avro, or in Avro's own JSON encoding
    #[arg(long, value_name = "ENCODING", default_value = "plain", value_enum)]
    json_encoding: JsonEncoding,

    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum JsonEncoding {
    Plain,
    Avro,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Avro,
}

impl Args {
    /// What the flags say.
    pub(super) fn options(&self) -> CatOptions {
        CatOptions::default()
            .r#where(self.condition.clone())
            .skip(self.skip)
            .limit(self.limit)
            .fields(self.fields.iter().flat_map(|list| comma_list(list)))
            .format(match self.format {
                Format::Json => CatFormat::Json,
                Format::Avro => CatFormat::Avro,
            })
            .json_encoding(match self.json_encoding {
                JsonEncoding::Plain => Encoding::Plain,
                JsonEncoding::Avro => Encoding::Avro,
            })
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        // restic's `cat` prints objects of the repository: `cat snapshot ID`.
        let what = self.what.first().map(|what| what.to_string_lossy()).unwrap_or_default();
        if let Some(answer) = elsewhere::object(&what) {
            return Err(Failure::Usage(format!(
                "`snap cat` prints the records of Avro files, and no {what}: {answer}"
            )));
        }
        let named = named(&self.what, "snap cat latest:path/to/file.avro")?;
        let options = self.options();
        let others = [
            (output.json, "--json"),
            (!options.fields.is_empty(), "--fields"),
            (self.json_encoding == JsonEncoding::Avro, "--json-encoding avro"),
        ];
        if self.format == Format::Avro
            && let Some((_, other)) = others.iter().find(|(given, _)| *given)
        {
            return Err(Failure::Usage(format!("--format avro and {other} do not go together")));
        }
        let given = self.reader_schema.as_deref().map(reader_schema).transpose()?;
        let repository = Arc::new(context.open()?);
        let wanted = context.wanted(&repository, named, &self.filters.filter()?)?;
        let report = cat(&wanted, given.as_ref(), &options, &mut |given| match given {
            Given::Bytes(bytes) => output.bytes(bytes),
            // The record is JSON already; it is not read again only to be wrapped.
            Given::Record(ordinal) if output.json => {
                output.bytes(format!(r#"{{"message_type":"record","ordinal":{ordinal},"record":"#).as_bytes())
            }
            Given::Record(_) => Ok(()),
            Given::Json(json) => output.bytes(json.as_bytes()),
            Given::End => output.line(if output.json { "}" } else { "" }),
        });
        warn_of_mended(output, &repository);
        let report = report.map_err(failure)?;
        output.flush()?;
        let shown = shown(&wanted);
        for fault in &report.faults {
            output.error("unsound", &fault.to_string(), None);
        }
        for (path, reason) in &report.unreadable {
            output.error("unsound", &format!("{}: {reason}", String::from_utf8_lossy(path)), None);
        }
        if report.lossy_records > 0 {
            let records = count(report.lossy_records, "record");
            let message = format!(
                "{shown}: {records} printed with strings that are not UTF-8: U+FFFD stands for what cannot be written in JSON"
            );
            output.error("not_utf8", &message, Some("`--format avro` prints them as they are"));
        }
        if output.json {
            output.object("summary", &report)?;
        }
        match (report.faults.len() + report.unreadable.len()) as u64 {
            0 if report.lossy_records > 0 => Ok(Exit::Incomplete),
            0 => Ok(Exit::Done),
            faults => {
                let message = format!(
                    "{shown} cannot be printed whole: {} printed, {} found",
                    count(report.records, "record"),
                    count(faults, "fault")
                );
                output.error("unsound", &message, Some("the file itself can be restored as it was: see `snap dump`"));
                Ok(Exit::Incomplete)
            }
        }
    }
}

/// What `cat` says, with what helps.
pub(super) fn failure(error: CatError) -> Failure {
    let message = error.to_string();
    match error {
        CatError::Library(Error::WrongKind { .. }) => {
            Failure::plain(message, "`snap ls --long` shows which files are Avro files")
        }
        CatError::Library(error) => Failure::Library(error),
        CatError::Table(error) => no_table(error),
        CatError::Filter(error) => no_condition(&error),
        CatError::Fields(RecordError::NoField { .. }) => Failure::Own {
            exit: Exit::Usage,
            code: "no_field",
            message,
            hint: Some("`snap schema show SNAPSHOT:PATH` shows all fields".into()),
        },
        _ => Failure::plain(message, "`snap dump` writes the file as it is"),
    }
}

/// A condition that does not go with a schema.
pub(super) fn no_condition(error: &FilterError) -> Failure {
    Failure::Own {
        exit: Exit::Usage,
        code: "condition",
        message: error.to_string(),
        hint: Some("`snap schema show SNAPSHOT:PATH` shows all fields".into()),
    }
}

/// A file that is no Avro file that can be looked into.
pub(super) fn not_avro(message: String, reason: &NotAvro) -> Failure {
    let hint = match reason {
        NotAvro::NoContainer => "`snap ls --long` shows which files are Avro files; `snap dump` writes any file",
        _ => "`snap dump` writes the file as it is",
    };
    Failure::Own { exit: Exit::Failed, code: "not_avro", message, hint: Some(hint.into()) }
}
