//! The order of tables: parents before children.

use std::collections::{BTreeMap, BTreeSet};

/// The wave of each table (0 first) and whether it is part of a cycle of references. `parents[i]` are the tables that
/// table `i` refers to; a table that refers to itself is a cycle of one. Kahn's algorithm over cycles taken as one: the
/// tables of a cycle share a wave.
pub(crate) fn waves(parents: &[BTreeSet<usize>]) -> Vec<(u32, bool)> {
    let tables = 0..parents.len();
    let in_cycle: Vec<bool> = tables.clone().map(|table| reaches(parents, table, table)).collect();
    // All that must come before a table: the parents of its whole cycle, less the cycle itself.
    let before: Vec<BTreeSet<usize>> = tables
        .clone()
        .map(|table| {
            let same = |other: usize| {
                other == table || (reaches(parents, table, other) && reaches(parents, other, table))
            };
            let cycle = tables.clone().filter(|other| same(*other));
            cycle.flat_map(|member| &parents[member]).copied().filter(|parent| !same(*parent)).collect()
        })
        .collect();
    let mut wave: BTreeMap<usize, u32> = BTreeMap::new();
    // Cycles taken as one leave no cycle, so each round places at least one table.
    for current in 0.. {
        if wave.len() == parents.len() {
            break;
        }
        let placed = |parent: &usize| wave.contains_key(parent);
        let open = tables.clone().filter(|table| !placed(table));
        let ready: Vec<usize> = open.filter(|table| before[*table].iter().all(placed)).collect();
        wave.extend(ready.into_iter().map(|table| (table, current)));
    }
    wave.into_iter().map(|(table, wave)| (wave, in_cycle[table])).collect()
}

/// Whether `to` is a parent, grandparent and so on of `from`.
fn reaches(parents: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<usize> = parents[from].iter().copied().collect();
    while let Some(table) = open.pop() {
        if table == to {
            return true;
        }
        if seen.insert(table) {
            open.extend(&parents[table]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parents_come_first_and_cycles_share_a_wave() {
        // 0 ← 1 ← 2, 3 ↔ 4 with 3 also behind 2, 5 refers to itself.
        let parents = [vec![], vec![0], vec![1], vec![4, 2], vec![3], vec![5]].map(BTreeSet::from_iter);
        assert_eq!(waves(&parents), [(0, false), (1, false), (2, false), (3, true), (3, true), (0, true)]);
    }

    proptest! {
        #[test]
        fn every_parent_outside_a_cycle_is_in_an_earlier_wave(edges in prop::collection::vec((0..8_usize, 0..8_usize), 0..20)) {
            let mut parents = vec![BTreeSet::new(); 8];
            for (child, parent) in edges {
                parents[child].insert(parent);
            }
            let order = waves(&parents);
            for child in 0..8 {
                for parent in &parents[child] {
                    let same_cycle = reaches(&parents, *parent, child);
                    prop_assert!(order[*parent].0 < order[child].0 || same_cycle);
                }
            }
        }
    }
}
