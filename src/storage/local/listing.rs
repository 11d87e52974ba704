//! Listing the objects of a kind, in the order of their names.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::Path;

use rustix::fs::Stat;

use super::errors::During;
use super::{Local, folders};
use crate::storage::{Backend, Kind, Name, ObjectMeta, Result, named};

/// What a listing goes on with.
type Flow = ControlFlow<()>;

/// What the system says of the file of an object.
pub(super) fn meta(name: Name, stat: &Stat) -> ObjectMeta {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    ObjectMeta { modified: Some(folders::modified(stat)), ..ObjectMeta::new(name, size) }
}

impl Local {
    pub(super) fn list_objects(
        &self,
        kind: Kind,
        after: Option<&Name>,
        each: &mut dyn FnMut(ObjectMeta) -> Flow,
    ) -> Result<Flow> {
        match kind {
            Kind::Config => {
                for name in [Name::config(), Name::config_copy()].iter().filter(|name| after.is_none_or(|a| *name > a))
                {
                    if let Some(meta) = self.head(name)?
                        && each(meta).is_break()
                    {
                        return Ok(Flow::Break(()));
                    }
                }
                Ok(Flow::Continue(()))
            }
            Kind::Pack => {
                let packs = Path::new(kind.folder());
                let Some(folder) = self.existing(packs)? else { return Ok(Flow::Continue(())) };
                let mut folders = folders::names(&folder).during("list", self.path().join(packs))?;
                // A pack lies in the folder of its first two digits, so the order of folders is that of packs.
                let first = after.and_then(|after| after.file().get(..2)).unwrap_or("");
                folders.retain(|name| name.len() == 2 && name.as_os_str() >= OsStr::new(first));
                folders.sort_unstable();
                for name in folders {
                    if self.list_folder(kind, &packs.join(name), after, each)?.is_break() {
                        return Ok(Flow::Break(()));
                    }
                }
                Ok(Flow::Continue(()))
            }
            kind => self.list_folder(kind, Path::new(kind.folder()), after, each),
        }
    }

    /// Lists the objects in one folder.
    fn list_folder(
        &self,
        kind: Kind,
        relative: &Path,
        after: Option<&Name>,
        each: &mut dyn FnMut(ObjectMeta) -> Flow,
    ) -> Result<Flow> {
        let Some(folder) = self.existing(relative)? else { return Ok(Flow::Continue(())) };
        let path = self.path().join(relative);
        let mut names: Vec<Name> = Vec::new();
        for file in folders::names(&folder).during("list", &path)? {
            let Some(name) = file.to_str().map(|file| Name::new(kind, file)) else { continue };
            let is_object = Path::new(&name.to_string()) == relative.join(&file) && named(&name, "list").is_ok();
            if is_object && after.is_none_or(|after| name > *after) {
                names.push(name);
            }
        }
        names.sort_unstable();
        for name in names {
            // Of the entry itself, never of what a link points to. It may be gone by now.
            let found = folders::look(&folder, name.file()).during("stat", path.join(name.file()))?;
            let Some(stat) = found.filter(folders::is_file) else { continue };
            if each(meta(name, &stat)).is_break() {
                return Ok(Flow::Break(()));
            }
        }
        Ok(Flow::Continue(()))
    }
}
