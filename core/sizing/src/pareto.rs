//! The front of time, device-hours, energy and money.

use crate::economy::{Load, PowerModel};
use crate::{Candidate, ClassSpec};

/// What one step of a candidate costs; less is better in each.
struct Cost {
    seconds: f64,
    device_seconds: f64,
    joules: f64,
    /// 0 where some class has no price.
    money: f64,
}

/// Marks the candidates that no other one is better than. Every candidate's class is among the classes.
pub(crate) fn mark(classes: &[&ClassSpec], candidates: &mut [Candidate]) {
    let priced = classes.iter().all(|class| class.price_per_hour.is_some());
    let costs: Vec<Option<Cost>> = candidates
        .iter()
        .map(|candidate| {
            let class = classes.iter().find(|class| class.name == candidate.shape.class)?;
            Some(Cost::of(class, candidate, priced))
        })
        .collect();
    for (candidate, cost) in candidates.iter_mut().zip(&costs) {
        candidate.efficient = cost.as_ref().is_some_and(|cost| !costs.iter().flatten().any(|other| other.beats(cost)));
    }
}

impl Cost {
    fn of(class: &ClassSpec, candidate: &Candidate, priced: bool) -> Self {
        let predicted = &candidate.predicted;
        let load = Load { sm_activity: predicted.sm_activity, mfu: predicted.mfu, bandwidth_share: 0.0 };
        let device_seconds = predicted.step_seconds * f64::from(candidate.shape.gpus());
        let price = class.price_per_hour.filter(|_| priced).unwrap_or_default();
        Self {
            seconds: predicted.step_seconds,
            device_seconds,
            joules: device_seconds * PowerModel::of_cap(class.watts).watts(&load),
            money: device_seconds * price / 3600.0,
        }
    }

    fn parts(&self) -> [f64; 4] {
        [self.seconds, self.device_seconds, self.joules, self.money]
    }

    /// Whether this is at least as good in everything and better in something.
    fn beats(&self, other: &Self) -> bool {
        let pairs = || self.parts().into_iter().zip(other.parts());
        pairs().all(|(own, others)| own <= others) && pairs().any(|(own, others)| own < others)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Evidence, JobSpec, Menu, catalogue, menu};

    fn job() -> JobSpec {
        let job = serde_json::json!({
            "model": {"Custom": {"parameters": 25_557_032, "flops_per_sample": 8.18e9, "activation_bytes_per_sample": 55_500_000}},
            "precision": "Fp16Mixed", "optimizer": "SgdMomentum", "method": "Pretrain", "sequence_length": 1,
            "global_batch": 512, "classes": [], "min_gpus": 1, "max_gpus": 16, "requested_gpus": null, "gpus_per_pod": null,
            "mode": "Auto", "elastic": true, "accepts": {}, "declared": {},
        });
        serde_json::from_value(job).expect("a job")
    }

    fn menu_at(prices: [Option<f64>; 2]) -> Menu {
        let classes = ["t4", "h100-sxm5-80gb"].into_iter().zip(prices).map(|(name, price_per_hour)| {
            let product = catalogue::by_class(name).expect("in the catalogue");
            crate::ClassSpec { price_per_hour, ..product.class_spec(4, 4) }
        });
        menu(&job(), &classes.collect::<Vec<_>>(), &Evidence::default(), None)
    }

    fn efficient(menu: &Menu, class: &str) -> usize {
        menu.candidates
            .iter()
            .filter(|candidate| candidate.efficient && candidate.shape.class.as_str() == class)
            .count()
    }

    #[test]
    fn a_slow_class_is_efficient_only_where_its_price_makes_up_for_it() {
        let unpriced = menu_at([None, Some(4.0)]);
        assert_eq!(efficient(&unpriced, "t4"), 0, "the newer class is ahead in time, device-hours and energy");
        assert!(efficient(&unpriced, "h100-sxm5-80gb") > 0);
        let cheap = menu_at([Some(0.01), Some(4.0)]);
        assert!(efficient(&cheap, "t4") > 0 && efficient(&cheap, "h100-sxm5-80gb") > 0);
    }

    #[test]
    fn the_fastest_candidate_is_always_efficient() {
        let menu = menu_at([None, None]);
        let fastest =
            menu.candidates.iter().min_by(|a, b| a.predicted.step_seconds.total_cmp(&b.predicted.step_seconds));
        assert!(fastest.is_some_and(|fastest| fastest.efficient));
    }
}
