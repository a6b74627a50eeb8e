use std::convert::Infallible;

use millm_text::{CallSyntax, Callable};
use serde_json::{Value, json};

fn grammar(syntax: CallSyntax, functions: &[Callable<'_>], parallel: bool) -> String {
    let literal = |text: &str| Value::from(text).to_string().replace("<tool_call>", "\" <[7]> \"");
    syntax.grammar(functions, parallel, literal, |schema| Ok::<_, Infallible>(format!("%json {schema}"))).unwrap()
}

#[test]
fn a_grammar_has_a_rule_for_every_function() {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let functions =
        [Callable { name: "get_weather", parameters: Some(&schema) }, Callable { name: "now", parameters: None }];
    assert_eq!(
        grammar(CallSyntax::Hermes, &functions, false),
        concat!(
            "start: (\"\" <[7]> \"\\n\" call \"\\n</tool_call>\")\n",
            "call: call_0 | call_1\n",
            "call_0: \"{\\\"name\\\": \\\"get_weather\\\", \\\"arguments\\\": \" arguments_0 \"}\"\n",
            "arguments_0: %json {\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}\n",
            "call_1: \"{\\\"name\\\": \\\"now\\\", \\\"arguments\\\": \" arguments_1 \"}\"\n",
            "arguments_1: %json {\"type\":\"object\"}\n",
        ),
    );
    assert!(grammar(CallSyntax::Llama, &functions, false).contains(r#"\"parameters\": " arguments_0"#));
}

#[test]
fn several_calls_are_parted_as_the_model_does_it() {
    let now = [Callable { name: "now", parameters: None }];
    let start = |syntax| grammar(syntax, &now, true).lines().next().unwrap().to_owned();
    assert_eq!(start(CallSyntax::Llama), r#"start: call ("; " call)*"#);
    assert_eq!(start(CallSyntax::Mistral), r#"start: "[TOOL_CALLS][" call (", " call)* "]""#);
    let one = r#"("" <[7]> "\n" call "\n</tool_call>")"#;
    assert_eq!(start(CallSyntax::Hermes), format!(r#"start: {one} ("\n" {one})*"#));
}
