//! The same program makes the same image, wherever and whenever.
#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use cargo_metadata::{Metadata, MetadataCommand};
use plimsoll_images::{Built, Recipe, sha256};
use serde_json::Value;

fn metadata() -> Metadata {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .other_options(["--locked", "--filter-platform", &platform].map(str::to_owned))
        .exec()
        .unwrap()
}

/// The image of this very test, as if it were the program of this package.
fn built(metadata: &Metadata, program: &Path, revision: &str) -> Built {
    let (name, package) = ("localhost/test:1", "plimsoll-images");
    Recipe { name, package, program, libraries: &[], metadata, revision }.build().unwrap()
}

fn json(list: &str) -> Value {
    serde_json::from_str(list).unwrap()
}

#[test]
fn an_image_of_the_same_program_is_the_same_to_the_byte() {
    let metadata = metadata();
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let first = built(&metadata, &program, "r1");
    let copy = folder.path().join("copy-of-another-name");
    std::fs::copy(&program, &copy).unwrap();
    let file = std::fs::File::options().write(true).open(&copy).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    drop(file);
    let second = built(&metadata, &copy, "r1");
    assert_eq!(sha256(&first.image), sha256(&second.image));
    assert_eq!(sha256(&first.sbom_artifact), sha256(&second.sbom_artifact));
    assert_eq!(first.digest, second.digest);
    assert_ne!(first.digest, built(&metadata, &copy, "r2").digest, "the commit is a label");
}

#[test]
fn the_archive_is_a_layout_whose_image_has_program_loader_user_and_list() {
    let metadata = metadata();
    let folder = tempfile::tempdir().unwrap();
    let built = built(&metadata, &std::env::current_exe().unwrap(), "r1");
    let unpack = |archive: &[u8], into: &str| {
        let into = folder.path().join(into);
        std::fs::create_dir(&into).unwrap();
        std::fs::write(into.join("archive.tar"), archive).unwrap();
        let status = Command::new("tar").current_dir(&into).args(["-xf", "archive.tar"]).status().unwrap();
        assert!(status.success());
        into
    };
    let read = |path: &Path| std::fs::read(path).unwrap();
    let parse = |path: &Path| -> Value { serde_json::from_slice(&read(path)).unwrap() };
    let layout = unpack(&built.image, "layout");
    let blob = |value: &Value| {
        let hash = value["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
        let path = layout.join("blobs/sha256").join(&hash);
        let content = read(&path);
        assert_eq!((sha256(&content), value["size"].as_u64()), (hash, Some(content.len() as u64)));
        path
    };
    let index = parse(&layout.join("index.json"));
    assert_eq!(index["manifests"][0]["digest"], built.digest);
    let manifest = parse(&blob(&index["manifests"][0]));
    let config = parse(&blob(&manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/plimsoll-images");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "r1");

    let root = unpack(&read(&blob(&manifest["layers"][0])), "root");
    assert!(root.join("usr/bin/plimsoll-images").is_file());
    assert!(String::from_utf8(read(&root.join("etc/passwd"))).unwrap().contains("\nnonroot:x:65532:65532:"));
    assert_eq!(read(&root.join("usr/share/sbom/plimsoll-images.cdx.json")), built.sbom.as_bytes());

    let artifact = unpack(&built.sbom_artifact, "artifact");
    let entry = parse(&artifact.join("index.json"))["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    assert_eq!(parse(&artifact.join("blobs").join(entry))["subject"]["digest"], built.digest);
}

#[test]
fn the_list_has_what_the_program_is_built_of_and_not_what_tests_it() {
    let built = built(&metadata(), &std::env::current_exe().unwrap(), "r1");
    let list = json(&built.sbom);
    let names: Vec<&str> = list["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"sha2") && names.contains(&"digest"), "{names:?}");
    assert!(!names.contains(&"tempfile"), "a dependency of tests");
    assert_eq!(
        list["metadata"]["component"]["purl"],
        format!("pkg:cargo/plimsoll-images@{}", env!("CARGO_PKG_VERSION"))
    );
    let references = |value: &Value| value["bom-ref"].as_str().unwrap().to_owned();
    let known: Vec<String> = list["components"].as_array().unwrap().iter().map(references).collect();
    for one in list["dependencies"].as_array().unwrap() {
        for needed in one["dependsOn"].as_array().unwrap() {
            assert!(known.iter().any(|reference| reference == needed), "{needed}");
        }
    }
}
