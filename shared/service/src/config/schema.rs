//! The JSON schema of the spec, for editors. It is checked in at `schema/spec.v1.json`.

use serde_json::Value;

use super::raw::RawSpec;

/// The schema, generated from the raw types.
#[must_use]
pub fn spec_schema() -> Value {
    let mut schema = schemars::schema_for!(RawSpec).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), Value::from("Syncline spec, version 1"));
    }
    schema
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Set to write the schema instead of comparing it.
    const UPDATE_VARIABLE: &str = "SYNCLINE_UPDATE_SCHEMA";

    #[test]
    fn the_checked_in_schema_is_the_generated_one() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schema/spec.v1.json");
        let generated = format!("{}\n", serde_json::to_string_pretty(&spec_schema()).expect("serialises"));
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            fs::create_dir_all(path.parent().expect("has a parent")).expect("makes the directory");
            fs::write(&path, &generated).expect("writes");
        }
        let checked_in = fs::read_to_string(&path).expect("the schema is checked in");
        assert_eq!(checked_in, generated, "set {UPDATE_VARIABLE}=1 and run this test to write it");
    }
}
