//! What a user and an apiserver read of the API: the committed manifests, and every schema in them.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool,
};

/// Objects of etcd end at 1.5 MB, `kubectl apply` keeps a copy in an annotation of at most 256 KiB.
const LARGEST: u64 = 200_000;

/// The only field whose inside is not ours to describe.
const RAW: &[&str] = &["spec.template.metadata", "spec.template.spec"];

fn versions() -> Vec<(String, CustomResourceDefinitionVersion)> {
    let of = |crd: CustomResourceDefinition| (crd.spec.names.kind, crd.spec.versions.into_iter().next().unwrap());
    plimsoll_crds::all().into_iter().map(of).collect()
}

fn root(version: &CustomResourceDefinitionVersion) -> &JSONSchemaProps {
    version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()
}

/// Visits every schema below the root with its path; list items end in `[]`, map values in `{}`.
fn each(schema: &JSONSchemaProps, path: &str, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
    visit(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        each(property, &path, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        each(items, &format!("{path}[]"), visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        each(values, &format!("{path}{{}}"), visit);
    }
}

/// What `faulty` says about any schema of any kind.
fn faults(faulty: impl Fn(&str, &JSONSchemaProps) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, version) in versions() {
        each(root(&version), "", &mut |path, schema| {
            found.extend(faulty(path, schema).map(|fault| format!("{kind} {path}: {fault}")));
        });
    }
    found
}

#[test]
fn the_committed_manifests_are_what_the_types_say_and_nothing_else_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let mut expected = Vec::new();
    for crd in plimsoll_crds::all() {
        let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let found: Option<CustomResourceDefinition> = serde_yaml::from_str(&text).ok();
        assert!(found.as_ref() == Some(&crd), "run `cargo xtask generate`: {} is not fresh", path.display());
        assert!(path.metadata().unwrap().len() < LARGEST, "{} is too large for kubectl apply", path.display());
        expected.push(path);
    }
    let mut found: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_field_has_a_description_for_kubectl_explain() {
    let faults = faults(|path, schema| {
        let built_in = ["", "apiVersion", "kind", "metadata"].contains(&path) && !path.is_empty();
        let inner = path.ends_with("[]") || path.ends_with("{}");
        let described = schema.description.as_ref().is_some_and(|d| d.len() > 3 && !d.contains('\n'));
        (!built_in && !inner && !described)
            .then(|| format!("no description, or one with line breaks: {:?}", schema.description))
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn values_of_enums_are_upper_camel() {
    let camel = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let faults = faults(|_, schema| {
        let words: Vec<_> = schema.enum_.iter().flatten().filter_map(|word| word.0.as_str()).collect();
        (!words.iter().copied().all(camel)).then(|| format!("{words:?}"))
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_list_map_and_string_is_bounded() {
    let faults = faults(|_, schema| {
        let fixed = schema.enum_.is_some() || schema.format.as_deref() == Some("date-time");
        let quantity = schema.x_kubernetes_int_or_string == Some(true);
        match schema.type_.as_deref() {
            Some("string") if !fixed && schema.max_length.is_none() => Some("a string without maxLength".into()),
            Some("array") if schema.max_items.is_none() => Some("a list without maxItems".into()),
            Some("object") if schema.additional_properties.is_some() && schema.max_properties.is_none() => {
                Some("a map without maxProperties".into())
            }
            Some(_) => None,
            None if quantity && schema.pattern.is_some() && schema.max_length.is_some() => None,
            None => Some("neither a type nor a bounded quantity".into()),
        }
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn nothing_is_floating_point_and_only_the_template_is_raw() {
    let faults = faults(|path, schema| {
        let float = schema.type_.as_deref() == Some("number");
        let raw = schema.x_kubernetes_preserve_unknown_fields == Some(true);
        let allowed = RAW.contains(&path) || path == "spec.template";
        (float || (raw && !allowed)).then(|| "a floating point number, or not declared".to_owned())
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn an_explicit_null_in_a_spec_counts_as_absent_as_in_kubernetes_own_types() {
    // The apiserver drops a null only where the schema is not nullable; a rule would take it for a value.
    let faults = faults(|path, schema| {
        (path.starts_with("spec") && schema.nullable == Some(true)).then(|| "nullable".to_owned())
    });
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn status_is_a_subresource_and_conditions_are_a_map_by_type() {
    for (kind, version) in versions() {
        assert!(version.subresources.as_ref().is_some_and(|s| s.status.is_some()), "{kind}");
        let status = &root(&version).properties.as_ref().unwrap()["status"];
        let Some(conditions) = status.properties.as_ref().unwrap().get("conditions") else {
            assert_eq!(kind, "AcceleratorNode", "its agent says what it saw, and judges nothing");
            continue;
        };
        assert_eq!(conditions.x_kubernetes_list_type.as_deref(), Some("map"), "{kind}");
        assert_eq!(conditions.x_kubernetes_list_map_keys, Some(vec!["type".to_owned()]), "{kind}");
        assert!(!status.required.iter().flatten().any(|name| name == "conditions"), "{kind}");
    }
}

#[test]
fn every_kind_has_short_names_a_category_and_columns_that_name_fields_which_exist() {
    for crd in plimsoll_crds::all() {
        let (kind, names) = (&crd.spec.names.kind, &crd.spec.names);
        assert_eq!(names.categories, Some(vec!["plimsoll".to_owned()]), "{kind}");
        assert!(names.short_names.as_ref().is_some_and(|s| s.len() == 1), "{kind}");
        let version = &crd.spec.versions[0];
        let mut fields = Vec::new();
        each(root(version), "", &mut |path, _| fields.push(format!(".{path}")));
        fields.push(".metadata.creationTimestamp".to_owned());
        for column in version.additional_printer_columns.as_ref().unwrap() {
            assert!(fields.contains(&column.json_path), "{kind}: {} is not a field", column.json_path);
            assert!(column.description.is_some(), "{kind}: {}", column.name);
        }
    }
}

#[test]
fn rules_of_structs_of_fields_and_of_roots_are_in_the_schema_and_each_says_what_is_wrong() {
    let mut rules = std::collections::BTreeMap::<String, usize>::new();
    for (kind, version) in versions() {
        each(root(&version), "", &mut |path, schema| {
            for rule in schema.x_kubernetes_validations.iter().flatten() {
                assert!(rule.message.as_ref().is_some_and(|m| m.len() > 10), "{kind} {path}: {}", rule.rule);
                *rules.entry(format!("{kind} {path}")).or_default() += 1;
            }
        });
    }
    let expected = [
        ("AcceleratorClass ", 1),
        ("AcceleratorClass spec.nodeSelector", 1),
        ("AcceleratorClass spec.peakFlops", 1),
        ("AcceleratorClass spec.pricePerHour", 1),
        ("AcceleratorClass spec.resourceName", 1),
        ("TrainingJob ", 1),
        ("TrainingJob spec", 10),
        ("TrainingJob spec.accelerators", 5),
        ("TrainingJob spec.checkpoint.path", 1),
        ("TrainingJob spec.data", 2),
        ("TrainingJob spec.method", 7),
        ("TrainingJob spec.model", 1),
        ("TrainingJob spec.model.encoderDecoder", 3),
        ("TrainingJob spec.model.huggingFace.config", 1),
        ("TrainingJob spec.model.mixtureOfExperts", 3),
        ("TrainingJob spec.model.recommender", 1),
        ("TrainingJob spec.model.recurrent", 1),
        ("TrainingJob spec.model.transformer", 2),
        ("TrainingJob spec.parallelism", 12),
        ("TrainingJob spec.parallelism.declared", 1),
        ("TrainingJob spec.variants[].model", 1),
        ("TrainingJob spec.variants[].model.encoderDecoder", 3),
        ("TrainingJob spec.variants[].model.huggingFace.config", 1),
        ("TrainingJob spec.variants[].model.mixtureOfExperts", 3),
        ("TrainingJob spec.variants[].model.recommender", 1),
        ("TrainingJob spec.variants[].model.recurrent", 1),
        ("TrainingJob spec.variants[].model.transformer", 2),
        ("TrainingQueue ", 2),
        ("TrainingQueue spec", 1),
        ("TrainingQueue spec.budgets[].limit", 1),
    ];
    assert_eq!(rules, expected.map(|(path, count)| (path.to_owned(), count)).into());
}
