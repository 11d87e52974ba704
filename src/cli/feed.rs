//! What `create` saves of a stream: standard input, or what a command writes.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use avro_snap::error::Error;
use avro_snap::ops::create::StreamSource;

use super::failure::Result;

/// Standard input, to be saved under this path.
pub(crate) fn standard_input(path: Vec<u8>) -> StreamSource {
    StreamSource { reader: Box::new(io::stdin()), path, shown: "standard input".into() }
}

/// Starts a command; what it writes to its standard output is to be saved under this path.
pub(crate) fn of_command(command: &[PathBuf], path: Vec<u8>) -> Result<StreamSource> {
    let words: Vec<OsString> = command.iter().map(|word| word.clone().into_os_string()).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Err(super::Failure::Usage("--stdin-from-command needs a command: -- CMD ARGS".into()));
    };
    let shown = format!("what {} writes", program.to_string_lossy());
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| Error::io("start", program, error))?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Error::io("start", program, io::Error::other("its output cannot be read")).into());
    };
    let output = CommandOutput { child, stdout: Some(stdout), verdict: None };
    Ok(StreamSource { reader: Box::new(output), path, shown })
}

/// The output of a command. Its end is an error unless the command says that all went well: half a dump is no dump.
struct CommandOutput {
    child: Child,
    stdout: Option<ChildStdout>,
    verdict: Option<ExitStatus>,
}

impl Read for CommandOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(stdout) = &mut self.stdout {
            match stdout.read(buffer)? {
                0 => self.stdout = None,
                count => return Ok(count),
            }
        }
        let verdict = match self.verdict {
            Some(verdict) => verdict,
            None => *self.verdict.insert(self.child.wait()?),
        };
        match verdict.success() {
            true => Ok(0),
            false => Err(io::Error::other(format!("the command {}, so there is no snapshot", ended(verdict)))),
        }
    }
}

impl Drop for CommandOutput {
    fn drop(&mut self) {
        if self.verdict.is_none() {
            // The rest of it is not needed.
            self.stdout = None;
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn ended(verdict: ExitStatus) -> String {
    match (verdict.code(), verdict.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "did not end well".into(),
    }
}
