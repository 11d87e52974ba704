//! `snap schema`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use avro_snap::avro::changes::changes;
use avro_snap::avro::compat::{Comparison, Obstacle};
use avro_snap::ops::schema::{FileSchema, What, log, log_table, ls, newest_of, schema_of};
use avro_snap::ops::select::manifest_path;
use avro_snap::read::Snapshot;
use avro_snap::report;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::snapshot::entry::EntryKind;
use avro_snap::store::Repository;
use avro_snap::tables::Wanted;
use serde_json::json;

use super::Context;
use super::cat::not_avro;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time};
use super::output::Output;
use super::parts::no_table;
use super::pick::{Filters, selector};
use super::table::Table;

/// Show the schemas of Avro files, and how they changed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List the different schemas of the files in a snapshot
    Ls(Ls),
    /// Print the schema of a file, or the one that reads all files of a folder or pattern
    ///
    /// Of several schemas that is the newest that reads all others by Avro's rules.
    Show(Show),
    /// Show how the schema of a path changed over all snapshots
    ///
    /// A line for each change, with what it means for readers: `full` (old and new read each other's files), `backward`
    /// (the new schema reads the old files), `forward` (the old schema reads the new files), `none`. This is schema
    /// resolution as the Avro specification has it, with defaults, promotions and aliases.
    ///
    /// A folder or pattern is a table: there is a line for each schema where a file first has it, compared with the newest schema
    /// of the table before, whatever the names of the files are.
    Log(Log),
    /// Compare the schemas of two files, folders or patterns
    Diff(Diff),
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Snapshot, and perhaps a path or pattern in it; may be repeated
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Vec<OsString>,

    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Snapshot, and the file, folder or pattern in it
    #[arg(value_name = "SNAPSHOT:PATH")]
    what: OsString,

    /// Print the Parsing Canonical Form: only what matters for reading records
    #[arg(long)]
    canonical: bool,

    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, clap::Args)]
struct Log {
    /// Path of the file or folder, as `snap ls` prints it, or a pattern
    #[arg(value_name = "PATH")]
    file: OsString,

    #[command(flatten)]
    filters: Filters,
}

#[derive(Debug, clap::Args)]
struct Diff {
    /// The earlier file, folder or pattern
    #[arg(value_name = "SNAPSHOT:PATH")]
    before: OsString,

    /// The later file, folder or pattern
    #[arg(value_name = "SNAPSHOT:PATH")]
    after: OsString,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match self.what {
            Sub::Ls(args) => args.run(context),
            Sub::Show(args) => args.run(context),
            Sub::Log(args) => args.run(context),
            Sub::Diff(args) => args.run(context),
        }
    }
}

fn named(schema: &FileSchema) -> String {
    format!("{} {}", schema.fingerprint(), schema.name())
}

fn warn_of_flaw(output: &Output, path: &[u8], schema: &FileSchema) {
    if let Some(flaw) = schema.flaw() {
        output
            .warn(&format!("{}: damaged schema, which readers of Avro refuse: {flaw}", String::from_utf8_lossy(path)));
    }
}

fn file_schema(repository: &Arc<Repository>, snapshot: &SnapshotRoot, path: &[u8]) -> Result<FileSchema> {
    if path.is_empty() {
        return Err(Failure::Usage("say which file, like latest:path/to/file.avro".into()));
    }
    let opened = Snapshot::of_root(repository, snapshot.clone());
    let wanted = Wanted::new(&opened, path).map_err(Failure::of_arguments)?;
    if wanted.is_pattern() || opened.dir(path).is_ok() {
        return newest_of(&[wanted]).map_err(no_table);
    }
    schema_of(repository, snapshot, path)?.map_err(|reason| {
        not_avro(format!("{} has no schema to be shown: {reason}", String::from_utf8_lossy(path)), &reason)
    })
}

/// Whether a path is a folder, or else a pattern, in any of the snapshots.
fn is_table<'a>(
    repository: &Arc<Repository>,
    snapshots: impl Iterator<Item = &'a SnapshotRoot>,
    path: &[u8],
) -> Result<bool> {
    let is_pattern = path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    for root in snapshots {
        let snapshot = Snapshot::of_root(repository, root.clone());
        if let Some(row) = snapshot.below(path).next().transpose()? {
            return Ok(row.path != path || row.kind == EntryKind::Directory);
        }
    }
    Ok(is_pattern)
}

impl Ls {
    fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let selectors = match self.snapshot.is_empty() {
            true => vec![selector(None)?],
            false => self.snapshot.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?,
        };
        let repository = Arc::new(context.open()?);
        let wanted = context.wanted(&repository, selectors, &self.filters.filter()?)?;
        let listed = ls(&wanted)?;
        if output.json {
            listed.iter().try_for_each(|listed| output.object("schema", listed))?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&["FINGERPRINT", "NAME", "FILES", "RECORDS", "EXAMPLE"], &[2, 3]).cutting(&[1, 4]);
        for listed in &listed {
            let (fingerprint, name) = match &listed.schema {
                Ok(schema) => (schema.fingerprint(), schema.name()),
                Err(reason) => ("-".into(), format!("({reason})")),
            };
            let example = String::from_utf8_lossy(&listed.example).into_owned();
            table.row(vec![fingerprint, name, listed.files.to_string(), listed.records.to_string(), example]);
        }
        table.print(output)?;
        for listed in &listed {
            if let Ok(schema) = &listed.schema {
                warn_of_flaw(output, &listed.example, schema);
            }
        }
        if let Some(root) = wanted.first().map(|one| one.snapshot().root()) {
            output.note(format_args!(
                "{} in snapshot {} ({})",
                count(listed.len() as u64, "schema"),
                root.id.short(),
                local_time(root.time)
            ))?;
        }
        Ok(Exit::Done)
    }
}

impl Show {
    fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let selector = selector(Some(&self.what))?;
        let repository = Arc::new(context.open()?);
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        let schema = file_schema(&repository, &snapshot, &path)?;
        if output.json {
            let mut object = json!(schema);
            if self.canonical {
                object["schema"] = schema.schema.canonical_form().into();
            }
            output.object_with("schema", object, report::Path(&path))?;
            return Ok(Exit::Done);
        }
        warn_of_flaw(output, &path, &schema);
        match self.canonical {
            true => output.line(schema.schema.canonical_form())?,
            false => output.line(output.path(pretty(&schema.text).as_bytes()))?,
        }
        Ok(Exit::Done)
    }
}

/// JSON with line breaks. Nothing but white space between its parts is changed, so the order of attributes stays.
fn pretty(text: &str) -> String {
    let (mut out, mut depth, mut in_text, mut escaped) = (String::new(), 0usize, false, false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        };
        match c {
            c if c.is_ascii_whitespace() => {}
            '{' | '[' => {
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                out.push(c);
                if let Some(end) = rest.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => {
                in_text = c == '"';
                out.push(c);
            }
        }
    }
    out
}

impl Log {
    fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let path = manifest_path(self.file.as_bytes()).map_err(|error| Failure::Usage(error.to_string()))?;
        let filter = self.filters.filter()?;
        let repository = Arc::new(context.open()?);
        let listing = context.listing(&repository);
        let events = match is_table(&repository, listing.fitting(&filter).rev(), &path)? {
            true => log_table(&repository, listing.fitting(&filter), &path).map_err(no_table)?,
            false => log(&repository, listing.fitting(&filter), &path)?,
        };
        if events.is_empty() {
            return Err(Failure::plain(
                format!("{} is in none of the snapshots", String::from_utf8_lossy(&path)),
                "give it as `snap ls` prints it; `snap find NAME` looks for files in all snapshots",
            ));
        }
        let several = events.iter().any(|event| event.snapshot.series != events[0].snapshot.series);
        for event in &events {
            if output.json {
                output.object_with("schema_event", json!(event), report::Path(&path))?;
                continue;
            }
            let said = match &event.what {
                What::Appeared(schema) => format!("{:<8}  {}", "first", named(schema)),
                What::Changed { after, comparison, .. } => {
                    format!("{:<8}  {}{}", comparison.verdict().name(), named(after), why(comparison))
                }
                What::NotAvro(reason) => format!("{:<8}  {reason}", "-"),
                What::Removed => format!("{:<8}", "removed"),
            };
            let series = if several { format!("  [{}]", event.snapshot.series) } else { String::new() };
            let (time, id) = (local_time(event.snapshot.time), event.snapshot.id.short());
            let line = format!("{time}  {id}  {}{series}", said.trim_end());
            output.line(output.path(line.as_bytes()))?;
        }
        Ok(Exit::Done)
    }
}

/// The first reason against each direction.
fn why(comparison: &Comparison) -> String {
    let first = |obstacles: &[Obstacle], who: &str| {
        obstacles.first().map(|obstacle| format!("  ({who}: {obstacle})")).unwrap_or_default()
    };
    let backward = first(&comparison.backward, "new does not read old");
    format!("{backward}{}", first(&comparison.forward, "old does not read new"))
}

impl Diff {
    fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let (before, after) = (selector(Some(&self.before))?, selector(Some(&self.after))?);
        let filter = self.filters.filter()?;
        let repository = Arc::new(context.open()?);
        let mut listing = context.listing(&repository);
        let (old, before) = context.choose(&mut listing, before, &filter)?;
        let (new, after) = context.choose(&mut listing, after, &filter)?;
        let old = file_schema(&repository, &old, &before)?;
        let new = file_schema(&repository, &new, &after)?;
        let comparison = Comparison::new(&old.schema, &new.schema);
        let changes = changes(&old.schema, &new.schema);
        for change in &changes {
            let text = match (&change.before, &change.after) {
                (Some(before), Some(after)) => format!("{before} -> {after}"),
                (before, after) => after.clone().or_else(|| before.clone()).unwrap_or_default(),
            };
            if output.json {
                output.object("change", change)?;
                continue;
            }
            let path = if change.path.is_empty() { "(the whole)" } else { &change.path };
            output.line(output.path(format!("{}  {path}: {text}", change.sign()).as_bytes()))?;
        }
        if output.json {
            let summary = json!({
                "changes": changes.len(),
                "same_text": old.text == new.text,
                "fingerprint_before": old.fingerprint(),
                "fingerprint_after": new.fingerprint(),
            });
            output.object_with("summary", summary, &comparison)?;
            return Ok(Exit::Done);
        }
        for (obstacles, who) in [
            (&comparison.backward, "the new does not read the old"),
            (&comparison.forward, "the old does not read the new"),
        ] {
            for obstacle in obstacles {
                output.line(output.path(format!("!  {who}: {obstacle}").as_bytes()))?;
            }
        }
        let same = match (old.text == new.text, changes.is_empty()) {
            (true, _) => "; the schemas are the same",
            (false, true) => "; only the text of the schemas differs (docs, order of attributes, values of defaults)",
            (false, false) => "",
        };
        output.line(format!("compatibility: {}{same}", comparison.verdict().name()))?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_gets_line_breaks_and_keeps_its_order() {
        let text = r#" {"z" :[ ],"a":{ },"t":"{\",\\" , "l":[1,{"x":null}]} "#;
        let expected = "{\n  \"z\": [],\n  \"a\": {},\n  \"t\": \"{\\\",\\\\\",\n  \"l\": [\n    1,\n    {\n      \"x\": null\n    }\n  ]\n}";
        assert_eq!(pretty(text), expected);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&pretty(text)), value(text));
    }
}
