//! Files and folders over plain HTTP.

use std::sync::Arc;

use hyper::{StatusCode, header};

use super::answer::{Answer, answer, file, plain_text, set};
use super::keys::{Place, find};
use super::pages::{framed, table};
use super::request::Asked;
use super::server::Context;
use super::text::{encoded, escaped, iso_date};
use crate::error::Result;
use crate::live::Live;
use crate::read::Snapshot;
use crate::recipe::View;

/// How many things of a folder a page shows.
const SHOWN: usize = 2000;

/// What a path stands for, found in a thread that may read.
enum Found {
    File(Snapshot, View, Vec<u8>),
    Folder(String),
    /// The same path with a `/` at its end.
    Moved,
    Nothing,
}

/// Answers a request for a file or folder.
pub(super) async fn get(context: &Arc<Context>, asked: &Asked) -> Result<Answer> {
    let (path, after) = (asked.path.clone(), asked.value("after").map(<[u8]>::to_vec));
    let found = context.read(move |live| look(live, &path, after.as_deref())).await?;
    match found {
        Found::File(snapshot, view, path) => {
            let open = context.read(move |live| live.open(&snapshot, view, &path)).await?;
            file(asked, open, context.reads()).await
        }
        Found::Folder(page) => Ok(answer(StatusCode::OK, "text/html; charset=utf-8", page)),
        Found::Moved => {
            let mut moved = plain_text(StatusCode::MOVED_PERMANENTLY, "this is a folder");
            set(&mut moved, header::LOCATION, &format!("{}/", asked.raw_path));
            Ok(moved)
        }
        Found::Nothing => {
            Ok(plain_text(StatusCode::NOT_FOUND, "there is no such file or folder in the snapshots that are served"))
        }
    }
}

fn look(live: &Live, path: &[u8], after: Option<&[u8]>) -> Result<Found> {
    Ok(match find(live, path)? {
        None => Found::Nothing,
        Some(Place::File(snapshot, view, entry)) => Found::File(snapshot, view, entry.path.clone()),
        Some(_) if !path.ends_with(b"/") => Found::Moved,
        Some(folder) => Found::Folder(page(live, &folder, path, after)?),
    })
}

/// A page that shows what is in a folder.
fn page(live: &Live, folder: &Place, path: &[u8], after: Option<&[u8]>) -> Result<String> {
    let children = folder.children_after(live, after, SHOWN)?;
    let up = vec!["<a href=\"../\">../</a>".to_owned(), String::new(), String::new()];
    let rows = children.iter().map(|child| {
        let slash = if child.is_folder() { "/" } else { "" };
        let (link, name) = (encoded(&child.name, false), escaped(&String::from_utf8_lossy(&child.name)));
        let (size, time) = child
            .file
            .as_ref()
            .map_or_else(Default::default, |entry| (entry.size.to_string(), iso_date(entry.mtime.seconds)));
        // The `./` keeps a name with a colon from being read as the scheme of a URL.
        vec![format!("<a href=\"./{link}{slash}\">{name}{slash}</a>"), size, time]
    });
    let headings = ["Name", "Bytes as saved", "Last change (UTC)"];
    let mut content = table("What is in it", &headings, std::iter::once(up).chain(rows));
    if let Some(last) = children.last().filter(|_| children.len() == SHOWN) {
        content.push_str(&format!("<p><a href=\"?after={}\">More</a></p>", encoded(&last.name, false)));
    }
    Ok(framed(&format!("/{}", String::from_utf8_lossy(path)), &content))
}
