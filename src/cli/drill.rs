//! `snap drill`

use std::ffi::OsString;
use std::path::PathBuf;

use avro_snap::error::IoContext;
use avro_snap::ops::drill::{Certificate, DrillOptions, NotOpened, Sample, attested, drill};
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, seconds, size};
use super::parity::warn_of_mended;
use super::pick::{Filters, selector};
use super::progress::Meter;

/// Restore a sample of a snapshot to a scratch folder, prove that it is what was saved, and certify it
///
/// Each file of the sample is restored, read again from the disk and compared with the hash of what was saved. Avro files are decoded by
/// a second reader (apache-avro), and their records counted. Nothing remains of the files. The certificate says what was tried out, when,
/// how long it took and the result. It is signed with the keys of the repository: --verify shows whether it was made by somebody
/// who has them, and not changed since. In a repository without encryption it has a checksum only, which everybody can make.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and perhaps a path in it [default: latest]
    #[arg(value_name = "SNAPSHOT[:PATH]", conflicts_with = "verify")]
    snapshot: Option<OsString>,

    /// How many regular files to restore: a number, or a share like 5%
    ///
    /// All files are as likely to be chosen, whatever they are.
    #[arg(long, value_name = "N|SHARE%", default_value_t = Sample::default(), conflicts_with = "verify")]
    sample: Sample,

    /// Choose the same files as another drill with this number [default: one that cannot be foreseen]
    #[arg(long, value_name = "NUMBER", conflicts_with = "verify")]
    seed: Option<u64>,

    /// Make the scratch folder in DIR [default: the system's folder for temporary files]
    ///
    /// It needs room for the largest files of the sample, one for each thread. Each is removed as soon as it was compared.
    #[arg(long, value_name = "DIR", conflicts_with = "verify")]
    scratch: Option<PathBuf>,

    /// Write the certificate to FILE, which must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with = "verify")]
    certificate: Option<PathBuf>,

    /// Check the signature of the certificate in FILE instead
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        if let Some(file) = &self.verify {
            return verify(context, file);
        }
        let selector = selector(self.snapshot.as_deref())?;
        let mut options = self.options();
        let named = [("--scratch", &self.scratch), ("--certificate", &self.certificate)];
        if let Some((flag, _)) =
            named.iter().find(|(_, path)| path.as_ref().is_some_and(|path| path.as_os_str().is_empty()))
        {
            return Err(Failure::Usage(format!("{flag} is empty: was a variable not set?")));
        }
        // Before the work, which may take hours.
        let certificate_file =
            self.certificate.as_deref().map(|file| std::fs::File::create_new(file).when("create", file));
        let mut certificate_file = certificate_file.transpose()?;
        let drilled = self.drilled(context, selector, &mut options).and_then(|certificate| {
            if let (Some(out), Some(file)) = (&mut certificate_file, &self.certificate) {
                let text =
                    serde_json::to_string_pretty(&certificate).map_err(std::io::Error::other).when("write", file)?;
                std::io::Write::write_all(out, format!("{text}\n").as_bytes()).when("write", file)?;
                out.sync_all().when("sync", file)?;
            }
            Ok(certificate)
        });
        if let (Err(_), Some(file)) = (&drilled, &self.certificate) {
            // It has nothing to certify.
            let _ = std::fs::remove_file(file);
        }
        let certificate = drilled?;
        let exit = match certificate.failed.iter().any(|file| file.is_damage) {
            _ if certificate.is_good() => Exit::Done,
            true => Exit::RestoredWithDamage,
            false => Exit::Failed,
        };
        context.finish_with(exit, print(context, &certificate))
    }

    fn drilled(
        &self,
        context: &Context,
        selector: avro_snap::ops::select::Selector,
        options: &mut DrillOptions,
    ) -> Result<Certificate> {
        let repository = context.open()?;
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        options.subfolder = path;
        options.in_use = context.own_folders(&context.repository_folder()?, &repository);
        let meter = Meter::new(&context.output);
        let drilled = drill(&repository, &snapshot, options, &meter);
        meter.finish();
        warn_of_mended(&context.output, &repository);
        drilled.map_err(Failure::of_arguments)
    }

    /// What the flags say, without what needs the repository.
    pub(super) fn options(&self) -> DrillOptions {
        DrillOptions::default().sample(self.sample).seed(self.seed).scratch(self.scratch.clone())
    }
}

fn print(context: &Context, certificate: &Certificate) -> Result<()> {
    let output = &context.output;
    if output.json {
        return Ok(output.object("summary", certificate)?);
    }
    let Certificate { files, bytes, files_of, bytes_of, records, failed, .. } = certificate;
    output.note(format_args!(
        "{} ({}) of {files_of} ({}) of snapshot {} restored and found to be what was saved, in {} ({}/s)",
        count(*files, "file"),
        size(*bytes),
        size(*bytes_of),
        certificate.snapshot_id.get(..8).unwrap_or_default(),
        seconds(certificate.duration_ms as f64 / 1000.0),
        size(certificate.bytes_per_sec)
    ))?;
    output.note(format_args!(
        "{} decoded by {}: {}",
        count(certificate.avro_files, "Avro file"),
        certificate.second_reader,
        count(*records, "record")
    ))?;
    for NotOpened { reason, files, example } in &certificate.not_opened {
        output.note(format_args!("not decoded: {}, such as {example}: {reason}", count(*files, "Avro file")))?;
    }
    output.note(format_args!("the same files again: --seed {} --sample {}", certificate.seed, certificate.sample))?;
    if !failed.is_empty() {
        let what = count(failed.len() as u64, "file");
        let hint = "`snap check --read-data` says what is lost and what helps";
        let hint = failed.iter().any(|file| file.is_damage).then_some(hint);
        output.error("not_restored", &format!("{what} did not come back as saved, as reported above"), hint);
    }
    Ok(())
}

/// Checks the signature of a certificate.
fn verify(context: &Context, file: &std::path::Path) -> Result<Exit> {
    let text = std::fs::read(file).when("read", file)?;
    let repository = context.open()?;
    let found = attested(&repository, &text).map_err(Failure::of_arguments)?;
    let output = &context.output;
    if output.json {
        output.object_with("verified", json!({"file": file.to_string_lossy()}), &found)?;
    } else if found.authentic {
        let by = match found.method.as_str() {
            "keys" => "signed with the keys of this repository, and not changed since",
            _ => "not changed, as far as a checksum shows that everybody can make: this repository has no keys",
        };
        output.note(format_args!("{}: {by}", file.display()))?;
        output.line(serde_json::to_string_pretty(&found.certificate).unwrap_or_default())?;
    }
    if let Some(reason) = &found.reason {
        output.error("not_authentic", &format!("{}: {reason}", file.display()), None);
    }
    Ok(if found.authentic { Exit::Done } else { Exit::Failed })
}
