//! The class of accelerator behind a name in a `hardware` column.
//!
//! Names are compared by their parts, so that a product that no table has named yet is found too: what is a memory size
//! (`80gb`), a form (`sxm5`, `pcie`), a power limit (`500w`), a kind of memory (`hbm2e`), a count (`8x`) or a maker's name
//! is taken apart, and the rest is the product. Of several variants the nearest in memory, then in form, is meant; where
//! the name says nothing the module form is, which nearly all published training runs on. Memory and power that the name
//! states overrule the product's.

use plimsoll_sizing::catalogue::PRODUCTS;
use plimsoll_sizing::{ClassName, ClassSpec, LoadLine, PeakFlops};

use crate::{CellError, Published, Row};

/// Bytes of one GiB.
const GIB: f64 = 1_073_741_824.0;

/// Words that name a maker, a line of products or a whole machine.
const NOISE: &[&str] = &[
    "nvidia",
    "tesla",
    "geforce",
    "quadro",
    "rtx",
    "gtx",
    "amd",
    "instinct",
    "radeon",
    "google",
    "cloud",
    "intel",
    "habana",
    "gpu",
    "gpus",
    "dgx",
    "dgx1",
    "dgx2",
    "hgx",
    "generation",
    "gen3",
    "gen4",
    "gen5",
    "gen6",
    "x",
];

/// The parts of a product's name.
#[derive(Clone, Debug, Default, PartialEq)]
struct Name {
    product: String,
    memory_gb: Option<f64>,
    form: Option<String>,
    watts: Option<f64>,
    memory_kind: Option<String>,
}

impl Name {
    fn of(text: &str) -> Self {
        let mut name = Self::default();
        for word in text.to_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
            // "rtx3090" and "teslat4" are glued.
            let word = ["rtx", "gtx", "tesla"].iter().find_map(|glued| word.strip_prefix(glued)).unwrap_or(word);
            let word = without_count(word);
            let number = |suffix: &str| word.strip_suffix(suffix).and_then(|digits| digits.parse::<f64>().ok());
            if let Some(memory) = number("gb").or_else(|| number("gib")) {
                name.memory_gb = Some(memory);
            } else if let Some(watts) = number("w") {
                name.watts = Some(watts);
            } else if ["sxm", "pcie", "nvl", "oam"].iter().any(|form| word.starts_with(form)) {
                name.form = Some(word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned());
            } else if word.starts_with("hbm") || word.starts_with("gddr") {
                name.memory_kind = Some(word.to_owned());
            } else if !word.is_empty() && !NOISE.contains(&word) {
                name.product.push_str(word);
            }
        }
        name
    }

    /// How far another name of the same product is from this one: form first where it is stated, then memory.
    fn distance(&self, other: &Self) -> (f64, f64, u32) {
        let memory = match (self.memory_gb, other.memory_gb) {
            (Some(stated), Some(theirs)) => (stated - theirs).abs(),
            _ => 0.0,
        };
        let differs = |stated: &Option<String>, theirs: &Option<String>| {
            if stated.is_none() || stated == theirs { 0.0 } else { 1.0 }
        };
        let variant = differs(&self.form, &other.form) + differs(&self.memory_kind, &other.memory_kind);
        let preference = match other.form.as_deref() {
            _ if other.memory_kind.is_some() => 4,
            Some("sxm" | "oam") => 0,
            None => 1,
            Some("pcie") => 2,
            Some(_) => 3,
        };
        (memory, variant, preference)
    }
}

/// A word without a number of devices before or after it: "8xv100" and "h100x64"; nothing is left of "8x" and "x8". "dgx2" is
/// a machine.
fn without_count(word: &str) -> &str {
    let is_count = |text: &str| !text.is_empty() && is_number(text);
    let is_product = |text: &str| text.is_empty() || text.contains(|c: char| c.is_ascii_digit());
    match (word.split_once('x'), word.rsplit_once('x')) {
        (Some((count, rest)), _) if is_count(count) => rest,
        (_, Some((rest, count))) if is_count(count) && is_product(rest) => rest,
        _ => word,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// All classes that a name can mean: the catalogue of sizing, and the rows of tables that describe products.
#[derive(Clone, Debug)]
pub struct Hardware {
    classes: Vec<(Name, ClassSpec)>,
}

impl Hardware {
    /// The catalogue and what the tables describe (columns `gpu`, `mem_usable_gib`, `mem_bw_gbs`, `*_tflops`).
    pub fn of(published: &Published) -> Self {
        let mut classes: Vec<(Name, ClassSpec)> = PRODUCTS
            .iter()
            .map(|product| {
                let mut name = Name::of(product.class);
                name.memory_gb = name.memory_gb.or(Some(product.memory_gib.ceil()));
                (name, product.class_spec(product.gpus_per_node, 1024))
            })
            .collect();
        for row in published.rows().filter(|row| row.has("mem_bw_gbs") && row.has("mem_usable_gib")) {
            let Ok(class) = described(row) else { continue };
            let mut name = Name::of(class.name.as_str());
            if let Ok(Some(memory)) = row.number("mem_gb_label") {
                name.memory_gb = Some(memory);
            }
            // The catalogue's own figures win: tables do not say how nodes are built.
            if classes.iter().all(|(known, _)| known.product != name.product) {
                classes.push((name, class));
            }
        }
        Self { classes }
    }

    /// The class that a name means, as a machine of its common size; `None` for a product that nobody describes.
    pub fn class(&self, hardware: &str) -> Option<ClassSpec> {
        let asked = Name::of(hardware);
        let same = self.classes.iter().filter(|(name, _)| name.product == asked.product);
        let (name, class) = same.min_by(|(a, _), (b, _)| {
            let ((am, av, ap), (bm, bv, bp)) = (asked.distance(a), asked.distance(b));
            // A name without a size means the larger memory.
            am.total_cmp(&bm)
                .then(av.total_cmp(&bv))
                .then(ap.cmp(&bp))
                .then_with(|| b.memory_gb.partial_cmp(&a.memory_gb).unwrap_or(std::cmp::Ordering::Equal))
        })?;
        let mut class = class.clone();
        if let (Some(stated), Some(theirs)) = (asked.memory_gb, name.memory_gb)
            && (stated / theirs - 1.0).abs() > 0.02
        {
            class.memory_bytes = (class.memory_bytes as f64 * stated / theirs) as u64;
        }
        class.watts = asked.watts.unwrap_or(class.watts);
        Some(class)
    }

    /// The class of a row's `hardware`.
    ///
    /// # Errors
    /// When the column is empty or names no known product.
    pub fn of_row(&self, row: &Row) -> Result<ClassSpec, CellError> {
        let text = row.text("hardware").ok_or(CellError::Missing { column: "hardware" })?;
        self.class(text).ok_or_else(|| CellError::Malformed { column: "hardware", value: text.to_owned() })
    }
}

/// The class that a row of a table of products describes.
fn described(row: &Row) -> Result<ClassSpec, CellError> {
    let tera = |column| Ok::<_, CellError>(row.number(column)?.map(|rate| rate * 1e12));
    Ok(ClassSpec {
        name: ClassName::new(row.text("gpu").ok_or(CellError::Missing { column: "gpu" })?.to_lowercase()),
        memory_bytes: (row.needed("mem_usable_gib")? * GIB) as u64,
        bandwidth_bytes_per_second: row.needed("mem_bw_gbs")? * 1e9,
        peak: PeakFlops {
            fp32: tera("fp32_tflops")?,
            tf32: tera("tf32_tflops")?,
            fp16: tera("fp16_tflops")?,
            bf16: tera("bf16_tflops")?,
            fp8: tera("fp8_tflops")?,
        },
        // Without a link of its own a device talks over PCI Express of the fourth generation.
        link_bytes_per_second: row.number("link_gbs_per_dir")?.unwrap_or(24.0) * 1e9,
        network_bytes_per_second: 25e9,
        watts: row.number("tdp_w")?.unwrap_or_default(),
        price_per_hour: None,
        line: LoadLine::DEFAULT,
        gpus_per_node: 8,
        nodes: 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    fn class(name: &str) -> ClassSpec {
        Hardware::of(&Published::default()).class(name).unwrap_or_else(|| panic!("{name} is known"))
    }

    #[test]
    fn published_names_are_found_whatever_way_they_are_written() {
        for (name, class_name) in [
            ("h100_80gb", "h100-sxm5-80gb"),
            ("H100 80GB PCIe Gen5", "h100-pcie-80gb"),
            ("H100-SXM5-80GB", "h100-sxm5-80gb"),
            ("8xH100", "h100-sxm5-80gb"),
            ("8x H100", "h100-sxm5-80gb"),
            ("h100x64", "h100-sxm5-80gb"),
            ("h100_96gb_hbm2e_500w", "h100-sxm5-96gb-hbm2e"),
            ("h100_nvl", "h100-nvl-94gb"),
            ("a100_40gb", "a100-sxm4-40gb"),
            ("A100 40GB PCIe", "a100-pcie-40gb"),
            ("a100", "a100-sxm4-80gb"),
            ("a800_80gb", "a800-sxm4-80gb"),
            ("v100_32gb_dgx2", "v100-sxm2-32gb"),
            ("8xV100 16GB", "v100-sxm2-16gb"),
            ("Quadro RTX 8000", "quadro-rtx-8000"),
            ("RTX A6000", "rtx-a6000"),
            ("RTX 6000 Ada", "rtx-6000-ada"),
            ("rtx3090", "rtx-3090"),
            ("NVIDIA GeForce RTX 4090", "rtx-4090"),
            ("tpu_v4", "tpu-v4"),
            ("TPU v5e", "tpu-v5e"),
            ("MI300X", "mi300x"),
            ("gh200", "gh200-96gb"),
            ("H200 SXM 141GB", "h200-sxm5-141gb"),
            ("b200_180gb", "b200-sxm6-180gb"),
            ("L40S", "l40s"),
            ("gb300", "gb300"),
            ("MI355X", "mi355x"),
            ("Intel Gaudi 2", "gaudi2"),
            ("NVIDIA H200 NVL", "h200-sxm5-141gb"),
            ("RTX 2080 Ti", "rtx-2080-ti"),
        ] {
            assert_eq!(class(name).name.as_str(), class_name, "{name}");
        }
    }

    #[test]
    fn memory_and_power_in_the_name_overrule_the_product() {
        let b200 = class("b200_192gb");
        assert!((b200.memory_bytes as f64 / GIB - 178.0 * 192.0 / 180.0).abs() < 0.1);
        assert!((class("h100_80gb_500w").watts - 500.0).abs() < 1e-9);
    }

    #[test]
    fn a_product_that_only_a_table_describes_is_found() {
        let text = "gpu,mem_gb_label,mem_usable_gib,mem_bw_gbs,bf16_tflops\nXPU-9,64,63.0,2000,500\n";
        let tables = vec![Table::from_text("gpus", text).expect("a table")];
        let hardware = Hardware::of(&Published { tables, ..Published::default() });
        assert_eq!(hardware.class("xpu9").map(|class| class.peak.bf16), Some(Some(500e12)));
        assert!(hardware.class("abacus").is_none());
    }
}
