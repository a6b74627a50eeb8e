//! How a step's budget is shared among prompts.

/// Who has given way to whom.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Whether the one whose turn it was got less than half of the last step.
    gave_way: bool,
}

impl Share {
    /// Rows for each of the prompts that have `remaining` rows left to compute, out of `budget`. The first one is the one
    /// whose turn it is and gets at least half of every other step, so that it ends; the rest goes to those that have the
    /// least left, so that a short prompt need not wait for a long one. In the steps between the first one gives way to a
    /// prompt that a whole step would end and half of one would not.
    pub(super) fn rows(&mut self, budget: usize, remaining: &[usize]) -> Vec<usize> {
        let mut rows = vec![0; remaining.len()];
        let mut left = budget;
        let Some(first) = remaining.first() else { return rows };
        let half = (*first).min(budget.div_ceil(2));
        let shortest = remaining[1..].iter().min().filter(|other| *other < first && **other <= budget);
        let given = shortest.filter(|_| !self.gave_way).map_or(half, |other| half.min(budget - other));
        self.gave_way = given < half;
        rows[0] = given;
        left -= given;
        let mut shortest: Vec<usize> = (0..remaining.len()).collect();
        shortest.sort_by_key(|index| remaining[*index]);
        for index in shortest {
            let more = (remaining[index] - rows[index]).min(left);
            rows[index] += more;
            left -= more;
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    fn share(budget: usize, remaining: &[usize]) -> Vec<usize> {
        Share::default().rows(budget, remaining)
    }

    #[test]
    fn a_short_prompt_need_not_wait_for_a_long_one() {
        assert_eq!(share(64, &[4000, 20]), [44, 20]);
        assert_eq!(share(64, &[4000, 100, 20]), [32, 12, 20]);
    }

    #[test]
    fn a_prompt_that_a_step_would_end_is_ended_by_it() {
        assert_eq!(share(16, &[4000, 16]), [0, 16]);
        assert_eq!(share(64, &[4000, 40, 100]), [24, 40, 0]);
        assert_eq!(share(64, &[4000, 65]), [32, 32]);
        assert_eq!(share(16, &[16, 16]), [16, 0]);
    }

    #[test]
    fn whose_turn_it_is_gets_half_of_every_other_step_at_least() {
        let mut share = Share::default();
        let crowd = [4000, 50, 50, 50];
        let steps: Vec<_> = (0..4).map(|_| share.rows(64, &crowd)[0]).collect();
        assert_eq!(steps, [14, 32, 14, 32]);
        assert_eq!(share.rows(64, &[4000, 30, 30, 30]), [32, 30, 2, 0]);
        assert_eq!(share.rows(1, &[4000, 1]), [0, 1]);
        assert_eq!(share.rows(1, &[4000, 1]), [1, 0]);
    }

    #[test]
    fn nothing_is_left_over_while_somebody_wants_it() {
        assert_eq!(share(64, &[10, 4000, 5]), [10, 49, 5]);
        assert_eq!(share(64, &[10, 5]), [10, 5]);
        assert_eq!(share(64, &[]), [] as [usize; 0]);
    }
}
