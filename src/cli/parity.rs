//! Redundancy of packs: how much of it, and that it was needed.

use avro_snap::store::Repository;

use super::format::count;
use super::output::Output;

/// Says so if packs were read only with the help of their parity.
pub(crate) fn warn_of_mended(output: &Output, repository: &Repository) {
    let mended = repository.packs().mended_packs().len() as u64;
    if mended > 0 {
        let packs = count(mended, "damaged pack");
        output.warn(&format!(
            "{packs} could be read with the help of parity only: run `snap repair packs` before more is damaged"
        ));
    }
}
