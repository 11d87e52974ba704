use super::*;
use crate::avro::varint;

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"long"},
    {"name":"note","type":["null","string"]},
    {"name":"customer","type":["null",{"type":"record","name":"Customer","fields":[
        {"name":"name","type":"string"},
        {"name":"parent","type":["null","Customer"]},
        {"name":"tags","type":{"type":"map","values":["null","long"]}}]}]},
    {"name":"items","type":{"type":"array","items":"Customer"}},
    {"name":"last","type":"double"}]}"#;

fn long(out: &mut Vec<u8>, value: i64) {
    varint::encode(out, value);
}

fn text(out: &mut Vec<u8>, value: &str) {
    long(out, value.len() as i64);
    out.extend_from_slice(value.as_bytes());
}

/// An order with a customer, whose parent has none.
fn order() -> Vec<u8> {
    let mut out = Vec::new();
    long(&mut out, 4711);
    long(&mut out, 0);
    long(&mut out, 1);
    text(&mut out, "ann");
    long(&mut out, 1);
    text(&mut out, "bob");
    long(&mut out, 0);
    long(&mut out, 0);
    // The map of the customer: two runs, one of which says its length.
    long(&mut out, 1);
    text(&mut out, "a");
    long(&mut out, 0);
    long(&mut out, -2);
    long(&mut out, 6);
    text(&mut out, "b");
    long(&mut out, 1);
    long(&mut out, 7);
    text(&mut out, "b");
    long(&mut out, 1);
    long(&mut out, 8);
    long(&mut out, 0);
    long(&mut out, 0);
    out.extend_from_slice(&1.5f64.to_le_bytes());
    out
}

fn find(paths: &str, record: &[u8]) -> Result<Vec<Option<Vec<u8>>>, WalkError> {
    let schema = Schema::parse(ORDER).unwrap();
    let locator = Locator::new(&schema, &FieldPath::parse_list(paths).unwrap()).unwrap();
    let mut found = Vec::new();
    locator.find(record, &mut found)?;
    Ok(found.into_iter().map(|found| found.map(|found| found.bytes(record).to_vec())).collect())
}

fn one(path: &str) -> Option<Vec<u8>> {
    find(path, &order()).unwrap().pop().unwrap()
}

#[test]
fn fields_are_found_through_unions_records_and_maps() {
    assert_eq!(one("id"), Some(vec![0xce, 0x49]));
    assert_eq!(one("note"), None);
    assert_eq!(one("customer.name"), Some(b"\x06ann".to_vec()));
    assert_eq!(one("customer.parent.name"), Some(b"\x06bob".to_vec()));
    assert_eq!(one("customer.parent.parent.name"), None);
    assert_eq!(one("customer.tags.a"), None);
    assert_eq!(one("customer.tags.b"), Some(vec![14]));
    assert_eq!(one("customer.tags.c"), None);
    assert_eq!(one("items"), Some(vec![0]));
    assert_eq!(one("last"), Some(1.5f64.to_le_bytes().to_vec()));
    assert_eq!(one("customer.parent"), Some(b"\x06bob\x00\x00".to_vec()));
}

#[test]
fn several_are_found_in_one_pass_in_the_order_they_were_asked_for() {
    let found = find("last,customer.parent.name,id,customer,id", &order()).unwrap();
    let [last, name, id, customer, again] = &found[..] else { panic!() };
    assert_eq!(last.as_deref(), Some(&1.5f64.to_le_bytes()[..]));
    assert_eq!(name.as_deref(), Some(&b"\x06bob"[..]));
    assert_eq!((id, id.as_deref()), (again, Some(&[0xce, 0x49][..])));
    assert!(customer.as_ref().unwrap().starts_with(b"\x06ann"));
}

#[test]
fn it_stops_at_the_last_field_that_is_wanted() {
    let whole = order();
    let after = |path: &str| (0..=whole.len()).find(|length| find(path, &whole[..*length]).is_ok()).unwrap();
    assert_eq!(after("id"), 2);
    assert_eq!(after("customer.name"), 8);
    assert_eq!(after("last"), whole.len());
    assert!((0..8).all(|length| find("customer.name", &whole[..length]) == Err(WalkError::Truncated)));
}

#[test]
fn what_is_not_there_is_an_error_that_names_what_is() {
    let schema = Schema::parse(ORDER).unwrap();
    let error = |path: &str| Locator::new(&schema, &[path.parse().unwrap()]).unwrap_err().to_string();
    assert_eq!(error("ID"), "the schema has no field ID; there are id, note, customer, items, last");
    assert_eq!(error("customer.nam"), "the schema has no field customer.nam; there are name, parent, tags");
    assert_eq!(error("id.x"), "the schema has no field id.x");
    assert_eq!(error("items.name"), "field items.name stands within an array");
}

#[test]
fn schemas_that_lead_to_a_field_in_ever_more_ways_are_followed_once() {
    let record = |n: usize| format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":"U"}}]}}"#);
    let names: Vec<_> = (0..50).map(record).collect();
    let union = names.join(",").replace(
        "\"U\"",
        &format!("[\"null\",{}]", (0..50).map(|n| format!("\"R{n}\"")).collect::<Vec<_>>().join(",")),
    );
    let schema = Schema::parse(&format!("[\"null\",{union}]")).unwrap();
    let path = FieldPath::new(vec!["a".into(); 60]).unwrap();
    let locator = Locator::new(&schema, &[path]).unwrap();
    let mut bytes = vec![2; 60];
    bytes.push(0);
    let mut found = Vec::new();
    locator.find(&bytes, &mut found).unwrap();
    assert_eq!(found, [None]);
    bytes[60] = 4;
    bytes.push(0);
    locator.find(&bytes, &mut found).unwrap();
    assert_eq!(found[0].as_ref().map(|found| found.range.clone()), Some(61..62));
}
