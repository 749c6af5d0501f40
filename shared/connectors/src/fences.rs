//! Walking through the fences of a run, whatever the engine.

use model::{Attempt, ChunkId, InstallId, RunId};

use crate::{Result, Target};

/// Fences read at once: memory stays flat for a run of any length.
const PAGE: u32 = 500;

/// The fences of a run, a page at a time.
pub struct AttemptPages<'a> {
    target: &'a dyn Target,
    of: (InstallId, RunId),
    after: Option<ChunkId>,
    is_over: bool,
}

impl<'a> AttemptPages<'a> {
    #[must_use]
    pub fn new(target: &'a dyn Target, install: InstallId, run: RunId) -> Self {
        Self { target, of: (install, run), after: None, is_over: false }
    }

    /// The next page, never an empty one; `None` when there are no more.
    ///
    /// # Errors
    /// As [`Target::attempts`]; the same page may be asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<(ChunkId, Attempt)>>> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.target.attempts(self.of.0, self.of.1, self.after, PAGE).await?;
        self.is_over = page.len() < PAGE as usize;
        self.after = page.last().map(|(chunk, _)| *chunk);
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}

/// The highest attempt that wrote a chunk, if any did.
///
/// # Errors
/// As [`Target::attempts`].
pub async fn fence_of(
    target: &dyn Target,
    (install, run): (InstallId, RunId),
    chunk: ChunkId,
) -> Result<Option<Attempt>> {
    let mut pages = AttemptPages::new(target, install, run);
    while let Some(page) = pages.next().await? {
        if let Some((_, attempt)) = page.into_iter().find(|(id, _)| *id == chunk) {
            return Ok(Some(attempt));
        }
    }
    Ok(None)
}
