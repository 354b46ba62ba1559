//! Tables that nobody here has seen: no row is lost, and none stops the others.

use plimsoll_calibration::{Published, Table, evaluate, report};

/// A table of runs on `hardware`, one a row, of a model of known shape.
fn runs(hardware: &[&str]) -> String {
    let row =
        |hardware: &&str| format!("llama3-8b,32,4096,32,8,14336,3,128256,8192,\"{hardware}\",8,8,1,8,bf16,fsdp,9000\n");
    let rows: String = hardware.iter().map(row).collect();
    let columns = "model,layers,hidden,heads,kv_heads,ffn,mlp_mats,vocab,seq,hardware,gpus,dp,micro_batch,global_batch,\
                   precision,sharding,tokens_s_gpu\n";
    format!("{columns}{rows}")
}

fn published(tables: &[(&str, &str)]) -> Published {
    let tables = tables.iter().map(|(name, text)| Table::from_text(name, text).expect("a table"));
    Published { tables: tables.collect(), ..Published::default() }
}

fn report_of(published: &Published) -> String {
    report::text(published, &evaluate(published), false)
}

#[test]
fn new_products_are_asked_and_unknown_ones_are_counted() {
    let known = ["b200", "GB200 NVL72", "MI300X OAM", "h20", "L40S", "RTX 6000 Ada", "TPU v5p", "8x H100"];
    let text = runs(&[known.as_slice(), &["abacus 9000", "trn2"]].concat());
    let published = published(&[("newer", &text)]);
    let asked = evaluate(&published);
    let steps = asked.evaluations.iter().find(|asked| asked.question.starts_with("step before")).expect("asked");
    assert_eq!((steps.residuals.len(), steps.unanswered.len()), (known.len(), 2));
    assert!(report_of(&published).contains("1 rows: hardware \"abacus 9000\" cannot be read"));
}

#[test]
fn no_row_of_a_broken_table_is_lost_or_stops_the_others() {
    let broken = "\u{feff}Model,Layers,Hidden,Hardware,tokens_s_gpu,memory_gib,max_batch,params_m,macts_m\r\n\
                  zero,0,0,h100,0,0,0,0,0\r\n\
                  negative,-1,-4096,h100,-1,-60,-1,-1,-1\r\n\
                  huge,4294967295,4294967295,h100,1e300,1e300,4294967295,1e300,1e300\r\n\
                  words,many,wide,h100,fast,OOM,some,few,none\r\n\
                  short\r\n\
                  ,,,,,,,,,,,beyond\r\n";
    let published = published(&[("broken", broken), ("empty", ""), ("strange", "wie;was\n1;2\n")]);
    let text = report_of(&published);
    assert!(text.contains("broken, no question: 2 rows: no figure that a question is about"), "{text}");
    assert!(text.contains("strange, no question: 1 rows"), "{text}");
    assert!(text.contains("cannot be read"), "{text}");
}
