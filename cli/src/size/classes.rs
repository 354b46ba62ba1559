//! Classes out of the built-in catalogue.

use std::str::FromStr;

use plimsoll_sizing::catalogue::{self, PRODUCTS, Product};
use plimsoll_sizing::{ClassSpec, JobSpec};
use thiserror::Error;

use super::{Gpus, SizeError};

/// What a job is sized for when nothing is named: one class of each generation that clusters have.
const DEFAULT: [&str; 3] = ["h100-sxm5-80gb", "a100-sxm4-40gb", "t4"];

/// `NAME` or `NAME=GPUSxNODES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassArgument {
    name: String,
    size: Option<(u32, u32)>,
}

/// Why an argument names no class.
#[derive(Debug, Error)]
#[error("failed to read the size {size:?}: give the devices of a node and the nodes, as in 8x2")]
pub(crate) struct ClassArgumentError {
    size: String,
}

impl FromStr for ClassArgument {
    type Err = ClassArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, size)) = text.split_once('=') else {
            return Ok(Self { name: text.to_owned(), size: None });
        };
        let positive = |text: &str| text.parse::<u32>().ok().filter(|count| (1..=65_536).contains(count));
        let read = size.split_once('x').and_then(|(gpus, nodes)| Some((positive(gpus)?, positive(nodes)?)));
        let read = read.ok_or_else(|| ClassArgumentError { size: size.to_owned() })?;
        Ok(Self { name: name.to_owned(), size: Some(read) })
    }
}

impl ClassArgument {
    /// A class of so many nodes.
    pub(crate) fn sized(name: String, gpus_per_node: u32, nodes: u32) -> Self {
        Self { name, size: Some((gpus_per_node, nodes)) }
    }
}

/// The classes to size for: those named, else the job's own, else [`DEFAULT`]; with as many nodes as the job could use
/// where none are given.
pub(crate) fn resolve(job: &JobSpec, named: &[ClassArgument], gpus: &[Gpus]) -> Result<Vec<ClassSpec>, SizeError> {
    let unsized_class = |name: &str| ClassArgument { name: name.to_owned(), size: None };
    let wanted: Vec<ClassArgument> = if !named.is_empty() || !gpus.is_empty() {
        let counted = gpus.iter().map(|gpus| Ok(gpus.class(product(&gpus.class)?.gpus_per_node)));
        named.iter().cloned().map(Ok).chain(counted).collect::<Result<_, SizeError>>()?
    } else if !job.classes.is_empty() {
        job.classes.iter().map(|class| unsized_class(class.as_str())).collect()
    } else {
        DEFAULT.map(unsized_class).to_vec()
    };
    wanted.into_iter().map(|argument| class(job, argument)).collect()
}

fn class(job: &JobSpec, argument: ClassArgument) -> Result<ClassSpec, SizeError> {
    let ClassArgument { name, size } = argument;
    let product = product(&name)?;
    let (gpus, nodes) = size.unwrap_or_else(|| enough(job, product));
    Ok(product.class_spec(gpus, nodes))
}

/// A product by the name of its class, its node label, or the beginning of its name. Of several, the one with NVLink: who
/// says h100 means the common one.
pub(super) fn product(name: &str) -> Result<&'static Product, SizeError> {
    let begins = |product: &&Product| product.class.split_once('-').is_some_and(|(first, _)| first == name);
    let mut begin = PRODUCTS.iter().filter(begins);
    let common = begin.clone().find(|product| product.class.contains("-sxm")).or_else(|| begin.next());
    let exact = catalogue::by_class(name).or_else(|| catalogue::lookup(name));
    exact.or(common).ok_or_else(|| SizeError::UnknownClass { name: name.to_owned() })
}

fn enough(job: &JobSpec, product: &Product) -> (u32, u32) {
    let pods = job.gpus_per_pod.map_or(0, |each| job.max_gpus.div_ceil(each));
    (product.gpus_per_node, job.max_gpus.div_ceil(product.gpus_per_node).max(pods).max(1))
}

/// The names of the catalogue, in one line.
pub(super) fn known() -> String {
    PRODUCTS.iter().map(|product| product.class).collect::<Vec<_>>().join(", ")
}
