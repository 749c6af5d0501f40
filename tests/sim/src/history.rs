//! What happened, line by line: hashed always, kept on demand. Ids are replaced by short names in the order in which
//! they appear, so that two runs of one seed tell the same story.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher as _};

const PREFIXES: [&str; 3] = ["chunk_", "run_", "install_"];
const ID_LEN: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct History {
    keeps: bool,
    lines: Vec<String>,
    hasher: DefaultHasher,
    names: HashMap<String, String>,
    marks: BTreeMap<&'static str, u64>,
}

impl History {
    pub(crate) fn new(keeps: bool) -> Self {
        Self { keeps, ..Self::default() }
    }

    pub(crate) fn line(&mut self, at_ms: u64, who: &str, text: &str) {
        let text = self.named(text);
        let line = format!("{:>7}.{:03} {who:<8} {text}", at_ms / 1000, at_ms % 1000);
        self.hasher.write(line.as_bytes());
        self.hasher.write_u8(b'\n');
        if self.keeps {
            self.lines.push(line);
        }
    }

    /// A rare thing was really met.
    pub(crate) fn mark(&mut self, name: &'static str) {
        *self.marks.entry(name).or_default() += 1;
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(crate) fn into_parts(self) -> (Vec<String>, BTreeMap<&'static str, u64>) {
        (self.lines, self.marks)
    }

    /// The text with short names for ids.
    fn named(&mut self, text: &str) -> String {
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, prefix)) = next_id(rest) {
            let end = at + prefix.len() + ID_LEN;
            named.push_str(&rest[..at]);
            let count = self.names.len() + 1;
            let short =
                self.names.entry(rest[at..end].to_owned()).or_insert_with(|| format!("{prefix}{count}"));
            named.push_str(short);
            rest = &rest[end..];
        }
        named.push_str(rest);
        named
    }
}

/// Where the first id of the text begins, and its prefix.
fn next_id(text: &str) -> Option<(usize, &'static str)> {
    let is_id = |(at, prefix): &(usize, &'static str)| {
        let digits = text.as_bytes().get(at + prefix.len()..at + prefix.len() + ID_LEN);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let places = PREFIXES.iter().flat_map(|prefix| text.match_indices(prefix).map(|(at, _)| (at, *prefix)));
    places.filter(is_id).min()
}
