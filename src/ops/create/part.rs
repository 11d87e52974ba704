//! Creating one part of a snapshot that several processes make together.
//!
//! The first process of a run appends its record: a root without a manifest that says what is to be saved, and what it is
//! compared with. The id of the record follows from the name of the run, so of several first ones the log lets one through, and
//! all parts go by the same terms. A part that is there is not made again, so each may be started as often as one likes.

use super::CreateOptions;
use super::lineage::{Lineage, absolute_paths, series_of};
use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::{Error, Result, RunRefusal};
use crate::files::Coverage;
use crate::id::SnapshotId;
use crate::ingest::{AnchorPrimer, Feeder, Pipeline};
use crate::progress::Progress;
use crate::snapshot::{Missing, Part, Rule, Shard, SnapshotRoot, put_paths, rules};
use crate::store::{Addition, Repository, Run, RunState, Writer};

/// The longest name of a run, in bytes.
const LONGEST_NAME: usize = 200;

/// What a process makes of a run.
#[derive(Debug)]
pub(super) enum Joined {
    /// It makes no part, but a snapshot.
    Whole,
    /// It makes this part.
    Part(Box<PartRun>),
    /// The part is there already.
    There(Box<SnapshotRoot>),
}

/// A part that is to be made.
#[derive(Debug)]
pub(super) struct PartRun {
    pub(super) shard: Shard,
    /// The id of the part.
    pub(super) id: SnapshotId,
    /// What the part says of the run; `stored` and what comes after it are filled in when it is made.
    pub(super) terms: Part,
    /// The parent of all parts. None if there is none, or on a dry run of a run that was not begun.
    pub(super) parent: Option<SnapshotId>,
    /// Whether it takes the place of one that is there.
    pub(super) replaces: bool,
    /// Whether the run has begun, so that its parent is known.
    pub(super) is_begun: bool,
}

impl PartRun {
    /// What is added to the log.
    pub(super) fn addition(&self) -> Addition<'_> {
        Addition::Part { run: &self.terms.run, number: self.shard.number(), replaces: self.replaces }
    }
}

/// Checks the name of a run: it goes into ids and messages.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub(crate) fn check_name(name: &str) -> Result<()> {
    let wrong = match name {
        name if name.trim().is_empty() => "the name of the run is empty: was a variable not set?",
        name if name.len() > LONGEST_NAME => "the name of the run is too long: 200 bytes at most",
        name if name.chars().any(char::is_control) => "the name of the run holds control characters",
        _ => return Ok(()),
    };
    Err(Error::argument("run", wrong))
}

/// Joins the run that the options name, and begins it if it has not begun. Then the options are those of the run.
///
/// # Errors
/// [`Error::RunRefused`], [`Error::InvalidArgument`]; I/O errors and damaged objects of the repository.
pub(super) fn join(repository: &Repository, options: &mut CreateOptions, progress: &dyn Progress) -> Result<Joined> {
    let (shard, name) = match (options.shard, options.run.clone()) {
        (None, None) => return Ok(Joined::Whole),
        (Some(shard), Some(name)) => (shard, name),
        (Some(_), None) => {
            return Err(Error::argument("run", "a part needs the name of its run, the same in all parts"));
        }
        (None, Some(_)) => {
            return Err(Error::argument("shard", "a run is made in parts: which one is this (like 3/8)?"));
        }
    };
    check_name(&name)?;
    if options.stream.is_some() {
        return Err(Error::argument("shard", "a stream is one file, and cannot be divided"));
    }
    if options.skip_if_unchanged {
        return Err(Error::argument("skip_if_unchanged", "whether anything has changed is not known of a part alone"));
    }
    let run = match Run::find(repository, &name)? {
        RunState::Unknown if options.dry_run => {
            let series = series_of(options, &absolute_paths(options));
            let terms = terms(&name, shard.number(), shard.parts(), series);
            let id = crate::id::RunIds::new(repository.id(), &name).part(shard.number());
            return Ok(Joined::Part(Box::new(PartRun {
                shard,
                id,
                terms,
                parent: None,
                replaces: false,
                is_begun: false,
            })));
        }
        RunState::Unknown => {
            begin(repository, options, &name, shard, progress)?;
            match Run::find(repository, &name)? {
                RunState::Open(run) => run,
                RunState::Merged(id) => return Err(Error::run(name, RunRefusal::Merged(id))),
                RunState::Unknown | RunState::Over => return Err(Error::run(name, RunRefusal::Over)),
            }
        }
        RunState::Open(run) => run,
        RunState::Merged(id) => return Err(Error::run(name, RunRefusal::Merged(id))),
        RunState::Over => return Err(Error::run(name, RunRefusal::Over)),
    };
    agree(repository, &run, options, shard)?;
    let id = run.ids.part(shard.number());
    if !options.dry_run
        && !options.force
        && let Some(there) = run.root(repository, shard.number())?
    {
        return Ok(Joined::There(Box::new(there)));
    }
    options.series = Some(run.terms.series.clone());
    options.time = Some(run.record.time);
    options.user.clone_from(&run.record.user);
    options.parent = run.parent(repository, progress)?.map(|parent| parent.id);
    let terms = terms(&name, shard.number(), shard.parts(), run.terms.series.clone());
    Ok(Joined::Part(Box::new(PartRun {
        shard,
        id,
        terms,
        parent: options.parent,
        replaces: options.force,
        is_begun: true,
    })))
}

fn terms(run: &str, number: u32, parts: u32, series: String) -> Part {
    Part {
        run: run.to_owned(),
        number,
        parts,
        series,
        stored: 0,
        directories_met: 0,
        names_met: 0,
        missed: Missing::default(),
    }
}

/// What is left out on purpose, and how the sources were given: the same in all parts.
fn rules_of(options: &CreateOptions, paths: &[Vec<u8>]) -> Result<Vec<Rule>> {
    let mut all = options.rules()?.recorded().to_vec();
    all.extend(Coverage::rules(&options.sources, &options.working_directory, paths));
    Ok(all)
}

/// Refuses a part that is to be made with something else than the run was begun with.
fn agree(repository: &Repository, run: &Run, options: &CreateOptions, shard: Shard) -> Result<()> {
    let Run { record, terms, .. } = run;
    let refused = |refusal| Err(Error::run(&terms.run, refusal));
    if terms.parts != shard.parts() {
        return refused(RunRefusal::OtherParts { of: terms.parts, part: shard.to_string() });
    }
    let paths = absolute_paths(options);
    let of_record: Vec<Rule> = record.rules.iter().filter(|rule| rule.name != rules::SHARD).cloned().collect();
    let differs = [
        (record.all_paths(repository)? != paths, "sources"),
        (record.host != options.host, "host"),
        (terms.series != series_of(options, &paths), "series"),
        (options.parent.is_some_and(|parent| Some(parent) != record.parent), "parent"),
        (of_record != rules_of(options, &paths)?, "excludes, or another working directory"),
        (record.tags != options.tag, "tags"),
        (options.time.is_some_and(|time| time != record.time), "time"),
    ];
    match differs.into_iter().find(|(differs, _)| *differs) {
        Some((_, what)) => refused(RunRefusal::Differs(what)),
        None => Ok(()),
    }
}

/// Appends the record of the run, unless another process is faster.
fn begin(
    repository: &Repository,
    options: &CreateOptions,
    name: &str,
    shard: Shard,
    progress: &dyn Progress,
) -> Result<()> {
    let writer = Writer::new(repository)?;
    writer.refuse_if_away()?;
    let ids = crate::id::RunIds::new(repository.id(), name);
    let lineage = Lineage::find(repository, options, progress)?;
    let left_out = rules_of(options, &lineage.paths)?;
    let now = repository.log().clock().now();
    let (threads, pool) = (repository.runtime().threads(), repository.runtime().compute()?);
    let level = repository.settings().compression_level(options.compression);
    let pipeline = Pipeline::new(repository, writer, AnchorPrimer::new(repository, None), level, false, threads);
    let put = pool.in_place_scope(|scope| {
        let mut feeder = Feeder::new(&pipeline, scope);
        let (paths, path_list) = put_paths(&lineage.paths, &mut feeder)?;
        let mut root = SnapshotRoot {
            host: options.host.clone(),
            user: options.user.clone(),
            time: options.time.unwrap_or(now),
            paths,
            path_list,
            tags: options.tag.clone(),
            parent: lineage.parent.as_ref().map(|parent| parent.id),
            program: super::PROGRAM.into(),
            rules: left_out,
            ..SnapshotRoot::nothing(ids.record())
        };
        Part { stored: now, ..terms(name, 0, shard.parts(), lineage.series.clone()) }.mark(&mut root);
        let root = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok::<_, Error>(root)
    });
    match put.and_then(|root| pipeline.commit(Addition::Record { run: name }, root)) {
        // Another process began it: its terms are those of the run.
        Ok(_) | Err(Error::SnapshotExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
