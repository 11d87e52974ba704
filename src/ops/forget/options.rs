//! What `forget` is to do by a policy.

use serde::Deserialize;

use super::{GroupBy, Wanted};
use crate::ops::select::Filter;
use crate::snapshot::retention::{LocalTime, Policy};
use crate::values;

/// Which snapshots a policy removes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ForgetOptions {
    /// What is kept.
    #[serde(flatten)]
    pub policy: Policy,
    /// Which snapshots are looked at.
    #[serde(flatten)]
    pub filter: Filter,
    /// What makes a group, to which the policy is applied by itself.
    pub group_by: GroupBy,
    /// Let go of the last snapshot in which a file was sound, too.
    pub allow_losing_sound_files: bool,
    /// Flattened groups take the keys that they know, and this refuses what is left.
    #[serde(flatten)]
    rest: values::NoMore,
}

impl ForgetOptions {
    /// Keeps what this policy says.
    pub fn new(policy: Policy) -> Self {
        Self::default().policy(policy)
    }

    values::setters! {
        is policy: Policy;
        is filter: Filter;
        is group_by: GroupBy;
        is allow_losing_sound_files: bool;
    }

    /// As a [plan](super::plan()) takes it. `zone` says where calendars are read.
    pub fn wanted<'o>(&'o self, zone: &'o dyn LocalTime) -> Wanted<'o> {
        Wanted::Policy { policy: &self.policy, filter: &self.filter, group_by: &self.group_by, zone }
    }
}
