//! Ctrl-C and other signals that end the program.
//!
//! Whatever the moment, the repository is intact: what counts in it was written whole before. So the program need not wait
//! for anything. It only gives long work a moment to end by itself, which tidies up (and publishes what was stored), then
//! it ends. A second signal ends it at once.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use avro_snap::runtime::CancelToken;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::exit::Exit;
use super::output::Output;

/// How long work may take to end by itself.
const GRACE: Duration = Duration::from_millis(500);
/// How long what serves may take for what clients are reading.
const SERVING_GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const STEP: Duration = Duration::from_millis(10);

/// What an interruption means to a verb.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// Nothing: it only reads.
    Reading,
    /// It changes something. How to go on.
    Changing(&'static str),
    /// It runs until then: that is how it ends.
    #[cfg_attr(not(any(feature = "mount", feature = "serve")), expect(dead_code))]
    Serving,
}

/// Ends all work when a signal came.
static TOKEN: OnceLock<CancelToken> = OnceLock::new();
/// Work is going on that ends by itself when a signal came.
static LISTENS: AtomicBool = AtomicBool::new(false);
/// Somebody says that it was interrupted.
static SAID: AtomicBool = AtomicBool::new(false);
/// The verb that runs, and whether it speaks JSON.
static VERB: OnceLock<(When, bool)> = OnceLock::new();

/// A file that another one takes the place of when it is whole.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Remembers a file that must not stay if the program ends at once; or that there is none any more.
pub(crate) fn set_unfinished(path: Option<PathBuf>) {
    *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = path;
}

/// Whether a signal said that the program is to end.
pub(crate) fn happened() -> bool {
    token().is_cancelled()
}

/// What ends all work when a signal came.
pub(crate) fn token() -> &'static CancelToken {
    TOKEN.get_or_init(CancelToken::default)
}

/// Work begins that ends by itself when a signal came, or is over.
pub(crate) fn listens(begins: bool) {
    LISTENS.store(begins, Ordering::Relaxed);
}

/// Says that it was interrupted, if that was not said.
pub(crate) fn end() -> Exit {
    if !SAID.swap(true, Ordering::Relaxed) {
        say();
    }
    Exit::Interrupted
}

fn say() {
    let (when, json) = VERB.get().copied().unwrap_or((When::Reading, false));
    let output = Output::new(json, true, false);
    match (when, json) {
        (When::Reading | When::Serving, _) => output.error("interrupted", "interrupted", None),
        (When::Changing(how), true) => {
            output.error("interrupted", "interrupted: the repository is intact", Some(how));
        }
        (When::Changing(how), false) => {
            output.error("interrupted", &format!("interrupted: the repository is intact; {how}"), None);
        }
    }
}

/// Waits for signals from now on. Where that is not possible, they end the program as they always did.
pub(crate) fn install(when: When, json: bool) {
    let _ = VERB.set((when, json));
    // The echo of the terminal is off while a password is typed.
    let terminal = Terminal::open();
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || wait(terminal.as_ref()));
}

/// `nohup` sets it to be ignored. That SIGINT is ignored (which shells do to what they start in the background) says
/// nothing: then it is meant.
fn signals() -> Vec<i32> {
    match is_ignored(SIGHUP) {
        true => vec![SIGINT, SIGTERM],
        false => vec![SIGINT, SIGTERM, SIGHUP],
    }
}

fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

fn wait(terminal: Option<&Terminal>) {
    let wanted = signals();
    let at_once = Arc::new(AtomicBool::new(false));
    for signal in &wanted {
        let shutdown =
            signal_hook::flag::register_conditional_shutdown(*signal, Exit::Interrupted as i32, at_once.clone());
        if shutdown.is_err() {
            return;
        }
    }
    let Ok(mut signals) = Signals::new(&wanted) else { return };
    if signals.forever().next().is_none() {
        return;
    }
    token().cancel();
    let serves = matches!(VERB.get(), Some((When::Serving, _)));
    let until = Instant::now() + if serves { SERVING_GRACE } else { GRACE };
    while LISTENS.load(Ordering::Relaxed) && Instant::now() < until && signals.pending().next().is_none() {
        std::thread::sleep(STEP);
    }
    // From here on a signal ends it, even if its output is not read.
    at_once.store(true, Ordering::Relaxed);
    avro_snap::files::remove_temporaries();
    if let Some(path) = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = std::fs::remove_file(path);
    }
    if SAID.swap(true, Ordering::Relaxed) {
        // The verb ends by itself.
        std::thread::sleep(GRACE);
    } else {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            // The progress bar stands there.
            let _ = stderr.write_all(b"\r\x1b[2K");
        }
        say();
    }
    if let Some(terminal) = terminal {
        terminal.restore();
    }
    signal_hook::low_level::exit(Exit::Interrupted as i32);
}

/// The terminal as it was when the program began.
struct Terminal {
    tty: std::os::fd::OwnedFd,
    before: Termios,
}

impl Terminal {
    fn open() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let tty = rustix::fs::open("/dev/tty", flags, Mode::empty()).ok()?;
        let before = tcgetattr(&tty).ok()?;
        Some(Self { tty, before })
    }

    /// Only if something changed it: a program in the background that touches its terminal is stopped.
    fn restore(&self) {
        if tcgetattr(&self.tty).is_ok_and(|now| now.local_modes != self.before.local_modes) {
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &self.before);
        }
    }
}
