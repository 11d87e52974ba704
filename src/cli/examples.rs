//! The examples at the end of each page of the help. A test takes care that all of them can be typed.

use clap::Command;

/// For each command a few command lines.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "snap",
        &[
            "snap init -r /backup/tables",
            "snap create -r /backup/tables /export/tables",
            "snap restore -r /backup/tables latest --target /tmp/out",
        ],
    ),
    (
        "snap init",
        &[
            "snap init -r /backup/tables",
            "snap init -r /backup/tables --password-file ~/.snap-password",
            "snap init -r /mnt/usb/tables --parity 5%",
        ],
    ),
    (
        "snap create",
        &[
            "snap create /export/tables",
            "snap create /export/tables --expect 'orders:records>=0.95*previous,sound'",
            "mysqldump shop | snap create --stdin --stdin-filename shop.sql",
        ],
    ),
    (
        "snap plan",
        &["snap plan --shards 8 /export/tables", "snap plan --shards 8 /export/tables --exclude '*.tmp' --json"],
    ),
    ("snap merge", &["snap merge --run 2026-11-30", "snap merge --list", "snap merge --run 2026-11-30 --discard"]),
    ("snap copy", &["snap copy --from-repo /mnt/usb/tables", "snap copy --from-repo /mnt/usb/tables latest --dry-run"]),
    (
        "snap drill",
        &[
            "snap drill --certificate drill.json",
            "snap drill latest:export/tables --sample 5% --scratch /mnt/scratch",
            "snap drill --verify drill.json",
        ],
    ),
    (
        "snap restore",
        &[
            "snap restore latest --target /tmp/out",
            "snap restore latest:export/tables/orders.avro --target /tmp/out",
            "snap restore 4f2a --target / --include '*.avro' --dry-run",
        ],
    ),
    ("snap cache show", &["snap cache", "snap cache show --json"]),
    ("snap cache clear", &["snap cache clear --dry-run", "snap cache clear --objects"]),
    ("snap snapshots", &["snap snapshots", "snap snapshots latest", "snap snapshots --group-by host --compact"]),
    ("snap ls", &["snap ls latest", "snap ls --long latest /export/tables", "snap ls -0 4f2a | xargs -0 -n 1 echo"]),
    (
        "snap find",
        &["snap find 'orders*.avro'", "snap find '*.avro' --newest yesterday --long", "snap find -i readme -s latest"],
    ),
    (
        "snap cat",
        &[
            "snap cat latest:export/orders.avro -n 5",
            "snap cat tables:latest~1:export/orders.avro --fields id,total",
            "snap cat 'latest:export/orders/*.avro' --format avro > orders.avro",
        ],
    ),
    ("snap count", &["snap count latest:export/orders", "snap count 'latest~1:export/orders/*.avro' --json"]),
    ("snap schema ls", &["snap schema ls latest", "snap schema ls latest:export/tables 'latest:lake/*/orders'"]),
    ("snap schema ls", &["snap schema ls latest", "snap schema ls latest:export/tables"]),
    #[cfg(feature = "mount")]
    ("snap mount", &["snap mount /mnt/snapshots", "snap mount /mnt/snapshots --series orders --allow-other"]),
    #[cfg(feature = "serve")]
    ("snap report", &["snap report --html report.html", "snap report --json"]),
    #[cfg(feature = "serve")]
    (
        "snap serve",
        &["snap serve", "snap serve --listen 0.0.0.0:7979 --server-name lake.example.org", "snap serve --anonymous"],
    ),
    (
        "snap schema show",
        &["snap schema show latest:export/orders.avro", "snap schema show latest:export/orders.avro --canonical"],
    ),
    ("snap schema log", &["snap schema log export/orders.avro", "snap schema log export/orders --series tables"]),
    (
        "snap schema diff",
        &[
            "snap schema diff latest~1:export/orders.avro latest:export/orders.avro",
            "snap schema diff latest:export/orders.avro latest:export/returns.avro",
        ],
    ),
    (
        "snap diff",
        &[
            "snap diff latest~1 latest",
            "snap diff --metadata 4f2a:export tables:latest:export",
            "snap diff --records latest~1 latest export/orders --key order_id",
        ],
    ),
    (
        "snap log",
        &["snap log export/orders", "snap log 'export/orders*.avro' --quick", "snap log export/orders --key id=4711"],
    ),
    ("snap tag", &["snap tag latest --add checked", "snap tag 4f2a 77c0 --remove nightly --add monthly"]),
    (
        "snap forget",
        &["snap forget --keep-daily 14 --keep-monthly 12 --dry-run", "snap forget 4f2a77c0", "snap forget --undo"],
    ),
    ("snap stats", &["snap stats", "snap stats --series tables --total"]),
    (
        "snap dump",
        &[
            "snap dump latest export/orders.avro > orders.avro",
            "snap dump --at yesterday latest:export/orders.avro -o orders.avro",
            "snap dump latest export/orders 'export/*.avsc' --archive tar > orders.tar",
        ],
    ),
    ("snap manifest", &["snap manifest latest -o manifest.avro", "snap manifest tables:latest -o - > manifest.avro"]),
    (
        "snap check",
        &["snap check", "snap check --read-data-subset 10%", "snap check --avro --snapshot latest:export/orders"],
    ),
    ("snap prune", &["snap prune --dry-run", "snap prune", "snap prune --max-repack-size 10G"]),
    ("snap retain", &["snap retain 30d", "snap retain 4w --json"]),
    (
        "snap optimize",
        &["snap optimize --dry-run", "snap optimize; snap prune", "snap optimize --series tables --include '*.avro'"],
    ),
    (
        "snap erase",
        &[
            "snap erase exports/customers --where \"email = 'a@b.example'\" --dry-run",
            "snap erase 'exports/customers/*.avro' --key id=4711 --report erased.json --yes",
            "snap prune --grace 0; snap check --erased erased.json",
        ],
    ),
    ("snap repair config", &["snap repair config --dry-run", "snap repair config"]),
    ("snap repair index", &["snap repair index --dry-run", "snap repair index"]),
    ("snap repair packs", &["snap repair packs --dry-run", "snap repair packs", "snap repair packs --parity 5%"]),
    ("snap repair snapshots", &["snap repair snapshots --dry-run", "snap repair snapshots --read-data"]),
    ("snap repair payloads", &["snap repair payloads latest --dry-run", "snap repair payloads --series tables"]),
    ("snap recover", &["snap recover", "snap recover --all"]),
    ("snap key list", &["snap key list", "snap key list --json"]),
    ("snap key add", &["snap key add --label anna", "snap key add --new-password-file /run/secrets/second"]),
    ("snap key passwd", &["snap key passwd", "snap key passwd --new-password-file /run/secrets/new"]),
    ("snap key remove", &["snap key remove 4f2a77c0", "snap key list; snap key remove 4f2a77c0"]),
    (
        "snap key rotate",
        &["snap key rotate", "snap key rotate --remove-other-keys --new-password-file /run/secrets/new"],
    ),
    ("snap key export", &["snap key export -o tables.key", "snap key export -o - | lp"]),
    (
        "snap key import",
        &["snap key import tables.key", "snap key import tables.key --new-password-file /run/secrets/new"],
    ),
    ("snap debug encoders", &["snap debug encoders orders.avro", "snap debug encoders --blocks 0 --json orders.avro"]),
    (
        "snap completions",
        &["snap completions bash > ~/.local/share/bash-completion/completions/snap", "snap completions zsh > _snap"],
    ),
];

/// The examples of a command, as they stand in the help.
pub(crate) fn of(page: &str) -> String {
    let lines = EXAMPLES.iter().find(|(name, _)| *name == page).map_or(&[][..], |(_, lines)| lines);
    lines.iter().fold("Examples:".to_owned(), |text, line| format!("{text}\n  {line}"))
}

/// A command and those below it, with examples.
pub(crate) fn added_to(command: Command) -> Command {
    let page = command.get_name().to_owned();
    below(command, &page)
}

fn below(command: Command, page: &str) -> Command {
    let command = match EXAMPLES.iter().any(|(name, _)| *name == page) {
        true => command.after_help(of(page)),
        false => command,
    };
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    names.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| below(command, &format!("{page} {name}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, words};
    use clap::CommandFactory;

    /// Commands without any below them.
    fn pages(command: &Command, page: &str, pages: &mut Vec<String>) {
        let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
        if below.is_empty() {
            pages.push(page.to_owned());
        }
        for below in below {
            self::pages(below, &format!("{page} {}", below.get_name()), pages);
        }
    }

    #[test]
    fn every_page_has_two_or_three_examples() {
        let mut all = vec!["snap".to_owned()];
        pages(&Cli::command(), "snap", &mut all);
        for page in &all {
            let found = EXAMPLES.iter().find(|(name, _)| name == page).map_or(0, |(_, lines)| lines.len());
            assert!((2..=3).contains(&found), "{page} has {found} examples");
        }
        assert!(EXAMPLES.iter().all(|(name, _)| all.iter().any(|page| page == name)), "examples of no command");
    }

    #[test]
    fn every_example_can_be_typed() {
        for (page, lines) in EXAMPLES {
            for line in *lines {
                assert!(line.len() <= 78, "{line}");
                let mut tried = 0;
                for part in line.split(['|', ';']).filter(|part| part.trim().starts_with("snap ")) {
                    let typed = words::split(part.split(" > ").next().unwrap()).unwrap();
                    let parsed = Cli::command().try_get_matches_from(&typed);
                    assert!(parsed.is_ok(), "{page}: {line}: {}", parsed.unwrap_err());
                    tried += 1;
                }
                assert!(tried > 0 && line.contains(page.split(' ').nth(1).unwrap_or("snap")), "{page}: {line}");
            }
        }
    }
}
