//! Products on sale, by the label that NVIDIA's GPU feature discovery puts on a node.
//!
//! Figures are the vendors' data sheets, read against stas00/ml-engineering (compute/accelerator) and mlco2/impact
//! (data/gpus.csv): dense peaks, one direction of a link, memory as a process can typically use it. Where NVLink only
//! joins pairs the figure is PCI Express, since a job may get more than two devices. The network is what such a node
//! commonly has and the first thing an administrator should correct. GeForce figures are at 32-bit accumulation.
//!
//! Not read again against a data sheet: Quadro RTX, Titan RTX, RTX 2080 Ti, A40, RTX A5000 and A6000, L20, L40, RTX 6000 Ada,
//! the newer GeForce and RTX PRO products, GB300, MI355X and Gaudi. The H100 with 96 GB HBM2e is a part of its own, of which
//! no sheet was found: its compute is taken as that of the SXM5 part, its bandwidth of 2,400 GB/s is assumed.
//!
//! Products without labels cannot be found on a node; they are here because measurements on them were published. The two
//! dies of an MI250 are two devices. The power of TPU v5e, v5p and v6e is not published: 200, 350 and 300 W are guesses.

use plimsoll_menu::{ClassName, LoadLine};

use crate::{ClassSpec, PeakFlops};

/// One product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    /// The name of its AcceleratorClass.
    pub class: &'static str,
    /// Values of the node label `nvidia.com/gpu.product`.
    pub labels: &'static [&'static str],
    /// Memory that a process can use, in GiB.
    pub memory_gib: f64,
    /// Memory bandwidth, in 10^9 bytes per second.
    pub bandwidth: f64,
    /// Dense bf16 peak, in TFLOP/s; 0 where there is none.
    pub bf16: f64,
    /// Dense fp16 peak, in TFLOP/s.
    pub fp16: f64,
    /// Dense TF32 peak, in TFLOP/s; 0 where there is none.
    pub tf32: f64,
    /// fp32 peak of the vector units, in TFLOP/s.
    pub fp32: f64,
    /// Dense fp8 peak, in TFLOP/s; 0 where there is none.
    pub fp8: f64,
    /// Link to another device of the node, one direction, in 10^9 bytes per second.
    pub link: f64,
    /// Network for each device, one direction, in 10^9 bytes per second.
    pub network: f64,
    /// Power limit, in watts.
    pub watts: f64,
    /// Devices in a common node.
    pub gpus_per_node: u32,
}

impl Product {
    /// The class of this product with the default load line, as so many nodes of so many devices.
    pub fn class_spec(&self, gpus_per_node: u32, nodes: u32) -> ClassSpec {
        let tera = |rate: f64| (rate > 0.0).then_some(rate * 1e12);
        ClassSpec {
            name: ClassName::new(self.class),
            memory_bytes: (self.memory_gib * crate::memory::GIB) as u64,
            bandwidth_bytes_per_second: self.bandwidth * 1e9,
            peak: PeakFlops {
                fp32: tera(self.fp32),
                tf32: tera(self.tf32),
                fp16: tera(self.fp16),
                bf16: tera(self.bf16),
                fp8: tera(self.fp8),
            },
            link_bytes_per_second: self.link * 1e9,
            network_bytes_per_second: self.network * 1e9,
            watts: self.watts,
            price_per_hour: None,
            line: LoadLine::DEFAULT,
            gpus_per_node,
            nodes,
        }
    }
}

/// The product behind a node label `nvidia.com/gpu.product`; time-sliced devices carry the suffix `-SHARED`.
///
/// A partitioned device is another product and is not in the catalogue.
pub fn lookup(product_label: &str) -> Option<&'static Product> {
    let label = product_label.strip_suffix("-SHARED").unwrap_or(product_label);
    PRODUCTS.iter().find(|product| product.labels.contains(&label))
}

/// The product behind the name of a class.
pub fn by_class(name: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.class == name)
}

/// All products, NVIDIA's first, by generation.
#[rustfmt::skip]
pub const PRODUCTS: &[Product] = &[
    Product { class: "p100-sxm2-16gb", labels: &["Tesla-P100-SXM2-16GB"], memory_gib: 15.9, bandwidth: 732.0, bf16: 0.0, fp16: 21.2, tf32: 0.0, fp32: 10.6, fp8: 0.0, link: 80.0, network: 1.5, watts: 300.0, gpus_per_node: 8 },
    Product { class: "p100-pcie-16gb", labels: &["Tesla-P100-PCIE-16GB"], memory_gib: 15.9, bandwidth: 732.0, bf16: 0.0, fp16: 18.7, tf32: 0.0, fp32: 9.3, fp8: 0.0, link: 12.0, network: 1.5, watts: 250.0, gpus_per_node: 4 },
    Product { class: "v100-sxm2-16gb", labels: &["Tesla-V100-SXM2-16GB"], memory_gib: 15.8, bandwidth: 900.0, bf16: 0.0, fp16: 125.0, tf32: 0.0, fp32: 15.7, fp8: 0.0, link: 150.0, network: 1.5, watts: 300.0, gpus_per_node: 8 },
    Product { class: "v100-sxm2-32gb", labels: &["Tesla-V100-SXM2-32GB"], memory_gib: 31.7, bandwidth: 900.0, bf16: 0.0, fp16: 125.0, tf32: 0.0, fp32: 15.7, fp8: 0.0, link: 150.0, network: 6.25, watts: 300.0, gpus_per_node: 8 },
    Product { class: "v100-pcie-16gb", labels: &["Tesla-V100-PCIE-16GB"], memory_gib: 15.8, bandwidth: 900.0, bf16: 0.0, fp16: 112.0, tf32: 0.0, fp32: 14.0, fp8: 0.0, link: 12.0, network: 1.5, watts: 250.0, gpus_per_node: 4 },
    Product { class: "v100-pcie-32gb", labels: &["Tesla-V100-PCIE-32GB"], memory_gib: 31.7, bandwidth: 900.0, bf16: 0.0, fp16: 112.0, tf32: 0.0, fp32: 14.0, fp8: 0.0, link: 12.0, network: 1.5, watts: 250.0, gpus_per_node: 4 },
    Product { class: "t4", labels: &["Tesla-T4", "NVIDIA-T4"], memory_gib: 14.6, bandwidth: 300.0, bf16: 0.0, fp16: 65.0, tf32: 0.0, fp32: 8.1, fp8: 0.0, link: 12.0, network: 1.5, watts: 70.0, gpus_per_node: 4 },
    Product { class: "quadro-rtx-6000", labels: &["Quadro-RTX-6000"], memory_gib: 23.6, bandwidth: 672.0, bf16: 0.0, fp16: 130.5, tf32: 0.0, fp32: 16.3, fp8: 0.0, link: 12.0, network: 1.5, watts: 260.0, gpus_per_node: 4 },
    Product { class: "quadro-rtx-8000", labels: &["Quadro-RTX-8000"], memory_gib: 47.5, bandwidth: 672.0, bf16: 0.0, fp16: 130.5, tf32: 0.0, fp32: 16.3, fp8: 0.0, link: 12.0, network: 1.5, watts: 260.0, gpus_per_node: 4 },
    Product { class: "titan-rtx", labels: &["NVIDIA-TITAN-RTX"], memory_gib: 23.6, bandwidth: 672.0, bf16: 0.0, fp16: 130.5, tf32: 0.0, fp32: 16.3, fp8: 0.0, link: 12.0, network: 1.5, watts: 280.0, gpus_per_node: 4 },
    Product { class: "rtx-2080-ti", labels: &["NVIDIA-GeForce-RTX-2080-Ti"], memory_gib: 10.7, bandwidth: 616.0, bf16: 0.0, fp16: 53.8, tf32: 0.0, fp32: 13.4, fp8: 0.0, link: 12.0, network: 1.5, watts: 250.0, gpus_per_node: 4 },
    Product { class: "rtx-3090", labels: &["NVIDIA-GeForce-RTX-3090"], memory_gib: 23.6, bandwidth: 936.0, bf16: 71.0, fp16: 71.0, tf32: 35.6, fp32: 35.6, fp8: 0.0, link: 24.0, network: 1.5, watts: 350.0, gpus_per_node: 4 },
    Product { class: "rtx-a5000", labels: &["NVIDIA-RTX-A5000"], memory_gib: 23.6, bandwidth: 768.0, bf16: 111.1, fp16: 111.1, tf32: 55.6, fp32: 27.8, fp8: 0.0, link: 24.0, network: 1.5, watts: 230.0, gpus_per_node: 4 },
    Product { class: "rtx-a6000", labels: &["NVIDIA-RTX-A6000"], memory_gib: 47.5, bandwidth: 768.0, bf16: 154.8, fp16: 154.8, tf32: 77.4, fp32: 38.7, fp8: 0.0, link: 24.0, network: 1.5, watts: 300.0, gpus_per_node: 4 },
    Product { class: "a40", labels: &["NVIDIA-A40"], memory_gib: 44.4, bandwidth: 696.0, bf16: 149.7, fp16: 149.7, tf32: 74.8, fp32: 37.4, fp8: 0.0, link: 24.0, network: 1.5, watts: 300.0, gpus_per_node: 8 },
    Product { class: "a10", labels: &["NVIDIA-A10"], memory_gib: 22.1, bandwidth: 600.0, bf16: 125.0, fp16: 125.0, tf32: 62.5, fp32: 31.2, fp8: 0.0, link: 24.0, network: 1.5, watts: 150.0, gpus_per_node: 4 },
    Product { class: "a10g", labels: &["NVIDIA-A10G"], memory_gib: 22.1, bandwidth: 600.0, bf16: 70.0, fp16: 70.0, tf32: 35.0, fp32: 31.5, fp8: 0.0, link: 24.0, network: 1.5, watts: 150.0, gpus_per_node: 4 },
    Product { class: "a30", labels: &["NVIDIA-A30"], memory_gib: 23.5, bandwidth: 933.0, bf16: 165.0, fp16: 165.0, tf32: 82.0, fp32: 10.3, fp8: 0.0, link: 100.0, network: 1.5, watts: 165.0, gpus_per_node: 4 },
    Product { class: "a100-pcie-40gb", labels: &["NVIDIA-A100-PCIE-40GB"], memory_gib: 39.4, bandwidth: 1555.0, bf16: 312.0, fp16: 312.0, tf32: 156.0, fp32: 19.5, fp8: 0.0, link: 24.0, network: 3.0, watts: 250.0, gpus_per_node: 8 },
    Product { class: "a100-sxm4-40gb", labels: &["NVIDIA-A100-SXM4-40GB"], memory_gib: 39.4, bandwidth: 1555.0, bf16: 312.0, fp16: 312.0, tf32: 156.0, fp32: 19.5, fp8: 0.0, link: 300.0, network: 25.0, watts: 400.0, gpus_per_node: 8 },
    Product { class: "a100-pcie-80gb", labels: &["NVIDIA-A100-80GB-PCIe", "NVIDIA-A100-PCIE-80GB"], memory_gib: 79.1, bandwidth: 1935.0, bf16: 312.0, fp16: 312.0, tf32: 156.0, fp32: 19.5, fp8: 0.0, link: 24.0, network: 3.0, watts: 300.0, gpus_per_node: 8 },
    Product { class: "a100-sxm4-80gb", labels: &["NVIDIA-A100-SXM4-80GB"], memory_gib: 79.1, bandwidth: 2039.0, bf16: 312.0, fp16: 312.0, tf32: 156.0, fp32: 19.5, fp8: 0.0, link: 300.0, network: 25.0, watts: 400.0, gpus_per_node: 8 },
    Product { class: "a800-sxm4-80gb", labels: &["NVIDIA-A800-SXM4-80GB"], memory_gib: 79.1, bandwidth: 2039.0, bf16: 312.0, fp16: 312.0, tf32: 156.0, fp32: 19.5, fp8: 0.0, link: 200.0, network: 25.0, watts: 400.0, gpus_per_node: 8 },
    Product { class: "l4", labels: &["NVIDIA-L4"], memory_gib: 22.0, bandwidth: 300.0, bf16: 121.0, fp16: 121.0, tf32: 60.0, fp32: 30.3, fp8: 242.0, link: 24.0, network: 1.5, watts: 72.0, gpus_per_node: 4 },
    Product { class: "l40s", labels: &["NVIDIA-L40S"], memory_gib: 44.4, bandwidth: 864.0, bf16: 362.0, fp16: 362.0, tf32: 183.0, fp32: 91.6, fp8: 733.0, link: 24.0, network: 3.0, watts: 350.0, gpus_per_node: 8 },
    Product { class: "l20", labels: &["NVIDIA-L20"], memory_gib: 44.4, bandwidth: 864.0, bf16: 119.5, fp16: 119.5, tf32: 59.8, fp32: 59.8, fp8: 239.0, link: 24.0, network: 3.0, watts: 275.0, gpus_per_node: 8 },
    Product { class: "l40", labels: &["NVIDIA-L40"], memory_gib: 44.4, bandwidth: 864.0, bf16: 181.1, fp16: 181.1, tf32: 90.5, fp32: 90.5, fp8: 362.1, link: 24.0, network: 3.0, watts: 300.0, gpus_per_node: 8 },
    Product { class: "rtx-6000-ada", labels: &["NVIDIA-RTX-6000-Ada-Generation"], memory_gib: 47.5, bandwidth: 960.0, bf16: 364.2, fp16: 364.2, tf32: 182.1, fp32: 91.1, fp8: 728.5, link: 24.0, network: 1.5, watts: 300.0, gpus_per_node: 4 },
    Product { class: "rtx-4090", labels: &["NVIDIA-GeForce-RTX-4090"], memory_gib: 23.6, bandwidth: 1008.0, bf16: 165.0, fp16: 165.0, tf32: 82.6, fp32: 82.6, fp8: 330.0, link: 24.0, network: 1.5, watts: 450.0, gpus_per_node: 4 },
    Product { class: "rtx-4080", labels: &["NVIDIA-GeForce-RTX-4080"], memory_gib: 15.6, bandwidth: 716.8, bf16: 97.5, fp16: 97.5, tf32: 48.7, fp32: 48.7, fp8: 195.0, link: 24.0, network: 1.5, watts: 320.0, gpus_per_node: 4 },
    Product { class: "rtx-5090", labels: &["NVIDIA-GeForce-RTX-5090"], memory_gib: 31.4, bandwidth: 1792.0, bf16: 209.5, fp16: 209.5, tf32: 104.8, fp32: 104.8, fp8: 419.0, link: 48.0, network: 1.5, watts: 575.0, gpus_per_node: 4 },
    Product { class: "rtx-pro-6000-blackwell", labels: &["NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"], memory_gib: 94.5, bandwidth: 1792.0, bf16: 503.8, fp16: 503.8, tf32: 251.9, fp32: 125.9, fp8: 1007.6, link: 48.0, network: 3.0, watts: 600.0, gpus_per_node: 8 },
    Product { class: "h100-pcie-80gb", labels: &["NVIDIA-H100-PCIe"], memory_gib: 79.1, bandwidth: 2000.0, bf16: 756.0, fp16: 756.0, tf32: 378.0, fp32: 51.0, fp8: 1513.0, link: 48.0, network: 3.0, watts: 350.0, gpus_per_node: 8 },
    Product { class: "h100-sxm5-80gb", labels: &["NVIDIA-H100-80GB-HBM3"], memory_gib: 79.1, bandwidth: 3350.0, bf16: 989.5, fp16: 989.5, tf32: 494.7, fp32: 67.0, fp8: 1979.0, link: 450.0, network: 50.0, watts: 700.0, gpus_per_node: 8 },
    Product { class: "h100-nvl-94gb", labels: &["NVIDIA-H100-NVL"], memory_gib: 93.0, bandwidth: 3938.0, bf16: 835.0, fp16: 835.0, tf32: 418.0, fp32: 60.0, fp8: 1671.0, link: 300.0, network: 12.5, watts: 400.0, gpus_per_node: 8 },
    Product { class: "h100-sxm5-96gb-hbm2e", labels: &[], memory_gib: 95.0, bandwidth: 2400.0, bf16: 989.5, fp16: 989.5, tf32: 494.7, fp32: 67.0, fp8: 1979.0, link: 450.0, network: 50.0, watts: 500.0, gpus_per_node: 8 },
    Product { class: "h800-sxm5-80gb", labels: &["NVIDIA-H800"], memory_gib: 79.1, bandwidth: 3350.0, bf16: 989.5, fp16: 989.5, tf32: 494.7, fp32: 67.0, fp8: 1979.0, link: 200.0, network: 50.0, watts: 700.0, gpus_per_node: 8 },
    Product { class: "h20-96gb", labels: &["NVIDIA-H20"], memory_gib: 95.0, bandwidth: 4000.0, bf16: 148.0, fp16: 148.0, tf32: 74.0, fp32: 44.0, fp8: 296.0, link: 450.0, network: 50.0, watts: 400.0, gpus_per_node: 8 },
    Product { class: "h200-sxm5-141gb", labels: &["NVIDIA-H200"], memory_gib: 139.8, bandwidth: 4800.0, bf16: 989.5, fp16: 989.5, tf32: 494.7, fp32: 67.0, fp8: 1979.0, link: 450.0, network: 50.0, watts: 700.0, gpus_per_node: 8 },
    Product { class: "gh200-96gb", labels: &["NVIDIA-GH200-480GB"], memory_gib: 94.5, bandwidth: 4000.0, bf16: 989.5, fp16: 989.5, tf32: 494.7, fp32: 67.0, fp8: 1979.0, link: 450.0, network: 50.0, watts: 700.0, gpus_per_node: 1 },
    Product { class: "b200-sxm6-180gb", labels: &["NVIDIA-B200"], memory_gib: 178.0, bandwidth: 8000.0, bf16: 2250.0, fp16: 2250.0, tf32: 1125.0, fp32: 80.0, fp8: 4500.0, link: 900.0, network: 50.0, watts: 1000.0, gpus_per_node: 8 },
    Product { class: "gb200", labels: &["NVIDIA-GB200"], memory_gib: 184.0, bandwidth: 8000.0, bf16: 2500.0, fp16: 2500.0, tf32: 1250.0, fp32: 80.0, fp8: 5000.0, link: 900.0, network: 50.0, watts: 1200.0, gpus_per_node: 4 },
    Product { class: "b300-sxm6-288gb", labels: &["NVIDIA-B300-SXM6-AC", "NVIDIA-B300"], memory_gib: 275.0, bandwidth: 8000.0, bf16: 2250.0, fp16: 2250.0, tf32: 1125.0, fp32: 80.0, fp8: 4500.0, link: 900.0, network: 100.0, watts: 1100.0, gpus_per_node: 8 },
    Product { class: "gb300", labels: &["NVIDIA-GB300"], memory_gib: 275.0, bandwidth: 8000.0, bf16: 2500.0, fp16: 2500.0, tf32: 1250.0, fp32: 80.0, fp8: 5000.0, link: 900.0, network: 50.0, watts: 1400.0, gpus_per_node: 4 },
    Product { class: "mi250", labels: &[], memory_gib: 63.7, bandwidth: 1638.5, bf16: 181.0, fp16: 181.0, tf32: 0.0, fp32: 22.6, fp8: 0.0, link: 50.0, network: 25.0, watts: 280.0, gpus_per_node: 8 },
    Product { class: "mi250x", labels: &[], memory_gib: 63.7, bandwidth: 1638.5, bf16: 191.5, fp16: 191.5, tf32: 0.0, fp32: 23.9, fp8: 0.0, link: 50.0, network: 25.0, watts: 280.0, gpus_per_node: 8 },
    Product { class: "mi300x", labels: &[], memory_gib: 191.5, bandwidth: 5300.0, bf16: 1307.0, fp16: 1307.0, tf32: 653.7, fp32: 163.4, fp8: 2614.0, link: 448.0, network: 50.0, watts: 750.0, gpus_per_node: 8 },
    Product { class: "mi325x", labels: &[], memory_gib: 255.5, bandwidth: 6000.0, bf16: 1307.0, fp16: 1307.0, tf32: 653.7, fp32: 163.4, fp8: 2614.0, link: 448.0, network: 50.0, watts: 1000.0, gpus_per_node: 8 },
    Product { class: "mi355x", labels: &[], memory_gib: 287.5, bandwidth: 8000.0, bf16: 2516.6, fp16: 2516.6, tf32: 0.0, fp32: 157.3, fp8: 5033.2, link: 537.6, network: 50.0, watts: 1400.0, gpus_per_node: 8 },
    Product { class: "gaudi2", labels: &[], memory_gib: 94.5, bandwidth: 2450.0, bf16: 432.0, fp16: 432.0, tf32: 0.0, fp32: 0.0, fp8: 865.0, link: 262.5, network: 37.5, watts: 600.0, gpus_per_node: 8 },
    Product { class: "gaudi3", labels: &[], memory_gib: 126.0, bandwidth: 3700.0, bf16: 1677.0, fp16: 1677.0, tf32: 0.0, fp32: 0.0, fp8: 1677.0, link: 525.0, network: 75.0, watts: 900.0, gpus_per_node: 8 },
    Product { class: "tpu-v3", labels: &[], memory_gib: 32.0, bandwidth: 900.0, bf16: 123.0, fp16: 0.0, tf32: 0.0, fp32: 0.0, fp8: 0.0, link: 82.0, network: 3.0, watts: 220.0, gpus_per_node: 4 },
    Product { class: "tpu-v4", labels: &[], memory_gib: 32.0, bandwidth: 1228.0, bf16: 275.0, fp16: 0.0, tf32: 0.0, fp32: 0.0, fp8: 0.0, link: 150.0, network: 6.25, watts: 192.0, gpus_per_node: 4 },
    Product { class: "tpu-v5e", labels: &[], memory_gib: 16.0, bandwidth: 819.0, bf16: 197.0, fp16: 0.0, tf32: 0.0, fp32: 0.0, fp8: 0.0, link: 100.0, network: 6.25, watts: 200.0, gpus_per_node: 4 },
    Product { class: "tpu-v5p", labels: &[], memory_gib: 95.0, bandwidth: 2765.0, bf16: 459.0, fp16: 0.0, tf32: 0.0, fp32: 0.0, fp8: 0.0, link: 300.0, network: 6.25, watts: 350.0, gpus_per_node: 4 },
    Product { class: "tpu-v6e", labels: &[], memory_gib: 32.0, bandwidth: 1640.0, bf16: 918.0, fp16: 0.0, tf32: 0.0, fp32: 0.0, fp8: 0.0, link: 180.0, network: 12.5, watts: 300.0, gpus_per_node: 4 },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Precision;

    #[test]
    fn a_product_is_found_by_its_node_label() {
        assert_eq!(lookup("NVIDIA-H100-80GB-HBM3").map(|p| p.class), Some("h100-sxm5-80gb"));
        assert_eq!(lookup("NVIDIA-A100-SXM4-40GB").map(|p| p.class), Some("a100-sxm4-40gb"));
        assert_eq!(lookup("Tesla-T4-SHARED").map(|p| p.class), Some("t4"));
        assert_eq!(lookup("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"), None);
        assert_eq!(lookup("NVIDIA-A10"), by_class("a10"));
    }

    #[test]
    fn names_and_labels_are_unique() {
        let classes: BTreeSet<_> = PRODUCTS.iter().map(|p| p.class).collect();
        let labels: BTreeSet<_> = PRODUCTS.iter().flat_map(|p| p.labels).collect();
        assert_eq!(classes.len(), PRODUCTS.len());
        assert_eq!(labels.len(), PRODUCTS.iter().map(|p| p.labels.len()).sum::<usize>());
    }

    #[test]
    fn units_are_bytes_and_flops() {
        let h100 = by_class("h100-sxm5-80gb").map(|p| p.class_spec(8, 2)).expect("in the catalogue");
        assert_eq!(h100.peak.at(Precision::Bf16), Some(989.5e12));
        assert_eq!(h100.memory_bytes, 84_932_978_278);
        assert_eq!(h100.gpus(), 16);
        let t4 = by_class("t4").map(|p| p.class_spec(4, 1)).expect("in the catalogue");
        assert_eq!(t4.peak.at(Precision::Bf16Mixed), None);
    }
}
