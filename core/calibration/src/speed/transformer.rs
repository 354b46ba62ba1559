//! The step of models of known architecture.

use plimsoll_sizing::calibration::Calibration;

use super::case::{Case, asks};
use super::folds::Fit;
use crate::hardware::Hardware;
use crate::{Bar, Evaluation, Published, Residual, Row, Table, Unanswered};

const QUESTION: &str = "step before any observation, s";
const SIZE: &str = "one model size";
const CLASS: &str = "one class of GPU";
const FRAMEWORK: &str = "one framework";

/// Constants that transformers of known architecture tell apart; a run differs from the next by a percent.
pub(crate) const FIT: Fit = Fit {
    free: &[
        "product_efficiency",
        "density_exponent",
        "attention_efficiency",
        "attention_exponent",
        "product_bandwidth",
        "pointwise_bandwidth",
        "loss_bytes",
        "score_bytes",
        "cast_bytes",
        "compiled",
        "ramp_seconds",
        "overlap",
        "link_share",
        "network_share",
        "hop_seconds",
        "message_seconds",
        "asynchronous_tensor",
        "tensor_gather",
        "optimizer_passes",
    ],
    noise: 0.01,
};

/// Tables that the bars name.
const NAMED: &[&str] = &["llmfoundry", "megatron", "korthikanti", "torchtitan"];

/// What is left out, and the group of a case.
type Group = (&'static str, fn(&Case) -> &str);

/// Rows of a table, answered or not.
fn read(table: &Table, hardware: &Hardware) -> (Vec<Case>, Vec<Unanswered>) {
    let (mut cases, mut unanswered) = (Vec::new(), Vec::new());
    for row in table.rows.iter().filter(|row: &&Row| asks(row)) {
        match Case::of(row, hardware) {
            Ok(case) => cases.push(case),
            Err(missing) => unanswered.push(missing),
        }
    }
    (cases, unanswered)
}

/// All rows of a folder that can be answered.
pub(crate) fn cases(published: &Published) -> Vec<Case> {
    let hardware = Hardware::of(published);
    published.tables.iter().flat_map(|table| read(table, &hardware).0).collect()
}

/// Asks every row with an architecture and a speed.
pub(super) fn evaluate(published: &Published) -> Vec<Evaluation> {
    let hardware = Hardware::of(published);
    let known = Published::of_repository().map(|repository| cases(&repository)).unwrap_or_default();
    let whole = &Calibration::published().time;
    let groups: [Group; 3] =
        [(SIZE, |case| &case.size), (CLASS, |case| &case.class), (FRAMEWORK, |case| &case.framework)];
    let mut evaluations = Vec::new();
    let read: Vec<(&Table, Vec<Case>, Vec<Unanswered>)> = published
        .tables
        .iter()
        .map(|table| {
            let (cases, unanswered) = read(table, &hardware);
            (table, cases, unanswered)
        })
        .filter(|(_, cases, unanswered)| cases.len() + unanswered.len() > 0)
        .collect();
    let all: Vec<Case> = read.iter().flat_map(|(_, cases, _)| cases.iter().cloned()).collect();
    for (left_out, group) in groups {
        let mut answers = FIT.without(&known, &all, whole, group).into_iter();
        for (table, cases, unanswered) in &read {
            let residuals = cases
                .iter()
                .zip(answers.by_ref())
                .map(|(case, (predicted, group))| Residual {
                    row: case.label.clone(),
                    predicted,
                    observed: case.seconds,
                    group,
                })
                .collect();
            evaluations.push(Evaluation {
                residuals,
                unanswered: unanswered.clone(),
                ..Evaluation::new(QUESTION, &table.name, Some(left_out))
            });
        }
    }
    evaluations
}

/// Median 10 % and p90 25 % without the model's size, 20 % and 45 % without its class or framework.
pub(super) fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let named = |evaluation: &&Evaluation| {
        evaluation.question == QUESTION && NAMED.iter().any(|name| evaluation.table.starts_with(name))
    };
    let bar = |left_out: &'static str, median, ninetieth| {
        let text = format!("step before any observation, llm-foundry, Megatron-LM, torchtitan, {left_out} left out");
        let of = evaluations.iter().filter(named).filter(|evaluation| evaluation.left_out == Some(left_out));
        Bar::on_errors(&text, of, median, ninetieth)
    };
    vec![bar(SIZE, 0.10, 0.25), bar(CLASS, 0.20, 0.45), bar(FRAMEWORK, 0.20, 0.45)]
}
