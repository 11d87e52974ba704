//! A restore into a directory of the local file system, where what is not in the snapshot can be removed as well.

use super::run::RestoreRun;
use super::selection::Selection;
use super::sweep::Sweep;
use super::{RestoreOptions, RestoreReport, guard};
use crate::error::Result;
use crate::files::{Coverage, RestoreTarget, Spared, Target, TargetOptions};
use crate::progress::Progress;
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;

pub(super) fn run(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    options: &RestoreOptions,
    progress: &dyn Progress,
    pool: &rayon::ThreadPool,
) -> Result<RestoreReport> {
    let in_use = guard::in_use_below_target(options)?;
    let terms = match options.delete {
        true => {
            let coverage = Coverage::recorded(&snapshot.all_paths(repository)?, &snapshot.rules)?;
            let spared = Spared::new(&snapshot.rules, &options.in_use)?;
            guard::may_delete(repository, snapshot, options, &coverage, &spared)?;
            Some((coverage, spared))
        }
        false => None,
    };
    // A dry run must not even make the target; without one there is nothing to compare with, either.
    let target_options = TargetOptions {
        overwrite: options.overwrite,
        restore_suid: options.restore_suid,
        is_shared: options.shard.is_some(),
    };
    let target = match options.dry_run && !options.target.is_dir() {
        true => None,
        false => Some(Target::new(&options.target, target_options)?),
    };
    let sweep = terms.zip(target.as_ref()).map(|((coverage, spared), target)| Sweep {
        target,
        coverage,
        spared,
        selection: Selection { include: &options.include, exclude: &options.exclude },
        progress,
        runtime: repository.runtime(),
    });
    let mut run = RestoreRun::new(repository, snapshot, options, progress);
    run.target = target.as_ref().map(|target| target as &dyn RestoreTarget);
    run.sweep = sweep.as_ref();
    run.in_use = in_use;
    run.carry_out(repository, pool)
}
