//! What lies under a prefix and is not a repository's.

use super::Remote;
use super::tasks::Pages;
use crate::storage::{Kind, Name, Result};

impl Remote {
    /// A key under the prefix that no repository there would have made: the first of those that are listed first. None
    /// where nothing is there, or what a repository makes.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub fn stranger(&self) -> Result<Option<String>> {
        let pages = Pages::new(&self.store, &self.location.key(""), None, self.patience);
        let (_, page) = self.tasks.page(pages);
        let page = page.map_err(|failed| self.error(failed, "list", None))?.unwrap_or_default();
        let is_object = |key: &str| Kind::ALL.iter().any(|kind| self.location.object(*kind, key).is_some_and(is_real));
        Ok(page.iter().map(|meta| meta.location.as_ref()).find(|key| !is_object(key)).map(String::from))
    }
}

/// Of the config there are two, and they have no folder of their own.
fn is_real(name: Name) -> bool {
    name.kind() != Kind::Config || name == Name::config() || name == Name::config_copy()
}
