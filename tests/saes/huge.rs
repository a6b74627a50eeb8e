use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use millm_engine::{
    Sae, Threads,
    sae::{Features, Site},
};
use serde_json::json;

use super::source;

// Few rows of W_enc, since the kernel reads pages around each number of a column.
const D_IN: u64 = 512;
const D_SAE: u64 = 5 << 20;
const FEATURE: u64 = 5_000_000;

/// 20 GiB of weights that are 0, and take no room, but for the encoder's and decoder's numbers of one feature.
fn write(folder: &Path) {
    let matrix = D_IN * D_SAE * 4;
    let mut end = 0;
    let mut tensor = |shape: &[u64]| {
        let start = end;
        end += shape.iter().product::<u64>() * 4;
        json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]})
    };
    let head = json!({
        "W_enc": tensor(&[D_IN, D_SAE]),
        "W_dec": tensor(&[D_SAE, D_IN]),
        "b_enc": tensor(&[D_SAE]),
        "b_dec": tensor(&[D_IN]),
    });
    let head = head.to_string();
    let data = 8 + head.len() as u64;
    let mut file = File::create(folder.join("sae_weights.safetensors")).unwrap();
    file.write_all(&(head.len() as u64).to_le_bytes()).unwrap();
    file.write_all(head.as_bytes()).unwrap();
    file.set_len(data + end).unwrap();
    let mut put = |at: u64, number: f32| {
        file.seek(SeekFrom::Start(data + at)).unwrap();
        file.write_all(&number.to_le_bytes()).unwrap();
    };
    // The first of each, and the second.
    put(FEATURE * 4, 2.0);
    put((D_SAE + FEATURE) * 4, 1.0);
    put(matrix + FEATURE * D_IN * 4, 0.5);
    let config = json!({"architecture": "standard", "d_in": D_IN, "d_sae": D_SAE, "sae_lens_version": "6.54.12"});
    fs::write(folder.join("cfg.json"), config.to_string()).unwrap();
}

/// Bytes of this process in memory that are no part of a file.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_feature_of_an_sae_that_is_larger_than_memory_costs_its_own_numbers() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let threads = Threads::new(1).unwrap();
    let before = anonymous();
    let sae = Sae::new(source("saelens", folder.path(), "").unwrap()).unwrap();
    let direction = sae.direction(FEATURE as u32).unwrap();
    let mut row = vec![0.0; D_IN as usize];
    row[..2].copy_from_slice(&[1.5, -1.0]);
    for _ in 0..100 {
        assert_eq!(sae.encode_some(&threads, &row, &Site::Raw, &[FEATURE as u32]), Ok(vec![2.0]));
    }
    let features = Features { indices: vec![7, FEATURE as u32], values: vec![1.0, 3.0] };
    let decoded = sae.decode(&row, &Site::Raw, &[features]).unwrap();
    assert_eq!((direction[0], decoded[0], decoded[1]), (0.5, 1.5, 0.0));
    // The biases of all features, and two lines.
    assert_eq!(sae.bytes_held(), 4 * (D_SAE + D_IN + 2 * D_IN));
    let grown = anonymous().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes, for an encoder of {}", sae.encoder_bytes());
    assert_eq!(sae.encoder_bytes(), 4 * D_IN * D_SAE);
}
