//! The crates that a program is built of.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

/// The graph of crates cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CratesError {
    /// The workspace has no such package.
    #[error("failed to find the package {0} in this workspace")]
    Unknown(String),
    /// The metadata lacks the graph, or a part of it.
    #[error("failed to read the graph of crates: it lacks {0}")]
    Graph(String),
}

/// The crates of a program, with what each needs directly. The first is the program's own.
#[derive(Debug)]
pub(crate) struct Crates<'a> {
    pub(crate) root: &'a Package,
    pub(crate) needs: BTreeMap<&'a PackageId, BTreeSet<&'a PackageId>>,
    by_id: BTreeMap<&'a PackageId, &'a Package>,
}

impl<'a> Crates<'a> {
    /// Follows normal dependencies: what builds and tests the program is no part of it.
    pub(crate) fn of(metadata: &'a Metadata, package: &str) -> Result<Self, CratesError> {
        let by_id: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package)).collect();
        let root = metadata.workspace_packages().into_iter().find(|one| one.name.as_str() == package);
        let root = root.ok_or_else(|| CratesError::Unknown(package.to_owned()))?;
        let resolve = metadata.resolve.as_ref().ok_or_else(|| CratesError::Graph("dependencies".to_owned()))?;
        let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
        let (mut needs, mut open) = (BTreeMap::new(), vec![&root.id]);
        while let Some(id) = open.pop() {
            if needs.contains_key(id) {
                continue;
            }
            let node = nodes.get(id).ok_or_else(|| CratesError::Graph(id.to_string()))?;
            let normal = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            let direct: BTreeSet<_> = normal.map(|dep| &dep.pkg).collect();
            open.extend(&direct);
            needs.insert(id, direct);
        }
        Ok(Self { root, needs, by_id })
    }

    /// All its crates but its own.
    pub(crate) fn others(&self) -> impl Iterator<Item = &'a Package> {
        let ids = self.needs.keys().filter(|id| **id != &self.root.id);
        ids.filter_map(|id| self.by_id.get(id).copied())
    }

    /// The crate of an id.
    pub(crate) fn get(&self, id: &PackageId) -> Option<&'a Package> {
        self.by_id.get(id).copied()
    }
}
