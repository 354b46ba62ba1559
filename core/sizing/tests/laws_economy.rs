//! Laws of energy, money, checkpoints and sweeps.

use plimsoll_sizing::economy::{
    Disruptions, Energy, Load, PowerFitError, PowerModel, PowerSample, Run, Site, Sweep, hyperband, mtbf_seconds,
    power_cap, underused_gpu_hours,
};
use proptest::prelude::*;

fn from_to(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low.ln()..high.ln()).prop_map(f64::exp)
}

fn sites() -> impl Strategy<Value = Site> {
    (1.0..2.0_f64, 1.0..2.0_f64, 0.0..1.0_f64).prop_map(|(node_overhead, pue, carbon_kg_per_kwh)| Site {
        node_overhead,
        pue,
        carbon_kg_per_kwh,
    })
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-300)
}

proptest! {
    #[test]
    fn energy_is_additive(site in sites(), watts in 10.0..1500.0_f64, hours in prop::collection::vec(from_to(0.01, 1e6), 1..8)) {
        let whole = site.energy(watts, hours.iter().sum());
        let parts: Energy = hours.iter().map(|part| site.energy(watts, *part)).sum();
        for (a, b) in [
            (whole.device_kwh, parts.device_kwh), (whole.node_kwh, parts.node_kwh),
            (whole.meter_kwh, parts.meter_kwh), (whole.carbon_kg, parts.carbon_kg),
        ] {
            prop_assert!(near(a, b), "{} {}", a, b);
        }
        prop_assert!(whole.device_kwh <= whole.node_kwh && whole.node_kwh <= whole.meter_kwh);
        prop_assert!(near(site.watts_at_the_meter(watts) * hours.iter().sum::<f64>() / 1000.0, whole.meter_kwh));
    }

    #[test]
    fn a_busier_device_never_draws_less_and_never_more_than_its_limit(cap in 50.0..1500.0_f64, low in 0.0..1.0_f64, high in 0.0..1.0_f64) {
        let model = PowerModel::of_cap(cap);
        let watts = |sm_activity| model.watts(&Load { sm_activity, ..Load::default() });
        prop_assert!(watts(low.min(high)) <= watts(low.max(high)));
        prop_assert!(watts(0.0) > 0.0 && near(watts(1.0), cap));
    }

    #[test]
    fn power_is_recovered_from_exact_samples(
        idle in 20.0..90.0_f64, compute in 100.0..600.0_f64, memory in 10.0..200.0_f64,
        loads in prop::collection::vec((0.0..0.7_f64, 0.0..1.0_f64), 6..20),
    ) {
        let samples: Vec<_> = loads.iter().map(|(mfu, share)| PowerSample {
            load: Load { sm_activity: 0.5, mfu: *mfu, bandwidth_share: *share },
            watts: idle + compute * mfu + memory * share,
        }).collect();
        let Ok(model) = PowerModel::fit(&samples, 2000.0) else { return Err(TestCaseError::reject("loads are alike")) };
        for sample in &samples {
            prop_assert!((model.watts(&sample.load) / sample.watts - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_interval_between_checkpoints_grows_with_the_time_between_failures(
        checkpoint in from_to(0.1, 600.0), mtbf in from_to(300.0, 1e7), more in 1.0..100.0_f64,
    ) {
        let at = |mtbf_seconds| Disruptions { checkpoint_seconds: checkpoint, restart_seconds: 60.0, mtbf_seconds };
        prop_assert!(at(mtbf).young_interval_seconds() <= at(mtbf * more).young_interval_seconds());
        // Daly's two cases meet at a checkpoint of twice the time between failures with a jump; below it the law holds.
        prop_assume!(checkpoint < 2.0 * mtbf);
        prop_assert!(at(mtbf).daly_interval_seconds() <= at(mtbf * more).daly_interval_seconds());
        prop_assert!(at(mtbf).best_goodput_fraction() <= at(mtbf * more).best_goodput_fraction() + 1e-12);
    }

    #[test]
    fn dalys_interval_is_within_a_thousandth_of_the_best_one(
        checkpoint in from_to(0.1, 600.0), restart in from_to(1.0, 1000.0), mtbf in from_to(1200.0, 1e7), factor in 0.2..5.0_f64,
    ) {
        let disruptions = Disruptions { checkpoint_seconds: checkpoint, restart_seconds: restart, mtbf_seconds: mtbf };
        let daly = disruptions.daly_interval_seconds();
        let best = disruptions.best_goodput_fraction();
        prop_assert!((0.0..=1.0).contains(&best));
        prop_assert!(best >= disruptions.goodput_fraction(daly * factor) * 0.999);
    }

    #[test]
    fn a_larger_job_makes_less_progress_between_failures(hours in from_to(1e4, 1e5), gpus in 1_u32..10_000) {
        prop_assert!(mtbf_seconds(hours, gpus + 1) < mtbf_seconds(hours, gpus));
        let at = |gpus| Disruptions { checkpoint_seconds: 30.0, restart_seconds: 300.0, mtbf_seconds: mtbf_seconds(hours, gpus) };
        prop_assert!(at(gpus + 1).best_goodput_fraction() <= at(gpus).best_goodput_fraction());
    }

    #[test]
    fn halving_never_costs_more_than_training_everything(
        configurations in 1_u32..500, smallest in from_to(0.1, 10.0), span in 1.0..300.0_f64, reduction in 2_u32..6, resumes: bool,
    ) {
        let sweep = Sweep { configurations, smallest, largest: smallest * span, reduction, resumes };
        let rungs = sweep.rungs();
        prop_assert!(!rungs.is_empty() && rungs.len() as i32 == (span.ln() / f64::from(reduction).ln() + 1e-9) as i32 + 1);
        prop_assert!(rungs.windows(2).all(|pair| pair[1].configurations <= pair[0].configurations));
        let path = if resumes { 1.0 } else { f64::from(reduction) / f64::from(reduction - 1) };
        prop_assert!(sweep.longest_path() <= sweep.largest * path * (1.0 + 1e-9));
        if resumes {
            prop_assert!(sweep.cost() <= sweep.cost_without_halving() * (1.0 + 1e-9));
        }
    }
}

/// LLaMA, table 15 (arXiv 2302.13971): 400 W, PUE 1.1, 0.385 kg per kWh. Energy in MWh is cut off, carbon rounded; the
/// printed energy of BLOOM is 1.5 MWh below what its own hours give.
#[test]
fn llamas_energy_and_carbon_are_an_identity() {
    let site = Site { node_overhead: 1.0, pue: 1.1, carbon_kg_per_kwh: 0.385 };
    for (gpu_hours, mwh, tonnes) in [
        (809_472.0, Some(356.0), 137.0),
        (1_082_880.0, None, 183.0),
        (82_432.0, Some(36.0), 14.0),
        (135_168.0, Some(59.0), 23.0),
        (530_432.0, Some(233.0), 90.0),
        (1_022_362.0, Some(449.0), 173.0),
    ] {
        let energy = site.energy(400.0, gpu_hours);
        assert!(mwh.is_none_or(|printed| ((energy.meter_kwh / 1000.0).floor() - printed).abs() < 1e-9));
        assert!(((energy.carbon_kg / 1000.0).round() - tonnes).abs() < 1e-9, "{}", energy.carbon_kg);
    }
}

#[test]
fn a_bill_counts_what_failures_take() {
    let site = Site { node_overhead: 1.4, pue: 1.2, carbon_kg_per_kwh: 0.4 };
    let run = Run {
        gpus: 8,
        step_seconds_in_all: 36_000.0,
        goodput_fraction: 0.8,
        watts: 500.0,
        price_per_gpu_hour: Some(2.0),
    };
    let bill = run.bill(&site);
    assert!(near(bill.gpu_hours, 100.0) && near(bill.lost_gpu_hours, 20.0) && near(bill.seconds, 45_000.0));
    assert!(near(bill.energy.meter_kwh, 84.0) && near(bill.energy.carbon_kg, 33.6));
    assert_eq!(bill.money, Some(200.0));
    assert!(near(underused_gpu_hours(100.0, 0.1, 0.4), 75.0) && underused_gpu_hours(100.0, 0.5, 0.4).abs() < 1e-12);
}

/// 16,384 H100 of Llama 3 were interrupted unexpectedly 419 times in 54 days (arXiv 2407.21783, section 3.3.4): once in
/// 50,700 GPU-hours, every three hours.
#[test]
fn the_interruptions_of_llama_3_come_every_three_hours() {
    let hours_per_failure = 16_384.0 * 54.0 * 24.0 / 419.0;
    assert!((50_000.0..51_000.0).contains(&hours_per_failure));
    let hours = mtbf_seconds(hours_per_failure, 16_384) / 3600.0;
    assert!((3.0..3.2).contains(&hours), "{hours}");
}

#[test]
fn samples_that_are_alike_fit_no_power_model() {
    let sample = PowerSample { load: Load { sm_activity: 0.9, mfu: 0.4, bandwidth_share: 0.5 }, watts: 600.0 };
    assert_eq!(PowerModel::fit(&[sample; 5], 700.0), Err(PowerFitError::Undetermined { samples: 5 }));
    assert_eq!(PowerModel::fit(&[], 700.0), Err(PowerFitError::Undetermined { samples: 0 }));
}

/// Algorithm 1 of arXiv 1603.06560 with R = 81 and η = 3, the paper's example.
#[test]
fn hyperbands_brackets_follow_its_algorithm() {
    let brackets = hyperband(1.0, 81.0, 3, false);
    assert_eq!(brackets.iter().map(|bracket| bracket.configurations).collect::<Vec<_>>(), [81, 34, 15, 8, 5]);
    let first: Vec<_> = brackets[0].rungs().iter().map(|rung| (rung.configurations, rung.resource as u32)).collect();
    assert_eq!(first, [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]);
    assert!(near(brackets[0].cost(), 405.0) && near(brackets[0].cost_without_halving(), 6561.0));
}

#[test]
fn a_power_limit_costs_least_where_memory_is_waited_for() {
    let computing = power_cap(700.0, 0.0);
    assert!(near(computing.high_watts, 525.0) && computing.advice.contains("5 to 10 %"), "{}", computing.advice);
    assert!(power_cap(700.0, 1.0).advice.contains("next to none"));
}
