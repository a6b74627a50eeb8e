//! `millm bench`: how fast models run on this machine, and how close that comes to what it can do.

use std::{
    io::{self, Write},
    path::Path,
    slice,
};

use anyhow::{Context, ensure};
use millm_bench::{Checkpoint, Machine, ModelReport, Plan, Report, random_gpt2, table, write_random_gpt2};
use millm_engine::EngineConfig;
use millm_plugin_api::DType;
use millm_text::ModelText;
use tempfile::TempDir;

use crate::{
    cli::{Bench, BenchDtype},
    free_memory::available,
    models::{self, Estimate, KvLimits},
    settings::Options,
    workbench::Workbench,
};

/// What is measured if no model is named, and what it is called.
const DEFAULT: &str = "random-gpt2-124m";

/// Prints how fast the models are.
///
/// # Errors
///
/// Whatever keeps one from being measured.
pub(crate) fn run(arguments: Bench) -> anyhow::Result<()> {
    let Bench { models, dtype, prompt_tokens, generate_tokens, sequences, repeats, json, .. } = arguments;
    let Bench { config, plugin_dir, data_dir, database_url, threads, .. } = arguments;
    let plan = Plan { prompt_tokens, generate_tokens, sequences, repeats };
    plan.check()?;
    let located = models.iter().map(|model| models::locate(model)).collect::<Result<Vec<_>, _>>()?;
    let options = Options { plugin_dir, data_dir, database_url, threads, ..Options::default() };
    let workbench = Workbench::open(config, options)?;
    let mut output = Output { json };
    let machine = Machine::measure(&workbench.threads)?;
    output.line(&table::machine(&machine));
    let mut stand = Stand { workbench, plan, machine, output, reports: Vec::new() };
    let dtypes: Vec<DType> = dtype.into_iter().map(DType::from).collect();
    if located.is_empty() {
        let folder = temporary()?;
        write_random_gpt2(folder.path(), random_gpt2::N_CTX)?;
        let all = [DType::F32, DType::BF16, DType::F16];
        stand.model(DEFAULT, folder.path(), if dtypes.is_empty() { &all } else { &dtypes })?;
    }
    for model in located {
        let wrong = || format!("cannot measure {}", model.folder.display());
        stand.model(&model.id, &model.folder, &dtypes).with_context(wrong)?;
    }
    stand.finish()
}

/// The machine, and what has been measured on it.
struct Stand {
    workbench: Workbench,
    plan: Plan,
    machine: Machine,
    output: Output,
    reports: Vec<ModelReport>,
}

impl Stand {
    /// Measures the model in every dtype, or where none is named, in its own.
    fn model(&mut self, id: &str, folder: &Path, dtypes: &[DType]) -> anyhow::Result<()> {
        let checkpoint = Checkpoint::open(folder)?;
        let stored = checkpoint
            .dtype()
            .with_context(|| format!("{} holds no weights of type float32, bfloat16 or float16", folder.display()))?;
        let dtypes = if dtypes.is_empty() { slice::from_ref(&stored) } else { dtypes };
        for dtype in dtypes {
            if *dtype == stored {
                self.checkpoint(id, folder, &checkpoint, None)?;
            } else {
                let copy = temporary()?;
                let converted = checkpoint.convert(*dtype, copy.path())?;
                self.checkpoint(id, copy.path(), &converted, Some(stored))?;
            }
        }
        Ok(())
    }

    /// Measures the model in `folder`, whose weights may be converted ones.
    fn checkpoint(
        &mut self,
        id: &str,
        folder: &Path,
        checkpoint: &Checkpoint,
        converted_from: Option<DType>,
    ) -> anyhow::Result<()> {
        let settings = &self.workbench.settings;
        let sequences = self.plan.sequences.iter().max().map_or(1, |most| *most as usize);
        let Estimate { total_bytes, .. } = Estimate::of(folder, KvLimits { bytes: settings.kv_bytes, sequences });
        let (needed, free) = (total_bytes.div_ceil(1 << 20), available() >> 20);
        ensure!(needed <= free, "the model takes about {needed} MiB, and {free} MiB are available");
        let text = ModelText::load(folder)?;
        let model = self.workbench.load(folder)?;
        let mut report = ModelReport::new(id, model.spec(), converted_from, checkpoint);
        self.output.line(&table::heading(&report));
        let config = EngineConfig {
            max_sequences: settings.max_sequences,
            step_target: settings.step_target,
            ..EngineConfig::default()
        };
        let known = (&self.machine, report.costs.as_ref());
        let told = |found: &_| self.output.line(&table::measurement(found));
        report.measurements = millm_bench::measure(model, text.tokenizer, &config, &self.plan, known, told)?;
        self.reports.push(report);
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        let Self { plan: Plan { repeats, .. }, machine, mut output, reports: models, .. } = self;
        let report = Report { millm: env!("CARGO_PKG_VERSION"), machine, repeats, models };
        output.json(&serde_json::to_string_pretty(&report)?);
        Ok(())
    }
}

/// What users see: lines as they come, or JSON at the end.
struct Output {
    json: bool,
}

impl Output {
    fn line(&mut self, line: &str) {
        if !self.json {
            print(line);
        }
    }

    fn json(&mut self, json: &str) {
        if self.json {
            print(&format!("{json}\n"));
        }
    }
}

fn print(text: &str) {
    // Whoever stopped reading has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// A folder that is gone when nobody needs it any more.
fn temporary() -> anyhow::Result<TempDir> {
    TempDir::with_prefix("millm-bench-").context("cannot make a temporary folder")
}

impl From<BenchDtype> for DType {
    fn from(dtype: BenchDtype) -> Self {
        match dtype {
            BenchDtype::F32 => Self::F32,
            BenchDtype::Bf16 => Self::BF16,
            BenchDtype::F16 => Self::F16,
        }
    }
}
