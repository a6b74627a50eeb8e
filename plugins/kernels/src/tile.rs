//! The register tile: R rows times C rows, one accumulator for each pair.

use crate::scratch::LINE;
use crate::simd::{Element, LANES, Simd, padded};

/// Chunks for each turn of the loop. A loop of few turns ends as predicted, and there are many such loops.
const TURN: usize = 4;

/// Accumulators of R × C dot products.
pub(crate) type Tile<S, const R: usize, const C: usize> = [[<S as Simd>::Lanes; C]; R];

/// The widest tile of four rows: twelve accumulators, three chunks of x and one of w fill sixteen registers.
pub(crate) const WIDTH: usize = 3;

/// How many of the `left` rows the next tile takes, at most [`WIDTH`]. Four are twice two: a tile of a single row has
/// too few accumulators to hide the latency of a multiply-add.
#[inline(always)]
pub(crate) fn width(left: usize) -> usize {
    match left {
        0..=2 => left,
        4 => 2,
        _ => WIDTH,
    }
}

/// A tile of zeros.
#[inline(always)]
pub(crate) fn zero<S: Simd, const R: usize, const C: usize>(simd: S) -> Tile<S, R, C> {
    [[simd.splat(0.0); C]; R]
}

/// Adds `w[r] · x[c]` to every accumulator, eight elements after eight: the one reduction order of this crate. The
/// last elements of rows that are no multiple of eight long are filled up with zeros.
///
/// Rows are all of one length. A long row may come in parts, each but the last a multiple of eight.
#[inline(always)]
pub(crate) fn accumulate<S: Simd, W: Element, const R: usize, const C: usize>(
    simd: S,
    w: [&[W]; R],
    x: [&[f32]; C],
    tile: Tile<S, R, C>,
) -> Tile<S, R, C> {
    accumulate_ahead::<S, W, W, R, C, 0>(simd, w, x, tile, [])
}

/// [`accumulate`], asking meanwhile for as many elements of each row of `ahead`, little by little: the memory is busy
/// while the arithmetic is, and neither waits for a burst of the other.
#[inline(always)]
pub(crate) fn accumulate_ahead<S: Simd, W: Element, A: Element, const R: usize, const C: usize, const N: usize>(
    simd: S,
    w: [&[W]; R],
    x: [&[f32]; C],
    mut tile: Tile<S, R, C>,
    ahead: [&[A]; N],
) -> Tile<S, R, C> {
    let (w_chunks, x_chunks) = (w.map(|row| row.as_chunks().0), x.map(|row| row.as_chunks().0));
    let (w_turns, x_turns) = (w_chunks.map(|row| row.as_chunks().0), x_chunks.map(|row| row.as_chunks().0));
    let turns = x_turns[0].len();
    // Tells the compiler that no index below is out of bounds.
    let (w_turns, x_turns) = (w_turns.map(|row| &row[..turns]), x_turns.map(|row| &row[..turns]));
    for turn in 0..turns {
        for row in ahead {
            for line in (0..TURN * LANES).step_by(LINE / size_of::<A>()) {
                if let Some(at) = row.get(turn * TURN * LANES + line) {
                    simd.prefetch(at);
                }
            }
        }
        let (w, x): ([&[_; TURN]; R], [&[_; TURN]; C]) = (w_turns.map(|row| &row[turn]), x_turns.map(|row| &row[turn]));
        for i in 0..TURN {
            tile = step(simd, w.map(|row| &row[i]), x.map(|row| &row[i]), tile);
        }
    }
    for i in turns * TURN..x_chunks[0].len() {
        tile = step(simd, w_chunks.map(|row| &row[i]), x_chunks.map(|row| &row[i]), tile);
    }
    if x[0].len().is_multiple_of(LANES) {
        return tile;
    }
    let w = w.map(|row| padded(row.as_chunks::<LANES>().1));
    let x = x.map(|row| padded(row.as_chunks::<LANES>().1));
    step(simd, w.each_ref(), x.each_ref(), tile)
}

/// Loads each chunk once for R × C multiply-adds.
#[inline(always)]
fn step<S: Simd, W: Element, const R: usize, const C: usize>(
    simd: S,
    w: [&[W; LANES]; R],
    x: [&[f32; LANES]; C],
    mut tile: Tile<S, R, C>,
) -> Tile<S, R, C> {
    let mut lanes = [simd.splat(0.0); C];
    for (lanes, x) in lanes.iter_mut().zip(x) {
        *lanes = simd.load(x);
    }
    for (sums, w) in tile.iter_mut().zip(w) {
        let w = W::load(simd, w);
        for (sum, lanes) in sums.iter_mut().zip(lanes) {
            *sum = simd.mul_add(w, lanes, *sum);
        }
    }
    tile
}

/// Ends the reductions: the four rows' sums for each of the C rows.
#[inline(always)]
pub(crate) fn sums<S: Simd, const C: usize>(simd: S, tile: Tile<S, 4, C>) -> [[f32; 4]; C] {
    let mut sums = [[0.0; 4]; C];
    for (c, sums) in sums.iter_mut().enumerate() {
        *sums = simd.sums([tile[0][c], tile[1][c], tile[2][c], tile[3][c]]);
    }
    sums
}

/// Writes four sums to the beginning of `out`, or as many as it has room for.
#[inline(always)]
pub(crate) fn put(sums: [f32; 4], out: &mut [f32]) {
    match out.first_chunk_mut() {
        Some(out) => *out = sums,
        None => out.copy_from_slice(&sums[..out.len()]),
    }
}
