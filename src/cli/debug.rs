//! `snap debug`

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use avro_snap::error::IoContext;
use avro_snap::ops::encoders::{BlockReport, EncoderOptions, encoders};
use avro_snap::report;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::count;
use super::output::{Output, printable};
use super::password::is_standard_input;

/// Look into how snap stores a file; for reports of what it does not know
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Show which encoders make the blocks of Avro files again
    ///
    /// Blocks are stored decoded if an encoder makes exactly their bytes again. For each block, the encoders that were tried are
    /// printed, with the first byte that differs. No repository is needed, and nothing is written.
    Encoders(Encoders),
}

#[derive(Debug, clap::Args)]
pub(super) struct Encoders {
    /// Avro files of this machine; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<OsString>,

    /// Look into this many blocks of each file; 0 for all
    #[arg(long, value_name = "N", default_value_t = EncoderOptions::default().blocks)]
    blocks: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match self.what {
            Sub::Encoders(args) => args.run(context),
        }
    }

    /// What the flags say.
    #[cfg(test)]
    pub(super) fn options(&self) -> EncoderOptions {
        let Sub::Encoders(args) = &self.what;
        args.options()
    }
}

impl Encoders {
    fn run(self, context: &Context) -> Result<Exit> {
        let options = self.options();
        for file in &self.files {
            let path = Path::new(file);
            if is_standard_input(path) {
                look_into(context, &options, path, &mut std::io::stdin().lock())?;
            } else {
                look_into(context, &options, path, &mut File::open(path).when("open", path)?)?;
            }
        }
        Ok(Exit::Done)
    }

    fn options(&self) -> EncoderOptions {
        EncoderOptions::default().blocks(self.blocks)
    }
}

fn look_into(context: &Context, options: &EncoderOptions, path: &Path, file: &mut dyn Read) -> Result<()> {
    let (output, name) = (&context.output, path.as_os_str().as_bytes());
    let mut read = |buffer: &mut [u8]| file.read(buffer).when("read", path);
    let found = encoders(options, &mut read, &mut |block| match output.json {
        true => output.object_with("block", json!(block), report::Path(name)),
        false => print_block(output, name, &block),
    })?;
    let Some(found) = found else {
        return Err(Failure::plain(
            format!("{} is no Avro file with a sound header", String::from_utf8_lossy(name)),
            "files of a snapshot are written by `snap dump SNAPSHOT PATH -o FILE`",
        ));
    };
    if output.json {
        output.object_with("file", json!(found), report::Path(name))?;
        return Ok(());
    }
    let more = if found.more { "; there are more, which --blocks 0 looks into" } else { "" };
    let keys: Vec<String> = found.metadata.iter().map(|key| one_line(key)).collect();
    output.note(format_args!(
        "{}: codec {}, metadata {}; an encoder makes {} of {}{more}",
        String::from_utf8_lossy(&output.path(name)),
        one_line(&found.codec),
        keys.join(", "),
        found.blocks_exact,
        count(found.blocks, "block"),
    ))?;
    Ok(())
}

fn print_block(output: &Output, name: &[u8], block: &BlockReport) -> avro_snap::error::Result<()> {
    let said = match (&block.encoder, &block.reason) {
        (Some(encoder), _) => format!("made again by {encoder}"),
        (None, Some(reason)) => reason.clone(),
        (None, None) => format!("no known encoder: {}", block.writer),
    };
    let decoded = block.bytes_decoded.map_or_else(|| "?".into(), |bytes| bytes.to_string());
    let mut line = output.path(name).into_owned();
    line.extend_from_slice(
        format!(
            ": block {}: {}, {} bytes of {decoded}: {}",
            block.block,
            count(block.records, "record"),
            block.bytes_payload,
            one_line(&said)
        )
        .as_bytes(),
    );
    output.line(line)?;
    for tried in &block.tried {
        match tried.differs_at {
            Some(at) => output.line(format!("  {:<32} differs at byte {at}", tried.encoder))?,
            None => output.line(format!("  {:<32} the same", tried.encoder))?,
        }
    }
    if let Some(bytes) = block.bytes_corrections {
        output.line(format!("  corrections of {bytes} bytes would do, which encrypted repositories keep"))?;
    }
    Ok(())
}

/// What a file says of itself may hold anything.
fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\x0a")
}
