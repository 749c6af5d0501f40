//! Why nothing of a run is handed out just now, for those who look: written when it changes, cleared when it heals.

use model::{RunId, RunState, Waiting};
use serde_json::json;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::{self, Fields as _};

impl Ledger {
    /// Says what running runs wait for (`on`), all of them or one, and why; `None` says that they no longer wait for
    /// it, and leaves alone a run that waits for something else. Each change is an event of the run. Said twice it
    /// changes nothing; how many runs it changed. While a run waits for a brake nothing of it is claimed; what was
    /// refused is handed out at once when it waits no more.
    pub async fn set_waiting(&self, run: Option<RunId>, on: &str, reason: Option<&str>) -> Result<u64> {
        self.write("say what runs wait for", || self.wait_once(run, on, reason)).await
    }

    async fn wait_once(
        &self,
        run: Option<RunId>,
        on: &str,
        reason: Option<&str>,
    ) -> std::result::Result<u64, Cause> {
        let mut tx = self.begin().await?;
        let only = if run.is_some() { "AND id = ?" } else { "" };
        let sql = format!("SELECT id, waiting FROM syncline_run WHERE state = ? {only} ORDER BY id {{lock}}");
        let mut select = sqlx::query(self.sql(&sql)).bind(RunState::Running.name());
        if let Some(run) = run {
            select = select.bind(run.to_string());
        }
        let wish = reason.map(|reason| Waiting { on: on.to_owned(), reason: reason.to_owned() });
        let mut changed = Vec::new();
        for row in select.fetch_all(tx.conn()).await? {
            let stands: Option<Waiting> = row.opt_json("waiting")?;
            let is_other = stands.as_ref().is_some_and(|stands| stands.on != on);
            if stands != wish && !(wish.is_none() && is_other) {
                changed.push(row.named::<RunId>("id")?);
            }
        }
        for id in &changed {
            let stored = wish.as_ref().map(|wish| fields::json(wish, "reason")).transpose()?;
            let update =
                sqlx::query(self.sql("UPDATE syncline_run SET waiting = ? WHERE id = ?")).bind(stored);
            update.bind(id.to_string()).execute(tx.conn()).await?;
        }
        if wish.is_none() && on == Waiting::BRAKE {
            // Refused to workers meanwhile: they need not wait for their time to be sent again.
            for id in &changed {
                self.hand_out_again(&mut tx, *id).await?;
            }
        }
        for id in &changed {
            let kind = if wish.is_some() { "run-waiting" } else { "run-waits-no-more" };
            self.put_event(&mut tx, Place::run(*id), kind, &json!({ "on": on, "reason": reason })).await?;
        }
        tx.commit().await?;
        Ok(changed.len() as u64)
    }
}
