//! Specs and plans, parsed once per process: every claim needs both.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use model::{RunId, RunSpec, TablePlan};

/// Runs a process works on at once are few; the dashboard's list is bounded too.
const SPECS_MAX: usize = 256;
/// A plan is some kilobytes: tens of megabytes at most.
const PLANS_MAX: usize = 2_048;

/// What never changes under its key: a run keeps its spec, a plan gets a new version.
#[derive(Default)]
pub(crate) struct Cache {
    specs: Bounded<RunId, RunSpec>,
    plans: Bounded<(RunId, u32, i64), TablePlan>,
}

impl Cache {
    pub(crate) fn spec(&self, run: RunId) -> Option<Arc<RunSpec>> {
        self.specs.get(&run)
    }

    pub(crate) fn put_spec(&self, run: RunId, spec: RunSpec) -> Arc<RunSpec> {
        self.specs.put(run, spec, SPECS_MAX)
    }

    pub(crate) fn plan(&self, run: RunId, table: u32, version: i64) -> Option<Arc<TablePlan>> {
        self.plans.get(&(run, table, version))
    }

    pub(crate) fn put_plan(&self, run: RunId, table: u32, version: i64, plan: TablePlan) -> Arc<TablePlan> {
        self.plans.put((run, table, version), plan, PLANS_MAX)
    }
}

/// A map that starts over when it is full.
struct Bounded<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: K, value: V, max: usize) -> Arc<V> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= max {
            map.clear();
        }
        map.entry(key).or_insert_with(|| Arc::new(value)).clone()
    }
}
