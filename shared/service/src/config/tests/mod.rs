//! The examples, random texts, and what the other tests share.

mod accepted;
mod refused;

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const HEAD: &str = "version: 1\nname: shop\nsource: { engine: sqlite, path: a.db }\ntarget: { engine: sqlite, path: b.db }\n";

fn variables(name: &str) -> Option<String> {
    match name {
        "DB_HOST" => Some("db7".to_owned()),
        "DB_PORT" => Some("3310".to_owned()),
        _ => None,
    }
}

fn load(text: &str) -> LoadedSpec {
    parse_spec_with(text, "shop.yaml", &variables).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

/// The messages for a text that must be refused.
fn refused(text: &str) -> String {
    let error = parse_spec_with(text, "shop.yaml", &variables).expect_err("must be refused");
    assert!(!format!("{error} {error:?} {}", error.render(true)).contains("hunter2"));
    crate::Problem::from(&error).to_string()
}

/// As `refused`, for the tables after a head that is right.
fn refused_tables(tables: &str) -> String {
    refused(&format!("{HEAD}{tables}"))
}

/// The one-line messages for a text that must be refused.
fn lines(text: &str) -> String {
    parse_spec_with(text, "shop.yaml", &variables).expect_err("must be refused").to_string()
}

fn connection(source: &str) -> Result<LoadedSpec, SpecError> {
    let text =
        format!("version: 1\nname: shop\nsource: {source}\ntarget: sqlite:b.db\ntables: [{{ from: t }}]\n");
    parse_spec_with(&text, "shop.yaml", &variables)
}

#[test]
fn every_example_is_valid() {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for folder in fs::read_dir(examples).expect("examples").flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten().map(|file| file.path()) {
            if file.extension().is_some_and(|extension| extension == "yaml") {
                let loaded = load_spec(&file).unwrap_or_else(|error| panic!("{}", error.render(false)));
                assert!(loaded.warnings.is_empty(), "{}: {:?}", file.display(), loaded.warnings);
                seen += 1;
            }
        }
    }
    assert!(seen >= 2);
}

/// Words that specs are made of, so that random texts get past the first line.
fn fragments() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "version: 1\n",
        "name: shop\n",
        "source: ",
        "target: ",
        "tables:\n",
        "  - from: ",
        "    to: ",
        "defaults: ",
        "{ engine: mysql, ",
        "database: d }\n",
        "sqlite:a.db\n",
        "mysql://a:b@c/d\n",
        "password: ",
        "${env:",
        "${file:/",
        ":-",
        "}",
        "\"",
        "'",
        "*",
        "a*b\n",
        "[",
        "]",
        ",",
        "\n",
        "  ",
        "- ",
        "&a ",
        "*a",
        "!!str ",
        "|\n",
        "<<: ",
        "guard: { max_delete: ",
        "10%",
        "9e999",
        "-1",
        "é",
        "\u{feff}",
        "\t",
        "~",
        "%",
        "@",
        "://",
    ];
    prop::collection::vec(prop_oneof![prop::sample::select(WORDS).prop_map(str::to_owned), ".{0,3}"], 0..40)
        .prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![fragments(), fragments().prop_map(|text| format!("{HEAD}tables: [{{ from: t }}]\n{text}"))]) {
        if let Err(error) = parse_spec_with(&text, "fuzz.yaml", &variables) {
            prop_assert!(!error.problems().is_empty());
            let _shown = (error.render(true), error.to_string());
        }
    }

    #[test]
    fn no_reference_makes_it_panic(text in "[a-z$\\{\\}:/-]{0,24}") {
        let _expanded = crate::secret::expand(&text, &variables);
    }
}
