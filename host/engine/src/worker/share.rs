//! How a step's budget is shared among prompts.

/// Rows for each of the prompts that have `remaining` rows left to compute, out of `budget`. The first one is the one
/// whose turn it is and gets at least half of it, so that it ends; the rest goes to those that have the least left, so
/// that a short prompt need not wait for a long one.
pub(super) fn share(budget: usize, remaining: &[usize]) -> Vec<usize> {
    let mut rows = vec![0; remaining.len()];
    let mut left = budget;
    if let Some(first) = remaining.first() {
        rows[0] = (*first).min(budget.div_ceil(2));
        left -= rows[0];
    }
    let mut shortest: Vec<usize> = (0..remaining.len()).collect();
    shortest.sort_by_key(|index| remaining[*index]);
    for index in shortest {
        let more = (remaining[index] - rows[index]).min(left);
        rows[index] += more;
        left -= more;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_short_prompt_need_not_wait_for_a_long_one() {
        assert_eq!(share(64, &[4000, 20]), [44, 20]);
        assert_eq!(share(64, &[4000, 100, 20]), [32, 12, 20]);
    }

    #[test]
    fn whose_turn_it_is_gets_half_at_least() {
        assert_eq!(share(64, &[4000, 30, 30, 30]), [32, 30, 2, 0]);
        assert_eq!(share(1, &[4000, 1]), [1, 0]);
    }

    #[test]
    fn nothing_is_left_over_while_somebody_wants_it() {
        assert_eq!(share(64, &[10, 4000, 5]), [10, 49, 5]);
        assert_eq!(share(64, &[10, 5]), [10, 5]);
        assert_eq!(share(64, &[]), [] as [usize; 0]);
    }
}
