//! All that the pages say first, as one file for mail and archives.

use super::super::text::escaped;
use super::words::minute;
use super::{growth, health, home};
use crate::error::Result;
use crate::live::Live;
use crate::ops::overview::Overview;

/// The report. Its links lead nowhere but within it.
///
/// # Errors
/// Errors of reading the snapshots.
pub fn report(live: &Live, found: &Overview) -> Result<String> {
    let title = format!("Snapshots on {} UTC", minute(found.time));
    let parts =
        [("Series", home::content(live, found)), ("Growth", growth::content(live)?), ("Health", health::content(live))];
    let content: String =
        parts.iter().map(|(name, part)| format!("<section><h2>{name}</h2>\n{part}</section>\n")).collect();
    Ok(without_links(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{0}</title><style>{1}</style></head>\n<body><main><h1>{0}</h1>\n{content}</main></body></html>\n",
        escaped(&title),
        super::STYLE
    )))
}

/// Pages of a server that is not there cannot be followed.
fn without_links(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(start) = rest.find("<a href=") {
        text.push_str(&rest[..start]);
        let end = rest[start..].find('>').map_or(rest.len(), |end| start + end + 1);
        rest = &rest[end..];
    }
    text.push_str(rest);
    text.replace("</a>", "")
}
