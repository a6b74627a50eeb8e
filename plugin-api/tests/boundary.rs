//! Calls over the boundary, without a library around the plugin: what is checked, contained and refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Mutex;

use millm_plugin_api::{
    AbsentHookPoint, Architecture, Batch, DType, ErrorKind, HookId, HookPoint, HookPointSpec, HookSet, HookSite, Hooks,
    Host, Level, LoadOptions, Model, ModelFiles, ModelSpec, PageUsage, PluginError, Result, RowShape, Sequence,
    TensorMut,
    hook::HookVisitor,
    host::HostServices,
    loaded::{LoadedArchitecture, LoadedModel, SequenceHandle, Step},
};

/// A model that remembers how it was called. Token 9 makes it panic, token 8 fail, token 7 lie about its length.
struct Toy {
    spec: ModelSpec,
    host: Host,
}

struct ToyArchitecture;

struct ToySequence(usize);

impl Architecture for ToyArchitecture {
    type Model = Toy;

    fn model_types(&self) -> Vec<String> {
        vec!["toy".into()]
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Toy> {
        assert!(options.kv_bytes != 13, "unlucky");
        host.log(Level::Info, format_args!("loading {}", files.folder.display()));
        host.progress("weights", 1, 2);
        let keys = RowShape::Keys { heads: 2, masked: f32::NEG_INFINITY };
        let hook_points = vec![
            HookPointSpec::new(HookPoint::model(HookSite::EMBED), RowShape::Flat { width: 2 }),
            HookPointSpec::new(HookPoint::block(0, HookSite::ATTN_SCORES), keys).read_only("a copy"),
        ];
        let spec = ModelSpec {
            model_type: "toy".into(),
            n_layers: 1,
            d_model: 2,
            n_heads: 1,
            n_key_value_heads: 1,
            d_head: 2,
            d_mlp: 2,
            d_vocab: 10,
            n_ctx: 8,
            n_ctx_short: None,
            n_params: 0,
            layer_norm: true,
            embed_scale: Some(2.5),
            dtype: DType::F32,
            hook_points,
            absent: vec![AbsentHookPoint { pattern: "blocks.*.hook_z".parse().unwrap(), reason: "no heads".into() }],
        };
        Ok(Toy { spec, host: host.clone() })
    }
}

impl Model for Toy {
    type Sequence = ToySequence;

    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn pages(&self) -> PageUsage {
        PageUsage { page_tokens: 8, pages_total: 2, pages_free: 1 }
    }

    fn new_sequence(&self, _: usize) -> Result<ToySequence> {
        Ok(ToySequence(0))
    }

    fn forward(
        &self,
        batch: &Batch<'_>,
        sequences: &mut [&mut ToySequence],
        hooks: &mut Hooks<'_>,
        logits: &mut [f32],
    ) -> Result<()> {
        assert!(!batch.tokens.contains(&9), "token {}", 9);
        if batch.tokens.contains(&8) {
            return Err(PluginError::new(ErrorKind::UNSUPPORTED, "token 8"));
        }
        // On the host's threads, where a panic must find its way back, too.
        let sum = Mutex::new(0);
        self.host.parallel(batch.rows(), &|row| {
            assert!(batch.tokens[row] != 6, "token 6 on a thread of the host's");
            *sum.lock().unwrap() += batch.tokens[row];
        });
        let mut embed: Vec<f32> = batch.tokens.iter().flat_map(|token| [*token as f32, 0.5]).collect();
        hooks.visit(HookId(0), &mut embed, 2)?;
        for (row, logits) in batch.logit_rows.iter().zip(logits.chunks_exact_mut(10)) {
            logits.fill(embed[2 * *row as usize]);
            logits[0] = batch.positions[*row as usize] as f32;
            logits[1] = *sum.lock().unwrap() as f32;
        }
        for span in batch.spans {
            let keys = span.start + span.rows;
            let mut scores = vec![span.first_row as f32; span.rows * 2 * keys];
            hooks.visit_keys(HookId(1), span.first_row, &mut scores, 2, keys)?;
        }
        for (span, sequence) in batch.spans.iter().zip(sequences) {
            assert_eq!(span.start, sequence.0);
            sequence.0 += span.rows - usize::from(batch.tokens.contains(&7));
        }
        Ok(())
    }

    fn unembed(&self, resid: &[f32], logits: &mut [f32]) -> Result<()> {
        assert!(resid[0] != 9.0, "an unlucky row");
        resid.chunks_exact(2).zip(logits.chunks_exact_mut(10)).for_each(|(row, logits)| logits.fill(row[0] + row[1]));
        Ok(())
    }
}

impl Sequence for ToySequence {
    fn len(&self) -> usize {
        self.0
    }

    fn truncate(&mut self, len: usize) {
        self.0 = len;
    }

    fn fork(&self, len: usize) -> Result<Self> {
        Ok(Self(len))
    }

    fn bytes(&self) -> usize {
        self.0 * 100
    }
}

struct TwoThreads;

impl HostServices for TwoThreads {
    fn log(&self, _: Level, _: &str) {}

    fn progress(&self, _: &str, _: u64, _: u64) {
        panic!("a host whose own code panics")
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn width(&self) -> usize {
        2
    }

    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for first in 0..2 {
                scope.spawn(move || (first..count).step_by(2).for_each(task));
            }
        });
    }
}

/// Adds 1 to the first column, or does what its text says.
struct Visitor(&'static str);

impl HookVisitor for Visitor {
    fn visit(&mut self, point: HookId, _: usize, mut activation: TensorMut<'_>) -> Result<()> {
        assert_eq!((point, activation.shape().len()), (HookId(0), 2));
        match self.0 {
            "panic" => panic!("in the host's hook"),
            "fail" => Err(PluginError::new(ErrorKind::CANCELLED, "as asked")),
            _ => {
                activation.as_f32_mut()?.chunks_exact_mut(2).for_each(|row| row[0] += 1.0);
                Ok(())
            }
        }
    }
}

fn load(kv_bytes: u64) -> Result<LoadedModel> {
    let architecture = LoadedArchitecture::in_process(ToyArchitecture).unwrap();
    assert_eq!(architecture.model_types(), ["toy"]);
    architecture.load(&ModelFiles { folder: "/models/töy".into() }, &LoadOptions { kv_bytes }, Host::new(TwoThreads))
}

fn forward(
    model: &LoadedModel,
    sequences: &[(&SequenceHandle, u32)],
    tokens: &[u32],
    logit_rows: &[u32],
    visitor: Option<&'static str>,
) -> Result<Vec<f32>> {
    let mut wanted = HookSet::new();
    visitor.iter().for_each(|_| wanted.insert(HookId(0)));
    let mut logits = vec![0.0; logit_rows.len() * 10];
    let step = Step { tokens, sequences, logit_rows, wanted: &wanted };
    model.forward(&step, &mut Visitor(visitor.unwrap_or("never called")), &mut logits).map(|()| logits)
}

#[test]
fn a_step_arrives_as_it_was_sent() {
    let model = load(0).unwrap();
    assert_eq!((model.spec().d_vocab, model.pages().unwrap().pages_free), (10, 1));
    assert_eq!((model.spec().layer_norm, model.spec().embed_scale), (true, Some(2.5)));
    let (a, b) = (model.new_sequence(0).unwrap(), model.new_sequence(0).unwrap());
    forward(&model, &[(&a, 2)], &[1, 2], &[], None).unwrap();
    let logits = forward(&model, &[(&b, 3), (&a, 1)], &[3, 4, 5, 1], &[1, 3], None).unwrap();
    // Position, sum of all tokens, and the token itself.
    assert_eq!(logits[..3], [1.0, 13.0, 4.0]);
    assert_eq!(logits[10..13], [2.0, 13.0, 1.0]);
    assert_eq!((a.len().unwrap(), b.len().unwrap(), b.bytes().unwrap()), (3, 3, 300));
    let edited = forward(&model, &[(&a, 1)], &[2], &[0], Some("add")).unwrap();
    assert_eq!(edited[2], 3.0);
    let fork = b.fork(2).unwrap();
    b.truncate(1).unwrap();
    assert_eq!((fork.len().unwrap(), b.len().unwrap()), (2, 1));
}

#[test]
fn a_step_that_breaks_its_promises_is_refused_before_the_model_sees_it() {
    let model = load(0).unwrap();
    let other = load(0).unwrap();
    let (a, b) = (model.new_sequence(0).unwrap(), model.new_sequence(0).unwrap());
    let foreign: Vec<_> = (0..5).map(|_| other.new_sequence(0).unwrap()).collect();
    let refused = |sequences: &[(&SequenceHandle, u32)], tokens: &[u32], rows: &[u32]| {
        forward(&model, sequences, tokens, rows, None).unwrap_err()
    };
    for error in [
        refused(&[(&a, 1)], &[10], &[0]),
        refused(&[(&a, 1)], &[1, 2], &[0]),
        refused(&[(&a, 3)], &[1, 2], &[0]),
        refused(&[(&a, 0), (&b, 1)], &[1], &[0]),
        refused(&[(&a, 9)], &[1; 9], &[0]),
        refused(&[(&a, u32::MAX)], &[1], &[0]),
        refused(&[(&a, 1), (&a, 1)], &[1, 2], &[0]),
        refused(&[(&a, 2)], &[1, 2], &[1, 0]),
        refused(&[(&a, 2)], &[1, 2], &[0, 0]),
        refused(&[(&a, 2)], &[1, 2], &[2]),
        refused(&[(&foreign[4], 1)], &[1], &[0]),
        a.truncate(1).unwrap_err(),
        a.fork(1).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::INVALID_ARGUMENT, "{error}");
    }
    let mut short = [0.0; 5];
    let step = Step { tokens: &[1], sequences: &[(&a, 1)], logit_rows: &[0], wanted: &HookSet::new() };
    assert_eq!(model.forward(&step, &mut Visitor(""), &mut short).unwrap_err().kind, ErrorKind::INVALID_ARGUMENT);
    // Nothing was lost on the way.
    forward(&model, &[(&a, 1), (&b, 1)], &[1, 2], &[0], None).unwrap();
}

#[test]
fn a_panic_costs_the_sequences_of_its_step_and_not_the_model() {
    let model = load(0).unwrap();
    for (token, text) in [(9, "token 9"), (6, "token 6 on a thread")] {
        let (a, b) = (model.new_sequence(0).unwrap(), model.new_sequence(0).unwrap());
        let error = forward(&model, &[(&a, 1)], &[token], &[0], None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PANICKED);
        assert!(error.message.contains(text), "{error}");
        assert_eq!(a.len().unwrap_err().kind, ErrorKind::POISONED);
        assert_eq!(forward(&model, &[(&a, 1)], &[1], &[0], None).unwrap_err().kind, ErrorKind::POISONED);
        forward(&model, &[(&b, 1)], &[1], &[0], None).unwrap();
    }
    let error = load(13).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PANICKED);
    assert!(error.message.contains("unlucky"), "{error}");
}

#[test]
fn errors_cross_with_their_kind_and_a_lie_about_the_length_is_found() {
    let model = load(0).unwrap();
    let a = model.new_sequence(0).unwrap();
    let error = forward(&model, &[(&a, 1)], &[8], &[0], None).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::UNSUPPORTED, "token 8"));
    let error = forward(&model, &[(&a, 1)], &[7], &[0], None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::INTERNAL);
}

#[test]
fn a_hook_of_the_host_that_fails_or_panics_ends_the_step_with_its_error() {
    let model = load(0).unwrap();
    let a = model.new_sequence(0).unwrap();
    let error = forward(&model, &[(&a, 1)], &[1], &[0], Some("fail")).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::CANCELLED, "as asked"));
    let b = model.new_sequence(0).unwrap();
    let error = forward(&model, &[(&b, 1)], &[1], &[0], Some("panic")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PANICKED);
    assert!(error.message.contains("the host's hook") && error.message.contains("in the host's hook"), "{error}");
}

/// Where it was called, and with what shapes.
#[derive(Default)]
struct Shapes(Vec<(usize, Vec<u64>)>);

impl HookVisitor for Shapes {
    fn visit(&mut self, _: HookId, first_row: usize, activation: TensorMut<'_>) -> Result<()> {
        self.0.push((first_row, activation.shape().to_vec()));
        Ok(())
    }
}

#[test]
fn scores_are_lent_sequence_by_sequence() {
    let model = load(0).unwrap();
    let (a, b) = (model.new_sequence(0).unwrap(), model.new_sequence(0).unwrap());
    forward(&model, &[(&a, 3)], &[1, 2, 3], &[], None).unwrap();
    let mut wanted = HookSet::new();
    wanted.insert(HookId(1));
    let mut shapes = Shapes::default();
    let step = Step { tokens: &[1, 2, 3], sequences: &[(&b, 2), (&a, 1)], logit_rows: &[], wanted: &wanted };
    model.forward(&step, &mut shapes, &mut []).unwrap();
    assert_eq!(shapes.0, [(0, vec![2, 2, 2]), (2, vec![1, 2, 4])]);
}

#[test]
fn what_a_model_says_of_itself_arrives() {
    let model = load(0).unwrap();
    let [embed, scores] = &model.spec().hook_points[..] else { panic!("two hook points") };
    assert_eq!((embed.row, &embed.read_only), (RowShape::Flat { width: 2 }, &None));
    assert_eq!(scores.row, RowShape::Keys { heads: 2, masked: f32::NEG_INFINITY });
    assert_eq!(scores.read_only.as_deref(), Some("a copy"));
    let absent = &model.spec().absent[0];
    assert_eq!((absent.pattern.to_string().as_str(), absent.reason.as_str()), ("blocks.*.hook_z", "no heads"));
}

#[test]
fn unembedding_is_checked_and_contained() {
    let model = load(0).unwrap();
    let mut logits = [0.0; 20];
    model.unembed(&[1.0, 2.0, 3.0, 4.0], &mut logits).unwrap();
    assert_eq!((logits[0], logits[19]), (3.0, 7.0));
    for (resid, rows) in [(3, 2), (4, 1), (2, 2)] {
        let error = model.unembed(&vec![0.0; resid], &mut logits[..rows * 10]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_ARGUMENT, "{error}");
    }
    assert_eq!(model.unembed(&[9.0, 0.0], &mut logits[..10]).unwrap_err().kind, ErrorKind::PANICKED);
    model.unembed(&[1.0, 2.0], &mut logits[..10]).unwrap();
}

#[test]
fn a_sequence_keeps_its_model_alive() {
    let model = load(0).unwrap();
    let sequence = model.new_sequence(0).unwrap();
    drop(model);
    assert!(sequence.is_empty().unwrap());
}
