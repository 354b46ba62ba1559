//! The step of image models that are known by their totals: parameters, multiply-adds and activations.

use plimsoll_sizing::calibration::{Calibration, TimeConstants};
use plimsoll_sizing::{
    Accepts, Batch, ClassSpec, Custom, Declared, JobSpec, Layout, Method, Mode, Model, Optimizer, Prepared, Profile,
    Program, Run, Shape,
};

use super::folds::{Fit, Measured};
use crate::hardware::Hardware;
use crate::question::job::precision;
use crate::{Bar, CellError, Evaluation, Published, Residual, Row, Table, Unanswered};

const QUESTION: &str = "step of an image model from its totals, s";
const FAMILY: &str = "one family";

/// Bytes kept per activation that a table counts: what the largest batches of ResNets, vision transformers and VGGs leave
/// room for. Only its product with `unknown_passes` matters here.
const KEPT_BYTES: f64 = 5.0;

/// Words before a model's own name that say who trained it.
const ORIGINS: &[&str] = &["tf_", "tv_", "gluon_", "swsl_", "ssl_", "legacy_", "ig_", "adv_", "ens_", "ese_", "jx_"];

/// Constants that models of unknown kernels tell apart; such models differ by much more than runs do.
pub(crate) const FIT: Fit =
    Fit { free: &["unknown_efficiency", "unknown_passes", "unknown_overlap", "unknown_kernels"], noise: 0.15 };

/// One row: a model that trained on one device.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    label: String,
    family: String,
    job: JobSpec,
    profile: Profile,
    class: ClassSpec,
    shape: Shape,
    layout: Layout,
    batch: Batch,
    seconds: f64,
}

/// Whether a row says how fast an image model ran whose totals are known.
fn asks(row: &Row) -> bool {
    ["gmacs", "macts_m", "samples_s"].iter().all(|column| row.has(column))
}

/// The leading word of a model's name: `resnet` of `resnet50d`, `vit` of `vit_small_patch16_224`.
pub(crate) fn family(model: &str) -> &str {
    let own = ORIGINS.iter().find_map(|origin| model.strip_prefix(origin)).unwrap_or(model);
    own.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or(own)
}

impl Image {
    fn read(row: &Row, hardware: &Hardware) -> Result<Self, CellError> {
        let class = hardware.of_row(row)?;
        let gpus = row.count("gpus")?.unwrap_or(1).max(1);
        let micro = match row.count("micro_batch")? {
            Some(micro) => micro,
            None => row.needed_count("max_batch")?,
        };
        let global = micro.saturating_mul(gpus);
        let model = Model::Custom(Custom {
            parameters: (row.needed_within("params_m", 1e7)? * 1e6) as u64,
            flops_per_sample: 2e9 * row.needed("gmacs")?,
            activation_bytes_per_sample: (KEPT_BYTES * 1e6 * row.needed_within("macts_m", 1e7)?) as u64,
        });
        let per_pod = gpus.min(class.gpus_per_node.max(1));
        Ok(Self {
            label: row.label(),
            family: family(row.text("model").unwrap_or_default()).to_owned(),
            profile: model.profile(1),
            job: JobSpec {
                model,
                precision: precision(row)?.0,
                optimizer: Optimizer::SgdMomentum,
                method: Method::Pretrain,
                sequence_length: 1,
                global_batch: global,
                classes: Vec::new(),
                min_gpus: gpus,
                max_gpus: gpus,
                requested_gpus: Some(gpus),
                gpus_per_pod: None,
                mode: Mode::Off,
                elastic: false,
                accepts: Accepts::default(),
                declared: Declared::default(),
            },
            shape: Shape { class: class.name.clone(), pods: gpus.div_ceil(per_pod), gpus_per_pod: per_pod },
            class,
            layout: Layout::data_parallel(gpus),
            batch: Batch { micro, accumulation: 1, global },
            seconds: f64::from(global) / row.needed("samples_s")?,
        })
    }
}

impl Measured for Image {
    fn prepared(&self) -> Prepared<'_> {
        let Self { job, class, shape, layout, batch, .. } = self;
        Prepared::new(&self.profile, Run { job, class, shape, layout, batch }, Program::default())
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn kin(&self) -> &str {
        ""
    }
}

fn read(table: &Table, hardware: &Hardware) -> (Vec<Image>, Vec<Unanswered>) {
    let (mut images, mut unanswered) = (Vec::new(), Vec::new());
    for row in table.rows.iter().filter(|row| asks(row)) {
        match Image::read(row, hardware) {
            Ok(image) => images.push(image),
            Err(error) => unanswered.push(Unanswered { row: row.label(), reason: error.to_string() }),
        }
    }
    (images, unanswered)
}

/// All rows of a folder that can be answered.
pub(crate) fn images(published: &Published) -> Vec<Image> {
    let hardware = Hardware::of(published);
    published.tables.iter().flat_map(|table| read(table, &hardware).0).collect()
}

/// Asks every image model with totals and a speed.
pub(super) fn evaluate(published: &Published) -> Vec<Evaluation> {
    let hardware = Hardware::of(published);
    let known = Published::of_repository().map(|repository| images(&repository)).unwrap_or_default();
    let whole: &TimeConstants = &Calibration::published().time;
    let mut evaluations = Vec::new();
    for table in &published.tables {
        let (images, unanswered) = read(table, &hardware);
        if images.len() + unanswered.len() == 0 {
            continue;
        }
        let answers = FIT.without(&known, &images, whole, |image| &image.family);
        let residual = |(image, (predicted, group)): (&Image, (f64, String))| Residual {
            row: image.label.clone(),
            predicted,
            observed: image.seconds,
            group,
        };
        let residuals = images.iter().zip(answers).map(residual).collect();
        let evaluation = Evaluation::new(QUESTION, &table.name, Some(FAMILY));
        evaluations.push(Evaluation { residuals, unanswered, ..evaluation });
    }
    evaluations
}

/// Median 20 % and p90 50 % without the model's family.
pub(super) fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let ours = evaluations.iter().filter(|evaluation| evaluation.question == QUESTION);
    vec![Bar::on_errors("step of an image model from its totals, one family left out", ours, 0.20, 0.50)]
}

#[cfg(test)]
mod tests {
    use super::family;

    #[test]
    fn a_family_is_the_leading_word_of_a_models_own_name() {
        let pairs = [("resnet50d", "resnet"), ("tf_efficientnet_b8", "efficientnet"), ("vit_small_patch16_224", "vit")];
        for (model, name) in pairs {
            assert_eq!(family(model), name);
        }
    }
}
