//! Disks that can be full.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// A disk of a few MB of its own; gone when dropped. Needs root, as CI is.
pub(crate) struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new(size: &str) -> Self {
        let disk = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.folder()).unwrap();
        let image = disk.dir.path().join("image").display().to_string();
        run("truncate", &["-s", size, &image]);
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "^has_journal", &image]);
        run("mount", &["-o", "loop", &image, &disk.folder().display().to_string()]);
        disk
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.folder().join("filler")).unwrap();
        let mut size = 1 << 16;
        while size > 0 {
            if file.write_all(&vec![7; size]).is_err() {
                size /= 2;
            }
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.folder().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that still has it open must not keep it mounted.
        let _ = Command::new("umount").arg("-l").arg(self.folder()).status();
    }
}

fn run(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        done.status.success(),
        "{program} {args:?} needs root: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}
