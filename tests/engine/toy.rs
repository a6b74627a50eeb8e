mod rig;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use millm_plugin_api::{
    Batch, ErrorKind, HookId, HookPointSpec, Hooks, Model, ModelSpec, PageUsage, PluginError, Result, RowShape,
    Sequence,
};

pub(crate) use self::rig::ToyRig;

pub(crate) const D_MODEL: usize = 4;
pub(crate) const D_VOCAB: usize = 50;
pub(crate) const HEADS: usize = 2;
pub(crate) const MASKED: f32 = -7.0;
const PAGE_TOKENS: usize = 4;

/// What a toy is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Nature {
    pub(crate) pages: usize,
    pub(crate) n_ctx_short: Option<u32>,
    /// Whether it can say what it would say.
    pub(crate) unembeds: bool,
    /// Whether it lends the attention pattern with a key too few.
    pub(crate) lends_too_few_keys: bool,
    /// Whether it never lends what it embeds.
    pub(crate) hides_embed: bool,
    /// A step with this token fails at its end, when all has been lent.
    pub(crate) chokes_on: Option<u32>,
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            pages: 1000,
            n_ctx_short: None,
            unembeds: true,
            lends_too_few_keys: false,
            hides_embed: false,
            chokes_on: None,
        }
    }
}

/// What a toy has been asked.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    pages: AtomicUsize,
    pub(crate) callbacks: AtomicUsize,
    pub(crate) sequences: AtomicUsize,
    /// Rows of the largest step.
    pub(crate) most_rows: AtomicUsize,
    /// All tokens of the sequence that was computed last.
    pub(crate) tokens: Mutex<Vec<u32>>,
}

/// One block of attention that looks back with fixed weights, exact to the bit however a prompt is cut.
struct Toy {
    spec: ModelSpec,
    nature: Nature,
    probe: Arc<Probe>,
}

struct ToySequence {
    tokens: Vec<u32>,
    embedded: Vec<[f32; D_MODEL]>,
    long: bool,
    probe: Arc<Probe>,
}

impl ToySequence {
    fn pages(&self) -> usize {
        self.tokens.len().div_ceil(PAGE_TOKENS)
    }
}

impl Drop for ToySequence {
    fn drop(&mut self) {
        self.probe.pages.fetch_sub(self.pages(), Ordering::Relaxed);
    }
}

impl Sequence for ToySequence {
    fn len(&self) -> usize {
        self.tokens.len()
    }

    fn truncate(&mut self, len: usize) {
        let before = self.pages();
        self.tokens.truncate(len);
        self.embedded.truncate(len);
        self.probe.pages.fetch_sub(before - self.pages(), Ordering::Relaxed);
    }

    /// A copy, which shares nothing.
    fn fork(&self, len: usize) -> Result<Self> {
        let (tokens, embedded) = (self.tokens[..len].to_vec(), self.embedded[..len].to_vec());
        let fork = Self { tokens, embedded, long: self.long, probe: Arc::clone(&self.probe) };
        self.probe.pages.fetch_add(fork.pages(), Ordering::Relaxed);
        Ok(fork)
    }

    fn bytes(&self) -> usize {
        0
    }
}

fn spec(nature: &Nature) -> ModelSpec {
    let flat = |name: &str, width| HookPointSpec::new(name.parse().unwrap(), RowShape::Flat { width: width as u32 });
    let keys = RowShape::Keys { heads: HEADS as u32, masked: MASKED };
    ModelSpec {
        model_type: "toy".into(),
        n_layers: 1,
        d_model: D_MODEL as u32,
        d_vocab: D_VOCAB as u32,
        n_ctx: 200,
        n_ctx_short: nature.n_ctx_short,
        hook_points: vec![
            flat("hook_embed", D_MODEL),
            HookPointSpec { row: keys, ..flat("blocks.0.attn.hook_pattern", 0) }.read_only("it is fixed"),
            flat("blocks.0.hook_resid_post", D_MODEL),
            flat("ln_final.hook_normalized", D_MODEL).at_logits(),
            flat("logits", D_VOCAB).at_logits(),
        ],
        ..ModelSpec::default()
    }
}

fn normalized(resid: &[f32]) -> impl Iterator<Item = f32> {
    let norm = 1.0 + resid.iter().map(|x| x.abs()).sum::<f32>();
    resid.iter().map(move |x| x / norm)
}

fn head(normalized: &[f32], logits: &mut [f32]) {
    for (token, logit) in logits.iter_mut().enumerate() {
        let weight = |i: usize| (token as f32 * 0.7 + i as f32 * 2.3).sin();
        *logit = normalized.iter().enumerate().map(|(i, x)| 9.0 * x * weight(i)).sum();
    }
}

impl Toy {
    fn visit(&self, hooks: &mut Hooks<'_>, point: u32, data: &mut [f32], width: usize) -> Result<()> {
        self.probe.callbacks.fetch_add(usize::from(hooks.wants(HookId(point))), Ordering::Relaxed);
        hooks.visit(HookId(point), data, width)
    }
}

impl Model for Toy {
    type Sequence = ToySequence;

    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn pages(&self) -> PageUsage {
        let free = self.nature.pages.saturating_sub(self.probe.pages.load(Ordering::Relaxed));
        PageUsage { page_tokens: PAGE_TOKENS as u32, pages_total: self.nature.pages as u32, pages_free: free as u32 }
    }

    fn new_sequence(&self, expected: usize) -> Result<ToySequence> {
        self.probe.sequences.fetch_add(1, Ordering::Relaxed);
        let long = self.spec.n_ctx_short.is_some_and(|short| expected > short as usize);
        Ok(ToySequence { tokens: Vec::new(), embedded: Vec::new(), long, probe: Arc::clone(&self.probe) })
    }

    fn forward(
        &self,
        batch: &Batch<'_>,
        sequences: &mut [&mut ToySequence],
        hooks: &mut Hooks<'_>,
        logits: &mut [f32],
    ) -> Result<()> {
        self.probe.most_rows.fetch_max(batch.rows(), Ordering::Relaxed);
        let mut x: Vec<f32> = batch
            .tokens
            .iter()
            .flat_map(|token| (0..D_MODEL).map(move |i| (*token as f32 + i as f32 * 1.3).sin()))
            .collect();
        if !self.nature.hides_embed {
            self.visit(hooks, 0, &mut x, D_MODEL)?;
        }
        for (span, sequence) in batch.spans.iter().zip(sequences) {
            let rows = span.first_row..span.first_row + span.rows;
            let before = sequence.pages();
            sequence.tokens.extend(&batch.tokens[rows.clone()]);
            self.probe.pages.fetch_add(sequence.pages() - before, Ordering::Relaxed);
            let own = &mut x[rows.start * D_MODEL..rows.end * D_MODEL];
            sequence.embedded.extend(own.chunks_exact(D_MODEL).map(|row| <[f32; D_MODEL]>::try_from(row).unwrap()));
            let keys = sequence.tokens.len();
            assert!(sequence.long || self.spec.n_ctx_short.is_none_or(|short| keys <= short as usize));
            let decay = if sequence.long { 0.3 } else { 0.6 };
            let mut pattern = vec![MASKED; span.rows * HEADS * keys];
            for (row, pattern) in pattern.chunks_exact_mut(HEADS * keys).enumerate() {
                let position = span.start + row;
                for (head, pattern) in pattern.chunks_exact_mut(keys).enumerate() {
                    for (key, weight) in pattern[..=position].iter_mut().enumerate() {
                        *weight = 1.0 / (1.0 + decay * (position - key) as f32 + head as f32);
                    }
                }
            }
            let lent = keys - usize::from(self.nature.lends_too_few_keys);
            self.probe.callbacks.fetch_add(usize::from(hooks.wants(HookId(1))), Ordering::Relaxed);
            hooks.visit_keys(HookId(1), rows.start, &mut pattern[..span.rows * HEADS * lent], HEADS, lent)?;
            for (row, x) in own.chunks_exact_mut(D_MODEL).enumerate() {
                for head in 0..HEADS {
                    for key in 0..=span.start + row {
                        let weight = pattern[(row * HEADS + head) * keys + key];
                        x.iter_mut().zip(&sequence.embedded[key]).for_each(|(x, value)| *x += weight * value);
                    }
                }
            }
            self.probe.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&sequence.tokens);
        }
        self.visit(hooks, 2, &mut x, D_MODEL)?;
        let row = |row: &u32| normalized(&x[*row as usize * D_MODEL..][..D_MODEL]);
        let mut last: Vec<f32> = batch.logit_rows.iter().flat_map(row).collect();
        self.visit(hooks, 3, &mut last, D_MODEL)?;
        for (row, logits) in last.chunks_exact(D_MODEL).zip(logits.chunks_exact_mut(D_VOCAB)) {
            head(row, logits);
        }
        self.visit(hooks, 4, logits, D_VOCAB)?;
        match self.nature.chokes_on.filter(|token| batch.tokens.contains(token)) {
            Some(token) => Err(PluginError::new(ErrorKind::INTERNAL, format!("the toy chokes on {token}"))),
            None => Ok(()),
        }
    }

    fn unembed(&self, resid: &[f32], logits: &mut [f32]) -> Result<()> {
        if !self.nature.unembeds {
            return Err(PluginError::new(ErrorKind::UNSUPPORTED, "this toy does not"));
        }
        for (row, logits) in resid.chunks_exact(D_MODEL).zip(logits.chunks_exact_mut(D_VOCAB)) {
            head(&normalized(row).collect::<Vec<_>>(), logits);
        }
        Ok(())
    }
}
