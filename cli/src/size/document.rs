//! The menu for programs; additions only, so that a script that reads it keeps working.

use plimsoll_sizing::economy::Bill;
use plimsoll_sizing::optimum::{NotApplicable, ServedOptimum, Verdict};
use plimsoll_sizing::{ClassSpec, Estimate, Menu};
use serde::Serialize;

use super::Sized;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    name: &'a str,
    parameters: u64,
    trained_parameters: u64,
    classes: &'a [ClassSpec],
    menu: &'a Menu,
    /// What the whole run takes with each candidate, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    bills: Option<&'a [Bill]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<&'a Estimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_optimality: Option<&'a Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    served_optimum: Option<&'a ServedOptimum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_optimality_not_applicable: Option<&'a NotApplicable>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

pub(super) fn json(sized: &[Sized]) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&document(sized))
}

pub(super) fn yaml(sized: &[Sized]) -> Result<String, serde_yaml::ser::Error> {
    serde_yaml::to_string(&document(sized))
}

fn document(sized: &[Sized]) -> Document<'_> {
    let items = sized.iter().map(item).collect();
    Document { api_version: "cli.plimsoll.dev/v1alpha1", kind: "SizingList", items }
}

fn item(one: &Sized) -> Item<'_> {
    let judged = one.optimality.as_ref().map(Result::as_ref);
    let verdict = judged.and_then(Result::ok);
    Item {
        name: &one.name,
        parameters: one.job.model.parameters(),
        trained_parameters: one.job.trained_parameters(),
        classes: &one.classes,
        menu: &one.menu,
        bills: one.bills.as_deref(),
        explained: one.explained.as_ref(),
        compute_optimality: verdict.map(|optimality| &optimality.verdict),
        served_optimum: verdict.and_then(|optimality| optimality.served.as_ref()).map(|served| &served.optimum),
        compute_optimality_not_applicable: judged.and_then(Result::err),
        notes: &one.notes,
    }
}
