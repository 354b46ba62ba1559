//! What went into an image, as CycloneDX 1.5. Without time and serial number, which are optional there, so that equal
//! images have equal lists.

use std::collections::BTreeSet;

use cargo_metadata::Package as Crate;
use serde_json::{Value, json};

use crate::archive::NameTooLong;
use crate::blob::{Blob, layout};
use crate::crates::Crates;
use crate::debian::Package;

const CYCLONE_DX: &str = "application/vnd.cyclonedx+json";

/// The list, as text.
pub(crate) fn list(crates: &Crates<'_>, packages: &BTreeSet<Package>) -> String {
    let others = crates.others().map(|one| of_crate(one, "library"));
    let mut components: Vec<Value> = others.chain(packages.iter().map(of_package)).collect();
    components.sort_by_cached_key(reference);
    let mut dependencies: Vec<Value> = crates
        .needs
        .iter()
        .filter_map(|(id, needs)| {
            let needs: BTreeSet<String> = needs.iter().filter_map(|id| crates.get(id)).map(crate_url).collect();
            Some(json!({"ref": crate_url(crates.get(id)?), "dependsOn": needs}))
        })
        .collect();
    dependencies.sort_by_cached_key(|one| one["ref"].to_string());
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": of_crate(crates.root, "application")},
        "components": components,
        "dependencies": dependencies,
    });
    format!("{list:#}\n")
}

/// The list as an OCI artifact that refers to its image.
pub(crate) fn artifact(list: &str, file: &str, image: &Value) -> Result<Vec<u8>, NameTooLong> {
    let (content, empty) =
        (Blob::new(CYCLONE_DX, list.into()), Blob::new("application/vnd.oci.empty.v1+json", b"{}".into()));
    let mut layer = content.descriptor();
    layer["annotations"] = json!({"org.opencontainers.image.title": file});
    let manifest = Blob::json(
        "application/vnd.oci.image.manifest.v1+json",
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": CYCLONE_DX,
            "config": empty.descriptor(),
            "layers": [layer],
            "subject": image,
        }),
    );
    layout(&manifest.descriptor(), &[&content, &empty, &manifest])
}

fn reference(component: &Value) -> String {
    component["bom-ref"].to_string()
}

fn of_crate(one: &Crate, kind: &str) -> Value {
    let url = crate_url(one);
    let mut component =
        json!({"type": kind, "bom-ref": url, "name": one.name, "version": one.version.to_string(), "purl": url});
    if let Some(license) = &one.license {
        // Old crates write a stroke where SPDX has a word.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    component
}

fn of_package(one: &Package) -> Value {
    let Package { name, version, architecture, source, source_version } = one;
    let upstream = format!("{source}@{}", escaped(source_version));
    let url = format!("pkg:deb/debian/{name}@{}?arch={architecture}&upstream={}", escaped(version), escaped(&upstream));
    json!({"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url})
}

fn crate_url(one: &Crate) -> String {
    format!("pkg:cargo/{}@{}", one.name, escaped(&one.version.to_string()))
}

/// As package URLs want it, of the signs that versions have.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('+', "%2B").replace(':', "%3A").replace('@', "%40")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_by_a_url_that_survives_odd_versions() {
        let text = |text: &str| text.to_owned();
        let package = Package {
            name: text("libgcc-s1"),
            version: text("12.2.0-14+deb12u1"),
            architecture: text("amd64"),
            source: text("gcc-12"),
            source_version: text("1:12.2"),
        };
        let url = "pkg:deb/debian/libgcc-s1@12.2.0-14%2Bdeb12u1?arch=amd64&upstream=gcc-12%401%253A12.2";
        assert_eq!(of_package(&package)["purl"], url);
    }
}
