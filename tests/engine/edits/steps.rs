use std::{collections::BTreeSet, ops::Range, sync::Arc, thread};

use millm_engine::{Chosen, EngineConfig, Request, Rules, Selection};

use super::{POINT, all_kinds, insert, set, story, told, two_saes};
use crate::{news::News, support::Rig};

/// A choice's text as a prompt, of which all logprobs are told: those of what was drawn come last.
fn at_once(request: &Request, news: &News, choice: u32) -> Request {
    Request {
        prompt: [request.prompt.clone(), news.drawn(choice)].concat(),
        max_tokens: 0,
        choices: 1,
        logprobs: None,
        prompt_logprobs: Some(3),
        ..request.clone()
    }
}

fn chosen(chosen: Chosen) -> Selection {
    Selection::Chosen(Arc::new(chosen))
}

fn positions(positions: impl IntoIterator<Item = usize>) -> Rules {
    Rules { positions: positions.into_iter().map(|position| position as i64).collect(), ..Rules::default() }
}

fn window(window: Range<usize>) -> Rules {
    Rules { windows: vec![window], ..Rules::default() }
}

#[test]
fn a_text_that_is_drawn_step_by_step_is_edited_as_if_it_were_computed_at_once() {
    let rig = Rig::new(256, EngineConfig::default());
    let saes = two_saes(&rig);
    let plain = story(&rig, 24);
    let length = plain.prompt.len();
    let plain_news = told(&rig, plain.clone()).0;
    let tokens: BTreeSet<u32> = plain_news.drawn(0)[2..5].iter().copied().collect();
    let none = Chosen::default;
    // What is selected of a text that is drawn, and the same of one that is all prompt, once it is known.
    type Equivalent = Box<dyn Fn(&[u32]) -> Selection>;
    let fixed = |selection: Selection| -> Equivalent { Box::new(move |_| selection.clone()) };
    let of_tokens = {
        let tokens = tokens.clone();
        move |drawn: &[u32]| {
            let at = drawn.iter().enumerate().filter(|(_, token)| tokens.contains(token));
            chosen(Chosen { prompt: positions(at.map(|(index, _)| length + index)), ..none() })
        }
    };
    let cases: Vec<(Selection, Equivalent)> = vec![
        (Selection::Everything, fixed(Selection::Everything)),
        (Selection::Positions(20..length + 6), fixed(Selection::Positions(20..length + 6))),
        (chosen(Chosen { generation: Rules::all(), ..none() }), fixed(Selection::Positions(length..usize::MAX))),
        (chosen(Chosen { prompt: Rules::all(), ..none() }), fixed(Selection::Positions(0..length))),
        (chosen(Chosen { generation: window(3..7), ..none() }), fixed(Selection::Positions(length + 3..length + 7))),
        (
            chosen(Chosen {
                generation: positions([0, 5]),
                prompt: Rules { positions: [-1].into(), ..none().prompt },
                ..none()
            }),
            fixed(chosen(Chosen { prompt: positions([length - 1, length, length + 5]), ..none() })),
        ),
        (
            chosen(Chosen { generation: Rules::all(), exclude_generation: window(0..4), ..none() }),
            fixed(Selection::Positions(length + 4..usize::MAX)),
        ),
        (chosen(Chosen { generation: Rules { tokens, ..Rules::default() }, ..none() }), Box::new(of_tokens)),
    ];
    for (apply, equivalent) in cases {
        let mut drawing = plain.clone();
        all_kinds(&rig, &saes, &apply, &mut drawing);
        let drawn = told(&rig, drawing.clone()).0;
        assert_ne!(drawn.logprobs(0), plain_news.logprobs(0), "{apply:?}: a test that cannot fail");
        let mut reading = at_once(&plain, &drawn, 0);
        all_kinds(&rig, &saes, &equivalent(&drawn.drawn(0)), &mut reading);
        let read = told(&rig, reading).0;
        assert_eq!(read.prompt_logprobs()[length - 1..], *drawn.logprobs(0), "{apply:?}");
    }
}

#[test]
fn every_choice_is_edited_as_it_would_be_alone() {
    let rig = Rig::new(256, EngineConfig::default());
    let saes = two_saes(&rig);
    let mut request = Request { choices: 3, ..story(&rig, 24) };
    all_kinds(&rig, &saes, &Selection::Everything, &mut request);
    let length = request.prompt.len();
    let found = told(&rig, request.clone()).0;
    assert!(found.drawn(0) != found.drawn(1) && found.drawn(1) != found.drawn(2));
    for choice in 0..3 {
        let read = told(&rig, at_once(&request, &found, choice)).0;
        assert_eq!(read.prompt_logprobs()[length - 1..], *found.logprobs(choice), "choice {choice}");
        // The last token that is drawn is not computed any more.
        let (prompt, generated) = found.effects(choice);
        assert_eq!((prompt[0].0, generated[0].0), (length as u64, 23), "choice {choice}");
        assert_eq!(prompt, found.effects(0).0, "choice {choice}");
    }
}

#[test]
fn edits_reach_nobody_else_in_the_batch() {
    let alone = Rig::new(256, EngineConfig { cache_prompts: false, ..EngineConfig::default() });
    let rig = Rig::new(256, EngineConfig { step_tokens: 24, ..EngineConfig::default() });
    let saes = two_saes(&rig);
    let kinds = |apply: Selection, choices| {
        let mut request = Request { choices, ..story(&rig, 30) };
        all_kinds(&rig, &saes, &apply, &mut request);
        request
    };
    let violent = |feature| {
        let mut request = story(&rig, 30);
        insert(&rig, &mut request, POINT, set(&saes[0], feature, 50.0), Selection::Everything, None);
        request
    };
    let generated = || Selection::Chosen(Arc::new(Chosen { generation: Rules::all(), ..Chosen::default() }));
    let requests = [
        Request { choices: 3, ..story(&rig, 30) },
        kinds(Selection::Everything, 3),
        story(&rig, 30),
        kinds(generated(), 2),
        violent(3),
        violent(4),
        story(&rig, 12),
    ];
    let expected = requests.clone().map(|request| told(&alone, request).0);
    let events = requests.map(|request| rig.engine.submit(request).unwrap());
    let readers = events.map(|events| thread::spawn(move || News::read(events, None)));
    let found = readers.map(|reader| reader.join().unwrap());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "request {index}");
    }
    let (together, apart) = (rig.engine.stats().steps, alone.engine.stats().steps);
    assert!(together < apart / 2, "{together} steps instead of {apart}");
}
