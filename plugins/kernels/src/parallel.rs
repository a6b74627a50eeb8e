//! Threads belong to the host; kernels only split work.

/// The host's threads, as kernels see them.
///
/// A kernel calls [`run`](Parallel::run) from whichever thread called the kernel, at most once per call, and never
/// from inside a task. Tasks are short (tens of microseconds and up), neither block nor allocate beyond a scratch
/// buffer that each thread keeps, and may run in any order. A panic in a task is a bug; `run` may propagate it.
pub trait Parallel: Sync {
    /// How many tasks can run at once (≥ 1).
    fn width(&self) -> usize;

    /// Runs `task(0)`, …, `task(count - 1)`, each exactly once, and returns when all are done.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync));
}

/// No threads: tasks run one after the other in the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Parallel for Serial {
    fn width(&self) -> usize {
        1
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(task);
    }
}

/// Multiply-adds below which a task is not worth handing to another thread: some 20 to 40 µs of work, several times
/// what waking a sleeping thread costs.
const TASK_MUL_ADDS: usize = 1 << 18;

/// More tasks than threads, so that a thread the system has put aside does not hold up the others.
const TASKS_PER_THREAD: usize = 4;

/// Into how many tasks to split a job of this many multiply-adds; 1 means not at all.
pub(crate) fn task_count(threads: &dyn Parallel, mul_adds: usize) -> usize {
    match threads.width() {
        0 | 1 => 1,
        width => (mul_adds / TASK_MUL_ADDS).clamp(1, width * TASKS_PER_THREAD),
    }
}
