use millm_text::GenerationConfig;

use crate::folder::folder;

#[test]
fn a_folder_without_recommendations_has_none() {
    assert_eq!(GenerationConfig::load(folder(&[]).path()).unwrap(), GenerationConfig::default());
}

#[test]
fn recommendations_are_read_and_other_fields_ignored() {
    let config = r#"{"eos_token_id": 7, "do_sample": true, "temperature": 1, "top_k": 64, "top_p": 0.5, "min_p": null,
        "repetition_penalty": 1.25, "cache_implementation": "hybrid", "bad_words_ids": [[1]]}"#;
    let expected = GenerationConfig {
        eos_token_ids: vec![7],
        do_sample: Some(true),
        temperature: Some(1.0),
        top_k: Some(64),
        top_p: Some(0.5),
        min_p: None,
        repetition_penalty: Some(1.25),
    };
    assert_eq!(GenerationConfig::load(folder(&[("generation_config.json", config)]).path()).unwrap(), expected);
}

#[test]
fn end_of_text_tokens_may_be_nested_in_the_config_of_a_multimodal_model() {
    let folder = folder(&[
        ("generation_config.json", r#"{"eos_token_id": null}"#),
        ("config.json", r#"{"text_config": {"eos_token_id": [1, 106]}}"#),
    ]);
    assert_eq!(GenerationConfig::load(folder.path()).unwrap().eos_token_ids, [1, 106]);
}

#[test]
fn a_wrong_type_is_refused_by_file_and_field() {
    let cases = [
        ("generation_config.json", r#"{"temperature": "hot"}"#, "temperature", "a number"),
        ("generation_config.json", r#"{"top_k": -1}"#, "top_k", "an integer from 0"),
        ("generation_config.json", r#"{"do_sample": 1}"#, "do_sample", "true or false"),
        (
            "generation_config.json",
            r#"{"eos_token_id": [1, "2"]}"#,
            "eos_token_id",
            "a token id or a list of token ids",
        ),
        (
            "config.json",
            r#"{"text_config": {"eos_token_id": 1.5}}"#,
            "text_config.eos_token_id",
            "a token id or a list of token ids",
        ),
    ];
    for (file, text, field, expected) in cases {
        let folder = folder(&[(file, text)]);
        let path = folder.path().join(file);
        let error = GenerationConfig::load(folder.path()).unwrap_err().to_string();
        assert_eq!(error, format!("`{field}` in {} must be {expected}", path.display()));
    }
}
