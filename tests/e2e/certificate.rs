//! A model compared with its reference: by `millm verify`, and over HTTP.

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
};

use millm_tests::{
    Server,
    command::trust,
    folders::{bundle, copy_files, demo_model, fixtures, workspace},
    installation::Installation,
};
use safetensors::{
    SafeTensors,
    tensor::{TensorView, serialize_to_file},
};
use serde_json::Value;

const CERTIFICATE: &str = "/api/models/demo/certificate";

fn verify(model: &Path, golden: Option<&Path>, more: &[&str]) -> Output {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(bundle().join("millm"));
    command
        .arg("verify")
        .arg(model)
        .args(golden.map(|golden| ["--golden".as_ref(), golden.as_os_str()]).into_iter().flatten());
    command.args(more).current_dir(data.path()).env("MILLM_DATA_DIR", data.path()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn case(name: &str) -> PathBuf {
    workspace().join("tests/golden").join(name)
}

/// The golden file of a case, its tensors renamed by `rename` (or dropped) and changed by `change`.
fn altered(
    case_name: &str,
    rename: impl Fn(&str) -> Option<String>,
    change: impl Fn(&str, &mut [u8]),
) -> (tempfile::TempDir, PathBuf) {
    let bytes = fs::read(case(case_name).join("golden.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata: HashMap<String, String> = header.metadata().clone().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut kept = Vec::new();
    for (name, view) in tensors.iter() {
        let mut data = view.data().to_vec();
        change(name, &mut data);
        kept.extend(rename(name).map(|name| (name, view.dtype(), view.shape().to_vec(), data)));
    }
    let views =
        kept.iter().map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.safetensors");
    serialize_to_file(views, Some(metadata), &path).unwrap();
    (folder, path)
}

fn unchanged(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn a_model_that_equals_its_reference_is_verified_at_every_hook_point() {
    for name in ["gpt2/bare-names", "neox/parallel-quarter", "gemma/gemma2-softcaps-window", "llama/phi3-longrope"] {
        let output = verify(&case(name), None, &[]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        assert!(
            said.contains(" verified, 0 unverified, 0 FAILED; greedy tokens: 48 of 48 agree\nverified ("),
            "{said}"
        );
        assert!(said.contains("blocks.1.attn.hook_pattern") && said.contains("norm ratio"), "{said}");
    }
}

#[test]
fn a_number_that_is_off_by_a_thousandth_fails_and_so_does_a_factor() {
    let scale = |factor: f32| {
        move |name: &str, data: &mut [u8]| {
            if name == "p1.blocks.1.mlp.hook_post" {
                for bytes in data.as_chunks_mut().0 {
                    *bytes = (f32::from_le_bytes(*bytes) * factor).to_le_bytes();
                }
            }
        }
    };
    for (factor, expected) in [(1.0, "verified"), (1.001, "FAILED")] {
        let (_folder, golden) = altered("gpt2/bare-names", unchanged, scale(factor));
        let output = verify(&case("gpt2/bare-names"), Some(&golden), &[]);
        let said = text(&output.stdout);
        let line = said.lines().find(|line| line.starts_with("blocks.1.mlp.hook_post")).unwrap();
        assert!(line.ends_with(expected), "{line}");
        assert_eq!(output.status.success(), factor == 1.0);
        assert!(said.contains(&format!("\n{expected} (")), "{said}");
    }
}

#[test]
fn another_greedy_token_fails_although_every_number_agrees() {
    let change = |name: &str, data: &mut [u8]| {
        if name == "p1.greedy" {
            data[0] ^= 1;
        }
    };
    let (_folder, golden) = altered("neox/parallel-quarter", unchanged, change);
    let output = verify(&case("neox/parallel-quarter"), Some(&golden), &[]);
    let said = text(&output.stdout);
    assert!(
        !output.status.success() && said.contains(" 0 unverified, 0 FAILED") && said.contains("\nFAILED ("),
        "{said}"
    );
}

#[test]
fn what_the_reference_lacks_is_unverified() {
    let without_z = |name: &str| (!name.ends_with("hook_z")).then(|| name.to_owned());
    let (_folder, golden) = altered("gpt2/bare-names", without_z, |_, _| {});
    let output = verify(&case("gpt2/bare-names"), Some(&golden), &["--json"]);
    assert!(output.status.success());
    let certificate: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(certificate["status"], "unverified");
    for point in certificate["hook_points"].as_array().unwrap() {
        let missing = point["name"].as_str().unwrap().ends_with("hook_z");
        assert_eq!(point["status"], if missing { "unverified" } else { "verified" }, "{point}");
        assert_eq!(point.get("max_error").is_none(), missing, "{point}");
    }
}

#[test]
fn what_only_the_reference_has_fails() {
    let renamed = |name: &str| Some(name.replace("blocks.0.hook_mlp_in", "blocks.0.hook_resid_mid"));
    let (_folder, golden) = altered("neox/parallel-quarter", renamed, |_, _| {});
    let output = verify(&case("neox/parallel-quarter"), Some(&golden), &[]);
    let said = text(&output.stdout);
    assert!(!output.status.success());
    let line = said.lines().find(|line| line.starts_with("blocks.0.hook_resid_mid ")).unwrap();
    assert!(line.ends_with("FAILED: the reference has this hook point and the model has not"), "{line}");
}

#[test]
fn golden_files_that_are_none_are_refused_with_the_reason() {
    let other = verify(&case("gpt2/bare-names"), Some(&case("llama/qwen3").join("golden.safetensors")), &[]);
    let said = text(&other.stderr);
    assert!(!other.status.success() && said.contains("model_type \"qwen3\", this one is of \"gpt2\""), "{said}");
    let weights = verify(&case("gpt2/bare-names"), Some(&case("gpt2/bare-names").join("model.safetensors")), &[]);
    assert!(text(&weights.stderr).contains("expected \"millm-golden-1\""), "{}", text(&weights.stderr));
    let config = verify(&case("gpt2/bare-names"), Some(&case("gpt2/bare-names").join("config.json")), &[]);
    assert!(text(&config.stderr).contains("not a safetensors file"), "{}", text(&config.stderr));
}

#[test]
fn a_verification_that_cannot_write_or_reach_what_it_needs_says_which() {
    let (installation, data) = (Installation::new(), tempfile::tempdir().unwrap());
    let demo = installation.path().join("demo");
    let refused = |change: &dyn Fn(&mut Command), parts: &[&str]| {
        let mut command = Command::new(installation.program());
        command.arg("verify").arg(&demo).arg("--data-dir").arg(data.path()).current_dir("/").env_remove("DATABASE_URL");
        change(&mut command);
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "no {part:?} in {said}"));
    };
    // Where the host keeps which plugins are trusted.
    let nowhere = "postgres://user:secret@127.0.0.1:1/millm";
    refused(&|command| _ = command.env("DATABASE_URL", nowhere), &["127.0.0.1:1/millm", "not available"]);
    // Whoever may do anything is kept out by no permissions.
    let reader = |command: &mut Command| {
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(65_534).gid(65_534);
        }
    };
    fs::set_permissions(data.path(), Permissions::from_mode(0o555)).unwrap();
    let folder = data.path().to_str().unwrap();
    refused(&reader, &[folder, "private copy of a plugin", "Permission denied"]);
    fs::set_permissions(data.path(), Permissions::from_mode(0o755)).unwrap();
    trust(data.path(), &fixtures().join("faulty"));
    fs::set_permissions(data.path().join("millm.db"), Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(data.path(), Permissions::from_mode(0o555)).unwrap();
    refused(&reader, &[folder, "millm.db cannot be written", "name another data folder"]);
    fs::set_permissions(data.path(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_demo_comes_with_a_reference_and_a_model_without_one_is_unverified() {
    let server = Server::start(&["--max-sequences", "4"]);
    let reply = server.get(CERTIFICATE);
    let data = reply.data();
    assert_eq!((&data["model"], &data["status"]), (&"demo".into(), &"verified".into()));
    assert_eq!(data["greedy"]["agreeing"], data["greedy"]["of"]);
    assert!(data["reference"]["metadata"]["transformers"].is_string());
    let points = data["hook_points"].as_array().unwrap();
    assert!(
        points.iter().all(|point| point["status"] == "verified" && point["relative_error"].as_f64().unwrap() <= 1e-4)
    );

    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("demo");
    copy_files(&demo_model(), &model);
    fs::remove_file(model.join("golden.safetensors")).unwrap();
    let server = Server::start(&[Path::new("--model"), &model]);
    let reply = server.get(CERTIFICATE);
    let data = reply.data();
    assert_eq!((&data["status"], &data["reference"]), (&"unverified".into(), &Value::Null));
    assert!(data["reason"].as_str().unwrap().contains("there is no golden.safetensors"));
    assert_eq!(data["hook_points"].as_array().unwrap().len(), points.len());
    assert!(data["hook_points"].as_array().unwrap().iter().all(|point| point["status"] == "unverified"));
    assert_eq!(server.get("/api/models/nobody/certificate").failure()["code"], "MODEL_NOT_FOUND");
}

#[test]
fn a_reference_longer_than_the_memory_of_a_model_is_not_compared_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("demo");
    copy_files(&demo_model(), &model);
    let tokens: Vec<u8> = [10_i64; 400].iter().flat_map(|token| token.to_le_bytes()).collect();
    let tokens = TensorView::new(safetensors::Dtype::I64, vec![400], &tokens).unwrap();
    let metadata = [("format", "millm-golden-1"), ("model_type", "llama")];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    serialize_to_file([("p0.tokens", tokens)], Some(metadata), &model.join("golden.safetensors")).unwrap();
    // The demo's context is 512 tokens; one MiB holds the keys and values of fewer than 400.
    let server = Server::start(&[Path::new("--kv-cache-mib"), Path::new("1"), Path::new("--model"), &model]);
    let certificate = server.get(CERTIFICATE).data().clone();
    assert_eq!(certificate["status"], "unverified");
    assert!(certificate["reason"].as_str().unwrap().contains("400 tokens"), "{}", certificate["reason"]);
}
