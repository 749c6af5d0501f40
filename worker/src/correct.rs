//! What a person says about rows that were set aside, in place of what the source holds.

use connectors::{Result, Selection, Slice, Target};
use futures::StreamExt as _;
use model::{Column, Correction, Key, QuarantinedRow, Row, RowBatch, TablePlan, Value};

use crate::convert;
use crate::fields::Fields;
use crate::merge::Tally;

/// The corrections of a chunk: mostly none.
#[derive(Default)]
pub(crate) struct Corrections {
    /// The chunk was done before: what was set aside then may arrive now.
    pub(crate) is_replay: bool,
    said: Vec<One>,
}

struct One {
    /// In the target's types: the quarantine names a row by what its key had become when it was refused.
    key: Key,
    /// Place of the column in the plan.
    at: usize,
    value: Value,
}

impl Corrections {
    /// Those that this plan has a place for. A key is not corrected: it would be another row.
    pub(crate) fn of_replay(plan: &TablePlan, corrections: &[Correction]) -> Self {
        let one = |correction: &Correction| {
            let at = plan.place_to_correct(&correction.column)?;
            let logical = &plan.columns[at].corrected_as().logical;
            let key = convert::key_to_target(plan, &correction.key.0)?;
            let value = match &correction.value {
                None => Value::Null,
                // One that does not fit is refused when it is converted, as any value.
                Some(text) => {
                    model::convert::read(text, logical).unwrap_or_else(|_| Value::Text(text.clone()))
                }
            };
            (!plan.key.is_empty() && !plan.key.contains(&at)).then_some(One { key, at, value })
        };
        Self { is_replay: true, said: corrections.iter().filter_map(one).collect() }
    }

    /// Puts into a source row what was said about it.
    pub(crate) fn apply(&self, plan: &TablePlan, row: &mut Row) {
        if self.said.is_empty() {
            return;
        }
        for one in self.of(plan, &plan.key_of(row)) {
            row[one.at] = one.value.clone();
        }
    }

    /// Whether something was said about the row of this key.
    pub(crate) fn has(&self, plan: &TablePlan, key: &Key) -> bool {
        !self.said.is_empty() && !self.of(plan, key).is_empty()
    }

    fn of(&self, plan: &TablePlan, key: &Key) -> Vec<&One> {
        let key = convert::key_to_target(plan, &key.0);
        self.said.iter().filter(|one| key.as_ref() == Some(&one.key)).collect()
    }

    /// The rows that could not be decoded and were corrected, converted; to be called once the others are read.
    pub(crate) async fn rows(
        &self,
        (plan, fields): (&TablePlan, &Fields),
        (source, target): (&dyn Target, &dyn Target),
        tally: &mut Tally,
    ) -> Result<Vec<Row>> {
        let mut converted = Vec::new();
        for refused in std::mem::take(&mut tally.corrected) {
            let read = self.read_again(plan, fields, (source, target), refused).await?;
            match read.map(|row| convert::row(plan, fields, target, row)) {
                Ok(Ok(row)) => converted.push(row),
                Ok(Err(refusal)) => tally.refuse(plan, source.engine(), refusal)?,
                Err(row) => tally.quarantine(row),
            }
        }
        Ok(converted)
    }

    /// Reads a row that could not be decoded once more, without the columns that were corrected, and puts those in. The
    /// row for the quarantine, if it still cannot be decoded, or is gone.
    async fn read_again(
        &self,
        plan: &TablePlan,
        fields: &Fields,
        (source, target): (&dyn Target, &dyn Target),
        refused: QuarantinedRow,
    ) -> Result<std::result::Result<Row, QuarantinedRow>> {
        let corrected = self.of(plan, &refused.key);
        let read = |at: &usize| corrected.iter().all(|one| one.at != *at);
        let columns: Vec<&Column> = plan.source_columns().collect();
        let places: Vec<usize> = (0..columns.len()).filter(read).collect();
        let slice = Slice {
            table: plan.source.clone(),
            columns: places.iter().map(|at| columns[*at].clone()).collect(),
            key: plan.source_key(),
            rows: Selection::Keys(vec![refused.key.clone()]),
        };
        let mut batches = source.read(&slice);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            if let Some(other) = batch.undecodable.into_iter().find(|row| row.key == refused.key) {
                return Ok(Err(other));
            }
            for read in batch.rows {
                let mut row = vec![Value::Null; columns.len()];
                for (at, value) in places.iter().zip(read) {
                    row[*at] = value;
                }
                if plan.key_of(&row) == refused.key {
                    self.apply(plan, &mut row);
                    let mut whole = RowBatch::new(batch.columns);
                    whole.push(row);
                    let mut filled = fields.nests.filled(source, target, whole).await?;
                    return Ok(filled.rows.pop().ok_or_else(|| filled.undecodable.pop().unwrap_or(refused)));
                }
            }
        }
        Ok(Err(refused))
    }
}
