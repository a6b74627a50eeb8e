//! Runs through the engine.

use std::time::{Duration, Instant};

use millm_engine::{Captures, Engine, EngineConfig, Event, Request, RequestError, Sampling};
use millm_plugin_api::{HookId, loaded::LoadedModel};
use millm_text::Tokenizer;

use crate::{
    costs::Costs,
    error::BenchError,
    machine::Machine,
    measurement::{Decode, FirstToken, Measurement, Prompt},
    plan::Plan,
    spread::Spread,
};

/// Measures the model as `plan` says, in an engine of its own with the settings of `config`, and tells each result at
/// once. Requests are greedy, do not end before their length, and share nothing with each other.
///
/// # Errors
///
/// That something does not fit into the model's context or its KV memory, before anything is measured; or how a request
/// failed.
pub fn measure(
    model: LoadedModel,
    tokenizer: Tokenizer,
    config: &EngineConfig,
    plan: &Plan,
    (machine, costs): (&Machine, Option<&Costs>),
    mut told: impl FnMut(&Measurement),
) -> Result<Vec<Measurement>, BenchError> {
    plan.check()?;
    check_memory(&model, plan)?;
    let most = plan.sequences.iter().max().map_or(1, |most| *most as usize);
    let config = EngineConfig { max_sequences: config.max_sequences.max(most), ..config.clone() };
    let (engine, thread) = Engine::start(model, tokenizer, config)?;
    let bench = Bench { engine: &engine, plan, machine, costs };
    let measured = bench.run(&mut told);
    engine.shutdown(Duration::ZERO);
    // A panic in there has failed the requests.
    let _ = thread.join();
    measured
}

/// Sequences that do not fit beside each other would be computed again and again.
fn check_memory(model: &LoadedModel, plan: &Plan) -> Result<(), BenchError> {
    let pages = model.pages()?;
    let tokens = Plan::CONTEXT.saturating_add(plan.generate_tokens).saturating_add(1);
    let room = u64::from(pages.pages_total) / tokens.div_ceil(pages.page_tokens.max(1) as usize) as u64;
    match plan.sequences.iter().find(|sequences| u64::from(**sequences) > room) {
        Some(sequences) => {
            let positions = u64::from(pages.pages_total) * u64::from(pages.page_tokens);
            Err(BenchError::KvMemory { sequences: *sequences, tokens, positions })
        }
        None => Ok(()),
    }
}

/// How often decoding is timed again that was over too soon.
const ATTEMPTS: usize = 20;

/// How long a request took.
struct Timed {
    /// Seconds from its submission.
    all: f64,
    /// Seconds from the first token of all its sequences.
    decoding: f64,
    /// Tokens that were computed in that time.
    decoded: u64,
}

struct Bench<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    machine: &'a Machine,
    costs: Option<&'a Costs>,
}

impl Bench<'_> {
    fn run(&self, told: &mut dyn FnMut(&Measurement)) -> Result<Vec<Measurement>, BenchError> {
        let n_ctx = self.engine.n_ctx();
        let prompt_tokens = self.plan.prompt_tokens_in(n_ctx)?;
        self.plan.check_decoding(n_ctx)?;
        let mut measurements = Vec::new();
        let mut tell = |measurement| {
            told(&measurement);
            measurements.push(measurement);
        };
        let seconds = self.samples(|| Ok(self.request(prompt_tokens, 1, 1)?.all))?;
        tell(Measurement::Prompt(Prompt::of(prompt_tokens, seconds, self.costs, self.machine)));
        let generated = self.plan.generate_tokens;
        for sequences in &self.plan.sequences {
            let speeds = self.samples(|| self.decoding(*sequences, generated))?;
            tell(Measurement::Decode(Decode::of(*sequences, generated, speeds, self.costs, self.machine)));
        }
        let seconds = self.samples(|| Ok(self.request(Plan::CONTEXT, 1, 1)?.all))?;
        tell(Measurement::FirstToken(FirstToken { prompt_tokens: Plan::CONTEXT, seconds: Spread::of(seconds) }));
        Ok(measurements)
    }

    /// As many as the plan says, after one to warm up.
    fn samples(&self, mut sample: impl FnMut() -> Result<f64, BenchError>) -> Result<Vec<f64>, BenchError> {
        sample()?;
        (0..self.plan.repeats).map(|_| sample()).collect()
    }

    /// Tokens per second of all sequences together.
    fn decoding(&self, sequences: u32, generated: usize) -> Result<f64, BenchError> {
        for _ in 0..ATTEMPTS {
            // The first token comes with the prompt.
            let Timed { decoding, decoded, .. } = self.request(Plan::CONTEXT, sequences, generated + 1)?;
            // On a busy machine this thread may learn of the first token late. What is left then counts as long as the step
            // that is under way does not weigh much.
            if 2 * decoded >= u64::from(sequences) * generated as u64 {
                return Ok(decoded as f64 / decoding);
            }
        }
        Err(BenchError::TooShort { generate_tokens: generated })
    }

    /// Computes one prompt. Its sequences fork from it, so that all have their first token in the same step, and every
    /// later step has a row of each.
    fn request(&self, prompt_tokens: usize, sequences: u32, max_tokens: usize) -> Result<Timed, BenchError> {
        let spec = self.engine.spec();
        let d_vocab = u64::from(spec.d_vocab);
        // Neither one token again and again nor an order that a model could know.
        let prompt = (0..prompt_tokens as u64).map(|index| ((index * 97 + 7) % d_vocab) as u32).collect();
        // One row of one activation, which says when the prompt is computed. Text may be held back.
        let point = (0..spec.hook_points.len() as u32).map(HookId).take(1).collect();
        let request = Request {
            prompt,
            max_tokens,
            choices: sequences,
            sampling: Sampling { temperature: 0.0, ..Sampling::default() },
            captures: Captures::new(point, vec![prompt_tokens - 1]),
            cache_prompt: false,
            ..Request::default()
        };
        let since = Instant::now();
        let mut first = None;
        let mut events = self.engine.submit(request)?;
        let mut left = sequences;
        while left > 0 {
            let event = events.blocking_recv();
            // The engine counts a step before it tells of it.
            first.get_or_insert_with(|| (self.engine.stats().rows, Instant::now()));
            match event {
                Some(Event::Finished { .. }) => left -= 1,
                Some(Event::Failed(error)) => return Err(error.into()),
                Some(Event::Text { .. } | Event::Captured(_) | Event::Steered { .. }) => {}
                None => return Err(RequestError::Internal.into()),
            }
        }
        let (rows, first) = first.unwrap_or((0, since));
        let (all, decoding) = (since.elapsed().as_secs_f64(), first.elapsed().as_secs_f64());
        Ok(Timed { all, decoding, decoded: self.engine.stats().rows - rows })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use millm_plugin_api::{Batch, Hooks, Model, ModelSpec, PageUsage, Result, Sequence};

    use super::*;
    use crate::random_gpt2;

    /// Takes two milliseconds for every step.
    struct Slow {
        spec: ModelSpec,
        pages: u32,
        rows: Arc<AtomicUsize>,
    }

    struct Length(usize);

    impl Sequence for Length {
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
            0
        }
    }

    impl Model for Slow {
        type Sequence = Length;

        fn spec(&self) -> &ModelSpec {
            &self.spec
        }

        fn pages(&self) -> PageUsage {
            PageUsage { page_tokens: 1, pages_total: self.pages, pages_free: self.pages }
        }

        fn new_sequence(&self, _: usize) -> Result<Length> {
            Ok(Length(0))
        }

        fn forward(
            &self,
            batch: &Batch<'_>,
            own: &mut [&mut Length],
            _: &mut Hooks<'_>,
            logits: &mut [f32],
        ) -> Result<()> {
            thread::sleep(Duration::from_millis(2));
            self.rows.fetch_add(batch.rows(), Ordering::Relaxed);
            own.iter_mut().zip(batch.spans).for_each(|(sequence, span)| sequence.0 += span.rows);
            logits.fill(0.5);
            Ok(())
        }
    }

    const PLAN: Plan = Plan { prompt_tokens: Some(10), generate_tokens: 20, sequences: Vec::new(), repeats: 2 };

    /// Measures it, with so many pages of one position and so long a context; and the rows that it has computed.
    fn run(pages: u32, n_ctx: u32, plan: &Plan) -> (std::result::Result<Vec<Measurement>, BenchError>, usize) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), random_gpt2::tokenizer().to_string()).unwrap();
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        let spec = ModelSpec { d_model: 4, d_vocab: 50, n_ctx, ..ModelSpec::default() };
        let rows = Arc::new(AtomicUsize::new(0));
        let model = LoadedModel::in_process(Slow { spec, pages, rows: Arc::clone(&rows) }).unwrap();
        let machine =
            Machine { threads: 1, instruction_set: "avx2", read_bytes_per_second: 1e9, flops_per_second: 1e9 };
        let mut told = Vec::new();
        let known = (&machine, None);
        let found = measure(model, tokenizer, &EngineConfig::default(), plan, known, |found| told.push(found.clone()));
        if let Ok(found) = &found {
            assert_eq!(found, &told);
        }
        (found, rows.load(Ordering::Relaxed))
    }

    #[test]
    fn everything_is_measured_as_often_as_asked_for_and_once_to_warm_up() {
        let plan = Plan { sequences: vec![1, 3], ..PLAN };
        let (found, rows) = run(1000, 200, &plan);
        let found = found.unwrap();
        assert!(matches!(
            &found[..],
            [
                Measurement::Prompt(Prompt { prompt_tokens: 10, .. }),
                Measurement::Decode(Decode { sequences: 1, generated_tokens: 20, .. }),
                Measurement::Decode(Decode { sequences: 3, .. }),
                Measurement::FirstToken(FirstToken { prompt_tokens: 32, .. }),
            ]
        ));
        // Decoding that was over before this thread saw it begin is timed again, so that there may be more.
        let least = 3 * (10 + (32 + 20) + (32 + 3 * 20) + 32);
        assert!(rows >= least, "{rows} rows, at least {least}");
    }

    #[test]
    fn what_does_not_fit_is_refused_before_anything_is_computed() {
        let plan = Plan { sequences: vec![1, 3], ..PLAN };
        // A sequence has 32 tokens and 21 after them.
        let (refused, rows) = run(3 * 53 - 1, 200, &plan);
        assert!(matches!(refused, Err(BenchError::KvMemory { sequences: 3, tokens: 53, positions: 158 })));
        let (short, rows_of_short) = run(1000, 52, &plan);
        assert!(matches!(short, Err(BenchError::Context { prompt_tokens: 32, new_tokens: 21, n_ctx: 52 })));
        let (long, rows_of_long) = run(1000, 200, &Plan { prompt_tokens: Some(200), ..plan });
        assert!(matches!(long, Err(BenchError::Context { prompt_tokens: 200, new_tokens: 1, n_ctx: 200 })));
        assert_eq!((rows, rows_of_short, rows_of_long), (0, 0, 0));
    }
}
