use crate::sampling::{Sampler, Sampling};

const LOGITS: [f32; 6] = [0.5, 2.0, 2.0, -1.0, 1.0, 0.0];

/// All of it at once.
fn busy(seed: u64) -> Sampling {
    Sampling {
        temperature: 0.8,
        top_k: 5,
        top_p: 0.95,
        min_p: 0.01,
        typical_p: 0.97,
        presence_penalty: 0.5,
        frequency_penalty: -0.1,
        repetition_penalty: 1.2,
        logit_bias: [(3, 2.5), (1, -1.0)].into(),
        min_tokens: 4,
        seed,
    }
}

#[test]
fn tokens_are_drawn_as_often_as_their_probability_says() {
    const COUNT: usize = 50_000;
    let off = Sampling::default();
    for sampling in [
        Sampling { temperature: 1.5, ..off.clone() },
        Sampling { typical_p: 0.8, ..off.clone() },
        Sampling { logit_bias: [(3, 2.0), (1, -1.0), (2, -100.0)].into(), ..off.clone() },
        Sampling { repetition_penalty: 1.5, ..off.clone() },
        Sampling { temperature: 0.7, top_k: 4, top_p: 0.9, min_p: 0.1, typical_p: 0.9, min_tokens: 1, ..off },
        busy(0),
    ] {
        let mut drawn = [0; LOGITS.len()];
        let fresh = |seed| Sampler::new(Sampling { seed, ..sampling.clone() }, 0, &[1, 3], &[0]);
        for seed in 0..COUNT {
            drawn[fresh(seed as u64).sample(&LOGITS).unwrap() as usize] += 1;
        }
        let probabilities = fresh(0).probabilities(&LOGITS).unwrap();
        for (token, drawn) in (0..).zip(drawn) {
            let expected = probabilities.iter().find(|(other, _)| *other == token).map_or(0.0, |(_, found)| *found);
            let share = f64::from(drawn) / COUNT as f64;
            // Six standard deviations; exactly 0 where the probability is.
            let tolerance = 6.0 * (expected * (1.0 - expected) / COUNT as f64).sqrt();
            assert!((share - expected).abs() <= tolerance, "{sampling:?}, token {token}: {share} not {expected}");
        }
    }
}

#[test]
fn a_drawn_token_is_penalized_from_the_next_draw_on() {
    const COUNT: u64 = 20_000;
    let logits = [0.0_f32; 2];
    // The second token is the first again with odds of e^-(presence + frequency) to 1.
    let sampling = Sampling { presence_penalty: 0.6, frequency_penalty: 0.4, ..Sampling::default() };
    let expected = 1.0 / (1.0 + 1.0_f64.exp());
    let repeats = (0..COUNT).filter(|seed| {
        let mut sampler = Sampler::new(Sampling { seed: *seed, ..sampling.clone() }, 0, &[0, 0, 0], &[]);
        sampler.sample(&logits) == sampler.sample(&logits)
    });
    let share = repeats.count() as f64 / COUNT as f64;
    assert!((share - expected).abs() < 0.02, "{share} not {expected}");
}

#[test]
fn a_seed_and_a_choice_draw_the_same_whatever_another_draws_between() {
    let draws = |seed, choice, disturbed: bool| -> Vec<u32> {
        let new = |seed, choice| Sampler::new(busy(seed), choice, &[2], &[0]);
        let (mut sampler, mut other) = (new(seed, choice), new(99, 7));
        let mut draw = |step: u16| {
            let logits = LOGITS.map(|logit| logit * f32::from(step % 7));
            if disturbed {
                other.sample(&[1.0; 40]);
            }
            sampler.sample(&logits).unwrap()
        };
        (0..60).map(&mut draw).collect()
    };
    assert_eq!(draws(3, 0, false), draws(3, 0, true));
    assert_ne!(draws(3, 0, false), draws(4, 0, false));
    assert_ne!(draws(3, 0, false), draws(3, 1, false));
}

#[test]
fn extreme_parameters_still_draw_a_token() {
    let off = Sampling::default();
    let logits = [f32::MAX, f32::MIN, 0.0, 1.0, f32::MIN_POSITIVE, -0.0];
    for temperature in [0.0, 1e-45, f32::MIN_POSITIVE, 1e-30, 1.0, 1e30, f32::MAX] {
        for sampling in [
            Sampling { top_p: 0.0, ..off.clone() },
            Sampling { typical_p: 0.0, ..off.clone() },
            Sampling { top_p: f32::MIN_POSITIVE, min_p: 1.0, typical_p: f32::MIN_POSITIVE, ..off.clone() },
            Sampling { logit_bias: [(0, f32::MAX), (1, f32::MIN), (5, f32::MAX)].into(), ..off.clone() },
            Sampling { repetition_penalty: f32::MAX, frequency_penalty: f32::MIN, ..off.clone() },
            Sampling { repetition_penalty: 1e-45, presence_penalty: f32::MAX, typical_p: 0.5, ..off.clone() },
        ] {
            let sampling = Sampling { temperature, ..sampling };
            for logits in [LOGITS, logits] {
                let mut sampler = Sampler::new(sampling.clone(), 0, &[0, 1, 2], &[3]);
                for _ in 0..20 {
                    assert!(sampler.sample(&logits).is_some_and(|token| token < 6), "{sampling:?}");
                }
                let sum: f64 = sampler.probabilities(&logits).unwrap().iter().map(|(_, found)| found).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{sampling:?}: {sum}");
            }
        }
    }
}

#[test]
fn the_ends_of_the_filters_leave_the_best_or_the_most_typical_token() {
    let logits = [0.0_f32, 3.0, 1.0];
    for sampling in [
        Sampling { temperature: 1e-30, ..Sampling::default() },
        Sampling { top_k: 1, ..Sampling::default() },
        Sampling { top_p: 0.0, ..Sampling::default() },
        Sampling { min_p: 1.0, ..Sampling::default() },
        Sampling { typical_p: 0.0, ..Sampling::default() },
    ] {
        let found = Sampler::new(sampling.clone(), 0, &[], &[]).probabilities(&logits);
        assert_eq!(found, Some(vec![(1, 1.0)]), "{sampling:?}");
    }
}

#[test]
fn penalties_of_two_outweigh_any_logit_after_a_million_draws() {
    for (penalty, expected) in [(2.0, 0), (-2.0, 1)] {
        let sampling =
            Sampling { frequency_penalty: penalty, presence_penalty: penalty, seed: 1, ..Sampling::default() };
        let mut sampler = Sampler::new(sampling, 0, &[], &[]);
        (0..1_000_000).for_each(|_| sampler.record(1));
        let logits = if penalty > 0.0 { [0.0, 1e6] } else { [1e6, 0.0] };
        assert_eq!(sampler.probabilities(&logits), Some(vec![(expected, 1.0)]));
        assert_eq!(sampler.sample(&logits), Some(expected));
    }
}

#[test]
fn a_bias_of_100_forces_a_token_and_one_of_minus_100_bans_it() {
    for temperature in [0.0, 1.0] {
        let draw = |logit_bias: &[(u32, f32)]| -> Vec<u32> {
            let sampling = Sampling { temperature, logit_bias: logit_bias.into(), ..Sampling::default() };
            let mut sampler = Sampler::new(sampling, 0, &[], &[]);
            (0..1000).map(|_| sampler.sample(&LOGITS).unwrap()).collect()
        };
        for bias in [100.0, f32::MAX] {
            assert_eq!(draw(&[(3, bias)]), [3; 1000]);
        }
        for bias in [-100.0, f32::MIN, f32::NEG_INFINITY] {
            assert!(draw(&[(1, bias), (2, bias)]).iter().all(|token| ![1, 2].contains(token)));
        }
    }
}

#[test]
fn if_all_tokens_are_banned_the_model_decides_alone() {
    let ban = f32::NEG_INFINITY;
    for temperature in [0.0, 1e-30] {
        let sampling = Sampling { temperature, min_tokens: 9, ..Sampling::default() };
        let mut sampler = Sampler::new(sampling.clone(), 0, &[], &[0, 1, 2]);
        assert_eq!(sampler.sample(&[0.0, 2.0, 1.0]), Some(1));
        // The last token that the biases leave is a stop token.
        let sampling = Sampling { logit_bias: [(0, ban), (1, ban)].into(), ..sampling };
        let mut sampler = Sampler::new(sampling, 0, &[], &[2]);
        assert_eq!(sampler.sample(&[0.0, 2.0, 1.0]), Some(1));
    }
}

#[test]
fn a_request_does_not_end_before_its_least_length() {
    for temperature in [0.0, 1.0] {
        let sampling = Sampling { temperature, min_tokens: 3, ..Sampling::default() };
        let mut sampler = Sampler::new(sampling, 0, &[], &[1]);
        let drawn: Vec<u32> = (0..4).map(|_| sampler.sample(&[0.0, 100.0, 1.0]).unwrap()).collect();
        assert!(!drawn[..3].contains(&1), "{drawn:?}");
        assert_eq!(drawn[3], 1);
    }
}
