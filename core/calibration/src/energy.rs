//! Whether energy and carbon follow from GPU-hours: arithmetic, so that nothing but exactness is claimed.
//!
//! Asked of rows with `watts` and `gpu_hours`:
//! * `energy_mwh`, with `pue`; * `tco2e`, with `pue` and `kgco2_per_kwh`, where the row has them;
//! * `tco2e` of a row without them: their product is taken from the other rows of its `source`.

use plimsoll_sizing::economy::Site;

use crate::question::ask;
use crate::{Bar, CellError, Evaluation, Published, Residual, Row, Table, Unanswered};

const ENERGY: &str = "energy at the meter, MWh";
const CARBON: &str = "carbon, t";
const BY_PEERS: &str = "carbon by the other rows of its source, t";

/// The energy of a row in kWh, as its own columns describe the site. What they print counts devices, not nodes.
fn site(row: &Row, carbon_kg_per_kwh: f64) -> Result<Site, CellError> {
    Ok(Site { pue: row.needed("pue")?, carbon_kg_per_kwh, ..Site::DEVICES_ONLY })
}

fn has_hours(row: &Row) -> bool {
    row.has("watts") && row.has("gpu_hours")
}

fn knows_its_site(row: &Row) -> bool {
    row.has("pue") && row.has("kgco2_per_kwh")
}

/// Asks every row that can be asked.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let mut evaluations = Vec::new();
    for table in &published.tables {
        evaluations.extend(ask(
            ENERGY,
            table,
            |row| has_hours(row) && row.has("energy_mwh"),
            |row| {
                let energy = site(row, 0.0)?.energy(row.needed("watts")?, row.needed("gpu_hours")?);
                Ok((energy.meter_kwh / 1000.0, row.needed("energy_mwh")?))
            },
        ));
        let asks_carbon = |row: &Row| has_hours(row) && row.has("tco2e") && knows_its_site(row);
        evaluations.extend(ask(CARBON, table, asks_carbon, |row| {
            let site = site(row, row.needed("kgco2_per_kwh")?)?;
            let energy = site.energy(row.needed("watts")?, row.needed("gpu_hours")?);
            Ok((energy.carbon_kg / 1000.0, row.needed("tco2e")?))
        }));
        evaluations.extend(by_peers(table));
    }
    evaluations
}

fn by_peers(table: &Table) -> Option<Evaluation> {
    let mut evaluation = Evaluation::new(BY_PEERS, &table.name, Some("the row itself"));
    let drawn = |row: &Row| {
        let energy = Site::DEVICES_ONLY.energy(row.needed("watts")?, row.needed("gpu_hours")?);
        Ok::<_, CellError>((energy.device_kwh, row.needed("tco2e")?))
    };
    let asked: Vec<&Row> =
        table.rows.iter().filter(|row| has_hours(row) && row.has("tco2e") && !knows_its_site(row)).collect();
    for row in &asked {
        let peers = asked.iter().filter(|peer| peer.line != row.line && peer.text("source") == row.text("source"));
        let (kwh, tonnes) = peers
            .filter_map(|peer| drawn(peer).ok())
            .fold((0.0, 0.0), |(kwh, tonnes), peer| (kwh + peer.0, tonnes + peer.1));
        match drawn(row) {
            Ok((own_kwh, observed)) if kwh > 0.0 => evaluation.residuals.push(Residual {
                row: row.label(),
                predicted: own_kwh * tonnes / kwh,
                observed,
                group: row.text("source").unwrap_or_default().to_owned(),
            }),
            Ok(_) => {
                let reason = "neither pue and kgco2_per_kwh nor another row of its source".to_owned();
                evaluation.unanswered.push(Unanswered { row: row.label(), reason });
            }
            Err(error) => evaluation.unanswered.push(Unanswered { row: row.label(), reason: error.to_string() }),
        }
    }
    (evaluation.rows() > 0).then_some(evaluation)
}

/// Whether a number is printed as another one, rounded or cut off at its last digit.
fn printed_as(number: f64, printed: f64) -> bool {
    let digits = printed.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let unit = 10_f64.powi(-i32::try_from(digits).unwrap_or_default());
    let off = (number - printed) / unit;
    // A hair more, since cents have no exact double.
    (-0.5 - 1e-6..1.0 + 1e-6).contains(&off)
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let of = |question| evaluations.iter().filter(move |evaluation| evaluation.question == question);
    [(ENERGY, "energy"), (CARBON, "carbon")]
        .into_iter()
        .map(|(question, what)| {
            let exact = |residual: &Residual| printed_as(residual.predicted, residual.observed);
            let text = format!("{what} follows from GPU-hours to the last printed digit, rounded or cut off");
            let mut bar = Bar::on_rows(&text, of(question), 1.0, exact);
            for residual in of(question).flat_map(|evaluation| &evaluation.residuals).filter(|row| !exact(row)) {
                let Residual { row, predicted, observed, .. } = residual;
                bar.seen += &format!("; {row}: {predicted:.2}, printed {observed}");
            }
            bar
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_printed_rounded_or_cut_off() {
        assert!(printed_as(449.84, 449.0) && printed_as(449.84, 450.0) && printed_as(31.2247, 31.22));
        assert!(!printed_as(476.47, 475.0) && !printed_as(476.47, 477.0) && !printed_as(31.21, 31.22));
    }

    #[test]
    fn the_repositorys_table_is_an_identity_but_for_one_misprint() {
        let evaluations = evaluate(&Published::of_repository().expect("the tables"));
        let bars = bars(&evaluations);
        assert_eq!(bars[1].held, Some(true), "{}", bars[1].seen);
        // BLOOM's hours, power and PUE give 476.5 MWh; LLaMA's table prints 475.
        assert!(
            bars[0].seen.starts_with("5 of 6 rows") && bars[0].seen.contains("BLOOM-175B: 476.47"),
            "{}",
            bars[0].seen
        );
        let peers = evaluations.iter().find(|evaluation| evaluation.question == BY_PEERS).expect("asked");
        assert_eq!(peers.residuals.len(), 4);
        assert!(peers.errors().iter().all(|error| *error < 3e-4), "{:?}", peers.errors());
    }
}
