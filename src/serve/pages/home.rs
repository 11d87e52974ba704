//! The first page: one sentence for each series, and what is known of the repository.

use super::super::text::escaped;
use super::words::{ago, count, length, minute, size};
use super::{framed, link};
use crate::live::Live;
use crate::ops::overview::{Due, Health, Overview, SeriesOverview, overview};

pub(super) fn page(live: &Live) -> String {
    let found = overview(live.repository(), &live.listing());
    framed("Snapshots", &content(live, &found))
}

pub(super) fn content(live: &Live, found: &Overview) -> String {
    let mut content = String::new();
    if let Some(trouble) = live.trouble() {
        content.push_str(&format!("<p class=\"bad\">What stands here may be old: {}</p>\n", escaped(&trouble)));
    }
    if found.series.is_empty() {
        content.push_str("<p>There is no snapshot yet.</p>\n");
    }
    // What needs somebody comes first.
    let (late, fine): (Vec<_>, Vec<_>) = found.series.iter().partition(|series| !series.is_sound());
    for series in late.into_iter().chain(fine) {
        content.push_str(&sentence(series, found.time));
    }
    content.push_str(&format!("<h2>Repository</h2>\n<p>{}</p>\n", health(&found.health, found.time)));
    content
}

/// One series in a sentence.
fn sentence(series: &SeriesOverview, now: i64) -> String {
    let SeriesOverview { series: name, snapshots, last, rhythm, due, .. } = series;
    let address = link("series", &[("name", name.as_bytes())]);
    let rhythm = rhythm.map(|rhythm| length(rhythm / 1_000_000_000)).unwrap_or_default();
    let due = match due {
        Due::OnTime => format!("<span class=\"good\">on time</span> (usually every {rhythm})"),
        Due::Overdue => format!("<span class=\"bad\">overdue</span>: one is made every {rhythm} usually"),
        Due::Unknown => "too few to know when the next one is due".into(),
    };
    let unread = match last.totals.unreadable {
        0 => String::new(),
        number => format!("; <span class=\"bad\">{} could not be read</span>", count(number, "file")),
    };
    format!(
        "<p class=\"series\"><a href=\"{address}\"><strong>{}</strong></a>: {} UTC ({}), {due}; {}, {}{unread}. <span \
         class=\"soft\">{} in all.</span></p>\n",
        escaped(name),
        minute(last.time),
        ago(last.time, now),
        count(last.totals.files, "file"),
        size(last.totals.bytes),
        count(*snapshots as u64, "snapshot")
    )
}

/// What is known of the repository, in sentences.
pub(super) fn health(health: &Health, now: i64) -> String {
    let mut text = match (health.packs, health.packs_verified, health.oldest_check, health.newest_check) {
        (0, ..) => "It holds no pack yet.".into(),
        (_, 0, ..) => "This machine has verified no pack yet: <code>snap check --read-data</code> does.".into(),
        (_, _, Some(oldest), _) => {
            format!("All packs were read and found sound, the first of them {}.", ago(oldest, now))
        }
        (packs, verified, None, newest) => format!(
            "{} of {} were read and found sound, the last of them {}.",
            verified,
            count(packs, "pack"),
            newest.map_or_else(|| "at an unknown time".into(), |newest| ago(newest, now))
        ),
    };
    match (health.packs_damaged, health.unreadable.len()) {
        (0, 0) => text.push_str(" <span class=\"good\">Nothing is known to be damaged.</span>"),
        (packs, snapshots) => text.push_str(&format!(
            " <span class=\"bad\">{} damaged, {} cannot be read.</span>",
            count(packs, "pack"),
            count(snapshots as u64, "snapshot")
        )),
    }
    text
}
