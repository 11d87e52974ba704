//! The names of the rules in a root (`docs/format.md`, "Snapshot root"). They stand here together, since adding one means
//! to say whether a restore that deletes may pass over it: a name that it does not know stops such a restore.

/// A pattern of `--exclude`.
pub const EXCLUDE: &str = "exclude";
/// A pattern of `--iexclude`.
pub const EXCLUDE_INSENSITIVE: &str = "iexclude";
/// A file whose presence leaves out what is beside it.
pub const EXCLUDE_IF_PRESENT: &str = "exclude-if-present";
/// Directories that are marked as caches are left out.
pub const EXCLUDE_CACHES: &str = "exclude-caches";
/// Files above this size are left out.
pub const EXCLUDE_LARGER_THAN: &str = "exclude-larger-than";
/// Other file systems are left out.
pub const ONE_FILE_SYSTEM: &str = "one-file-system";
/// Where a repository, cache or state folder was met.
pub const PASSED_OVER: &str = "passed-over";
/// Something that could not be read.
pub const UNREADABLE: &str = "unreadable";
/// How each path of the snapshot was given.
pub const PATH_FORMS: &str = "path-forms";
/// Where relative paths count from.
pub const WORKING_DIRECTORY: &str = "working-directory";
/// A file that is not what it was, and how many records it had when it was last sound.
pub const LAST_SOUND: &str = "last-sound";
/// A file that is gone, and was torn or damaged before it went. What removes snapshots must not take it for one that was
/// deleted on purpose.
pub const GONE_UNSOUND: &str = "gone-unsound";
/// That no file was there is meant to be so.
pub const ACCEPTED_EMPTY: &str = "accepted-empty";

/// That only a part of the tree is here: the others are in other parts of the same run.
pub const SHARD: &str = "shard";

/// What says which files `create` leaves out: patterns, marks, sizes, file systems.
pub const OF_CREATE: [&str; 6] =
    [EXCLUDE, EXCLUDE_INSENSITIVE, EXCLUDE_IF_PRESENT, EXCLUDE_CACHES, EXCLUDE_LARGER_THAN, ONE_FILE_SYSTEM];
/// What says where something is that is not in the snapshot, and where the roots lie.
pub const OF_PLACES: [&str; 4] = [PASSED_OVER, UNREADABLE, PATH_FORMS, WORKING_DIRECTORY];
/// What leaves nothing out: what `create` is to remember.
pub const REMEMBERED: [&str; 3] = [LAST_SOUND, GONE_UNSOUND, ACCEPTED_EMPTY];
/// What stands in the roots of parts alone. A restore that deletes must not pass over it: what is not in a part is in another one.
pub const OF_PARTS: [&str; 1] = [SHARD];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_the_format_lists_every_name() {
        let page = include_str!("../../docs/format.md");
        let (_, table) = page.split_once("stop such a restore and nothing else.").unwrap();
        let (table, _) = table.split_once("A path that was given as an absolute one").unwrap();
        let listed: std::collections::BTreeSet<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .flat_map(|line| line.split_once(" | ").unwrap().0.split("`, `"))
            .map(|name| name.trim_end_matches('`'))
            .collect();
        let known = OF_CREATE.iter().chain(&OF_PLACES).chain(&REMEMBERED).chain(&OF_PARTS).copied().collect();
        assert_eq!(listed, known);
    }
}
