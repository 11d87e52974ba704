//! What is shown while the work goes on: a bar on a terminal, `status` objects with `--json`, else nothing.

use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use avro_snap::progress::{Change, Phase, Progress, Warning};
use avro_snap::report;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::format::count;
use super::interrupt;
use super::output::{Output, printable};

/// How often something new is said.
const EVERY: Duration = Duration::from_millis(300);

/// Shows how far the work is.
pub(crate) struct Meter<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    status: bool,
    files: AtomicU64,
    bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
    totals_known: AtomicBool,
    shown: Mutex<Shown>,
}

struct Shown {
    phase: Phase,
    began: Instant,
    last: Instant,
    at: PathBuf,
}

impl<'a> Meter<'a> {
    /// Shows it where it belongs.
    pub(crate) fn new(output: &'a Output) -> Self {
        let bar = !output.quiet && !output.json && std::io::stderr().is_terminal();
        let now = Instant::now();
        interrupt::listens(true);
        Self {
            output,
            bar: bar.then(|| {
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8)).with_style(style(false))
            }),
            status: output.json && !output.quiet,
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total_files: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            totals_known: AtomicBool::new(false),
            shown: Mutex::new(Shown { phase: Phase::Index, began: now, last: now, at: PathBuf::new() }),
        }
    }

    /// The work is over: the bar goes away.
    pub(crate) fn finish(&self) {
        interrupt::listens(false);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how far it is, unless that was said just now or somebody else is saying it.
    fn tick(&self) {
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.last.elapsed() >= EVERY {
            shown.last = Instant::now();
            self.show(&shown);
        }
    }

    fn show(&self, shown: &Shown) {
        let (files, bytes) = (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let (all_files, all_bytes) =
            (self.total_files.load(Ordering::Relaxed).max(files), self.total_bytes.load(Ordering::Relaxed).max(bytes));
        let known = self.totals_known.load(Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            if known {
                bar.set_length(all_bytes);
            }
            bar.set_position(bytes);
            bar.set_message(format!("{}  {}", count(files, "file"), printable(&shown.at.to_string_lossy())));
        }
        if self.status {
            let elapsed = shown.began.elapsed().as_secs_f64();
            let done = match (all_bytes, all_files) {
                (0, 0) => 0.0,
                (0, all) => files as f64 / all as f64,
                (all, _) => bytes as f64 / all as f64,
            };
            let remaining = (known && done > 0.0).then(|| (elapsed / done - elapsed).round());
            let at = (!shown.at.as_os_str().is_empty()).then(|| shown.at.to_string_lossy().into_owned());
            // A reader who left is noticed when the summary is written.
            let _ = self.output.status(json!({
                "phase": name(shown.phase),
                "percent_done": if known { Some(done) } else { None },
                "files_done": files,
                "bytes_done": bytes,
                "total_files": known.then_some(all_files),
                "total_bytes": known.then_some(all_bytes),
                "seconds_elapsed": elapsed,
                "seconds_remaining": remaining,
                "current_file": at,
            }));
        }
    }
}

impl Progress for Meter<'_> {
    fn begin(&self, phase: Phase, total_files: Option<u64>, total_bytes: Option<u64>) {
        let mut shown = self.shown();
        let known = total_bytes.is_some() || total_files.is_some();
        for (counter, value) in [
            (&self.files, 0),
            (&self.bytes, 0),
            (&self.total_files, total_files.unwrap_or(0)),
            (&self.total_bytes, total_bytes.unwrap_or(0)),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
        self.totals_known.store(known, Ordering::Relaxed);
        *shown = Shown { phase, began: Instant::now(), last: Instant::now(), at: PathBuf::new() };
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_style(style(known));
            bar.set_prefix(name(phase));
            // The bar panics where it cannot start its thread; without one it moves whenever something is done.
            if std::thread::Builder::new().spawn(|| {}).is_ok() {
                bar.enable_steady_tick(EVERY);
            }
        }
        self.show(&shown);
    }

    fn more_ahead(&self, files: u64, bytes: u64) {
        self.total_files.fetch_add(files, Ordering::Relaxed);
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
        if !self.totals_known.swap(true, Ordering::Relaxed)
            && let Some(bar) = &self.bar
        {
            bar.set_style(style(true));
        }
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
        self.tick();
    }

    fn files(&self, count: u64) {
        self.files.fetch_add(count, Ordering::Relaxed);
        self.tick();
    }

    fn at(&self, path: &Path) {
        if (self.bar.is_some() || self.status)
            && let Ok(mut shown) = self.shown.try_lock()
        {
            shown.at = path.to_path_buf();
        }
    }

    fn done(&self, path: &Path) {
        if self.output.verbose {
            let say = || self.output.line(self.output.path(path.as_os_str().as_bytes()));
            // A reader who left is noticed when the summary is written.
            let _ = self.bar.as_ref().map_or_else(say, |bar| bar.suspend(say));
        }
    }

    fn change(&self, change: Change, path: &Path) {
        if self.status {
            let path = report::Path(path.as_os_str().as_bytes());
            let _ = self.output.object_with("change", json!({"change": change}), path);
        }
        if self.output.verbose {
            let sign: &[u8] = match change {
                Change::New => b"+ ",
                Change::Differs => b"M ",
                Change::Same => b"= ",
                Change::Deleted => b"- ",
            };
            let say = || self.output.line([sign, &self.output.path(path.as_os_str().as_bytes())].concat());
            // A reader who left is noticed when the summary is written.
            let _ = self.bar.as_ref().map_or_else(say, |bar| bar.suspend(say));
        }
    }

    fn warning(&self, warning: &Warning) {
        let code = match (warning.incomplete, self.shown().phase) {
            (true, Phase::Index | Phase::Create | Phase::Copy) => "unreadable",
            (true, Phase::Restore | Phase::Verify) => "not_restored",
            (
                true,
                Phase::Repair | Phase::CheckStructure | Phase::CheckData | Phase::Mark | Phase::Repack | Phase::Sweep,
            ) => "damaged",
            (false, _) => "note",
        };
        let say = || match (self.output.json, warning.incomplete) {
            (true, incomplete) => self.output.to_stderr(
                &json!({
                    "message_type": if incomplete { "error" } else { "warning" },
                    "code": code,
                    "path": warning.path,
                    "message": warning.message,
                    "hint": null,
                })
                .to_string(),
            ),
            (false, true) => self.output.error(code, &format!("{}: {}", warning.path, warning.message), None),
            (false, false) => self.output.warn(&format!("{}: {}", warning.path, warning.message)),
        };
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Index => "index",
        Phase::Create => "create",
        Phase::Copy => "copy",
        Phase::Restore => "restore",
        Phase::Verify => "verify",
        Phase::Repair => "repair",
        Phase::CheckStructure => "check",
        Phase::CheckData => "check data",
        Phase::Mark => "mark",
        Phase::Repack => "repack",
        Phase::Sweep => "sweep",
    }
}

/// One line, whatever the width: the longest variants take 74 columns without the message, which is cut; narrow terminals
/// get less.
fn style(totals_known: bool) -> ProgressStyle {
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col);
    let template = match (totals_known, columns) {
        (true, 80..) => "{prefix} {percent:>3}% [{bar:12}] {binary_bytes}/{binary_total_bytes}, {eta} left  {wide_msg}",
        (true, _) => "{prefix} {percent:>3}%  {wide_msg}",
        (false, 60..) => "{prefix} {spinner} {binary_bytes}  {binary_bytes_per_sec}  {elapsed}  {wide_msg}",
        (false, _) => "{prefix} {spinner}  {wide_msg}",
    };
    ProgressStyle::with_template(template).map_or_else(|_| ProgressStyle::default_bar(), |s| s.progress_chars("=> "))
}
