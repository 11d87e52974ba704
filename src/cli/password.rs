//! Where passwords come from: never from the command line itself, which every user of the machine can read.

use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use avro_snap::error::Error;

use super::failure::{Failure, Result};
use super::globals::given;
use super::output::Output;
use super::words;

/// The longest password, in bytes. Anything longer is some other file.
const LONGEST: u64 = 64 << 10;

/// How many bytes are shown of what a password command writes to standard error.
const REMARKS: usize = 4 << 10;
/// ... and how many lines.
const REMARK_LINES: usize = 20;

/// Where one password comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// From a file.
    File(PathBuf),
    /// It is what a command prints.
    Command(String),
    /// From the environment.
    Given(Vec<u8>),
    /// It is asked for on the terminal.
    Terminal,
}

impl Source {
    /// Flags come first, then `<prefix>_PASSWORD_COMMAND` or `<prefix>_PASSWORD_FILE`, then `<prefix>_PASSWORD`, then the
    /// terminal.
    pub(crate) fn find(file: Option<&Path>, command: Option<&str>, prefix: &str) -> Result<Self> {
        let variable = |name: &str| given(&format!("{prefix}_{name}"));
        let from_flags = (file.map(Path::to_path_buf), command.map(str::to_owned));
        let (file, command) = match from_flags {
            (None, None) => {
                let command = variable("PASSWORD_COMMAND").map(|text| text.to_string_lossy().into_owned());
                (variable("PASSWORD_FILE"), command)
            }
            flags => flags,
        };
        match (file, command) {
            (Some(_), Some(_)) => Err(Failure::Usage(format!(
                "a password file and a password command are both given ({prefix}_PASSWORD_FILE, \
                 {prefix}_PASSWORD_COMMAND): give one"
            ))),
            (Some(file), None) => Ok(Self::File(file)),
            (None, Some(command)) => Ok(Self::Command(command)),
            (None, None) => Ok(match variable("PASSWORD") {
                Some(password) => Self::Given(password.into_os_string().into_vec()),
                None => Self::Terminal,
            }),
        }
    }

    /// Whether it would be read from standard input.
    pub(crate) fn is_standard_input(&self) -> bool {
        match self {
            Self::File(file) => is_standard_input(file),
            _ => false,
        }
    }

    /// The password. `what` says what for; a new one is asked for twice.
    pub(crate) fn password(&self, what: &str, new: bool, output: &Output) -> Result<Vec<u8>> {
        let password = match self {
            Self::File(file) => read_file(file, output)?,
            Self::Command(command) => run(command, output)?,
            Self::Given(password) => password.clone(),
            Self::Terminal => ask(what, new)?,
        };
        match password.is_empty() {
            true => Err(Failure::no_password(
                format!("the {what} is empty"),
                "an empty password protects nothing; `snap init --encryption none` makes a repository without one",
            )),
            false => Ok(password),
        }
    }
}

/// Whether this names standard input.
pub(crate) fn is_standard_input(file: &Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| file == Path::new(name))
}

fn read_file(file: &Path, output: &Output) -> Result<Vec<u8>> {
    let file = if file == Path::new("-") { Path::new("/dev/stdin") } else { file };
    let failed = |error: std::io::Error| {
        Failure::no_password(
            format!("cannot read the password file {}: {error}", file.display()),
            "check --password-file or SNAP_PASSWORD_FILE",
        )
    };
    let open = std::fs::File::open(file).map_err(failed)?;
    let stat = open.metadata().map_err(failed)?;
    if stat.is_file() && stat.mode() & 0o044 != 0 {
        output.warn(&format!(
            "the password file {} can be read by others (mode {:03o}); `chmod 600` it",
            file.display(),
            stat.mode() & 0o777
        ));
    }
    let mut password = Vec::new();
    open.take(LONGEST + 1).read_to_end(&mut password).map_err(failed)?;
    without_line_break(password, "password file")
}

fn run(command: &str, output: &Output) -> Result<Vec<u8>> {
    let words = words::split(command);
    // Its arguments may hold the password, so they are not shown.
    let called = words.iter().flatten().next().map_or_else(String::new, |program| format!(" {program:?}"));
    let failed = |reason: String| {
        Failure::no_password(
            format!("the password command{called} {reason}"),
            "no shell runs it: give a program and its arguments, or `sh -c '...'`",
        )
    };
    let words = words.as_ref().ok_or_else(|| failed("has a quote that is not closed".into()))?;
    let (program, arguments) = words.split_first().ok_or_else(|| failed("is empty".into()))?;
    let passes_on = std::io::stderr().is_terminal() && !output.json;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::inherit()).stdout(Stdio::piped());
    command.stderr(if passes_on { Stdio::inherit() } else { Stdio::piped() });
    let mut child = command.spawn().map_err(|error| failed(format!("cannot be run: {error}")))?;
    let remarks = child.stderr.take().map(Remarks::of).transpose();
    let mut password = Vec::new();
    let read = match child.stdout.take() {
        Some(stdout) if remarks.is_ok() => stdout.take(LONGEST + 1).read_to_end(&mut password),
        _ => Ok(0),
    };
    // One that prints on and on is stopped. What it printed is shown nowhere: it may be what somebody keeps secret.
    if read.is_err() || remarks.is_err() || password.len() as u64 > LONGEST {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    read.map_err(|error| failed(format!("cannot be read from: {error}")))?;
    let remarks = remarks.map_err(|error| failed(format!("cannot be read from: {error}")))?;
    let said = remarks.map(|remarks| remarks.without(&password)).unwrap_or_default();
    match (said.is_empty(), output.json) {
        (true, _) => {}
        (false, false) => {
            said.lines().take(REMARK_LINES).for_each(|line| output.warn(&format!("the password command says: {line}")));
        }
        // Whatever collects JSON keeps it, and reads no prompts.
        (false, true) => output.warn("the password command wrote to standard error, which is not shown with --json"),
    }
    match status.success() || password.len() as u64 > LONGEST {
        true => without_line_break(password, "output of the password command"),
        false => Err(failed(format!("failed ({status})"))),
    }
}

/// What a password command writes to standard error, where that is no terminal.
struct Remarks {
    text: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Remarks {
    /// Reads it all, so that the command does not wait, and keeps the beginning.
    fn of(mut stderr: ChildStderr) -> std::io::Result<Self> {
        let (text, (end, ended)) = (Arc::<Mutex<Vec<u8>>>::default(), mpsc::channel());
        let kept = text.clone();
        std::thread::Builder::new().spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = REMARKS.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
            let _ = end.send(());
        })?;
        Ok(Self { text, ended })
    }

    /// It as a text, in which something else stands for the password: a command that is traced (`sh -x`) may print it.
    fn without(self, password: &[u8]) -> String {
        // What the command left running may hold its standard error open for ever.
        let _ = self.ended.recv_timeout(Duration::from_secs(1));
        let text = std::mem::take(&mut *self.text.lock().unwrap_or_else(PoisonError::into_inner));
        let is_cut_off = text.len() >= REMARKS;
        let (text, password) = (String::from_utf8_lossy(&text), String::from_utf8_lossy(password));
        let password = password.trim();
        if password.is_empty() {
            return text.trim().to_owned();
        }
        let mut text = text.replace(password, "***");
        // The text may end within the password.
        let parts = password.char_indices().rev().filter_map(|(end, _)| password.get(..end));
        if let Some(part) = parts.filter(|part| !part.is_empty()).find(|part| is_cut_off && text.ends_with(part)) {
            text.truncate(text.len() - part.len());
        }
        text.trim().to_owned()
    }
}

fn without_line_break(mut password: Vec<u8>, what: &str) -> Result<Vec<u8>> {
    if password.len() as u64 > LONGEST {
        return Err(Failure::no_password(format!("the {what} is too long for a password"), "is it the right one?"));
    }
    if password.pop_if(|last| *last == b'\n').is_some() {
        password.pop_if(|last| *last == b'\r');
    }
    Ok(password)
}

fn ask(what: &str, new: bool) -> Result<Vec<u8>> {
    let none = || {
        Failure::no_password(
            format!("there is no {what}, and no terminal to ask for it"),
            "give it with --password-file, --password-command, SNAP_PASSWORD or SNAP_PASSWORD_FILE",
        )
    };
    if !std::io::stderr().is_terminal() {
        return Err(none());
    }
    let prompt = |what: String| {
        rpassword::prompt_password(what).map_err(|error| match error.kind() {
            // Ctrl-C: the terminal sends no signal for it while a password is typed.
            std::io::ErrorKind::Interrupted => Failure::Library(Error::Interrupted),
            _ => none(),
        })
    };
    let password = prompt(format!("{what}: "))?;
    if new && prompt(format!("{what}, again: "))? != password {
        return Err(Failure::no_password("the two passwords are not the same", "try again"));
    }
    Ok(password.into_bytes())
}
