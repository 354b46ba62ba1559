//! The tables of docs/compute-optimal.md are what the code says.

use std::fmt::Write as _;

use plimsoll_sizing::critical_batch::{Regime, batch_range};
use plimsoll_sizing::economy::{Disruptions, mtbf_seconds};
use plimsoll_sizing::optimum::{Count, Data, LossLaw, Rates, Serving, Standing, Subject, law_for, opinions};

const DOC: &str = include_str!("../../../docs/compute-optimal.md");

/// Training FLOPs of Chinchilla.
const CHINCHILLA: f64 = 5.76e23;

/// Asks that a table stands in the document, and prints it if it does not.
fn stands(table: &str) {
    assert!(DOC.contains(table), "docs/compute-optimal.md does not contain:\n\n{table}");
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

#[test]
fn verdicts_on_known_models() {
    let models = [
        ("GPT-3", 175e9, 300e9),
        ("Gopher", 280e9, 300e9),
        ("Chinchilla", 70e9, 1.4e12),
        ("LLaMA 7B", 6.74e9, 1e12),
        ("Llama 2 70B", 69e9, 2e12),
        ("Llama 3 8B", 8.03e9, 15e12),
        ("Llama 3 405B", 405e9, 15.6e12),
    ];
    let rows = models.map(|(name, parameters, tokens)| {
        let verdict = LossLaw::EPOCH.judge(parameters, Data::fresh(tokens));
        let standing = match verdict.standing {
            Standing::DataStarved => "data-starved",
            Standing::Optimal => "optimal",
            Standing::OverTrained => "over-trained",
        };
        vec![
            format!("{name}, {} on {} tokens", Count(parameters), Count(tokens)),
            standing.to_owned(),
            format!("{:.2}", verdict.ratio),
            format!("{:.3}", verdict.excess_nats),
            format!("{:.2}", verdict.compute_multiplier),
            format!("{} on {}", Count(verdict.optimum.parameters), Count(verdict.optimum.tokens)),
        ]
    });
    stands(&table(&["model", "verdict", "ratio", "excess, nats", "compute multiplier", "optimum of its FLOPs"], rows));
}

#[test]
fn the_laws() {
    let rows = LossLaw::PUBLISHED.map(|law| {
        let optimum = law.optimum(CHINCHILLA);
        let (parameters, tokens) = (law.fitted_on.parameters, law.fitted_on.tokens);
        vec![
            format!("`{}`", law.name),
            law.source.to_owned(),
            format!("{} to {}", Count(parameters.0), Count(parameters.1)),
            format!("{} to {}", Count(tokens.0), Count(tokens.1)),
            format!("{} on {}", Count(optimum.parameters), Count(optimum.tokens)),
        ]
    });
    stands(&table(&["law", "source", "fitted on parameters", "fitted on tokens", "optimum at 5.76e23 FLOPs"], rows));
}

#[test]
fn optima_of_budgets() {
    let rates = Rates {
        peak_flops_per_second: 989e12,
        mfu: 0.4,
        gpus: 1,
        goodput_fraction: 1.0,
        price_per_gpu_hour: None,
        site_watts_per_gpu: None,
    };
    let rows = [1e19, 1e20, 1e21, 1e22, 1e23, 1e24].map(|flops| {
        let optimum = LossLaw::EPOCH.optimum(flops);
        vec![
            format!("{flops:.0e}"),
            Count(rates.spending(flops).gpu_hours).to_string(),
            Count(optimum.parameters).to_string(),
            Count(optimum.tokens).to_string(),
            format!("{:.1}", optimum.tokens_per_parameter()),
            format!("{:.3}", optimum.loss_nats),
        ]
    });
    let head = ["FLOPs", "H100 hours at 40 % MFU", "parameters", "tokens", "tokens per parameter", "loss, nats"];
    stands(&table(&head, rows));
}

#[test]
fn opinions_of_studies() {
    let rows = opinions(CHINCHILLA).into_iter().map(|opinion| {
        vec![
            opinion.name.to_owned(),
            Count(opinion.parameters).to_string(),
            Count(opinion.tokens).to_string(),
            Count(opinion.tokens / opinion.parameters).to_string(),
        ]
    });
    stands(&table(&["study", "parameters", "tokens", "tokens per parameter"], rows));
}

#[test]
fn models_that_are_served() {
    let loss = LossLaw::EPOCH.optimum(CHINCHILLA).loss_nats;
    let rows = [0.0, 1e12, 1e13, 1e14].map(|served| {
        let best = LossLaw::EPOCH.when_served(loss, &Serving::tokens(served)).unwrap();
        vec![
            if served > 0.0 { Count(served).to_string() } else { "none".to_owned() },
            Count(best.parameters).to_string(),
            Count(best.tokens).to_string(),
            format!("{:.0}", best.tokens / best.parameters),
            format!("{:.0} %", 100.0 * (1.0 - best.cost_ratio).max(0.0)),
        ]
    });
    stands(&table(&["tokens served", "parameters", "tokens", "tokens per parameter", "saved"], rows));
}

#[test]
fn worth_of_passes() {
    let rows = [1.0, 2.0, 4.0, 8.0, 16.0, 40.0, 100.0].map(|epochs| {
        let worth = LossLaw::EPOCH.effective_tokens(&Data { unique_tokens: 1.0, epochs });
        vec![format!("{epochs:.0}"), format!("{worth:.2}"), format!("{:.0} %", 100.0 * worth / epochs)]
    });
    stands(&table(&["passes", "worth in fresh tokens, times the data", "worth of a token"], rows));
    let rows = [None, Some(1e11), Some(1e10)].map(|unique| {
        let optimum = unique.map_or(LossLaw::EPOCH.optimum(1e22), |unique| LossLaw::EPOCH.optimum_with(1e22, unique));
        vec![
            unique.map_or("as many as wanted".to_owned(), |unique| Count(unique).to_string()),
            Count(optimum.parameters).to_string(),
            Count(optimum.tokens).to_string(),
            format!("{:.1}", optimum.epochs),
            format!("{:.3}", optimum.loss_nats),
        ]
    });
    stands(&table(&["unique tokens", "parameters", "tokens", "passes", "loss, nats"], rows));
}

#[test]
fn trades_at_one_loss() {
    let loss = LossLaw::EPOCH.optimum(1e22).loss_nats;
    let rows = LossLaw::EPOCH.trades(loss, &[0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0]).into_iter().map(|trade| {
        vec![
            format!("{:.1}", trade.size),
            Count(trade.parameters).to_string(),
            Count(trade.tokens).to_string(),
            format!("{:.2}", trade.overhead),
        ]
    });
    stands(&table(&["size", "parameters", "tokens", "FLOPs over the optimum's"], rows));
}

#[test]
fn ranges_of_batches() {
    let rows = [1e9, 1e10, 1e11, 1e12, 1e13].map(|tokens| {
        let range = batch_range(&Regime::of(&LossLaw::EPOCH, tokens / 20.0, tokens));
        let pair = |(low, high): (f64, f64)| format!("{} to {}", Count(low), Count(high));
        vec![Count(tokens).to_string(), pair(range.best_tokens), pair(range.critical_tokens)]
    });
    stands(&table(&["training tokens", "best batch, tokens", "critical batch, tokens"], rows));
}

#[test]
fn checkpoints_and_failures() {
    let rows = [8, 512, 4096, 16_384].map(|gpus| {
        let disruptions = Disruptions {
            checkpoint_seconds: 30.0,
            restart_seconds: 300.0,
            mtbf_seconds: mtbf_seconds(50_000.0, gpus),
        };
        vec![
            gpus.to_string(),
            format!("{:.0} h", disruptions.mtbf_seconds / 3600.0),
            format!("{:.0} min", disruptions.young_interval_seconds() / 60.0),
            format!("{:.0} min", disruptions.daly_interval_seconds() / 60.0),
            format!("{:.1} %", 100.0 * disruptions.best_goodput_fraction()),
        ]
    });
    stands(&table(&["GPUs", "between failures", "Young", "Daly", "goodput"], rows));
}

#[test]
fn what_the_laws_are_not_about() {
    let refusals = Subject::ALL.into_iter().filter_map(|subject| law_for(subject).err());
    stands(&refusals.map(|refusal| format!("- {}: {}.\n", refusal.what, refusal.reason)).collect::<String>());
}
