use proptest::prelude::*;

use super::*;
use crate::avro::schema::Schema;
use crate::avro::varint;

fn tree(schema: &str) -> TypeTree {
    TypeTree::of_schema(&Schema::parse(schema).unwrap()).unwrap()
}

fn columns(tree: &TypeTree, records: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut columns = vec![vec![7; 7]];
    tree.split(records, &mut columns).map(|()| columns)
}

fn joined(tree: &TypeTree, columns: &[Vec<u8>]) -> Option<Vec<u8>> {
    tree.join(&columns.iter().map(|column| &column[..]).collect::<Vec<_>>())
}

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"long"}, {"name":"nothing","type":"null"}, {"name":"note","type":["null","string"]},
    {"name":"total","type":"double"}, {"name":"tags","type":{"type":"map","values":"int"}}]}"#;

#[test]
fn a_tree_is_a_few_bytes_and_has_a_column_for_all_that_varies() {
    let tree = tree(ORDER);
    // A record of 4: number; union of nothing and text; 8 bytes; list of a record of text and number.
    assert_eq!(tree.bytes(), [5, 4, 1, 7, 2, 0, 3, 2, 8, 6, 5, 2, 3, 1]);
    use ColumnKind::{Branch, Bytes, Count, Fixed, Length, Number};
    assert_eq!(tree.columns(), [Number, Branch, Length, Bytes, Fixed(8), Count, Length, Bytes, Number]);
    assert_eq!(TypeTree::read(tree.bytes()).unwrap().columns(), tree.columns());
    let together = tree.with_texts(&[true, false]).unwrap();
    assert_eq!(together.bytes(), [5, 4, 1, 7, 2, 0, 4, 2, 8, 6, 5, 2, 3, 1]);
    assert_eq!(together.columns().len(), tree.columns().len() - 1);
}

#[test]
fn every_byte_goes_to_one_column() {
    let tree = tree(ORDER);
    let mut records = Vec::new();
    varint::encode(&mut records, 5);
    records.extend([2, 6]);
    records.extend(b"abc");
    records.extend(1.5f64.to_le_bytes());
    // A block of one entry, one of one entry and four bytes, the end.
    records.extend([2, 2, b'k', 9, 1, 8, 4, b'o', b'p', 1, 0]);
    let columns = columns(&tree, &records).unwrap();
    let as_text: Vec<&[u8]> = columns.iter().map(|column| &column[..]).collect();
    let total = 1.5f64.to_le_bytes();
    let expected: [&[u8]; 9] = [&[10], &[2], &[6], b"abc", &total, &[2, 1, 8, 0], &[2, 4], b"kop", &[9, 1]];
    assert_eq!(as_text, expected);
    assert_eq!(joined(&tree, &columns).unwrap(), records);
}

#[test]
fn a_record_that_holds_itself_shares_its_columns() {
    let tree = tree(
        r#"{"type":"record","name":"List","fields":[{"name":"value","type":"int"},
            {"name":"next","type":["null","List"]}]}"#,
    );
    assert_eq!((tree.bytes(), tree.columns().len()), (&[5, 2, 1, 7, 2, 0, 8, 0][..], 2));
    let list = |length: usize| [[2, 2].repeat(length), vec![2, 0]].concat();
    let records = list(3);
    assert_eq!(columns(&tree, &records).unwrap(), [vec![2; 4], vec![2, 2, 2, 0]]);
    // Each further one is two levels deeper.
    assert!(columns(&tree, &list(100)).is_some());
    assert!(columns(&tree, &list(MAX_NESTING)).is_none());
    // A named type that is mentioned again elsewhere has columns of its own there.
    let twice = self::tree(
        r#"{"type":"record","name":"Two","fields":[
            {"name":"a","type":{"type":"record","name":"One","fields":[{"name":"v","type":"int"}]}},
            {"name":"b","type":"One"}]}"#,
    );
    assert_eq!(twice.columns().len(), 2);
}

#[test]
fn numbers_that_are_longer_than_they_need_be_come_back_so() {
    let tree =
        tree(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"bytes"}]}"#);
    let records = [0x82, 0x80, 0, 0x84, 0, b'x', b'y'];
    let columns = columns(&tree, &records).unwrap();
    assert_eq!(joined(&tree, &columns).unwrap(), records);
    for trial in [Trial::Plain, Trial::Deltas, Trial::Planes, Trial::DeltaPlanes] {
        assert_eq!(trial.code(ColumnKind::Number, &columns[0]).0, Coding::Plain);
    }
}

#[test]
fn what_is_no_record_is_not_taken_apart() {
    let tree = tree(ORDER);
    for wrong in [&[10][..], &[10, 4], &[10, 0, 1, 2], &[10, 2, 1], &[10, 2, 200, 1, 0], &[0x80; 12]] {
        assert!(columns(&tree, wrong).is_none(), "{wrong:?}");
    }
    assert!(columns(&tree, &[]).unwrap().concat().is_empty());
}

#[test]
fn items_of_no_bytes_are_not_gone_through() {
    let tree = tree(r#"{"type":"array","items":"null"}"#);
    let mut records = Vec::new();
    varint::encode(&mut records, i64::MAX);
    records.push(0);
    let columns = columns(&tree, &records).unwrap();
    assert_eq!(joined(&tree, &columns).unwrap(), records);
}

#[test]
fn schemas_that_cannot_be_handled_have_no_tree() {
    let none = |text: &str| TypeTree::of_schema(&Schema::parse(text).unwrap()).is_none();
    assert!(none(r#""null""#));
    assert!(none(r#"{"type":"record","name":"R","fields":[]}"#));
    assert!(none(r#"{"type":"fixed","name":"F","size":17000000}"#));
    let fields: Vec<String> = (0..5000).map(|n| format!(r#"{{"name":"f{n}","type":"int"}}"#)).collect();
    assert!(none(&format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(","))));
    // Each record mentions the one before twice: as a tree that would double at every step.
    let mut doubling = r#"{"type":"record","name":"R0","fields":[{"name":"v","type":"int"}]}"#.to_owned();
    for n in 1..30 {
        let before = format!("R{}", n - 1);
        doubling = format!(
            r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{doubling}}},{{"name":"b","type":"{before}"}}]}}"#
        );
    }
    assert!(none(&doubling));
    // A record that never ends has a tree, and no data.
    let endless = tree(r#"{"type":"record","name":"E","fields":[{"name":"e","type":"E"}]}"#);
    assert!(columns(&endless, &[1, 2, 3]).is_none());
    assert!(joined(&endless, &[]).is_some_and(|records| records.is_empty()));
}

#[test]
fn forged_trees_are_refused() {
    let forged: [&[u8]; 12] =
        [&[], &[9], &[0], &[5, 0], &[2, 0], &[2], &[5, 200, 1], &[8, 0], &[5, 1, 8, 1], &[1, 1], &[6], &[7, 2, 1]];
    for wrong in forged {
        assert!(TypeTree::read(wrong).is_err(), "{wrong:?}");
    }
    let deep = |depth: usize| [vec![6; depth], vec![1]].concat();
    assert!(TypeTree::read(&deep(MAX_DEPTH)).is_ok());
    assert!(TypeTree::read(&deep(1000)).is_err());
    let wide = |count: usize| [vec![7, count as u8 | 0x80, (count >> 7) as u8], vec![1; count]].concat();
    assert!(TypeTree::read(&wide(MAX_COLUMNS - 1)).is_ok());
    assert!(TypeTree::read(&wide(MAX_COLUMNS)).is_err());
}

const TRIALS: [Trial; 4] = [Trial::Plain, Trial::Deltas, Trial::Planes, Trial::DeltaPlanes];

fn comes_back(kind: ColumnKind, column: &[u8]) {
    for trial in TRIALS {
        let (coding, coded) = trial.code(kind, column);
        assert_eq!(Coding::from_number(coding.number()), Some(coding));
        assert!(!coding.keeps_length() || coded.len() == column.len());
        assert!(coded.len() <= column.len().max(1) * 2);
        assert_eq!(coding.decode(&coded, column.len()).as_deref(), Some(column), "{coding:?}");
        for wrong in [column.len() + 1, column.len().wrapping_sub(1)] {
            let any = coding == Coding::Repeated || wrong == usize::MAX;
            assert!(any || coding.decode(&coded, wrong).is_none(), "{coding:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_column_of_numbers_comes_back(values: Vec<(i64, u32)>, base in -1i64<<40..1<<40, steps: bool) {
        let mut column = Vec::new();
        for (value, shift) in values {
            let value = value >> (shift % 64);
            varint::encode(&mut column, if steps { base.wrapping_add(value) } else { value });
        }
        comes_back(ColumnKind::Number, &column);
    }

    #[test]
    fn a_column_of_anything_comes_back(column: Vec<u8>, width in 1u32..20) {
        comes_back(ColumnKind::Number, &column);
        comes_back(ColumnKind::Bytes, &column);
        comes_back(ColumnKind::Text, &column);
        let whole = column.len() - column.len() % width as usize;
        comes_back(ColumnKind::Fixed(width), &column[..whole]);
    }

    #[test]
    fn a_column_of_one_value_is_that_value(part in prop::collection::vec(any::<u8>(), 1..20), count in 2usize..100) {
        let kind = ColumnKind::Fixed(part.len() as u32);
        comes_back(kind, &part.repeat(count));
        let column = part.repeat(count);
        prop_assert_eq!(Trial::Plain.code(kind, &column), (Coding::Repeated, (&part[..]).into()));
    }

    #[test]
    fn any_coded_bytes_are_decoded_or_refused(number: u8, coded: Vec<u8>, length in 0usize..2000) {
        if let Some(coding) = Coding::from_number(number) {
            prop_assert_eq!(coding.number(), number);
            if let Some(column) = coding.decode(&coded, length) {
                prop_assert_eq!(column.len(), length);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_tree_or_refused(bytes in prop::collection::vec(0u8..10, 0..60), data: Vec<u8>) {
        if let Ok(tree) = TypeTree::read(&bytes) {
            let again = TypeTree::read(tree.bytes()).unwrap();
            prop_assert_eq!(again.columns(), tree.columns());
            if let Some(columns) = columns(&tree, &data) {
                prop_assert_eq!(columns.iter().map(Vec::len).sum::<usize>(), data.len());
                prop_assert_eq!(joined(&tree, &columns), Some(data.clone()));
            }
            // Bytes dealt out to columns at random make up records or none.
            let count = tree.columns().len();
            let dealt: Vec<Vec<u8>> =
                (0..count).map(|n| data.iter().copied().skip(n).step_by(count).collect()).collect();
            if let Some(records) = joined(&tree, &dealt) {
                prop_assert_eq!(columns(&tree, &records).unwrap(), dealt);
            }
        }
    }
}
