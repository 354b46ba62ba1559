//! What the derives cannot say about a schema: bounds inside Kubernetes' own types, and what a quantity looks like.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::json;

/// A quantity as text, as Kubernetes' own generators write it.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";
/// A label's key with its prefix.
const LABEL_KEY: i64 = 317;
/// A label's value.
const LABEL_VALUE: i64 = 63;

/// The definition as it is installed.
pub(crate) fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else { continue };
        root.title = None;
        finish(root);
        if let Some(spec) = root.properties.as_mut().and_then(|p| p.get_mut("spec")) {
            walk(spec, &mut |schema| schema.nullable = None);
        }
    }
    crd
}

fn finish(root: &mut JSONSchemaProps) {
    walk(root, &mut |schema| {
        if let Some(description) = &mut schema.description {
            // Line breaks of the source are not the reader's.
            *description = description.split("\n\n").map(|p| p.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
        }
        if schema.x_kubernetes_int_or_string == Some(true) {
            quantity(schema);
        }
        let has = |name: &str| schema.properties.as_ref().is_some_and(|p| p.contains_key(name));
        if has("lastTransitionTime") && has("reason") {
            condition(schema);
        } else if has("matchLabels") && has("matchExpressions") {
            label_selector(schema);
        } else if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
            values.max_length.get_or_insert(LABEL_VALUE);
        }
    });
}

fn quantity(schema: &mut JSONSchemaProps) {
    let of = |type_: &str| JSONSchemaProps { type_: Some(type_.to_owned()), ..JSONSchemaProps::default() };
    schema.any_of = Some(vec![of("integer"), of("string")]);
    schema.pattern = Some(QUANTITY.to_owned());
    schema.max_length = Some(64);
}

/// The bounds of metav1.Condition that a controller written in Go gets from its markers.
fn condition(schema: &mut JSONSchemaProps) {
    let Some(properties) = &mut schema.properties else { return };
    for (name, max) in [("type", 316), ("reason", 1024), ("message", 32768)] {
        if let Some(property) = properties.get_mut(name) {
            property.max_length = Some(max);
        }
    }
    if let Some(status) = properties.get_mut("status") {
        status.enum_ = Some(["True", "False", "Unknown"].map(|word| JSON(json!(word))).into());
    }
}

fn label_selector(schema: &mut JSONSchemaProps) {
    let Some(properties) = &mut schema.properties else { return };
    if let Some(labels) = properties.get_mut("matchLabels") {
        labels.max_properties = Some(16);
        if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut labels.additional_properties {
            values.max_length = Some(LABEL_VALUE);
        }
    }
    let Some(expressions) = properties.get_mut("matchExpressions") else { return };
    expressions.max_items = Some(16);
    let Some(JSONSchemaPropsOrArray::Schema(expression)) = &mut expressions.items else { return };
    let Some(properties) = &mut expression.properties else { return };
    if let Some(key) = properties.get_mut("key") {
        key.max_length = Some(LABEL_KEY);
    }
    if let Some(operator) = properties.get_mut("operator") {
        operator.enum_ = Some(["In", "NotIn", "Exists", "DoesNotExist"].map(|word| JSON(json!(word))).into());
    }
    if let Some(values) = properties.get_mut("values") {
        values.max_items = Some(64);
        if let Some(JSONSchemaPropsOrArray::Schema(value)) = &mut values.items {
            value.max_length = Some(LABEL_VALUE);
        }
    }
}

/// Visits a schema and all below it, the outer one first.
fn walk(schema: &mut JSONSchemaProps, visit: &mut impl FnMut(&mut JSONSchemaProps)) {
    visit(schema);
    for property in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        walk(property, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        walk(items, visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        walk(values, visit);
    }
}
