//! The tables of ids and tails in `docs/format.md` have every encoder that there is, and none that there is not.

use std::fs;

use avro_snap::avro::encoder::{EncoderId, Tail, all};

/// The first column of the table of encoders and of that of tails.
fn tables() -> [Vec<String>; 2] {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/format.md")).unwrap();
    let section = text.split("\n## Encoders\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let table = |head: &str| -> Vec<String> {
        let rows = section.lines().skip_while(|line| !line.starts_with(head)).take_while(|line| line.starts_with('|'));
        rows.skip(2).map(|row| row.split('|').nth(1).unwrap().trim().to_owned()).collect()
    };
    [table("| id |"), table("| tail |")]
}

/// What stands between backticks, in full: `:L5` after `zlib-ng-2.1:L6` is `zlib-ng-2.1:L5`.
fn forms(cell: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for text in cell.split('`').skip(1).step_by(2) {
        let family = found.first().and_then(|first| first.split(':').next()).unwrap_or("");
        found.push(if text.starts_with(':') { format!("{family}{text}") } else { text.to_owned() });
    }
    found
}

/// Every id that a form stands for: `L<1-3>` is three, `L<5, 6>` two. `<n>` stays as it is.
fn ids_of(form: &str) -> Vec<String> {
    let Some((before, rest)) = form.split_once('<').filter(|(_, rest)| !rest.starts_with("n>")) else {
        return vec![form.to_owned()];
    };
    let (choice, after) = rest.split_once('>').unwrap();
    let values: Vec<String> = match choice.split_once('-') {
        Some((first, last)) => {
            (first.parse::<i32>().unwrap()..=last.parse().unwrap()).map(|value| value.to_string()).collect()
        }
        None => choice.split(", ").map(str::to_owned).collect(),
    };
    values.iter().flat_map(|value| ids_of(&format!("{before}{value}{after}"))).collect()
}

/// The ids of the table, without those of a suffix that others may have.
fn in_table() -> Vec<String> {
    let [ids, _] = tables();
    ids.iter()
        .filter(|cell| !cell.starts_with('…'))
        .flat_map(|cell| forms(cell))
        .flat_map(|form| ids_of(&form))
        .collect()
}

/// As the table has it: without its tail and a suffix that has a place of its own, zstandard's levels as `<n>`.
fn shown(id: &EncoderId) -> String {
    let text = id.method.to_string();
    let text = text.strip_suffix(":extreme").unwrap_or(&text);
    let text = text.strip_suffix(":C").unwrap_or(text);
    match text.rsplit_once(":L") {
        Some((before, _)) if text.starts_with("zstd-") => format!("{before}:L<n>"),
        _ => text.to_owned(),
    }
}

#[test]
fn every_encoder_has_a_row_in_the_description_of_the_format() {
    let known = in_table();
    assert!(known.len() > 80, "{known:?}");
    let missing: Vec<_> = all().into_iter().filter(|id| !known.contains(&shown(id))).map(|id| id.to_string()).collect();
    assert!(missing.is_empty(), "docs/format.md has no row for {missing:?}");
    let [_, tails] = tables();
    let of_code: Vec<_> = Tail::ALL.into_iter().map(Tail::suffix).filter(|suffix| !suffix.is_empty()).collect();
    assert_eq!(tails.iter().flat_map(|cell| forms(cell)).collect::<Vec<_>>(), of_code);
}

#[test]
fn the_description_of_the_format_names_no_encoder_that_is_not_there() {
    for text in in_table() {
        // The id of corrections, which is none of an encoder alone.
        if text != avro_snap::recipe::PREFLATE {
            assert!(text.replace("<n>", "3").parse::<EncoderId>().is_ok(), "{text}");
        }
    }
}
