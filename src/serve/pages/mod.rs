//! Pages for people: made here as HTML with inline SVG. They need no script, follow the light or dark setting of the reader, and fit
//! a phone. Each figure stands in a table, too.

mod diff;
mod draw;
mod growth;
mod health;
mod home;
mod report;
mod series;
mod table;
mod words;

use std::sync::Arc;

use hyper::StatusCode;

use super::answer::{Answer, answer, plain_text};
use super::request::Asked;
use super::server::Context;
use super::text::{encoded, escaped};
use crate::error::{Error, Result};
use crate::live::Live;

pub use report::report;

/// The pages, each with the path that it stands at.
const PAGES: [(&str, &str); 3] = [("/", "Series"), ("/-/growth", "Growth"), ("/-/health", "Health")];

/// Answers a request for a page. None if the path is not that of one.
pub(super) async fn get(context: &Arc<Context>, asked: &Asked) -> Option<Result<Answer>> {
    type Page = fn(&Live, &Query) -> Result<String>;
    let page: Page = match asked.path.as_slice() {
        b"" => |live, _| Ok(home::page(live)),
        b"-/growth" => |live, _| growth::page(live),
        b"-/health" => |live, _| Ok(health::page(live)),
        b"-/series" => series::page,
        b"-/table" => table::page,
        b"-/diff" => diff::page,
        _ => return None,
    };
    let query = Query(asked.query.clone());
    let made = context.read(move |live| page(live, &query)).await;
    Some(match made {
        Ok(page) => Ok(answer(StatusCode::OK, "text/html; charset=utf-8", page)),
        Err(Error::NoSnapshot { .. } | Error::NoPath { .. }) => {
            Ok(plain_text(StatusCode::NOT_FOUND, "there is no such snapshot, series or path any more"))
        }
        Err(error) => Err(error),
    })
}

/// What a page is about.
struct Query(Vec<(Vec<u8>, Vec<u8>)>);

impl Query {
    fn bytes(&self, name: &str) -> Vec<u8> {
        let found = self.0.iter().find(|(key, _)| key == name.as_bytes());
        found.map_or_else(Vec::new, |(_, value)| value.clone())
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.bytes(name)).into_owned()
    }
}

/// The address of a page with what it is about.
fn link(page: &str, about: &[(&str, &[u8])]) -> String {
    let pairs: Vec<String> = about.iter().map(|(name, value)| format!("{name}={}", encoded(value, false))).collect();
    escaped(&format!("/-/{page}?{}", pairs.join("&")))
}

/// A page around its content.
pub(super) fn framed(title: &str, content: &str) -> String {
    let title = escaped(title);
    let links = PAGES.iter().map(|(path, name)| format!("<li><a href=\"{path}\">{name}</a></li>"));
    let links: String = links.chain(["<li><a href=\"/plain/\">Files</a></li>".to_owned()]).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title} · snap</title><style>{STYLE}</style></head>\n<body><header><nav \
         aria-label=\"Pages\"><ul>{links}</ul></nav></header>\n<main><h1>{title}</h1>\n{content}\n</main></body></html>\n"
    )
}

/// A table with headings of columns, and rows of cells that are HTML already. It scrolls by itself where the screen is narrow.
pub(super) fn table(caption: &str, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!(
        "<div class=\"scrolls\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        escaped(caption)
    );
    for heading in headings {
        text.push_str(&format!("<th scope=\"col\">{}</th>", escaped(heading)));
    }
    text.push_str("</tr></thead><tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for cell in row {
            text.push_str(&format!("<td>{cell}</td>"));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n");
    text
}

/// Colours have a contrast of at least 4.5 to 1 in both settings (WCAG 2.2, 1.4.3).
const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1b1b1b;--soft:#595959;--line:#d0d0d0;--link:#0b57a4;--good:#1a6b2f;--bad:#a61b1b;--bar:#2f6fb2}\
@media(prefers-color-scheme:dark){:root{--back:#161616;--text:#ececec;--soft:#a8a8a8;--line:#444;--link:#8ab8f0;--good:#7fd194;--bad:#ff9a8f;--bar:#6ea6e6}}\
body{margin:0;background:var(--back);color:var(--text);font:1rem/1.5 system-ui,sans-serif}\
main,header{max-width:70rem;margin:0 auto;padding:0 1rem}\
nav ul{display:flex;flex-wrap:wrap;gap:1.25rem;list-style:none;padding:.75rem 0;margin:0;border-bottom:1px solid var(--line)}\
a{color:var(--link)}h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin-top:2rem}\
.scrolls{overflow-x:auto}table{border-collapse:collapse;margin:.75rem 0}caption{text-align:left;color:var(--soft)}\
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}.soft{color:var(--soft)}\
.series{padding:.5rem 0;border-bottom:1px solid var(--line)}svg{width:100%;max-width:44rem;height:auto}svg text{fill:var(--soft);font-size:12px}\
svg .bar{fill:var(--bar)}svg .line{stroke:var(--bar);fill:none;stroke-width:2}svg .axis{stroke:var(--line)}pre{overflow-x:auto}code{overflow-wrap:anywhere}";
