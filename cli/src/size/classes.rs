//! Classes out of the built-in catalogue.

use std::str::FromStr;

use plimsoll_sizing::catalogue::{self, PRODUCTS, Product};
use plimsoll_sizing::{ClassSpec, JobSpec};
use thiserror::Error;

use super::SizeError;

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

/// The classes to size for: those named, else the job's own, else [`DEFAULT`]; with as many nodes as the job could use
/// where none are given.
pub(crate) fn resolve(job: &JobSpec, named: &[ClassArgument]) -> Result<Vec<ClassSpec>, SizeError> {
    let unsized_class = |name: &str| ClassArgument { name: name.to_owned(), size: None };
    let wanted: Vec<ClassArgument> = if !named.is_empty() {
        named.to_vec()
    } else if !job.classes.is_empty() {
        job.classes.iter().map(|class| unsized_class(class.as_str())).collect()
    } else {
        DEFAULT.map(unsized_class).to_vec()
    };
    wanted.into_iter().map(|argument| class(job, argument)).collect()
}

fn class(job: &JobSpec, argument: ClassArgument) -> Result<ClassSpec, SizeError> {
    let ClassArgument { name, size } = argument;
    let Some(product) = catalogue::by_class(&name).or_else(|| catalogue::lookup(&name)) else {
        return Err(SizeError::UnknownClass { name });
    };
    let (gpus, nodes) = size.unwrap_or_else(|| enough(job, product));
    Ok(product.class_spec(gpus, nodes))
}

fn enough(job: &JobSpec, product: &Product) -> (u32, u32) {
    let pods = job.gpus_per_pod.map_or(0, |each| job.max_gpus.div_ceil(each));
    (product.gpus_per_node, job.max_gpus.div_ceil(product.gpus_per_node).max(pods).max(1))
}

/// The names of the catalogue, in one line.
pub(super) fn known() -> String {
    PRODUCTS.iter().map(|product| product.class).collect::<Vec<_>>().join(", ")
}
