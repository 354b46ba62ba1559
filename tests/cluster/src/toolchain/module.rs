//! A Go module under `tools/`: what it makes, which version is pinned, and the key of its build.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Release;

/// Why a module folder cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// `go.mod`, `go.sum` or `main.go` is missing.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// `go.mod` does not require the package whose version is stamped into the binaries.
    #[error("failed to find the version of {0} in go.mod")]
    NoVersion(&'static str),
}

/// What is known about a module beforehand.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Folder under `tools/`.
    pub(super) folder: &'static str,
    /// The required package whose version is the tool's.
    pub(super) package: &'static str,
    /// Binaries, as (name that Go gives, name that we give).
    pub(super) binaries: &'static [(&'static str, &'static str)],
    /// How to say the version to the linker; the tools report v0.0.0 otherwise, which clients cannot parse.
    pub(super) stamp: fn(&str) -> String,
    /// What a first build costs on a small machine, for the progress line.
    pub(super) first_build: &'static str,
    /// Whether kwok's stage files are to be copied beside the binaries.
    pub(super) stages: bool,
    /// What to build: the modules of the `tool` block, or a `main.go` of ours.
    pub(super) target: Target,
}

/// What is built in a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The packages of the `tool` block.
    Tools,
    /// The module's own `main.go`, which picks what goes into the program.
    Main,
}

/// Every module of a cluster with fake nodes, in building order. Only the first differs between releases of Kubernetes.
pub(super) fn modules(release: Release) -> [Recipe; 3] {
    [
        Recipe {
            folder: release.control_plane(),
            package: "k8s.io/kubernetes",
            binaries: &[
                ("kube-apiserver", "kube-apiserver"),
                ("kube-controller-manager", "kube-controller-manager"),
                ("kube-scheduler", "kube-scheduler"),
                ("kubectl", "kubectl"),
                ("server", "etcd"),
            ],
            stamp: stamp_kubernetes,
            first_build: "about 6 minutes on 2 cores",
            stages: false,
            target: Target::Tools,
        },
        Recipe {
            folder: "kwok",
            package: "sigs.k8s.io/kwok",
            binaries: &[("kwok", "kwok")],
            stamp: |version| format!("-X sigs.k8s.io/kwok/pkg/consts.Version={}", version.trim_start_matches('v')),
            first_build: "about 1 minute on 2 cores",
            stages: true,
            target: Target::Tools,
        },
        Recipe {
            folder: "helm",
            package: "helm.sh/helm/v4",
            binaries: &[("helm", "helm")],
            stamp: |version| format!("-X helm.sh/helm/v4/internal/version.version={version}"),
            first_build: "about 1 minute on 2 cores",
            stages: false,
            target: Target::Tools,
        },
    ]
}

/// What a real node needs beside those.
pub(super) fn node_modules(release: Release) -> [Recipe; 3] {
    [
        Recipe {
            folder: release.node(),
            package: "k8s.io/kubernetes",
            binaries: &[("kubelet", "kubelet"), ("kube-proxy", "kube-proxy")],
            stamp: stamp_kubernetes,
            first_build: "about 2 minutes on 2 cores",
            stages: false,
            target: Target::Tools,
        },
        Recipe {
            folder: "containerd",
            package: "github.com/containerd/containerd/v2",
            binaries: &[
                ("containerd", "containerd"),
                ("containerd-shim-runc-v2", "containerd-shim-runc-v2"),
                ("ctr", "ctr"),
            ],
            stamp: |version| format!("-X github.com/containerd/containerd/v2/version.Version={version}"),
            first_build: "about 2 minutes on 2 cores",
            stages: false,
            target: Target::Tools,
        },
        Recipe {
            folder: "coredns",
            package: "github.com/coredns/coredns",
            binaries: &[("coredns", "coredns")],
            stamp: |version| format!("-X github.com/coredns/coredns/coremain.gitTag={version}"),
            first_build: "about 1 minute on 2 cores",
            stages: false,
            target: Target::Main,
        },
    ]
}

fn stamp_kubernetes(version: &str) -> String {
    const VARIABLES: &str = "k8s.io/component-base/version";
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("-X {VARIABLES}.gitVersion={version} -X {VARIABLES}.gitMajor={major} -X {VARIABLES}.gitMinor={minor}")
}

/// A module as it stands in the checkout.
#[derive(Debug)]
pub(super) struct GoModule {
    pub(super) recipe: Recipe,
    /// Its folder.
    pub(super) path: PathBuf,
    /// The pinned version, with its `v`.
    pub(super) version: String,
    /// The linker's flags.
    pub(super) ldflags: String,
    /// Names the build: equal keys mean equal binaries.
    pub(super) key: String,
}

impl GoModule {
    /// Reads `go.mod` and `go.sum`, and `main.go` where that is built.
    pub(super) fn read(sources: &Path, recipe: Recipe) -> Result<Self, ModuleError> {
        let path = sources.join(recipe.folder);
        let read = |file: &str| {
            let path = path.join(file);
            std::fs::read_to_string(&path).map_err(|source| ModuleError::Read { path, source })
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let version = required_version(&go_mod, recipe.package).ok_or(ModuleError::NoVersion(recipe.package))?;
        let ldflags = format!("-s -w {}", (recipe.stamp)(version));
        let main = if recipe.target == Target::Main { read("main.go")? } else { String::new() };
        let key = key(recipe.folder, &[&go_mod, &go_sum, &main, &ldflags]);
        Ok(Self { recipe, version: version.to_owned(), ldflags, key, path })
    }
}

/// The version in a line `package v1.2.3` or `require package v1.2.3`.
fn required_version<'a>(go_mod: &'a str, package: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next() == Some(package)).then(|| words.next()).flatten().filter(|word| word.starts_with('v'))
    })
}

/// `<folder>-<first 16 hex digits of the SHA-256 over all parts>`.
fn key(folder: &str, parts: &[&str]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part.as_bytes()));
    let hex: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{folder}-{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_hash_of_the_joined_files() {
        // printf abc | sha256sum
        assert_eq!(key("kwok", &["a", "bc"]), "kwok-ba7816bf8f01cfea");
        assert_ne!(key("kwok", &["a", "bd"]), key("kwok", &["a", "bc"]));
    }

    #[test]
    fn the_version_is_found_in_a_block_and_in_a_single_line() {
        let block = "require (\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\nreplace k8s.io/api => k8s.io/api v0.37.2\n";
        assert_eq!(required_version(block, "k8s.io/kubernetes"), Some("v1.37.2"));
        assert_eq!(required_version("require a.b/c v4.3.1\n", "a.b/c"), Some("v4.3.1"));
        assert_eq!(required_version(block, "k8s.io/api"), None);
    }

    #[test]
    fn every_module_of_the_checkout_has_a_version_and_a_key() {
        let all = |release| modules(release).into_iter().chain(node_modules(release));
        for recipe in all(Release::Current).chain(all(Release::Oldest)) {
            let folder = recipe.folder;
            let module = GoModule::read(&crate::checkout().join("tools"), recipe).unwrap();
            assert!(module.version.starts_with('v'), "{}", module.version);
            assert!(module.key.starts_with(folder));
            assert!(module.ldflags.contains(module.version.trim_start_matches('v')), "{}", module.ldflags);
        }
    }

    #[test]
    fn the_kubelet_is_of_the_control_planes_version_and_of_the_release() {
        let version =
            |[recipe, ..]: [Recipe; 3]| GoModule::read(&crate::checkout().join("tools"), recipe).unwrap().version;
        for release in [Release::Current, Release::Oldest] {
            assert_eq!(version(node_modules(release)), version(modules(release)));
            assert!(version(modules(release)).starts_with(&format!("v{release}.")));
        }
    }

    #[test]
    fn kubernetes_is_stamped_with_major_and_minor() {
        let stamp = stamp_kubernetes("v1.37.2");
        assert!(
            stamp.contains("gitVersion=v1.37.2") && stamp.contains("gitMajor=1 ") && stamp.ends_with("gitMinor=37")
        );
    }
}
