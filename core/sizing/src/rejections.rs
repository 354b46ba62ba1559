//! What is left out of a menu, and in which words.

use crate::{ClassSpec, Layout, Menu, Offload, Recompute, Rejection, RejectionReason, Sharding};

/// The rejections of one class: of each reason the one with the most devices, since it was the nearest. Shapes come with
/// the most devices first.
pub(crate) struct Rejections<'a> {
    class: &'a ClassSpec,
    noted: Vec<Rejection>,
}

impl<'a> Rejections<'a> {
    pub(crate) fn new(class: &'a ClassSpec) -> Self {
        Self { class, noted: Vec::new() }
    }

    pub(crate) fn note(&mut self, gpus: u32, reason: RejectionReason, message: impl FnOnce() -> String) {
        if !self.noted.iter().any(|known| known.reason == reason) {
            self.noted.push(Rejection { class: self.class.name.clone(), gpus, reason, message: message() });
        }
    }

    pub(crate) fn into_menu(self, mut menu: Menu) -> Menu {
        menu.rejected = self.noted;
        menu
    }
}

/// What a layout does to take less memory, ` with ...`; nothing for plain data parallelism.
pub(crate) fn in_words(layout: &Layout) -> String {
    let zero = match layout.sharding {
        Sharding::None => None,
        Sharding::Optimizer => Some("ZeRO-1"),
        Sharding::Gradients => Some("ZeRO-2"),
        Sharding::Full => Some("ZeRO-3"),
    };
    let degree = |name, ranks: u32| (ranks > 1).then(|| format!("{name} {ranks}"));
    let recompute = match layout.recompute {
        Recompute::None => None,
        Recompute::Selective => Some("selective recomputation"),
        Recompute::Full => Some("full recomputation"),
    };
    let offload = match layout.offload {
        Offload::None => None,
        Offload::Optimizer => Some("optimizer states on the host"),
        Offload::All => Some("weights and optimizer states on the host"),
    };
    let degrees = [
        degree("tensor", layout.tensor),
        degree("pipeline", layout.pipeline),
        degree("context", layout.context),
        degree("expert", layout.expert),
    ];
    let words: Vec<String> = degrees
        .into_iter()
        .flatten()
        .chain([zero, recompute, offload].into_iter().flatten().map(str::to_owned))
        .collect();
    if words.is_empty() { String::new() } else { format!(" with {}", words.join(", ")) }
}
