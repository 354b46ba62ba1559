//! Parameter counts of the published tables, row by row, from the dimensions that stand beside them.

use plimsoll_sizing::{Biases, Experts, Head, Norm, Positions, Transformer};
use std::collections::BTreeMap;

const EXACT: &str = include_str!("../../calibration/tables/param_counts_exact.csv");
const PYTHIA: &str = include_str!("../../calibration/tables/pythia_configs.csv");
const CHINCHILLA: &str = include_str!("../../calibration/tables/chinchilla_table_a9.csv");
const GPT3: &str = include_str!("../../calibration/tables/gpt3_tables_2_1_d1.csv");

type Row = BTreeMap<String, String>;

/// The rows of a table; a quoted cell may hold commas.
fn rows(text: &str) -> Vec<Row> {
    let cells = |line: &str| {
        let mut cells = vec![String::new()];
        let mut quoted = false;
        for letter in line.chars() {
            match letter {
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                letter => cells.last_mut().expect("a cell").push(letter),
            }
        }
        cells
    };
    let mut lines = text.lines();
    let header = cells(lines.next().expect("a header"));
    lines.map(|line| header.iter().cloned().zip(cells(line)).collect()).collect()
}

fn number(row: &Row, column: &str) -> Option<u32> {
    row.get(column).filter(|cell| !cell.is_empty()).map(|cell| cell.parse().expect(cell))
}

fn transformer(row: &Row) -> Transformer {
    let of = |column| number(row, column).expect(column);
    let text = |column: &str| row.get(column).map_or("", String::as_str);
    let gated = of("mlp_mats") == 3;
    let bert = row["model"].starts_with("BERT");
    Transformer {
        layers: of("layers"),
        hidden: of("hidden"),
        heads: of("heads"),
        kv_heads: of("kv_heads"),
        head_dim: of("head_dim"),
        ffn: of("ffn"),
        gated_mlp: gated,
        vocabulary: of("vocab"),
        tied_embeddings: of("tied") == 1,
        biases: match (number(row, "qkv_bias"), gated) {
            (Some(0), _) => Biases::None,
            (Some(_), true) => Biases::QueryKeyValue,
            _ => Biases::All,
        },
        learned_positions: if text("pos_emb") == "learned" { of("seq") } else { 0 },
        norm: if ["rms", "layer-nobias"].contains(&text("norm")) { Norm::Rms } else { Norm::Layer },
        norms_per_layer: if text("note").contains("parallel") { 1 } else { 2 },
        positions: if text("pos_emb") == "relative" { Positions::Relative } else { Positions::Rotary },
        experts: number(row, "experts").map(|count| Experts {
            count,
            top_k: of("topk"),
            ffn: of("ffn"),
            ..Experts::default()
        }),
        segments: if bert { 2 } else { 0 },
        embedding_norm: bert,
        final_norm: !bert,
        head: if bert { Head::Pooler } else { Head::LanguageModel },
        ..Transformer::default()
    }
}

fn published(row: &Row) -> f64 {
    row["params"].parse().expect("a count")
}

#[test]
fn every_exact_count_is_met_exactly() {
    let mut exact = 0;
    for row in rows(EXACT) {
        let counted = transformer(&row).parameters();
        if row["note"].contains("rounded") {
            // PaLM prints hundredths of a billion.
            assert!((counted as f64 - published(&row)).abs() <= 5e6 + 2e-4 * published(&row), "{row:?}: {counted}");
        } else {
            assert_eq!(counted as f64, published(&row), "{}", row["model"]);
            exact += 1;
        }
        if let Ok(active) = row["active_params"].parse::<u64>() {
            assert_eq!(transformer(&row).active_parameters(), active, "{}", row["model"]);
        }
    }
    assert_eq!(exact, 24);
}

#[test]
fn every_pythia_is_met_exactly() {
    for row in rows(PYTHIA) {
        let counted = transformer(&row).parameters();
        match row["params"].strip_suffix('M') {
            // Two names for which no count was published; the table gives 14,067,712 and 30,494,720 for them.
            Some(millions) => assert!((counted as f64 / 1e6 - millions.parse::<f64>().expect("M")).abs() < 0.6),
            None => assert_eq!(counted as f64, published(&row), "{}", row["model"]),
        }
    }
}

/// arXiv 2203.15556, table A9, prints whole millions: rows below half a billion are met within their rounding, all others
/// within a tenth of a percent.
#[test]
fn every_chinchilla_is_met_within_its_rounding() {
    for row in rows(CHINCHILLA) {
        let off = (transformer(&row).parameters() as f64 - published(&row)).abs();
        let most = if published(&row) < 5e8 { 5e5 } else { 1e-3 * published(&row) };
        assert!(off <= most, "{}: {off}", row["model"]);
    }
}

/// arXiv 2005.14165, table 2.1, prints rounded counts and two rows whose own dimensions disagree: `heads × head_dim` of XL
/// is 3072 beside a width of 2048, and the width of 13B is printed as 5140. With 16 heads and 5120 both agree.
#[test]
fn every_gpt3_is_met_within_its_rounding() {
    for row in rows(GPT3) {
        let mut t = transformer(&row);
        match row["model"].as_str() {
            "GPT-3 XL" => t.heads = 16,
            "GPT-3 13B" => t.hidden = 5120,
            _ => {}
        }
        t.kv_heads = t.heads;
        t.ffn = 4 * t.hidden;
        let counted = t.parameters() as f64;
        assert!((counted / published(&row) - 1.0).abs() < 0.004, "{}: {counted}", row["model"]);
    }
}
