//! The programs a cluster is made of: Go tools pinned in `tools/`, built once into a cache folder.

mod build;
mod module;

use std::path::{Path, PathBuf};

pub use self::build::BuildError;
pub use self::module::ModuleError;
use self::module::{GoModule, Recipe, modules, node_modules};
use crate::{Progress, Release};

/// Why the tools are not there.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// Neither `PLIMSOLL_CACHE` nor `XDG_CACHE_HOME` nor `HOME` says where to build into.
    #[error("failed to find a cache folder: set PLIMSOLL_CACHE")]
    NoCacheFolder,
    /// A module folder under `tools/` is broken.
    #[error("failed to read Go module {module}")]
    Module {
        /// Folder under `tools/`.
        module: &'static str,
        /// What is wrong with it.
        #[source]
        source: ModuleError,
    },
    /// Go could not build it.
    #[error("failed to build Go module {module}")]
    Build {
        /// Folder under `tools/`.
        module: &'static str,
        /// What went wrong.
        #[source]
        source: BuildError,
    },
    /// Somebody removed a part of what was built.
    #[error("failed to find {name} among the built tools: remove {} and start again", cache.display())]
    Incomplete {
        /// The file, relative to its module's folder.
        name: &'static str,
        /// The folder of everything that was built.
        cache: PathBuf,
    },
}

/// Where the pinned tools come from and where they are built into.
#[derive(Debug, Clone)]
pub struct Toolchain {
    sources: PathBuf,
    cache: PathBuf,
}

/// Paths of everything that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// `kube-apiserver`.
    pub kube_apiserver: PathBuf,
    /// `kube-controller-manager`.
    pub kube_controller_manager: PathBuf,
    /// `kube-scheduler`.
    pub kube_scheduler: PathBuf,
    /// `kubectl`.
    pub kubectl: PathBuf,
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kwok`.
    pub kwok: PathBuf,
    /// `helm`.
    pub helm: PathBuf,
    /// kwok's own stages for nodes: `node-initialize.yaml` and `node-heartbeat-with-lease.yaml`.
    pub kwok_stages: PathBuf,
    /// The Kubernetes version, as `v1.37.2`.
    pub kubernetes_version: String,
    /// The release that this is a version of.
    pub release: Release,
}

/// Paths of what a real node is made of, beside the machine's own runc and network plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeTools {
    pub(crate) kubelet: PathBuf,
    pub(crate) kube_proxy: PathBuf,
    /// Its shim lies beside it.
    pub(crate) containerd: PathBuf,
    pub(crate) ctr: PathBuf,
    pub(crate) coredns: PathBuf,
}

impl Toolchain {
    /// Builds what is missing of the pinned tools and says where everything is.
    ///
    /// The first call takes some minutes; later ones only look. Another process that builds at the same time is waited
    /// for. Dropping the future ends a build under way.
    pub async fn ensure(progress: Progress<'_>) -> Result<Tools, ToolchainError> {
        Self::ensure_release(Release::Current, progress).await
    }

    /// As [`Toolchain::ensure`], with another release of Kubernetes.
    pub async fn ensure_release(release: Release, progress: Progress<'_>) -> Result<Tools, ToolchainError> {
        Self::from_environment()?.build(release, progress).await
    }

    /// The checkout's `tools/`, built into `$PLIMSOLL_CACHE`, `$XDG_CACHE_HOME/plimsoll` or `~/.cache/plimsoll`.
    pub fn from_environment() -> Result<Self, ToolchainError> {
        let cache = cache_folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
            .ok_or(ToolchainError::NoCacheFolder)?;
        // Go wants its output folder absolute, since it runs in the module's.
        let cache = std::path::absolute(&cache).unwrap_or(cache);
        Ok(Self { sources: crate::checkout().join("tools"), cache: cache.join("tools") })
    }

    /// The folder that everything is built into, outside the checkout.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// As [`Toolchain::ensure_release`], from and into the folders of this value.
    pub async fn build(&self, release: Release, progress: Progress<'_>) -> Result<Tools, ToolchainError> {
        let built = self.build_all(modules(release), progress).await?;
        let find = |name| built.find(name);
        Ok(Tools {
            kube_apiserver: find("bin/kube-apiserver")?,
            kube_controller_manager: find("bin/kube-controller-manager")?,
            kube_scheduler: find("bin/kube-scheduler")?,
            kubectl: find("bin/kubectl")?,
            etcd: find("bin/etcd")?,
            kwok: find("bin/kwok")?,
            helm: find("bin/helm")?,
            kwok_stages: find(build::STAGES)?,
            kubernetes_version: built.kubernetes_version.clone(),
            release,
        })
    }

    /// Builds what a real node needs as well: more minutes on the first call.
    pub(crate) async fn build_node(
        &self,
        release: Release,
        progress: Progress<'_>,
    ) -> Result<NodeTools, ToolchainError> {
        let built = self.build_all(node_modules(release), progress).await?;
        built.find("bin/containerd-shim-runc-v2")?; // run by containerd, which finds it beside itself
        Ok(NodeTools {
            kubelet: built.find("bin/kubelet")?,
            kube_proxy: built.find("bin/kube-proxy")?,
            containerd: built.find("bin/containerd")?,
            ctr: built.find("bin/ctr")?,
            coredns: built.find("bin/coredns")?,
        })
    }

    async fn build_all(&self, modules: [Recipe; 3], progress: Progress<'_>) -> Result<Built, ToolchainError> {
        let mut built = Built { folders: Vec::new(), kubernetes_version: String::new(), cache: self.cache.clone() };
        for recipe in modules {
            let (name, kubernetes) = (recipe.folder, recipe.package == "k8s.io/kubernetes");
            let module = GoModule::read(&self.sources, recipe)
                .map_err(|source| ToolchainError::Module { module: name, source })?;
            let folder = build::ensure(&module, &self.cache, progress)
                .await
                .map_err(|source| ToolchainError::Build { module: name, source })?;
            if kubernetes {
                built.kubernetes_version = module.version.clone();
            }
            built.folders.push(folder);
        }
        Ok(built)
    }
}

/// Modules that were built.
struct Built {
    folders: Vec<PathBuf>,
    kubernetes_version: String,
    cache: PathBuf,
}

impl Built {
    fn find(&self, name: &'static str) -> Result<PathBuf, ToolchainError> {
        let mut candidates = self.folders.iter().map(|folder| folder.join(name));
        candidates.find(|path| path.exists()).ok_or(ToolchainError::Incomplete { name, cache: self.cache.clone() })
    }
}

/// Picks the cache folder by the variables that are set.
fn cache_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let below = |name: &str, rest: &str| variable(name).map(|base| base.join(rest));
    variable("PLIMSOLL_CACHE")
        .or_else(|| below("XDG_CACHE_HOME", "plimsoll"))
        .or_else(|| below("HOME", ".cache/plimsoll"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_follows_the_most_specific_variable() {
        let all = |name: &str| match name {
            "PLIMSOLL_CACHE" => Some(PathBuf::from("/cache")),
            "XDG_CACHE_HOME" => Some(PathBuf::from("/xdg")),
            "HOME" => Some(PathBuf::from("/home/me")),
            _ => None,
        };
        assert_eq!(cache_folder(all).unwrap(), Path::new("/cache"));
        assert_eq!(cache_folder(|n| all(n).filter(|_| n != "PLIMSOLL_CACHE")).unwrap(), Path::new("/xdg/plimsoll"));
        assert_eq!(cache_folder(|n| all(n).filter(|_| n == "HOME")).unwrap(), Path::new("/home/me/.cache/plimsoll"));
        assert_eq!(cache_folder(|_| None), None);
    }
}
