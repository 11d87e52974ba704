//! The names of users and groups, each asked for once.

use std::collections::HashMap;

/// Remembers what the system called an id, and that it knew none.
#[derive(Debug, Default)]
pub(super) struct Names {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Names {
    pub(super) fn user(&mut self, uid: u32) -> Option<String> {
        let ask = || uzers::get_user_by_uid(uid)?.name().to_str().map(str::to_owned);
        self.users.entry(uid).or_insert_with(ask).clone()
    }

    pub(super) fn group(&mut self, gid: u32) -> Option<String> {
        let ask = || uzers::get_group_by_gid(gid)?.name().to_str().map(str::to_owned);
        self.groups.entry(gid).or_insert_with(ask).clone()
    }
}
