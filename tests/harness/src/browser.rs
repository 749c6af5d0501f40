//! Chromium, driven by a scene of `tests/browser`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A scene under way.
#[derive(Debug)]
pub struct Scene {
    child: Child,
    lines: BufReader<ChildStdout>,
    answers: ChildStdin,
}

impl Scene {
    /// Begins `tests/browser/<name>.mjs` at a `serve` that listens at `base`.
    ///
    /// # Panics
    /// Node cannot be started.
    #[must_use]
    pub fn begin(name: &str, base: &str, variables: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser");
        let mut child = Command::new("node")
            .arg(format!("{name}.mjs"))
            .current_dir(folder)
            .env("SYNCLINE_BASE", base)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is there: tests/browser/setup.sh");
        let (lines, answers) = (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
        Self { child, lines: BufReader::new(lines), answers }
    }

    /// What the scene asks for next; absent once it has passed.
    ///
    /// # Panics
    /// It has failed.
    pub fn asked(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.lines.read_line(&mut line).expect("lines of text");
            assert!(read > 0, "the scene ended without a word");
            let text = line.trim_end();
            if let Some(what) = text.strip_prefix("ASK ") {
                return Some(what.to_owned());
            }
            if text == "PASSED" {
                return None;
            }
            if let Some(why) = text.strip_prefix("FAILED ") {
                let mut more = String::new();
                let _ = std::io::Read::read_to_string(&mut self.lines, &mut more);
                panic!("{why}\n{more}");
            }
        }
    }

    /// It is done.
    ///
    /// # Panics
    /// The scene has ended.
    pub fn answer(&mut self) {
        self.answers.write_all(b"done\n").expect("the scene listens");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
