//! Errors: nobody decides by their texts, and each situation has a stable code that `docs/json.md` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{BINARY, ROOMS, Source, code_of, src, tokens};

/// Methods that look at what a text says.
const LOOKS: &[&str] = &[
    "contains",
    "starts_with",
    "ends_with",
    "strip_prefix",
    "strip_suffix",
    "find",
    "rfind",
    "split",
    "matches",
    "eq",
];

/// Names that errors go by.
const NAMES: &[&str] = &["error", "e", "err", "failure", "cause", "source", "malformed", "reason"];

/// Codes that the command line computes or takes from elsewhere: those of `cli/progress.rs`, and of what cannot be parsed.
const COMPUTED: &[&str] = &["unreadable", "not_restored", "damaged", "note", "usage"];

/// Where the text of an error is looked at.
fn looks_at_texts(code: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in code {
        for at in 0..source.tokens.len() {
            let token = |i: usize| source.tokens.get(at + i).map_or("", |token| &**token);
            let is_call = token(1) == "(" && token(2) == ")";
            let is_text = match token(0) {
                "message" => is_call,
                "to_string" | "reason" if is_call && at >= 2 => {
                    source.tokens[at - 1] == "." && NAMES.contains(&&*source.tokens[at - 2])
                }
                _ => false,
            };
            let is_looked_at = match (token(3), token(4)) {
                (".", method) => LOOKS.contains(&method),
                ("=" | "!", "=") => true,
                _ => false,
            };
            if is_text && is_looked_at {
                found.push(format!("{}: {}().{}", source.name, token(0), token(4)));
            }
        }
    }
    found
}

#[test]
fn nobody_decides_by_the_text_of_an_error() {
    let modules = ROOMS.iter().map(|room| room.name).chain(BINARY.iter().copied());
    let found: Vec<String> =
        modules.filter(|module| *module != "error").flat_map(|module| looks_at_texts(&code_of(module))).collect();
    assert!(found.is_empty(), "ask for the variant, the kind or the cause instead:\n{}", found.join("\n"));
}

/// `Error::Invalid` says nothing about which of four things went wrong. These rooms still use it; no other one does again.
const SAY_INVALID: &[&str] = &["store", "gc", "graph", "pack", "error"];

#[test]
fn an_error_says_what_it_is_about_and_not_only_that_it_is_invalid() {
    let modules = ROOMS.iter().map(|room| room.name).chain(BINARY.iter().copied());
    let vague = |source: &Source| source.tokens.windows(3).any(|three| three.concat() == "Error::Invalid");
    let found: Vec<String> = modules
        .filter(|module| !SAY_INVALID.contains(module))
        .flat_map(code_of)
        .filter(vague)
        .map(|source| source.name)
        .collect();
    assert!(found.is_empty(), "say InvalidArgument, WrongKind, LimitExceeded or Internal: {found:?}");
}

#[test]
fn the_checker_sees_where_a_text_is_looked_at() {
    for wrong in [
        "fn f(e: Error) -> bool { e.to_string().contains(\"locked\") }",
        "fn f(x: Error) -> bool { x.message().starts_with(\"index/\") }",
        "fn f(error: Error) -> bool { error.reason() == \"x\" }",
    ] {
        assert_eq!(looks_at_texts(&super::made_up(1, wrong)).len(), 1, "{wrong}");
    }
    for right in [
        "fn f(id: Id) -> bool { id.to_string().starts_with(\"12\") }",
        "fn f(e: Error) -> String { e.to_string() }",
        "#[cfg(test)] mod tests { fn f(e: Error) -> bool { e.to_string().contains(\"x\") } }",
    ] {
        assert!(looks_at_texts(&super::made_up(1, right)).is_empty(), "{right}");
    }
}

/// The texts that the arms of `fn code` in this file of `src/error` return, in order.
fn codes_in(file: &str) -> Vec<String> {
    let text = fs::read_to_string(src().join("error").join(file)).unwrap();
    let from = text.find("pub fn code(").unwrap_or_else(|| panic!("{file} has no codes"));
    let body = &text[from..];
    let body = &body[..body.find("\n    }\n").unwrap()];
    let tokens = tokens(body);
    let after_arrow = tokens.windows(3).filter(|three| three[0] == "=" && three[1] == ">" && three[2].starts_with('"'));
    after_arrow.map(|three| three[2].trim_matches('"').to_owned()).collect()
}

/// The codes that the command line has of its own.
fn codes_of_the_command_line() -> BTreeSet<String> {
    let mut codes: BTreeSet<String> = COMPUTED.iter().map(|code| (*code).to_owned()).collect();
    for source in code_of("cli") {
        for three in source.tokens.windows(3) {
            let is_code = three[0] == "code" && three[1] == ":" || three[0] == "error" && three[1] == "(";
            if is_code && three[2].starts_with('"') {
                codes.insert(three[2].trim_matches('"').to_owned());
            }
        }
    }
    codes
}

/// The match in `Error::code` has an arm for each variant, as the compiler sees to; so no two of them share a code.
#[test]
fn every_error_has_a_code_of_its_own() {
    let codes = codes_in("code.rs");
    let different: BTreeSet<&String> = codes.iter().collect();
    assert!(codes.len() > 30 && different.len() == codes.len(), "a code is there twice: {codes:?}");
    let text = fs::read_to_string(src().join("error/code.rs")).unwrap();
    let shared: Vec<&str> = text.lines().filter(|line| line.contains(" | ") && line.contains("=> \"")).collect();
    assert!(shared.iter().all(|line| line.contains("=> \"invalid\"")), "one code for several: {shared:?}");
}

/// The kind of each code, by the arms of `Error::kind` and `Error::code`.
fn kinds_of_codes() -> BTreeMap<String, String> {
    let arms = |file: &str, from: &str, is_value: fn(&str) -> bool| -> Vec<(String, String)> {
        let text = fs::read_to_string(src().join("error").join(file)).unwrap();
        let body = &text[text.find(from).unwrap()..];
        let tokens = tokens(&body[..body.find("\n    }\n").unwrap()]);
        let (mut variants, mut found) = (Vec::new(), Vec::new());
        for at in 2..tokens.len() {
            if tokens[at - 2] == "Self" && tokens[at - 1] == "::" {
                variants.push(tokens[at].clone());
            } else if is_value(&tokens[at]) && !variants.is_empty() {
                let value = tokens[at].trim_matches('"').to_owned();
                found.extend(variants.drain(..).map(|variant| (variant, value.clone())));
            }
        }
        found
    };
    let is_kind =
        |token: &str| !["ErrorKind", "Self"].contains(&token) && token.ends_with(|sign: char| sign.is_lowercase());
    let kinds: BTreeMap<_, _> = arms("kind.rs", "pub fn kind(", is_kind).into_iter().collect();
    let codes = arms("code.rs", "pub fn code(", |token| token.starts_with('"'));
    codes.into_iter().filter_map(|(variant, code)| Some((code, kinds.get(&variant)?.clone()))).collect()
}

#[test]
fn the_page_on_json_has_the_kind_of_each_code() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    let kinds = kinds_of_codes();
    assert!(kinds.len() > 30, "the kinds were not found: {kinds:?}");
    for (code, kind) in kinds {
        assert!(page.contains(&format!("\n| `{code}` | `{kind}` |")), "{code} is {kind}");
    }
}

#[test]
fn the_page_on_json_lists_every_code() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    let (_, section) = page.split_once("\n## Codes\n").expect("the page has a section on codes");
    let rows = section.lines().take_while(|line| !line.starts_with("## ")).filter_map(|line| line.strip_prefix("| `"));
    let listed: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let page: BTreeSet<String> = listed.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(page.len(), listed.len(), "a code is listed twice");
    let mut used = codes_of_the_command_line();
    used.extend(codes_in("code.rs"));
    used.extend(codes_in("storage.rs"));
    let missing: Vec<_> = used.difference(&page).collect();
    let unused: Vec<_> = page.difference(&used).collect();
    assert!(missing.is_empty() && unused.is_empty(), "not on the page: {missing:?}; not in the code: {unused:?}");
}
